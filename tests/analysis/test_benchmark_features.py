"""The benchmark of features on a few images: rows with numbers, an error that catches a wrong answer; never timings."""

import json

import numpy as np
import pytest
import torch

from alexnet_core import Checkpoint, load_checkpoint
from alexnet_core.paths import data_home
from alexnet_core.store import ImageStore
from analysis.benchmarks import features as benchmark
from tests.analysis.workspace.small_world import SMALL, small_checkpoint, small_store


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    for (place, field), value in SMALL.items():
        monkeypatch.setattr(place, field, value)
    monkeypatch.setattr(benchmark, "use_compiled", lambda wanted=True: None)  # it takes longer than all else


@pytest.fixture
def images() -> ImageStore:
    return small_store(data_home(), "set", val=44)


@pytest.fixture
def checkpoint() -> Checkpoint:
    return load_checkpoint(small_checkpoint(data_home(), "tiny"))


def test_both_ways_yield_a_row_and_agree_to_float16(checkpoint: Checkpoint, images: ImageStore) -> None:
    report = benchmark.run(checkpoint, images, "fc7", "val", n=11, repeats=2)
    assert [row.name for row in report.rows] == ["plain loop", "analysis.features"]
    assert all(row.images_per_second > 0 and row.ratio > 0 for row in report.rows)
    assert report.rows[0].ratio == 1
    assert report.max_error < 2**-10
    assert [peak.images for peak in report.peaks] == [11, 44]
    assert (report.stage, report.images) == ("relu7", 11)


def test_a_wrong_answer_shows_in_the_error(
    checkpoint: Checkpoint, images: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = benchmark.plain_model
    monkeypatch.setattr(benchmark, "plain_model", lambda model: plain(model).apply(_without_normalisation))
    report = benchmark.run(checkpoint, images, "relu1", "val", n=11, repeats=1)
    assert report.max_error > 0.01


def _without_normalisation(module: torch.nn.Module) -> None:
    if isinstance(module, torch.nn.LocalResponseNorm):
        module.alpha = 0.0


def test_the_plain_network_is_torch_s_own_and_gives_the_same(checkpoint: Checkpoint) -> None:
    x = 60 * torch.randn(2, 3, 63, 63, generator=torch.Generator().manual_seed(0))
    plain = benchmark.plain_model(checkpoint.model)
    assert sum(isinstance(module, torch.nn.LocalResponseNorm) for module in plain.modules()) == 2
    _, ours = checkpoint.model.run(x, taps=["norm1", "norm2"])
    _, theirs = plain.run(x, taps=["norm1", "norm2"])
    for stage, values in ours.items():
        np.testing.assert_allclose(theirs[stage], values, rtol=1e-4, atol=1e-5)


def test_the_command_prints_a_table_or_one_object(
    checkpoint: Checkpoint, images: ImageStore, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["tiny", "set", "--stage", "pool5", "--images", "5", "--repeats", "1"]
    benchmark.main(options)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("pool5 of tiny for 5 images of set, median of 1; torch")
    assert len(lines) == 7
    benchmark.main([*options, "--json"])
    told = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in told["rows"]] == ["plain loop", "analysis.features"]
    assert [peak["images"] for peak in told["peaks"]] == [5, 20]


def test_too_few_images_are_refused(checkpoint: Checkpoint, images: ImageStore) -> None:
    with pytest.raises(ValueError, match="4 times 12 images are needed, 'val' of 'set' has 44"):
        benchmark.run(checkpoint, images, "fc7", "val", n=12, repeats=1)
