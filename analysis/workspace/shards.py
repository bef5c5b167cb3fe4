"""What a gallery's pass computes of each image: features, logits and thumbnails."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from alexnet_core.checkpoint import Checkpoint
from alexnet_core.store import ImageStore
from analysis.shards import Shard, ShardFolder, compute_shards
from analysis.workspace.thumbnails import Thumbnails, thumbnail, write_thumbnails

STAGE = "relu7"  # fc7 after its ReLU


@dataclass(frozen=True, slots=True)
class GalleryShards(ShardFolder):
    """Shards of "features" (n, 4096) float16, "logits" (n, classes) float32 and "thumbnails", which are JPEGs."""

    def file(self, part: str, shard: Shard) -> Path:
        """Where a part of a shard is, or will be."""
        file = ShardFolder.file(self, part, shard)
        return file.with_suffix(".arrow") if part == "thumbnails" else file

    def write(self, part: str, shard: Shard, batches: Sequence[Any]) -> None:
        """Keep a part of a shard, given batch by batch."""
        if part != "thumbnails":
            ShardFolder.write(self, part, shard, batches)
            return
        file = self.file(part, shard)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_thumbnails(file, batches)

    def jpegs(self, shard: Shard) -> list[bytes]:
        """Thumbnails of a shard that is there."""
        packed = Thumbnails(self.file("thumbnails", shard))
        return [packed[i] for i in range(len(packed))]


class _Batch(NamedTuple):
    images: NDArray[np.uint8]  # (n, 3, s, s)
    jpegs: list[bytes] | None


def compute_gallery(
    folder: GalleryShards,
    shards: Iterable[Shard],
    store: ImageStore,
    checkpoint: Checkpoint,
    *,
    device: torch.device,
    advance: Callable[[int], None],
) -> None:
    """Compute and keep what is missing of each shard; `advance` is told how many images each batch had."""
    checkpoint.model.to(device)
    torch.backends.cudnn.allow_tf32 = False  # a GPU's convolutions would round to 10 bits
    todo = [shard for shard in shards if folder.missing(shard)]
    images = {split: store.split(split).images for split in {shard.split for shard in todo}}
    compute_shards(
        folder,
        todo,
        load=lambda shard, start, stop, parts: _load(images[shard.split], start, stop, "thumbnails" in parts),
        compute=partial(_compute, checkpoint=checkpoint, device=device),
        advance=advance,
    )


def _load(images: NDArray[np.uint8], start: int, stop: int, small: bool) -> _Batch:
    """Read or render some images; slicing does the work."""
    block = np.array(images[start:stop])
    return _Batch(block, [thumbnail(image) for image in block] if small else None)


@torch.inference_mode()
def _compute(
    batch: _Batch, parts: Sequence[str], *, checkpoint: Checkpoint, device: torch.device
) -> dict[str, NDArray[Any] | list[bytes]]:
    """The wanted parts of one batch. Float32 throughout: features are rounded to float16 only to be stored."""
    found: dict[str, NDArray[Any] | list[bytes]] = {}
    if batch.jpegs is not None:
        found["thumbnails"] = batch.jpegs
    if network := {"features", "logits"} & set(parts):
        images = checkpoint.preprocess.centre(torch.from_numpy(batch.images).to(device))
        until = None if "logits" in network else STAGE
        logits, kept = checkpoint.model.run(images, until=until, taps=(STAGE,))
        computed: dict[str, NDArray[Any]] = {
            "logits": logits.cpu().numpy(),
            "features": kept[STAGE].half().cpu().numpy(),
        }
        found |= {part: computed[part] for part in computed if part in network}
    return found
