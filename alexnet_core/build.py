"""Builds an image store: decodes every image once, survives being killed, reports what it left out."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout
from PIL import Image
from tqdm import tqdm

from alexnet_core.files import write_json
from alexnet_core.images import ImageError, short_side_resize
from alexnet_core.store import FORMAT_VERSION, ImageStore, sha256_of

CHUNK_BYTES = 32 * 2**20  # made durable at once; a killed build repeats at most this much
UNFINISHED = ".building"  # at the end of the name of a folder that is no store yet
WORKERS = min(8, os.cpu_count() or 1)


class Sample(NamedTuple):
    """One image of a source, not yet read."""

    path: str  # relative, with forward slashes
    label: int  # index into the source's classes


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSource:
    """Labelled images somewhere, and the way to read one."""

    classes: Sequence[str]  # ids, in label order
    class_names: Sequence[str]  # for people, same order
    splits: Mapping[str, Sequence[Sample]]
    exif: bool  # whether load turns photographs upright by their EXIF tag
    # load(path, short side that is enough) gives RGB, or raises ImageError for a bad file
    load: Callable[[str, int], Image.Image]
    note: str = ""  # what a reader of results must know, such as "lossy copies"
    recipe: str = ""  # of rendered images: what their pixels follow from


def build_store(
    source: ImageSource,
    folder: Path,
    *,
    name: str,
    size: int,
    workers: int = WORKERS,
    chunk_bytes: int = CHUNK_BYTES,
    progress: bool = True,
) -> ImageStore:
    """Decodes every image of ``source`` to ``size`` x ``size`` pixels and writes the store ``folder``.

    Work goes on in ``<folder>.building`` beside it, renamed at the end. A build that was killed is taken up
    after its last whole chunk if source and size are the same, else begun anew; the result does not differ.
    Files that cannot be used are left out and listed in the manifest with the reason.

    Raises ValueError if ``size`` is not positive, ``folder`` exists, is being built by another process, needs
    more disk than there is, or if a split has no usable image at all.
    """
    if size < 1:
        raise ValueError(f"size must be at least 1 pixel, got {size}.")
    if folder.exists():
        raise ValueError(f"{folder} exists already; delete it to build it again.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _sole_builder(folder), ThreadPoolExecutor(workers) as pool:  # Pillow works outside the GIL
        work = _work_folder(source, folder, size)
        build = _Build(source, work, size, pool, max(1, chunk_bytes // (3 * size**2)), progress)
        splits = {split: build.split(split) for split in source.splits}
        write_json(work / "manifest.json", _manifest(source, splits, name, size))
        for scaffold in (work / "plan.json", *work.glob("*.journal")):
            scaffold.unlink()
        work.rename(folder)
    return ImageStore.open(folder)


class _Build(NamedTuple):
    """One run of ``build_store``: what is read, where it is written, and with what."""

    source: ImageSource
    work: Path
    size: int
    pool: Executor
    chunk: int  # images
    progress: bool

    def split(self, name: str) -> dict[str, Any]:
        """Writes, or completes, the files of one split; returns its part of the manifest."""
        samples = self.source.splits[name]
        skipped = self._write_images(name, samples)
        kept = [sample for i, sample in enumerate(samples) if i not in skipped]
        if not kept:
            shutil.rmtree(self.work)  # the next try must look at the files again
            raise ValueError(f"Split {name!r} has no usable image: {_first_reason(samples, skipped)}")
        labels = np.array([sample.label for sample in kept], dtype=np.int64)
        np.save(self.work / f"{name}.labels.npy", labels)
        (self.work / f"{name}.paths.txt").write_bytes("".join(f"{sample.path}\n" for sample in kept).encode())
        return {
            "count": len(kept),
            "images_sha256": sha256_of(np.load(self.work / f"{name}.images.npy", mmap_mode="r")),
            "labels_sha256": sha256_of(labels),
            "skipped": [{"path": _printable(samples[i].path), "reason": skipped[i]} for i in sorted(skipped)],
        }

    def _write_images(self, name: str, samples: Sequence[Sample]) -> dict[int, str]:
        """Appends chunk after chunk to the pixel file; returns which samples were left out and why."""
        journal = self.work / f"{name}.journal"
        done, skipped = _read_journal(journal)
        pixels = self.work / f"{name}.images.npy"
        with (
            _open_pixels(pixels, done - len(skipped), len(samples), self.size) as file,
            tqdm(None, name, len(samples), initial=done, unit=" images", disable=not self.progress) as bar,
        ):
            for start in range(done, len(samples), self.chunk):
                chunk = samples[start : start + self.chunk]
                skipped |= {start + i: reason for i, reason in self._append(file, chunk, bar).items()}
                _make_durable(file)  # before the journal says so
                write_json(journal, {"done": start + len(chunk), "skipped": skipped})
            file.seek(0)
            file.write(_npy_header(len(samples) - len(skipped), self.size))
            _make_durable(file)
        return skipped

    def _append(self, file: BinaryIO, chunk: Sequence[Sample], bar: "tqdm[Any]") -> dict[int, str]:
        """Writes the good images of a chunk in order; returns index in the chunk and reason of the others."""
        bad = {}
        for i, pixels in enumerate(self.pool.map(self._pixels, chunk)):
            if isinstance(pixels, str):
                bad[i] = pixels
            else:
                file.write(pixels.tobytes())
            bar.update()
        return bad

    def _pixels(self, sample: Sample) -> npt.NDArray[np.uint8] | str:
        """The image as (3, size, size) RGB, or why it cannot be had."""
        if "\n" in sample.path or _printable(sample.path) != sample.path:
            return "The file name has a line break or is not UTF-8."
        try:
            # twice the size is enough: the last halving is then done by the resize filter itself
            image = self.source.load(sample.path, 2 * self.size)
        except ImageError as error:
            return str(error)
        return np.asarray(short_side_resize(image, self.size)).transpose(2, 0, 1)


def _read_journal(file: Path) -> tuple[int, dict[int, str]]:
    """How far a split has come: samples dealt with, and the reasons of those left out."""
    if not file.exists():
        return 0, {}
    entry = json.loads(file.read_bytes())
    return entry["done"], {int(i): reason for i, reason in entry["skipped"].items()}


@contextmanager
def _sole_builder(folder: Path) -> Iterator[None]:
    """Holds a lock that the system frees when the process dies, however it dies."""
    try:
        with FileLock(folder.with_name(f".{folder.name}.lock"), timeout=0):
            yield
    except Timeout:
        raise ValueError(f"{folder} is being built by another process; wait for it to end.") from None


def _work_folder(source: ImageSource, folder: Path, size: int) -> Path:
    """The folder to build in: an unfinished one if it was begun for the same thing, else an empty one."""
    work = folder.with_name(f"{folder.name}{UNFINISHED}")
    plan = json.dumps([FORMAT_VERSION, size, source.exif, source.recipe, dict(source.splits)])
    digest = {"sha256": hashlib.sha256(plan.encode()).hexdigest()}
    if not (work / "plan.json").exists() or json.loads((work / "plan.json").read_bytes()) != digest:
        shutil.rmtree(work, ignore_errors=True)
        _check_disk(source, folder.parent, size)
        work.mkdir()
        write_json(work / "plan.json", digest)
    return work


def _check_disk(source: ImageSource, place: Path, size: int) -> None:
    needed = sum(map(len, source.splits.values())) * 3 * size**2
    if (free := shutil.disk_usage(place).free) < needed:
        raise ValueError(f"{place} must have {needed / 1e9:.1f} GB free for this, has {free / 1e9:.1f} GB.")


@contextmanager
def _open_pixels(file: Path, rows: int, samples: int, size: int) -> Iterator[BinaryIO]:
    """The pixel file, cut to its first ``rows`` images and ready for more."""
    header = _npy_header(samples, size)
    end = len(header) + rows * 3 * size**2
    with file.open("r+b" if rows else "w+b") as opened:
        opened.write(header)
        if opened.seek(0, os.SEEK_END) < end:
            raise ValueError(f"{file} is shorter than its journal says; delete the folder {file.parent}.")
        opened.truncate(end)
        opened.seek(end)
        yield opened


def _npy_header(count: int, size: int) -> bytes:
    """Header of a (count, 3, size, size) uint8 .npy file; NumPy pads it to one length for every count."""
    header = BytesIO()
    shape = (count, 3, size, size)
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return header.getvalue()


def _make_durable(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _manifest(source: ImageSource, splits: Mapping[str, Any], name: str, size: int) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "name": name,
        "size": size,
        "exif": source.exif,
        "note": source.note,
        "recipe": source.recipe,
        "classes": [_printable(name) for name in source.classes],
        "class_names": [_printable(name) for name in source.class_names],
        "splits": dict(splits),
    }


def _first_reason(samples: Sequence[Sample], skipped: Mapping[int, str]) -> str:
    return f"{_printable(samples[0].path)}: {skipped[0]}" if samples else "the source lists none."


def _printable(path: str) -> str:
    """A path that can be written as UTF-8, whatever bytes the file system gave."""
    return path.encode("utf-8", "backslashreplace").decode()
