"""What the images of a workspace are compared by, and the index that finds the nearest of them.

    stages_of(workspace)                             -> ["pool5", "fc6", "fc7"]: whose features are there
    Space("fc7", "euclidean", half=None, kind="flat")     the paper's
    space_features(workspace, space)                 -> (n, d), row i is row i of the gallery; nothing is copied
    open_space(workspace, space)                     -> Index, fitted and kept where it is not there yet
    opens_at_once(workspace, space)                  -> whether that takes seconds at most
    query_features(activations, space)               -> (d,) of a photograph, as the gallery's were made
    search(index, query, 6, without=[row])           -> Neighbours

Whatever cannot be is a ``ValueError``, one sentence.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock
from numpy.typing import ArrayLike, NDArray

from alexnet_core.checkpoint import config_from_json
from alexnet_core.files import sha256_of_values
from analysis.activations import Activations
from analysis.features import FeatureStore, list_feature_stores, tap_of
from analysis.retrieval.checks import RetrievalError, as_mask
from analysis.retrieval.choose import FLAT, choose_index
from analysis.retrieval.index import AUTO, Index
from analysis.retrieval.metrics import Features, Metric
from analysis.retrieval.saved import read_manifest
from analysis.retrieval.work import Progress
from analysis.workspace import Workspace, WorkspaceError, open_features, open_index
from analysis.workspace.artefacts import Inputs, inputs_of, read_card

STAGE = "fc7"  # whose features every workspace has
FOLDER = "indexes"  # of a workspace: those that were asked for
HALVES = {"all": None, "A": 0, "B": 1}  # as the command line has them
# Share of the query's length. In fc7 of Prism and of Tiny ImageNet a copy that was saved again as JPEG (quality 90) or
# made 10 % brighter lies nearer than this 19 times in 20; of 5,000 images asked about, no other image did.
NEAR_DUPLICATE = 0.15


class Space(NamedTuple):
    """What is compared, how, and how it is looked for."""

    stage: str = STAGE
    metric: Metric = "euclidean"
    half: int | None = None  # units of tower A (0) or of tower B (1); None: all
    kind: str = "flat"  # see `Index`


class Neighbour(NamedTuple):
    """An image that is alike: its row in the gallery, and how far its features are (see `distances_to`)."""

    row: int
    distance: float


class Neighbours(NamedTuple):
    """The images that are most alike, the nearest first."""

    found: list[Neighbour]
    left_out: list[Neighbour]  # near duplicates, which would have stood among them


def stages_of(workspace: Workspace) -> list[str]:
    """Stages whose features are there for every image of the gallery, in the order of the network.

    fc7 is the workspace's own; the others come from `analysis.features`.
    """
    stages = _stages(workspace)
    taps = {store.stage for store in _stores(workspace)} | {tap_of(STAGE, stages)}
    named = {tap_of(name, stages): name for name in reversed(stages)}  # conv5 before relu5, which is the same
    return [named[tap] for tap in stages if tap in taps]


def has_halves(workspace: Workspace, stage: str) -> bool:
    """Whether the units of a stage belong to two towers; those of fc8 are classes."""
    return bool(read_card(workspace)["config"]["towers"] == 2 and stage != "fc8")


def space_features(workspace: Workspace, space: Space) -> Features:
    """The features (n, d) of the gallery by which its images are compared: a view of those on disk."""
    return _features(workspace, space)[0]


def source_of(workspace: Workspace, space: Space) -> str:
    """A hash of what the features of a space follow from: network, images, stage and half."""
    return _features(workspace, space)[1]


def open_space(workspace: Workspace, space: Space | None = None, *, progress: Progress | None = None) -> Index:
    """The index of a space, the paper's by default; it is fitted, and kept, where it is not there or is of others.

    The workspace's own, of fc7 by Euclidean distance, is built with the workspace.
    """
    features, source = _features(workspace, space := space or Space())
    settled = _settled(space, features)
    if settled == Space(kind=AUTO):
        return open_index(workspace)
    folder = _folder(workspace, settled)
    folder.parent.mkdir(exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.fit.lock")):
        try:
            return Index.open(folder, features, source=source)
        except RetrievalError:  # not there yet, or of features that are no more
            index = Index(settled.kind, metric=space.metric)
            index.fit(features, source=source, progress=progress, work=folder)
            index.save(folder)
            return index


def opens_at_once(workspace: Workspace, space: Space) -> bool:
    """Whether the index of a space is kept, or exact, which takes seconds to fit; the others take minutes."""
    features, source = _features(workspace, space)
    settled = _settled(space, features)
    exact = (_chosen(features) if settled.kind == AUTO else settled.kind) == FLAT
    if exact or settled == Space(kind=AUTO):  # the workspace's own
        return True
    try:
        return read_manifest(_folder(workspace, settled)).source == source
    except RetrievalError:
        return False


def query_features(activations: Activations, space: Space) -> NDArray[np.float32]:
    """Features (d,) of a photograph, rounded to float16 as the gallery's are, so that an image finds itself."""
    values = activations.maps[tap_of(space.stage, activations.maps)].reshape(-1)
    return values[_columns(len(values), space.half)].astype(np.float16).astype(np.float32)


