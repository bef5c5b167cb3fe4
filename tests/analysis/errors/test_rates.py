"""Rates against counts by hand."""

import math

import pytest

from analysis.errors.rates import rates, share
from analysis.stats import Interval
from tests.analysis.errors.tables import random_table


def test_rates_count_the_images_whose_truth_is_not_among_the_first() -> None:
    table = random_table()
    ranks = table["rank"].to_pylist()
    found = rates(table)
    assert found.n == found.top1_wrong.n == found.top5_wrong.n == len(ranks)
    assert found.top1_wrong.hits == sum(rank > 0 for rank in ranks)
    assert found.top5_wrong.hits == sum(rank > 4 for rank in ranks)
    assert 0 < found.top5_wrong.hits < found.top1_wrong.hits < len(ranks)


def test_the_interval_is_wilsons_published_one() -> None:
    """Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3: 81 of 263."""
    found = share(81, 263)
    assert found.value == 81 / 263
    assert found.interval == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_nothing_counted_leaves_everything_possible() -> None:
    nothing = share(0, 0)
    assert math.isnan(nothing.value)
    assert nothing.interval == Interval(0, 1)
    assert rates(random_table().slice(0, 0)).top1_wrong == nothing


def test_more_hits_than_images_are_refused() -> None:
    with pytest.raises(ValueError):
        share(3, 2)
