"""Matrices: those that come with the code are trainings that can be begun, and a wrong one is told in one sentence."""

from pathlib import Path

import pytest

from alexnet_core.config import named_config
from alexnet_core.train import PRESETS
from analysis.experiments.matrix import list_matrices, load_matrix

SMALL = """
title = "Small"
preset = "tiny-imagenet-127"
seeds = [1, 2]
[all]
epochs = 3
[conditions.two-towers]
asks = "the case"
[conditions.one-tower]
asks = "groups?"
network = { towers = 1 }
epochs = 4
"""


def written(folder: Path, text: str) -> str:
    file = folder / "small.toml"
    file.write_text(text)
    return str(file)


@pytest.mark.parametrize("name", list_matrices())
def test_every_shipped_matrix_describes_networks_that_can_be_built(name: str) -> None:
    cells = list(load_matrix(name).cells())
    for cell in cells:
        named_config(cell.config.mode, **cell.config.network)
    assert len({cell.name for cell in cells}) == len(cells)


def test_a_cell_changes_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    matrix = load_matrix(written(tmp_path, SMALL))
    preset = PRESETS["tiny-imagenet-127"]
    one, two = matrix.cell("one-tower", 7).config, matrix.cell("two-towers", 7).config
    assert (one.epochs, two.epochs, one.seed) == (4, 3, 7)
    assert one.network == {**preset.network, "towers": 1}
    assert two.network == preset.network
    assert two.weight_decay == preset.weight_decay


def test_cells_come_seed_by_seed(tmp_path: Path) -> None:
    names = [cell.name for cell in load_matrix(written(tmp_path, SMALL)).cells()]
    assert names == ["two-towers-seed-1", "one-tower-seed-1", "two-towers-seed-2", "one-tower-seed-2"]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (("preset", "# preset"), "lacks 'preset'"),
        (("tiny-imagenet-127", "alexnet"), "preset must be one of"),
        (("epochs = 4", "epoch = 4"), "one-tower changes .'epoch'."),
        (("title =", "title"), "no TOML file"),
        (('asks = "the case"', ""), "lacks 'asks'"),
    ],
)
def test_a_wrong_matrix_is_told_in_one_sentence(tmp_path: Path, change: tuple[str, str], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        load_matrix(written(tmp_path, SMALL.replace(*change)))


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="choose from"):
        load_matrix("no-such-matrix")
    with pytest.raises(ValueError, match="not 'three-towers'"):
        load_matrix(written(tmp_path, SMALL)).cell("three-towers", 1)
