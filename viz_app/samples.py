"""Photos to begin with: the images of a workspace, and those that came with scikit-learn and scikit-image.

Nothing is downloaded here.
"""

import re
from functools import cache
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from alexnet_core.prism import CLASS_NAMES, HUES
from alexnet_core.prism.store import is_prism, scenes_of
from alexnet_core.store import ImageStore, Skipped, Split
from viz_app.figures.captions import class_labels
from viz_app.uploads import Photo, photo

RAINBOW = {name: label % len(HUES) for label, name in enumerate(CLASS_NAMES)}  # place of a class's hue


class Sample(NamedTuple):
    """A sample photo: its name on the page, its file inside a package, whom to thank."""

    name: str
    package: str
    file: str
    credit: str


SAMPLES = (
    Sample("Coffee", "skimage", "data/coffee.png", "Pikolo Espresso Bar, by Rachel Michetti, CC0"),
    Sample("Cat", "skimage", "data/chelsea.png", "Chelsea, by Stéfan van der Walt, CC0"),
    Sample("Flower", "sklearn", "datasets/images/flower.jpg", "by vultilion (Flickr), CC BY 2.0"),
    Sample("Temple", "sklearn", "datasets/images/china.jpg", "by danielbuechele (Flickr), CC BY 2.0"),
    Sample("Astronaut", "skimage", "data/astronaut.png", "Eileen Collins, by NASA, public domain"),
    Sample("Rocket", "skimage", "data/rocket.jpg", "DSCOVR launch, by SpaceX, public domain"),
    Sample("Galaxies", "skimage", "data/hubble_deep_field.jpg", "Hubble eXtreme Deep Field, by NASA, public domain"),
    Sample("Photographer (grey)", "skimage", "data/camera.png", "by Lav Varshney, CC0"),
    Sample("Brick wall (grey)", "skimage", "data/brick.png", "CC0 Textures, CC0"),
)


class Gallery(NamedTuple):
    """The images of a workspace; row i is image i of its splits, one after the other."""

    store: ImageStore
    splits: dict[str, Split]
    labels: NDArray[np.int64]  # (n,)
    classes: list[str]  # readable and unique, in the order of the labels

    @property
    def key(self) -> str:
        """For caches."""
        return " ".join((self.store.hash, *self.splits))

    @property
    def left_out(self) -> list[Skipped]:
        """Files that could not be used."""
        return [skipped for name in self.splits for skipped in self.store.splits[name].skipped]

    def label(self, row: int) -> str:
        """Readable class of an image."""
        return self.classes[int(self.labels[row])]

    def name(self, row: int) -> str:
        """What an image is called on the page; `row` reads it back."""
        return f"{row}: {self.label(row)}"

    def row(self, name: str) -> int | None:
        """The row of that name or number, ``None`` if there is no such image."""
        number = re.match(r"[0-9]{1,9}", name)
        row = int(number[0]) if number else -1
        return row if 0 <= row < len(self.labels) and name in (str(row), self.name(row)) else None

    def rows(self, split: str) -> range:
        """Rows of a split."""
        names = list(self.splits)
        start = sum(len(self.splits[name].labels) for name in names[: names.index(split)])
        return range(start, start + len(self.splits[split].labels))

    def path(self, row: int) -> str:
        """Where an image lies in its source. Raises ``IndexError`` for a row that is none."""
        split, place = self._place(row)
        return self.splits[split].paths[place]

    def pixels(self, row: int) -> Image.Image:
        """An image as the store keeps it. Raises ``IndexError`` for a row that is none."""
        split, place = self._place(row)
        image = self.splits[split].images[place : place + 1][0]
        return Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))

    def photo(self, row: int) -> Photo:
        """An image as a photo of which the truth is known, every pixel kept."""
        file = BytesIO()
        self.pixels(row).save(file, "PNG", compress_level=1)
        return photo(self.name(row), file.getvalue(), self._credit(row), truth=self.label(row))

    def _credit(self, row: int) -> str:
        """What else an image shows, where that is known."""
        if not is_prism(self.store.name):
            return ""
        split, place = self._place(row)
        return f"Rendered: {scenes_of(self.store, split, np.array([place])).describe(0)}."

    def _place(self, row: int) -> tuple[str, int]:
        """Split of an image and its place in it. Raises ``IndexError`` for a row that is none."""
        rest = row
        for name, split in self.splits.items():
            if 0 <= rest < len(split.labels):
                return name, rest
            rest -= len(split.labels)
        raise IndexError(f"There are {len(self.labels)} images, no number {row}.")

    def spread(self, count: int) -> list[int]:
        """Rows for a first look, evenly spread."""
        rows = self._held_out()
        return [int(row) for row in rows[_evenly(len(rows), count)]]

    def of_all_classes(self, count: int) -> list[int]:
        """Rows of as many classes as can be, evenly, in the order of the classes; those of Prism in that of hues."""
        rows = self._held_out()
        order = np.argsort(self.labels[rows], kind="stable")
        rows, labels = rows[order], self.labels[rows][order]
        place = np.arange(len(labels)) - np.searchsorted(labels, labels)  # of a row among those of its class
        first = rows[place < -(-count // len(np.unique(labels)))]
        by_hue = sorted(first, key=lambda row: RAINBOW.get(self.label(row), 0))
        return [int(by_hue[place]) for place in _evenly(len(by_hue), count)]

    def _held_out(self) -> NDArray[np.intp]:
        """Rows that were kept from training, where there are such; else all."""
        names = np.repeat(list(self.splits), [len(split.labels) for split in self.splits.values()])
        return np.flatnonzero(names == "val") if "val" in self.splits else np.arange(len(names))


def gallery(store: ImageStore, splits: tuple[str, ...]) -> Gallery:
    """The gallery of these splits of a store, all of them if none is named."""
    parts = {name: store.split(name) for name in splits or store.splits}
    rows = [{"id": id_, "name": name} for id_, name in zip(store.classes, store.class_names, strict=True)]
    return Gallery(store, parts, np.concatenate([part.labels for part in parts.values()]), class_labels(rows))


def _evenly(total: int, count: int) -> NDArray[np.intp]:
    return np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(np.intp))


@cache
def sample_names() -> tuple[str, ...]:
    """Names of the samples that this installation has."""
    return tuple(row.name for row in SAMPLES if _path(row).is_file())


@cache
def sample(name: str) -> Photo:
    """The sample of this name. Raises ``ValueError`` if there is none."""
    for row in SAMPLES:
        if row.name == name:
            return photo(name, _path(row).read_bytes(), f"Photo: {row.credit}.")
    raise ValueError(f"There is no sample {name!r}; choose from {list(sample_names())}.")


def _path(row: Sample) -> Path:
    """Where the package keeps the file; found without importing the package, which would take a second."""
    spec = find_spec(row.package)
    folders = spec.submodule_search_locations if spec else None
    return Path(folders[0] if folders else "") / row.file
