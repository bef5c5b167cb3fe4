"""Answers to photographs, hues and gratings, on a network whose first kernels are built to have known ones."""

import numpy as np
import pytest
import torch

from alexnet_core.colour import LUMA, to_grey
from alexnet_core.model import AlexNet, build_model
from alexnet_core.preprocess import Preprocess
from analysis.kernels import functional
from analysis.kernels.functional import (
    CONTRAST,
    HueTuning,
    colour_response,
    grating_tuning,
    hue_tuning,
)
from analysis.kernels.indices import hue_direction, measure_kernels
from analysis.stimuli import FIELD

SIDE = 67
PREPROCESS = Preprocess(
    source_size=70,
    full_size=72,
    input_size=SIDE,
    mean=torch.full((3, 72, 72), 110.0),
    pca_vectors=torch.eye(3),
    pca_stdevs=torch.ones(3),
)
LUMA_KERNEL, FLAT = np.array(LUMA), np.ones((11, 11))


@pytest.fixture(scope="module")
def network() -> AlexNet:
    generator = torch.Generator().manual_seed(0)
    return build_model(num_classes=5, input_size=SIDE, generator=generator).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    small = np.random.default_rng(0).integers(0, 256, (14, 3, 10, 10), np.uint8)
    return small.repeat(7, axis=2).repeat(7, axis=3)


def with_kernels(network: AlexNet, kernels: np.ndarray, bias: float = 0.0) -> AlexNet:
    """The network with these first kernels in front and zeros behind."""
    weight = network.stages["conv1"].weight
    weight.zero_()
    weight[: len(kernels)] = torch.tensor(np.asarray(kernels), dtype=torch.float32)
    network.stages["conv1"].bias.fill_(bias)
    return network


def coloured(colour, pattern=FLAT) -> np.ndarray:
    return np.asarray(colour, float)[:, None, None] * pattern


def grating(frequency: float, degrees: float) -> np.ndarray:
    row, column = np.mgrid[:11, :11] - 5
    across = np.radians(degrees - 90)
    return np.cos(2 * np.pi * frequency * (column * np.cos(across) - row * np.sin(across)))


def noise(n: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(n, 3, 11, 11)) / 100


def test_a_unit_that_reads_luma_is_blind_to_colour_and_one_that_reads_differences_blind_to_grey(network, images):
    wave = grating(0.1, 60) / 100
    apart = [np.zeros((3, 11, 11))] * 5  # further than response normalisation reaches
    kernels = [coloured(LUMA_KERNEL, wave), *apart, coloured((2, -1, -1), wave)]
    response = colour_response(with_kernels(network, kernels), PREPROCESS, images)
    assert response.selectivity[[0, 6]] == pytest.approx([0, 1], abs=1e-3)
    assert response.d_prime[0] == pytest.approx(0, abs=1e-3)
    assert response.grey[6] == pytest.approx(0, abs=1e-3)
    assert response.colour[6] > 1


def test_the_indices_are_those_of_their_definitions_whatever_the_batches(network, images, monkeypatch):
    monkeypatch.setattr(functional, "_BATCH", 4)
    model, top = with_kernels(network, noise(96)), 6
    response = colour_response(model, PREPROCESS, images, "relu1", top=top)
    stored = torch.from_numpy(images).float()
    colour, grey = (
        model.run(PREPROCESS.centre(shown), until="relu1")[0].flatten(2).double().numpy()
        for shown in (stored, to_grey(stored))
    )
    for unit in (0, 17, 95):
        best = colour[:, unit].max(1).argsort()[::-1][:top]
        place = colour[best, unit].argmax(1)
        expected = 1 - grey[best, unit, place].sum() / colour[best, unit, place].sum()
        assert response.selectivity[unit] == pytest.approx(expected, abs=1e-5)
        a, b = colour[:, unit].mean(1), grey[:, unit].mean(1)
        assert response.d_prime[unit] == pytest.approx(
            (a.mean() - b.mean()) / np.sqrt((a.var() + b.var()) / 2), abs=1e-4
        )
        assert (response.colour[unit], response.grey[unit]) == pytest.approx((a.mean(), b.mean()), rel=1e-4)
        assert response.active[unit] == pytest.approx((colour[:, unit] > 0).mean())


def test_grey_photographs_make_no_unit_look_colourful(network, images):
    grey = images[:, :1].repeat(3, axis=1)
    response = colour_response(with_kernels(network, noise(96)), PREPROCESS, grey)
    np.testing.assert_allclose(response.selectivity, 0, atol=1e-3)
    np.testing.assert_allclose(response.colour, response.grey, rtol=1e-3, atol=1e-3)


def test_a_unit_that_never_fires_has_no_selectivity(network, images):
    model = with_kernels(network, np.zeros((96, 3, 11, 11)), bias=-1.0)
    response = colour_response(model, PREPROCESS, images)
    assert np.isnan(response.selectivity).all()
    assert (response.active == 0).all()
    with_kernels(network, noise(96))


