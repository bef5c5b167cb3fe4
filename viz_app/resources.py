"""Everything the pages share and keep: the only module with Streamlit caches.

Keys are names, checkpoint ids and content hashes, never pixels or tensors: Streamlit samples large arrays.
"""

import gc
from pathlib import Path

import numpy as np
import streamlit as st
import torch
from numpy.typing import NDArray
from torch import Tensor

from alexnet_core import Checkpoint, list_checkpoints, load_checkpoint
from alexnet_core.paths import datasets_dir
from alexnet_core.predict import probabilities
from alexnet_core.store import ImageStore
from analysis.activations import Activations, Maps, read_activations
from analysis.attribution import LAST_MAPS, class_evidence
from analysis.kernels import (
    KernelIndices,
    Snapshots,
    first_layer_kernels,
    knows_learned_part,
    load_snapshots,
    measure_kernels,
)
from analysis.lesion import STAGES, unit_means
from analysis.towers import ChromaCourse, TowerResult, chroma_course, measure_indices, tower_labels
from analysis.workspace import (
    Head,
    Workspace,
    WorkspaceError,
    default_workspace,
    find_workspace,
    list_workspaces,
    open_head,
    open_images,
)
from viz_app.figures.image import Board, Scale, lay_out
from viz_app.folders import Folder, look_through
from viz_app.samples import Gallery, gallery
from viz_app.switches import Stock, Switches, donor_of, guesses_with_and_without
from viz_app.uploads import Photo, Picture, jpeg, read_picture, recoloured

CHECKPOINT_ONLY = " (checkpoint only)"  # after the name of a checkpoint that no workspace uses

torch.set_num_threads(1)  # a second thread gains little for one photo, and on a busy machine it loses much


@st.cache_resource(show_spinner="Loading the network ...", max_entries=2)
def checkpoint_named(name: str) -> Checkpoint:
    """One network for all sessions, read-only: never train(), hook or change it."""
    checkpoint = load_checkpoint(name)
    gc.collect()
    gc.freeze()  # Streamlit collects garbage after every run: 0.15 s, were all that is loaded by now searched again
    return checkpoint


def workspace_choices() -> list[str]:
    """Names of all workspaces, the default one first, then of the checkpoints that none of them uses."""
    workspaces = list_workspaces()
    used = {workspace.checkpoint for workspace in workspaces}
    alone = [f"{name}{CHECKPOINT_ONLY}" for name in list_checkpoints() if name not in used]
    return list(dict.fromkeys([default_workspace().name, *(workspace.name for workspace in workspaces), *alone]))


def current_workspace() -> Workspace | None:
    """The workspace chosen in the sidebar, or the default one; ``None`` where a checkpoint alone was chosen."""
    name = st.session_state.get("workspace") or default_workspace().name
    return None if name.endswith(CHECKPOINT_ONLY) else find_workspace(name)


def current_checkpoint() -> Checkpoint:
    """The checkpoint of the workspace, or the one chosen alone."""
    workspace = current_workspace()
    return checkpoint_named(
        workspace.checkpoint if workspace else st.session_state.workspace.removesuffix(CHECKPOINT_ONLY)
    )


@st.cache_resource(show_spinner=False, max_entries=4)
def conv1_snapshots(checkpoint_id: str, _checkpoint: Checkpoint) -> Snapshots | None:
    """The first layer over training, read-only; ``None`` where none was kept. Raises ``ValueError`` if damaged."""
    return load_snapshots(_checkpoint)


@st.cache_resource(show_spinner=False, max_entries=128)
def conv1_kernels(
    checkpoint_id: str, step: int | None, learned: bool, _checkpoint: Checkpoint
) -> tuple[NDArray[np.float32], KernelIndices]:
    """First-layer kernels and their indices, read-only: finished or at a step, whole or the learned part."""
    snapshots = conv1_snapshots(checkpoint_id, _checkpoint) if step is not None or learned else None
    kernels = first_layer_kernels(_checkpoint, snapshots, step=step, learned=learned)
    return kernels, measure_kernels(kernels)


@st.cache_data(show_spinner=False, max_entries=128)
def conv1_towers(checkpoint_id: str, step: int | None, learned: bool, _checkpoint: Checkpoint) -> TowerResult:
    """The comparison of the two towers, with a fixed seed so that every visit reads the same numbers."""
    kernels, indices = conv1_kernels(checkpoint_id, step, learned, _checkpoint)
    return measure_indices(indices, tower_labels(len(kernels), 2), np.random.default_rng(0))


@st.cache_data(show_spinner=False, max_entries=4)
def conv1_course(checkpoint_id: str, _checkpoint: Checkpoint) -> ChromaCourse:
    """Chroma of the towers over training. Raises ``ValueError`` where the kernels of step 0 were not kept."""
    snapshots = conv1_snapshots(checkpoint_id, _checkpoint)
    if not knows_learned_part(snapshots):
        raise ValueError("The kernels of step 0 were not kept, so what was learned cannot be told from noise.")
    return chroma_course(snapshots, _checkpoint.model.config.towers)


@st.cache_resource(show_spinner=False, max_entries=24)
def picture_of(sha256: str, source_size: int, _photo: Photo) -> Picture:
    """A photo made ready, read-only. Raises ``ImageError`` with one plain sentence, which is not kept."""
    return read_picture(_photo.data, source_size)


