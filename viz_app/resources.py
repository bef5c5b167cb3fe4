"""Everything the pages share and keep: the only module with Streamlit caches.

Keys are names, checkpoint ids and content hashes, never pixels or tensors: Streamlit samples large arrays.
"""

import gc

import numpy as np
import streamlit as st
import torch
from numpy.typing import NDArray

from alexnet_core import Checkpoint, list_checkpoints, load_checkpoint
from alexnet_core.predict import probabilities
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
from analysis.towers import ChromaCourse, TowerResult, chroma_course, measure_indices, tower_labels
from viz_app.figures.image import Board, Scale, lay_out
from viz_app.uploads import Photo, Picture, read_picture, recoloured

torch.set_num_threads(1)  # a second thread gains little for one photo, and on a busy machine it loses much


@st.cache_resource(show_spinner="Loading the network ...", max_entries=2)
def checkpoint_named(name: str) -> Checkpoint:
    """One network for all sessions, read-only: never train(), hook or change it."""
    checkpoint = load_checkpoint(name)
    gc.collect()
    gc.freeze()  # Streamlit collects garbage after every run: 0.15 s, were all that is loaded by now searched again
    return checkpoint


def current_checkpoint() -> Checkpoint:
    """The checkpoint chosen in the sidebar, or the first one."""
    return checkpoint_named(st.session_state.get("checkpoint") or list_checkpoints()[0])


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
