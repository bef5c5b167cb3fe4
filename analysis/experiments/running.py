"""Works through a matrix, a process per training; what was begun is resumed, what is finished is skipped."""

import itertools
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
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


def run_matrix(
    matrix: Matrix, *, home: Path | None = None, results: Path = RESULTS, device: str = "cpu", jobs: int = 1
) -> None:
    """Train what is missing, `jobs` networks side by side; what they print then goes to ``train.log`` in their folder.

    On a CPU side by side is faster than one after the other with all cores, as small networks leave cores waiting.
    Raises ``ValueError`` where a training fails, once the others that were begun are done; the call can be repeated.
    """
    if jobs < 1:
        raise ValueError(f"At least 1 network must be trained at a time, got {jobs}.")
    cells = list(matrix.cells())
    todo = [cell for cell in cells if not finished(cell, results)]
    options = ["--results", str(results), "--device", device, *(["--home", str(home)] if home else [])]
    began, ended, failed = time.monotonic(), itertools.count(), threading.Event()

    def train(place: int, cell: Cell) -> bool:
        if failed.is_set():
            return True  # not begun
        print(f"{cell.name}, {place} of {len(cells)}", flush=True)
        command = [sys.executable, "-m", "analysis.experiments", "train", matrix.source, cell.condition.name]
        if _process([*command, str(cell.seed), *options], cell.folder(home), jobs):
            failed.set()
            return False
        print(f"{cell.name} done{_left(began, next(ended) + 1, len(todo))}", flush=True)
        return True

    with ThreadPoolExecutor(jobs) as pool:
        apply = map if jobs == 1 else pool.map  # alone in this thread, where an interruption is noticed at once
        done = list(apply(train, range(len(cells) - len(todo) + 1, len(cells) + 1), todo))
    if broken := [cell.name for cell, well in zip(todo, done, strict=True) if not well]:
        raise ValueError(f"{', '.join(broken)} not finished; run the matrix again to resume.")


def _process(command: list[str], folder: Path, jobs: int) -> int:
    """Exit code of one training; alone it has the terminal and all cores, else a log and its share of the cores."""
    if jobs == 1:
        return subprocess.run(command, check=False).returncode
    folder.mkdir(parents=True, exist_ok=True)
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with (folder / "train.log").open("a") as log:
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        return subprocess.run(command, check=False, stdout=log, stderr=log, env=environment).returncode


def _left(began: float, done: int, todo: int) -> str:
    """How long the rest will take, going by what was done since the start."""
    hours = (time.monotonic() - began) / done * (todo - done) / 3600
    return f", about {hours:.1f} h left" if done < todo else ""


def train_cell(cell: Cell, *, home: Path | None = None, results: Path = RESULTS, device: torch.device) -> None:
    """Train one network, or go on with it, and keep its result."""
    folder, config = cell.folder(home), cell.config
    folder.mkdir(parents=True, exist_ok=True)
    run = Run(folder, config, open_dataset(config.dataset, home), device, resume=(folder / STATE_FILE).exists())
    use_compiled()
    run.train()
    save(cell.file(results), collect(cell, home))
