"""Which images may be found, and how many of those found are of the query's class. No Streamlit here."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from alexnet_core.prism import CLASS_NAMES
from alexnet_core.prism.scenes import hue_of, shape_of
from viz_app.samples import Gallery


class Terms(NamedTuple):
    """How many neighbours are looked for, and among which images."""

    k: int = 6  # as in the paper's Figure 4
    split: str = ""  # "" for all images
    classes: tuple[int, ...] = ()  # labels; () for any
    skip_duplicates: bool = False


class Agreement(NamedTuple):
    """How many of the images found share a property with the query, and how many would by chance."""

    factor: str  # "class"; "shape" and "hue" where the classes have them
    value: str  # that of the query, in words
    same: int
    found: int
    by_chance: float  # expected among as many drawn at random


def allowed(gallery: Gallery, terms: Terms, without: Collection[int] = ()) -> NDArray[np.bool_]:
    """A mask (n,) of the images that may be found."""
    mask = np.isin(gallery.labels, terms.classes) if terms.classes else np.ones(len(gallery.labels), np.bool_)
    if terms.split:
        inside = np.zeros_like(mask)
        rows = gallery.rows(terms.split)
        inside[rows.start : rows.stop] = True
        mask &= inside
    mask[list(without)] = False
    return mask


def agreements(gallery: Gallery, label: int, found: Sequence[int], among: NDArray[np.bool_]) -> list[Agreement]:
    """How well the images found agree with a query of that class, `among` (n,) being those that could be found."""
    name = gallery.classes[label]
    factors = {"class": (name, gallery.labels, label)}
    if tuple(gallery.classes) == CLASS_NAMES:
        hue, shape = name.split(" ", 1)
        own = np.array([label])
        factors |= {
            "shape": (shape, shape_of(gallery.labels), int(shape_of(own)[0])),
            "hue": (hue, hue_of(gallery.labels), int(hue_of(own)[0])),
        }
    return [
        Agreement(
            factor=factor,
            value=value,
            same=int((labels[list(found)] == wanted).sum()),
            found=len(found),
            by_chance=len(found) * float((labels[among] == wanted).mean()) if among.any() else 0.0,
        )
        for factor, (value, labels, wanted) in factors.items()
    ]
