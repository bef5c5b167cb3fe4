"""Which workspaces there are: one checkpoint and one labelled image set each, and a folder for what comes of them."""

import json
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from alexnet_core.checkpoint import SHIPPED
from alexnet_core.data import list_datasets, open_dataset
from alexnet_core.files import write_json
from alexnet_core.paths import checkpoints_dir, data_home, workspaces_dir
from alexnet_core.store import ImageStore

REGISTRATION = "workspace.json"


class WorkspaceError(ValueError):
    """A workspace that cannot be found, built or read; the message is one sentence that says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """A checkpoint, an image store, and the folder that holds what was computed from the two."""

    name: str
    folder: Path  # <data home>/workspaces/<name>; need not exist yet
    checkpoint: str  # what `load_checkpoint` takes
    dataset: str  # name of an image store
    title: str  # for people
    splits: tuple[str, ...] = ()  # of the store, in gallery order; () until the store has been read
    source: Path | None = None  # folder or archive that the workspace's own store was, or will be, read from

    @property
    def home(self) -> Path:
        """The data home it lies in."""
        return self.folder.parent.parent

    @property
    def built_in(self) -> bool:
        """Whether it comes with the code."""
        return self.name in BUILT_IN


BUILT_IN = {
    row.name: row
    for row in (
        Workspace(
            name="prism",
            folder=Path(),
            checkpoint="prism-127",
            dataset="prism-128",
            title="Prism: shapes and hues, rendered here",
            splits=("val",),
        ),
        Workspace(
            name="tiny-imagenet",
            folder=Path(),
            checkpoint="tiny-imagenet-127",
            dataset="tiny-imagenet-64",
            title="Tiny ImageNet: 200 classes of photographs",
            splits=("train", "val"),
        ),
    )
}


def list_workspaces(home: Path | None = None) -> list[Workspace]:
    """Those that come with the code, then the user's own in order of their names; built or not."""
    found = [find_workspace(name, home) for name in BUILT_IN]
    for name in _registered(home):
        with suppress(WorkspaceError):  # one that is damaged must not hide the others
            found.append(find_workspace(name, home))
    return found


def find_workspace(name: str, home: Path | None = None) -> Workspace:
    """The workspace of that name. Raises ``WorkspaceError`` if there is none or its registration is damaged."""
    folder = workspace_folder(name, home)
    if name in BUILT_IN:
        return replace(BUILT_IN[name], folder=folder)
    file = folder / REGISTRATION
    if not file.exists():
        raise WorkspaceError(f"There is no workspace {name!r}; choose from {[*BUILT_IN, *_registered(home)]}.")
    try:
        values: dict[str, Any] = json.loads(file.read_bytes())
        return Workspace(
            name=name,
            folder=folder,
            checkpoint=str(values["checkpoint"]),
            dataset=str(values["dataset"]),
            title=str(values["title"]),
            splits=tuple(map(str, values["splits"])),
            source=Path(values["source"]) if values["source"] else None,
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WorkspaceError(f"{file} is damaged ({error!r}); delete {folder} and make it again.") from error


def default_workspace(home: Path | None = None) -> Workspace:
    """``tiny-imagenet`` where its images are, else ``prism``, which needs no download."""
    photographs = find_workspace("tiny-imagenet", home)
    return photographs if photographs.dataset in list_datasets(home) else find_workspace("prism", home)


def is_registered(workspace: Workspace) -> bool:
    """Whether a user's own workspace of that name has been written down."""
    return (workspace.folder / REGISTRATION).exists()


def register(workspace: Workspace) -> None:
    """Write the user's own workspace down, so that `find_workspace` knows it."""
    workspace.folder.mkdir(parents=True, exist_ok=True)
    content = {
        "checkpoint": workspace.checkpoint,
        "dataset": workspace.dataset,
        "title": workspace.title,
        "splits": list(workspace.splits),
        "source": str(workspace.source) if workspace.source else None,
    }
    write_json(workspace.folder / REGISTRATION, content)


def workspace_folder(name: str, home: Path | None = None) -> Path:
    """Where a workspace of that name lies. Raises ``WorkspaceError`` for a name that cannot be a folder's."""
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise WorkspaceError(f"A workspace's name must be letters, digits, '-', '_' and '.', got {name!r}.")
    return workspaces_dir(home or data_home()).resolve() / name


def open_images(workspace: Workspace) -> ImageStore:
    """Its image store. Raises ``WorkspaceError`` where the images are not there, with the command that gets them."""
    try:
        return open_dataset(workspace.dataset, workspace.home)
    except FileNotFoundError:
        raise WorkspaceError(
            f"The images of {workspace.title!r} are not there; run: python -m analysis.workspace build {workspace.name}"
        ) from None
    except ValueError as error:
        raise WorkspaceError(str(error)) from error


def checkpoint_place(workspace: Workspace) -> str | Path:
    """What `load_checkpoint` takes to find the checkpoint in this workspace's data home as well."""
    own = checkpoints_dir(workspace.home) / f"{workspace.checkpoint}.json"
    shipped = SHIPPED / f"{workspace.checkpoint}.json"
    return own if own.exists() and not shipped.exists() else workspace.checkpoint


def _registered(home: Path | None) -> list[str]:
    """Names of the user's own workspaces, in order."""
    names = (file.parent.name for file in workspaces_dir(home).glob(f"*/{REGISTRATION}"))
    return sorted(name for name in names if name not in BUILT_IN)
