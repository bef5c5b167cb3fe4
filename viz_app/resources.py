"""Everything the pages share and keep: the only module with Streamlit caches.

Keys are names, checkpoint ids and content hashes, never pixels or tensors: Streamlit samples large arrays.
"""

import gc
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import streamlit as st
import torch
from numpy.typing import NDArray
from torch import Tensor

from alexnet_core import Checkpoint, list_checkpoints, load_checkpoint
from alexnet_core.colour import recoloured
from alexnet_core.images import decode_image
from alexnet_core.paths import datasets_dir, features_dir
from alexnet_core.predict import probabilities
from alexnet_core.store import ImageStore
from analysis.activations import Activations, Maps, read_activations
from analysis.attribution import LAST_MAPS, class_evidence
from analysis.between.routing import AxesReport, BlockMass
from analysis.errors.calibration import Calibration, RiskCoverage, calibration, risk_coverage
from analysis.errors.classes import ClassRow, class_rows
from analysis.errors.comparison import Comparison, compare
from analysis.errors.confusions import Counts, Pair, confused_pairs, confusion_counts, most_confused
from analysis.errors.rates import Rates, rates
from analysis.errors.selection import Selection, in_split, select
from analysis.evaluate import Evaluation, open_evaluation
from analysis.experiments.matrix import RESULTS, Matrix
from analysis.experiments.nets import Net, read_matrix
from analysis.kernels.indices import (
    KernelIndices,
    Snapshots,
    first_layer_kernels,
    knows_learned_part,
    load_snapshots,
    measure_kernels,
)
from analysis.lesions.lesion import STAGES, unit_means
from analysis.projection import ImageMap, MapPlan, make_map, map_file, open_map
from analysis.retrieval import Index
from analysis.retrieval.spaces import Neighbours, Space, open_space, search, stages_of
from analysis.towers.comparison import ChromaCourse, TowerResult, chroma_course, measure_indices, tower_labels
from analysis.towers.study import TowerStudy
from analysis.why import tower_contributions, with_head
from analysis.workspace import (
    Head,
    Thumbnails,
    Workspace,
    WorkspaceError,
    default_workspace,
    find_workspace,
    list_workspaces,
    open_head,
    open_images,
    open_predictions,
    open_thumbnails,
)
from analysis.workspace.artefacts import FILES
from viz_app.figures.image import Board, Scale, lay_out
from viz_app.folders import Folder, look_through
from viz_app.lab.study import axes_by_tower, blocks_of, photographs_of, studied
from viz_app.retrieval.terms import Terms, allowed
from viz_app.samples import Gallery, gallery
from viz_app.switches import Stock, Switches, guesses_with_and_without
from viz_app.uploads import Photo, Picture, cropped, jpeg, read_picture

Stamp = tuple[tuple[str, int], ...]  # files, and when they were written

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


def tower_studies(checkpoint: Checkpoint, images: Gallery | None) -> dict[str, TowerStudy]:
    """All that is compared of the first layer's towers, by "as trained" and "learned part". Raises ``ValueError``."""
    return _tower_studies(checkpoint.id, images.key if images else "", checkpoint, images)


@st.cache_data(show_spinner="Comparing the towers' kernels ...", max_entries=8)
def _tower_studies(
    checkpoint_id: str, gallery_key: str, _checkpoint: Checkpoint, _gallery: Gallery | None
) -> dict[str, TowerStudy]:
    return studied(_checkpoint, photographs_of(_checkpoint, _gallery))


def matrix_nets(matrix: Matrix) -> list[Net]:
    """The trained networks of a matrix, towers compared in each; read anew when results come."""
    files = sorted((RESULTS / matrix.name).glob("*.safetensors"))
    return _matrix_nets(matrix.name, tuple(map(_stamp, files)), matrix)


@st.cache_data(show_spinner="Comparing the towers of every network ...", max_entries=4)
def _matrix_nets(name: str, stamp: Stamp, _matrix: Matrix) -> list[Net]:
    return read_matrix(_matrix)


@st.cache_data(show_spinner=False, max_entries=8)
def conv3_blocks(checkpoint_id: str, stock_key: str, _checkpoint: Checkpoint, _stock: Stock) -> BlockMass | None:
    """How conv3 divides its weights among the towers, and their drive over some images of the stock."""
    return blocks_of(_checkpoint, _stock)


