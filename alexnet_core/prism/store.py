"""Prism as a data set: an image store that renders when it is read and needs nothing on disk."""

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from alexnet_core.build import ImageSource, Sample
from alexnet_core.prism.hues import HUES
from alexnet_core.prism.rendering import BLOCK, VERSION, render
from alexnet_core.prism.scenes import CLASS_NAMES, Scenes, World, draw_scenes, hue_of, shape_of
from alexnet_core.prism.shapes import SHAPES
from alexnet_core.store import ImageStore, Split, SplitInfo

COUNTS = {"train": 60_000, "val": 5_000}
SEEDS = {"train": 1, "val": 2}
SIZE = 128  # pixels, unless a name says otherwise
WORLDS = {
    "": World(),
    "shapes": World(label="shape"),
    "hues": World(label="hue"),
    "grey": World(label="shape", chroma=0.0),
    "isoluminant": World(isoluminant=True),
    "shortcut": World(label="shape", bound=True),
    "turned": World(turn=108.0),
}
"""Worlds by the name that a data set carries: "prism-128", "prism-grey-128", ..."""
_CLASSES = {
    "both": tuple(f"{shape}-{hue.name}" for shape in SHAPES for hue in HUES),
    "shape": SHAPES,
    "hue": tuple(hue.name for hue in HUES),
}


def is_prism(name: str) -> bool:
    """Whether a data set of this name is rendered: "prism-128", "prism-grey-128", ..."""
    try:
        _parts(name)
    except ValueError:
        return False
    return True


def open_prism(name: str) -> "PrismStore":
    """The rendered data set of this name. Raises ``ValueError`` for another name."""
    variant, size = _parts(name)
    classes = _CLASSES[WORLDS[variant].label]
    no_files = {
        split: SplitInfo(count=n, images_sha256="", labels_sha256="", skipped=()) for split, n in COUNTS.items()
    }
    return PrismStore(
        folder=Path(),
        name=name,
        size=size,
        exif=False,
        classes=classes,
        class_names=tuple(CLASS_NAMES) if len(classes) == len(CLASS_NAMES) else classes,
        splits=no_files,
        note="Rendered, not photographed.",
        recipe=f"prism {VERSION} {variant or 'plain'} {size} {COUNTS}",
    )


def prism_source(name: str) -> ImageSource:
    """The same images for `alexnet_core.build.build_store`, which keeps their pixels on disk."""
    store = open_prism(name)
    splits = {split: store.split(split) for split in store.splits}

    one_at_a_time = Lock()

    @lru_cache(maxsize=2)
    def block(split: str, start: int) -> npt.NDArray[np.uint8]:
        """One image alone would take twice its share of a block's time."""
        return splits[split].images[start : start + BLOCK]

    def load(path: str, min_side: int) -> Image.Image:
        split, _, number = path.partition("/")
        start, place = divmod(int(number[:5]), BLOCK)
        with one_at_a_time:
            pixels = block(split, start * BLOCK)[place]
        return Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))

    return ImageSource(
        classes=store.classes,
        class_names=store.class_names,
        splits={
            name: [Sample(path, int(label)) for path, label in zip(split.paths, split.labels, strict=True)]
            for name, split in splits.items()
        },
        exif=False,
        load=load,
        note=store.note,
        recipe=store.recipe,
    )


def scenes_of(store: ImageStore, split: str, rows: npt.NDArray[np.int64]) -> Scenes:
    """What images of a Prism show, kept on disk or not. Raises ``ValueError`` for another store."""
    variant, size = _parts(store.name)
    return RenderedImages(WORLDS[variant], split, size).scenes(rows)


@cache
def factor_labels(split: str) -> npt.NDArray[np.int64]:
    """10 * shape + hue of every image of a split, shape (count,): each hundred images hold all hundred once."""
    blocks = range(0, COUNTS[split], 100)
    rngs = (np.random.Generator(np.random.Philox(key=[SEEDS[split], 2**32 + start])) for start in blocks)
    labels = np.concatenate([np.argsort(rng.random(100)) for rng in rngs])
    labels.flags.writeable = False
    return labels


@dataclass(frozen=True, slots=True, kw_only=True)
class PrismStore(ImageStore):
    """Prism as `ImageStore`, with nothing on disk."""

    def split(self, name: str) -> Split:
        """Images that render when they are read, their labels and their names; ValueError for an unknown split."""
        if name not in self.splits:
            raise ValueError(f"Unknown split {name!r} of {self.name}; choose from {list(self.splits)}.")
        variant, size = _parts(self.name)
        world, factors = WORLDS[variant], factor_labels(name)
        labels = {"both": factors, "shape": shape_of(factors), "hue": hue_of(factors)}[world.label].copy()
        paths = tuple(f"{name}/{i:05d}-{CLASS_NAMES[label].replace(' ', '-')}" for i, label in enumerate(factors))
        return Split(cast(Any, RenderedImages(world, name, size)), labels, paths)

    def verify(self) -> None:
        """Nothing is on disk, so nothing can be wrong."""


def _parts(name: str) -> tuple[str, int]:
    """World and size that a name tells. Raises ``ValueError`` for a name that is no Prism's."""
    match = re.fullmatch(r"prism(?:-([a-z]+))?-(\d+)", name)
    if match is None or (match[1] or "") not in WORLDS or not 8 <= int(match[2]) <= 1024:
        raise ValueError(f"{name!r} is no Prism; choose 'prism-SIZE' or 'prism-WORLD-SIZE', {sorted(WORLDS)[1:]}.")
    return match[1] or "", int(match[2])


class RenderedImages:
    """Images of a split as an array (n, 3, size, size) uint8 that is rendered where it is read."""

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, world: World, split: str, size: int) -> None:
        self.world, self.split_name = world, split
        self.shape = (COUNTS[split], 3, size, size)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: int | slice | npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        indices = np.arange(len(self))[rows]
        pixels: npt.NDArray[np.uint8] = render(self.scenes(np.atleast_1d(indices)), self.shape[-1]).numpy()
        return pixels if np.ndim(indices) else pixels[0]

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[np.uint8]:
        return self[:].astype(dtype or self.dtype, copy=False)

    def scenes(self, indices: npt.NDArray[np.int64]) -> Scenes:
        """What these images show, with the nuisance factors."""
        labels = factor_labels(self.split_name)[indices]
        seed = SEEDS[self.split_name]
        return draw_scenes(self.world, seed, labels, indices, training=self.split_name == "train")
