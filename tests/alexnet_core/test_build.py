"""Tests of alexnet_core.build: what goes into a store, and that nothing is lost when a build dies."""

import io
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from alexnet_core.build import ImageSource, Sample, build_store
from alexnet_core.images import ImageError
from alexnet_core.store import ImageStore

ROOT = Path(__file__).resolve().parents[2]
SIZE = 8
ROW = 3 * SIZE**2  # bytes of one stored image


def picture(path: str) -> Image.Image:
    """An image that only its path determines."""
    seed = list(path.encode("utf-8", "surrogateescape"))
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8))


def load(path: str, _min_side: int) -> Image.Image:
    if "bad" in path:
        raise ImageError(f"{path} is bad.")
    return picture(path)


def source_of(train: list[str], val: list[str], load: Callable[[str, int], Image.Image] = load) -> ImageSource:
    return ImageSource(
        classes=["cat", "dog"],
        class_names=["a cat", "a dog"],
        splits={
            "train": [Sample(path, i % 2) for i, path in enumerate(train)],
            "val": [Sample(path, 1) for path in val],
        },
        exif=True,
        load=load,
        note="A test.",
    )


def build(source: ImageSource, folder: Path, *, chunk: int = 1000) -> ImageStore:
    return build_store(source, folder, name="tiny", size=SIZE, workers=2, chunk_bytes=chunk * ROW, progress=False)


NAMES = [f"{i}.png" for i in range(20)]


def test_every_image_arrives_with_its_label_and_path(tmp_path: Path) -> None:
    store = build(source_of(NAMES, ["v.png"]), tmp_path / "data" / "tiny", chunk=3)
    train = store.split("train")
    assert train.paths == tuple(NAMES)
    assert train.labels.tolist() == [0, 1] * 10
    for path, stored in zip(train.paths, train.images, strict=True):
        np.testing.assert_array_equal(stored.transpose(1, 2, 0), np.asarray(picture(path)))
    assert (store.name, store.size, store.exif, store.note) == ("tiny", SIZE, True, "A test.")
    assert (store.classes, store.class_names) == (("cat", "dog"), ("a cat", "a dog"))
    store.verify()


def test_only_the_files_of_the_format_are_left(tmp_path: Path) -> None:
    store = build(source_of(NAMES, ["v.png"]), tmp_path / "tiny")
    parts = {f"{split}.{part}" for split in ("train", "val") for part in ("images.npy", "labels.npy", "paths.txt")}
    assert {file.name for file in store.folder.iterdir()} == parts | {"manifest.json"}
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == ["tiny"]


def test_bad_files_are_left_out_counted_and_named_and_the_others_keep_their_places(tmp_path: Path) -> None:
    names = ["0.png", "bad1", "2.png", "bad3", "line\nbreak.png", "caf\udce9.png", "café.png", "cr\r.png", "bad8"]
    store = build(source_of(names, ["v.png"]), tmp_path / "tiny", chunk=2)
    train = store.split("train")
    assert train.paths == ("0.png", "2.png", "café.png", "cr\r.png")
    assert train.labels.tolist() == [0, 0, 0, 1]
    np.testing.assert_array_equal(train.images[2].transpose(1, 2, 0), np.asarray(picture("café.png")))
    reasons = {skipped.path: skipped.reason for skipped in store.splits["train"].skipped}
    assert reasons["bad3"] == "bad3 is bad."
    assert set(reasons) == {"bad1", "bad3", "bad8", "line\nbreak.png", "caf\\udce9.png"}
    store.verify()


def test_a_split_without_a_single_good_image_is_an_error_and_is_looked_at_again(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"Split 'val' has no usable image: bad\.png: bad\.png is bad\."):
        build(source_of(NAMES, ["bad.png"]), tmp_path / "tiny")
    repaired = source_of(NAMES, ["bad.png"], load=lambda path, _min_side: picture(path))
    assert build(repaired, tmp_path / "tiny").splits["val"].count == 1


def test_chunks_and_threads_do_not_change_the_result(tmp_path: Path) -> None:
    source = source_of([*NAMES, "bad"], ["v.png"])
    hashes = {build(source, tmp_path / f"{chunk}", chunk=chunk).hash for chunk in (1, 7, 1000)}
    assert len(hashes) == 1


class Stop(Exception):
    """What interrupts a build in these tests."""


def stopping_after(count: int, loaded: list[str]) -> Callable[[str, int], Image.Image]:
    def load_some(path: str, min_side: int) -> Image.Image:
        if len(loaded) >= count:
            raise Stop
        loaded.append(path)
        return load(path, min_side)

    return load_some


def test_an_interrupted_build_goes_on_after_its_last_whole_chunk(tmp_path: Path) -> None:
    names = ["bad0", *NAMES]
    whole = build(source_of(names, ["v.png"]), tmp_path / "whole")
    with pytest.raises(Stop):
        build(source_of(names, ["v.png"], stopping_after(11, [])), tmp_path / "tiny", chunk=4)
    assert not (tmp_path / "tiny").exists()
    loaded: list[str] = []
    resumed = build(source_of(names, ["v.png"], stopping_after(99, loaded)), tmp_path / "tiny", chunk=4)
    assert sorted(loaded) == sorted([*names[8:], "v.png"])  # two chunks of four were kept
    assert resumed.hash == whole.hash
    assert resumed.splits == whole.splits
    resumed.verify()


