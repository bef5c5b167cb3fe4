"""A feature store: shards on disk that are read as one array (n, d), and a manifest that says what they are."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from alexnet_core.checkpoint import Checkpoint
from alexnet_core.files import sha256_of_file
from alexnet_core.paths import features_dir
from alexnet_core.store import ImageStore

MANIFEST = "manifest.json"
LISTING = "images.parquet"  # path and label of the image of each row
MAPPED = 256  # shards that stay mapped: each keeps a file open
AGAIN = "delete the folder and run python -m analysis.features again."


class File(NamedTuple):
    """What the manifest says of one file of a store."""

    name: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class FeatureStore:
    """Features (n, d) of the images of some splits; made by `open_feature_store`.

    ``store[key]`` gives rows as an array in memory. The key is a row, a slice, rows in any order and of any shape
    (..., then the result has shape (..., d)), or a mask (n,). Raises ``IndexError`` for rows that are not there.
    """

    folder: Path
    checkpoint: str  # name
    checkpoint_id: str
    dataset: str
    store_hash: str
    stage: str  # whose output the features are, such as "relu7"; maps flattened as (channel, row, column)
    splits: Mapping[str, int]  # images of each, in the order of the rows
    shape: tuple[int, int]
    dtype: np.dtype[Any]  # float16 or float32
    shards: tuple[File, ...]
    listing: File
    software: Mapping[str, Any]  # what the last bits of the features follow from
    _edges: NDArray[np.int64] = field(init=False, repr=False)  # first row of each shard, then n
    _mapped: Callable[[int], NDArray[Any]] = field(init=False, repr=False)  # the shards used last

    def __post_init__(self) -> None:
        object.__setattr__(self, "_edges", np.cumsum([0, *(shard.rows for shard in self.shards)]))
        object.__setattr__(self, "_mapped", lru_cache(MAPPED)(self._map))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: int | slice | npt.ArrayLike) -> NDArray[Any]:
        if isinstance(key, slice):
            start, stop, step = key.indices(len(self))
            if step == 1:
                return self._span(start, stop)
            key = np.arange(start, stop, step)
        rows = self._rows(key)
        return self._gather(rows.ravel()).reshape(*rows.shape, self.shape[1])

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """The whole, in memory."""
        return self[:].astype(dtype or self.dtype, copy=False)

    def blocks(self, size: int) -> Iterator[NDArray[Any]]:
        """All rows in order, `size` at a time."""
        return (self[start : start + size] for start in range(0, len(self), size))

    def rows_of(self, split: str) -> slice:
        """Rows of a split. Raises ``ValueError`` for one that is not in the store."""
        if split not in self.splits:
            raise ValueError(f"The features in {self.folder} are of {list(self.splits)}, not of {split!r}.")
        names = list(self.splits)
        start = sum(self.splits[name] for name in names[: names.index(split)])
        return slice(start, start + self.splits[split])

    def labels(self) -> NDArray[np.int64]:
        """Labels (n,) of the images, indices into the classes of the image store."""
        labels: NDArray[np.int64] = self._column("label").to_numpy()
        return labels

    @property
    def ids(self) -> list[str]:
        """Source path of the image of each row, as the image store names it."""
        paths: list[str] = self._column("path").to_pylist()
        return paths

    def verify(self) -> None:
        """Reads every byte; ``ValueError`` naming the file that is not the one that was written."""
        for file in (*self.shards, self.listing):
            if sha256_of_file(self.folder / file.name) != file.sha256:
                raise ValueError(f"{self.folder / file.name} was changed after it was written; {AGAIN}")

    def _span(self, start: int, stop: int) -> NDArray[Any]:
        found = np.empty((max(0, stop - start), self.shape[1]), self.dtype)
        if not len(found):
            return found
        first, last = np.searchsorted(self._edges, (start, stop - 1), side="right") - 1
        for number in range(first, last + 1):
            edge, end = self._edges[number : number + 2]
            begin, finish = max(start, edge), min(stop, end)
            found[begin - start : finish - start] = self._map(number)[begin - edge : finish - edge]
        return found

    def _gather(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        found = np.empty((len(rows), self.shape[1]), self.dtype)
        order = np.argsort(rows, kind="stable")
        cuts = np.searchsorted(rows[order], self._edges)
        for number in np.flatnonzero(np.diff(cuts)):
            here = order[cuts[number] : cuts[number + 1]]
            found[here] = self._mapped(int(number))[rows[here] - self._edges[number]]
        return found

    def _rows(self, key: int | npt.ArrayLike) -> NDArray[np.int64]:
        """Row numbers from 0 to n - 1."""
        rows, n = np.asarray(key), len(self)
        if rows.dtype == bool:
            if rows.shape != (n,):
                raise IndexError(f"A mask for these features must have shape ({n},), got {rows.shape}.")
            return np.flatnonzero(rows)
        if rows.size and not np.issubdtype(rows.dtype, np.integer):
            raise IndexError(f"Rows must be integers, a slice or a mask, got {rows.dtype}.")
        rows = rows.astype(np.int64)
        if rows.size and not -n <= rows.min() <= rows.max() < n:
            raise IndexError(f"There are rows 0 to {n - 1}, got {rows.min()} to {rows.max()}.")
        return np.where(rows < 0, rows + n, rows)

    def _map(self, number: int) -> NDArray[Any]:
        shard = self.shards[number]
        expected, file = (shard.rows, self.shape[1]), self.folder / shard.name
        try:
            mapped: NDArray[Any] = np.load(file, mmap_mode="r")
        except (OSError, ValueError, EOFError) as error:
            raise ValueError(f"{file} is missing or torn ({error}); {AGAIN}") from error
        if (mapped.shape, mapped.dtype) != (expected, self.dtype):
            raise ValueError(
                f"{file} must be {self.dtype} of shape {expected}, found {mapped.dtype} of {mapped.shape}; {AGAIN}"
            )
        return mapped

    def _column(self, name: str) -> pa.ChunkedArray:
        file = self.folder / self.listing.name
        try:
            return pq.read_table(file, columns=[name])[name]
        except (OSError, pa.ArrowException) as error:
            raise ValueError(f"{file} is missing or torn ({error}); {AGAIN}") from error


def tap_of(stage: str, stages: Collection[str]) -> str:
    """The stage that is meant by a name: conv1 to conv5, fc6 and fc7 mean what they pass on, behind their ReLU.

    `stages` are those of the network. All others, such as pool5 or fc8, mean themselves. Raises ``ValueError`` for an
    unknown one.
    """
    if stage not in stages:
        raise ValueError(f"Unknown stage {stage!r}; choose from {list(stages)}.")
    relu = f"relu{stage[-1]}"
    return relu if stage.startswith(("conv", "fc")) and relu in stages else stage


def splits_of(images: ImageStore, wanted: Sequence[str] = ()) -> dict[str, int]:
    """How many images each wanted split has, in the order of the image store; none wanted means all.

    Raises ``ValueError`` for an unknown split, and if there is no image in them.
    """
    if unknown := set(wanted) - set(images.splits):
        raise ValueError(f"Unknown split(s) {sorted(unknown)} of {images.name!r}; choose from {list(images.splits)}.")
    counts = {name: info.count for name, info in images.splits.items() if name in wanted or not wanted}
    if not sum(counts.values()):
        raise ValueError(f"{images.name!r} has no images in {list(counts)}.")
    return counts


def open_feature_store(folder: Path, *, checkpoint_id: str = "", store_hash: str = "") -> FeatureStore:
    """A store that is there and whole: the size of each file is compared with the manifest.

    Raises ``ValueError``, one sentence, if it is not, or if it is of another checkpoint or image set than those given.
    """
    store = _described(folder)
    for what, found, wanted in (
        ("checkpoint", store.checkpoint_id, checkpoint_id),
        ("image set", store.store_hash, store_hash),
    ):
        if wanted and found != wanted:
            raise ValueError(f"The features in {folder} are of another {what}: {found:.16}, not {wanted:.16}.")
    for file in (*store.shards, store.listing):
        path = folder / file.name
        if not path.exists():
            raise ValueError(f"{path} is missing; {AGAIN}")
        if (size := path.stat().st_size) != file.bytes:
            raise ValueError(f"{path} must have {file.bytes:,} bytes, has {size:,}; {AGAIN}")
    return store


def open_features_of(
    checkpoint: Checkpoint,
    images: ImageStore,
    stage: str = "fc7",
    *,
    splits: Sequence[str] = (),
    dtype: str = "",
    home: Path | None = None,
) -> FeatureStore:
    """The features of these images (no splits named: of all) by this checkpoint, of any dtype unless one is named.

    Raises ``ValueError``, one sentence, if they are not there, damaged, or of a checkpoint or image set that has the
    name of this one and is another.
    """
    name, tap = str(checkpoint.card["name"]), tap_of(stage, list(checkpoint.model.stages))
    counts = splits_of(images, splits)
    found = []
    for manifest in sorted((features_dir(home) / images.name).glob(f"*/{MANIFEST}")):
        with suppress(ValueError):
            store = _described(manifest.parent)
            if (store.checkpoint, store.stage, list(store.splits)) == (name, tap, list(counts)):
                found.append(store)
    found = [store for store in found if dtype in ("", store.dtype.name)]
    if not found:
        command = f"python -m analysis.features {name} {images.name} --stage {stage} --split {' '.join(counts)}"
        raise ValueError(f"There are no features of {stage} by {name!r} for {images.name!r}; run: {command}")
    wanted = (checkpoint.id, images.hash)
    found.sort(key=lambda store: ((store.checkpoint_id, store.store_hash) != wanted, store.dtype.itemsize))
    return open_feature_store(found[0].folder, checkpoint_id=checkpoint.id, store_hash=images.hash)


def list_feature_stores(store_hash: str, home: Path | None = None) -> list[FeatureStore]:
    """The stores of these images, in the order of checkpoints and stages; what cannot be opened is left out."""
    found = []
    for manifest in features_dir(home).glob(f"*/*/{MANIFEST}"):
        with suppress(ValueError):
            found.append(open_feature_store(manifest.parent, store_hash=store_hash))
    return sorted(found, key=lambda store: (store.checkpoint, store.stage, store.dtype.name, store.folder))


def _described(folder: Path) -> FeatureStore:
    """What the manifest says. Raises ``ValueError`` if it cannot be read."""
    try:
        told = json.loads((folder / MANIFEST).read_bytes())
        return FeatureStore(
            folder=folder,
            checkpoint=told["checkpoint"],
            checkpoint_id=told["checkpoint_id"],
            dataset=told["dataset"],
            store_hash=told["store_hash"],
            stage=told["stage"],
            splits=dict(told["splits"]),
            shape=(told["shape"][0], told["shape"][1]),
            dtype=np.dtype(told["dtype"]),
            shards=tuple(File(*file) for file in told["shards"]),
            listing=File(*told["listing"]),
            software=told["software"],
        )
    except FileNotFoundError as error:
        raise ValueError(f"{folder} holds no finished features: there is no {MANIFEST}.") from error
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise ValueError(f"{folder / MANIFEST} is no readable manifest of features ({error!r}); {AGAIN}") from error
