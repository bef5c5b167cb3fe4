"""Compressed vectors in a FAISS index: quick to search, and near enough to say which rows are worth comparing."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from analysis.retrieval.exact import as_tensor, rows_in_block
from analysis.retrieval.metrics import Features, Metric

SAMPLE_BYTES = 256 << 20  # of float32 vectors that are learned from, at most
AXIS_ROWS = 16_384  # that principal axes are learned from, at most
CENTROID_ROWS = 64  # that each inverted list and each of 256 code words is learned from; FAISS asks for 39
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

    def __init__(self, encoder: Encoder, index: Any, rows: NDArray[np.int64]) -> None:
        self.encoder = encoder
        self.index = index
        self.rows = rows

    @classmethod
    def learn(cls, factory: str, features: Features, rows: NDArray[np.int64], metric: Metric, *, seed: int) -> "Codes":
        """Codes without vectors yet, learned from a sample of the rows.

        `factory` is a string of ``faiss.index_factory``; with "PCA256," at its start the principal axes are learned
        here, in seconds where FAISS takes minutes. Raises ``ValueError`` for what FAISS does not know.
        """
        rng = np.random.default_rng(seed)
        d = features.shape[1]
        head = _PCA.match(factory)
        index = _new_index(factory[head.end() :] if head else factory, int(head[1]) if head else d, metric)
        encoder = _encoder(features, _sample(rows, AXIS_ROWS, rng), metric, int(head[1]) if head else 0, seed)
        if not index.is_trained:
            sample = _sample(rows, _learned_from(index), rng)
            index.train(np.concatenate([encoder(features[part]) for part in _parts(sample, d)]))
        return cls(encoder, index, np.empty(0, np.int64))

    def add(self, features: Features, rows: NDArray[np.int64]) -> None:
        """Add the features of some rows, block by block."""
        for part in _parts(rows, features.shape[1]):
            self.index.add(self.encoder(features[part]))
        self.rows = np.concatenate([self.rows, rows])

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
            return self._rows(self.index.search(encoded, count, params=_parameters(self.index, effort))[1])
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
        """As FAISS writes the index, which is about what it takes in memory, and the principal axes."""
        faiss = load_faiss()
        sizes: list[int] = []
        faiss.write_index(self.index, faiss.PyCallbackIOWriter(lambda written: sizes.append(len(written)), 1 << 20))
        return sum(sizes) + self.encoder.axes.nbytes + self.encoder.mean.nbytes + self.rows.nbytes

    def _rows(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.where(positions < 0, -1, self.rows[positions])


def load_faiss() -> Any:
    """The module: loading it takes a moment, which nobody need wait for who only imports, and its types are partial."""
    return import_module("faiss")


def _encoder(features: Features, rows: NDArray[np.int64], metric: Metric, dimensions: int, seed: int) -> Encoder:
    d = features.shape[1]
    if not dimensions:
        return Encoder(metric, np.zeros(d, np.float32), np.zeros((0, d), np.float32))
    if dimensions > min(d, len(rows)):
        raise ValueError(
            f"PCA{dimensions} cannot keep more dimensions than the features have ({d}) or there are rows ({len(rows)})."
        )
    from sklearn.utils.extmath import randomized_svd

    vectors = torch.cat([_vectors(features[part], metric) for part in _parts(rows, d)]).numpy()
    mean = vectors.mean(0) * (metric != "inner product")
    _, _, axes = randomized_svd(vectors - mean, dimensions, n_iter=2, random_state=seed)
    return Encoder(metric, mean.astype(np.float32), np.ascontiguousarray(axes, np.float32))


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
    lists = int(inner.nlist) if isinstance(inner, faiss.IndexIVF) else 0
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
