"""Makes, builds and removes workspaces; one builder at a time, and an interrupted one leaves nothing half done."""

import shutil
from dataclasses import replace
from pathlib import Path

import torch

from alexnet_core.checkpoint import load_checkpoint
from alexnet_core.data import fetch, list_datasets, open_dataset
from alexnet_core.paths import datasets_dir
from alexnet_core.store import ImageStore
from analysis.workspace.artefacts import check_fit, read_card
from analysis.workspace.making import Build
from analysis.workspace.progress import Report, sole_builder
from analysis.workspace.registry import (
    BUILT_IN,
    Workspace,
    WorkspaceError,
    checkpoint_place,
    find_workspace,
    is_registered,
    open_images,
    register,
    workspace_folder,
)

RECIPES = {"tiny-imagenet-64": "tiny-imagenet"}  # data sets that are published somewhere


def create_workspace(
    name: str,
    *,
    checkpoint: str,
    dataset: str | None = None,
    images: Path | None = None,
    home: Path | None = None,
    progress: bool = True,
) -> Workspace:
    """Register the user's own workspace: for the built store `dataset`, or for `images`, a folder with one subfolder
    of photographs per class (or an archive of one), which is read into a store called `name`.

    Called again with the same arguments it goes on where it was interrupted. `progress` shows bars on stderr.
    Raises ``WorkspaceError`` if the name is taken, or if checkpoint, data set or images cannot be used.
    """
    if (dataset is None) == (images is None):
        raise WorkspaceError(f"Workspace {name!r} must be made of a data set or of a folder of images, one of the two.")
    workspace = Workspace(
        name=name,
        folder=workspace_folder(name, home),
        checkpoint=checkpoint,
        dataset=dataset or name,
        title=name,
        source=images.expanduser().resolve() if images else None,
    )
    _check_name(workspace)
    card = read_card(workspace)
    with sole_builder(workspace):
        register(workspace)  # first: after an interruption its name is enough to go on
        try:
            check_fit(card, _images(workspace, None, progress), workspace)
        except WorkspaceError:
            shutil.rmtree(workspace.folder)
            raise
    return find_workspace(name, home)


def build_workspace(
    name: str,
    *,
    images: Path | None = None,
    home: Path | None = None,
    report: Report | None = None,
    device: torch.device | None = None,
    progress: bool = False,
) -> Workspace:
    """Compute what is missing or stale of a workspace, and nothing else; interrupted, the next call goes on.

    Images that are not there are fetched first, from `images` (archive or folder) or from where they are published;
    `progress` shows bars of that on stderr. `report` is called about five times a second afterwards. On the same
    machine predictions and features come out the same to the bit. Raises ``WorkspaceError``, one sentence, if the
    workspace cannot be built or is being built by another process.
    """
    workspace = find_workspace(name, home)
    read_card(workspace)
    with sole_builder(workspace, report) as reporter:
        store = _images(workspace, images, progress)
        workspace = find_workspace(name, home)  # now with the splits of a store that was just read
        try:
            checkpoint = load_checkpoint(checkpoint_place(workspace))
            check_fit(checkpoint.card, store, workspace)
            Build.plan(workspace, store, checkpoint, device or torch.device("cpu")).run(reporter)
        except (ValueError, OSError) as error:
            raise error if isinstance(error, WorkspaceError) else WorkspaceError(str(error)) from error
    return workspace


def remove_workspace(name: str, *, home: Path | None = None) -> int:
    """Delete what was computed; of one's own workspace also the registration and, if they were read for it, the
    images. Returns the bytes freed. Raises ``WorkspaceError`` while it is being built."""
    workspace = find_workspace(name, home)
    with sole_builder(workspace):
        folders = [workspace.folder, *([own] if (own := own_images(workspace)) else [])]
        freed = sum(file.stat().st_size for folder in folders for file in folder.rglob("*") if file.is_file())
        for folder in folders:
            shutil.rmtree(folder)
    return freed


def own_images(workspace: Workspace) -> Path | None:
    """Folder of the image store that was read for this workspace, and goes with it; ``None`` if it has none."""
    folder = datasets_dir(workspace.home) / workspace.dataset
    return folder if workspace.source and folder.is_dir() else None


def _check_name(workspace: Workspace) -> None:
    """Raises ``WorkspaceError`` unless the name is free, or registered for just the same."""
    name = workspace.name
    if name in BUILT_IN:
        raise WorkspaceError(f"{name!r} comes with the code; choose another name for your own workspace.")
    if is_registered(workspace):
        found = find_workspace(name, workspace.home)
        if replace(found, splits=()) != workspace:
            made_of = found.source or found.dataset
            raise WorkspaceError(
                f"Workspace {name!r} exists already, made of {made_of} and checkpoint {found.checkpoint!r}; "
                "remove it first or choose another name."
            )
    elif workspace.source and workspace.dataset in list_datasets(workspace.home):
        raise WorkspaceError(
            f"A data set is called {name!r} already; choose another name, or make it of --dataset {name}."
        )


def _images(workspace: Workspace, given: Path | None, progress: bool) -> ImageStore:
    """The images of a workspace, read or downloaded if they are not there. Raises ``WorkspaceError``."""
    source, recipe = given or workspace.source, RECIPES.get(workspace.dataset)
    try:
        store = open_dataset(workspace.dataset, workspace.home)
    except FileNotFoundError:
        if not source and not recipe:
            return open_images(workspace)  # which says what is missing
        store = _fetched(workspace, recipe or "folder", source, progress)
    except ValueError as error:
        raise WorkspaceError(str(error)) from error
    if not workspace.splits:
        register(replace(workspace, splits=tuple(store.splits)))
    return store


def _fetched(workspace: Workspace, recipe: str, source: Path | None, progress: bool) -> ImageStore:
    size = read_card(workspace)["preprocess"]["source_size"]
    try:
        return fetch(recipe, source, home=workspace.home, size=size, name=workspace.dataset, progress=progress)
    except (ValueError, OSError) as error:
        raise WorkspaceError(str(error)) from error
