from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.retrieval import METRICS, Hits, Index, Metric, RetrievalError, distances_to
from analysis.retrieval import index as module
from tests.analysis.retrieval.conftest import D, N, brute_force

KINDS = ["flat", "SQ8", "PCA12,IVF16,SQ8", "HNSW16_SQ8", "PQ6x4", "OPQ6,IVF8,PQ6x4", "RR24,IVF8,PQ6x4fs"]
FILTERS = {
    "half": lambda rng: rng.random(N) < 0.5,
    "a tenth": lambda rng: rng.random(N) < 0.1,
    "four": lambda rng: np.isin(np.arange(N), [7, 500, 900, 1499]),
    "none": lambda rng: np.zeros(N, np.bool_),
}
_fitted: dict[tuple[str, Metric], Index] = {}


def fitted(kind: str, metric: Metric, features: NDArray[np.float16]) -> Index:
    """An index over the features, which tests must not change."""
    if (kind, metric) not in _fitted:
        _fitted[kind, metric] = Index(kind, metric=metric).fit(features)
    return _fitted[kind, metric]


def check_against(hits: Hits, truth: tuple[NDArray[np.int64], NDArray[np.float64]], recall: float) -> None:
    """So many of the true rows are found, and nothing is nearer than the truth."""
    rows, distances = truth
    shares = [np.isin(a[a >= 0], b).mean() for a, b in zip(rows, hits.rows, strict=True) if (a >= 0).any()]
    assert np.mean(shares or [1]) >= recall
    assert ((hits.rows < 0) == (rows < 0)).all()  # as many as there are
    if recall == 1:
        assert (hits.rows == rows).all()
        np.testing.assert_allclose(hits.distances, distances, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("kind", "metric"),
    [(kind, metric) for kind in KINDS for metric in METRICS if "OPQ" not in kind or metric == "cosine"],
)
def test_every_kind_finds_almost_all_and_every_distance_is_exact(
    kind: str, metric: Metric, features: NDArray[np.float16], queries: NDArray[np.float32]
) -> None:
    hits = fitted(kind, metric, features).search(queries, 10)
    check_against(hits, brute_force(features, queries, 10, metric), 1 if kind == "flat" else 0.85)
    for query, rows, distances in zip(queries, *hits, strict=True):
        assert (distances == distances_to(query, features[rows], metric)).all()
        key = -distances if metric == "inner product" else distances
        assert (np.lexsort((rows, key)) == np.arange(10)).all()


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("kind", KINDS)
def test_filtered_search_finds_what_is_nearest_among_the_allowed(
    kind: str, name: str, features: NDArray[np.float16], queries: NDArray[np.float32]
) -> None:
    allowed = FILTERS[name](np.random.default_rng(2))
    hits = fitted(kind, "euclidean", features).search(queries, 10, allowed=allowed)
    few = kind == "flat" or np.count_nonzero(allowed) <= 10  # then all are compared
    check_against(hits, brute_force(features, queries, 10, "euclidean", allowed), 1 if few else 0.9)
    assert allowed[hits.rows[hits.rows >= 0]].all()
    by_number = fitted(kind, "euclidean", features).search(queries, 10, allowed=np.flatnonzero(allowed))
    assert (by_number.rows == hits.rows).all()


