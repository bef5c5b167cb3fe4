"""How alike two feature vectors are: what every search ends with, computed the same way wherever a vector lies."""

from typing import Any, Literal, NamedTuple, Protocol, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.dlpack import from_dlpack

Metric = Literal["euclidean", "cosine", "inner product"]
METRICS: tuple[Metric, ...] = get_args(Metric)
ROWS = 2048  # vectors compared at once in float64


class Features(Protocol):
    """Vectors (n, d) in memory or on disk: an array, a memory-mapped file, a `FeatureStore`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, d)."""

    def __getitem__(self, rows: Any, /) -> Any:
        """The vectors of a slice, or of rows (m,), as an array (m, d)."""


class Hits(NamedTuple):
    """What was found for each of q queries, nearest first; of equals the smaller row stands first."""

    rows: NDArray[np.int64]  # (q, k); -1 where there are fewer than k
    distances: NDArray[np.float64]  # (q, k), see `distances_to`; inf where there are fewer than k (-inf: inner product)


def distances_to(query: NDArray[np.floating], vectors: NDArray[np.floating], metric: Metric) -> NDArray[np.float64]:
    """Distances (m,) between a query (d,) and vectors (m, d), in float64; equal vectors give equal bits.

    "euclidean" (the paper's), not squared; "cosine": 1 - cosine, from 0 to 2, and 1 where a vector is all zeros;
    "inner product": the product itself, of which the largest is the nearest.
    """
    one, many = np.asarray(query, np.float64), _copy(vectors)
    if metric == "euclidean":
        many -= one
        return np.asarray(np.sqrt(np.square(many, out=many).sum(1)))
    products: NDArray[np.float64] = (many * one).sum(1)
    if metric == "inner product":
        return products
    lengths = np.sqrt(np.square(many).sum(1) * np.square(one).sum())
    cosines = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
    return np.asarray(1 - cosines)


def as_tensor(block: NDArray[np.floating]) -> torch.Tensor:
    """A tensor on the same bytes, only to be read: ``torch.from_numpy`` warns where they cannot be written."""
    return from_dlpack(block)


def rank(
    features: Features, query: NDArray[np.floating], rows: NDArray[np.int64], k: int, metric: Metric
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The k of the rows (m,) that are nearest to a query (d,), and their distances; fewer if m is smaller."""
    rows = np.sort(rows)  # read in the order in which they lie
    blocks = [distances_to(query, features[rows[i : i + ROWS]], metric) for i in range(0, len(rows), ROWS)]
    distances = np.concatenate([np.empty(0), *blocks])
    order = np.argsort(-distances if metric == "inner product" else distances, kind="stable")[:k]
    return rows[order], distances[order]


def rank_all(
    features: Features, queries: NDArray[np.float32], candidates: list[NDArray[np.int64]], k: int, metric: Metric
) -> Hits:
    """The k nearest of each query's own candidates, by their exact distances."""
    worst = -np.inf if metric == "inner product" else np.inf
    hits = Hits(np.full((len(queries), k), -1, np.int64), np.full((len(queries), k), worst))
    for number, (query, rows) in enumerate(zip(queries, candidates, strict=True)):
        found, distances = rank(features, query, rows, k, metric)
        hits.rows[number, : len(found)], hits.distances[number, : len(found)] = found, distances
    return hits


def _copy(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """In float64; torch converts float16 many times faster than NumPy, and fastest by way of float32."""
    read = as_tensor(vectors)
    short = read.float() if read.dtype == torch.float16 else read
    copied: NDArray[np.float64] = short.to(torch.float64, copy=True).numpy()
    return copied
