import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from analysis.retrieval import METRICS, Metric, distances_to
from analysis.retrieval.metrics import rank, rank_all


@pytest.mark.parametrize("metric", METRICS)
def test_distances_are_those_of_scipy(
    metric: Metric, features: NDArray[np.float16], queries: NDArray[np.float32]
) -> None:
    some = features[features.any(1)].astype(np.float64)
    for query in queries[:-1].astype(np.float64):
        truth = some @ query if metric == "inner product" else cdist(query[None], some, metric)[0]
        np.testing.assert_allclose(distances_to(query, some, metric), truth, rtol=1e-12, atol=1e-12)


def test_the_cosine_distance_to_nothing_is_one_and_to_the_same_is_exactly_zero(features: NDArray[np.float16]) -> None:
    nothing = np.zeros((2, features.shape[1]), np.float16)
    assert distances_to(features[0], nothing, "cosine").tolist() == [1, 1]
    assert distances_to(nothing[0], features[:3], "cosine").tolist() == [1, 1, 1]
    assert all(distances_to(vector, vector[None], "cosine") == 0 for vector in features[:200])


@pytest.mark.parametrize("metric", METRICS)
def test_equal_vectors_have_equal_distances_in_whatever_company(metric: Metric, features: NDArray[np.float16]) -> None:
    alone = distances_to(features[3], features[7:8], metric)[0]
    among = distances_to(features[3], features, metric)
    assert among[[7, 500, 501, 1499]].tolist() == [alone] * 4


def test_the_smaller_of_two_equally_near_rows_is_first_however_they_are_given(features: NDArray[np.float16]) -> None:
    rows, distances = rank(features, features[7], np.array([1499, 3, 501, 7, 500]), 4, "euclidean")
    assert rows.tolist() == [7, 500, 501, 1499]
    assert distances.tolist() == [0, 0, 0, 0]


def test_what_is_missing_is_row_minus_one_and_infinitely_far(features: NDArray[np.float16]) -> None:
    candidates = [np.array([4, 2]), np.empty(0, np.int64)]
    hits = rank_all(features, features[2:4].astype(np.float32), candidates, 3, "euclidean")
    assert hits.rows.tolist() == [[2, 4, -1], [-1, -1, -1]]
    assert np.isinf(hits.distances).tolist() == [[False, False, True], [True] * 3]
    assert (
        rank_all(features, features[2:3].astype(np.float32), [candidates[1]], 1, "inner product").distances == -np.inf
    )