@st.cache_data(show_spinner="Ordering the connections from conv1 to conv2 ...", max_entries=8)
def conv2_axes(checkpoint_id: str, _checkpoint: Checkpoint) -> list[AxesReport]:
    """Axes of the connections from conv1 to conv2, inside each tower, with a fixed seed."""
    return axes_by_tower(_checkpoint.model)


@st.cache_resource(show_spinner=False, max_entries=24)
def picture_of(sha256: str, source_size: int, _photo: Photo) -> Picture:
    """A photo made ready, read-only. Raises ``ImageError`` with one plain sentence, which is not kept."""
    return read_picture(_photo.data, source_size)


@st.cache_data(show_spinner=False, max_entries=64)
def photo_size(sha256: str, _photo: Photo) -> tuple[int, int]:
    """Width and height of an upright photo, in its own pixels. Raises ``ImageError``, which is not kept."""
    return decode_image(_photo.data).image.size


@st.cache_resource(show_spinner=False, max_entries=24)
def part_of(sha256: str, box: tuple[int, int, int, int], _photo: Photo) -> Photo:
    """A part of an upright photo (left, top, width, height in its pixels) as a photo of its own, read-only."""
    return cropped(_photo, box)


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


def guesses_under(
    checkpoint: Checkpoint, stock: Stock, photo: Photo, colours: str, switches: Switches, donor: Photo | None = None
) -> NDArray[np.float32]:
    """Class probabilities for a photo, "original" or "grey", intact and with towers off, shape (2, num_classes).

    Raises ``ValueError`` if the switches need a `donor` and there is none.
    """
    given = donor.sha256 if donor and switches.mode == "resample" else ""
    return _guesses_under(
        checkpoint.id, stock.key, photo.sha256, colours, switches, given, checkpoint, stock, photo, donor
    )


@st.cache_data(show_spinner=False, max_entries=512)
def _guesses_under(
    checkpoint_id: str,
    stock_key: str,
    sha256: str,
    colours: str,
    switches: Switches,
    donor_sha256: str,
    _checkpoint: Checkpoint,
    _stock: Stock,
    _photo: Photo,
    _donor: Photo | None,
) -> NDArray[np.float32]:
    preprocess = _checkpoint.preprocess

    def image(photo: Photo, colours: str) -> Tensor:
        stored = picture_of(photo.sha256, preprocess.source_size, photo).stored
        return preprocess.centre(recoloured(stored, colours, 0))

    return guesses_with_and_without(
        _checkpoint.model,
        image(_photo, colours),
        switches,
        means=mean_responses(checkpoint_id, stock_key, _checkpoint, _stock) if switches.mode == "mean" else None,
        donor=image(_donor, "original") if donor_sha256 and _donor else None,
    )


def predictions_file(workspace: Workspace) -> Path:
    """Where the predictions of a workspace are, or will be."""
    return workspace.folder / FILES["predictions"]


def workspace_predictions(workspace: Workspace, checkpoint_id: str) -> pa.Table:
    """The predictions of a workspace, read-only. Raises ``WorkspaceError``, one sentence, which is not kept."""
    return _predictions(checkpoint_id, *_stamp(predictions_file(workspace)), workspace)


@st.cache_resource(show_spinner="Reading the predictions ...", max_entries=4)
def _predictions(checkpoint_id: str, file: str, written: int, _workspace: Workspace) -> pa.Table:
    return open_predictions(_workspace)


def evaluated_predictions(evaluation: Evaluation) -> pa.Table:
    """The predictions of an evaluation, read-only. Raises ``ValueError``, one sentence, which is not kept."""
    return _evaluated(*_stamp(evaluation.file), evaluation)


@st.cache_resource(show_spinner="Reading the predictions ...", max_entries=4)
def _evaluated(file: str, written: int, _evaluation: Evaluation) -> pa.Table:
    return open_evaluation(_evaluation)


def workspace_thumbnails(workspace: Workspace) -> Thumbnails | None:
    """Small JPEGs of a workspace's images, ``None`` if they are not built."""
    try:
        return _thumbnails(*_stamp(workspace.folder / FILES["thumbnails"]), workspace)
    except WorkspaceError:  # is not kept: they may come
        return None


@st.cache_resource(show_spinner=False, max_entries=4)
def _thumbnails(file: str, written: int, _workspace: Workspace) -> Thumbnails:
    return open_thumbnails(_workspace)


