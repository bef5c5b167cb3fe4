"""Background builds run once, one after the other, tell how far they are, and say why they failed."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest

from viz_app import builds
from viz_app.builds import start  # before the fixture puts a recorder in its place

WAIT = 20.0  # seconds that a process may take to start on a busy machine


def scripted(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Let builds run this script in the place of the command."""
    monkeypatch.setattr(builds, "command", lambda *words: [sys.executable, "-c", script, *words])


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def ended(name: str) -> None:
    wait_for(lambda: not builds.is_running(name))


def test_the_command_is_the_one_that_the_pages_show() -> None:
    assert builds.command("prism")[1:] == ["-m", "analysis.workspace", "build", "prism"]


def test_a_build_runs_in_the_app_s_data_home_whatever_folder_it_starts_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scripted(monkeypatch, "import os, sys; sys.exit(os.environ['ALEXNET_HOME'])")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ALEXNET_HOME", "relative")
    start("prism")
    ended("prism")
    assert builds.last_error("prism") == str(tmp_path / "relative")


def test_a_build_that_runs_is_not_started_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    log, stop = tmp_path / "log", tmp_path / "stop"
    scripted(
        monkeypatch,
        f"import pathlib, time\nwith open({str(log)!r}, 'a') as file: file.write('x')\n"
        f"while not pathlib.Path({str(stop)!r}).exists(): time.sleep(0.01)",
    )
    for _ in range(5):
        start("prism")
    wait_for(log.exists)
    start("prism")
    stop.touch()
    ended("prism")
    assert log.read_text() == "x"
    assert builds.last_error("prism") == ""


def test_two_workspaces_are_built_one_after_the_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    log = tmp_path / "log"
    scripted(
        monkeypatch,
        f"import time\nfor word in 'ab':\n  open({str(log)!r}, 'a').write(word)\n  time.sleep(0.2)",
    )
    for name in ("one", "two"):
        start(name)
    ended("one")
    ended("two")
    assert log.read_text() == "abab"


def test_the_app_itself_tries_once_only(started: list[tuple[str, ...]]) -> None:
    for _ in range(3):
        builds.start_once("prism", needed=True)
    assert started == [("prism",)]


def test_what_was_there_at_first_and_is_removed_is_not_built_unasked(started: list[tuple[str, ...]]) -> None:
    builds.start_once("prism", needed=False)
    builds.start_once("prism", needed=True)
    assert started == []


def test_a_failure_is_told_in_the_command_s_own_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, "import sys; print('warning', file=sys.stderr); sys.exit('The disk is full.')")
    start("prism")
    ended("prism")
    assert builds.last_error("prism") == "The disk is full."
    assert builds.progress_of("prism") is None


def test_a_process_that_is_killed_silently_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    start("prism")
    ended("prism")
    assert "ended from outside" in builds.last_error("prism")


def test_a_command_that_cannot_be_started_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builds, "command", lambda *words: ["/no/such/program"])
    start("prism")
    ended("prism")
    assert "could not be started" in builds.last_error("prism")


def test_bars_on_the_screen_of_the_command_become_progress(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stop = tmp_path / "stop"
    scripted(
        monkeypatch,
        "import pathlib, sys, time\nfrom tqdm import tqdm\n"
        "bar = tqdm(None, 'tiny.zip', 200, unit='B', unit_scale=True, mininterval=0)\nbar.update(50)\nbar.update(50)\n"
        f"while not pathlib.Path({str(stop)!r}).exists(): bar.refresh(); time.sleep(0.05)",
    )
    start("tiny-imagenet")
    wait_for(lambda: (now := builds.progress_of("tiny-imagenet")) and now.done == 50)
    progress = builds.progress_of("tiny-imagenet")
    assert progress is not None
    assert (progress.step, progress.total) == ("tiny.zip", 100)
    stop.touch()
    ended("tiny-imagenet")


@pytest.mark.parametrize(("status", "called"), [(0, True), (1, False)])
def test_what_follows_a_build_happens_only_if_it_went_well(
    monkeypatch: pytest.MonkeyPatch, status: int, called: bool
) -> None:
    done = Event()
    scripted(monkeypatch, f"raise SystemExit({status})")
    start("mine", afterwards=done.set)
    ended("mine")
    assert done.is_set() is called


def test_a_build_that_succeeds_forgets_an_earlier_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, "raise SystemExit(1)")
    start("prism")
    ended("prism")
    scripted(monkeypatch, "")
    start("prism")
    ended("prism")
    assert builds.last_error("prism") == ""


def test_after_a_failure_the_name_alone_tries_the_same_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    done, log = Event(), tmp_path / "log"
    scripted(monkeypatch, f"import sys; open({str(log)!r}, 'a').write(' '.join(sys.argv[1:]) + ';'); sys.exit(1)")
    start("mine", "--from", "photos", afterwards=done.set)
    ended("mine")
    start("mine")
    ended("mine")
    assert log.read_text() == "mine --from photos;" * 2
    assert not done.is_set()
    scripted(monkeypatch, "")
    start("mine")
    ended("mine")
    assert done.is_set()
