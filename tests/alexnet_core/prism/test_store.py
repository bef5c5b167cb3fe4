"""Prism as a data set: lazy or on disk it is the same, and it is neither trivial nor a lottery."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from alexnet_core.build import build_store
from alexnet_core.data import fetch, main, open_dataset
from alexnet_core.prism import store as prism_store
from alexnet_core.prism.scenes import CLASS_NAMES, hue_of, shape_of
from alexnet_core.prism.store import WORLDS, is_prism, open_prism, prism_source, scenes_of
from alexnet_core.store import ImageStore

Pixels = npt.NDArray[np.uint8]
Features = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A Prism of 200 + 100 images."""
    monkeypatch.setattr(prism_store, "COUNTS", {"train": 200, "val": 100})
    prism_store.factor_labels.cache_clear()
    yield
    prism_store.factor_labels.cache_clear()


@pytest.mark.parametrize(
    ("name", "known"),
    [("prism-128", True), ("prism-grey-64", True), ("prism-127", True), ("prism", False), ("prism-pink-128", False),
     ("prism-4", False), ("tiny-imagenet-64", False), ("my-prism-128", False)],
)  # fmt: skip
def test_names_tell_world_and_size(name: str, known: bool) -> None:
    assert is_prism(name) is known
    if not known:
        with pytest.raises(ValueError, match="is no Prism"):
            open_prism(name)


def test_prism_opens_with_nothing_on_disk() -> None:
    store = open_dataset("prism-128")
    split = store.split("val")
    assert split.images.shape == (5000, 3, 128, 128)
    assert len(split.labels) == len(split.paths) == 5000
    assert store.class_names == CLASS_NAMES
    assert store.classes[85] == "star-teal"
    assert split.paths[3] == f"val/00003-{CLASS_NAMES[split.labels[3]].replace(' ', '-')}"
    with pytest.raises(ValueError, match="Unknown split"):
        store.split("test")


def test_every_class_is_there_equally_often_in_both_splits() -> None:
    for split in ("train", "val"):
        counts = np.bincount(open_dataset("prism-128").split(split).labels, minlength=100)
        assert (counts == counts[0]).all()
    blocks = open_dataset("prism-128").split("val").labels.reshape(-1, 100)
    assert not (blocks[0] == blocks[1]).all()


def test_rows_can_be_read_one_by_one_as_a_slice_or_by_number() -> None:
    images = open_dataset("prism-32").split("val").images
    rows = images[np.array([7, 3])]
    np.testing.assert_array_equal(images[3:8][[4, 0]], rows)
    np.testing.assert_array_equal(images[7], rows[0])
    np.testing.assert_array_equal(images[-1], images[4999])
    with pytest.raises(IndexError):
        images[5000]


@pytest.mark.usefixtures("few")
def test_on_disk_it_is_what_it_is_without(tmp_path: Path) -> None:
    lazy = open_prism("prism-48")
    kept = build_store(prism_source("prism-48"), tmp_path / "kept", name="prism-48", size=48, progress=False)
    assert kept.hash == lazy.hash
    for name in ("train", "val"):
        np.testing.assert_array_equal(kept.split(name).images, np.asarray(lazy.split(name).images))
        np.testing.assert_array_equal(kept.split(name).labels, lazy.split(name).labels)
        assert kept.split(name).paths == lazy.split(name).paths
    kept.verify()
    assert (scenes_of(kept, "val", np.arange(5)).shape == kept.split("val").labels[:5] // 10).all()


@pytest.mark.usefixtures("few")
def test_fetch_keeps_it_on_disk_and_open_prefers_that(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", "prism", "--name", "prism-grey-32"]) == 0
    assert "Rendered, not photographed" in capsys.readouterr().out
    assert type(open_dataset("prism-grey-32")) is ImageStore
    assert type(open_dataset("prism-32")) is not ImageStore
    assert fetch("prism", name="prism-grey-32").hash == open_prism("prism-grey-32").hash


@pytest.mark.usefixtures("few")
def test_a_damaged_pixel_on_disk_is_noticed() -> None:
    store = fetch("prism", size=32, progress=False)
    file = store.folder / "val.images.npy"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(ValueError, match="val"):
        store.verify()


@pytest.mark.parametrize("name", [name for name in WORLDS if name])
def test_every_world_is_a_data_set_of_its_own(name: str) -> None:
    store, plain = open_prism(f"prism-{name}-32"), open_prism("prism-32")
    assert store.hash != plain.hash
    labels = store.split("val").labels
    assert set(labels) == set(range(len(store.classes)))
    factors = plain.split("val").labels
    expected = {10: {"hues": factors % 10}.get(name, factors // 10), 100: factors}[len(store.classes)]
    np.testing.assert_array_equal(labels, expected)


def test_colours_alone_do_not_give_the_hue_nor_pixels_the_shape() -> None:
    """Chance is 10 %; a colour histogram must stay under 60 % on hue, pixels under 25 % on shape."""
    store = open_dataset("prism-32")
    train, val = store.split("train"), store.split("val")
    taught, answers = train.images[:2000], train.labels[:2000]
    asked, truth = val.images[:800], val.labels[:800]

    def score(features: Callable[[Pixels], Features], labels: Callable[[Labels], Labels]) -> float:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=200))
        return float(model.fit(features(taught), labels(answers)).score(features(asked), labels(truth)))

    assert 0.2 < score(_histogram, hue_of) < 0.6
    assert 0.05 < score(_pixels, shape_of) < 0.25


def _histogram(images: Pixels) -> Features:
    bins = (images // 32).astype(int)
    codes = bins[:, 0] * 64 + bins[:, 1] * 8 + bins[:, 2]
    return np.stack([np.sqrt(np.bincount(row.ravel(), minlength=512)) for row in codes])


def _pixels(images: Pixels) -> Features:
    return images.reshape(len(images), 3, 16, 2, 16, 2).mean((3, 5)).reshape(len(images), -1)
