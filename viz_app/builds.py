"""Builds of workspaces in the background: a process each, so that the app stays free; one after the other.

``python -m analysis.workspace build NAME`` does the work and survives being ended at any moment, so that a build that
the end of the app cut short is taken up by the next one.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock, Thread

from alexnet_core.paths import data_home
from analysis.workspace import Progress, WorkspaceError, find_workspace, read_progress
from viz_app.jobs import Job


@dataclass
class Build(Job):
    """One build, and what was asked for."""

    options: tuple[str, ...] = ()
    afterwards: Callable[[], None] | None = None


_builds: dict[str, Build] = {}
_asked: set[str] = set()
_guard = Lock()
_turn = Lock()


def start(workspace: str, *options: str, afterwards: Callable[[], None] | None = None) -> None:
    """Build this workspace, unless that is under way; `options` are those of the command.

    `afterwards` is called in another thread if all went well. After a failure the name alone tries the same again.
    """
    with _guard:
        if (before := _builds.get(workspace)) and before.running:
            return
        if before and before.failed and not options:
            options, afterwards = before.options, before.afterwards
        build = _builds[workspace] = Build(options=options, afterwards=afterwards)
    home = str(data_home().absolute())  # the process starts in another folder
    Thread(target=_run, args=(build, command(workspace, *options), home), daemon=True).start()


def command(workspace: str, *options: str) -> list[str]:
    """The command line that builds a workspace."""
    return [sys.executable, "-m", "analysis.workspace", "build", workspace, *options]


def start_once(workspace: str, *, needed: bool) -> None:
    """Build this workspace, if it is needed when it is first asked for: a removal is not undone unasked."""
    with _guard:
        first = workspace not in _asked
        _asked.add(workspace)
    if first and needed:
        start(workspace)


def names() -> list[str]:
    """Workspaces that this app has begun to build."""
    return list(_builds)


def is_running(workspace: str) -> bool:
    """Whether this app is building it."""
    return (build := _builds.get(workspace)) is not None and build.running


def last_error(workspace: str) -> str:
    """Why the last build of this workspace failed, in one sentence; empty if it did not."""
    build = _builds.get(workspace)
    return build.problem if build else ""


def progress_of(workspace: str) -> Progress | None:
    """How far the build of a workspace is, whoever runs it; ``None`` if nobody does."""
    try:
        written = read_progress(find_workspace(workspace))
    except WorkspaceError:  # not registered yet
        written = None
    build = _builds.get(workspace)
    if written or build is None or not build.running:
        return written
    return Progress(build.step, build.percent, 100, build.seconds)


def _run(build: Build, arguments: list[str], home: str) -> None:
    """Wait for the turn, then for the process."""
    with _turn:
        try:
            build.run(arguments, home)
            if build.afterwards and not build.failed:
                build.afterwards()
        except OSError as error:
            build.failed, build.said = True, f"It could not be finished: {error}."
        finally:
            build.running = False
