"""Kills evaluations at random moments with SIGKILL: ``python -m tests.analysis.kill_evaluate --times 20``.

After each kill whatever is listed must open and be as in an undisturbed evaluation, and the same call must then end
with the same bytes and leave nothing else.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

import cleanlab.experimental.label_issues_batched  # noqa: F401  imported before the children are made
import numpy as np
import torch

from alexnet_core import load_checkpoint
from alexnet_core.data import open_dataset
from alexnet_core.paths import checkpoints_dir, predictions_dir
from analysis.evaluate import evaluate, list_evaluations, open_evaluation
from tests.analysis.workspace.kill_workspace import run_apart
from tests.analysis.workspace.small_world import SMALL, small_checkpoint, small_store


def work(home: Path) -> None:
    """Two networks and their average, from one view and ten, whole and with a tower off."""
    networks = [load_checkpoint(checkpoints_dir(home) / f"{name}.json") for name in ("one", "two")]
    evaluate(networks, open_dataset("set", home), split="train", off=["none", "A"], home=home)


def contents(home: Path) -> dict[str, bytes]:
    """The bytes of all that an evaluation leaves, but for its lock."""
    return {file.name: file.read_bytes() for file in predictions_dir(home).rglob("*.*") if file.suffix != ".lock"}


def check(times: int, seed: int, root: Path) -> None:
    """Raises ``SystemExit`` with one sentence at the first difference."""
    start, rng = root / "start", np.random.default_rng(seed)
    store = small_store(start, "set", train=60)
    for number, name in enumerate(("one", "two")):
        small_checkpoint(start, name, seed=number)
    whole = shutil.copytree(start, root / "whole")
    seconds, expected = run_apart(work, whole, None), contents(whole)
    for number in range(times):
        home = shutil.copytree(start, root / str(number))
        moment = float(rng.uniform(0, 1.1 * seconds))
        run_apart(work, home, moment)
        listed = list_evaluations(store.hash, home)
        for evaluation in listed:
            open_evaluation(evaluation)
            if evaluation.file.read_bytes() != expected[evaluation.file.name]:
                raise SystemExit(f"Killed after {moment:.3f} s: {evaluation.file.name} passed for whole and is not.")
        run_apart(work, home, None)
        if (found := contents(home)) != expected:
            wrong = [name for name in {*expected, *found} if found.get(name) != expected.get(name)]
            raise SystemExit(f"Killed after {moment:.3f} s: {wrong} differ from an undisturbed evaluation.")
        print(f"killed after {moment:.3f} of {seconds:.3f} s with {len(listed)} of {len(expected) // 2} tables")
        shutil.rmtree(home)


def main() -> None:
    """Read the arguments and try."""
    parser = argparse.ArgumentParser(prog="python -m tests.analysis.kill_evaluate")
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for (module, field), value in SMALL.items():
        setattr(module, field, value)
    with tempfile.TemporaryDirectory() as folder:
        check(options.times, options.seed, Path(folder))


if __name__ == "__main__":
    main()
