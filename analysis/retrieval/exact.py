"""Exact search that reads the features block by block, as fast as matrix products and as exact as float64.

The products are float32, and how far rounding can take them from the truth has a bound. Whatever can, within that
bound, be among the nearest is compared again in float64, so that the result is that of a comparison of all vectors.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from analysis.retrieval.metrics import Features, Hits, Metric, as_tensor, rank_all

QUERIES = 256  # answered in one pass over the features
BLOCK_BYTES = 4 << 20  # of features in float32: stays in the processor's cache
BATCH = 16_384  # vectors whose products are looked at together
LONGEST = 1e18  # a vector whose square float32 can hold
_UNIT = 2.0**-24  # relative rounding error of float32


def search_exact(
    features: Features,
    queries: NDArray[np.float32],
    k: int,
    metric: Metric,
    *,
    squares: NDArray[np.float32],
    allowed: NDArray[np.bool_] | None = None,
) -> Hits:
    """The k nearest features of each query (q, d), as if all were compared in float64.

    `squares` (n,) are the `squared_lengths` of the first n features, among which it is searched; `allowed` (n,) are the
    rows that may be found, all by default. Memory stays flat: one block of the features is in float32 at once.
    """
    candidates: list[NDArray[np.int64]] = []
    for start in range(0, len(queries), QUERIES):
        candidates += _candidates(features, queries[start : start + QUERIES], k, metric, squares, allowed)
    return rank_all(features, queries, candidates, k, metric)


def squared_lengths(
    features: Features, start: int = 0, tell: Callable[[int, int], None] = lambda done, total: None
) -> NDArray[np.float32]:
    """Sums of squares (n - start,) of the features from a row on; `tell` is told of how many, and of all.

    Raises ``ValueError`` unless they are finite.
    """
    n, d = features.shape
    size = rows_in_block(d)
    found = np.empty(n - start, np.float32)
    buffer = torch.empty(size, d)  # new memory for each block would lie scattered
    for i in range(start, n, size):
        read = as_tensor(features[i : min(i + size, n)])
        block = buffer[: len(read)].copy_(read)
        found[i - start : i - start + len(read)] = block.square_().sum(1).numpy()
        tell(i - start + len(read), n - start)
    if len(wrong := np.flatnonzero(~(found < LONGEST**2))):
        raise ValueError(
            f"Features must be finite and shorter than {LONGEST:g}; those of row {start + wrong[0]} are not."
        )
    return found


def rows_in_block(d: int) -> int:
    """How many vectors (d,) are read at once."""
    return max(1, BLOCK_BYTES // (4 * d))


class _Scale(NamedTuple):
    """What turns inner products with some vectors (m,) into costs, the nearest's the smallest, and their errors."""

    offset: Tensor  # cost = offset - factor * product
    factor: Tensor
    error: Tensor  # of the cost, at most this times the query's length, plus `rest`
    rest: Tensor


def _candidates(
    features: Features,
    queries: NDArray[np.float32],
    k: int,
    metric: Metric,
    squares: NDArray[np.float32],
    allowed: NDArray[np.bool_] | None,
) -> list[NDArray[np.int64]]:
    """The rows of each query that may be among its k nearest: hardly more than k of them."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    wanted = torch.from_numpy(queries).to(device)
    lengths = wanted.double().norm(dim=1, keepdim=True).float()
    inside = np.arange(len(squares)) if allowed is None else np.flatnonzero(allowed)
    best = torch.full((len(queries), k), torch.inf, device=device)  # upper bounds of the costs of the k nearest
    found: list[tuple[Tensor, Tensor, Tensor]] = []  # query, row, lower bound of its cost
    for rows in (inside[i : i + BATCH] for i in range(0, len(inside), BATCH)):
        scale = _scale(torch.from_numpy(squares[rows]).to(device), features.shape[1], metric)
        cost = scale.offset - scale.factor * _products(features, rows, wanted)
        error = scale.error * lengths + scale.rest
        best = torch.cat([best, cost + error], 1).topk(k, largest=False).values
        lower = cost - error
        query, column = (lower <= best[:, -1:]).nonzero(as_tuple=True)
        found.append((query, torch.from_numpy(rows).to(device)[column], lower[query, column]))
    return _by_query(found, best[:, -1])


def _products(features: Features, rows: NDArray[np.int64], wanted: Tensor) -> Tensor:
    """Inner products of queries (q, d) with some features, shape (q, m)."""
    d, m = features.shape[1], len(rows)
    size = rows_in_block(d)
    buffer = torch.empty(min(size, m), d, device=wanted.device)
    products = torch.empty(len(wanted), m, device=wanted.device)
    for start in range(0, m, size):
        part = rows[start : start + size]
        together = part[-1] + 1 - part[0] == len(part)
        read = features[part[0] : part[-1] + 1] if together else features[part]
        block = buffer[: len(part)].copy_(as_tensor(read))
        torch.mm(wanted, block.T, out=products[:, start : start + len(part)])
    return products


def _by_query(found: list[tuple[Tensor, Tensor, Tensor]], limit: Tensor) -> list[NDArray[np.int64]]:
    """The rows of each query whose lower bounds do not exceed its limit."""
    if not found:
        return [np.empty(0, np.int64)] * len(limit)
    query, row, lower = (torch.cat(part) for part in zip(*found, strict=True))
    near = lower <= limit[query]
    query, row = query[near].cpu(), row[near].cpu()
    order = query.argsort(stable=True)
    counts = query.bincount(minlength=len(limit)).cumsum(0)[:-1]
    return np.split(row[order].numpy(), counts.numpy())


def _scale(squares: Tensor, d: int, metric: Metric) -> _Scale:
    """How inner products become costs: squared distance less the query's own square, or the negative similarity.

    The rounding error of a product of d terms is at most d u / (1 - d u) times both lengths, in whatever order they
    are summed (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1); u = 2**-24 in float32.
    """
    share = (d + 16) * _UNIT / (1 - (d + 16) * _UNIT)  # 16: the few operations around the product
    share *= 1 + share  # the lengths are no more exact than that
    lengths, zeros = squares.sqrt(), torch.zeros_like(squares)
    match metric:
        case "euclidean":
            return _Scale(squares, zeros + 2, 2 * share * lengths, share * squares)
        case "cosine":
            return _Scale(zeros, 1 / lengths.clamp_min(1e-18), zeros + 2 * share, zeros)
        case "inner product":
            return _Scale(zeros, zeros + 1, share * lengths, zeros)
