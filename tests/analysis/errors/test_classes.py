"""The table of classes against scikit-learn's confusion matrix and loops."""

from collections import Counter

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from analysis.errors.classes import class_rows
from analysis.errors.rates import share
from tests.analysis.errors.tables import random_table, replaced

NAMES = [f"class {label}" for label in range(12)]


def test_counts_are_those_of_scikit_learn() -> None:
    table = random_table()
    matrix = confusion_matrix(table["label"].to_numpy(), table["guess"].to_numpy(), labels=range(12))
    for row, counts in zip(class_rows(table, NAMES), matrix, strict=True):
        assert row.n == counts.sum()
        assert row.top1 == share(int(counts[row.label]), int(counts.sum()))
        counts[row.label] = 0
        assert (row.wrong_guess, row.wrong_count) == (counts.argmax(), counts.max())  # argmax: first of level ones


def test_the_top_5_are_counted_by_rank() -> None:
    table = random_table()
    right = Counter(row["label"] for row in table.to_pylist() if row["rank"] < 5)
    assert [row.top5.hits for row in class_rows(table, NAMES)] == [right[label] for label in range(12)]


def test_a_class_without_images_has_a_row() -> None:
    row = class_rows(random_table(), [*NAMES, "unseen"])[12]
    assert (row.label, row.n, row.wrong_guess, row.wrong_count) == (12, 0, None, 0)
    assert row.top1 == row.top5 == share(0, 0)


def test_a_class_that_is_always_right_has_no_wrong_guess() -> None:
    table = random_table()
    table = replaced(replaced(table, "guess", table["label"].to_numpy()), "rank", np.zeros(len(table), np.int32))
    assert all(
        (row.wrong_guess, row.wrong_count, row.top1.hits) == (None, 0, row.n) for row in class_rows(table, NAMES)
    )


@pytest.mark.parametrize("seed", range(5))
def test_of_level_wrong_guesses_the_smallest_label_is_named(seed: int) -> None:
    table = random_table(6, seed=seed)
    table = replaced(
        replaced(table, "label", [0] * 6), "guess", np.random.default_rng(seed).permutation([9, 9, 4, 4, 7, 0])
    )
    assert class_rows(table, NAMES)[0][-2:] == (4, 2)
