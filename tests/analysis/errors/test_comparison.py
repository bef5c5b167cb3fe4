"""Comparisons against loops, McNemar's test against a sum of binomial coefficients, intervals against simulation."""

import math

import numpy as np
import pyarrow as pa
import pytest

from analysis.errors.comparison import compare, paired_interval
from analysis.predictions import about
from tests.analysis.errors.tables import described, random_table, replaced


def elsewhere(table: pa.Table, train: int, val: int) -> pa.Table:
    """The same images in another gallery, where the splits begin at other ids."""
    firsts = about(table).firsts
    shift = np.where(table["split"].to_numpy(zero_copy_only=False) == "val", val - firsts["val"], train)
    moved = replaced(table, "id", table["id"].to_numpy() + shift)
    return described(moved, firsts={"train": train, "val": val})


def image(table: pa.Table, row: dict[str, object]) -> tuple[object, object]:
    return row["split"], row["id"] - about(table).firsts[row["split"]]


def by_loop(first: pa.Table, second: pa.Table, k: int) -> list[list[int]]:
    now = {image(second, row): row["rank"] < k for row in second.to_pylist()}
    cells = {(True, True): [], (False, True): [], (True, False): [], (False, False): []}
    for position, row in enumerate(first.to_pylist()):
        if (key := image(first, row)) in now:
            cells[row["rank"] < k, now[key]].append(position)
    return list(cells.values())


@pytest.mark.parametrize("k", [1, 5])
def test_the_four_cells_equal_a_loop_wherever_the_galleries_begin(k: int) -> None:
    first = random_table(seed=1)
    second = elsewhere(random_table(seed=2), 0, 1000)
    found = compare(first, second, k)
    assert [cell.tolist() for cell in found[:4]] == by_loop(first, second, k)
    assert found.n == len(first)
    assert all(map(len, found[:4]))


def test_only_images_that_both_have_are_compared() -> None:
    """The second table is of some validation images alone, whose ids count from zero, as an evaluation's do."""
    first, second = random_table(seed=1), random_table(seed=2, shuffled=False)
    part = described(elsewhere(second, 0, 0).slice(200, 60), firsts={"val": 0})
    found = compare(first, part)
    assert [cell.tolist() for cell in found[:4]] == by_loop(first, part, 1)
    assert found.n == 60


def test_a_table_against_itself_changes_nothing() -> None:
    found = compare(random_table(), random_table())
    assert (len(found.fixed), len(found.broken), found.p_value, found.difference) == (0, 0, 1, 0)
    assert found.interval.low < 0 < found.interval.high


def changed(fixed: int, broken: int, n: int) -> tuple[pa.Table, pa.Table]:
    table = random_table(n)
    was = [1] * fixed + [0] * broken + [0] * (n - fixed - broken)
    now = [0] * fixed + [1] * broken + [0] * (n - fixed - broken)
    return replaced(table, "rank", was), replaced(table, "rank", now)


@pytest.mark.parametrize(("fixed", "broken"), [(0, 1), (5, 5), (9, 2), (3, 40), (60, 41)])
def test_the_p_value_is_the_sum_over_results_as_unlikely(fixed: int, broken: int) -> None:
    m = fixed + broken
    extreme = [i for i in range(m + 1) if abs(i - m / 2) >= abs(fixed - m / 2)]
    found = compare(*changed(fixed, broken, 300))
    assert found.p_value == pytest.approx(sum(math.comb(m, i) for i in extreme) / 2**m)
    assert found.difference == (fixed - broken) / 300
    assert found.interval.low < found.difference < found.interval.high


def test_swapped_tables_swap_the_result() -> None:
    first, second = changed(12, 3, 100)
    there, back = compare(first, second), compare(second, first)
    assert there.fixed.tolist() == back.broken.tolist()
    assert there.p_value == back.p_value
    assert there.difference == -back.difference
    assert there.interval == pytest.approx((-back.interval.high, -back.interval.low))


@pytest.mark.parametrize(("fixed", "broken", "n"), [(0.1, 0.05, 200), (0.02, 0.01, 400), (0.3, 0.3, 60)])
def test_the_interval_covers_the_truth_as_often_as_it_says(fixed: float, broken: float, n: int) -> None:
    draws = np.random.default_rng(0).multinomial(n, [fixed, broken, 1 - fixed - broken], 3000)
    ends = np.array([paired_interval(int(b), int(c), n) for b, c, _ in draws])
    covered = np.mean((ends[:, 0] <= fixed - broken) & (fixed - broken <= ends[:, 1]))
    assert 0.935 <= covered <= 0.985


@pytest.mark.parametrize(("fixed", "broken", "n"), [(0, 0, 5), (1, 0, 10), (4, 9, 30), (30, 2, 32)])
def test_the_interval_is_that_of_a_mean_with_half_an_image_more_in_each_cell(fixed: int, broken: int, n: int) -> None:
    change, weights = np.array([0, 1, -1, 0]), np.array([0, fixed, broken, n - fixed - broken]) + 0.5
    mean = np.average(change, weights=weights)
    reach = 1.959964 * np.sqrt(np.average((change - mean) ** 2, weights=weights) / (n + 2))
    assert paired_interval(fixed, broken, n) == pytest.approx((mean - reach, min(mean + reach, 1)), abs=1e-6)


def test_the_interval_of_many_images_is_that_of_resampled_ones() -> None:
    fixed, broken, n = 900, 600, 10_000
    draws = np.random.default_rng(1).multinomial(n, [fixed / n, broken / n, 1 - (fixed + broken) / n], 20_000)
    ends = np.quantile((draws[:, 0] - draws[:, 1]) / n, (0.025, 0.975))
    assert paired_interval(fixed, broken, n) == pytest.approx(ends, abs=3e-4)


def test_other_images_are_refused() -> None:
    with pytest.raises(ValueError, match="about different images"):
        compare(random_table(), described(random_table(), store_hash="another"))


def test_splits_without_a_common_image_are_refused() -> None:
    table = random_table(shuffled=False)
    with pytest.raises(ValueError, match="no image in common"):
        compare(table.slice(0, 200), table.slice(200))
    with pytest.raises(ValueError, match="no image in common"):
        compare(described(table, firsts={"train": 0}), described(table, firsts={"test": 0}))
