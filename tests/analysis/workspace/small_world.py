"""Networks with few units and data sets with few pixels, for tests in which only the mechanics matter."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from alexnet_core import geometry
from alexnet_core.build import ImageSource, Sample, build_store
from alexnet_core.checkpoint import save_checkpoint
from alexnet_core.model import build_model
from alexnet_core.paths import checkpoints_dir, datasets_dir
from alexnet_core.preprocess import Preprocess
from alexnet_core.store import ImageStore
from analysis import shards

SMALL = {  # what is changed for as long as a test runs
    (geometry, "FC_UNITS"): 64,
    (geometry, "CONV_CHANNELS"): (16, 32, 48, 48, 32),
    (shards, "IMAGES"): 8,
    (shards, "BATCH"): 3,
}

SIZE = 16  # pixels of the stored images
CLASSES = ("n01", "n02", "n03")
TINTS = ((170, 100, 60), (60, 100, 170), (60, 170, 90), (160, 160, 60))


@contextmanager
def small_home(home: Path) -> Iterator[Path]:
    """A data home in which everything is small for as long as it is entered."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALEXNET_HOME", str(home))
        for (module, field), value in SMALL.items():
            patch.setattr(module, field, value)
        yield home


def small_checkpoint(home: Path, name: str, *, classes: tuple[str, ...] = CLASSES, seed: int = 0) -> str:
    """A random network for 16-px images among the user's own checkpoints."""
    generator = torch.Generator().manual_seed(seed)
    model = build_model("chm145", len(classes), input_size=63, generator=generator)
    with torch.no_grad():
        for layer in (name for name in model.stages if name.startswith(("conv", "fc"))):
            model.stages[layer].weight *= 10  # type: ignore[operator]  # else biases drown the image
    mean = torch.full((3, 72, 72), 110.0)
    preprocess = Preprocess(SIZE, 72, 63, mean, torch.eye(3), torch.ones(3))
    rows = [{"id": wnid, "name": f"class {wnid}, synonym"} for wnid in classes]
    save_checkpoint(checkpoints_dir(home), name, model, preprocess, rows, about={"seed": seed})
    return name


def small_store(
    home: Path, name: str, *, classes: tuple[str, ...] = CLASSES, train: int = 21, val: int = 13, seed: int = 0
) -> ImageStore:
    """Noise tinted by class."""
    rng, n = np.random.default_rng(seed), len(classes)
    splits = {
        split: [Sample(f"{classes[i % n]}/{split}{i}.png", i % n) for i in range(count)]
        for split, count in (("train", train), ("val", val))
    }
    source = ImageSource(
        classes=classes,
        class_names=[f"class {wnid}" for wnid in classes],
        splits=splits,
        exif=False,
        load=partial(_noise, rng, classes),
    )
    return build_store(source, datasets_dir(home) / name, name=name, size=SIZE, workers=1, progress=False)


def content_of(artefact: Path) -> bytes:
    """What must come out the same whenever it is built; of an index all but its manifest, which tells times."""
    return artefact.read_bytes() if artefact.is_file() else array_file(artefact).read_bytes()


def array_file(artefact: Path) -> Path:
    """The file that holds an artefact; of an index the one with its arrays."""
    return next(artefact.glob("*.npz")) if artefact.is_dir() else artefact


def delete(artefact: Path) -> None:
    """Delete an artefact, be it a file or a folder."""
    if artefact.is_dir():
        shutil.rmtree(artefact)
    else:
        artefact.unlink(missing_ok=True)


def small_photos(folder: Path, *, classes: tuple[str, ...] = ("cats", "dogs"), each: int = 12) -> Path:
    """A folder of photographs with one subfolder per class."""
    rng = np.random.default_rng(5)
    for label, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for i in range(each):
            _tinted(rng, label).save(folder / name / f"{i:02d}.png")
    return folder


def _noise(rng: np.random.Generator, classes: tuple[str, ...], path: str, _: int) -> Image.Image:
    return _tinted(rng, classes.index(path.partition("/")[0]))


def _tinted(rng: np.random.Generator, label: int) -> Image.Image:
    noise = rng.normal(0, 40, (SIZE, SIZE, 3))
    return Image.fromarray((np.array(TINTS[label]) + noise).clip(0, 255).astype(np.uint8))
