"""The checkpoints that ship with the code: they load, are small, and say what they are."""

import math
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from alexnet_core.checkpoint import SHIPPED, Checkpoint, list_checkpoints, load_checkpoint
from alexnet_core.data import open_dataset
from alexnet_core.images import decode_image
from alexnet_core.predict import predict_stored, rank_of_truth

NAMES = sorted(path.name.removesuffix(".conv1.safetensors") for path in SHIPPED.glob("*.conv1.safetensors"))
PRISM_SAMPLE = 200  # first validation images: two of every class
SAMPLE_STEP = 25  # every 25th of the 10,000 validation images


def test_the_starters_ship() -> None:
    assert NAMES == ["prism-127", "tiny-imagenet-127"]
    assert set(NAMES) == set(list_checkpoints())


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_checkpoint_loads_and_answers(name: str) -> None:
    model, card, preprocess = load_checkpoint(name)
    size = preprocess.source_size
    photo = torch.randint(0, 256, (1, 3, size, size), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    with torch.no_grad():
        answer = model(preprocess.centre(photo)).softmax(1)
    assert answer.shape == (1, len(card["classes"]))
    assert answer.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_shipped_weights_take_18_megabytes_at_most(name: str) -> None:
    assert sum(path.stat().st_size for path in SHIPPED.glob(f"{name}.*")) <= 18e6


@pytest.mark.parametrize("name", NAMES)
def test_the_card_tells_how_and_where_the_network_was_trained(name: str) -> None:
    card = load_checkpoint(name).card
    assert {"data_hash", "seed", "commit", "torch", "curve"} <= card.keys()
    assert card["training"]["device"]


@pytest.mark.parametrize("name", NAMES)
def test_storing_in_few_bits_cost_three_tenths_of_a_point_at_most(name: str) -> None:
    metrics = load_checkpoint(name).card["metrics"]
    assert metrics["images"] == "validation"
    assert metrics["float32"]["n"] == metrics["as_stored"]["n"]
    assert metrics["float32"]["top1"] - metrics["as_stored"]["top1"] <= 0.003


@pytest.mark.parametrize("name", NAMES)
def test_the_last_snapshot_of_conv1_is_the_conv1_that_ships(name: str) -> None:
    last = torch.from_numpy(load_file(SHIPPED / f"{name}.conv1.safetensors")["kernels"])[-1].float()
    kernels = load_checkpoint(name).model.kernels("conv1")
    assert (last - kernels).abs().max() < 0.005 * kernels.abs().max()


def test_the_accuracy_on_the_card_is_found_again_on_real_photographs(shared_data: Path) -> None:
    checkpoint = load_checkpoint("tiny-imagenet-127")
    images, labels = _validation_sample(
        shared_data / "tiny-imagenet-200.tar.xz", [row["id"] for row in checkpoint.card["classes"]]
    )
    _expect_accuracy(checkpoint, images, labels)


def test_the_accuracy_on_the_card_is_found_again_on_rendered_images() -> None:
    checkpoint = load_checkpoint("prism-127")
    split = open_dataset("prism-128").split("val")
    assert open_dataset("prism-128").hash == checkpoint.card["data_hash"]
    _expect_accuracy(checkpoint, split.images[:PRISM_SAMPLE], split.labels[:PRISM_SAMPLE])


def _expect_accuracy(checkpoint: Checkpoint, images: np.ndarray, labels: np.ndarray) -> None:
    blocks = predict_stored([(checkpoint.model, checkpoint.preprocess)], images, views=10)
    ranks = rank_of_truth(torch.cat(list(blocks)), torch.from_numpy(labels))
    for top, key in ((1, "top1"), (5, "top5")):
        expected = checkpoint.card["metrics"]["as_stored"][key]
        spread = math.sqrt(expected * (1 - expected) / len(labels))
        assert abs(float((ranks < top).double().mean()) - expected) < 4 * spread


def _validation_sample(archive: Path, classes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (n, 3, 64, 64) and labels (n,), read from the archive without the project's own fetching."""
    photos: dict[str, bytes] = {}
    lines: list[str] = []
    with tarfile.open(archive, "r|xz") as stream:
        for member in stream:
            name = member.name
            if name.endswith("val_annotations.txt"):
                lines = stream.extractfile(member).read().decode().splitlines()  # type: ignore[union-attr]
                break  # it lies behind the images
            if "/val/images/" in name and member.isfile() and int(name.split("_")[-1].split(".")[0]) % SAMPLE_STEP == 0:
                photos[Path(name).name] = stream.extractfile(member).read()  # type: ignore[union-attr]
    truth = {line.split("\t")[0]: line.split("\t")[1] for line in lines}
    pixels = [np.asarray(decode_image(data, exif=False).image).transpose(2, 0, 1) for data in photos.values()]
    return np.stack(pixels), np.array([classes.index(truth[name]) for name in photos])
