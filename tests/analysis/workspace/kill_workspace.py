"""Kills builds at random moments with SIGKILL: ``python -m tests.analysis.workspace.kill_workspace --times 20``.

After each kill nothing that the readers give out may differ from an undisturbed build, and the next build must end
with the same bytes. Two kinds take turns: one's own photographs (read, registered, judged by a linear head) and a
workspace that is rebuilt because its checkpoint was replaced.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import analysis.workspace.head_fit  # noqa: F401  imported before the children are made, so that they need not
from alexnet_core.paths import checkpoints_dir
from analysis.workspace import build_workspace, create_workspace, find_workspace, state_of, verify_workspace
from analysis.workspace.artefacts import FILES
from tests.analysis.workspace.small_world import SMALL, content_of, small_checkpoint, small_photos, small_store

NAME = "mine"


def build_own(home: Path) -> None:
    """From a folder of photographs to a whole workspace."""
    photos = home.parent / "photos"
    create_workspace(NAME, checkpoint="tiny", images=photos, home=home, progress=False)
    build_workspace(NAME, home=home)


def rebuild(home: Path) -> None:
    """A workspace of another checkpoint's, brought up to date."""
    build_workspace(NAME, home=home)


def prepare(root: Path) -> dict[str, tuple[Path, Callable[[Path], None]]]:
    """The data homes from which each kind starts, and what is killed."""
    small_photos(root / "photos")
    small_checkpoint(root / "own", "tiny")
    small_checkpoint(root / "stale", "tiny", seed=1)
    small_store(root / "stale", "set")
    create_workspace(NAME, checkpoint="tiny", dataset="set", home=root / "stale")
    build_workspace(NAME, home=root / "stale")
    shutil.rmtree(checkpoints_dir(root / "stale"))
    small_checkpoint(root / "stale", "tiny")
    return {"own": (root / "own", build_own), "stale": (root / "stale", rebuild)}


def run_apart(work: Callable[[Path], None], home: Path, after: float | None) -> float:
    """Do it in another process, killed after so many seconds; returns the seconds it ran."""
    began = time.monotonic()
    if (child := os.fork()) == 0:
        try:
            work(home)
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
    if after is not None:
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    if after is None and status:
        raise SystemExit(f"The build in {home} failed.")
    return time.monotonic() - began


def contents(home: Path) -> dict[str, bytes]:
    """The content of every fresh artefact."""
    workspace = find_workspace(NAME, home)
    fresh = [name for name, found in state_of(workspace).artefacts.items() if found.status == "fresh"]
    return {name: content_of(workspace.folder / FILES[name]) for name in fresh}


def check(times: int, seed: int, root: Path) -> None:
    """Raises ``SystemExit`` with one sentence at the first difference."""
    rng = np.random.default_rng(seed)
    kinds = {}
    for kind, (start, work) in prepare(root).items():
        whole = shutil.copytree(start, root / f"{kind}-whole")
        seconds = run_apart(work, whole, None)
        kinds[kind] = (start, work, seconds, contents(whole))
    for number in range(times):
        kind = list(kinds)[number % len(kinds)]
        start, work, seconds, expected = kinds[kind]
        home = shutil.copytree(start, root / f"{kind}-{number}")
        moment = float(rng.uniform(0, 1.1 * seconds))
        run_apart(work, home, moment)
        found = contents(home) if (home / "workspaces" / NAME / "workspace.json").exists() else {}
        if wrong := [name for name in found if found[name] != expected[name]]:
            raise SystemExit(f"{kind}, killed after {moment:.3f} s: {wrong} passed for fresh and are not.")
        run_apart(work, home, None)
        if (again := contents(home)) != expected or verify_workspace(NAME, home=home):
            wrong = [name for name in expected if again.get(name) != expected[name]]
            raise SystemExit(f"{kind}, killed after {moment:.3f} s: {wrong} differ from an undisturbed build.")
        print(f"{kind}: killed after {moment:.3f} of {seconds:.3f} s with {len(found)} of {len(expected)} artefacts")
        shutil.rmtree(home)


def main() -> None:
    """Read the arguments and try."""
    parser = argparse.ArgumentParser(prog="python -m tests.analysis.workspace.kill_workspace")
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
