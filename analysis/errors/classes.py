"""How well each class is told, and what it is mostly taken for."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from analysis.errors.confusions import confusion_cells
from analysis.errors.rates import Share, share


class ClassRow(NamedTuple):
    """One class; the shares are of its images that are right."""

    label: int
    n: int
    top1: Share
    top5: Share
    wrong_guess: int | None  # the most frequent one, the smallest label where two are level; None without any
    wrong_count: int


def class_rows(table: pa.Table, names: Sequence[str]) -> list[ClassRow]:
    """One row for each of the named classes, in the order of labels, those without images too."""
    labels, ranks, classes = table["label"].to_numpy(), table["rank"].to_numpy(), len(names)
    n, top1, top5 = (np.bincount(labels[ranks < k], minlength=classes).tolist() for k in (np.inf, 1, 5))
    cells = confusion_cells(table)
    cells = cells[np.lexsort((cells[:, 1], -cells[:, 2]))]
    wrong = {true: (guess, count) for true, guess, count in reversed(cells.tolist())}  # the first of each class stays
    return [
        ClassRow(
            label, n[label], share(top1[label], n[label]), share(top5[label], n[label]), *wrong.get(label, (None, 0))
        )
        for label in range(classes)
    ]
