"""How far a build has come: told to the caller, and written down for every other process."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeAlias

from filelock import FileLock, Timeout

from alexnet_core.files import write_json
from analysis.workspace.registry import Workspace, WorkspaceError

FILE = "progress.json"
PAUSE = 0.2  # seconds between two reports
PATIENCE = 1.0  # seconds to wait for the lock: `read_progress` may hold it for a moment


class Progress(NamedTuple):
    """State of a running build; `done` / `total` never falls and is what a bar shows."""

    step: str  # for people, such as "Running the network: 1,024 of 5,000"
    done: int  # images, over all steps; the short steps at the end count for some
    total: int  # at least 1; `done` stays 0 while images are fetched, then the step tells how far
    seconds: float  # since the build began


Report: TypeAlias = Callable[[Progress], None]


class Reporter:
    """Counts the work of one build and passes it on, at most every `PAUSE` seconds."""

    def __init__(self, workspace: Workspace, report: Report | None) -> None:
        self._file, self._report = workspace.folder / FILE, report
        self._began = time.monotonic()
        self._told = self._began - PAUSE
        self._done, self._total = 0, 1

    def plan(self, total: int) -> None:
        """Say how much work all steps are together, in images."""
        self._total = max(1, total)

    def say(self, step: str, *, at_once: bool = True) -> None:
        """Report where the build is."""
        now = time.monotonic()
        if not at_once and now - self._told < PAUSE:
            return
        self._told = now
        progress = Progress(step, self._done, self._total, round(now - self._began, 2))
        write_json(self._file, progress._asdict(), durable=False)
        if self._report:
            self._report(progress)

    @contextmanager
    def step(self, text: str, work: int, *, done: int = 0, counted: bool = False) -> Iterator[Callable[[int], None]]:
        """One step of `work` images, of which some are done already; yields what to call with each few more.

        `counted` adds "1,024 of 5,000" to the text.
        """
        first = self._done

        def advance(images: int, *, at_once: bool = False) -> None:
            self._done += images
            self.say(f"{text}: {self._done - first:,} of {work:,}" if counted else text, at_once=at_once)

        advance(done, at_once=True)
        yield advance
        self._done = first + work


@contextmanager
def sole_builder(workspace: Workspace, report: Report | None = None) -> Iterator[Reporter]:
    """Holds a lock that the system frees when the process dies, however it dies; yields what reports.

    Raises ``WorkspaceError`` if another process, or thread, has it.
    """
    workspace.folder.mkdir(parents=True, exist_ok=True)
    try:
        with _lock(workspace, PATIENCE):
            try:
                yield Reporter(workspace, report)
            finally:
                (workspace.folder / FILE).unlink(missing_ok=True)
    except Timeout:
        raise WorkspaceError(
            f"The workspace {workspace.name!r} is being built by another process; wait for it to end."
        ) from None


def read_progress(workspace: Workspace) -> Progress | None:
    """How far the build of a workspace is, in whatever process it runs; ``None`` if none does."""
    file = workspace.folder / FILE
    if not file.exists() or not _being_built(workspace):
        return None  # without the lock the file was left by a process that was killed
    try:
        return Progress(**json.loads(file.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None  # it has just ended


def _being_built(workspace: Workspace) -> bool:
    try:
        with _lock(workspace, 0):
            return False
    except Timeout:
        return True


def _lock(workspace: Workspace, timeout: float) -> FileLock:
    """Beside the folder, so that the folder can be removed under it."""
    return FileLock(workspace.folder.with_name(f".{workspace.name}.lock"), timeout=timeout)
