"""Features for tests of indexes, small blocks so that there are many, and the truth."""

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.retrieval import Metric, exact
from analysis.retrieval import index as index_module

N, D = 1500, 24


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 16 rows, and no index so small that it is not used."""
    monkeypatch.setattr(exact, "BLOCK_BYTES", 16 * 4 * D)
    monkeypatch.setattr(index_module, "FEW_BYTES", 0)


@pytest.fixture(scope="session")
def features() -> NDArray[np.float16]:
    """Like fc7: groups of alike vectors, no negative values, many zeros; row 7 comes four times, in four blocks."""
    rng = np.random.default_rng(0)
    groups = rng.normal(0, 1, (20, D))[rng.integers(0, 20, N)]
    made = np.maximum(groups + rng.normal(0, 0.5, (N, D)), 0).astype(np.float16)
    made[[500, 501, 1499]] = made[7]
    made.flags.writeable = False
    return made


@pytest.fixture(scope="session")
def queries(features: NDArray[np.float16]) -> NDArray[np.float32]:
    """Some that are in the features, row 7 among them, some near them, and one that is all zeros."""
    near = features[40:60] + np.random.default_rng(1).normal(0, 0.3, (20, D))
    return np.concatenate([features[:9], near, np.zeros((1, D))]).astype(np.float32)


def brute_force(
    features: NDArray[np.floating],
    queries: NDArray[np.floating],
    k: int,
    metric: Metric,
    allowed: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Rows and distances (q, k) by comparing everything, in float64, one query at a time; -1 and inf past the end."""
    many = features.astype(np.float64)
    rows, distances = np.full((len(queries), k), -1), np.full((len(queries), k), np.inf)
    numbers = np.arange(len(many)) if allowed is None else np.flatnonzero(allowed)
    for i, query in enumerate(queries.astype(np.float64)):
        values = np.linalg.norm(many - query, axis=1) if metric == "euclidean" else -np.einsum("nd,d->n", many, query)
        if metric == "cosine":
            lengths = np.linalg.norm(many, axis=1) * np.linalg.norm(query)
            values = 1 + np.where(lengths > 0, values / np.where(lengths > 0, lengths, 1), 0)
        order = numbers[np.lexsort((numbers, values[numbers].round(12)))][:k]
        rows[i, : len(order)], distances[i, : len(order)] = order, values[order]
    return rows, -distances if metric == "inner product" else distances
