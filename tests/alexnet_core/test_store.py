"""Tests of alexnet_core.store: a store opens as written, and every kind of damage is named."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alexnet_core.store import ImageStore, Skipped, sha256_of

SIZE = 4


def write_store(folder: Path) -> Path:
    """A store written by hand after the format's description, not by alexnet_core.build."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    splits: dict[str, Any] = {}
    for split, count in (("train", 5), ("val", 2)):
        images = rng.integers(0, 256, (count, 3, SIZE, SIZE), dtype=np.uint8)
        labels = np.arange(count, dtype=np.int64) % 2
        np.save(folder / f"{split}.images.npy", images)
        np.save(folder / f"{split}.labels.npy", labels)
        (folder / f"{split}.paths.txt").write_text("".join(f"{split}/{i}.png\n" for i in range(count)))
        splits[split] = {
            "count": count,
            "images_sha256": hashlib.sha256(images.tobytes()).hexdigest(),
            "labels_sha256": hashlib.sha256(labels.tobytes()).hexdigest(),
            "skipped": [{"path": "torn.jpg", "reason": "It is torn."}] if split == "train" else [],
        }
    manifest = {
        "format_version": 1,
        "name": "hand-made",
        "size": SIZE,
        "exif": False,
        "classes": ["n1", "n2"],
        "class_names": ["one", "two"],
        "splits": splits,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_store(tmp_path / "hand-made")


def change(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    file = folder / "manifest.json"
    manifest = json.loads(file.read_text())
    edit(manifest)
    file.write_text(json.dumps(manifest))


def test_a_store_opens_as_it_was_written(folder: Path) -> None:
    store = ImageStore.open(folder)
    assert (store.name, store.size, store.exif, store.note) == ("hand-made", SIZE, False, "")
    assert (store.classes, store.class_names) == (("n1", "n2"), ("one", "two"))
    assert store.splits["train"].skipped == (Skipped("torn.jpg", "It is torn."),)
    train = store.split("train")
    np.testing.assert_array_equal(train.images, np.load(folder / "train.images.npy"))
    assert train.labels.tolist() == [0, 1, 0, 1, 0]
    assert train.paths == tuple(f"train/{i}.png" for i in range(5))
    store.verify()


def test_pixels_are_mapped_and_cannot_be_written(folder: Path) -> None:
    images = ImageStore.open(folder).split("train").images
    assert isinstance(images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        images[0] = 0


def test_an_unknown_split_is_answered_with_the_known_ones(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"'test' of hand-made; choose from \['train', 'val'\]"):
        ImageStore.open(folder).split("test")


FIELD_DAMAGE: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "no name": (lambda m: m.pop("name"), r"name must be a str, found None"),
    "size as text": (lambda m: m.update(size="64"), r"size must be a int, found '64'"),
    "a later format": (lambda m: m.update(format_version=2), r"format_version must be 1 for this program, found 2"),
    "classes not strings": (lambda m: m.update(classes=[1, 2]), r"classes must be a list of strings"),
    "a name missing": (lambda m: m.update(class_names=["one"]), r"class_names must be 2 names, found 1"),
    "no checksum": (lambda m: m["splits"]["val"].pop("images_sha256"), r"splits\.val\.images_sha256 must be a str"),
    "a split that is a list": (lambda m: m["splits"].update(val=[]), r"splits\.val must be a dict, found \[\]"),
    "a skipped without reason": (lambda m: m["splits"]["train"].update(skipped=[{"path": "x"}]), r"skipped.*reason"),
    "a wrong count": (lambda m: m["splits"]["val"].update(count=3), r"val\.images\.npy must be uint8 of shape \(3, 3"),
    "a wrong size": (lambda m: m.update(size=5), r"train\.images\.npy must be uint8 of shape \(5, 3, 5, 5\), found"),
    "too few classes": (
        lambda m: m.update(classes=["n1"], class_names=["one"]),
        r"train\.labels\.npy must hold labels 0 to 0, found 0 to 1",
    ),
}


@pytest.mark.parametrize("damage", FIELD_DAMAGE)
def test_a_wrong_manifest_is_an_error_that_names_the_field(folder: Path, damage: str) -> None:
    edit, words = FIELD_DAMAGE[damage]
    change(folder, edit)
    with pytest.raises(ValueError, match=words) as caught:
        ImageStore.open(folder)
    assert str(folder) in str(caught.value)
    assert "fetch the data set again" in str(caught.value)


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


FILE_DAMAGE: dict[str, tuple[str, Callable[[Path], object]]] = {
    "manifest missing": ("manifest.json", Path.unlink),
    "manifest torn": ("manifest.json", truncate),
    "manifest no object": ("manifest.json", lambda file: file.write_text("[]")),
    "images missing": ("train.images.npy", Path.unlink),
    "images truncated": ("train.images.npy", truncate),
    "images empty": ("val.images.npy", lambda file: file.write_bytes(b"")),
    "images no array": ("val.images.npy", lambda file: file.write_text("hello")),
    "images of another type": ("val.images.npy", lambda file: np.save(file, np.zeros((2, 3, SIZE, SIZE)))),
    "labels truncated": ("train.labels.npy", truncate),
    "labels negative": ("train.labels.npy", lambda file: np.save(file, np.full(5, -1))),
    "labels pickled": ("train.labels.npy", lambda file: np.save(file, np.array([None] * 5), allow_pickle=True)),
    "paths missing": ("train.paths.txt", Path.unlink),
    "paths truncated": ("train.paths.txt", lambda file: file.write_text("train/0.png\ntrain/1")),
    "paths not UTF-8": ("train.paths.txt", lambda file: file.write_bytes(b"\xff\n" * 5)),
}


@pytest.mark.parametrize("damage", FILE_DAMAGE)
def test_a_missing_or_torn_file_is_an_error_that_names_it(folder: Path, damage: str) -> None:
    name, harm = FILE_DAMAGE[damage]
    harm(folder / name)
    with pytest.raises(ValueError, match=name.replace(".", r"\.")):
        ImageStore.open(folder).split("train")


def test_a_single_changed_pixel_is_found_by_verify_but_not_by_open(folder: Path) -> None:
    file = folder / "train.images.npy"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(ValueError, match=r"train\.images\.npy was changed.*splits\.train\.images_sha256"):
        ImageStore.open(folder).verify()


def test_the_hash_follows_content_and_not_name_or_place(folder: Path, tmp_path: Path) -> None:
    before = ImageStore.open(folder).hash
    moved = shutil.copytree(folder, tmp_path / "moved")
    change(moved, lambda m: m.update(name="other", note="new"))
    assert ImageStore.open(moved).hash == before
    edits: list[Callable[[dict[str, Any]], object]] = [
        lambda m: m.update(exif=True),
        lambda m: m["classes"].reverse(),
        lambda m: m["splits"].pop("val"),
        lambda m: m["splits"]["train"].update(images_sha256="0"),
        lambda m: m["splits"]["train"].update(labels_sha256="0"),
    ]
    hashes = {before}
    for i, edit in enumerate(edits):
        other = shutil.copytree(folder, tmp_path / f"{i}")
        change(other, edit)
        hashes.add(ImageStore.open(other).hash)
    assert len(hashes) == 1 + len(edits)


def test_the_checksum_is_of_the_values_in_order() -> None:
    values = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert sha256_of(values) == hashlib.sha256(bytes(range(12))).hexdigest()
    assert sha256_of(values.T) == hashlib.sha256(values.T.tobytes()).hexdigest()
