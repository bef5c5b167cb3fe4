"""Kills fits at random moments with SIGKILL: ``python -m tests.analysis.retrieval.kill_fit --times 20``.

The fit that goes on must find what one without a folder finds, and may add again no more vectors than a block has.
"""

import argparse
import os
import signal
import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from analysis.retrieval import Hits, Index, Tuning, codes
from analysis.retrieval.work import ADDING

KIND = "IVF8,SQ8"


def killed(features: NDArray[np.float32], work: Path, after: int, *, on_disk: bool) -> int:
    """Fit in another process, which is killed when it has added so many vectors; the signal that ended it."""
    if (child := os.fork()) == 0:
        index = Index(KIND, on_disk=on_disk)
        index.fit(features, work=work, progress=lambda phase, done, _: _kill(phase == ADDING and done >= after))
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _kill(now: bool) -> None:
    if now:
        os.kill(os.getpid(), signal.SIGKILL)


def check(times: int, seed: int, root: Path, *, on_disk: bool) -> None:
    """Raises ``SystemExit`` with one sentence at the first difference."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(1200, 8)).astype(np.float32)
    whole, index, work = Index(KIND).fit(features), Index(KIND, on_disk=on_disk), root / "work"
    expected = _found(whole, features)
    for after in np.sort(rng.integers(1, 1000, times)):
        if killed(features, work, int(after), on_disk=on_disk) != -signal.SIGKILL:
            raise SystemExit(f"The fit was not killed after {after} vectors.")
        added: list[int] = []
        kept = len(list((work / "unfinished").glob("0*.faiss")))
        print(f"killed after {after} vectors: {kept} blocks are kept")
        if kept < after // codes.BLOCK - 1:
            raise SystemExit(f"Only {kept} blocks are kept of {after} vectors.")
    index.fit(features, work=work, progress=lambda phase, done, _: added.append(done) if phase == ADDING else None)
    if min(added) <= kept * codes.BLOCK:
        raise SystemExit("What was kept was added again.")
    if sorted(index.codes_.rows) != list(range(len(features))) or index.codes_.index.ntotal != len(features):
        raise SystemExit("Not every vector is in the index once.")
    for mine, other in zip(_found(index, features), expected, strict=True):
        if (mine != other).any():
            raise SystemExit("What is found is not what a fit in one go finds.")
    index.save(root / "index")
    if list(work.iterdir()):
        raise SystemExit("Saving has left unfinished work.")
    opened = _found(Index.open(root / "index", features), features)
    if (opened.rows != expected.rows).any():
        raise SystemExit("What was saved does not find the same.")
    print("as if it had not been killed")


def _found(index: Index, features: NDArray[np.float32]) -> Hits:
    index.tuning_ = Tuning(effort=2, factor=3)  # or it depends on how quick the machine was
    return index.search(features[:50], 10)


def main() -> None:
    """Read the arguments and try."""
    parser = argparse.ArgumentParser(prog="python -m tests.analysis.retrieval.kill_fit")
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    codes.BLOCK = 128
    for on_disk in (False, True):
        with tempfile.TemporaryDirectory() as root:
            check(options.times, options.seed, Path(root), on_disk=on_disk)


if __name__ == "__main__":
    main()
