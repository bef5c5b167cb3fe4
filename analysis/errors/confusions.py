"""Which classes are taken for which."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import pdist

Counts = NDArray[np.int64]


class Pair(NamedTuple):
    """Two classes that are taken for each other; `there` is never less than `back`."""

    first: int  # labels
    second: int
    there: int  # images of the first that were guessed to be the second
    back: int  # images of the second that were guessed to be the first
    n_first: int  # images of the first in all
    n_second: int


def confusion_cells(table: pa.Table) -> Counts:
    """(true label, guess, images) of every pair that occurs with a wrong guess, shape (cells, 3), in no order."""
    pairs = table.select(["label", "guess"]).filter(pc.not_equal(table["label"], table["guess"]))
    cells = pairs.group_by(["label", "guess"]).aggregate([([], "count_all")])
    return np.stack([cells[name].to_numpy() for name in ("label", "guess", "count_all")], axis=1).astype(np.int64)


def confused_pairs(table: pa.Table, limit: int = 50) -> list[Pair]:
    """The pairs of classes with the most images taken for each other, both ways added up, most first.

    Level pairs stand in the order of their labels.
    """
    true, guess, count = confusion_cells(table).T
    n = np.bincount(table["label"].to_numpy(), minlength=guess.max(initial=0) + 1)
    pairs, which = np.unique(np.minimum(true, guess) * len(n) + np.maximum(true, guess), return_inverse=True)
    there, back = (np.bincount(which, count * way, len(pairs)) for way in (true < guess, true > guess))
    best = np.argsort(-(there + back), kind="stable")[:limit]
    return [_pair(*divmod(int(pairs[i]), len(n)), int(there[i]), int(back[i]), n) for i in best]


def _pair(low: int, high: int, there: int, back: int, n: Counts) -> Pair:
    if there < back:
        low, high, there, back = high, low, back, there
    return Pair(low, high, there, back, int(n[low]), int(n[high]))


def confusion_counts(table: pa.Table, labels: Sequence[int]) -> Counts:
    """Images of class `labels[i]` guessed to be `labels[j]`, shape (k, k + 1); the last column is all other guesses."""
    k, wanted = len(labels), pa.array(labels, pa.int32())
    rows = table.select(["label", "guess"]).filter(pc.is_in(table["label"], value_set=wanted))
    true = pc.index_in(rows["label"], value_set=wanted).to_numpy()
    guess = pc.fill_null(pc.index_in(rows["guess"], value_set=wanted), k).to_numpy()
    return np.bincount(true * (k + 1) + guess, minlength=k * (k + 1)).reshape(k, k + 1)


def most_confused(table: pa.Table, size: int = 40) -> list[int]:
    """Labels of up to `size` classes, from the most confused pairs down."""
    pairs = confused_pairs(table, limit=size * size)
    return list(dict.fromkeys(label for pair in pairs for label in (pair.first, pair.second)))[:size]


def by_similarity(counts: Counts) -> list[int]:
    """An order of the k classes of `confusion_counts` in which those that are taken for each other are neighbours.

    Two classes are alike as far as each is taken for the other and both for the same third ones: cosine of their
    rows of mean confusion rates, a class being itself at rate 1. The order is that of the leaves of an
    average-linkage tree, turned so that neighbours are most alike (Bar-Joseph et al. 2001, optimal leaf ordering).
    """
    k = len(counts)
    if k < 3:
        return list(range(k))
    rate = counts[:, :k] / np.maximum(counts.sum(1, keepdims=True), 1)
    alike = (rate + rate.T) / 2
    np.fill_diagonal(alike, 1)
    tree = linkage(pdist(alike, "cosine"), "average", optimal_ordering=True)
    return [int(leaf) for leaf in leaves_list(tree)]
