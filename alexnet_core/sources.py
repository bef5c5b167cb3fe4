"""Finds the labelled images in an unpacked data set: where they lie, of which class, how to read one."""

import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from alexnet_core.build import ImageSource, Sample
from alexnet_core.images import read_image

MAX_FILE_BYTES = 200_000_000  # one's own scans may be large; a film is not an image
SPLIT_FOLDERS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
CIFAR_BATCHES = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "val": ["test_batch.bin"]}
CIFAR_RECORD = 1 + 3 * 32 * 32  # label, then the red, green and blue plane
SYNSET_LISTS = ("words.txt", "synset_words.txt", "LOC_synset_mapping.txt")
IMAGENETTE_NAMES = {
    "n01440764": "tench",
    "n02102040": "English springer",
    "n02979186": "cassette player",
    "n03000684": "chain saw",
    "n03028079": "church",
    "n03394916": "French horn",
    "n03417042": "garbage truck",
    "n03425413": "gas pump",
    "n03445777": "golf ball",
    "n03888257": "parachute",
}


def tiny_imagenet(root: Path) -> ImageSource:
    """Tiny ImageNet in its official layout.

    That is ``train/<wnid>/images/``, ``val/images/``, ``val/val_annotations.txt``, words.txt and wnids.txt.
    Classes are in WNID order; their names are the synonym lists of words.txt. The test part has no labels.
    """
    root = _find(root, "wnids.txt")
    classes = sorted(_lines(root / "wnids.txt"))
    names = _synset_names(root / "words.txt")
    train = [Sample(path, i) for i, wnid in enumerate(classes) for path in _files(root, f"train/{wnid}/images")]
    val = _tiny_val(root / "val" / "val_annotations.txt", classes)
    return _files_source(root, classes, {"train": train, "val": val}, exif=False, names=names)


def _tiny_val(annotations: Path, classes: Sequence[str]) -> list[Sample]:
    """One line per image: file, WNID and a box, between tabs."""
    rows = [line.split("\t") for line in _lines(annotations)]
    if wrong := [row for row in rows if len(row) < 2 or row[1] not in classes]:
        raise ValueError(f"{annotations} must name a file and a class of wnids.txt in each line, found {wrong[0]}.")
    return sorted(Sample(f"val/images/{row[0]}", classes.index(row[1])) for row in rows)


def cifar10(root: Path) -> ImageSource:
    """CIFAR-10, binary version or folders ``train/<class>/`` and ``test/<class>/``; test becomes val."""
    if any(root.rglob("data_batch_1.bin")):
        return _cifar10_binary(_find(root, "data_batch_1.bin"))
    source = _split_folders(_find(root, "train"), {"train": "train", "val": "test"}, exif=False)
    lossy = any(sample.path.lower().endswith((".jpg", ".jpeg")) for sample in source.splits["train"])
    return replace(source, note="Lossy JPEG copies of the original CIFAR-10 pixels.") if lossy else source


def imagenette(root: Path) -> ImageSource:
    """Imagenette: ``train/<wnid>/`` and ``val/<wnid>/`` of ten ImageNet classes; EXIF is ignored as there."""
    splits = {"train": "train", "val": "val"}
    return _split_folders(_find(root, "train"), splits, exif=False, names=IMAGENETTE_NAMES)


def imagenet_folder(root: Path) -> ImageSource:
    """ImageNet as ``train/<wnid>/`` and ``val/<wnid>/``, or any part of it with whole classes.

    EXIF rotation is ignored, as it was in 2012. Class names come from a synset list beside train and val
    (words.txt, synset_words.txt or LOC_synset_mapping.txt, as they are handed out), else they are the WNIDs.
    """
    root = _find(root, "train")
    lists = [root / name for name in SYNSET_LISTS if (root / name).exists()]
    names = _synset_names(lists[0]) if lists else {}
    return _split_folders(root, {"train": "train", "val": "val"}, exif=False, names=names)


def own_folder(root: Path, *, val_share: float = 0.1, seed: int = 0) -> ImageSource:
    """Any folder with one subfolder of photographs per class, turned upright by their EXIF tag.

    Folder names are the classes. With ``train/`` and, if wanted, ``val/`` and ``test/`` on top these are the
    splits. Where there is no val, ``val_share`` of every class (at least one image) is drawn for it from
    train; the draw depends on the seed, the class name and its file names only.
    """
    root = _unwrap(root)
    folders = {SPLIT_FOLDERS[f.name]: f.name for f in _visible_folders(root) if f.name in SPLIT_FOLDERS}
    if "train" not in folders:
        folders = {"train": "."}
    source = _split_folders(root, folders, exif=True)
    return source if "val" in folders else replace(source, splits=_with_val(source, val_share, seed))


def _with_val(source: ImageSource, share: float, seed: int) -> dict[str, Sequence[Sample]]:
    groups = groupby(source.splits["train"], key=lambda sample: sample.label)  # they come class by class
    drawn = {s for label, group in groups for s in _draw(source.classes[label], list(group), share, seed)}
    train = [sample for sample in source.splits["train"] if sample not in drawn]
    return {**source.splits, "train": train, "val": sorted(drawn)}


