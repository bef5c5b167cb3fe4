"""Probabilities against a loop over images and views, ranks against counting."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from alexnet_core.model import AlexNet, build_model
from alexnet_core.predict import predict_stored, probabilities, rank_of_truth, views_of
from alexnet_core.preprocess import Preprocess

pytestmark = pytest.mark.usefixtures("slim")

CLASSES = 7


def network(seed: int = 0) -> tuple[AlexNet, Preprocess]:
    """A network whose logits differ by several units from view to view, and its preprocessing."""
    generator = torch.Generator().manual_seed(seed)
    model = build_model(
        "chm145", CLASSES, generator=generator, input_size=63, conv_std=(0.02,) + (0.08,) * 4, fc_std=(0.2, 0.2, 0.9)
    )
    mean = 255 * torch.rand(3, 72, 72, generator=generator)
    return model.eval().requires_grad_(False), Preprocess(16, 72, 63, mean, torch.eye(3), torch.ones(3))


def stored(n: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 3, 16, 16), dtype=np.uint8)


def one_by_one(model: AlexNet, preprocess: Preprocess, images: np.ndarray, views: int) -> tuple[Tensor, Tensor]:
    """Mean of the softmax outputs, and softmax of the mean logits, each view run by itself."""
    means, wrong = [], []
    for image in torch.from_numpy(images):
        crops = preprocess.ten_views(image[None])[0] if views == 10 else preprocess.centre(image[None])
        logits = torch.cat([model(crop[None]) for crop in crops])
        means.append(logits.exp().div(logits.exp().sum(1, keepdim=True)).mean(0))
        wrong.append(logits.mean(0).softmax(0))
    return torch.stack(means), torch.stack(wrong)


@pytest.mark.parametrize("views", [1, 10])
def test_softmax_outputs_are_averaged_over_the_views(views: int) -> None:
    model, preprocess = network()
    images = stored(3)
    expected, of_mean_logits = one_by_one(model, preprocess, images, views)
    found = probabilities(model, preprocess, torch.from_numpy(images), views=views)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.sum(1), torch.ones(3))
    if views == 10:
        assert (found - of_mean_logits).abs().max() > 0.01


def test_views_are_the_centre_or_the_ten_of_the_preprocessing() -> None:
    _, preprocess = network()
    images = torch.from_numpy(stored(2))
    assert torch.equal(views_of(preprocess, images, 1)[:, 0], preprocess.centre(images))
    assert torch.equal(views_of(preprocess, images, 10), preprocess.ten_views(images))


@pytest.mark.parametrize("views", [0, 2, 5])
def test_other_numbers_of_views_are_refused(views: int) -> None:
    model, preprocess = network()
    with pytest.raises(ValueError, match=f"1 or 10, got {views}"):
        probabilities(model, preprocess, torch.from_numpy(stored(1)), views=views)


@pytest.mark.parametrize("batch_size", [1, 3, 50])
def test_stored_images_are_predicted_in_order_whatever_the_batch_size(tmp_path: Path, batch_size: int) -> None:
    images = stored(7)
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    blocks = list(predict_stored([network()], mapped, batch_size=batch_size))
    assert {len(block) for block in blocks[:-1]} <= {batch_size}
    expected = probabilities(*network(), torch.from_numpy(images))
    torch.testing.assert_close(torch.cat(blocks), expected, rtol=1e-4, atol=1e-6)


def test_several_networks_are_averaged_each_with_its_own_preprocessing() -> None:
    networks, images = [network(seed) for seed in range(3)], stored(4)
    (found,) = predict_stored(networks, images, views=10)
    each = [one_by_one(*one, images, 10)[0] for one in networks]
    torch.testing.assert_close(found, torch.stack(each).mean(0), rtol=1e-4, atol=1e-6)
    assert (each[0] - each[1]).abs().max() > 0.01


def test_probabilities_carry_no_graph() -> None:
    model, preprocess = network()
    found = probabilities(model.requires_grad_(True), preprocess, torch.from_numpy(stored(1)))
    assert not found.requires_grad


def test_the_rank_is_the_number_of_better_classes_and_half_of_the_equal_ones() -> None:
    rng = np.random.default_rng(0)
    scores, labels = rng.integers(0, 4, (200, 6)), rng.integers(0, 6, 200)
    expected = []
    for row, label in zip(scores.tolist(), labels.tolist(), strict=True):
        better = sum(score > row[label] for score in row)
        equal = sum(score == row[label] for i, score in enumerate(row) if i != label)
        expected.append(better + int(equal / 2))
    found = rank_of_truth(torch.from_numpy(scores).float(), torch.from_numpy(labels))
    assert found.tolist() == expected


def test_ranks_without_ties_are_places_in_the_sorted_list() -> None:
    scores = torch.rand(50, 9, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(50) % 9
    order = scores.argsort(1, descending=True)
    assert torch.equal(rank_of_truth(scores, labels), (order == labels[:, None]).int().argmax(1))


def test_a_network_that_answers_nan_is_never_right() -> None:
    scores = torch.tensor([[0.1, torch.nan, 0.2], [torch.nan] * 3, [0.1, 0.2, torch.nan]])
    assert rank_of_truth(scores, torch.tensor([1, 0, 1])).tolist() == [2, 2, 1]
