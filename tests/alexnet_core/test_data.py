"""Tests of alexnet_core.data: from what a user types to a store on disk."""

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alexnet_core import data
from alexnet_core.data import RECIPES, fetch, list_datasets, main, open_dataset
from alexnet_core.download import DownloadError

ROOT = Path(__file__).resolve().parents[2]


def write_photos(folder: Path, count: int = 10) -> Path:
    """Two classes of noise."""
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)).save(folder / name / f"{i}.png")
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twenty files, one of them no photograph."""
    folder = write_photos(tmp_path / "My Photos")
    (folder / "cat/3.png").write_text("a letter")
    return folder


def packed(folder: Path, kind: str) -> Path:
    archive = folder.with_name(f"{folder.name}.{kind}")
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as opened:
            for file in folder.rglob("*"):
                opened.write(file, file.relative_to(folder.parent))
    else:
        with tarfile.open(archive, "w:xz" if kind == "tar.xz" else "w:gz") as opened:
            opened.add(folder, folder.name)
    return archive


def test_a_folder_a_zip_and_a_tar_give_the_same_store_and_leave_nothing_else(photos: Path, tmp_path: Path) -> None:
    hashes = set()
    for given in (photos, packed(photos, "zip"), packed(photos, "tgz"), packed(photos, "tar.xz")):
        home = tmp_path / f"home{given.suffix}"
        store = fetch("folder", given, size=8, home=home, progress=False)
        hashes.add(store.hash)
        assert store.splits["train"].count + store.splits["val"].count == 19
        visible = [file.name for file in (home / "datasets").iterdir() if not file.name.startswith(".")]
        assert visible == ["my-photos-8"]
    assert len(hashes) == 1


def test_home_size_and_name_have_their_defaults(photos: Path) -> None:
    store = fetch("folder", photos, progress=False)
    assert store.folder == Path(os.environ["ALEXNET_HOME"]) / "datasets" / "my-photos-256"
    assert (store.name, store.size, store.exif) == ("my-photos-256", 256, True)
    assert open_dataset("my-photos-256").hash == store.hash
    fetch("folder", photos, size=8, name="pets", progress=False)
    assert list_datasets() == ["my-photos-256", "pets"]


def serve(monkeypatch: pytest.MonkeyPatch, archive: Path) -> list[tuple[str, str]]:
    """Instead of the network: whatever is asked for is this archive."""
    asked = []

    def download(url: str, file: Path, *, md5: str, progress: bool) -> Path:
        asked.append((url, md5))
        return archive

    monkeypatch.setattr(data, "download", download)
    return asked


def test_a_public_set_is_fetched_once_and_notes_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for split in ("train", "val"):
        write_photos(tmp_path / "imagenette2-320" / split, count=3)
    asked = serve(monkeypatch, packed(tmp_path / "imagenette2-320", "tgz"))
    store = fetch("imagenette", progress=False)
    assert fetch("imagenette", progress=False).hash == store.hash
    assert asked == [(RECIPES["imagenette"].url, RECIPES["imagenette"].md5)]
    assert (store.name, store.size, store.exif) == ("imagenette-256", 256, False)
    assert store.note == "Not the whole official set: {'train': 6, 'val': 6} of {'train': 9469, 'val': 3925}."


def test_public_addresses_have_a_published_checksum_and_the_official_counts() -> None:
    assert {name for name, recipe in RECIPES.items() if recipe.url} == {"tiny-imagenet", "cifar10", "imagenette"}
    for recipe in RECIPES.values():
        assert not recipe.url or re.fullmatch(r"[0-9a-f]{32}", recipe.md5)
    assert sum(RECIPES["tiny-imagenet"].counts.values()) == 200 * (500 + 50)
    assert sum(RECIPES["cifar10"].counts.values()) == 10 * 6000
    assert sum(RECIPES["imagenette"].counts.values()) == 13_394  # fastai/imagenette, README


def test_an_unpacked_archive_is_used_again_after_a_failed_build(
    monkeypatch: pytest.MonkeyPatch, photos: Path, tmp_path: Path
) -> None:
    archive = packed(photos, "zip")
    with monkeypatch.context() as broken:
        broken.setattr(data, "build_store", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            fetch("folder", archive, size=8, home=tmp_path, progress=False)
    monkeypatch.setattr(data, "unpack", lambda *_, **__: pytest.fail("unpacked twice"))
    assert fetch("folder", archive, size=8, home=tmp_path, progress=False).splits["train"].count > 10
    assert not list((tmp_path / "datasets").glob("*.unpacked-*"))


def test_an_existing_store_is_not_taken_for_another_folder_of_the_same_name(photos: Path, tmp_path: Path) -> None:
    fetch("folder", photos, size=8, progress=False)
    other = write_photos(tmp_path / "elsewhere" / "My Photos")
    with pytest.raises(ValueError, match="choose another --name"):
        fetch("folder", other, size=8, progress=False)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nonsense", None), r"Unknown data set 'nonsense'; choose from \['prism', 'tiny-imagenet'"),
        (("folder", None), "needs --from PATH"),
        (("imagenet-folder", None), "no public address: pass your copy with --from PATH"),
        (("folder", Path("/no/such/place")), "does not exist"),
    ],
)
def test_what_cannot_be_fetched_is_told(arguments: tuple[str, Path | None], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fetch(*arguments, progress=False)


@pytest.mark.parametrize("name", ["../evil", "a/b", "", ".hidden", "a b"])
def test_a_store_name_cannot_leave_the_folder(name: str) -> None:
    with pytest.raises(ValueError, match="name of a data set must be"):
        open_dataset(name)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("tiny-imagenet-64", "fetch tiny-imagenet"),
        ("tiny-imagenet-32", "fetch tiny-imagenet --size 32"),
        ("imagenet-256", "fetch imagenet-folder --from PATH"),
        ("my-cats", "fetch folder --from PATH --name my-cats"),
    ],
)
def test_a_missing_set_is_an_error_that_says_what_to_type(name: str, command: str) -> None:
    with pytest.raises(FileNotFoundError, match=r"python -m alexnet_core\.data") as caught:
        open_dataset(name)
    assert str(caught.value).endswith(command)


def test_the_command_line_builds_lists_and_verifies(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = ["--home", str(tmp_path)]
    assert main(["fetch", "folder", "--from", str(photos), "--size", "8", "--name", "pets", *home]) == 0
    shown = capsys.readouterr().out
    assert "pets: 2 classes" in shown
    assert re.search(r"left out of (train|val): cat/3\.png: The file is not a picture", shown)
    assert main(["list", *home]) == 0
    store = open_dataset("pets", tmp_path)
    assert f"1 files left out; hash {store.hash[:12]}" in capsys.readouterr().out
    assert main(["verify", "pets", *home]) == 0


def test_a_broken_store_does_not_hide_the_others_and_fails_its_check(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("bad", "good"):
        fetch("folder", photos, size=8, name=name, home=tmp_path, progress=False)
    (tmp_path / "datasets/bad/train.labels.npy").unlink()
    assert main(["list", "--home", str(tmp_path)]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("bad: ")
    assert "train.labels.npy is missing" in first
    assert second.startswith("good: 2 classes")
    assert main(["verify", "bad", "--home", str(tmp_path)]) == 1


def test_an_unfinished_store_is_not_listed(tmp_path: Path) -> None:
    (tmp_path / "datasets/pets.building").mkdir(parents=True)
    (tmp_path / "datasets/pets.building/manifest.json").write_text("{}")
    assert list_datasets(tmp_path) == []


def test_a_user_sees_one_line_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_network(*_: object, **__: object) -> Path:
        raise DownloadError("No way there.")

    monkeypatch.setattr(data, "download", no_network)
    assert main(["fetch", "cifar10"]) == 1
    assert capsys.readouterr().err == "No way there.\n"


def test_it_runs_as_a_module(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "alexnet_core.data", "verify", "nothing", "--home", str(tmp_path)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr.startswith("Data set 'nothing' is not in")
    assert result.stderr.count("\n") == 1
