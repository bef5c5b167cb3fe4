"""What each stimulus takes away and what it leaves, by algebra on random pictures."""

import numpy as np
import pytest
import torch

from alexnet_core.colour import luma
from analysis.kernels.indices import hue_angle, power_spectrum, spectrum_axis
from analysis.stimuli import (
    BLUR,
    FIELD,
    HUES,
    ORIENTATIONS,
    STIMULI,
    TINT,
    blurred,
    gratings,
    hue_colours,
    photo_stimulus,
    tinted_gratings,
)


@pytest.fixture(scope="module")
def photos() -> torch.Tensor:
    return torch.randint(0, 256, (6, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


@pytest.mark.parametrize("stimulus", STIMULI)
def test_every_stimulus_is_a_picture_of_the_same_size(photos, stimulus):
    before = photos.clone()
    shown = photo_stimulus(photos, stimulus)
    assert (shown.shape, shown.dtype) == (photos.shape, torch.float32)
    assert shown.min() > -1e-3
    assert shown.max() < 255 + 1e-3
    assert torch.equal(photos, before)


def test_colour_is_the_photograph_and_grey_its_luma(photos):
    assert torch.equal(photo_stimulus(photos, "colour"), photos.float())
    assert torch.allclose(photo_stimulus(photos, "grey"), luma(photos.float()).expand(-1, 3, -1, -1))


def test_rotated_hues_are_the_opponents_at_equal_luma(photos):
    pixels, shown = photos.float(), photo_stimulus(photos, "hue-rotated")
    assert torch.allclose(luma(shown), luma(pixels), atol=1e-3)
    old, new = pixels - luma(pixels), shown - luma(shown)
    cosine = (old * new).sum(1) / (old.norm(dim=1) * new.norm(dim=1))
    coloured = new.norm(dim=1) > 1
    assert cosine[coloured].max() < -0.999


def test_chroma_only_is_one_luma_and_keeps_the_direction_of_every_colour(photos):
    pixels, shown = photos.float(), photo_stimulus(photos, "chroma only")
    mean = luma(pixels).mean((2, 3), keepdim=True)
    assert torch.allclose(luma(shown), mean.expand(-1, -1, 32, 32), atol=1e-3)
    old, new = pixels - luma(pixels), shown - luma(shown)
    share = (old * new).sum(1) / (old * old).sum(1)
    assert torch.allclose(new, share[:, None] * old, atol=1e-2)
    assert share.min() > 0
    assert share.max() < 1 + 1e-4


def test_low_and_high_pass_together_are_the_photograph_and_its_mean_colour():
    soft = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 40 + 100  # nothing to cut off
    both = photo_stimulus(soft, "low-pass") + photo_stimulus(soft, "high-pass")
    assert torch.allclose(both, soft + soft.mean((2, 3), keepdim=True), atol=1e-3)


def test_a_blur_leaves_a_wave_the_amplitude_that_theory_says():
    deviation, size = 3.0, 120
    place = torch.arange(size, dtype=torch.float64)
    for cycles in (2, 6, 12):
        wave = torch.cos(2 * torch.pi * cycles * place / size).expand(size, size)
        middle = slice(30, 90)  # away from the edges
        left = (blurred(wave, deviation)[middle, middle] * wave[middle, middle]).sum() / wave[
            middle, middle
        ].square().sum()
        assert float(left) == pytest.approx(np.exp(-2 * (np.pi * deviation * cycles / size) ** 2), abs=2e-3)


def test_six_cycles_per_image_are_half_as_high_after_the_low_pass():
    assert np.exp(-2 * (np.pi * BLUR * 6) ** 2) == pytest.approx(0.5, abs=0.02)


def test_a_blurred_even_picture_stays_even():
    assert torch.allclose(blurred(torch.full((1, 9, 9), 7.0), 2.0), torch.full((1, 9, 9), 7.0))


def test_an_unknown_stimulus_is_refused(photos):
    with pytest.raises(ValueError, match="must be one of"):
        photo_stimulus(photos, "sepia")


def test_gratings_have_the_frequency_and_run_the_way_that_is_asked_for():
    orientations = np.array([0.0, 22.5, 45.0, 90.0, 135.0])
    frequencies = np.array([0.1, 0.2, 0.15, 0.25, 0.3])
    power = power_spectrum(gratings(orientations, frequencies, np.full(5, 30.0), 64).numpy())
    axis = spectrum_axis()
    for one, orientation, frequency in zip(power, orientations, frequencies, strict=True):
        row, column = np.unravel_index(one.argmax(), one.shape)
        assert np.hypot(axis[row], axis[column]) == pytest.approx(frequency, abs=0.02)
        wave = np.degrees(np.arctan2(-axis[row], axis[column]))  # rows count downwards
        assert abs((wave + 90 - orientation + 90) % 180 - 90) < 6


def test_the_phase_is_that_of_the_centre():
    phases = np.array([0.0, 30.0, 90.0, 270.0])
    waves = gratings(np.zeros(4), np.full(4, 0.1), phases, 21)
    assert waves[:, 10, 10].numpy() == pytest.approx(np.sin(np.radians(phases)), abs=1e-6)


def test_tinted_gratings_tell_orientation_by_luma_and_hue_by_chroma_alone(monkeypatch):
    monkeypatch.setattr("analysis.stimuli.NOISE", 0.0)
    shown = tinted_gratings(160, 63, np.random.default_rng(0))
    grey = luma(shown.images)
    chroma = shown.images - grey
    assert chroma.std((2, 3)).max() < 1e-3  # one chroma all over a picture
    spread = chroma.mean((2, 3)).amax(1) - chroma.mean((2, 3)).amin(1)
    assert TINT[0] - 1e-3 < spread.min() < spread.max() < TINT[1] + 1e-3
    hues = hue_angle(chroma.mean((2, 3)).numpy())  # independent of luma, which grey adds to all channels alike
    assert np.abs((hues - shown.hue * 360 / HUES + 180) % 360 - 180).max() < 0.1
    power = power_spectrum((grey - grey.mean((2, 3), keepdim=True))[:, 0].numpy())
    axis = spectrum_axis()
    row, column = np.unravel_index(power.reshape(160, -1).argmax(1), (64, 64))
    found = np.degrees(np.arctan2(-axis[row], axis[column])) + 90
    apart = np.abs((found - shown.orientation * 180 / ORIENTATIONS + 90) % 180 - 90)
    assert np.median(apart) < 6


def test_tinted_gratings_have_all_kinds_equally_often_and_unrelated():
    shown = tinted_gratings(1600, 4, np.random.default_rng(0))
    assert set(np.bincount(shown.hue)) == set(np.bincount(shown.orientation)) == {200}
    table = np.zeros((HUES, ORIENTATIONS))
    np.add.at(table, (shown.hue, shown.orientation), 1)
    assert ((table - 25) ** 2 / 25).sum() < 75  # chi square with 49 degrees of freedom: 99 % stay below


def test_the_hues_have_one_luma_one_distance_from_grey_their_own_hue_and_fill_the_gamut():
    hues = np.arange(1, 361, 1.0)
    colours = hue_colours(hues)
    np.testing.assert_allclose(luma(torch.from_numpy(colours)[:, :, None, None]).flatten(), FIELD)
    chroma = colours - colours.mean(1, keepdims=True)
    np.testing.assert_allclose(hue_angle(chroma), hues % 360, atol=1e-6)
    assert np.ptp(np.linalg.norm(chroma, axis=1)) < 1e-9
    assert colours.min() >= 0
    assert colours.max() <= 255
    assert np.abs(colours - FIELD).max() == pytest.approx(FIELD)
