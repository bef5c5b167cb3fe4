import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.retrieval import METRICS, Metric, Tuning, distances_to
from analysis.retrieval.rerank import FACTORS, search_codes, tuned
from tests.analysis.retrieval.conftest import N, brute_force
from tests.analysis.retrieval.test_codes import codes_of


@pytest.mark.parametrize("metric", METRICS)
def test_crude_codes_give_exact_distances_in_order(
    metric: Metric, features: NDArray[np.float16], queries: NDArray[np.float32]
) -> None:
    codes = codes_of("PCA8,IVF8,PQ2x4", features, metric=metric)
    hits = search_codes(codes, features, queries, 10, Tuning(effort=2, factor=2))
    for query, rows, distances in zip(queries, *hits, strict=True):
        assert (distances == distances_to(query, features[rows], metric)).all()
        key = -distances if metric == "inner product" else distances
        assert (np.lexsort((rows, key)) == np.arange(10)).all()


def test_the_tuning_is_the_least_that_reaches_the_wanted_recall(
    features: NDArray[np.float16], queries: NDArray[np.float32]
) -> None:
    codes = codes_of("IVF32,PQ6x4", features)
    true = brute_force(features, queries, 100, "euclidean")[0]
    chosen = tuned(codes, features, queries, true, 0.9)

    def recall(tuning: Tuning) -> float:
        found = search_codes(codes, features, queries, 10, tuning).rows
        return float(np.mean([np.isin(a, b).mean() for a, b in zip(true[:, :10], found, strict=True)]))

    assert recall(chosen) >= 0.9
    assert recall(Tuning(1, 1)) < 0.9
    if chosen.factor > 1:
        assert recall(chosen._replace(factor=FACTORS[FACTORS.index(chosen.factor) - 1])) < 0.9


def test_a_recall_out_of_reach_gets_the_best_there_is(
    features: NDArray[np.float16], queries: NDArray[np.float32]
) -> None:
    codes = codes_of("IVF32,PQ6x4", features)
    true = brute_force(features, queries, 10, "euclidean")[0]
    assert tuned(codes, features, queries, true, 1.1).effort >= 16


def test_a_filter_makes_the_search_look_harder(features: NDArray[np.float16], queries: NDArray[np.float32]) -> None:
    codes, few = codes_of("IVF32,Flat", features), np.arange(N) % 20 == 0
    hits = search_codes(codes, features, queries, 10, Tuning(effort=2, factor=1), few)
    true = brute_force(features, queries, 10, "euclidean", few)[0]
    assert np.mean([np.isin(a, b).mean() for a, b in zip(true, hits.rows, strict=True)]) > 0.95


def test_few_neighbours_are_looked_for_among_as_many_candidates_as_ten() -> None:
    assert [Tuning(1, 5).candidates(k) for k in (1, 10, 30)] == [50, 50, 150]
