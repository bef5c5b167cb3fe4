"""A whole folder that a visitor hands over: kept on disk and looked through before it is built. No Streamlit here."""

import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from uuid import uuid4

import numpy as np

from alexnet_core.images import ImageError, read_image
from alexnet_core.paths import data_home
from alexnet_core.sources import own_folder

FEWEST = 5  # images of a class: four to learn from, one to test with
ENOUGH_PIXELS = 64  # of the short side: large JPEGs are looked through at a coarser scale
FORGOTTEN = 24 * 3600  # seconds after which a folder that nobody built is deleted


class Folder(NamedTuple):
    """What a folder on disk holds, and why it cannot be built, in one sentence, if it cannot."""

    place: Path
    classes: dict[str, int]  # images of each subfolder
    bytes: int
    left_out: list[str]  # "name: reason"
    problem: str


def uploads_dir() -> Path:
    """Where folders from the browser lie until their images are in a store."""
    return data_home() / "uploads"


def keep(files: Iterable[tuple[str, bytes]]) -> Path:
    """Write files with their paths inside the visitor's folder to a place of their own; returns it."""
    _forget_old()
    place = uploads_dir() / uuid4().hex
    for path, data in files:
        parts = [part for part in PurePosixPath(path.replace("\\", "/")).parts if part not in ("/", "..", ".")]
        if parts and not any(part.startswith(".") for part in parts):
            file = place.joinpath(*parts)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
    return place


def look_through(place: Path) -> Folder:
    """Read every picture once; those that cannot be read are deleted from `place` and named."""
    left_out = list(_without_unreadable(place))
    try:
        source = own_folder(place)
    except ValueError as error:
        return Folder(place, {}, 0, left_out, str(error).replace(str(place), "the folder"))
    samples = [sample for split in source.splits.values() for sample in split]
    counts = np.bincount([sample.label for sample in samples], minlength=len(source.classes))
    classes = dict(zip(source.class_names, map(int, counts), strict=True))
    size = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
    return Folder(place, classes, size, left_out, _why_not(classes))


def forget(place: Path) -> None:
    """Delete a folder that was kept."""
    shutil.rmtree(place, ignore_errors=True)


def _without_unreadable(place: Path) -> Iterator[str]:
    for file in sorted(path for path in place.rglob("*") if path.is_file()):
        try:
            read_image(file, min_side=ENOUGH_PIXELS)
        except ImageError as error:
            file.unlink()
            yield f"{file.relative_to(place)}: {error}"


def _why_not(classes: dict[str, int]) -> str:
    few = [f"{name} ({count})" for name, count in classes.items() if count < FEWEST]
    if not few:
        return ""
    return f"Every class needs at least {FEWEST} pictures that can be read; too few are in {', '.join(few)}."


def _forget_old() -> None:
    for place in uploads_dir().glob("*"):
        if time.time() - place.stat().st_mtime > FORGOTTEN:
            forget(place)
