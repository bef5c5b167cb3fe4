"""The whole measurement of a checkpoint: its parts, its table and the command line."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import save_file

from alexnet_core.model import build_model
from alexnet_core.preprocess import Preprocess
from analysis.kernels.functional import colour_response
from analysis.kernels.gabor import gabor_fit
from analysis.kernels.indices import chroma_energy, colour_axis, weighted_chroma
from analysis.kernels.patches import patch_covariance
from analysis.towers import secondary
from analysis.towers import study as tower_study
from analysis.towers.comparison import measure, tower_labels
from analysis.towers.study import look_at, study_checkpoint, study_table

SIDE = 67
PREPROCESS = Preprocess(
    source_size=68,
    full_size=68,
    input_size=SIDE,
    mean=torch.full((3, 68, 68), 120.0),
    pca_vectors=torch.eye(3),
    pca_stdevs=torch.ones(3),
)
IMAGES = np.random.default_rng(0).integers(0, 256, (4, 3, 17, 17), np.uint8).repeat(4, 2).repeat(4, 3)


def planted() -> np.ndarray:
    """Gratings, 5 of tower A and 30 of tower B in colour."""
    draws = np.random.default_rng(1)
    row, column = np.mgrid[:11, :11]
    angle, frequency = draws.uniform(0, np.pi, (96, 1, 1)), draws.uniform(0.1, 0.3, (96, 1, 1))
    wave = np.cos(2 * np.pi * frequency * (column * np.cos(angle) - row * np.sin(angle)))[:, None]
    coloured = np.concatenate([np.arange(48) < 5, np.arange(48) < 30])[:, None, None, None]
    weights = np.where(coloured, np.array([2.0, -1, -1])[:, None, None], 1.0) * wave
    return (weights + 0.1 * draws.normal(size=weights.shape)).astype(np.float32) / 100


@pytest.fixture(scope="module")
def checkpoint() -> SimpleNamespace:
    """As much of a checkpoint as the measurement reads."""
    model = build_model(num_classes=5, input_size=SIDE, generator=torch.Generator().manual_seed(0))
    model.eval().requires_grad_(False).stages["conv1"].weight.copy_(torch.tensor(planted()))
    return SimpleNamespace(model=model, card={"name": "net"}, id="0123", preprocess=PREPROCESS)


@pytest.fixture(autouse=True)
def _few_classifications(monkeypatch):
    monkeypatch.setattr(secondary, "CLASSIFIED", 20)


def test_the_primary_result_is_that_of_measure_alone(checkpoint):
    found = study_checkpoint(checkpoint, np.random.default_rng(0), n_permutations=300)
    assert list(found) == ["as trained"]
    alone = measure(planted(), tower_labels(96, 2), np.random.default_rng(0), 300)
    assert found["as trained"].primary == alone
    assert found["as trained"].secondary.sweep.p_value < 0.01


def test_the_learned_part_is_measured_where_the_start_was_kept(checkpoint, tmp_path):
    start = np.random.default_rng(2).normal(size=(96, 3, 11, 11)) / 300
    about = {"steps": json.dumps([0]), "noise_left": json.dumps([1.0])}
    save_file({"kernels": start[None].astype(np.float16)}, tmp_path / "net.conv1.safetensors", metadata=about)
    found = study_checkpoint(checkpoint, np.random.default_rng(0), folder=tmp_path, n_permutations=300)
    assert list(found) == ["as trained", "learned part"]
    learned = chroma_energy(planted() - start.astype(np.float16).astype(np.float32))
    assert found["learned part"].primary.mean_chroma[1] == pytest.approx(learned[48:].mean(), abs=0.02)
    assert found["learned part"].primary.mean_chroma != found["as trained"].primary.mean_chroma


def test_photographs_add_the_weighted_chroma_and_the_colour_selectivity(checkpoint):
    seen = look_at(checkpoint, IMAGES)
    np.testing.assert_array_equal(seen.covariance, patch_covariance(IMAGES, PREPROCESS))
    response = colour_response(checkpoint.model, PREPROCESS, IMAGES)
    np.testing.assert_array_equal(seen.indices["colour_selectivity"], response.selectivity)
    found = study_checkpoint(checkpoint, np.random.default_rng(0), photographs=seen, n_permutations=300)
    weighted = weighted_chroma(planted(), seen.covariance)
    assert found["as trained"].secondary.row("weighted_chroma").means[0] == pytest.approx(weighted[:48].mean())
    assert found["as trained"].secondary.row("colour_selectivity") is not None


def test_photographs_of_another_size_are_refused(checkpoint):
    with pytest.raises(ValueError, match="stored images of 68 px"):
        look_at(checkpoint, IMAGES[:, :, :64, :64])


def test_the_table_has_a_row_per_kernel_with_what_it_is_and_what_it_answers_to(checkpoint):
    table = study_table(checkpoint, look_at(checkpoint, IMAGES))
    assert table["tower"].tolist() == ["A"] * 48 + ["B"] * 48
    np.testing.assert_allclose(table["gabor_fit"], gabor_fit(colour_axis(planted()).pattern), atol=1e-3)
    red = np.concatenate([np.arange(48) < 5, np.arange(48) < 30])
    assert (table["colour_selectivity"][red].min()) > table["colour_selectivity"][~red].max()
    assert table["live"].all()
    assert {"weighted_chroma", "hue_kind", "best_hue", "best_orientation", "best_frequency"} < set(table)
    wrong = (table["best_orientation"] - table["orientation"] + 90) % 180 - 90
    assert wrong[~red].abs().median() < 8  # gratings are shown 15 degrees apart


def test_the_command_prints_the_result_as_json_and_writes_both_files(checkpoint, monkeypatch, capsys, tmp_path):
    split = SimpleNamespace(images=IMAGES)
    monkeypatch.setattr(tower_study, "load_checkpoint", lambda name: checkpoint)
    monkeypatch.setattr(tower_study, "open_dataset", lambda name: SimpleNamespace(split=lambda part: split))
    files = [tmp_path / "kernels.csv", tmp_path / "towers.json"]
    arguments = ["net", "--permutations", "300", "--dataset", "photos", "--images", "3"]
    tower_study.main([*arguments, "--csv", str(files[0]), "--json", str(files[1])])
    printed = json.loads(capsys.readouterr().out)
    result = measure(planted(), tower_labels(96, 2), np.random.default_rng(0), 300)
    assert printed["as trained"]["verdict"] == result.verdict
    assert printed["as trained"]["colour"] == [5, 30]
    assert printed["as trained"]["difference"] == pytest.approx(result.difference, abs=1e-6)
    assert [row["index"] for row in printed["as trained"]["secondary"]["rows"]][-1] == "frequency of grey kernels"
    assert (printed["dataset"], printed["images"]) == ("photos", 3)
    assert json.loads(files[1].read_text()) == printed
    np.testing.assert_allclose(pd.read_csv(files[0])["chroma"], chroma_energy(planted()), atol=1e-6)


def test_without_photographs_the_command_needs_no_data_set(checkpoint, monkeypatch, capsys):
    monkeypatch.setattr(tower_study, "load_checkpoint", lambda name: checkpoint)
    tower_study.main(["net", "--permutations", "300"])
    printed = json.loads(capsys.readouterr().out)
    assert "dataset" not in printed
    assert "colour_selectivity" not in [row["index"] for row in printed["as trained"]["secondary"]["rows"]]


def test_untrained_kernels_print_that_they_are_not_measurable(checkpoint, monkeypatch, capsys):
    model = build_model(num_classes=5, input_size=SIDE, generator=torch.Generator().manual_seed(1)).eval()
    untrained = SimpleNamespace(**{**vars(checkpoint), "model": model})
    monkeypatch.setattr(tower_study, "load_checkpoint", lambda name: untrained)
    tower_study.main(["net"])
    printed = json.loads(capsys.readouterr().out)["as trained"]
    assert printed["verdict"].startswith("Not measurable")
    assert printed["secondary"] is None


@pytest.mark.parametrize("count", [1, 4])
def test_the_command_refuses_other_numbers_of_towers_in_one_sentence(count, checkpoint, monkeypatch, capsys):
    model = SimpleNamespace(config=replace(checkpoint.model.config, towers=count))
    monkeypatch.setattr(tower_study, "load_checkpoint", lambda name: SimpleNamespace(model=model))
    with pytest.raises(SystemExit):
        tower_study.main(["net"])
    assert f"this network has {count}." in capsys.readouterr().err
