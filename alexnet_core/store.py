"""A labelled image set decoded once: memory-mapped 8-bit arrays and a manifest that says what they are.

A store is a folder with ``manifest.json`` and, for each split, ``<split>.images.npy`` (n, 3, size, size)
uint8 RGB, ``<split>.labels.npy`` (n,) int64 and ``<split>.paths.txt``, one source path per line.
``alexnet_core.build`` writes it.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self, TypeVar

import numpy as np
import numpy.typing as npt

FORMAT_VERSION = 1
REBUILD = "delete the folder and fetch the data set again."

T = TypeVar("T")


class Skipped(NamedTuple):
    """A file of the source that is not in the store, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitInfo:
    """What the manifest says of one split."""

    count: int
    images_sha256: str  # of the pixels in order, without the .npy header
    labels_sha256: str  # of the int64 values, likewise
    skipped: tuple[Skipped, ...]


class Split(NamedTuple):
    """The images of one split; index i means the same image in all three."""

    images: npt.NDArray[np.uint8]  # (n, 3, size, size) RGB, memory-mapped, read-only
    labels: npt.NDArray[np.int64]  # (n,), indices into the store's classes
    paths: tuple[str, ...]  # n relative paths in the source


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageStore:
    """A built store on disk; made by ``ImageStore.open``."""

    folder: Path
    name: str
    size: int  # pixels, both sides
    exif: bool  # whether photographs were turned upright by their EXIF tag
    classes: tuple[str, ...]  # ids, in label order
    class_names: tuple[str, ...]  # for people, same order
    splits: dict[str, SplitInfo]
    note: str  # what a reader of results must know, often empty
    recipe: str = ""  # what was rendered, where the pixels follow from it; "" for photographs

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Reads the manifest and checks every array against it; pixels are only mapped.

        Raises ValueError naming the file and the field that is missing, torn or does not fit.
        """
        manifest = _Fields.of_file(folder / "manifest.json")
        if (version := manifest.get("format_version", int)) != FORMAT_VERSION:
            raise manifest.error("format_version", f"{FORMAT_VERSION} for this program", version)
        store = cls(
            folder=folder,
            name=manifest.get("name", str),
            size=manifest.get("size", int),
            exif=manifest.get("exif", bool),
            classes=manifest.strings("classes"),
            class_names=manifest.strings("class_names"),
            splits={name: _split_info(manifest.inside("splits").inside(name)) for name in manifest.get("splits", dict)},
            note=manifest.get("note", str, ""),
            recipe=manifest.get("recipe", str, ""),
        )
        if len(store.class_names) != len(store.classes):
            raise manifest.error("class_names", f"{len(store.classes)} names", len(store.class_names))
        for name in store.splits:
            store._arrays(name)
        return store

    @property
    def hash(self) -> str:
        """SHA-256 over pixels, labels, classes, size and EXIF rule; neither name nor place matters.

        Of rendered images, the recipe stands for the pixels: they may be on disk or not.
        """
        if self.recipe:
            return hashlib.sha256(self.recipe.encode()).hexdigest()
        content = {
            "size": self.size,
            "exif": self.exif,
            "classes": self.classes,
            "splits": {name: [s.count, s.images_sha256, s.labels_sha256] for name, s in self.splits.items()},
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def split(self, name: str) -> Split:
        """The images, labels and paths of one split; ValueError for an unknown name or a torn path list."""
        if name not in self.splits:
            raise ValueError(f"Unknown split {name!r} of {self.name}; choose from {list(self.splits)}.")
        images, labels = self._arrays(name)
        return Split(images, labels, _read_paths(self.folder / f"{name}.paths.txt", len(labels)))

    def verify(self) -> None:
        """Reads every pixel and label; ValueError naming the file that is not the one that was built."""
        for name, info in self.splits.items():
            images, labels = self._arrays(name)
            if sha256_of(images) != info.images_sha256:
                raise _changed(self.folder / f"{name}.images.npy", f"splits.{name}.images_sha256")
            if sha256_of(labels) != info.labels_sha256:
                raise _changed(self.folder / f"{name}.labels.npy", f"splits.{name}.labels_sha256")

    def _arrays(self, name: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        count = self.splits[name].count
        file = self.folder / f"{name}.labels.npy"
        images = _load_array(self.folder / f"{name}.images.npy", np.uint8, (count, 3, self.size, self.size), "r")
        labels = _load_array(file, np.int64, (count,), None)
        if count and (labels.min() < 0 or labels.max() >= len(self.classes)):
            found = f"{labels.min()} to {labels.max()}"
            raise ValueError(f"{file} must hold labels 0 to {len(self.classes) - 1}, found {found}; {REBUILD}")
        return images, labels


def sha256_of(array: npt.NDArray[Any]) -> str:
    """SHA-256 of the values in C order, without any header."""
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()


class _Fields(NamedTuple):
    """Part of a manifest that can say where in which file a value is wrong."""

    file: Path
    values: dict[str, Any]
    where: str = ""  # "splits.train." inside that object

    @classmethod
    def of_file(cls, file: Path) -> Self:
        try:
            values = json.loads(file.read_bytes())
        except (OSError, ValueError) as error:
            raise ValueError(f"{file} must be the readable manifest of an image store: {error}; {REBUILD}") from error
        if not isinstance(values, dict):
            raise ValueError(f"{file} must hold a JSON object, found {type(values).__name__}; {REBUILD}")
        return cls(file, values)

    def get(self, field: str, kind: type[T], default: T | None = None) -> T:
        value = self.values.get(field, default)
        if not isinstance(value, kind):
            raise self.error(field, f"a {kind.__name__}", value)
        return value

    def inside(self, field: str) -> "_Fields":
        return _Fields(self.file, self.get(field, dict), f"{self.where}{field}.")

    def strings(self, field: str) -> tuple[str, ...]:
        values = self.get(field, list)
        if not all(isinstance(value, str) for value in values):
            raise self.error(field, "a list of strings", values)
        return tuple(values)

    def error(self, field: str, expected: str, found: object) -> ValueError:
        text = f"{self.file}: {self.where}{field} must be {expected}, found {found!r:.80}; {REBUILD}"
        return ValueError(text)


def _split_info(fields: _Fields) -> SplitInfo:
    skipped = tuple(
        Skipped(entry.get("path", str), entry.get("reason", str))
        for i, values in enumerate(fields.get("skipped", list))
        for entry in [_Fields(fields.file, {str(i): values}, f"{fields.where}skipped.").inside(str(i))]
    )
    return SplitInfo(
        count=fields.get("count", int),
        images_sha256=fields.get("images_sha256", str),
        labels_sha256=fields.get("labels_sha256", str),
        skipped=skipped,
    )


def _load_array(
    file: Path, dtype: npt.DTypeLike, shape: tuple[int, ...], mmap_mode: Literal["r"] | None
) -> npt.NDArray[Any]:
    try:
        array: npt.NDArray[Any] = np.load(file, mmap_mode=mmap_mode)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{file} is missing or torn: {error}; {REBUILD}") from error
    if array.shape != shape or array.dtype != dtype:
        expected = f"{np.dtype(dtype)} of shape {shape}"
        raise ValueError(f"{file} must be {expected}, found {array.dtype} of shape {array.shape}; {REBUILD}")
    return array


def _read_paths(file: Path, count: int) -> tuple[str, ...]:
    try:
        lines = file.read_bytes().decode().split("\n")  # not read_text: a name may hold a carriage return
    except (OSError, ValueError) as error:
        raise ValueError(f"{file} must list the source paths in UTF-8: {error}; {REBUILD}") from error
    if lines.pop() or len(lines) != count:
        raise ValueError(f"{file} must have {count} lines, found {len(lines)}; {REBUILD}")
    return tuple(lines)


def _changed(file: Path, field: str) -> ValueError:
    return ValueError(f"{file} was changed after it was built: its SHA-256 is not {field}; {REBUILD}")
