"""The sample photos are there without a download, and a workspace's images come with their number and their truth."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from alexnet_core.prism import CLASS_NAMES
from alexnet_core.store import ImageStore, Skipped, Split, SplitInfo
from viz_app.samples import SAMPLES, Gallery, gallery, sample, sample_names
from viz_app.uploads import read_picture


class Memory(ImageStore):
    """A store without files: 30 training and 60 validation images of 8 pixels."""

    def split(self, name: str) -> Split:
        count = self.splits[name].count
        images = np.random.default_rng(count).integers(0, 256, (count, 3, 8, 8), dtype=np.uint8)
        labels = np.arange(count) % len(self.classes)
        return Split(cast(Any, images), labels, tuple(f"{name}/{i}.png" for i in range(count)))


def memory(names: tuple[str, ...] = ("goldfish, Carassius", "crane", "crane", "cup")) -> Memory:
    info = {
        name: SplitInfo(count=n, images_sha256=name, labels_sha256="", skipped=(Skipped(f"{name}.txt", "no picture"),))
        for name, n in {"train": 30, "val": 60}.items()
    }
    ids = tuple(f"n{i}" for i in range(len(names)))
    return Memory(folder=Path(), name="m", size=8, exif=False, classes=ids, class_names=names, splits=info, note="")


@pytest.fixture
def both() -> Gallery:
    return gallery(memory(), ("train", "val"))


@pytest.mark.parametrize("name", sample_names())
def test_a_sample_can_be_shown_and_names_its_maker_and_licence(name: str) -> None:
    found = sample(name)
    assert read_picture(found.data, 64).stored.float().std() > 10  # a picture, not a blank
    assert "CC" in found.credit or "public domain" in found.credit
    assert found.credit.endswith(".")


def test_all_samples_ship_with_the_packages_that_are_required() -> None:
    assert sample_names() == tuple(row.name for row in SAMPLES)


def test_an_unknown_sample_is_refused_with_the_choices() -> None:
    with pytest.raises(ValueError, match="choose from"):
        sample("Dog")


def test_gallery_rows_run_through_the_splits_in_their_order(both: Gallery) -> None:
    train, val = memory().split("train"), memory().split("val")
    assert len(both.labels) == 90
    for row, (split, index) in {0: (train, 0), 29: (train, 29), 30: (val, 0), 89: (val, 59)}.items():
        assert np.array_equal(np.asarray(both.pixels(row)).transpose(2, 0, 1), split.images[index])
        assert both.labels[row] == split.labels[index]


@pytest.mark.parametrize("row", [-1, 90])
def test_a_row_beyond_the_gallery_is_refused(both: Gallery, row: int) -> None:
    with pytest.raises(IndexError, match="90 images"):
        both.pixels(row)


def test_a_gallery_photo_keeps_every_pixel_and_tells_the_truth(both: Gallery) -> None:
    found = both.photo(31)
    assert (found.name, found.truth) == ("31: crane (n1)", "crane (n1)")
    stored = read_picture(found.data, 8).stored[0].numpy()
    assert np.array_equal(stored, memory().split("val").images[1])


def test_only_the_name_or_the_number_of_an_image_finds_it(both: Gallery) -> None:
    assert [both.row(name) for name in ("31", "31: crane (n1)", both.name(0))] == [31, 31, 0]
    assert [both.row(name) for name in ("31: cup", "90", "-1", "", "Coffee", "31 ", "٣", "9" * 30)] == [None] * 8


def test_the_first_look_is_at_images_that_were_not_trained_on(both: Gallery) -> None:
    rows = both.spread(12)
    assert len(rows) == 12
    assert (rows[0], rows[-1]) == (30, 89)
    assert len(set(np.diff(rows))) <= 2  # evenly, but for rounding
    assert gallery(memory(), ("train",)).spread(3) == [0, 14, 29]


def test_all_classes_are_shown_alike_and_in_their_order(both: Gallery) -> None:
    rows = both.of_all_classes(24)
    assert len(rows) == 24
    assert min(rows) >= 30
    assert [both.labels[row] for row in rows] == sorted(6 * [0, 1, 2, 3])
    assert len({both.label(row) for row in both.of_all_classes(2)}) == 2


def test_prism_is_shown_as_a_rainbow_of_many_shapes() -> None:
    found = gallery(memory(CLASS_NAMES), ())
    labels = [found.label(row).split() for row in found.of_all_classes(24)]
    hues = [hue for hue, _ in labels]
    assert hues == sorted(hues, key=[name.split()[0] for name in CLASS_NAMES[:10]].index)
    assert len({shape for _, shape in labels}) >= 5


def test_files_that_were_left_out_are_told(both: Gallery) -> None:
    assert [skipped.path for skipped in both.left_out] == ["train.txt", "val.txt"]
    assert len(gallery(memory(), ("val",)).left_out) == 1


def test_galleries_of_other_splits_have_other_keys() -> None:
    keys = {gallery(memory(), splits).key for splits in (("train",), ("val",), ("train", "val"), ("val", "train"))}
    assert len(keys) == 4


def test_an_image_s_path_is_that_of_its_place_in_its_split(both: Gallery) -> None:
    assert [both.path(row) for row in (0, 29, 30, 89)] == ["train/0.png", "train/29.png", "val/0.png", "val/59.png"]
    with pytest.raises(IndexError, match="no number 90"):
        both.path(90)