def _draw(name: str, members: Sequence[Sample], share: float, seed: int) -> list[Sample]:
    """The share of one class that validates; never all of it."""
    rng = np.random.default_rng([seed, zlib.crc32(os.fsencode(name))])
    count = min(max(1, round(share * len(members))), len(members) - 1)
    return [members[i] for i in rng.permutation(len(members))[:count]]


def _split_folders(
    root: Path, folders: Mapping[str, str], *, exif: bool, names: Mapping[str, str] | None = None
) -> ImageSource:
    """Splits in ``root/<folder>/<class>/``; the classes are those of train, in alphabetical order."""
    classes = [folder.name for folder in _visible_folders(root / folders["train"])]
    if len(classes) < 2:
        place = root / folders["train"]
        raise ValueError(f"{place} must hold two or more subfolders of images, one a class; found {classes}.")
    splits = {split: _labelled(root, folder, classes) for split, folder in folders.items()}
    return _files_source(root, classes, splits, exif=exif, names=names or {})


def _labelled(root: Path, folder: str, classes: Sequence[str]) -> list[Sample]:
    if unknown := {f.name for f in _visible_folders(root / folder)} - set(classes):
        raise ValueError(f"{root / folder} must hold the classes of train only; found {sorted(unknown)[:5]}.")
    return [Sample(path, i) for i, name in enumerate(classes) for path in _files(root, f"{folder}/{name}")]


def _files_source(
    root: Path,
    classes: Sequence[str],
    splits: Mapping[str, Sequence[Sample]],
    *,
    exif: bool,
    names: Mapping[str, str],
) -> ImageSource:
    counts = np.bincount([sample.label for sample in splits["train"]], minlength=len(classes))
    if empty := [name for name, count in zip(classes, counts, strict=True) if count == 0]:
        raise ValueError(f"Every class must have training images; {root} has none for {empty[:5]}.")
    return ImageSource(
        classes=classes,
        class_names=[names.get(name, name) for name in classes],
        splits=splits,
        exif=exif,
        load=partial(_load_file, root, exif),
    )


def _load_file(root: Path, exif: bool, path: str, min_side: int) -> Image.Image:
    return read_image(root / path, exif=exif, min_side=min_side, max_bytes=MAX_FILE_BYTES).image


def _cifar10_binary(root: Path) -> ImageSource:
    classes = _lines(root / "batches.meta.txt")
    batches = {name: _read_batch(root / name) for names in CIFAR_BATCHES.values() for name in names}
    splits = {
        split: [Sample(f"{name}/{i}", int(row[0])) for name in names for i, row in enumerate(batches[name])]
        for split, names in CIFAR_BATCHES.items()
    }
    return ImageSource(
        classes=classes, class_names=classes, splits=splits, exif=False, load=partial(_load_record, batches)
    )


def _read_batch(file: Path) -> npt.NDArray[np.uint8]:
    """Records of shape (n, 3073): the label, then 32 x 32 red, green and blue values, row by row."""
    values = np.fromfile(file, dtype=np.uint8)
    if values.size == 0 or values.size % CIFAR_RECORD or values[::CIFAR_RECORD].max() > 9:
        raise ValueError(f"{file} must hold records of {CIFAR_RECORD} bytes with labels 0 to 9.")
    return values.reshape(-1, CIFAR_RECORD)


def _load_record(batches: Mapping[str, npt.NDArray[np.uint8]], path: str, _min_side: int) -> Image.Image:
    name, row = path.split("/")
    planes = batches[name][int(row), 1:].reshape(3, 32, 32)
    return Image.fromarray(np.ascontiguousarray(planes.transpose(1, 2, 0)))


def _synset_names(file: Path) -> dict[str, str]:
    """WNID and names, with a tab or a blank between."""
    return dict(line.split(maxsplit=1) for line in _lines(file) if len(line.split()) > 1)


def _find(root: Path, landmark: str) -> Path:
    """``root`` or the folder just below it that holds ``landmark``: archives often have one folder on top."""
    for folder in (root, *_visible_folders(root)):
        if (folder / landmark).exists():
            return folder
    raise ValueError(f"{root} does not look like this data set: no {landmark!r} in it or one folder below.")


def _unwrap(root: Path) -> Path:
    """Goes down while there is nothing but one folder that itself holds folders."""
    inside = _visible_folders(root)
    if len(inside) == 1 and inside[0].name not in SPLIT_FOLDERS and _visible_folders(inside[0]):
        return _unwrap(inside[0])
    return root


def _visible_folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise ValueError(f"{folder} must be a folder.")
    return sorted(f for f in folder.iterdir() if f.is_dir() and _visible(f.name))


def _files(root: Path, folder: str) -> list[str]:
    """Paths relative to ``root`` of everything visible in a folder and below, whatever its name ends in."""
    paths = (file.relative_to(root) for file in (root / folder).rglob("*") if file.is_file())
    return sorted(path.as_posix() for path in paths if all(map(_visible, path.parts)))


def _visible(name: str) -> bool:
    """Whether people put it there: not .DS_Store, ._photo.jpg, __MACOSX or Thumbs.db."""
    return not name.startswith((".", "__MACOSX")) and name != "Thumbs.db"


def _lines(file: Path) -> list[str]:
    try:
        return [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise ValueError(f"{file} cannot be read as text: {error}.") from error
