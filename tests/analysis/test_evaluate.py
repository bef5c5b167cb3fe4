"""Accuracy against counts by hand on a network whose answers are known."""

from pathlib import Path

import numpy as np
import pytest
import torch

from alexnet_core import Checkpoint
from alexnet_core.model import AlexNet
from alexnet_core.predict import probabilities
from alexnet_core.preprocess import fit_preprocess
from alexnet_core.store import ImageStore, Split
from analysis.evaluate import evaluate

IMAGES = torch.randint(0, 256, (30, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


class MemoryStore(ImageStore):
    """A store whose split lies in memory."""

    def split(self, name: str) -> Split:
        labels = np.arange(30, dtype=np.int64) % 10
        return Split(IMAGES.numpy(), labels, tuple(str(i) for i in range(30)))


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    classes = tuple(f"c{i}" for i in range(10))
    return MemoryStore(
        folder=tmp_path, name="memory", size=64, exif=True, classes=classes, class_names=classes, splits={}, note=""
    )


@pytest.fixture
def checkpoint(tiny_model: AlexNet) -> Checkpoint:
    classes = [{"id": f"c{i}", "name": f"class {i}"} for i in range(10)]
    return Checkpoint(
        tiny_model, {"name": "tiny", "classes": classes}, fit_preprocess([IMAGES], full_size=144, input_size=127)
    )


def test_shares_equal_a_count_image_by_image(checkpoint: Checkpoint, store: ImageStore) -> None:
    result = evaluate([checkpoint], store, views=1)
    first = five = 0
    for index in range(30):
        scores = probabilities(checkpoint.model, checkpoint.preprocess, IMAGES[index : index + 1])[0]
        order = scores.argsort(descending=True).tolist()
        first += order[0] == index % 10
        five += index % 10 in order[:5]
    assert (result.n, result.top1, result.top5) == (30, first / 30, five / 30)
    assert result.top5_interval[0] < result.top5 < result.top5_interval[1]


def test_wilson_interval_of_a_published_case(checkpoint: Checkpoint, store: ImageStore) -> None:
    from analysis.evaluate import _share

    hits = np.repeat([True, False], [81, 182])  # Newcombe 1998, table I: 81 of 263
    share, (low, high) = _share(hits)
    assert share == pytest.approx(0.3080, abs=1e-4)
    assert (low, high) == pytest.approx((0.2553, 0.3662), abs=1e-4)


def test_averaging_a_network_with_itself_changes_nothing(checkpoint: Checkpoint, store: ImageStore) -> None:
    one = evaluate([checkpoint], store, views=10, limit=6)
    two = evaluate([checkpoint, checkpoint], store, views=10, limit=6)
    assert (one.top1, one.top5, one.n) == (two.top1, two.top5, two.n)
    assert two.network == "tiny + tiny"


def test_other_classes_are_refused(checkpoint: Checkpoint, store: ImageStore) -> None:
    wrong = checkpoint._replace(card=checkpoint.card | {"classes": checkpoint.card["classes"][::-1]})
    with pytest.raises(ValueError, match="in order"):
        evaluate([wrong], store)