def test_few_allowed_rows_are_all_compared(
    features: NDArray[np.float16], queries: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FEW_BYTES", 4 * D * 300)
    allowed = np.arange(N) % 5 == 0
    hits = fitted("OPQ6,IVF8,PQ6x4", "euclidean", features).search(queries, 10, allowed=allowed)
    check_against(hits, brute_force(features, queries, 10, "euclidean", allowed), 1)


def test_a_search_by_codes_that_comes_up_short_is_made_again_exactly(
    features: NDArray[np.float16], queries: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    index = fitted("PCA12,IVF16,SQ8", "euclidean", features)
    monkeypatch.setattr(index, "tuning_", index.tuning_._replace(effort=1, factor=1))
    hits = index.search(queries, 300)
    short = [row for row, mask in enumerate(index.codes_.candidates(queries, 300, 1) < 0) if mask.any()]
    assert short
    check_against(
        Hits(hits.rows[short], hits.distances[short]), brute_force(features, queries[short], 300, "euclidean"), 1
    )


@pytest.mark.parametrize("kind", KINDS)
def test_added_rows_are_found_and_removed_rows_never_again(
    kind: str, features: NDArray[np.float16], queries: NDArray[np.float32], tmp_path: Path
) -> None:
    index = Index(kind).fit(features[:1200]).remove([7, 500]).add(features).remove(np.arange(N) % 4 == 1)
    live = (np.arange(N) % 4 != 1) & ~np.isin(np.arange(N), [7, 500])
    index.save(tmp_path / "index")
    for searched in (index, Index.open(tmp_path / "index", features)):
        assert len(searched) == live.sum()
        hits = searched.search(queries, 10)
        check_against(hits, brute_force(features, queries, 10, "euclidean", live), 1 if kind == "flat" else 0.9)
        assert live[hits.rows].all()
        some = live & (np.arange(N) > 1100)
        filtered = searched.search(queries, 10, allowed=np.arange(N) > 1100)
        check_against(filtered, brute_force(features, queries, 10, "euclidean", some), 1 if kind == "flat" else 0.9)
        everything = searched.search(queries, N)
        assert live[everything.rows[everything.rows >= 0]].all()
        assert ((everything.rows >= 0).sum(1) == live.sum()).all()


@pytest.mark.parametrize("kind", ["PCA12,IVF16,SQ8", "HNSW16_SQ8"])
def test_measured_recall_is_that_of_queries_the_index_has_not_seen(kind: str, features: NDArray[np.float16]) -> None:
    rng = np.random.default_rng(6)
    unseen = np.maximum(features[rng.integers(0, N, 100)] + rng.normal(0, 0.3, (100, D)), 0)
    index = Index(kind).fit(features, queries=unseen, source="here")
    measured = index.measured_
    assert measured.queries == 100
    for k, recall in zip((1, 10, 100), measured.recall, strict=True):
        true, found = brute_force(features, unseen.astype(np.float32), k, "euclidean")[0], index.search(unseen, k).rows
        assert recall == pytest.approx(np.mean([np.isin(a, b).mean() for a, b in zip(true, found, strict=True)]))
    assert measured.recall[1] >= 0.95 > measured.recall_of_codes[1] or index.tuning_.factor == 1
    assert f"recall@10 {measured.recall[1]:.3f}" in index.explanation
    assert f"{measured.recall_of_codes[1]:.3f}" in index.explanation


def test_rows_held_out_for_measuring_are_in_the_index_afterwards(features: NDArray[np.float16]) -> None:
    index = fitted("HNSW16_SQ8", "euclidean", features)
    assert index.measured_.queries == 150
    assert sorted(index.codes_.rows) == list(range(N))
    assert index.codes_.rows.tolist() != list(range(N))
    assert (index.search(features, 1).distances == 0).mean() > 0.98


def test_a_recall_that_is_not_reached_is_admitted(features: NDArray[np.float16]) -> None:
    index = Index("PQ2x4", recall=1.0).fit(features[:600])
    if index.measured_.recall[1] < 1:
        assert "(asked for: 1)" in index.explanation
    assert Index("auto", recall=1.0).fit(features).choice_.kind == "flat"


def test_fitting_twice_gives_the_same(features: NDArray[np.float16], queries: NDArray[np.float32]) -> None:
    first = Index("PCA12,IVF16,SQ8", seed=3).fit(features)
    again = Index("PCA12,IVF16,SQ8", seed=3).fit(features)
    assert (first.codes_.rows == again.codes_.rows).all()
    np.testing.assert_allclose(first.codes_.encoder.axes, again.codes_.encoder.axes, atol=1e-6)


def test_what_cannot_be_is_refused_in_a_sentence(features: NDArray[np.float16]) -> None:
    with pytest.raises(RetrievalError, match="call fit"):
        Index().search(features[:1], 1)
    with pytest.raises(RetrievalError, match="must be one of"):
        Index(metric="manhattan").fit(features)  # type: ignore[arg-type]
    with pytest.raises(RetrievalError, match="use 'flat'"):
        Index("SQ8").fit(features[:50])
    with pytest.raises(RetrievalError, match="cannot make 'IVF'"):
        Index("IVF").fit(features)
    half_built = Index("flat").fit(features)
    half_built.kind = "IVF"
    with pytest.raises(RetrievalError, match="cannot make"):
        half_built.fit(features)
    with pytest.raises(RetrievalError, match="call fit"):
        half_built.search(features[:1], 1)
    with pytest.raises(RetrievalError, match="must be 1 or more"):
        fitted("flat", "euclidean", features).search(features[:1], 0)
    with pytest.raises(RetrievalError, match="other features"):
        Index("flat").fit(features[:100]).add(features[::-1])
    spoilt = np.where(np.arange(N)[:, None] == 3, np.nan, features)
    with pytest.raises(RetrievalError, match="row 3"):
        Index().fit(spoilt)
