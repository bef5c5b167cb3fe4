"""Probes of features that were made to tell something, and of a network whose towers see different things."""

import numpy as np
import pytest
import torch

from alexnet_core.colour import LUMA
from alexnet_core.model import AlexNet, build_model
from alexnet_core.preprocess import Preprocess
from analysis.between.probes import mean_activations, measure_probes, told


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


PREPROCESS = Preprocess(63, 63, 63, torch.full((3, 63, 63), 128.0), torch.eye(3), torch.ones(3))


def planted(slim, **changes) -> AlexNet:
    """Tower A's kernels are coloured spots that no grey sees, tower B's are gratings that see luma alone."""
    model = build_model("chm145", 10, input_size=63, generator=torch.Generator().manual_seed(0), **changes)
    model.eval().requires_grad_(False)
    kernels, angle = model.kernels("conv1"), torch.arange(8) * torch.pi / 4
    opponent = torch.stack([torch.cos(angle + turn) for turn in (0, 2 * torch.pi / 3, 4 * torch.pi / 3)], 1)
    kernels[:8] = opponent[:, :, None, None] * torch.ones(11, 11) / 11
    row, column = torch.meshgrid(torch.arange(11.0), torch.arange(11.0), indexing="ij")
    waves = [torch.cos(0.8 * (torch.cos(turn / 2) * column + torch.sin(turn / 2) * row)) for turn in angle]
    kernels[8:] = torch.stack(waves)[:, None] * torch.tensor(LUMA)[:, None, None] / 5
    return model


def test_labels_that_features_hold_are_told_and_others_are_guessed():
    labels = np.arange(400) % 4
    features = rng().normal(size=(400, 10))
    assert told(features, labels, 5, 0).mean() == pytest.approx(0.25, abs=0.08)
    features[:, :4] += 8 * np.eye(4)[labels]
    assert told(features, labels, 5, 0).mean() > 0.99


def test_a_classifier_is_never_asked_about_what_it_was_fitted_to():
    labels = rng().integers(2, size=60)
    features = rng(1).normal(size=(60, 47))  # fitted to all of it, any labels would be told
    assert told(features, labels, 45, 0).mean() < 0.75


def test_only_the_strongest_dimensions_are_seen():
    labels = np.arange(400) % 2
    loud = rng().normal(size=(400, 1)) + rng(1).normal(0, 0.1, (400, 5))  # one dimension in five features
    features = np.column_stack([loud, labels + rng(2).normal(0, 0.1, 400)])
    assert told(features, labels, 1, 0).mean() < 0.65
    assert told(features, labels, 2, 0).mean() > 0.95


def test_units_that_are_always_silent_do_no_harm():
    labels = np.arange(100) % 2
    features = np.column_stack([labels + rng().normal(0, 0.1, 100), np.zeros((100, 3))])
    assert told(features, labels, 4, 0).mean() > 0.95


def test_activations_are_means_of_maps(slim):
    model = planted(slim)
    images = torch.randn(5, 3, 63, 63, generator=torch.Generator().manual_seed(0)) * 40
    found = mean_activations(model, images, ["pool1", "pool2"])
    _, kept = model.run(images, taps=["pool1", "pool2"])
    for stage in ("pool1", "pool2"):
        assert found[stage] == pytest.approx(kept[stage].mean((2, 3)).numpy(), rel=1e-4, abs=1e-5)


def test_the_tower_that_sees_hue_tells_hue_and_the_other_one_orientation(slim):
    report = measure_probes(planted(slim), PREPROCESS, rng(), images=320, stages=("pool1",), resamples=200)
    hue, orientation = report.probes
    assert (hue.stage, hue.factor, orientation.factor) == ("pool1", "hue", "orientation")
    assert (hue.dimensions, hue.chance, report.images) == (8, 1 / 8, 320)
    assert hue.towers[0].value > 0.7
    assert hue.towers[1].value < 0.25
    assert orientation.towers[0].value < 0.25
    assert orientation.towers[1].value > 0.4
    assert hue.difference.value == pytest.approx(hue.towers[1].value - hue.towers[0].value)
    assert hue.difference.high < 0 < orientation.difference.low
    wanted = hue.difference.value - orientation.difference.value
    assert report.interaction["pool1"].value == pytest.approx(wanted)
    assert report.interaction["pool1"].high < -0.5


def test_what_cannot_be_probed_is_refused(slim):
    with pytest.raises(ValueError, match="must have 2, this one has 1"):
        measure_probes(planted(slim, towers=1), PREPROCESS, rng())
    with pytest.raises(ValueError, match="needs 5 pictures or more, 30 make 3"):
        measure_probes(planted(slim), PREPROCESS, rng(), images=30)
