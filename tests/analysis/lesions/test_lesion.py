"""Lesions against networks altered by hand, a half network written out, and exact limits."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from alexnet_core.lrn import local_response_norm, map_response_norm
from alexnet_core.model import AlexNet, build_model
from analysis.lesions.lesion import (
    MODES,
    SCOPES,
    STAGES,
    Lesion,
    matched_lesion,
    matched_units,
    run_under,
    tower_lesion,
    unit_means,
    weight_energy,
)

BATCH = torch.randn(4, 3, 63, 63, generator=torch.Generator().manual_seed(2)) * 60
OTHERS = torch.randn(4, 3, 63, 63, generator=torch.Generator().manual_seed(3)) * 60


def build(mode: str) -> AlexNet:
    """A small network with weights large enough that every unit's loss shows in the logits."""
    std = {"conv_std": (0.03,) * 5, "fc_std": (0.02,) * 3}
    model = build_model(mode, 10, input_size=63, generator=torch.Generator().manual_seed(1), **std)
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def models() -> dict[str, AlexNet]:
    """Response normalisation before the ReLU, behind it inside each tower, and behind it across the towers."""
    return {mode: build(mode) for mode in ("chm145", "paper", "caffe")}


@pytest.fixture(scope="module")
def model(models: dict[str, AlexNet]) -> AlexNet:
    return models["chm145"]


def assert_same(found: Tensor, wanted: Tensor, intact: Tensor) -> None:
    """Equal to rounding, and far from the intact logits, so that a lesion that does nothing cannot pass."""
    effect = (wanted - intact).abs().max()
    assert effect > 1e-3 * intact.abs().max()
    assert (found - wanted).abs().max() < 1e-3 * effect


def silenced_by_hand(model: AlexNet, units: dict[str, list[int]]) -> AlexNet:
    """A copy in which the layers in front of these ReLUs give zero, weights and biases."""
    altered = copy.deepcopy(model)
    for stage, numbers in units.items():
        layer = altered.stages[("conv" if int(stage[-1]) < 6 else "fc") + stage[-1]]
        layer.weight[numbers] = 0
        layer.bias[numbers] = 0
    return altered


def test_without_lesion_the_network_is_intact(model):
    logits = run_under(model, BATCH, [Lesion(), Lesion({"relu2": ()}, "mean")])
    assert logits.shape == (2, 4, 10)
    assert torch.equal(logits[0], model(BATCH))
    assert torch.equal(logits[1], model(BATCH))


@pytest.mark.parametrize("mode", ["paper", "caffe"])
@pytest.mark.parametrize(
    "units",
    [
        {"relu1": [0, 5, 95]},
        {"relu2": [3, 4, 200]},
        {"relu1": [47, 48], "relu2": [127, 128], "relu4": [7]},
        {"relu5": list(range(0, 256, 2))},
        {"relu6": list(range(2048))},
        {"relu7": list(range(100, 3000))},
    ],
    ids=lambda units: "+".join(units),
)
def test_zeros_are_the_network_with_these_weights_and_biases_set_to_zero(models, mode, units):
    logits = run_under(models[mode], BATCH, [Lesion(units)])[0]
    assert_same(logits, silenced_by_hand(models[mode], units)(BATCH), models[mode](BATCH))


