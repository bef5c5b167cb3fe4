"""How good and how fast a search is, by queries that the index does not hold."""

from collections.abc import Callable
from time import perf_counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.retrieval.metrics import Hits

AT = (1, 10, 100)  # neighbours that recall is measured at
BATCH = 100  # queries asked together
SINGLES = 9  # queries timed one by one

Search = Callable[[NDArray[np.float32], int], Hits]


class Measured(NamedTuple):
    """What an index was measured to be when it was built. Recall@k: share of the true k nearest that are found."""

    queries: int
    recall: tuple[float, ...]  # at 1, 10 and 100, after re-ranking
    recall_of_codes: tuple[float, ...]  # before it
    single_ms: float  # for the 10 nearest of a query alone, median
    batch_ms: float  # per query, 100 together
    bytes: int  # kept in memory; the features stay where they are
    disk_bytes: int  # of inverted lists that are in a file
    build_s: float  # since the fit went on, if it had been killed


def recall_at(k: int, found: NDArray[np.int64], true: NDArray[np.int64], *, first: int | None) -> float:
    """Mean share of the true k nearest rows (q, >= k) that are among the `first` rows found, all if ``None``."""
    pairs = zip(true[:, :k], found[:, :first], strict=True)
    return float(np.mean([np.isin(wanted, got).mean() for wanted, got in pairs]))


def single_ms(search: Search, queries: NDArray[np.float32], k: int = 10) -> float:
    """Median time for a query alone, after one to warm up."""
    alone = [queries[i : i + 1] for i in range(min(len(queries), SINGLES))]
    search(alone[0], k)
    return 1e3 * float(np.median([_seconds(search, query, k) for query in alone]))


def batch_ms(search: Search, queries: NDArray[np.float32], k: int = 10) -> float:
    """Time per query of the first 100 together."""
    batch = queries[:BATCH]
    return 1e3 * _seconds(search, batch, k) / len(batch)


def _seconds(search: Search, queries: NDArray[np.float32], k: int) -> float:
    start = perf_counter()
    search(queries, k)
    return perf_counter() - start
