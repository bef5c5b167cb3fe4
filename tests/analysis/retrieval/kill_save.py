"""Kills saves at random moments with SIGKILL: ``python -m tests.analysis.retrieval.kill_save --times 20``.

After each kill the index that opens must be, whole, the one that was there or the one that was being saved, and a save
after it must leave nothing else.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch

from analysis.retrieval import Index
from tests.analysis.workspace.kill_workspace import run_apart


def check(times: int, seed: int, folder: Path) -> None:
    """Raises ``SystemExit`` with one sentence at the first difference."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(2000, 64)).astype(np.float32)
    indexes = {kind: Index(kind).fit(features) for kind in ("SQ8", "PCA32,SQfp16")}
    expected = {kind: index.search(features[:5], 10) for kind, index in indexes.items()}
    indexes["SQ8"].save(folder)
    seconds = run_apart(indexes["SQ8"].save, folder, None)
    for number in range(times):
        kind, moment = list(indexes)[number % 2], float(rng.uniform(0, 1.1 * seconds))
        run_apart(indexes[kind].save, folder, moment)
        opened = Index.open(folder, features)
        if (opened.search(features[:5], 10).rows != expected[opened.kind].rows).any():
            raise SystemExit(f"Killed after {moment:.4f} s: {opened.kind} is not as it was saved.")
        print(f"killed after {moment:.4f} of {seconds:.4f} s while saving {kind}: {opened.kind} opens")
    indexes["SQ8"].save(folder)
    if len(left := sorted(file.name for file in folder.iterdir())) != 3:
        raise SystemExit(f"More is left than one index: {left}.")


def main() -> None:
    """Read the arguments and try."""
    parser = argparse.ArgumentParser(prog="python -m tests.analysis.retrieval.kill_save")
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as root:
        check(options.times, options.seed, Path(root) / "index")


if __name__ == "__main__":
    main()
