"""Confusions against scikit-learn's matrix, and orders in which a planted structure must show."""

from collections.abc import Iterable
from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from analysis.errors.confusions import (
    Pair,
    by_similarity,
    confused_pairs,
    confusion_cells,
    confusion_counts,
    most_confused,
)
from tests.analysis.errors.tables import random_table, replaced


def matrix_of(table: pa.Table, labels: Iterable[int] = range(12)) -> NDArray[np.int64]:
    return confusion_matrix(table["label"].to_numpy(), table["guess"].to_numpy(), labels=list(labels))


def test_cells_are_the_matrix_without_its_diagonal() -> None:
    table = random_table()
    found = np.zeros((12, 12), int)
    for true, guess, count in confusion_cells(table):
        found[true, guess] = count
    truth = matrix_of(table)
    np.fill_diagonal(truth, 0)
    assert np.array_equal(found, truth)


def test_pairs_are_all_pairs_of_the_matrix_by_their_sum() -> None:
    table = random_table()
    truth, wanted = matrix_of(table), []
    for a, b in combinations(range(12), 2):
        if both := truth[a, b] + truth[b, a]:
            first, second = (a, b) if truth[a, b] >= truth[b, a] else (b, a)
            wanted.append((-both, a, b, Pair(first, second, truth[first, second], truth[second, first],
                                             truth[first].sum(), truth[second].sum())))  # fmt: skip
    assert confused_pairs(table, limit=1000) == [pair for *_, pair in sorted(wanted)]
    assert confused_pairs(table, limit=7) == confused_pairs(table, limit=1000)[:7]


def test_a_class_that_is_only_ever_guessed_has_no_images() -> None:
    table = random_table(3)
    table = replaced(replaced(table, "label", [2, 2, 2]), "guess", [11, 11, 2])
    assert confused_pairs(table) == [Pair(2, 11, 2, 0, 3, 0)]


def test_without_errors_there_are_no_pairs() -> None:
    table = random_table()
    table = replaced(table, "guess", table["label"].to_numpy())
    assert confused_pairs(table) == most_confused(table) == []
    assert confused_pairs(table.slice(0, 0)) == []


@pytest.mark.parametrize("labels", [[4], [7, 2, 9], list(range(12)), [3, 99]])
def test_counts_of_some_classes_are_rows_of_the_matrix_and_all_other_guesses(labels: list[int]) -> None:
    table = random_table()
    truth = matrix_of(table, range(100))
    found = confusion_counts(table, labels)
    assert np.array_equal(found[:, :-1], truth[np.ix_(labels, labels)])
    assert np.array_equal(found.sum(1), truth.sum(1)[labels])


def test_the_most_confused_classes_are_those_of_the_first_pairs() -> None:
    table = random_table()
    pairs = confused_pairs(table)
    assert set(most_confused(table, 2)) == set(pairs[0][:2])
    for size in range(1, 13):
        chosen, seen = most_confused(table, size), []
        for pair in pairs:
            seen += [label for label in pair[:2] if label not in seen]
        assert chosen == seen[:size]


def test_blocks_of_classes_that_are_taken_for_each_other_stand_together() -> None:
    rng, block = np.random.default_rng(0), np.repeat(np.arange(5), 4)
    for _ in range(10):
        shuffled = rng.permutation(block)
        rates = np.where(shuffled[:, None] == shuffled, 8.0, 0.5) + 60 * np.eye(20)
        counts = np.hstack([rng.poisson(rates), rng.poisson(5, (20, 1))])
        blocks = shuffled[by_similarity(counts)]
        assert np.count_nonzero(np.diff(blocks)) == 4  # each block in one run


def test_a_chain_of_neighbours_is_found_from_either_end() -> None:
    rng, chain = np.random.default_rng(1), np.arange(9)
    counts = np.exp(-0.5 * (chain[:, None] - chain) ** 2) * 1000
    names = rng.permutation(9)
    order = names[by_similarity(np.hstack([counts[np.ix_(names, names)], np.zeros((9, 1))]).astype(np.int64))]
    assert order.tolist() in (list(range(9)), list(range(8, -1, -1)))


def test_the_number_of_images_of_a_class_does_not_move_it() -> None:
    rng = np.random.default_rng(2)
    counts = np.hstack([rng.integers(1, 30, (8, 8)), rng.integers(1, 9, (8, 1))])
    assert by_similarity(counts) == by_similarity(counts * rng.integers(2, 50, (8, 1)))


@pytest.mark.parametrize("k", [0, 1, 2, 3, 5])
def test_every_class_stands_once_in_the_order_even_without_images(k: int) -> None:
    assert sorted(by_similarity(np.zeros((k, k + 1), np.int64))) == list(range(k))