def _stamp(file: Path) -> tuple[str, int]:
    """For caches: a file and when it was written."""
    return str(file), file.stat().st_mtime_ns if file.exists() else 0


@st.cache_data(show_spinner=False, max_entries=16)
def class_rates(table_key: str, split: str, _table: pa.Table, _names: list[str]) -> list[ClassRow]:
    """Top-1 and top-5 of every class, with its most frequent wrong guess."""
    return class_rows(in_split(_table, split), _names)


@st.cache_data(show_spinner=False, max_entries=16)
def pairs_of(table_key: str, split: str, _table: pa.Table) -> list[Pair]:
    """The pairs of classes that are confused most."""
    return confused_pairs(in_split(_table, split), limit=100)


@st.cache_data(show_spinner=False, max_entries=64)
def confused_classes(table_key: str, split: str, size: int, _table: pa.Table) -> tuple[int, ...]:
    """Labels of the classes that are confused most, in the order of the data set."""
    return tuple(sorted(most_confused(in_split(_table, split), size)))


@st.cache_data(show_spinner=False, max_entries=64)
def confusions_among(table_key: str, split: str, labels: tuple[int, ...], _table: pa.Table) -> Counts:
    """Images by true class and best guess, shape (k, k + 1); the last column is all other classes."""
    return confusion_counts(in_split(_table, split), labels)


@st.cache_data(show_spinner=False, max_entries=16)
def calibration_of(table_key: str, split: str, _table: pa.Table) -> Calibration:
    """The reliability diagram; its intervals have a fixed seed so that every visit reads the same numbers."""
    return calibration(in_split(_table, split), rng=np.random.default_rng(0))


@st.cache_data(show_spinner=False, max_entries=16)
def risk_coverage_of(table_key: str, split: str, _table: pa.Table) -> RiskCoverage:
    """The risk-coverage curve."""
    return risk_coverage(in_split(_table, split))


@st.cache_data(show_spinner=False, max_entries=512)
def answered_above(table_key: str, split: str, threshold: float, _table: pa.Table) -> tuple[Rates | None, int]:
    """Rates among the images with at least that confidence (``None`` if there are none), and the number of all."""
    table = in_split(_table, split)
    sure = table.filter(pc.greater_equal(table["confidence"], pa.scalar(threshold, pa.float32())))
    return (rates(sure) if len(sure) else None), len(table)


@st.cache_data(show_spinner=False, max_entries=4)
def comparison_of(
    first_key: str, second_key: str, split: str, k: int, _first: pa.Table, _second: pa.Table
) -> Comparison:
    """What the second table gets right that the first does not, and the other way round; positions in the first.

    Raises ``ValueError``, one sentence, where there is nothing to compare.
    """
    found = compare(in_split(_first, split), _second, k)
    rows = np.flatnonzero(pc.equal(_first["split"], split)) if split else np.arange(len(_first))
    return found._replace(
        both_right=rows[found.both_right],
        fixed=rows[found.fixed],
        broken=rows[found.broken],
        both_wrong=rows[found.both_wrong],
    )


@st.cache_resource(show_spinner=False, max_entries=12)
def selected(table_key: str, selection: Selection, _table: pa.Table, _names: Sequence[str]) -> NDArray[np.int64]:
    """Positions of the images of a selection, in order; read-only."""
    positions = select(_table, selection, _names)
    positions.flags.writeable = False
    return positions


@st.cache_data(show_spinner=False, max_entries=64)
def rates_of(table_key: str, selection: Selection, _table: pa.Table, _names: Sequence[str]) -> Rates:
    """How often the network is wrong among the images of a selection."""
    return rates(_table.select(["rank"]).take(selected(table_key, selection, _table, _names)))


@st.cache_data(show_spinner=False, max_entries=16)
def figure4_svg(table_key: str, positions: tuple[int, ...], _draw: Callable[[], bytes]) -> str:
    """The paper's Figure 4 (left) of these images, to be shown on a page."""
    return _draw().decode()


def judge_of(checkpoint: Checkpoint, workspace: Workspace, judge: str) -> Checkpoint:
    """The network that gives the probabilities: with the workspace's linear head where that is the judge.

    Raises ``WorkspaceError`` if the head is not as it was built.
    """
    return (
        _with_head(checkpoint.id, *_stamp(workspace.folder / FILES["head"]), checkpoint, workspace)
        if judge == "head"
        else checkpoint
    )


