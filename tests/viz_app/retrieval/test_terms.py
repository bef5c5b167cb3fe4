"""Which images may be found, and how many agree with the query, counted by hand."""

import numpy as np
import pytest

from alexnet_core.data import open_dataset
from alexnet_core.prism import CLASS_NAMES
from analysis.workspace import Workspace
from tests.viz_app.retrieval.world import TRAIN, VAL
from viz_app.retrieval.terms import Terms, agreements, allowed
from viz_app.samples import Gallery, gallery


@pytest.fixture
def images(mine: Workspace) -> Gallery:
    return gallery(open_dataset(mine.dataset), mine.splits)


def test_all_images_may_be_found_but_those_left_out(images: Gallery) -> None:
    mask = allowed(images, Terms(), without=(3, 40))
    assert np.flatnonzero(~mask).tolist() == [3, 40]


def test_split_and_classes_both_limit_what_may_be_found(images: Gallery) -> None:
    mask = allowed(images, Terms(split="val", classes=(0, 2)))
    wanted = [row for row in range(TRAIN, TRAIN + VAL) if images.labels[row] in (0, 2)]
    assert np.flatnonzero(mask).tolist() == wanted


def test_agreement_is_counted_beside_what_chance_would_give(images: Gallery) -> None:
    among = allowed(images, Terms(split="train"), without=(0,))
    (told,) = agreements(images, 0, [3, 6, 1], among)
    same = sum(images.labels[row] == 0 for row in range(1, TRAIN))
    assert (told.factor, told.value, told.same, told.found) == ("class", images.classes[0], 2, 3)
    assert told.by_chance == pytest.approx(3 * same / (TRAIN - 1))


def test_images_of_prism_agree_by_shape_and_hue_too(images: Gallery) -> None:
    hues = len({name.split(" ", 1)[0] for name in CLASS_NAMES})
    labels = np.array([0, 0, 1, hues, hues + 1])  # the last three: its shape, its hue, neither
    prism = images._replace(labels=labels, classes=list(CLASS_NAMES))
    told = {each.factor: each for each in agreements(prism, 0, [1, 2, 3, 4], np.arange(5) > 0)}
    hue, shape = CLASS_NAMES[0].split(" ", 1)
    assert {factor: (each.value, each.same) for factor, each in told.items()} == {
        "class": (CLASS_NAMES[0], 1),
        "shape": (shape, 2),
        "hue": (hue, 2),
    }
    assert told["class"].by_chance == pytest.approx(1)
