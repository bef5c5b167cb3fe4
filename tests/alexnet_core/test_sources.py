"""Tests of alexnet_core.sources: each layout is understood, and what does not fit is told."""

import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alexnet_core.build import ImageSource, Sample
from alexnet_core.images import ImageError
from alexnet_core.sources import IMAGENETTE_NAMES, cifar10, imagenet_folder, imagenette, own_folder, tiny_imagenet


def put(*files: Path, size: tuple[int, int] = (6, 4), colour: str = "red", orientation: int = 1) -> None:
    """Small PNGs, whatever the files are called."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, colour).save(file, "PNG", exif=exif)


def paths(source: ImageSource, split: str) -> list[str]:
    return [sample.path for sample in source.splits[split]]


def labels(source: ImageSource, split: str) -> list[str]:
    return [source.classes[sample.label] for sample in source.splits[split]]


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """Two classes in the layout of tiny-imagenet-200, wnids.txt in another order than the alphabet's."""
    root = tmp_path / "tiny-imagenet-200"
    put(*(root / f"train/{wnid}/images/{wnid}_{i}.JPEG" for wnid in ("n01", "n02") for i in range(3)))
    put(root / "val/images/val_0.JPEG", root / "val/images/val_1.JPEG", root / "test/images/test_0.JPEG")
    (root / "train/n01/n01_boxes.txt").write_text("n01_0.JPEG\t0\t0\t5\t5\n")
    (root / "wnids.txt").write_text("n02\nn01\n")
    (root / "words.txt").write_text("n00\tentity\nn01\tgoldfish, Carassius auratus\nn02\tcafé\n", encoding="utf-8")
    (root / "val/val_annotations.txt").write_text("val_0.JPEG\tn02\t0\t0\t5\t5\nval_1.JPEG\tn01\t0\t0\t5\t5\n")
    return root


def test_tiny_imagenet_is_read_in_wnid_order_with_its_synonyms(tiny: Path) -> None:
    for given in (tiny, tiny.parent):  # an archive has the folder on top
        source = tiny_imagenet(given)
        assert source.classes == ["n01", "n02"]
        assert source.class_names == ["goldfish, Carassius auratus", "café"]
        assert labels(source, "train") == ["n01"] * 3 + ["n02"] * 3
        assert paths(source, "train")[0] == "train/n01/images/n01_0.JPEG"
        assert paths(source, "val") == ["val/images/val_0.JPEG", "val/images/val_1.JPEG"]
        assert labels(source, "val") == ["n02", "n01"]
        assert list(source.splits) == ["train", "val"]
        assert source.exif is False


@pytest.mark.parametrize("line", ["val_0.JPEG", "val_0.JPEG\tn99\t0\t0\t5\t5"])
def test_a_wrong_annotation_is_shown(tiny: Path, line: str) -> None:
    (tiny / "val/val_annotations.txt").write_text(f"{line}\n")
    with pytest.raises(ValueError, match=r"val_annotations\.txt must name a file and a class.*val_0\.JPEG"):
        tiny_imagenet(tiny)


def test_a_missing_part_of_a_public_set_is_named(tiny: Path) -> None:
    with pytest.raises(ValueError, match=r"no 'train' in it or one folder below"):
        imagenette(tiny / "val")
    (tiny / "words.txt").unlink()
    with pytest.raises(ValueError, match=r"words\.txt cannot be read"):
        tiny_imagenet(tiny)
    (tiny / "wnids.txt").unlink()
    with pytest.raises(ValueError, match=r"no 'wnids\.txt' in it"):
        tiny_imagenet(tiny)


def test_a_class_without_training_images_is_named(tiny: Path) -> None:
    for file in (tiny / "train/n02/images").iterdir():
        file.unlink()
    with pytest.raises(ValueError, match=r"Every class must have training images.*n02"):
        tiny_imagenet(tiny)


