"""Progress is seen by other processes, never falls, and does not outlive its build."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from analysis.workspace import progress as module
from analysis.workspace.progress import FILE, Progress, read_progress, sole_builder
from analysis.workspace.registry import Workspace, WorkspaceError


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(name="mine", folder=tmp_path / "mine", checkpoint="c", dataset="d", title="t")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.05)


def test_what_is_reported_can_be_read_until_the_build_ends(workspace: Workspace) -> None:
    told: list[Progress] = []
    assert read_progress(workspace) is None
    with sole_builder(workspace, told.append) as reporter:
        reporter.plan(200)
        with reporter.step("Looking", 150, done=50, counted=True) as advance:
            assert read_progress(workspace) == told[-1]
            assert told[-1][:3] == ("Looking: 50 of 150", 50, 200)
            advance(100)
        with reporter.step("Packing", 50):
            assert told[-1][:3] == ("Packing", 150, 200)
    assert read_progress(workspace) is None
    assert not (workspace.folder / FILE).exists()


def test_it_never_falls_and_is_told_at_most_five_times_a_second(workspace: Workspace) -> None:
    told: list[Progress] = []
    began = time.monotonic()
    with sole_builder(workspace, told.append) as reporter:
        reporter.plan(10_000)
        for _ in range(2):
            with reporter.step("Step", 5000) as advance:
                for _ in range(5000):
                    advance(1)
    done = [progress.done for progress in told]
    assert done == sorted(done)
    assert 2 <= len(told) <= 3 + 5 * (time.monotonic() - began)


def test_a_second_builder_is_refused(workspace: Workspace) -> None:
    with (
        sole_builder(workspace),
        pytest.raises(WorkspaceError, match="built by another process"),
        sole_builder(workspace),
    ):
        pass
    with sole_builder(workspace):
        pass


def test_a_killed_builder_leaves_neither_progress_nor_lock(workspace: Workspace) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from analysis.workspace.progress import sole_builder; from analysis.workspace.registry import Workspace\n"
        f"w = Workspace(name='mine', folder=Path({str(workspace.folder)!r}), checkpoint='c', dataset='d', title='t')\n"
        "with sole_builder(w) as reporter:\n"
        "    reporter.say('Working')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[3], check=False)
    assert (workspace.folder / FILE).exists()
    assert read_progress(workspace) is None
    with sole_builder(workspace):
        pass


def test_a_torn_file_is_no_progress(workspace: Workspace) -> None:
    with sole_builder(workspace):
        (workspace.folder / FILE).write_text('{"step":')
        assert read_progress(workspace) is None
