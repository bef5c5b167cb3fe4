"""Compressed vectors in a FAISS index: quick to search, and near enough to say which rows are worth comparing."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from analysis.retrieval.exact import rows_in_block
from analysis.retrieval.lists import GPU_MOST, DiskLists, GpuCopy, lists_of, load_faiss, merge, on_gpu, write_lists
from analysis.retrieval.metrics import Features, Metric, as_tensor
from analysis.retrieval.work import ADDING, LEARNING, Work

SAMPLE_BYTES = 256 << 20  # of float32 vectors that are learned from, at most
AXIS_ROWS = 16_384  # that principal axes are learned from, at most
CENTROID_ROWS = 64  # that each inverted list and each of 256 code words is learned from; FAISS asks for 39
BLOCK = 1 << 19  # vectors that a killed fit adds again, at most
_PCA = re.compile(r"^PCA(\d+),")


@dataclass(frozen=True, slots=True)
class Encoder:
    """From features to the vectors that FAISS holds: of length 1 for the cosine, along principal axes."""

    metric: Metric
    mean: NDArray[np.float32]  # (d,); zeros for inner products, which depend on where the origin is
    axes: NDArray[np.float32]  # (r, d), orthonormal; (0, d) to keep all d dimensions as they are

    @property
    def dimensions(self) -> int:
        """Of the vectors that FAISS holds."""
        return len(self.axes) or len(self.mean)

    def __call__(self, features: NDArray[np.floating]) -> NDArray[np.float32]:
        """Vectors (m, r) of features (m, d)."""
        vectors = _vectors(features, self.metric)
        if len(self.axes):
            vectors = (vectors - torch.from_numpy(self.mean)) @ torch.from_numpy(self.axes).T
        encoded: NDArray[np.float32] = vectors.numpy()
        return encoded


class Codes:
    """A FAISS index over encoded features, and which row each of its vectors is, in the order of their adding."""

    def __init__(self, encoder: Encoder, index: Any, rows: NDArray[np.int64], disk: DiskLists | None = None) -> None:
        self.encoder = encoder
        self.index = index
        self.rows = rows
        self.disk = disk  # the lists of the index, where they are in a file
        self._copy: GpuCopy | None = None
        self._copied = 0  # vectors of which it was tried

    @classmethod
    def learn(
        cls, factory: str, features: Features, rows: NDArray[np.int64], metric: Metric, *, seed: int, work: Work
    ) -> "Codes":
        """Codes without vectors yet, learned from a sample of the rows.

        `factory` is a string of ``faiss.index_factory``; with "PCA256," at its start the principal axes are learned
        here, in seconds where FAISS takes minutes. Raises ``ValueError`` for what FAISS does not know.
        """
        work.tell(LEARNING, 0, 1)
        rng = np.random.default_rng(seed)
        d = features.shape[1]
        head = _PCA.match(factory)
        dimensions = int(head[1]) if head else 0
        index = _new_index(factory[head.end() :] if head else factory, dimensions or d, metric)
        sample = _sample(rows, AXIS_ROWS, rng)
        axes = work.array("axes", lambda: _axes(features, sample, metric, dimensions, seed))
        encoder = Encoder(metric, axes[0], axes[1:])
        if not index.is_trained:
            sample = _sample(rows, _learned_from(index), rng)
            index = work.index("learned", lambda: _trained(index, encoder, features, sample))
        work.tell(LEARNING, 1, 1)
        return cls(encoder, index, np.empty(0, np.int64))

    def fill(self, features: Features, rows: NDArray[np.int64], work: Work, *, on_disk: bool) -> None:
        """Add the features of some rows to codes without any; in blocks if they are to be kept, or in a file."""
        lists = lists_of(self.index)
        if on_disk and (lists is None or not hasattr(load_faiss(), "OnDiskInvertedLists")):
            raise ValueError("FAISS cannot leave the lists of this kind on disk on this system; use on_disk=False.")
        if work.folder is None or lists is None:
            self.add(features, rows, work)
            return
        empty = load_faiss().clone_index(self.index)
        blocks = (
            work.index(f"{start:012d}", partial(self._block, empty, features, rows, start, work), mapped=on_disk)
            for start in range(0, len(rows), BLOCK)
        )
        if on_disk:
            filled = list(blocks)  # they are read from as long as they are here
            file = work.folder / "lists"
            file.unlink(missing_ok=True)  # another index may be reading it
            sizes = write_lists(file, [lists_of(block).invlists for block in filled])
            self.disk = DiskLists(self.index, file, sizes)
        else:
            merge(self.index, blocks)
        self.rows = rows

    def add(self, features: Features, rows: NDArray[np.int64], work: Work | None = None) -> None:
        """Add the features of some rows."""
        first, done = len(self.rows), 0
        self.rows = np.concatenate([self.rows, rows])
        for part in _parts(rows, features.shape[1]):
            vectors = self.encoder(features[part])
            if self.disk:
                self.disk.add(vectors, np.arange(first + done, first + done + len(part)))
            else:
                self.index.add(vectors)
            done += len(part)
            if work:
                work.tell(ADDING, done, len(rows))

    def candidates(
        self, queries: NDArray[np.float32], count: int, effort: int, allowed: NDArray[np.bool_] | None = None
    ) -> NDArray[np.int64]:
        """Rows (q, count) of what is nearest to queries (q, d) by the codes; -1 where no more was found.

        `effort` is the number of lists that are probed, or of nodes that a graph search keeps (see `efforts`).
        `allowed` are the rows (n,) that may be found; where FAISS cannot filter, more is searched and then filtered,
        and fewer may be found than there are.
        """
        encoded = self.encoder(queries)
        if allowed is None:
            return self._rows(self._nearest(encoded, count, effort))
        inside = allowed[self.rows]
        if self.filters:
            return self._rows(self.index.search(encoded, count, params=_parameters(self.index, effort, inside))[1])
        more = 2 * count * len(inside) // max(1, int(np.count_nonzero(inside)))
        found: NDArray[np.int64] = self.index.search(encoded, min(len(inside), more))[1]
        found[~inside[found]] = -1
        order = np.argsort(found < 0, axis=1, kind="stable")[:, :count]
        return self._rows(np.take_along_axis(found, order, 1))

    @property
    def filters(self) -> bool:
        """Whether FAISS can pass over vectors while it searches."""
        faiss = load_faiss()
        able = faiss.IndexIVF, faiss.IndexHNSW, faiss.IndexFlat, faiss.IndexScalarQuantizer
        return isinstance(_innermost(self.index), able)

    @property
    def efforts(self) -> list[int]:
        """The efforts worth trying, ascending; one where there is nothing to choose."""
        faiss = load_faiss()
        inner = _innermost(self.index)
        if isinstance(inner, faiss.IndexIVF):
            return [2**i for i in range(inner.nlist.bit_length())]
        return [2**i for i in range(4, 11)] if isinstance(inner, faiss.IndexHNSW) else [1]

    @property
    def bytes(self) -> int:
        """In memory: as FAISS writes the index, which is about what it takes, the principal axes, and the rows."""
        sizes: list[int] = []
        faiss = load_faiss()
        written = self.disk.empty if self.disk else self.index
        faiss.write_index(written, faiss.PyCallbackIOWriter(lambda part: sizes.append(len(part)), 1 << 20))
        later = self.disk.bytes[1] if self.disk else 0
        return sum(sizes) + later + self.encoder.axes.nbytes + self.encoder.mean.nbytes + self.rows.nbytes

    def _nearest(self, encoded: NDArray[np.float32], count: int, effort: int) -> NDArray[np.int64]:
        """Positions (q, count) by the copy on a GPU if there is one, which is made at the first search."""
        if self._copied != self.index.ntotal and not self.disk:
            self._copied, self._copy = self.index.ntotal, on_gpu(self.index)
        parameters = _parameters(self.index, effort)
        if self._copy and max(count, effort) <= GPU_MOST:
            return self._copy.search(encoded, count, parameters)
        found: NDArray[np.int64] = self.index.search(encoded, count, params=parameters)[1]
        return found

    def _block(self, empty: Any, features: Features, rows: NDArray[np.int64], start: int, work: Work) -> Any:
        """An index that has learned what an empty one has, with one block of the rows."""
        block, stop = load_faiss().clone_index(empty), min(start + BLOCK, len(rows))
        for part in _parts(np.arange(start, stop), features.shape[1]):
            block.add_with_ids(self.encoder(features[rows[part]]), part)
            work.tell(ADDING, int(part[-1]) + 1, len(rows))
        return block

    def _rows(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.where(positions < 0, -1, self.rows[positions])


def _axes(
    features: Features, rows: NDArray[np.int64], metric: Metric, dimensions: int, seed: int
) -> NDArray[np.float32]:
    """The mean and so many principal axes (1 + dimensions, d) of some features; zeros where none are wanted."""
    d = features.shape[1]
    if not dimensions:
        return np.zeros((1, d), np.float32)
    if dimensions > min(d, len(rows)):
        raise ValueError(
            f"PCA{dimensions} cannot keep more dimensions than the features have ({d}) or there are rows ({len(rows)})."
        )
    from sklearn.utils.extmath import randomized_svd

    vectors = torch.cat([_vectors(features[part], metric) for part in _parts(rows, d)]).numpy()
    mean = vectors.mean(0) * (metric != "inner product")
    _, _, axes = randomized_svd(vectors - mean, dimensions, n_iter=2, random_state=seed)
    return np.concatenate([mean[None], axes]).astype(np.float32)


def _trained(index: Any, encoder: Encoder, features: Features, rows: NDArray[np.int64]) -> Any:
    index.train(np.concatenate([encoder(features[part]) for part in _parts(rows, features.shape[1])]))
    return index


def _vectors(features: NDArray[np.floating], metric: Metric) -> torch.Tensor:
    """Features (m, d) as float32, for the cosine of length 1; torch converts float16 many times faster than NumPy."""
    vectors = as_tensor(features).float()
    return torch.nn.functional.normalize(vectors, dim=1) if metric == "cosine" else vectors


def _new_index(factory: str, dimensions: int, metric: Metric) -> Any:
    faiss = load_faiss()
    kind = faiss.METRIC_INNER_PRODUCT if metric == "inner product" else faiss.METRIC_L2  # on unit vectors: the cosine
    try:
        return faiss.index_factory(dimensions, factory, kind)
    except RuntimeError as error:
        reason = str(error).rpartition("Error: ")[2].strip()
        raise ValueError(
            f"FAISS cannot make {factory!r} for vectors of {dimensions} ({reason}); an example: 'PCA64,IVF256,SQ8'."
        ) from error


def _learned_from(index: Any) -> int:
    """How many vectors to train an index on. For codebooks FAISS would take four times as many, and as much time."""
    faiss = load_faiss()
    inner = _innermost(index)
    if hasattr(inner, "pq"):
        inner.pq.cp.max_points_per_centroid = CENTROID_ROWS
    lists = 0
    if isinstance(inner, faiss.IndexIVF):
        lists = int(inner.nlist)
        inner.cp.min_points_per_centroid = 1  # or FAISS warns on stderr below 39, though few more are found with them
    return min(CENTROID_ROWS * max(256, lists), SAMPLE_BYTES // (4 * int(index.d)))


def _innermost(index: Any) -> Any:
    """The index behind rotations."""
    faiss = load_faiss()
    index = faiss.downcast_index(index)
    return _innermost(index.index) if isinstance(index, faiss.IndexPreTransform) else index


def _parameters(index: Any, effort: int, allowed: NDArray[np.bool_] | None = None) -> Any:
    """What FAISS wants to know of one search; `allowed` are positions."""
    faiss = load_faiss()
    index = faiss.downcast_index(index)
    if isinstance(index, faiss.IndexPreTransform):
        return faiss.SearchParametersPreTransform(index_params=_parameters(index.index, effort, allowed))
    bits = None if allowed is None else np.packbits(allowed, bitorder="little")
    chosen = {} if bits is None else {"sel": faiss.IDSelectorBitmap(bits)}
    if isinstance(index, faiss.IndexIVF):
        return faiss.SearchParametersIVF(nprobe=min(effort, index.nlist), **chosen)
    if isinstance(index, faiss.IndexHNSW):
        return faiss.SearchParametersHNSW(efSearch=effort, **chosen)
    return faiss.SearchParameters(**chosen) if chosen else None


def _sample(rows: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """At most so many of the rows, in order."""
    return rows if len(rows) <= count else np.sort(rng.choice(rows, count, replace=False))


def _parts(rows: NDArray[np.int64], d: int) -> Iterator[NDArray[np.int64]]:
    """The rows, as many at a time as are read at once."""
    size = rows_in_block(d)
    return (rows[i : i + size] for i in range(0, len(rows), size))
