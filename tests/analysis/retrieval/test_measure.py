import numpy as np
import pytest
from numpy.typing import NDArray

import analysis.retrieval.measure as module
from analysis.retrieval import Hits
from analysis.retrieval.measure import batch_ms, recall_at, single_ms


def test_recall_is_the_share_of_the_true_neighbours_that_are_found() -> None:
    true = np.array([[1, 2, 3, 4], [5, 6, 7, 8]])
    found = np.array([[2, 9, 1, 3], [-1, -1, -1, -1]])
    assert recall_at(2, found, true, first=2) == 0.25
    assert recall_at(2, found, true, first=None) == 0.5
    assert recall_at(1, found, true, first=1) == 0
    assert recall_at(4, true, true, first=4) == 1


def test_times_are_those_of_one_query(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, asked = [0.0], []
    monkeypatch.setattr(module, "perf_counter", lambda: clock[0])

    def search(queries: NDArray[np.float32], k: int) -> Hits:
        asked.append(len(queries))
        clock[0] += 0.5 + 0.002 * len(queries)
        return Hits(np.zeros((len(queries), k), np.int64), np.zeros((len(queries), k)))

    queries = np.zeros((120, 4), np.float32)
    assert single_ms(search, queries) == pytest.approx(502)
    assert batch_ms(search, queries) == pytest.approx(7)
    assert set(asked) == {1, 100}
