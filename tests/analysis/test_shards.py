"""A pass in shards: what they cover, and that only what is missing is computed, with the same result."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis import shards as module
from analysis.shards import Shard, ShardFolder, compute_shards, shards_of

KEYS = {"squares": "s" * 64, "halves": "h" * 64}


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IMAGES", 8)
    monkeypatch.setattr(module, "BATCH", 3)


class Work:
    """What `compute_shards` is given, and a record of what it asked for."""

    def __init__(self, stop_after: int = 1000) -> None:
        self.loaded: list[tuple[int, int]] = []
        self.computed: list[tuple[str, ...]] = []
        self.images = 0
        self.stop_after = stop_after

    def load(self, shard: Shard, start: int, stop: int, parts: Sequence[str]) -> NDArray[np.int64]:
        self.loaded.append((start, stop))
        return np.arange(start, stop)

    def compute(self, batch: NDArray[np.int64], parts: Sequence[str]) -> dict[str, NDArray[np.float64]]:
        if len(self.computed) == self.stop_after:
            raise KeyboardInterrupt
        self.computed.append(tuple(parts))
        return {part: batch**2.0 if part == "squares" else batch / 2 for part in parts}

    def advance(self, images: int) -> None:
        self.images += images

    def run(self, folder: ShardFolder, shards: Sequence[Shard]) -> None:
        compute_shards(folder, shards, load=self.load, compute=self.compute, advance=self.advance)


def test_shards_cover_every_image_once_and_none_has_two_splits() -> None:
    found = shards_of({"val": 13, "empty": 0, "train": 21})
    assert [tuple(shard) for shard in found] == [
        (0, "val", 0, 8),
        (1, "val", 8, 13),
        (2, "train", 0, 8),
        (3, "train", 8, 16),
        (4, "train", 16, 21),
    ]
    assert found[1].batches == [(8, 11), (11, 13)]


def test_an_interrupted_pass_goes_on_at_its_shard_and_ends_alike(tmp_path: Path) -> None:
    folder, shards = ShardFolder(tmp_path, KEYS), shards_of({"val": 21})
    with pytest.raises(KeyboardInterrupt):
        Work(stop_after=4).run(folder, shards)  # within the second of three shards
    assert folder.todo(shards) == 13
    work = Work()
    work.run(folder, shards)
    assert (work.loaded[0], work.images) == ((8, 11), 13)
    assert np.concatenate([folder.array("squares", shard) for shard in shards]).tolist() == [i**2 for i in range(21)]
    assert np.concatenate([folder.array("halves", shard) for shard in shards]).tolist() == [i / 2 for i in range(21)]


def test_only_the_missing_part_is_computed(tmp_path: Path) -> None:
    folder, shards = ShardFolder(tmp_path, KEYS), shards_of({"val": 16})
    Work().run(folder, shards)
    folder.file("halves", shards[1]).unlink()
    work = Work()
    work.run(folder, shards)
    assert work.computed == [("halves",)] * 3
    assert ShardFolder(tmp_path, KEYS | {"squares": "other"}).todo(shards) == 16  # another key, another folder


def test_removing_leaves_the_shards_of_others(tmp_path: Path) -> None:
    mine, other = ShardFolder(tmp_path / "s", KEYS), ShardFolder(tmp_path / "s", {"squares": "o" * 64})
    for folder in (mine, other):
        Work().run(folder, shards_of({"val": 5}))
    mine.remove()
    assert list((tmp_path / "s").iterdir()) == [other.place("squares")]
    other.remove()
    assert not (tmp_path / "s").exists()


def test_an_error_while_images_are_loaded_reaches_the_caller(tmp_path: Path) -> None:
    def torn(*_: object) -> None:
        raise OSError("torn")

    with pytest.raises(OSError, match="torn"):
        compute_shards(
            ShardFolder(tmp_path, KEYS), shards_of({"val": 5}), load=torn, compute=lambda *_: {}, advance=lambda _: None
        )