@pytest.fixture
def cifar_binary(tmp_path: Path) -> Path:
    root = tmp_path / "cifar-10-batches-bin"
    root.mkdir()
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    (root / "batches.meta.txt").write_text("\n".join(names) + "\n\n")
    for i, name in enumerate([*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"]):
        image = np.arange(3 * 32 * 32, dtype=np.uint32).astype(np.uint8) + np.uint8(i)
        (root / name).write_bytes(bytes([i]) + image.tobytes() + bytes([9]) + image.tobytes()[::-1])
    return root


def test_cifar_records_become_images_channel_by_channel(cifar_binary: Path) -> None:
    source = cifar10(cifar_binary.parent)
    assert len(source.classes) == 10
    assert labels(source, "train")[:4] == ["airplane", "truck", "automobile", "truck"]
    assert (len(source.splits["train"]), len(source.splits["val"])) == (10, 2)
    assert source.note == ""
    first = source.load("data_batch_1.bin/0", 64)
    # the file format puts 1024 red values first, row by row, then green, then blue
    assert first.getpixel((5, 2)) == tuple((2 * 32 + 5 + plane * 1024) % 256 for plane in range(3))
    assert source.load("test_batch.bin/0", 64).getpixel((0, 0)) == (5, 5, 5)


def test_a_torn_cifar_batch_is_named(cifar_binary: Path) -> None:
    batch = cifar_binary / "data_batch_3.bin"
    batch.write_bytes(batch.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"data_batch_3\.bin must hold records of 3073 bytes"):
        cifar10(cifar_binary)


def test_cifar_as_jpeg_folders_counts_test_as_val_and_says_that_it_is_lossy(tmp_path: Path) -> None:
    put(*(tmp_path / f"{split}/{name}/0.jpg" for split in ("train", "test") for name in ("cat", "dog")))
    source = cifar10(tmp_path)
    assert paths(source, "val") == ["test/cat/0.jpg", "test/dog/0.jpg"]
    assert "Lossy" in source.note


def test_imagenette_and_imagenet_folders_ignore_exif_and_know_what_names_they_can(tmp_path: Path) -> None:
    wnids = list(IMAGENETTE_NAMES)
    put(*(tmp_path / f"x/{split}/{wnid}/0.JPEG" for split in ("train", "val") for wnid in wnids), orientation=6)
    named, bare = imagenette(tmp_path), imagenet_folder(tmp_path / "x")
    assert named.class_names[:2] == ["tench", "English springer"]
    assert bare.class_names == bare.classes == sorted(wnids)
    for source in (named, bare):
        assert source.exif is False
        assert source.load(paths(source, "train")[0], 1000).size == (6, 4)


@pytest.mark.parametrize("line", ["n01\tgoldfish, Carassius auratus", "n01 goldfish, Carassius auratus"])
@pytest.mark.parametrize("file", ["words.txt", "synset_words.txt", "LOC_synset_mapping.txt"])
def test_a_synset_list_beside_the_folders_names_the_classes(file: str, line: str, tmp_path: Path) -> None:
    put(*(tmp_path / f"{split}/{wnid}/0.JPEG" for split in ("train", "val") for wnid in ("n01", "n02")))
    (tmp_path / file).write_text(f"{line}\n")
    assert imagenet_folder(tmp_path).class_names == ["goldfish, Carassius auratus", "n02"]


def test_ones_own_folders_are_classes_and_photographs_are_turned_upright(tmp_path: Path) -> None:
    put(*(tmp_path / f"photos/{name}/{i}.jpg" for name in ("dog", "cat") for i in range(10)), orientation=6)
    for given in (tmp_path, tmp_path / "photos"):
        source = own_folder(given)
        assert source.classes == source.class_names == ["cat", "dog"]
        assert source.exif is True
        assert source.load(paths(source, "train")[0], 1000).size == (4, 6)
        assert (len(source.splits["train"]), len(source.splits["val"])) == (18, 2)


def test_the_split_is_the_same_each_time_balanced_complete_and_moved_by_the_seed(tmp_path: Path) -> None:
    put(*(tmp_path / f"{name}/{i:02d}.jpg" for name in ("cat", "dog") for i in range(30)))
    first, again = own_folder(tmp_path), own_folder(tmp_path)
    assert first.splits == again.splits
    drawn = [own_folder(tmp_path, seed=seed) for seed in range(5)]
    assert len({tuple(paths(source, "val")) for source in drawn}) > 1
    for source in drawn:
        assert labels(source, "val") == ["cat"] * 3 + ["dog"] * 3
        assert len({*paths(source, "train"), *paths(source, "val")}) == 60
    numbers = [[path[-6:] for path in paths(first, "val") if path.startswith(name)] for name in ("cat", "dog")]
    assert numbers[0] != numbers[1]
    put(*(tmp_path / f"eel/{i:02d}.jpg" for i in range(30)))  # another class must not move these two
    cats_and_dogs = [path for path in paths(own_folder(tmp_path), "val") if not path.startswith("eel")]
    assert cats_and_dogs == paths(first, "val")


def test_a_class_of_one_image_keeps_it_for_training(tmp_path: Path) -> None:
    put(tmp_path / "cat/0.jpg", tmp_path / "dog/0.jpg", tmp_path / "dog/1.jpg")
    source = own_folder(tmp_path)
    assert labels(source, "train") == ["cat", "dog"]
    assert labels(source, "val") == ["dog"]


@pytest.mark.parametrize("val", ["val", "valid", "validation"])
def test_given_splits_are_respected(val: str, tmp_path: Path) -> None:
    put(*(tmp_path / f"{split}/{name}/0.jpg" for split in ("train", val, "test") for name in ("cat", "dog")))
    source = own_folder(tmp_path)
    assert {split: paths(source, split) for split in source.splits} == {
        "train": ["train/cat/0.jpg", "train/dog/0.jpg"],
        "val": [f"{val}/cat/0.jpg", f"{val}/dog/0.jpg"],
        "test": ["test/cat/0.jpg", "test/dog/0.jpg"],
    }


def test_without_a_val_folder_it_is_drawn_from_train_and_test_stays_as_it_is(tmp_path: Path) -> None:
    put(*(tmp_path / f"{split}/{name}/{i}.jpg" for split in ("train", "test") for name in "ab" for i in range(5)))
    source = own_folder(tmp_path)
    assert {split: len(samples) for split, samples in source.splits.items()} == {"train": 8, "test": 10, "val": 2}
    assert all(path.startswith("train/") for path in paths(source, "val"))


def test_hidden_files_are_passed_over_and_anything_else_is_tried(tmp_path: Path) -> None:
    put(tmp_path / "cat/a.weird", tmp_path / "cat/deep/er/b.jpg", tmp_path / "dog/c", tmp_path / "__MACOSX/cat/x.jpg")
    put(tmp_path / "cat/.hidden.jpg", tmp_path / "cat/._a.jpg", tmp_path / ".git/x.jpg", tmp_path / "dog/Thumbs.db")
    (tmp_path / "cat/notes.txt").write_text("not an image")
    source = own_folder(tmp_path)
    assert sorted({*paths(source, "train"), *paths(source, "val")}) == [
        "cat/a.weird",
        "cat/deep/er/b.jpg",
        "cat/notes.txt",
        "dog/c",
    ]
    with pytest.raises(ImageError, match="not a picture"):
        source.load("cat/notes.txt", 8)


def test_folders_that_make_no_data_set_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "one/cat/0.jpg")
    with pytest.raises(ValueError, match=r"two or more subfolders"):
        own_folder(tmp_path / "one")
    put(*(tmp_path / f"split/train/{name}/0.jpg" for name in ("cat", "dog")), tmp_path / "split/val/emu/0.jpg")
    with pytest.raises(ValueError, match=r"val must hold the classes of train only; found \['emu'\]"):
        own_folder(tmp_path / "split")
    with pytest.raises(ValueError, match="must be a folder"):
        own_folder(tmp_path / "nowhere")


def test_real_photographs_of_the_two_shared_archives_are_read_as_pillow_reads_them(
    shared_data: Path, tmp_path: Path
) -> None:
    """The first few members only: the archives are large, and .tar.xz must be read from the start."""
    for archive, size in (("tiny-imagenet-200.tar.xz", 64), ("cifar10-jpeg.tar.xz", 32)):
        with tarfile.open(shared_data / archive, "r|xz") as opened:
            images = (member for member in opened if member.isfile() and member.name.lower().endswith(("jpg", "jpeg")))
            for i, member in zip(range(12), images, strict=False):
                opened.extract(member, tmp_path / "tar", filter="data")
                target = tmp_path / archive / "ab"[i % 2] / Path(member.name).name
                target.parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / "tar" / member.name).rename(target)
        source = own_folder(tmp_path / archive)
        samples: list[Sample] = [*source.splits["train"], *source.splits["val"]]
        assert len(samples) == 12
        for path, _label in samples:
            with Image.open(tmp_path / archive / path) as opened_by_pillow:
                expected = np.asarray(opened_by_pillow.convert("RGB"))
            assert expected.shape == (size, size, 3)
            np.testing.assert_array_equal(np.asarray(source.load(path, 2 * size)), expected)
