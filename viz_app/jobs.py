"""A command beside the app: a process of its own, so that pages stay free; it ends when cancelled, or with the app."""

import atexit
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock, Thread

from alexnet_core.paths import data_home

ROOT = Path(__file__).resolve().parents[1]  # where `python -m analysis....` finds its packages
NICENESS = 10  # pages come first
BAR = re.compile(r"(?P<step>[^|]+): +(?P<percent>\d+)%\|")  # a progress bar of tqdm


@dataclass
class Job:
    """One run of a command: since when, what it printed last, and how it ended."""

    started: float = field(default_factory=time.monotonic)
    step: str = "Waiting for its turn"  # of its progress bar
    percent: int = 0
    said: str = ""  # its last line that is no bar
    running: bool = True
    failed: bool = False
    cancelled: bool = False
    process: subprocess.Popen[str] | None = None

    @property
    def seconds(self) -> float:
        """Since it was asked for."""
        return time.monotonic() - self.started

    @property
    def problem(self) -> str:
        """Why it failed, in one sentence; empty if it did not."""
        if not self.failed:
            return ""
        return self.said or "The process that did it was ended from outside; what it had done is kept."

    def run(self, arguments: Sequence[str], home: str) -> None:
        """Start the command and listen to it until it ends; `home` is the data home it works in."""
        self.step = "Starting"
        try:
            self.failed = self._listen(arguments, home) != 0 and not self.cancelled
        except OSError as error:
            self.failed, self.said = True, f"It could not be started: {error}."

    def cancel(self) -> None:
        """End the process now, or as soon as it starts."""
        self.cancelled = True
        if self.process:
            self.process.terminate()

    def _listen(self, arguments: Sequence[str], home: str) -> int:
        """The exit status of the process; its last bar and its last sentence are kept."""
        environment = os.environ | {"ALEXNET_HOME": home, "PYTHONUNBUFFERED": "1"}
        with subprocess.Popen(
            arguments,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        ) as self.process:
            _processes.add(self.process)
            _step_back(self.process.pid)
            if self.cancelled:  # while it was being started
                self.process.terminate()
            for line in self.process.stderr or ():  # universal newlines: each state of a bar is a line
                if bar := BAR.match(line):
                    self.step, self.percent = bar["step"].strip(), int(bar["percent"])
                elif line.strip():
                    self.said = line.strip()
        _processes.discard(self.process)
        return self.process.returncode


_jobs: dict[str, Job] = {}
_processes: set[subprocess.Popen[str]] = set()
_guard = Lock()
_turn = Lock()


def start(key: str, module: str, *options: str) -> None:
    """Run ``python -m module options`` when it is its turn, unless the job of that key is under way."""
    with _guard:
        if (before := _jobs.get(key)) and before.running:
            return
        job = _jobs[key] = Job()
    arguments = [sys.executable, "-m", module, *options]
    Thread(target=_run, args=(job, arguments, str(data_home().absolute())), daemon=True).start()


def find(key: str) -> Job | None:
    """The job of that key that was started last; ``None`` if there was none, or it was cancelled."""
    return _jobs.get(key)


def cancel(key: str) -> None:
    """End the job of that key and forget it."""
    if job := _jobs.pop(key, None):
        job.cancel()


def _run(job: Job, arguments: list[str], home: str) -> None:
    with _turn:
        try:
            if not job.cancelled:
                job.run(arguments, home)
        finally:
            job.running = False


def _step_back(pid: int) -> None:
    if hasattr(os, "setpriority"):
        os.setpriority(os.PRIO_PROCESS, pid, NICENESS)


@atexit.register
def _end_with_the_app() -> None:
    for process in tuple(_processes):
        process.terminate()
