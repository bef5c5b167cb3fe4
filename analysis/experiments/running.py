"""Works through a matrix, one process per training; what was begun is resumed, what is finished is skipped."""

import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import torch

from alexnet_core.data import open_dataset
from alexnet_core.lrn import use_compiled
from alexnet_core.train import STATE_FILE, Run, read_state
from analysis.experiments.matrix import RESULTS, Cell, Matrix
from analysis.experiments.results import collect, counts, finished, save


class Standing(NamedTuple):
    """How far one training is."""

    cell: Cell
    share: float  # of its steps, 0 to 1
    word: str  # for people: "done", "does not count: ...", "begun", "to do"


def standing(cell: Cell, *, home: Path | None = None, results: Path = RESULTS) -> Standing:
    """How far a training is."""
    if result := finished(cell, results):
        reason = counts(result)
        return Standing(cell, 1.0, f"does not count: {reason}" if reason else f"done, {result.top1:.1%} right")
    try:
        _, state = read_state(cell.folder(home))
    except FileNotFoundError:
        return Standing(cell, 0.0, "to do")
    return Standing(cell, len(state["progress"]["curve"]) / cell.config.epochs, "begun")


def run_matrix(matrix: Matrix, *, home: Path | None = None, results: Path = RESULTS, device: str = "cpu") -> None:
    """Train what is missing. Raises ``ValueError`` where a training fails, after which the call can be repeated."""
    cells = list(matrix.cells())
    todo = [cell for cell in cells if not finished(cell, results)]
    options = ["--results", str(results), "--device", device, *(["--home", str(home)] if home else [])]
    began = time.monotonic()
    for place, cell in enumerate(todo):
        print(
            f"{cell.name}, {len(cells) - len(todo) + place + 1} of {len(cells)}{_left(began, place, len(todo))}",
            flush=True,
        )
        command = [sys.executable, "-m", "analysis.experiments", "train", matrix.source, cell.condition.name]
        if subprocess.run([*command, str(cell.seed), *options], check=False).returncode:
            raise ValueError(f"{cell.name} was not finished; run the matrix again to resume it.")


def _left(began: float, done: int, todo: int) -> str:
    """How long the rest will take, going by what was done since the start."""
    hours = (time.monotonic() - began) / max(1, done) * (todo - done) / 3600
    return f", about {hours:.1f} h left" if done else ""


def train_cell(cell: Cell, *, home: Path | None = None, results: Path = RESULTS, device: torch.device) -> None:
    """Train one network, or go on with it, and keep its result."""
    folder, config = cell.folder(home), cell.config
    folder.mkdir(parents=True, exist_ok=True)
    run = Run(folder, config, open_dataset(config.dataset, home), device, resume=(folder / STATE_FILE).exists())
    use_compiled()
    run.train()
    save(cell.file(results), collect(cell, home))
