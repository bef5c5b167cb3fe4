"""Fixtures that many tests share: tiny networks, a tiny data set, the real data sets where they lie."""

import os
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
import torch
from PIL import Image

from alexnet_core import geometry
from alexnet_core.build import ImageSource, Sample, build_store
from alexnet_core.model import AlexNet, build_model
from alexnet_core.paths import datasets_dir
from alexnet_core.store import ImageStore

# Sizes for tests in which only the mechanics matter.
NARROW = 64  # units of fc6 and fc7
SLIM = (16, 32, 48, 48, 32)  # channels of conv1 to conv5
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Two torch threads on a busy two-core machine are slower than one (style.md, pitfall 24)."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's own data home."""
    monkeypatch.setenv("ALEXNET_HOME", str(tmp_path / "alexnet-home"))


@pytest.fixture(scope="session")
def tiny_model() -> AlexNet:
    """The two-tower network of the starter's geometry with random weights: 127 px, 10 classes. Read-only."""
    model = build_model("chm145", 10, input_size=127, generator=torch.Generator().manual_seed(0))
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with the real data sets' archives; skips on a user's machine, fails where CI must have it."""
    if SHARED_DATA.is_dir():
        return SHARED_DATA
    message = f"{SHARED_DATA} does not exist: this test reads the real data sets that lie there."
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


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
