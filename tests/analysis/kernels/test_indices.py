"""Indices of kernels against kernels whose colour, frequency and orientation are known by construction."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from analysis.kernels.indices import (
    Snapshots,
    chroma_energy,
    colour_axis,
    first_layer_kernels,
    hue_angle,
    hue_direction,
    hue_name,
    hue_pair,
    kernel_table,
    load_snapshots,
    measure_kernels,
    random_smoothness,
    ranking,
    readers,
    unit_inputs,
    weighted_chroma,
)

GREY, RED_CYAN, BLUE_YELLOW = (1, 1, 1), (2, -1, -1), (-1, -1, 2)


def grating(frequency: float, degrees: float, colour=GREY, phase: float = 0.4, size: int = 11) -> np.ndarray:
    """Stripes that run at `degrees` anticlockwise from lying, as a (3, size, size) kernel."""
    row, column = np.mgrid[:size, :size]
    across = np.radians(degrees - 90)
    wave = np.cos(2 * np.pi * frequency * (column * np.cos(across) - row * np.sin(across)) + phase)
    return np.asarray(colour, float)[:, None, None] * wave


def noise(n: int, seed: int = 0, size: int = 11) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 3, size, size))


def test_a_grey_kernel_has_no_chroma_and_a_pure_colour_kernel_nothing_else():
    kernels = np.stack([grating(0.1, 30), grating(0.1, 30, RED_CYAN), grating(0.2, 80, BLUE_YELLOW)])
    np.testing.assert_allclose(chroma_energy(kernels), [0, 1, 1], atol=1e-12)


def test_chroma_is_the_share_of_energy_that_a_grey_image_cannot_see():
    kernels = noise(5)
    grey = kernels.mean(1, keepdims=True).repeat(3, 1)  # the part along the grey axis
    seen = (grey**2).sum((1, 2, 3)) / (kernels**2).sum((1, 2, 3))
    np.testing.assert_allclose(chroma_energy(kernels), 1 - seen)


def test_a_mixture_has_the_chroma_of_its_parts_by_energy():
    grey, colour = grating(0.1, 0), grating(0.1, 90, RED_CYAN)
    grey, colour = grey / np.linalg.norm(grey), colour / np.linalg.norm(colour)
    assert chroma_energy((0.6 * grey + 0.8 * colour)[None])[0] == pytest.approx(0.64)


def test_weighted_chroma_is_the_share_of_the_variance_over_patches():
    """Patches drawn one by one: their grey part and the rest, each through the kernel."""
    draws = np.random.default_rng(7)
    mixing = draws.normal(size=(75, 75))
    patches = draws.normal(size=(4000, 75)) @ mixing
    covariance = np.cov(patches.T, bias=True)
    kernels = draws.normal(size=(3, 3, 5, 5))
    grey = patches.reshape(-1, 3, 25).mean(1, keepdims=True).repeat(3, 1).reshape(-1, 75)
    through_grey, through_colour = (np.var(part @ kernels.reshape(3, -1).T, axis=0) for part in (grey, patches - grey))
    expected = through_colour / (through_grey + through_colour)
    np.testing.assert_allclose(weighted_chroma(kernels, covariance), expected)


def test_weighted_chroma_is_far_smaller_where_the_patches_are_nearly_grey():
    nearly_grey = np.kron(np.full((3, 3), 0.99) + 0.01 * np.eye(3), np.eye(121))
    kernels = noise(50)
    assert weighted_chroma(kernels, nearly_grey).max() < 0.1 < chroma_energy(kernels).min()


def test_weighted_chroma_refuses_patches_of_another_size():
    with pytest.raises(ValueError, match=r"\(363, 363\), got \(75, 75\)"):
        weighted_chroma(noise(2), np.eye(75))


def test_the_direction_of_a_hue_has_that_hue_no_grey_and_length_one():
    degrees = np.arange(0, 360, 7.0)
    directions = hue_direction(degrees)
    np.testing.assert_allclose(hue_angle(directions), degrees, atol=1e-9)
    np.testing.assert_allclose(directions.sum(1), 0, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1)


def test_the_table_takes_more_columns():
    table = kernel_table(measure_kernels(noise(4)), 2, {"fit": np.arange(4.0)})
    assert table["fit"].tolist() == [0, 1, 2, 3]


def test_random_kernels_have_the_published_chroma_and_separability():
    indices = measure_kernels(noise(1000))
    assert indices.chroma.mean() == pytest.approx(0.667, abs=0.005)
    assert indices.chroma.std() == pytest.approx(0.035, abs=0.004)
    assert indices.separability.mean() == pytest.approx(0.397, abs=0.005)


@pytest.mark.parametrize("frequency", [0.1, 0.15, 0.2, 0.3, 0.4])
@pytest.mark.parametrize("degrees", [0, 20, 45, 90, 110, 135, 160])
def test_gratings_have_their_frequency_and_orientation(frequency, degrees):
    indices = measure_kernels(np.stack([grating(frequency, degrees, GREY, phase) for phase in (0, 0.7, 1.5)]))
    np.testing.assert_allclose(indices.frequency, frequency, atol=0.045)  # 11 pixels blur the spectrum
    np.testing.assert_allclose((indices.orientation - degrees + 90) % 180, 90, atol=2)
    assert (indices.selectivity > 0.6).all()


def test_a_flat_kernel_is_coarse_and_has_no_orientation():
    indices = measure_kernels(np.stack([np.ones((3, 11, 11)), grating(0.2, 0)]))
    assert indices.frequency[0] < 0.1
    assert indices.selectivity[0] < 0.01


def test_a_rough_grating_has_a_wider_spectrum_than_a_clean_one():
    clean = grating(0.2, 30)
    indices = measure_kernels(np.stack([clean, clean + 0.8 * noise(1)[0]]))
    assert indices.bandwidth[1] > indices.bandwidth[0] + 0.03


@pytest.mark.parametrize(
    ("colour", "degrees", "name"),
    [
        ((1, 0, 0), 0, "red"),
        ((1, 1, 0), 60, "yellow"),
        ((0, 1, 0), 120, "green"),
        ((0, 1, 1), 180, "cyan"),
        ((0, 0, 1), 240, "blue"),
        ((1, 0, 1), 300, "magenta"),
        ((1, 0.5, 0), 30, "orange"),
    ],
)
def test_hues_of_the_primaries_stand_where_the_colour_circle_has_them(colour, degrees, name):
    assert hue_angle(np.array([colour], float))[0] == pytest.approx(degrees, abs=1e-9)
    assert hue_name(degrees) == name


def test_the_hue_circle_closes_at_red():
    assert hue_name(359.0) == hue_name(0.0) == "red"
    assert hue_pair(350.0) == "red against cyan"


def test_the_hue_is_that_of_the_strongest_spot_whichever_sign_the_kernel_has():
    row, column = np.mgrid[:11, :11]
    blob = np.exp(-((row - 5) ** 2 + (column - 5) ** 2) / 8)
    blue = np.array([-0.2, -0.2, 1])[:, None, None] * blob
    indices = measure_kernels(np.stack([blue, -blue]))
    assert [hue_name(angle) for angle in indices.hue] == ["blue", "yellow"]


def test_a_grey_kernel_lies_on_the_grey_axis_and_an_opponent_one_at_right_angles():
    indices = measure_kernels(np.stack([grating(0.1, 0), grating(0.1, 0, (1, -1, 0))]))
    np.testing.assert_allclose(indices.grey_angle, [0, 90], atol=1e-4)


def test_the_colour_axis_rebuilds_a_kernel_of_one_colour():
    kernel = grating(0.15, 70, (0.3, -0.8, 0.5))[None]
    axis = colour_axis(kernel)
    np.testing.assert_allclose(axis.direction[:, :, None, None] * axis.pattern[:, None], kernel, atol=1e-12)
    assert axis.separability[0] == pytest.approx(1)


def test_the_separability_is_that_of_the_singular_values():
    kernels = noise(6)
    values = np.linalg.svd(kernels.reshape(6, 3, -1), compute_uv=False)
    np.testing.assert_allclose(colour_axis(kernels).separability, values[:, 0] ** 2 / (values**2).sum(1))


@pytest.mark.parametrize("size", [5, 11])
def test_one_random_kernel_in_a_hundred_passes_for_smooth(size):
    indices = measure_kernels(noise(2000, size=size))
    assert np.mean(indices.smoothness > random_smoothness(size)) == pytest.approx(0.01, abs=0.007)


def test_noise_and_faint_kernels_are_not_live():
    gratings = np.stack([grating(0.1, angle) for angle in range(0, 160, 20)])
    kernels = np.concatenate([gratings, 1e-3 * gratings[:1], np.zeros((1, 3, 11, 11)), noise(4)])
    np.testing.assert_array_equal(measure_kernels(kernels).live, [True] * 8 + [False] * 6)


def test_a_kernel_of_zeros_has_undefined_indices_and_raises_no_warning():
    indices = measure_kernels(np.zeros((2, 3, 11, 11)))
    assert np.isnan(indices.chroma).all()
    assert np.isnan(indices.orientation).all()
    assert not indices.live.any()


def test_indices_do_not_depend_on_the_strength_of_a_kernel():
    kernels = noise(3) + np.stack([grating(0.1, 20, RED_CYAN)] * 3)
    for name, once, thrice in zip(
        measure_kernels(kernels)._fields, measure_kernels(kernels), measure_kernels(3 * kernels), strict=True
    ):
        np.testing.assert_allclose(thrice, 3 * once if name == "norm" else once, rtol=1e-9)


@pytest.mark.parametrize("shape", [(3, 11, 11), (4, 1, 11, 11), (4, 3, 11, 9)])
def test_other_shapes_are_refused_with_the_shape_that_came(shape):
    with pytest.raises(ValueError, match=r"\(n, 3, k, k\), got"):
        measure_kernels(np.zeros(shape))


def test_the_table_names_the_tower_of_every_kernel():
    table = kernel_table(measure_kernels(noise(8)), 4)
    assert table["tower"].tolist() == ["A", "A", "B", "B", "C", "C", "D", "D"]
    assert table["kernel"].tolist() == list(range(8))


def test_rankings_sort_by_what_they_say():
    indices = measure_kernels(noise(12) + np.stack([grating(0.05 + angle / 900, angle) for angle in range(0, 180, 15)]))
    none = np.zeros(12, bool)
    assert ranking(indices, "number", none).tolist() == list(range(12))
    assert (np.diff(indices.chroma[ranking(indices, "chroma", none)]) <= 0).all()
    assert (np.diff(indices.norm[ranking(indices, "norm", none)]) <= 0).all()
    assert (np.diff(indices.frequency[ranking(indices, "frequency", none)]) >= 0).all()
    assert (np.diff(indices.orientation[ranking(indices, "orientation", none)]) >= 0).all()


def test_the_hue_ranking_puts_colour_kernels_first():
    indices, colour = measure_kernels(noise(10)), np.arange(10) % 2 == 1
    order = ranking(indices, "hue", colour)
    assert colour[order].tolist() == [True] * 5 + [False] * 5
    assert (np.diff(indices.hue[order[:5]]) >= 0).all()


def test_kernels_without_a_value_come_last():
    kernels = noise(3)
    kernels[1] = 0
    assert ranking(measure_kernels(kernels), "chroma", np.zeros(3, bool))[-1] == 1


def checkpoint(kernels: np.ndarray, **card: object) -> SimpleNamespace:
    """As much of a checkpoint as snapshots need."""
    weights = torch.tensor(kernels, dtype=torch.float32)
    return SimpleNamespace(model=SimpleNamespace(kernels=lambda layer: weights), card={"name": "net"} | card)


def write_snapshots(folder, kernels: np.ndarray, steps, left) -> None:
    about = {"steps": json.dumps(steps), "noise_left": json.dumps(left)}
    save_file({"kernels": kernels.astype(np.float16)}, folder / "net.conv1.safetensors", metadata=about)


def test_snapshots_come_back_as_they_were_kept(tmp_path):
    kernels = noise(2 * 4).reshape(2, 4, 3, 11, 11)
    write_snapshots(tmp_path, kernels, [0, 10], [1.0, 0.9])
    found = load_snapshots(checkpoint(kernels[1]), tmp_path)
    assert found is not None
    assert (found.steps, found.noise_left) == ((0, 10), (1.0, 0.9))
    np.testing.assert_allclose(found.kernels, kernels, rtol=1e-3, atol=1e-3)


def test_a_checkpoint_without_snapshots_has_none(tmp_path):
    assert load_snapshots(checkpoint(noise(4)), tmp_path) is None


def test_torn_snapshots_are_named_in_the_error(tmp_path):
    write_snapshots(tmp_path, noise(4)[None], [0], [1.0])
    path = tmp_path / "net.conv1.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"net\.conv1\.safetensors is not a readable"):
        load_snapshots(checkpoint(noise(4)), tmp_path)


def test_snapshots_of_another_network_are_refused(tmp_path):
    write_snapshots(tmp_path, noise(4)[None], [0], [1.0])
    with pytest.raises(ValueError, match="another network"):
        load_snapshots(checkpoint(noise(6)), tmp_path)


def test_the_learned_part_is_what_was_added_to_the_fading_noise():
    start, learned = noise(4), np.stack([grating(0.1, angle) for angle in (0, 40, 80, 120)])
    middle, end = 0.9 * start + 0.5 * learned, 0.7 * start + learned
    kept = Snapshots(np.stack([start, middle]).astype(np.float16), (0, 50), (1.0, 0.9))
    net = checkpoint(end, conv1_decay=0.7)
    np.testing.assert_allclose(first_layer_kernels(net, kept, learned=True), learned, atol=2e-3)
    np.testing.assert_allclose(first_layer_kernels(net, kept, step=50, learned=True), 0.5 * learned, atol=3e-3)
    np.testing.assert_allclose(first_layer_kernels(net, kept, step=50), middle, atol=3e-3)
    np.testing.assert_allclose(first_layer_kernels(net), end, rtol=1e-6)


def test_a_step_that_was_not_kept_is_refused():
    kept = Snapshots(noise(4)[None].astype(np.float16), (0,), (1.0,))
    with pytest.raises(ValueError, match="Step 7 was not kept"):
        first_layer_kernels(checkpoint(noise(4)), kept, step=7)


def test_the_learned_part_is_refused_without_step_0():
    kept = Snapshots(noise(4)[None].astype(np.float16), (10,), (0.9,))
    with pytest.raises(ValueError, match="step 0"):
        first_layer_kernels(checkpoint(noise(4)), kept, learned=True)


def test_readers_of_a_kernel_are_in_its_own_tower_and_sorted_by_strength():
    weights = np.random.default_rng(0).normal(size=(12, 4, 5, 5))  # 8 inputs in two groups
    found = readers(weights, 6, 8)
    brute = {unit: float(np.linalg.norm(weights[unit, 2])) for unit in range(6, 12)}
    assert found.units.tolist() == sorted(brute, key=lambda unit: -brute[unit])
    np.testing.assert_allclose(found.strengths, sorted(brute.values(), reverse=True))


def test_disturbing_a_kernel_changes_exactly_its_readers(tiny_model):
    conv2 = tiny_model.stages["conv2"]
    x = torch.randn(1, 96, 5, 5, generator=torch.Generator().manual_seed(0))
    bumped = x.clone()
    bumped[:, 60] += 1
    moved = (conv2(bumped) != conv2(x)).flatten(2).any(-1)[0].nonzero().flatten().tolist()
    assert sorted(readers(tiny_model.kernels("conv2").numpy(), 60, 96).units.tolist()) == moved


@pytest.mark.parametrize(("layer", "unit", "inputs"), [("conv2", 130, 96), ("conv3", 5, 256), ("conv4", 383, 384)])
def test_a_unit_moves_only_with_the_channels_that_it_is_said_to_read(tiny_model, layer, unit, inputs):
    weights = tiny_model.kernels(layer).numpy()
    x = torch.zeros(1, inputs, 5, 5, requires_grad=True)
    (gradient,) = torch.autograd.grad(tiny_model.stages[layer](x)[0, unit].sum(), x)
    seen = gradient.abs().sum((0, 2, 3)).nonzero().flatten().tolist()
    found = unit_inputs(weights, unit, inputs, 2)
    assert found.channels.tolist() == seen
    assert found.towers.tolist() == [channel * 2 // inputs for channel in seen]


def test_shares_of_weight_energy_by_tower_sum_to_one():
    weights = np.ones((2, 4, 3, 3))
    weights[:, 2:] = 2
    assert unit_inputs(weights, 0, 4, 2).energy_by_tower() == {0: 0.2, 1: 0.8}


@pytest.mark.parametrize("strongest_first", [False, True])
def test_pages_show_every_channel_once_and_never_mix_towers(strongest_first):
    weights = np.random.default_rng(0).normal(size=(3, 256, 3, 3))
    found = unit_inputs(weights, 1, 256, 2)
    pages = found.pages(strongest_first=strongest_first, size=50)
    assert sorted(np.concatenate(pages)) == list(range(256))
    assert [len(page) for page in pages] == [50, 50, 28] * 2
    assert all(len(set(found.towers[page])) == 1 for page in pages)
    if strongest_first:
        assert all((np.diff(found.strengths[page]) <= 0).all() for page in pages)


def test_the_table_of_a_unit_has_the_strength_of_every_channel():
    table = unit_inputs(np.ones((2, 4, 3, 3)), 1, 4, 2).table()
    assert table["strength"].tolist() == [3.0] * 4
    assert table["tower"].tolist() == ["A", "A", "B", "B"]


def test_a_unit_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1, got 2"):
        unit_inputs(np.ones((2, 4, 3, 3)), 2, 4, 2)
