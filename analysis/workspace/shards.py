"""One streaming pass over a gallery, in shards that outlive a killed process: features, logits and thumbnails."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from alexnet_core.checkpoint import Checkpoint
from alexnet_core.files import written_beside
from alexnet_core.store import ImageStore
from analysis.workspace.thumbnails import Thumbnails, thumbnail, write_thumbnails

Part = Literal["features", "logits", "thumbnails"]
STAGE = "relu7"  # fc7 after its ReLU
IMAGES = 512  # in a shard: what a killed build repeats at most
BATCH = 64
AHEAD = 2  # batches that may be loaded while another is in the network

T = TypeVar("T")


class Shard(NamedTuple):
    """Consecutive images of one split."""

    number: int
    split: str
    start: int  # in the split
    stop: int

    @property
    def batches(self) -> list[tuple[int, int]]:
        """Start and stop of each batch. They never depend on where a build was interrupted, so results do not."""
        return [(start, min(start + BATCH, self.stop)) for start in range(self.start, self.stop, BATCH)]


def shards_of(store: ImageStore, splits: Iterable[str]) -> list[Shard]:
    """The shards of a gallery in order; none has images of two splits."""
    spans = [
        (split, start, min(start + IMAGES, store.splits[split].count))
        for split in splits
        for start in range(0, store.splits[split].count, IMAGES)
    ]
    return [Shard(number, *span) for number, span in enumerate(spans)]


class ShardFolder(NamedTuple):
    """Where the shards of each wanted part lie. The key of a part is the hash of all that goes into it."""

    root: Path
    keys: Mapping[Part, str]

    def place(self, part: Part) -> Path:
        """Folder of one part."""
        return self.root / f"{part}-{self.keys[part][:16]}"

    def file(self, part: Part, shard: Shard) -> Path:
        """Where a part of a shard is, or will be."""
        return self.place(part) / f"{shard.number:06d}.{'arrow' if part == 'thumbnails' else 'npy'}"

    def missing(self, shard: Shard) -> list[Part]:
        """The wanted parts of a shard that are not there yet."""
        return [part for part in self.keys if not self.file(part, shard).exists()]

    def array(self, part: Part, shard: Shard) -> NDArray[Any]:
        """Features (n, 4096) float16 or logits (n, classes) float32 of a shard that is there."""
        values: NDArray[Any] = np.load(self.file(part, shard))
        return values

    def jpegs(self, shard: Shard) -> list[bytes]:
        """Thumbnails of a shard that is there."""
        packed = Thumbnails(self.file("thumbnails", shard))
        return [packed[i] for i in range(len(packed))]

    def write(self, part: Part, shard: Shard, batches: Sequence[Any]) -> None:
        """Keep a part of a shard, given batch by batch."""
        file = self.file(part, shard)
        file.parent.mkdir(parents=True, exist_ok=True)
        if part == "thumbnails":
            write_thumbnails(file, batches)
            return
        with written_beside(file) as beside, beside.open("wb") as opened:
            np.save(opened, np.concatenate(batches))


class _Batch(NamedTuple):
    images: NDArray[np.uint8]  # (n, 3, s, s)
    jpegs: list[bytes] | None


def compute_shards(
    folder: ShardFolder,
    shards: Iterable[Shard],
    store: ImageStore,
    checkpoint: Checkpoint,
    *,
    device: torch.device,
    advance: Callable[[int], None],
) -> None:
    """Compute and keep what is missing of each shard. Every image is loaded once, the next ones while the network
    works on these. `advance` is told how many images each batch had.
    """
    checkpoint.model.to(device)
    torch.backends.cudnn.allow_tf32 = False  # a GPU's convolutions would round to 10 bits
    todo = [(shard, parts) for shard in shards if (parts := folder.missing(shard))]
    images = {split: store.split(split).images for split in {shard.split for shard, _ in todo}}
    batches = _ahead(
        partial(_load, images[shard.split], *span, "thumbnails" in parts)
        for shard, parts in todo
        for span in shard.batches
    )
    for shard, parts in todo:
        found: dict[Part, list[Any]] = {part: [] for part in parts}
        for batch in islice(batches, len(shard.batches)):
            for part, values in _compute(batch, parts, checkpoint, device).items():
                found[part].append(values)
            advance(len(batch.images))
        for part in parts:
            folder.write(part, shard, found[part])


def _load(images: NDArray[np.uint8], start: int, stop: int, small: bool) -> _Batch:
    """Read or render some images; slicing does the work."""
    block = np.array(images[start:stop])
    return _Batch(block, [thumbnail(image) for image in block] if small else None)


def _ahead(calls: Iterable[Callable[[], T]]) -> Iterator[T]:
    """The results of the calls in order, the next ones made in another thread meanwhile."""
    rest = iter(calls)
    with ThreadPoolExecutor(1) as pool:
        waiting = [pool.submit(call) for call in islice(rest, AHEAD)]
        while waiting:
            result = waiting.pop(0).result()
            waiting += [pool.submit(call) for call in islice(rest, 1)]
            yield result


@torch.inference_mode()
def _compute(
    batch: _Batch, parts: Sequence[Part], checkpoint: Checkpoint, device: torch.device
) -> dict[Part, NDArray[Any] | list[bytes]]:
    """The wanted parts of one batch. Float32 throughout: features are rounded to float16 only to be stored."""
    found: dict[Part, NDArray[Any] | list[bytes]] = {}
    if batch.jpegs is not None:
        found["thumbnails"] = batch.jpegs
    if network := {"features", "logits"} & set(parts):
        images = checkpoint.preprocess.centre(torch.from_numpy(batch.images).to(device))
        until = None if "logits" in network else STAGE
        logits, kept = checkpoint.model.run(images, until=until, taps=(STAGE,))
        computed: dict[Part, NDArray[Any]] = {
            "logits": logits.cpu().numpy(),
            "features": kept[STAGE].half().cpu().numpy(),
        }
        found |= {part: computed[part] for part in computed if part in network}
    return found
