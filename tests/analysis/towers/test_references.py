"""The published rows agree with themselves: what follows from their counts is what they print."""

import pytest

from analysis.stats import mutual_information, purity_p
from analysis.towers.references import REFERENCES


@pytest.mark.parametrize("row", REFERENCES, ids=lambda row: row.name)
def test_a_row_agrees_with_its_own_counts(row):
    (a, b), size = row.colour, 48
    colour = [True] * a + [False] * (size - a) + [True] * b + [False] * (size - b)
    assert row.share_of_colour == pytest.approx(b / (a + b), abs=0.005)
    assert row.share_of_tower == pytest.approx(b / size, abs=0.006)
    assert row.mutual_information == pytest.approx(mutual_information([0] * size + [1] * size, colour), abs=6e-4)
    assert row.purity_p == pytest.approx(purity_p(row.colour, (size, size)), rel=0.05)
    assert row.difference == pytest.approx(row.mean_chroma[1] - row.mean_chroma[0], abs=1e-9)
    assert row.interval.low < row.difference < row.interval.high
    assert row.auc_interval.low < row.auc < row.auc_interval.high
    assert row.null_95 < row.null_999 < row.null_largest < row.difference
