"""A streaming pass over images, in shards that outlive a killed process: what is on disk is not computed again."""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from alexnet_core.files import written_beside

IMAGES = 512  # in a shard: what a killed pass repeats at most
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
        """Start and stop of each batch. They never depend on where a pass was interrupted, so results do not."""
        return [(start, min(start + BATCH, self.stop)) for start in range(self.start, self.stop, BATCH)]


def shards_of(counts: Mapping[str, int]) -> list[Shard]:
    """The shards of some splits in order, given how many images each has; no shard has images of two splits."""
    spans = [
        (split, start, min(start + IMAGES, count))
        for split, count in counts.items()
        for start in range(0, count, IMAGES)
    ]
    return [Shard(number, *span) for number, span in enumerate(spans)]


@dataclass(frozen=True, slots=True)
class ShardFolder:
    """Where the shards of each wanted part lie. The key of a part is the hash of all that goes into it."""

    root: Path
    keys: Mapping[str, str]

    def place(self, part: str) -> Path:
        """Folder of one part."""
        return self.root / f"{part}-{self.keys[part][:16]}"

    def file(self, part: str, shard: Shard) -> Path:
        """Where a part of a shard is, or will be."""
        return self.place(part) / f"{shard.number:06d}.npy"

    def missing(self, shard: Shard) -> list[str]:
        """The wanted parts of a shard that are not there yet."""
        return [part for part in self.keys if not self.file(part, shard).exists()]

    def todo(self, shards: Iterable[Shard]) -> int:
        """Images of which some part is not there yet."""
        return sum(shard.stop - shard.start for shard in shards if self.missing(shard))

    def array(self, part: str, shard: Shard) -> NDArray[Any]:
        """A part of a shard that is there, (n, ...)."""
        values: NDArray[Any] = np.load(self.file(part, shard))
        return values

    def write(self, part: str, shard: Shard, batches: Sequence[Any]) -> None:
        """Keep a part of a shard, given batch by batch."""
        file = self.file(part, shard)
        file.parent.mkdir(parents=True, exist_ok=True)
        with written_beside(file) as beside, beside.open("wb") as opened:
            np.save(opened, np.concatenate(batches))

    def remove(self) -> None:
        """Delete the shards of these parts."""
        for part in self.keys:
            shutil.rmtree(self.place(part), ignore_errors=True)
        with suppress(OSError):  # there may be others
            self.root.rmdir()


def compute_shards(
    folder: ShardFolder,
    shards: Iterable[Shard],
    *,
    load: Callable[[Shard, int, int, Sequence[str]], T],
    compute: Callable[[T, Sequence[str]], Mapping[str, Any]],
    advance: Callable[[int], None],
) -> None:
    """Compute and keep what is missing of each shard. Every image is loaded once, the next ones in another thread.

    `load` gets a shard, start and stop in its split, and the missing parts; `compute` gives each of these for what was
    loaded. `advance` is told how many images each batch had.
    """
    todo = [(shard, parts) for shard in shards if (parts := folder.missing(shard))]
    batches = _ahead(partial(load, shard, *span, parts) for shard, parts in todo for span in shard.batches)
    for shard, parts in todo:
        found: dict[str, list[Any]] = {part: [] for part in parts}
        for (start, stop), batch in zip(shard.batches, batches):  # noqa: B905  the batches of the next shard follow
            for part, values in compute(batch, parts).items():
                found[part].append(values)
            advance(stop - start)
        for part in parts:
            folder.write(part, shard, found[part])


def _ahead(calls: Iterable[Callable[[], T]]) -> Iterator[T]:
    """The results of the calls in order, the next ones made in another thread meanwhile."""
    rest = iter(calls)
    with ThreadPoolExecutor(1) as pool:
        waiting = [pool.submit(call) for call in islice(rest, AHEAD)]
        while waiting:
            result = waiting.pop(0).result()
            waiting += [pool.submit(call) for call in islice(rest, 1)]
            yield result
