import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.retrieval.checks import RetrievalError, as_mask, as_queries, check_same, fingerprint, shape_of
from tests.analysis.retrieval.conftest import D, N


def test_queries_are_one_or_many_of_the_right_width() -> None:
    assert as_queries(np.ones(3), 3).shape == (1, 3)
    assert as_queries([[1, 2, 3], [4, 5, 6]], 3).dtype == np.float32
    for wrong in (np.ones(4), np.ones((2, 2, 3)), np.ones((2, 4))):
        with pytest.raises(RetrievalError, match=r"must be \(q, 3\)"):
            as_queries(wrong, 3)
    for wrong in (np.nan, np.inf, 1e30):
        with pytest.raises(RetrievalError, match="finite"):
            as_queries([wrong, 0, 0], 3)


def test_rows_are_given_by_number_or_as_a_mask() -> None:
    assert as_mask([3, 1, 3], 5).tolist() == [False, True, False, True, False]
    assert as_mask([], 2).tolist() == [False, False]
    assert as_mask(range(1, 3), 4).tolist() == [False, True, True, False]
    assert as_mask(np.array([True, False]), 2).tolist() == [True, False]
    with pytest.raises(RetrievalError, match="from 0 to 4, got -1"):
        as_mask([-1], 5)
    with pytest.raises(RetrievalError, match="from 0 to 4, got 5"):
        as_mask([0, 5], 5)
    with pytest.raises(RetrievalError, match=r"\(5,\), got \(2,\)"):
        as_mask([True, False], 5)
    with pytest.raises(RetrievalError, match="numbers"):
        as_mask([0.5], 5)


def test_features_are_known_again_after_they_have_grown_and_others_are_not(features: NDArray[np.float16]) -> None:
    known = fingerprint(features, 1000)
    check_same(features, 1000, D, known)
    check_same(features.astype(np.float32), 1000, D, known)
    with pytest.raises(RetrievalError, match="other features"):
        check_same(features[::-1], 1000, D, known)
    with pytest.raises(RetrievalError, match="other features"):
        check_same(features[:, ::-1], 1000, D, known)
    for wrong in (features[:999], features[:, :-1]):
        with pytest.raises(RetrievalError, match="fit again"):
            check_same(wrong, 1000, D, known)


def test_features_are_a_table_that_is_not_empty(features: NDArray[np.float16]) -> None:
    assert shape_of(features) == (N, D)
    for wrong in (features[0], features[:0], features[:, :0], features[None]):
        with pytest.raises(RetrievalError, match=r"must be \(n, d\)"):
            shape_of(wrong)
