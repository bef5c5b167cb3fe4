"""Experimental conditions change what they name and nothing else."""

from collections import Counter

import pytest
import torch
from torch import Tensor

from alexnet_core.conditions import start_from, subset
from alexnet_core.model import AlexNet, build_model
from alexnet_core.optim import PaperSGD

LABELS = torch.tensor([3, 1, 2, 1, 3, 2, 1, 2, 3, 0, 0, 0, 1])

pytestmark = pytest.mark.usefixtures("slim")


def fresh(seed: int = 0, **changes: object) -> AlexNet:
    return build_model(
        "chm145", 4, generator=torch.Generator().manual_seed(seed), input_size=63, fc_std=(0.1, 0.1, 0.1), **changes
    )


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def test_all_classes_and_images_are_all_places_in_order() -> None:
    assert subset(LABELS).tolist() == list(range(len(LABELS)))


def test_a_subset_has_the_classes_asked_for_and_equally_many_of_each() -> None:
    places = subset(LABELS, classes=2, images=5)
    assert Counter(LABELS[places].tolist()) == {0: 3, 3: 2}
    assert places.tolist() == sorted(places.tolist())
    assert places.tolist() == [0, 4, 9, 10, 11]


@pytest.mark.parametrize(("classes", "images", "match"), [(5, 0, "0 .all. to 4"), (4, 16, "need 4 of each")])
def test_more_classes_or_images_than_there_are_are_refused(classes: int, images: int, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        subset(LABELS, classes, images)


def test_a_random_start_changes_nothing() -> None:
    model = start_from(fresh(), "random", 1.0, rng())
    for name, tensor in fresh().state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name


def test_a_grey_start_leaves_tower_a_blind_to_colour_and_all_norms_as_they_were() -> None:
    model, before = start_from(fresh(), "grey tower A", 0.0, rng()), fresh()
    kernels, old = model.kernels("conv1"), before.kernels("conv1")
    half = len(kernels) // 2
    colour = torch.randn(8, 3, 11, 11)
    colour -= colour.mean(1, keepdim=True)  # nothing that a grey picture could show
    response = torch.einsum("kcij,ncij->kn", kernels, colour).abs()
    assert response[:half].max() < 1e-5 < response[half:].min()
    torch.testing.assert_close(kernels.flatten(1).norm(dim=1), old.flatten(1).norm(dim=1))
    assert torch.equal(kernels[half:], old[half:])
    assert all(
        torch.equal(a, b) for a, b in zip(list(model.parameters())[1:], list(before.parameters())[1:], strict=True)
    )


def halves(model: AlexNet, images: Tensor, stage: str) -> tuple[Tensor, Tensor]:
    found, _ = model.run(images, until=stage)
    half = found.shape[1] // 2
    return found[:, :half], found[:, half:]


@pytest.mark.parametrize("stage", ["pool1", "pool2", "relu3", "pool5", "relu6", "relu7"])
def test_mirrored_towers_respond_alike_at_every_stage(stage: str) -> None:
    model = start_from(fresh(dropout_rate=0.0), "mirrored towers", 0.0, rng())
    first, second = halves(model, torch.randn(2, 3, 63, 63) * 60, stage)
    assert first.abs().max() > 0
    torch.testing.assert_close(first, second)


def test_mirrored_towers_stay_equal_in_training_and_an_epsilon_parts_them() -> None:
    images, labels = torch.randn(8, 3, 63, 63) * 60, torch.arange(8) % 4
    gaps = []
    for epsilon in (0.0, 0.01):
        model = start_from(fresh(dropout_rate=0.0), "mirrored towers", epsilon, rng()).double().train()
        layers = [(name, stage) for name, stage in model.stages.items() if name.startswith(("conv", "fc"))]
        optimiser = PaperSGD(layers, momentum=0.9, weight_decay=5e-4)
        for _ in range(5):
            torch.nn.functional.cross_entropy(model(images.double()), labels).backward()
            optimiser.step({(name, kind): 1e-3 for name, _ in layers for kind in ("weight", "bias")})
        kernels, start = model.kernels("conv1"), fresh().kernels("conv1")
        half = len(kernels) // 2
        assert (kernels[:half] - start[:half]).abs().max() > 1e-6  # something was learned
        gaps.append(float((kernels[:half] - kernels[half:]).abs().max()))
    assert gaps[0] < 1e-9 < 1e-4 < gaps[1]


def test_epsilon_is_in_units_of_the_initial_standard_deviation() -> None:
    kernels = start_from(fresh(), "mirrored towers", 0.5, rng()).kernels("conv1")
    half = len(kernels) // 2
    assert float((kernels[half:] - kernels[:half]).std()) == pytest.approx(0.5 * 0.01, rel=0.05)


def test_unknown_starts_and_other_than_two_towers_are_refused() -> None:
    with pytest.raises(ValueError, match="start must be one of"):
        start_from(fresh(), "gray", 0.0, rng())
    with pytest.raises(ValueError, match="needs a network of 2 towers"):
        start_from(fresh(towers=1), "mirrored towers", 0.0, rng())
