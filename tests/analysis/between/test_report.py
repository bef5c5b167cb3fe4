"""Similarity and probes of a checkpoint, measured once: kept whole, found again, refused in one sentence."""

import json

import numpy as np
import pytest
import torch

from alexnet_core import Checkpoint
from alexnet_core.preprocess import Preprocess
from analysis.between import report as between
from analysis.between.probes import measure_probes
from analysis.between.report import BetweenTowers, between_file, load_between, measure_between
from analysis.between.similarity import measure_similarity
from analysis.sealed import read_sealed, save_sealed


@pytest.fixture
def checkpoint(tiny_model) -> Checkpoint:
    card = {"name": "tiny", "id": "tiny", "dataset": "two", "classes": [{"id": "n01", "name": "a"}] * 10}
    preprocess = Preprocess(16, 136, 127, torch.full((3, 136, 136), 110.0), torch.eye(3), torch.ones(3))
    return Checkpoint(tiny_model, card, preprocess)


@pytest.fixture
def store(make_store, monkeypatch):
    monkeypatch.setattr("analysis.between.similarity.check_fit", lambda *_: None)  # two classes will do here
    monkeypatch.setattr("analysis.between.similarity.BATCH", 4)
    return make_store("two")


def test_both_measurements_are_those_of_their_own_modules_with_their_own_seeds(checkpoint, store):
    found = measure_between(checkpoint, store, images=8, pictures=80, halves=2, seed=3)
    first, second = np.random.default_rng(3).spawn(2)
    assert found.similarity == measure_similarity(checkpoint, store, first, images=8, halves=2)
    assert found.probes == measure_probes(checkpoint.model, checkpoint.preprocess, second, images=80)
    assert (found.dataset, found.data_hash, found.split) == ("two", store.hash, "val")


def test_a_result_is_found_again_and_that_of_another_checkpoint_is_not(checkpoint, store):
    assert load_between(checkpoint) is None
    found = measure_between(checkpoint, store, images=8, pictures=80, halves=2)
    save_sealed(found, between_file(checkpoint))
    assert load_between(checkpoint) == found
    other = checkpoint._replace(card=checkpoint.card | {"id": "other"})
    between_file(checkpoint).rename(between_file(other))
    assert load_between(other) is None


def test_a_damaged_result_is_refused_in_one_sentence(checkpoint):
    between_file(checkpoint).parent.mkdir(parents=True)
    between_file(checkpoint).write_text("{")
    with pytest.raises(ValueError, match="delete it and measure again"):
        load_between(checkpoint)


def test_the_command_keeps_its_result(checkpoint, store, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(between, "load_checkpoint", {"tiny": checkpoint}.__getitem__)
    monkeypatch.setattr(between, "open_dataset", {"two": store}.__getitem__)
    options = ["--images", "8", "--pictures", "80", "--halves", "2"]
    between.main(["tiny", *options])
    assert capsys.readouterr().out.strip() == str(between_file(checkpoint))
    between.main(["tiny", *options, "--to", str(tmp_path / "a.json")])
    assert read_sealed(tmp_path / "a.json", BetweenTowers) == load_between(checkpoint)
    assert json.loads(between_file(checkpoint).read_text())["report"]["images"] == 8


def test_what_cannot_be_measured_ends_with_one_line(checkpoint, monkeypatch, capsys):
    monkeypatch.setattr(between, "load_checkpoint", {"tiny": checkpoint}.__getitem__)
    with pytest.raises(SystemExit):
        between.main(["tiny", "--dataset", "nowhere"])
    assert "nowhere" in capsys.readouterr().err
