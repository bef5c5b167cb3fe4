"""A small matrix, trained for real: what is kept is what was trained, and nothing is trained twice."""

import json
import os
import subprocess
import threading
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from alexnet_core import train
from alexnet_core.store import ImageStore
from alexnet_core.train import TrainConfig, read_state
from analysis.experiments import __main__ as command
from analysis.experiments.matrix import Matrix, load_matrix
from analysis.experiments.results import counts, finished, load, same_training, save
from analysis.experiments.running import run_matrix
from analysis.kernels.indices import measure_kernels

pytestmark = pytest.mark.usefixtures("slim")

EASY = TrainConfig(
    preset="easy",
    dataset="easy",
    network={"input_size": 63, "conv_std": [0.01, 0.03, 0.06, 0.06, 0.06], "fc_std": [0.15, 0.15, 0.15]},
    full_size=70,
    batch_size=8,
    epochs=2,
    held_out=8,
    schedule="cosine",
    precision="fp32",
)
MATRIX = """
title = "Easy"
preset = "easy"
seeds = [3]
[conditions.two-towers]
asks = "the case"
[conditions.grey]
asks = "colour?"
colours = "grey"
"""


class Trained:
    """Where a matrix was trained, how often a training was begun, and which."""

    def __init__(self, source: str, results: Path) -> None:
        self.source, self.results = source, results
        self.begun: list[str] = []

    @property
    def matrix(self) -> Matrix:
        return load_matrix(self.source)

    def run(self, verb: str = "run") -> None:
        command.main([verb, self.source, "--results", str(self.results), *(["--device", "cpu"] * (verb != "status"))])


