"""Fixtures of the core's tests: torchvision as an independent implementation, networks with few units."""

from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Protocol

import numpy as np
import pytest
import torch
from PIL import Image

from alexnet_core import geometry
from alexnet_core.build import ImageSource, Sample, build_store
from alexnet_core.paths import datasets_dir
from alexnet_core.store import ImageStore

# Sizes for tests in which only the mechanics matter.
NARROW = 64  # units of fc6 and fc7
SLIM = (16, 32, 48, 48, 32)  # channels of conv1 to conv5

_OPERATORS = torch.library.Library("torchvision", "FRAGMENT")


@pytest.fixture(scope="session")
def torchvision() -> ModuleType:
    """torchvision, also where its compiled half was built for another torch and its operators are missing.

    Nothing tested here calls these operators, but the import registers shapes for them.
    """
    try:
        import_module("torchvision")
    except RuntimeError as error:
        if "does not exist" not in str(error):
            raise
        for operator in ("nms", "qnms"):
            _OPERATORS.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import_module("torchvision.transforms.v2")
    return import_module("torchvision")


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> int:
    """Networks built in this test have 64 units in fc6 and fc7, which saves nine tenths of the weights."""
    monkeypatch.setattr(geometry, "FC_UNITS", NARROW)
    return NARROW


@pytest.fixture
def slim(narrow: int, monkeypatch: pytest.MonkeyPatch) -> tuple[int, ...]:
    """Networks built in this test have an eighth of the channels as well: files of 0.2 MB, steps of 5 ms."""
    monkeypatch.setattr(geometry, "CONV_CHANNELS", SLIM)
    return SLIM


class MakeStore(Protocol):
    """Builds a data set in the test's own data home."""

    def __call__(self, name: str, *, seed: int = 0) -> ImageStore: ...


@pytest.fixture
def make_store() -> MakeStore:
    """Two classes that colour alone tells apart: 40 training and 12 validation images of 16 px."""

    def make(name: str, *, seed: int = 0) -> ImageStore:
        splits = {
            split: [Sample(f"{i % 2}/{split}{i}.png", i % 2) for i in range(n)]
            for split, n in (("train", 40), ("val", 12))
        }
        source = ImageSource(
            classes=["n01", "n02"],
            class_names=["red", "blue, azure"],
            splits=splits,
            exif=False,
            load=partial(_noise, np.random.default_rng(seed)),
        )
        return build_store(source, datasets_dir() / name, name=name, size=16, workers=1, progress=False)

    return make


def _noise(rng: np.random.Generator, path: str, _: int) -> Image.Image:
    tint = [(170, 100, 60), (60, 100, 170)][int(path[0])]
    return Image.fromarray((tint + rng.normal(0, 20, (16, 16, 3))).clip(0, 255).astype(np.uint8))