def test_images_of_a_broken_chunk_do_not_stay_behind_when_they_turn_bad(tmp_path: Path) -> None:
    with pytest.raises(Stop):
        build(source_of(NAMES, ["v.png"], stopping_after(18, [])), tmp_path / "tiny", chunk=10)

    def load_first_ten(path: str, _min_side: int) -> Image.Image:
        if path in NAMES[10:]:
            raise ImageError("It has gone bad.")
        return picture(path)

    store = build(source_of(NAMES, ["v.png"], load_first_ten), tmp_path / "tiny", chunk=10)
    assert (store.folder / "train.images.npy").stat().st_size == 128 + 10 * ROW


def test_other_settings_begin_anew(tmp_path: Path) -> None:
    with pytest.raises(Stop):
        build(source_of(NAMES, ["v.png"], stopping_after(11, [])), tmp_path / "tiny", chunk=4)
    loaded: list[str] = []
    other = source_of(NAMES[::-1], ["v.png"], stopping_after(99, loaded))
    assert build(other, tmp_path / "tiny").split("train").paths == tuple(NAMES[::-1])
    assert len(loaded) == len(NAMES) + 1


VICTIM = """
    import sys, time
    from pathlib import Path
    import numpy as np
    from PIL import Image
    from alexnet_core.build import ImageSource, Sample, build_store

    def load(path, min_side):
        if path == "57":
            Path(sys.argv[1] + ".reached").touch()
            time.sleep(60)
        return Image.fromarray(np.full((8, 8, 3), int(path), dtype=np.uint8))

    samples = [Sample(str(i), i % 2) for i in range(100)]
    source = ImageSource(classes="ab", class_names="ab", splits={"train": samples}, exif=False, load=load)
    build_store(source, Path(sys.argv[1]), name="t", size=8, workers=2, chunk_bytes=10 * 192, progress=False)
"""


def kill_a_build(folder: Path, reached: Path) -> None:
    """Runs VICTIM until it is at image 57 and kills it without warning."""
    command = [sys.executable, "-c", textwrap.dedent(VICTIM), str(folder)]
    victim = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)})
    try:
        while not reached.exists():
            assert victim.poll() is None
            time.sleep(0.02)
    finally:
        victim.kill()
        victim.wait()


def test_a_build_killed_in_the_middle_is_completed_by_the_next_run(tmp_path: Path) -> None:
    kill_a_build(tmp_path / "t", tmp_path / "t.reached")
    assert not (tmp_path / "t").exists()
    written = (tmp_path / "t.building" / "train.images.npy").stat().st_size
    assert 128 + 50 * ROW <= written < 128 + 60 * ROW

    loaded: list[int] = []

    def load(path: str, _min_side: int) -> Image.Image:
        loaded.append(int(path))
        return Image.fromarray(np.full((SIZE, SIZE, 3), int(path), dtype=np.uint8))

    samples = [Sample(str(i), i % 2) for i in range(100)]
    source = ImageSource(classes="ab", class_names="ab", splits={"train": samples}, exif=False, load=load)
    store = build(source, tmp_path / "t", chunk=10)
    assert sorted(loaded) == list(range(50, 100))
    assert store.split("train").images[:, 0, 0, 0].tolist() == list(range(100))
    assert store.split("train").paths == tuple(map(str, range(100)))
    store.verify()


def test_two_builders_do_not_write_the_same_store(tmp_path: Path) -> None:
    with (
        FileLock(tmp_path / ".tiny.lock", is_singleton=False),
        pytest.raises(ValueError, match="being built by another process"),
    ):
        build(source_of(NAMES, ["v.png"]), tmp_path / "tiny")


def test_what_exists_is_not_overwritten_and_nonsense_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    with pytest.raises(ValueError, match="exists already; delete it"):
        build(source_of(NAMES, ["v.png"]), tmp_path / "tiny")
    with pytest.raises(ValueError, match="size must be at least 1 pixel, got 0"):
        build_store(source_of(NAMES, ["v.png"]), tmp_path / "other", name="x", size=0)


def test_a_disk_that_is_too_small_is_told_before_the_work_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _place: type("Usage", (), {"free": 20 * ROW})())
    with pytest.raises(ValueError, match="GB free"):
        build(source_of(NAMES, ["v.png"]), tmp_path / "tiny")
    assert build(source_of(NAMES[:19], ["v.png"]), tmp_path / "tiny").splits["train"].count == 19


def test_numpy_itself_can_read_what_was_written(tmp_path: Path) -> None:
    store = build(source_of(NAMES, ["v.png"]), tmp_path / "tiny")
    raw = io.BytesIO((store.folder / "train.images.npy").read_bytes())
    np.testing.assert_array_equal(np.load(raw), store.split("train").images)
