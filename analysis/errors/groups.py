"""Groups of classes, to look at dogs, vehicles or food as one."""

import csv
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from alexnet_core.prism import CLASS_NAMES, HUES, SHAPES, hue_of, shape_of

_TABLE = Path(__file__).with_name("groups.csv")


def groups(classes: Sequence[str], names: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Labels by group, groups in alphabetical order; empty unless every class is known.

    Known are the WordNet ids of Tiny ImageNet's 200 classes, in `classes`, grouped by groups.csv, and the hundred
    names of Prism, in `names`, each in the group of its shape and in that of its hue.
    """
    if tuple(names) == CLASS_NAMES:
        labels = np.arange(len(CLASS_NAMES))
        shapes = (f"shape: {SHAPES[i]}" for i in shape_of(labels))
        return _grouped(shapes) | _grouped(f"hue: {HUES[i].name}" for i in hue_of(labels))
    known = _group_of_wnid()
    return _grouped(known[wnid] for wnid in classes) if known.keys() >= set(classes) else {}


def _grouped(group_of_label: Iterable[str]) -> dict[str, tuple[int, ...]]:
    labels: dict[str, tuple[int, ...]] = {}
    for label, group in enumerate(group_of_label):
        labels[group] = (*labels.get(group, ()), label)
    return dict(sorted(labels.items()))


@cache
def _group_of_wnid() -> dict[str, str]:
    with _TABLE.open(encoding="utf-8", newline="") as file:
        return {row["wnid"]: row["group"] for row in csv.DictReader(file)}