def search(
    index: Index,
    query: NDArray[np.floating],
    k: int = 6,
    *,
    allowed: ArrayLike | None = None,
    without: Collection[int] = (),
    skip_duplicates: bool = False,
) -> Neighbours:
    """The k rows that are nearest to a query (d,); fewer where there are fewer.

    `allowed` are the rows that may be found, their numbers or a mask; `without` are rows to pass over, such as the
    query's own. Near duplicates of the query are passed over on demand, see `near_duplicates`, and named.
    """
    n = index.features_.shape[0]
    mask = np.ones(n, np.bool_) if allowed is None else as_mask(allowed, n).copy()
    mask[list(without)] = False
    count = k
    while True:
        rows, distances = (found[0] for found in index.search(query, count, allowed=mask))
        rows, distances = rows[rows >= 0], distances[rows >= 0]
        alike = near_duplicates(query, index.features_[rows]) if skip_duplicates else np.zeros(len(rows), np.bool_)
        if len(rows) < count or np.count_nonzero(~alike) >= k:
            break
        count *= 2
    pairs = [Neighbour(row, distance) for row, distance in zip(rows.tolist(), distances.tolist(), strict=True)]
    places = np.flatnonzero(~alike)[:k]
    last = places[-1] if len(places) == k else len(pairs)
    return Neighbours([pairs[i] for i in places], [pairs[i] for i in np.flatnonzero(alike[:last])])


def near_duplicates(query: NDArray[np.floating], vectors: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Which vectors (m, d) are nearly the query (d,): less than `NEAR_DUPLICATE` of its length away from it."""
    one = np.asarray(query, np.float32)
    return np.asarray(
        np.linalg.norm(np.asarray(vectors, np.float32) - one, axis=1) < NEAR_DUPLICATE * np.linalg.norm(one)
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """Some consecutive rows, and some columns, of features on disk."""

    features: FeatureStore
    rows: range
    columns: slice

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.rows), len(range(self.features.shape[1])[self.columns])

    def __getitem__(self, key: Any) -> NDArray[Any]:
        if isinstance(key, slice):
            span = self.rows[key]
            return self.features[span.start : span.stop : span.step][:, self.columns]
        return self.features[np.asarray(key) + self.rows.start][..., self.columns]


def _features(workspace: Workspace, space: Space) -> tuple[Features, str]:
    """The features of a space, and what they follow from."""
    if space.half is not None and (space.half not in (0, 1) or not has_halves(workspace, space.stage)):
        raise WorkspaceError(f"{space.stage} of {workspace.checkpoint!r} has no half {space.half}.")
    inputs, tap = _inputs(workspace), tap_of(space.stage, _stages(workspace))
    if tap == tap_of(STAGE, _stages(workspace)):
        own = open_features(workspace)
        return own[:, _columns(own.shape[1], space.half)], sha256_of_values(inputs.key("features"), space.half)
    for store in _stores(workspace):
        if store.stage == tap:
            rows = range(*store.rows_of(inputs.splits[0]).indices(len(store)))
            rows = range(rows.start, store.rows_of(inputs.splits[-1]).stop)
            part = _Part(store, rows, _columns(store.shape[1], space.half))
            return part, sha256_of_values(store.folder.name, rows.start, rows.stop, space.half)
    command = f"python -m analysis.features {workspace.checkpoint} {workspace.dataset} --stage {space.stage}"
    raise WorkspaceError(f"The features of {space.stage} are not there; run: {command}")


def _columns(d: int, half: int | None) -> slice:
    """The units of a half are its tower's, as are the channels of maps that are flattened channel by channel."""
    return slice(None) if half is None else slice(half * d // 2, (half + 1) * d // 2)


def _stores(workspace: Workspace) -> list[FeatureStore]:
    """Features of the same network and images whose splits hold the gallery's, in the same order, without a gap."""
    inputs = _inputs(workspace)
    splits, width = list(inputs.splits), len(inputs.splits)
    return [
        store
        for store in list_feature_stores(inputs.store_hash, workspace.home)
        if (store.checkpoint_id, store.dtype.name) == (inputs.checkpoint_id, "float16")
        and any(list(store.splits)[i : i + width] == splits for i in range(len(store.splits)))
    ]


def _inputs(workspace: Workspace) -> Inputs:
    if (inputs := inputs_of(workspace)) is None:
        raise WorkspaceError(f"Workspace {workspace.name!r} is not built; run: {_build(workspace)}")
    return inputs


def _stages(workspace: Workspace) -> list[str]:
    return list(config_from_json(read_card(workspace)["config"]).stages)


def _settled(space: Space, features: Features) -> Space:
    """The same space, its kind `AUTO` where that is what would be chosen anyway: one index has one name."""
    return space._replace(kind=AUTO) if space.kind == _chosen(features) else space


def _chosen(features: Features) -> str:
    n, d = features.shape
    return choose_index(n, d).kind


def _folder(workspace: Workspace, space: Space) -> Path:
    """Where the index of a settled space is kept."""
    half = "all" if space.half is None else f"tower {'AB'[space.half]}"
    return workspace.folder / FOLDER / re.sub(r"[^\w.]+", "-", f"{space.stage} {space.metric} {half} {space.kind}")


def _build(workspace: Workspace) -> str:
    return f"python -m analysis.workspace build {workspace.name}"
