"""The checkpoints that ship with the code: small enough, honest cards, and right on real photographs."""

import math
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from alexnet_core.checkpoint import SHIPPED, load_checkpoint
from alexnet_core.images import decode_image
from alexnet_core.predict import predict_stored, rank_of_truth

NAMES = [path.stem for path in sorted(SHIPPED.glob("*.json"))]
SAMPLE_STEP = 25  # every 25th of the 10,000 validation images


def test_a_starter_ships() -> None:
    assert "tiny-imagenet-127" in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_weights_take_at_most_18_mb(name: str) -> None:
    assert (SHIPPED / f"{name}.safetensors").stat().st_size <= 18_000_000


@pytest.mark.parametrize("name", NAMES)
def test_the_card_tells_where_it_was_trained_and_what_storing_it_cost(name: str) -> None:
    card = load_checkpoint(name).card
    assert card["training"]["device"]
    assert {"data_hash", "seed", "commit", "torch", "curve"} <= card.keys()
    exact, stored = card["metrics"]["float32"], card["metrics"]["as_stored"]
    assert exact["n"] == stored["n"]
    assert exact["top1"] - stored["top1"] <= 0.003


@pytest.mark.parametrize("name", NAMES)
def test_the_last_snapshot_is_the_first_layer_as_trained(name: str) -> None:
    with safe_open(SHIPPED / f"{name}.conv1.safetensors", "pt") as file:
        last = file.get_tensor("kernels")[-1].float()
    kernels = load_checkpoint(name).model.kernels("conv1")
    step = kernels.abs().max() / 127  # of the 8-bit codes, at its largest
    assert (last - kernels).abs().max() <= step
    assert torch.corrcoef(torch.stack([last.flatten(), kernels.flatten()]))[0, 1] > 0.999


def test_the_accuracy_on_the_card_is_found_again_on_real_photographs(shared_data: Path) -> None:
    checkpoint = load_checkpoint("tiny-imagenet-127")
    images, labels = _validation_sample(
        shared_data / "tiny-imagenet-200.tar.xz", [row["id"] for row in checkpoint.card["classes"]]
    )
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