@st.cache_resource(show_spinner=False, max_entries=2)
def _with_head(
    checkpoint_id: str, file: str, written: int, _checkpoint: Checkpoint, _workspace: Workspace
) -> Checkpoint:
    head = open_head(_workspace)
    if head is None:
        return _checkpoint
    store = open_images(_workspace)
    classes = [{"id": id_, "name": name} for id_, name in zip(store.classes, store.class_names, strict=True)]
    card = _checkpoint.card | {"id": f"{checkpoint_id} {file} {written}", "classes": classes}
    return _checkpoint._replace(model=with_head(_checkpoint.model, head), card=card)


@st.cache_resource(show_spinner=False, max_entries=24)
def gallery_photo(gallery_key: str, row: int, _gallery: Gallery) -> Photo:
    """An image of a workspace as a photo."""
    return _gallery.photo(row)


@st.cache_data(show_spinner=False, max_entries=256)
def contributions_of(checkpoint_id: str, sha256: str, _checkpoint: Checkpoint, _photo: Photo) -> NDArray[np.float32]:
    """Class probabilities of a photo, intact and without each tower, shape (1 + towers, num_classes)."""
    preprocess = _checkpoint.preprocess
    stored = picture_of(sha256, preprocess.source_size, _photo).stored
    return tower_contributions(_checkpoint.model, preprocess.centre(stored))


def workspace_stages(workspace: Workspace) -> list[str]:
    """Stages by which the images of a workspace can be compared, in the order of the network."""
    return _stages(_features_stamp(workspace), workspace)


@st.cache_data(show_spinner=False, max_entries=16)
def _stages(stamp: Stamp, _workspace: Workspace) -> list[str]:
    return stages_of(_workspace)


def space_of(workspace: Workspace, space: Space) -> Index:
    """The index of a space of a workspace, read-only; its features are `Index.features_`.

    One that is not there yet is fitted: seconds for "flat", minutes for others. Raises ``ValueError``, one sentence,
    if features are not there or the index cannot be, which is not kept.
    """
    return _space(_features_stamp(workspace), space, workspace)


@st.cache_resource(show_spinner="Preparing the comparison ...", max_entries=8)
def _space(stamp: Stamp, space: Space, _workspace: Workspace) -> Index:
    return open_space(_workspace, space)


def _features_stamp(workspace: Workspace) -> Stamp:
    """For caches: which features there are of a workspace's images, and when they were written."""
    others = sorted((features_dir(workspace.home) / workspace.dataset).glob("*/manifest.json"))
    return tuple(map(_stamp, (workspace.folder / "manifest.json", *others)))


def found_by(
    workspace: Workspace,
    space: Space,
    asked: str,
    terms: Terms,
    without: tuple[int, ...],
    vector: NDArray[np.float32],
    images: Gallery,
) -> Neighbours:
    """The images of a workspace that are most alike to a query (d,), known by the name `asked`, in a space.

    Raises ``ValueError``, one sentence, where `space_of` does.
    """
    return _found(_features_stamp(workspace), space, asked, terms, without, workspace, vector, images)


@st.cache_data(show_spinner="Comparing it with all images ...", max_entries=512)
def _found(
    stamp: Stamp,
    space: Space,
    asked: str,
    terms: Terms,
    without: tuple[int, ...],
    _workspace: Workspace,
    _vector: NDArray[np.float32],
    _gallery: Gallery,
) -> Neighbours:
    among = allowed(_gallery, terms, without)
    index = _space(stamp, space, _workspace)
    return search(index, _vector, terms.k, allowed=among, skip_duplicates=terms.skip_duplicates)


def map_of(workspace: Workspace, plan: MapPlan) -> ImageMap | None:
    """A map of a workspace's images, read-only; ``None`` if it is not made yet. By PCA it is made at once.

    Raises ``ValueError``, one sentence, where there are no such features or images, which is not kept.
    """
    return _map(*_stamp(map_file(workspace, plan)), plan, workspace)


@st.cache_resource(show_spinner="Finding the principal components ...", max_entries=16)
def _map(file: str, written: int, plan: MapPlan, _workspace: Workspace) -> ImageMap | None:
    kept = open_map(_workspace, plan) if written else None
    return make_map(_workspace, plan) if kept is None and plan.method == "PCA" else kept
