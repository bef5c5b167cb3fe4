"""One pass over the images that keeps what some stages of a network give for each, by one process or several."""

import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from alexnet_core.checkpoint import Checkpoint
from alexnet_core.files import sha256_of_file, sha256_of_values, write_json, written_beside
from alexnet_core.lrn import uses_compiled
from alexnet_core.paths import features_dir
from alexnet_core.store import ImageStore
from analysis.features.store import LISTING, MANIFEST, FeatureStore, File, open_feature_store, splits_of, tap_of
from analysis.shards import BATCH, Shard, ShardFolder, compute_shards, shards_of

VERSION = 1  # of the code that computes features
DTYPES = ("float16", "float32")


@dataclass(frozen=True, slots=True)
class FeatureShards(ShardFolder):
    """Shards that several processes may write, even the same ones: they come out alike, and one waits for the other."""

    def lock(self, part: str) -> FileLock:
        """Held while a file of this part is written; the system frees it when the process dies."""
        self.root.mkdir(parents=True, exist_ok=True)
        return FileLock(self.root / f".{self.place(part).name}.lock")

    def write(self, part: str, shard: Shard, batches: Sequence[Any]) -> None:
        """Keep a part of a shard, given batch by batch."""
        with self.lock(part):
            ShardFolder.write(self, part, shard, batches)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    """The features of one stage for some splits, and where they lie."""

    checkpoint: Checkpoint
    images: ImageStore
    tap: str
    splits: dict[str, int]
    dtype: str
    home: Path | None

    @property
    def part(self) -> str:
        """What the features are, but for their last bits."""
        name = re.sub(r"[^\w.]+", "-", str(self.checkpoint.card["name"]))
        values = VERSION, self.checkpoint.id, self.images.hash, self.tap, self.splits, self.dtype
        return f"{name}-{self.tap}-{sha256_of_values(*values)[:16]}"

    @property
    def root(self) -> Path:
        return features_dir(self.home) / self.images.name

    def finished(self) -> FeatureStore | None:
        """The store, once it is whole. Raises ``ValueError`` if it was and is damaged."""
        manifests = sorted(self.root.glob(f"{self.part}-*/{MANIFEST}"))
        return open_feature_store(manifests[0].parent) if manifests else None

    def remove(self, keep: Path | None = None) -> None:
        """Delete it, and what unfinished passes left of it; not `keep`."""
        for place in self.root.glob(f"{self.part}-*"):
            if place != keep:
                shutil.rmtree(place)

    def finish(self, shards: FeatureShards) -> None:
        """Vouch for the shards, once all of them are there: the process that comes last does it."""
        place, pieces = shards.place(self.part), shards_of(self.splits)
        with shards.lock(self.part):
            if (place / MANIFEST).exists() or not all(shards.file(self.part, shard).exists() for shard in pieces):
                return
            write_listing(place / LISTING, self.images, self.splits)
            files = [_file(shards.file(self.part, shard), shard.stop - shard.start) for shard in pieces]
            first = shards.array(self.part, pieces[0])
            told = {
                "checkpoint": str(self.checkpoint.card["name"]),
                "checkpoint_id": self.checkpoint.id,
                "dataset": self.images.name,
                "store_hash": self.images.hash,
                "stage": self.tap,
                "splits": self.splits,
                "shape": [sum(self.splits.values()), first.shape[1]],
                "dtype": self.dtype,
                "shards": files,
                "listing": _file(place / LISTING, sum(self.splits.values())),
                "software": software(next(self.checkpoint.model.parameters()).device),
            }
            write_json(place / MANIFEST, told)
        self.remove(keep=place)


def extract(
    checkpoint: Checkpoint,
    images: ImageStore,
    stages: Sequence[str] = ("fc7",),
    *,
    splits: Sequence[str] = (),
    dtype: str = "float16",
    home: Path | None = None,
    device: torch.device | None = None,
    rank: int = 0,
    ranks: int = 1,
    progress: bool = False,
    fresh: bool = False,
) -> list[FeatureStore]:
    """The features of each stage (`tap_of` says what a name means), central crop; what is not there yet is computed.

    No split named means all. Of several `ranks`, each takes every `ranks`-th shard; they meet only on disk, and the
    stores that are whole by now are returned, all of them to the last. Killed at any moment, the same call, by any
    number of ranks, goes on and ends with the same bytes if `software` is the same. Memory does not grow with the
    number of images. `fresh` computes again what is there.

    Raises ``ValueError`` for an unknown stage, split or dtype, images of another size, a disk without room, values
    that do not fit in float16, a store that is damaged, and `fresh` with several ranks.
    """
    wanted = _wanted(checkpoint, images, stages, splits, dtype, home)
    if fresh and ranks > 1:
        raise ValueError("Features can be computed afresh by one process only; delete their folder instead.")
    if fresh:
        for each in wanted:
            each.remove()
    if todo := [each for each in wanted if not each.finished()]:
        checkpoint.model.to(device := device or torch.device("cpu"))
        taps = {each.part: each.tap for each in todo}
        _check_room(todo, warm_up(checkpoint, taps.values(), device))
        shards = FeatureShards(todo[0].root, dict.fromkeys(taps, sha256_of_values(software(device))))
        mine = shards_of(todo[0].splits)[rank::ranks]
        n, left = sum(shard.stop - shard.start for shard in mine), shards.todo(mine)
        label = f"{images.name}, {rank + 1} of {ranks}" if ranks > 1 else images.name
        with tqdm(total=n, initial=n - left, desc=label, unit="image", position=rank, disable=not progress) as bar:
            compute_features(shards, mine, checkpoint, images, taps, dtype=dtype, device=device, advance=bar.update)
        for each in todo:
            each.finish(shards)
    return [store for each in wanted if (store := each.finished())]