@pytest.fixture
def easy(tmp_path: Path, make_store: Callable[[str], ImageStore], monkeypatch: pytest.MonkeyPatch) -> Trained:
    make_store("easy")
    monkeypatch.setitem(train.PRESETS, "easy", EASY)
    monkeypatch.setattr("analysis.experiments.running.use_compiled", lambda: None)
    file = tmp_path / "easy.toml"
    file.write_text(MATRIX)
    trained = Trained(str(file), tmp_path / "results")

    def in_this_process(arguments: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        assert arguments[1:4] == ["-m", "analysis.experiments", "train"]
        trained.begun.append(" ".join(arguments[5:7]))
        command.main(arguments[3:])
        return subprocess.CompletedProcess(arguments, 0)

    monkeypatch.setattr(subprocess, "run", in_this_process)
    monkeypatch.setattr(train, "code_commit", lambda: "0")
    monkeypatch.setattr("analysis.experiments.knowledge.PICTURES", 160)
    for measure in ("function", "knowledge"):
        monkeypatch.setattr(f"analysis.experiments.{measure}.RANDOM_HALVES", 2)
    return trained


def test_a_result_holds_the_kernels_that_were_trained(easy: Trained) -> None:
    easy.run()
    for cell in easy.matrix.cells():
        result = load(cell.file(easy.results))
        tensors, _ = read_state(cell.folder())
        kernels = tensors["model.stages.conv1.weight"].numpy()
        np.testing.assert_allclose(result.kernels, kernels, atol=5e-3 * abs(kernels).max())
        share = 1 - 3 * (kernels.mean(1) ** 2).sum((1, 2)) / (kernels**2).sum((1, 2, 3))
        np.testing.assert_allclose(result.chroma[-1], share, atol=2e-3)
        assert (result.live[-1] == measure_kernels(result.kernels).live).all()
        assert result.steps[0] == 0
        assert result.steps[-1] == 8
        assert np.isnan(result.learned_chroma[0]).all() or (result.learned_chroma[0] == 0).all()
        assert 0 <= result.top1 <= 1
        assert result.towers == 2


def test_the_learned_part_of_a_net_on_grey_images_has_no_colour(easy: Trained) -> None:
    easy.run()
    grey, colour = (load(easy.matrix.cell(name, 3).file(easy.results)) for name in ("grey", "two-towers"))
    assert np.nanmax(grey.learned_chroma[-1]) < 0.05 < np.nanmean(colour.learned_chroma[-1])


def test_what_is_finished_is_not_trained_again_and_what_changed_is(easy: Trained) -> None:
    easy.run()
    easy.run()
    assert easy.begun == ["two-towers 3", "grey 3"]
    cell = easy.matrix.cell("grey", 3)
    cell.file(easy.results).write_bytes(b"torn")
    easy.run()
    assert easy.begun[2:] == ["grey 3"]
    result = load(cell.file(easy.results))
    other = {**result.card, "training": {**result.card["training"], "weight_decay": 0.0}}
    save(cell.file(easy.results), result._replace(card=other))
    assert finished(cell, easy.results) is None


def test_an_older_result_is_collected_again_without_training(easy: Trained) -> None:
    easy.run()
    cell = easy.matrix.cell("two-towers", 3)
    result = load(cell.file(easy.results))
    with safe_open(cell.file(easy.results), "numpy") as opened:
        told = json.loads(opened.metadata()["result"])
    del told["card"]["halves"]  # as before they were measured
    save_file(load_file(cell.file(easy.results)), cell.file(easy.results), metadata={"result": json.dumps(told)})
    assert finished(cell, easy.results) is None
    easy.run()
    again = finished(cell, easy.results)
    assert again is not None
    assert again.card == result.card
    assert again.halves[0].name == "towers"
    assert again.halves[0].function is not None
    assert load(easy.matrix.cell("grey", 3).file(easy.results)).halves[0].function is None  # it never saw a colour


def test_networks_side_by_side_share_the_cores_and_log_beside_their_runs(
    easy: Trained, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    together = threading.Barrier(2, timeout=30)  # broken unless two are under way at a time
    threads = []

    def beside(arguments: list[str], *, stdout: IO[str], env: dict[str, str], **_: Any) -> Any:
        stdout.write(" ".join(arguments[5:7]))
        threads.append(env["OMP_NUM_THREADS"])
        together.wait()
        return subprocess.CompletedProcess(arguments, 0)

    monkeypatch.setattr(subprocess, "run", beside)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    run_matrix(easy.matrix, results=easy.results, jobs=2)
    assert threads == ["3", "3"]
    logs = {cell.name: (cell.folder() / "train.log").read_text() for cell in easy.matrix.cells()}
    assert logs == {"two-towers-seed-3": "two-towers 3", "grey-seed-3": "grey 3"}
    told = capsys.readouterr().out
    assert "two-towers-seed-3, 1 of 2" in told
    assert "grey-seed-3, 2 of 2" in told
    assert told.count(" done") == 2
    with pytest.raises(ValueError, match="At least 1"):
        run_matrix(easy.matrix, jobs=0)


def test_after_a_failure_nothing_more_is_begun(easy: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = []

    def fail(arguments: list[str], **_: Any) -> Any:
        begun.append(arguments[5])
        return subprocess.CompletedProcess(arguments, 1)

    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(ValueError, match="two-towers-seed-3 not finished; run the matrix again"):
        run_matrix(easy.matrix, results=easy.results)
    assert begun == ["two-towers"]


def test_status_tells_what_is_to_do_and_what_does_not_count(easy: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    easy.run("status")
    assert capsys.readouterr().out.count("to do") == 2
    command.main(["train", easy.source, "grey", "3", "--results", str(easy.results)])
    capsys.readouterr()
    easy.run("status")
    told = capsys.readouterr().out.splitlines()
    assert "to do" in told[0]
    assert "does not count" in told[1]  # 16 kernels can not be 60 live ones
    assert "100.0%" in told[1]


def test_a_run_that_knew_fewer_fields_is_the_same_training() -> None:
    config = replace(EASY, epochs=4)
    recorded = {name: value for name, value in asdict(config).items() if name != "colours"}
    assert same_training(recorded, config)
    assert not same_training(recorded, replace(config, colours="grey"))
    assert not same_training(recorded, replace(config, epochs=5))


def test_a_network_that_learned_too_little_does_not_count(easy: Trained) -> None:
    command.main(["train", easy.source, "grey", "3", "--results", str(easy.results)])
    result = load(easy.matrix.cell("grey", 3).file(easy.results))
    live = np.ones((1, 96), bool)
    good = result._replace(live=live, card={**result.card, "classes": 100, "curve": [{"held_out_error": 0.9}]})
    assert counts(good) == ""
    poor = {**good.card, "curve": [{"held_out_error": 0.98}]}
    assert "at least 3%" in counts(good._replace(card=poor))
    live[-1, 50:] = False
    assert "50 of 96 kernels are live" in counts(good)


def test_a_damaged_result_is_told_in_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    file.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="missing or damaged"):
        load(file)