def test_any_stage_can_be_asked(network, images):
    model = with_kernels(network, noise(96))
    assert colour_response(model, PREPROCESS, images[:3], "relu6").selectivity.shape == (4096,)
    assert hue_tuning(model, PREPROCESS, "conv2", step=90).answers.shape == (256, 4)


@pytest.mark.parametrize("hue", [0.0, 33.0, 120.0, 251.0])
def test_a_unit_that_reads_a_hue_prefers_it_and_is_opponent(network, hue):
    kernels = [coloured(hue_direction(np.array([hue]))[0]), coloured(LUMA_KERNEL)]
    tuning = hue_tuning(with_kernels(network, kernels), PREPROCESS)
    assert tuning.preferred[0] == hue
    assert tuning.selectivity[0] == pytest.approx(np.pi / 4, abs=1e-3)  # of the positive half of a cosine
    assert tuning.kind[:2].tolist() == ["opponent", "unresponsive"]
    np.testing.assert_allclose(tuning.rise[0] / tuning.rise[0].max(), np.cos(np.radians(tuning.hues - hue)), atol=1e-3)


def test_behind_the_relu_the_same_unit_is_only_excited(network):
    tuning = hue_tuning(with_kernels(network, [coloured((2, -1, -1)) / 100]), PREPROCESS, "relu1", step=10)
    assert tuning.kind[0] == "excited"
    assert tuning.preferred[0] == 0


def test_kinds_of_tuning_follow_from_what_lies_above_and_below_grey():
    answers = np.array([[1.0, 3.0], [2.0, 2.0], [2.0, 4.0], [2.0, 1.0]])
    tuning = HueTuning(np.array([0.0, 180.0]), answers, np.full(4, 2.0))
    assert tuning.kind.tolist() == ["opponent", "unresponsive", "excited", "inhibited"]


@pytest.mark.parametrize(("degrees", "frequency"), [(0, 0.2), (30, 0.14), (90, 0.2), (135, 0.28)])
def test_a_unit_that_is_a_grating_prefers_this_grating(network, degrees, frequency):
    kernel = coloured((1, 1, 1), grating(frequency, degrees))
    tuning = grating_tuning(with_kernels(network, [kernel]), PREPROCESS)
    assert tuning.orientation[0] == degrees
    assert tuning.frequency[0] == frequency
    measured = measure_kernels(kernel[None])
    assert (tuning.orientation[0] - measured.orientation[0] + 90) % 180 == pytest.approx(90, abs=2)
    assert tuning.selectivity[0] > 0.5


def test_the_answers_of_a_linear_unit_are_the_fourier_transform_of_its_kernel(network):
    kernels = noise(96)
    orientations, frequencies = (20.0, 75.0, 160.0), (0.05, 0.21)
    tuning = grating_tuning(
        with_kernels(network, kernels), PREPROCESS, orientations=orientations, frequencies=frequencies, phases=60
    )
    row, column = np.mgrid[:11, :11]
    for o, degrees in enumerate(orientations):
        for f, frequency in enumerate(frequencies):
            across = np.radians(degrees - 90)
            wave = np.exp(2j * np.pi * frequency * (column * np.cos(across) - row * np.sin(across)))
            expected = CONTRAST * FIELD * np.abs((kernels.sum(1) * wave).sum((1, 2)))
            np.testing.assert_allclose(tuning.rise[:, o, f], expected, rtol=0.01, atol=1e-3)


def test_a_round_spot_prefers_coarse_gratings_and_no_orientation(network):
    row, column = np.mgrid[:11, :11] - 5
    spot = np.exp(-(row**2 + column**2) / 8)
    tuning = grating_tuning(with_kernels(network, [coloured((1, 1, 1), spot)]), PREPROCESS)
    assert tuning.frequency[0] == tuning.frequencies[0]
    assert tuning.selectivity[0] < 0.02


def test_a_red_green_unit_answers_to_red_green_gratings_alone(network):
    model = with_kernels(network, [coloured((1, -1, 0), grating(0.14, 45))])
    grey, opponent = (
        grating_tuning(model, PREPROCESS, colour=c, orientations=(45,), frequencies=(0.14,)).rise[0, 0, 0]
        for c in ((1, 1, 1), (1, -1, 0))
    )
    assert abs(grey) < 0.01 < 100 < opponent


def test_measuring_leaves_the_network_as_it_was(network, images):
    model = with_kernels(network, noise(96))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    colour_response(model, PREPROCESS, images[:2])
    hue_tuning(model, PREPROCESS, step=60)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_network_in_training_mode_no_images_and_unknown_stages_are_refused(network, images):
    with pytest.raises(ValueError, match="eval mode"):
        hue_tuning(build_model(num_classes=5, input_size=SIDE), PREPROCESS)
    with pytest.raises(ValueError, match="at least one image"):
        colour_response(network, PREPROCESS, images[:0])
    with pytest.raises(ValueError, match="Unknown stage"):
        grating_tuning(network, PREPROCESS, "conv9")
