import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from analysis.retrieval import METRICS, Metric
from analysis.retrieval.codes import Codes
from analysis.retrieval.lists import load_faiss
from analysis.retrieval.work import Work
from tests.analysis.retrieval.conftest import D, N, brute_force

ROWS = np.arange(N)


def codes_of(
    factory: str, features: NDArray[np.floating], rows: NDArray[np.int64] = ROWS, metric: Metric = "euclidean"
) -> Codes:
    codes = Codes.learn(factory, features, rows, metric, seed=0, work=Work())
    codes.add(features, rows)
    return codes


@pytest.mark.parametrize("metric", METRICS)
def test_codes_that_lose_nothing_find_what_is_nearest(
    metric: Metric, features: NDArray[np.float16], queries: NDArray[np.float32]
) -> None:
    asked = queries[9:-1]  # without ties
    found = codes_of("Flat", features, metric=metric).candidates(asked, 5, 1)
    assert (found == brute_force(features, asked, 5, metric)[0]).all()


def test_the_principal_axes_are_those_of_scikit_learn(features: NDArray[np.float16]) -> None:
    encoder = codes_of("PCA6,Flat", features).encoder
    expected = PCA(6, svd_solver="full").fit(features.astype(np.float64))
    np.testing.assert_allclose(encoder.mean, expected.mean_, atol=1e-5)
    np.testing.assert_allclose(np.abs(encoder.axes @ expected.components_.T), np.eye(6), atol=0.02)
    np.testing.assert_allclose(encoder.axes @ encoder.axes.T, np.eye(6), atol=1e-5)


def test_inner_products_survive_when_all_axes_are_kept(features: NDArray[np.float16]) -> None:
    encoder = codes_of(f"PCA{D},Flat", features, metric="inner product").encoder
    some = features[:50].astype(np.float32)
    np.testing.assert_allclose(encoder(some) @ encoder(some).T, some @ some.T, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "factory", ["Flat", "SQ8", "IVF8,SQ8", "PCA8,HNSW8_SQ8", "RR24,IVF8,PQ6x4", "PQ6x4", "PQ6x4fs"]
)
def test_only_allowed_rows_are_found_and_none_twice(
    factory: str, features: NDArray[np.float16], queries: NDArray[np.float32]
) -> None:
    rows = np.random.default_rng(4).permutation(N)[:1200]  # in an order of their own, and not all
    codes = codes_of(factory, features, rows)
    allowed = np.random.default_rng(5).random(N) < 0.4
    for mask in (None, allowed):
        found = codes.candidates(queries, 20, 64, mask)
        inside = np.isin(np.arange(N), rows) if mask is None else np.isin(np.arange(N), rows) & mask
        assert (found >= 0).mean() > 0.9
        for row in found:
            assert inside[row[row >= 0]].all()
            assert len(np.unique(row[row >= 0])) == (row >= 0).sum()


def test_more_effort_finds_more(features: NDArray[np.float16], queries: NDArray[np.float32]) -> None:
    codes = codes_of("IVF32,Flat", features)
    true = brute_force(features, queries, 10, "euclidean")[0]
    shares = [np.isin(true, codes.candidates(queries, 10, effort)).mean() for effort in codes.efforts]
    assert codes.efforts == [1, 2, 4, 8, 16, 32]
    assert shares[0] < shares[-1]
    assert shares[-1] > 0.97


def test_bytes_are_those_that_faiss_would_write(features: NDArray[np.float16]) -> None:
    codes = codes_of("PCA8,SQ8", features)
    written = len(load_faiss().serialize_index(codes.index))
    assert codes.bytes == written + 4 * 8 * D + 4 * D + 8 * N


def test_what_faiss_does_not_know_is_refused(features: NDArray[np.float16]) -> None:
    with pytest.raises(ValueError, match="cannot make 'NOTHING'"):
        codes_of("NOTHING", features)
    with pytest.raises(ValueError, match="PCA25 cannot keep more dimensions"):
        codes_of("PCA25,Flat", features)


def test_faiss_is_not_loaded_before_it_is_needed() -> None:
    script = "import sys, analysis.retrieval; sys.exit('faiss' in sys.modules or 'sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