@pytest.mark.parametrize("mode", ["paper", "caffe"])
@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("tower", [0, 1])
def test_a_tower_off_is_the_network_with_all_of_its_weights_set_to_zero(models, mode, scope, tower):
    model = models[mode]
    halves = {
        stage: list(range(tower * n // 2, (tower + 1) * n // 2))
        for stage, n in zip(STAGES["whole tower"], (96, 256, 384, 384, 256, 4096, 4096), strict=True)
    }
    wanted = silenced_by_hand(model, {stage: halves[stage] for stage in STAGES[scope]})(BATCH)
    assert_same(run_under(model, BATCH, [tower_lesion(model, tower, scope)])[0], wanted, model(BATCH))


def test_zeros_behind_normalisation_are_the_network_whose_readers_ignore_the_unit(model):
    assert list(model.stages).index("norm1") < list(model.stages).index("relu1")
    deaf = copy.deepcopy(model)
    deaf.stages["conv2"].weight[128:, 10] = 0  # input 10 of the second group is unit 58
    assert_same(run_under(model, BATCH, [Lesion({"relu1": [58]})])[0], deaf(BATCH), model(BATCH))


@pytest.mark.parametrize("tower", [0, 1])
def test_a_whole_tower_off_leaves_the_other_half_network(model, tower):
    half = {name: slice((1 - tower) * n // 2, (2 - tower) * n // 2) for name, n in (("96", 96), ("256", 256))}
    half |= {"384": slice((1 - tower) * 192, (2 - tower) * 192), "4096": slice((1 - tower) * 2048, (2 - tower) * 2048)}
    w = {name: (layer.weight, layer.bias) for name, layer in model.stages.items() if hasattr(layer, "weight")}

    def conv(x: Tensor, name: str, keep: slice, reads: slice = slice(None), **window: int) -> Tensor:
        return F.conv2d(x, w[name][0][keep][:, reads], w[name][1][keep], **window)

    def pool(x: Tensor) -> Tensor:
        return F.max_pool2d(x, 3, 2, ceil_mode=True)

    def linear(x: Tensor, name: str, keep: slice, reads: slice) -> Tensor:
        return F.linear(x, w[name][0][keep, reads], w[name][1][keep])

    x = conv(F.pad(BATCH, (0, 0, 0, 0)), "conv1", half["96"], stride=4)
    x = F.relu(pool(local_response_norm(x)))
    x = F.relu(conv(x, "conv2", half["256"], padding=2))
    x = pool(map_response_norm(local_response_norm(x)))
    x = F.relu(conv(x, "conv3", half["384"], half["256"], padding=1))
    x = F.relu(conv(x, "conv4", half["384"], padding=1))
    x = pool(F.relu(conv(x, "conv5", half["256"], padding=1))).flatten(1)
    x = 0.5 * F.relu(linear(x, "fc6", half["4096"], slice((1 - tower) * x.shape[1], (2 - tower) * x.shape[1])))
    x = 0.5 * F.relu(linear(x, "fc7", half["4096"], half["4096"]))
    wanted = linear(x, "fc8", slice(None), half["4096"])
    assert_same(run_under(model, BATCH, [tower_lesion(model, tower, "whole tower")])[0], wanted, model(BATCH))


def test_the_mean_of_a_unit_that_never_changes_changes_nothing(model):
    constant = copy.deepcopy(model)
    constant.stages["conv2"].weight[[9, 140]] = 0
    constant.stages["conv2"].bias[[9, 140]] = torch.tensor([0.7, 2.0])
    means = unit_means(constant, [OTHERS], ["relu2"])
    lesions = [Lesion({"relu2": [9, 140]}, mode) for mode in ("mean", "zero")]
    mean, zero = run_under(constant, BATCH, lesions, means=means)
    assert_same(zero, zero, constant(BATCH))
    torch.testing.assert_close(mean, constant(BATCH), rtol=1e-5, atol=1e-6)


def test_means_are_over_images_and_positions_however_the_images_come_in_batches(model):
    stages = ("relu1", "relu3", "relu6")
    whole = unit_means(model, [BATCH], stages)
    parts = unit_means(model, [BATCH[:1], BATCH[1:]], stages)
    _, kept = model.run(BATCH, taps=stages)
    for stage in stages:
        maps = kept[stage].numpy().astype(float)
        wanted = maps.mean(axis=(0, *range(2, maps.ndim)))
        np.testing.assert_allclose(whole[stage], wanted, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(parts[stage], wanted, rtol=1e-4, atol=1e-6)


def test_a_mean_lesion_puts_each_units_own_mean_in_its_place(model):
    means = {"relu2": torch.arange(256.0), "relu6": torch.linspace(0, 3, 4096)}
    lesion = Lesion({"relu2": [200, 2], "relu6": [11]}, "mean")
    x, _ = model.run(BATCH, until="relu2")
    x = x.clone()
    x[:, 200], x[:, 2] = 200.0, 2.0
    x, _ = model.run(x, after="relu2", until="relu6")
    x = x.clone()
    x[:, 11] = means["relu6"][11]
    wanted, _ = model.run(x, after="relu6")
    assert_same(run_under(model, BATCH, [lesion], means=means)[0], wanted, model(BATCH))


@pytest.mark.parametrize("scope", SCOPES)
def test_a_donor_that_is_the_same_image_changes_nothing(model, scope):
    logits = run_under(model, BATCH, [tower_lesion(model, 0, scope, "resample")], donors=BATCH)[0]
    torch.testing.assert_close(logits, model(BATCH), rtol=1e-5, atol=1e-6)


def test_with_every_unit_resampled_the_network_answers_for_the_donors(model):
    everything = Lesion({"relu3": range(384)}, "resample")
    logits = run_under(model, BATCH, [everything], donors=OTHERS)[0]
    assert_same(logits, model(OTHERS), model(BATCH))


def test_a_resampled_tower_shows_its_donors_maps_and_the_other_tower_its_own(model):
    maps = torch.cat([model.run(OTHERS, until="relu2")[0][:, :128], model.run(BATCH, until="relu2")[0][:, 128:]], 1)
    logits = run_under(model, BATCH, [tower_lesion(model, 0, mode="resample")], donors=OTHERS)[0]
    assert_same(logits, model.run(maps, after="relu2")[0], model(BATCH))


def test_many_lesions_at_once_are_each_what_they_are_alone(models):
    model = models["caffe"]
    rng = np.random.default_rng(0)
    lesions = [tower_lesion(model, tower, scope, mode) for mode in MODES for scope in SCOPES for tower in (1, 0)]
    lesions += [Lesion({"relu2": range(5)}), Lesion(), matched_lesion(model, lesions[0], rng).lesion]
    lesions += [Lesion({"relu6": range(40), "relu2": range(5)}), Lesion({"fc8": [4]})]
    more = {"means": unit_means(model, [OTHERS], STAGES["whole tower"]), "donors": OTHERS}
    together = run_under(model, BATCH, lesions, **more)
    for found, lesion in zip(together, lesions, strict=True):
        torch.testing.assert_close(found, run_under(model, BATCH, [lesion], **more)[0], rtol=1e-5, atol=1e-6)
    differences = torch.cdist(together.flatten(1), together.flatten(1))
    assert (differences + 1e9 * torch.eye(len(lesions)) > 1e-4).all()  # no two of them do the same


def test_neither_the_network_nor_the_images_are_changed(model):
    before, images = copy.deepcopy(model.state_dict()), BATCH.clone()
    means = {stage: torch.ones(n) for stage, n in (("relu1", 96), ("relu2", 256))}
    lesions = [tower_lesion(model, 0, mode=mode) for mode in MODES] + [Lesion({"relu1": [1]}, mode) for mode in MODES]
    run_under(model, images, lesions, means=means, donors=images)
    assert torch.equal(images, BATCH)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all((value == 1).all() for value in means.values())


def test_units_of_a_tower_are_its_half_of_every_stage(model):
    whole = tower_lesion(model, 1, "whole tower", "mean")
    assert {stage: (min(units), max(units)) for stage, units in whole.units.items()} == {
        "relu1": (48, 95), "relu2": (128, 255), "relu3": (192, 383), "relu4": (192, 383), "relu5": (128, 255),
        "relu6": (2048, 4095), "relu7": (2048, 4095),
    }  # fmt: skip
    assert whole.mode == "mean"
    assert dict(tower_lesion(model, 0).units) == {"relu1": range(48), "relu2": range(128)}


@pytest.mark.parametrize(
    ("lesions", "message"),
    [
        ([], "At least one lesion"),
        ([Lesion({"relu1": [96]})], "relu1 has units 0 to 95, got 96"),
        ([Lesion({"relu9": [1]})], "Unknown stage"),
        ([Lesion({"relu2": [1]}, "mean")], r"mean activations of \['relu2'\]"),
        ([Lesion({"relu2": [1]}, "resample")], "need 4 donors"),
    ],
)
def test_what_cannot_be_run_is_refused(model, lesions, message):
    with pytest.raises(ValueError, match=message):
        run_under(model, BATCH, lesions)


def test_lesions_that_mean_nothing_are_refused(model):
    for units in ([3, 3], [-1]):
        with pytest.raises(ValueError, match="different numbers from 0 on"):
            Lesion({"relu1": units})
    with pytest.raises(ValueError, match="mode of a lesion"):
        Lesion({}, "noise")
    with pytest.raises(ValueError, match="scope"):
        tower_lesion(model, 0, "conv1")
    with pytest.raises(ValueError, match="towers 0 to 1"):
        tower_lesion(model, 2)
    with pytest.raises(ValueError, match="need 4 donors"):
        run_under(model, BATCH, [Lesion({"relu2": [1]}, "resample")], donors=OTHERS[:3])
    with pytest.raises(ValueError, match="at least one image"):
        unit_means(model, [], ["relu1"])


@pytest.mark.parametrize("factor", [1.0, 1.3])
def test_a_random_lesion_has_the_size_and_the_summed_squared_weights_of_the_tower(model, factor):
    uneven = copy.deepcopy(model)
    uneven.stages["conv1"].weight[:48] *= factor
    uneven.stages["conv2"].weight[128:] *= factor
    rng = np.random.default_rng(0)
    for tower in (0, 1):
        tower_itself = tower_lesion(uneven, tower)
        for _ in range(10):
            lesion, error = matched_lesion(uneven, tower_itself, rng)
            for stage, layer, count in (("relu1", "conv1", 48), ("relu2", "conv2", 128)):
                weight = uneven.stages[layer].weight.numpy().astype(float)
                ratio = (weight[lesion.units[stage]] ** 2).sum() / (weight[tower_itself.units[stage]] ** 2).sum()
                assert len(set(lesion.units[stage])) == count
                assert abs(ratio - 1) < 0.05
                assert error[stage] == pytest.approx(ratio - 1, abs=1e-6)


def test_random_units_are_drawn_evenly_where_all_weigh_the_same_and_follow_the_seed():
    energy, wanted = np.ones(40), np.arange(10)
    rng = np.random.default_rng(1)
    counts = np.bincount(np.concatenate([matched_units(energy, wanted, rng, 0.01) for _ in range(4000)]), minlength=40)
    assert np.abs(counts - 1000).max() < 5 * np.sqrt(1000 * 0.75)
    first, again, other = (matched_units(energy, wanted, np.random.default_rng(seed), 0.01) for seed in (5, 5, 6))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_where_no_other_units_weigh_as_much_the_nearest_are_drawn():
    energy = np.array([100.0, 100, 100, 1, 2, 3, 4, 5])
    units = matched_units(energy, np.array([0, 1, 2]), np.random.default_rng(0), 0.05)
    assert units.tolist() == [0, 1, 2]


def test_the_energy_of_a_unit_is_the_sum_of_its_squared_weights(model):
    assert weight_energy(model, "relu2")[77] == pytest.approx(float((model.kernels("conv2")[77] ** 2).sum()), rel=1e-5)
    assert weight_energy(model, "relu6").shape == (4096,)
