"""A command beside the app runs once, waits for its turn, tells what it is at, and can be ended at any time."""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from viz_app import jobs

WAIT = 20.0  # seconds that a process may take to start on a busy machine


@pytest.fixture(autouse=True)
def no_others(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No job of another test is known, and none is left running."""
    monkeypatch.setattr(jobs, "_jobs", {})
    yield
    for key in list(jobs._jobs):
        jobs.cancel(key)


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], str]:
    """Maker of modules that a job can run."""
    monkeypatch.setattr(jobs, "ROOT", tmp_path)

    def make(script: str, name: str = "work") -> str:
        (tmp_path / f"{name}.py").write_text(script)
        return name

    return make


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def job(key: str) -> jobs.Job:
    found = jobs.find(key)
    assert found is not None
    return found


def ended(key: str) -> jobs.Job:
    found = job(key)
    wait_for(lambda: not found.running)
    return found


def test_a_job_runs_in_the_app_s_data_home_with_its_options(module, monkeypatch, tmp_path):
    script = (
        "import os, pathlib, sys\n"
        "pathlib.Path('told').write_text(' '.join([os.environ['ALEXNET_HOME'], *sys.argv[1:]]))"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ALEXNET_HOME", "relative")
    jobs.start("a", module(script), "--seed", "3")
    assert not ended("a").failed
    assert (tmp_path / "told").read_text() == f"{tmp_path / 'relative'} --seed 3"


def test_what_it_printed_last_is_its_phase(module, tmp_path):
    jobs.start("a", module("import sys, time\nprint('Placing ...', file=sys.stderr, flush=True)\ntime.sleep(60)"))
    wait_for(lambda: job("a").said == "Placing ...")
    assert job("a").running
    assert job("a").seconds > 0


def test_a_cancelled_job_ends_at_once_and_is_forgotten(module):
    jobs.start("a", module("import sys, time\nprint('on', file=sys.stderr, flush=True)\ntime.sleep(60)"))
    found = job("a")
    wait_for(lambda: found.said == "on")
    jobs.cancel("a")
    assert jobs.find("a") is None
    wait_for(lambda: not found.running)
    assert not found.failed
    assert found.process is not None
    assert found.process.returncode != 0


def test_a_job_that_is_cancelled_while_it_waits_never_starts(module, tmp_path):
    jobs.start("first", module("import time; time.sleep(60)"))
    jobs.start("second", module(f"open({str(tmp_path / 'ran')!r}, 'w')", "other"))
    waiting = job("second")
    wait_for(lambda: job("first").process)
    assert waiting.step == "Waiting for its turn"
    jobs.cancel("second")
    jobs.cancel("first")
    wait_for(lambda: not waiting.running)
    assert not (tmp_path / "ran").exists()


def test_a_job_that_is_cancelled_while_it_starts_is_ended(module, monkeypatch):
    found = []

    def cancelled(pid):
        found.append(job("a"))
        jobs.cancel("a")

    monkeypatch.setattr(jobs, "_step_back", cancelled)
    began = time.monotonic()
    jobs.start("a", module("import time; time.sleep(60)"))
    wait_for(lambda: found and not found[0].running)
    assert time.monotonic() - began < 60


def test_a_job_that_runs_is_not_started_again(module):
    name = module("import time; time.sleep(60)")
    jobs.start("a", name)
    first = job("a")
    jobs.start("a", name)
    assert job("a") is first


def test_after_a_failure_it_tells_why_and_can_be_started_again(module):
    jobs.start("a", module("import sys; sys.exit('There are no features.')"))
    assert ended("a").problem == "There are no features."
    jobs.start("a", module("", "other"))
    assert ended("a").problem == ""


def test_a_process_that_is_killed_silently_is_told_too(module):
    jobs.start("a", module("import os, signal; os.kill(os.getpid(), signal.SIGKILL)"))
    assert "ended from outside" in ended("a").problem


def test_a_command_that_cannot_be_started_is_a_failure(module, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/no/such/program")
    jobs.start("a", module(""))
    assert "could not be started" in ended("a").problem
