"""Approximate search: codes say which rows are worth comparing, the features say which of them are nearest."""

from math import ceil
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.retrieval.codes import Codes
from analysis.retrieval.measure import recall_at, single_ms
from analysis.retrieval.metrics import Features, Hits, rank_all

LEAST = 10  # neighbours that candidates are looked for, also where fewer are wanted; what recall is tuned at
FACTORS = (1, 2, 5, 10, 20, 50)  # candidates for each neighbour, tried in turn
TIMED = 3  # tunings that are good enough, of which the quickest is taken


class Tuning(NamedTuple):
    """How hard an approximate search looks."""

    effort: int  # see `Codes.efforts`
    factor: int  # candidates compared again for each wanted neighbour

    def candidates(self, k: int) -> int:
        """How many are compared again for k neighbours."""
        return max(k, LEAST) * self.factor


def search_codes(
    codes: Codes,
    features: Features,
    queries: NDArray[np.float32],
    k: int,
    tuning: Tuning,
    allowed: NDArray[np.bool_] | None = None,
) -> Hits:
    """The k nearest of the candidates that the codes give for each query; among the `allowed` rows (n,).

    The fewer are allowed, the further they lie: the search looks that much harder.
    """
    scarcity = 1 if allowed is None else ceil(len(allowed) / max(1, int(np.count_nonzero(allowed))))
    near = codes.candidates(queries, tuning.candidates(k), tuning.effort * scarcity, allowed)
    return rank_all(features, queries, [rows[rows >= 0] for rows in near], k, codes.encoder.metric)


def tuned(
    codes: Codes, features: Features, queries: NDArray[np.float32], true: NDArray[np.int64], recall: float
) -> Tuning:
    """The quickest tuning that reaches a recall@10, given the true neighbours (q, >= 10); the best if none does."""
    reached: list[tuple[float, Tuning]] = []
    tried: list[tuple[float, Tuning]] = []
    for effort in codes.efforts:
        for tuning in (Tuning(effort, factor) for factor in FACTORS):
            near = codes.candidates(queries, tuning.candidates(LEAST), effort)
            # Re-ranking is exact: what is among the candidates is found.
            tried.append((recall_at(LEAST, near, true, first=None), tuning))
            if tried[-1][0] >= recall:
                reached.append((_milliseconds(codes, features, queries, tuning), tuning))
                break
        if len(reached) == TIMED:
            break
    return min(reached)[1] if reached else max(tried)[1]


def _milliseconds(codes: Codes, features: Features, queries: NDArray[np.float32], tuning: Tuning) -> float:
    return single_ms(lambda some, k: search_codes(codes, features, some, k, tuning), queries)