@st.cache_resource(show_spinner=False, max_entries=24)
def activations_of(
    checkpoint_id: str, sha256: str, colours: str, degrees: int, _checkpoint: Checkpoint, _photo: Photo
) -> Activations:
    """All stages for the central crop of a photo in its own colours, in grey or with turned hues; read-only."""
    preprocess = _checkpoint.preprocess
    stored = picture_of(sha256, preprocess.source_size, _photo).stored
    image = preprocess.centre(recoloured(stored, colours, degrees))[0]
    return read_activations(_checkpoint.model, image)


@st.cache_data(show_spinner=False, max_entries=64)
def ten_view_guesses(checkpoint_id: str, sha256: str, _checkpoint: Checkpoint, _photo: Photo) -> NDArray[np.float32]:
    """Class probabilities averaged over ten views, shape (num_classes,)."""
    stored = picture_of(sha256, _checkpoint.preprocess.source_size, _photo).stored
    guesses: NDArray[np.float32] = probabilities(_checkpoint.model, _checkpoint.preprocess, stored, views=10)[0].numpy()
    return guesses


@st.cache_resource(show_spinner=False, max_entries=256)
def stage_board(
    checkpoint_id: str, sha256: str, stage: str, scale: Scale, per_map: bool, large: bool, _maps: Maps, _towers: int
) -> Board:
    """The maps of a stage as a picture, small or large; read-only."""
    return lay_out(_maps, scale, _towers, per_map=per_map, wide=not large, width=1200 if large else 520)


@st.cache_data(show_spinner=False, max_entries=128)
def evidence_of(
    checkpoint_id: str, sha256: str, target: int, _checkpoint: Checkpoint, _activations: Activations
) -> NDArray[np.float32]:
    """Grad-CAM of one class at the last convolution, shape (h, w)."""
    maps = torch.tensor(_activations.maps[LAST_MAPS])[None]
    evidence: NDArray[np.float32] = class_evidence(_checkpoint.model, maps, target)[0].numpy()
    return evidence


def workspace_store(workspace: Workspace) -> ImageStore | None:
    """The images of a workspace, read-only; ``None`` if they are not there or damaged."""
    manifest = datasets_dir(workspace.home) / workspace.dataset / "manifest.json"
    built = manifest.stat().st_mtime_ns if manifest.exists() else 0
    try:
        return _opened_store(str(workspace.home), workspace.dataset, built, workspace)
    except WorkspaceError:  # is not kept: they may come
        return None


@st.cache_resource(show_spinner=False, max_entries=8)
def _opened_store(home: str, dataset: str, built: int, _workspace: Workspace) -> ImageStore:
    return open_images(_workspace)


def workspace_gallery(workspace: Workspace) -> Gallery | None:
    """Labels and images of a workspace in gallery order, read-only; ``None`` without images."""
    store = workspace_store(workspace)
    return None if store is None else _gallery(store.hash, workspace.splits, store)


@st.cache_resource(show_spinner=False, max_entries=4)
def _gallery(store_hash: str, splits: tuple[str, ...], _store: ImageStore) -> Gallery:
    return gallery(_store, splits)


def workspace_head(workspace: Workspace) -> Head | None:
    """The linear head of a workspace whose classes are not the checkpoint's; ``None`` otherwise, or if not built."""
    try:
        return open_head(workspace)
    except WorkspaceError:
        return None


@st.cache_data(show_spinner=False, max_entries=16)
def contact_sheet(key: str, rows: tuple[int, ...], _gallery: Gallery) -> list[bytes]:
    """These images of a gallery as JPEGs of their own size."""
    return [jpeg(_gallery.pixels(row)) for row in rows]


@st.cache_data(show_spinner=False, max_entries=8)
def looked_through(place: str) -> Folder:
    """What a folder that was handed over holds; what cannot be read is deleted from it."""
    return look_through(Path(place))


@st.cache_data(show_spinner=False, ttl=10)
def sizes_at(home: str) -> dict[str, int]:
    """Bytes in each folder of the data home."""
    return {
        folder.name: sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        for folder in sorted(Path(home).glob("*"))
        if folder.is_dir()
    }


@st.cache_resource(show_spinner=False, max_entries=24)
def stock_photo(stock_key: str, row: int, _stock: Stock) -> Photo:
    """An image to try switches on."""
    return _stock.take(row)


@st.cache_resource(show_spinner="Averaging the responses to some images ...", max_entries=4)
def mean_responses(checkpoint_id: str, stock_key: str, _checkpoint: Checkpoint, _stock: Stock) -> dict[str, Tensor]:
    """Mean activation of every unit that a tower can lose, over some images of the stock; read-only."""
    preprocess = _checkpoint.preprocess
    photos = map(_stock.take, _stock.spread)  # kept nowhere: they would push the visitor's own out of the caches
    batches = (preprocess.centre(read_picture(photo.data, preprocess.source_size).stored) for photo in photos)
    return unit_means(_checkpoint.model, batches, STAGES["whole tower"])


@st.cache_data(show_spinner=False, max_entries=512)
def guesses_under(
    checkpoint_id: str, stock_key: str, row: int, switches: Switches, _checkpoint: Checkpoint, _stock: Stock
) -> NDArray[np.float32]:
    """Class probabilities for an image, intact and with towers off, shape (2, num_classes)."""
    preprocess = _checkpoint.preprocess

    def image(number: int) -> Tensor:
        photo = stock_photo(stock_key, number, _stock)
        return preprocess.centre(picture_of(photo.sha256, preprocess.source_size, photo).stored)

    return guesses_with_and_without(
        _checkpoint.model,
        image(row),
        switches,
        means=mean_responses(checkpoint_id, stock_key, _checkpoint, _stock) if switches.mode == "mean" else None,
        donor=image(donor_of(row, _stock.size)) if switches.mode == "resample" else None,
    )
