from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.retrieval import METRICS, Metric, exact
from analysis.retrieval.exact import search_exact, squared_lengths
from tests.analysis.retrieval.conftest import D, N, brute_force

FILTERS = {
    "all": lambda rng: np.ones(N, np.bool_),
    "half": lambda rng: rng.random(N) < 0.5,
    "one block": lambda rng: (np.arange(N) >= 32) & (np.arange(N) < 48),
    "five": lambda rng: np.isin(np.arange(N), [7, 8, 500, 900, 1499]),
    "none": lambda rng: np.zeros(N, np.bool_),
}


@pytest.mark.parametrize("k", [1, 10, 200])
@pytest.mark.parametrize("metric", METRICS)
def test_exact_search_is_a_comparison_of_everything(
    metric: Metric, k: int, features: NDArray[np.float16], queries: NDArray[np.float32]
) -> None:
    hits = search_exact(features, queries, k, metric, squares=squared_lengths(features))
    rows, distances = brute_force(features, queries, k, metric)
    assert (hits.rows == rows).all()
    np.testing.assert_allclose(hits.distances, distances, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("metric", METRICS)
def test_a_filtered_search_compares_the_allowed_rows(
    metric: Metric, name: str, features: NDArray[np.float16], queries: NDArray[np.float32]
) -> None:
    allowed = FILTERS[name](np.random.default_rng(2))
    hits = search_exact(features, queries, 10, metric, squares=squared_lengths(features), allowed=allowed)
    rows, distances = brute_force(features, queries, 10, metric, allowed)
    assert (hits.rows == rows).all()
    np.testing.assert_allclose(hits.distances, distances, rtol=1e-12, atol=1e-12)


def test_vectors_that_float32_cannot_tell_apart_are_told_apart() -> None:
    rng = np.random.default_rng(3)
    features = (1000 + 0.01 * rng.normal(size=(400, D))).astype(np.float32)
    queries = features[::40] + np.float32(0.001)
    rows, distances = brute_force(features, queries, 5, "euclidean")
    squares = squared_lengths(features)
    naive = np.argsort(squares - 2 * queries @ features.T, axis=1, kind="stable")[:, :5]
    assert (naive != rows).any()  # else the vectors prove nothing
    hits = search_exact(features, queries, 5, "euclidean", squares=squares)
    assert (hits.rows == rows).all()
    np.testing.assert_allclose(hits.distances, distances, rtol=1e-12)


def test_where_all_are_equal_the_first_rows_are_found() -> None:
    features = np.ones((100, D), np.float32)
    for metric in METRICS:
        hits = search_exact(features, features[:2], 7, metric, squares=squared_lengths(features))
        assert hits.rows.tolist() == [list(range(7))] * 2


def test_more_queries_than_go_into_one_pass_get_the_same(
    features: NDArray[np.float16], queries: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    squares = squared_lengths(features)
    whole = search_exact(features, queries, 5, "cosine", squares=squares)
    monkeypatch.setattr(exact, "QUERIES", 7)
    parts = search_exact(features, queries, 5, "cosine", squares=squares)
    assert (parts.rows == whole.rows).all()
    assert (parts.distances == whole.distances).all()


def test_features_on_disk_are_read_a_block_at_a_time(
    tmp_path: Path, features: NDArray[np.float16], queries: NDArray[np.float32]
) -> None:
    np.save(tmp_path / "features.npy", features)
    watched = Watched(np.load(tmp_path / "features.npy", mmap_mode="r"))
    squares = squared_lengths(watched)
    hits = search_exact(watched, queries, 10, "euclidean", squares=squares, allowed=np.arange(N) % 3 > 0)
    assert (hits.rows == brute_force(features, queries, 10, "euclidean", np.arange(N) % 3 > 0)[0]).all()
    assert watched.most <= 16  # rows in a block, and hardly more candidates than neighbours


def test_squared_lengths_are_those_of_numpy_and_refuse_what_is_no_number(features: NDArray[np.float16]) -> None:
    np.testing.assert_allclose(squared_lengths(features, 3), np.square(features[3:].astype(float)).sum(1), rtol=1e-6)
    for wrong in (np.nan, np.inf, 1e19):
        spoilt = features.astype(np.float32)
        spoilt[77, 2] = wrong
        with pytest.raises(ValueError, match="row 77"):
            squared_lengths(spoilt)


class Watched:
    """Features that remember how many rows were read at once."""

    def __init__(self, features: NDArray[np.float16]) -> None:
        self.features, self.shape, self.most = features, features.shape, 0

    def __getitem__(self, rows: Any) -> NDArray[np.float16]:
        read = self.features[rows]
        self.most = max(self.most, len(read))
        return read