def compute_features(
    folder: ShardFolder,
    shards: Iterable[Shard],
    checkpoint: Checkpoint,
    images: ImageStore,
    taps: Mapping[str, str],
    *,
    dtype: str,
    device: torch.device,
    advance: Callable[[int], None],
) -> None:
    """Compute and keep what is missing of each shard, given the stage of each part of the folder.

    On a CPU as many shards are computed at once as torch may use threads, by one thread each: nobody waits for the
    other's half of a small operation, and the number of threads does not change a bit. Raises ``ValueError`` for
    values that do not fit in the dtype.
    """
    torch.backends.cudnn.allow_tf32 = False  # a GPU's convolutions would round to 10 bits
    pixels = {split: images.split(split).images for split in images.splits}

    def load(shard: Shard, start: int, stop: int, _: Sequence[str]) -> NDArray[np.uint8]:
        return np.array(pixels[shard.split][start:stop])

    def compute(batch: NDArray[np.uint8], parts: Sequence[str]) -> dict[str, NDArray[Any]]:
        kept = outputs(checkpoint, torch.from_numpy(batch).to(device), {taps[part] for part in parts})
        return {part: _as_stored(kept[taps[part]], taps[part], dtype) for part in parts}

    def work(shard: Shard) -> None:
        compute_shards(folder, [shard], load=load, compute=compute, advance=advance)

    with _one_thread() as threads:
        at_once = threads if device.type == "cpu" else 1
        with ThreadPoolExecutor(at_once, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            for _ in pool.map(work, shards):  # an error, or Ctrl-C, takes back what has not begun
                pass


@contextmanager
def _one_thread() -> Iterator[int]:
    """Torch computes with one thread, also in threads that start now; gives how many it had."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)


@torch.inference_mode()
def outputs(checkpoint: Checkpoint, images: Tensor, taps: set[str]) -> dict[str, Tensor]:
    """What stages give for images (n, 3, s, s) uint8, flattened to (n, d) float32."""
    crops = checkpoint.preprocess.centre(images)
    last = max(taps, key=list(checkpoint.model.stages).index)
    # Channels last: a CPU then normalises, pools and convolves in half the time.
    crops = crops.contiguous(memory_format=torch.channels_last)
    _, kept = checkpoint.model.run(crops, until=last, taps=taps)
    return {tap: values.flatten(1) for tap, values in kept.items()}


def warm_up(checkpoint: Checkpoint, taps: Iterable[str], device: torch.device) -> dict[str, int]:
    """Look at one image, which compiles what is to be compiled; gives how many numbers each stage has."""
    size = checkpoint.preprocess.source_size
    image = torch.zeros(1, 3, size, size, dtype=torch.uint8, device=device)
    with _one_thread():
        return {tap: values.shape[1] for tap, values in outputs(checkpoint, image, set(taps)).items()}


def software(device: torch.device) -> dict[str, Any]:
    """All that the last bits of a feature follow from, beside the network and the image."""
    gpu = device.type == "cuda"
    return {
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(device) if gpu else device.type,
        "processor": "" if gpu else torch.backends.cpu.get_cpu_capability(),
        "compiled": uses_compiled(),
        "batch": BATCH,
    }


def write_listing(file: Path, images: ImageStore, splits: dict[str, int]) -> None:
    """Write path and label of the image of each row."""
    found = [images.split(name) for name in splits]
    paths = [path for split in found for path in split.paths]
    labels = np.concatenate([split.labels for split in found])
    with written_beside(file) as beside:
        pq.write_table(pa.table({"path": paths, "label": labels}), beside, compression="zstd")


def _wanted(
    checkpoint: Checkpoint,
    images: ImageStore,
    stages: Sequence[str],
    splits: Sequence[str],
    dtype: str,
    home: Path | None,
) -> list[Extraction]:
    """One extraction for each stage that is meant. Raises ``ValueError`` for what cannot be done."""
    name, size = checkpoint.card["name"], checkpoint.preprocess.source_size
    if size != images.size:
        raise ValueError(f"{name!r} reads images of {size} px, {images.name!r} holds {images.size} px.")
    if dtype not in DTYPES:
        raise ValueError(f"Features are kept as one of {DTYPES}, got {dtype!r}.")
    taps = dict.fromkeys(tap_of(stage, list(checkpoint.model.stages)) for stage in stages)
    counts = splits_of(images, splits)
    return [
        Extraction(checkpoint=checkpoint, images=images, tap=tap, splits=counts, dtype=dtype, home=home) for tap in taps
    ]


def _check_room(todo: Sequence[Extraction], widths: Mapping[str, int]) -> None:
    """Raises ``ValueError`` if the disk has no room for what is not there yet."""
    root = todo[0].root
    root.mkdir(parents=True, exist_ok=True)
    n, each = sum(todo[0].splits.values()), np.dtype(todo[0].dtype).itemsize
    there = sum(file.stat().st_size for one in todo for file in root.glob(f"{one.part}-*/*.npy"))
    needed, free = sum(n * width * each for width in widths.values()) - there, shutil.disk_usage(root).free
    if needed > free:
        raise ValueError(f"{root} must have {needed / 1e9:.1f} GB free for this, has {free / 1e9:.1f} GB.")


def _as_stored(values: Tensor, tap: str, dtype: str) -> NDArray[Any]:
    stored: NDArray[Any] = values.to(getattr(torch, dtype)).cpu().numpy()
    if not np.isfinite(stored).all():
        largest = np.finfo(np.dtype(dtype)).max
        raise ValueError(f"{tap} gives values beyond {largest:,.0f}, the largest in {dtype}; keep them as float32.")
    return stored


def _file(path: Path, rows: int) -> File:
    return File(path.name, rows, path.stat().st_size, sha256_of_file(path))
