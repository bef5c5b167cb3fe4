"""Gabor fits of planted Gabor functions, of noise and of what no Gabor function can describe."""

import numpy as np
import pytest

from analysis.kernels.gabor import gabor_fit


def gabor(column=0.0, row=0.0, along=2.5, across=2.5, degrees=30.0, frequency=0.15, phase=0.3, size=11) -> np.ndarray:
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    angle = np.radians(degrees)
    u = (x - column) * np.cos(angle) + (y - row) * np.sin(angle)
    v = (y - row) * np.cos(angle) - (x - column) * np.sin(angle)
    return np.exp(-0.5 * ((u / along) ** 2 + (v / across) ** 2)) * np.cos(2 * np.pi * frequency * u + phase)


def planted(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    low, high = (-3, -3, 1.2, 1.2, 0, 0.05, 0), (3, 3, 4, 4, 180, 0.4, 6.28)
    return np.stack([gabor(*rng.uniform(low, high)) for _ in range(n)])


def test_gabor_functions_anywhere_of_any_kind_are_explained_in_full():
    fit = gabor_fit(planted(40))
    assert np.quantile(fit, 0.1) > 0.995
    assert fit.min() > 0.97


@pytest.mark.parametrize("size", [5, 7])
def test_small_patterns_are_fitted_too(size):
    assert gabor_fit(gabor(along=1.5, across=1.5, size=size)[None])[0] > 0.995


def test_what_is_at_right_angles_to_a_gabor_function_is_what_the_fit_leaves():
    """A one-pixel chequerboard far from a grating's frequency takes the share of the energy that it has."""
    clean = gabor(frequency=0.1)
    board = np.indices((11, 11)).sum(0) % 2 * 2.0 - 1
    board -= (board * clean).sum() / (clean**2).sum() * clean
    board *= np.sqrt(0.2 / 0.8 * (clean**2).sum() / (board**2).sum())
    assert gabor_fit((clean + board)[None])[0] == pytest.approx(0.8, abs=0.02)


def test_random_weights_are_explained_to_a_seventh():
    fit = gabor_fit(np.random.default_rng(1).normal(size=(40, 11, 11)))
    assert fit.mean() == pytest.approx(0.15, abs=0.02)
    assert fit.max() < 0.3


def test_a_spot_is_a_gabor_function_of_frequency_nought_and_two_spots_apart_are_none():
    spot = gabor(frequency=0.0, phase=0.0, along=1.5, across=1.5)
    corners = gabor(-4, -4, 1, 1, 0, 0, 0) + gabor(4, 4, 1, 1, 0, 0, 0) + gabor(4, -4, 1, 1, 0, 0, 0)
    fit = gabor_fit(np.stack([spot, corners]))
    assert fit[0] > 0.999
    assert fit[1] < 0.9


def test_the_fit_depends_neither_on_strength_nor_on_sign():
    patterns = planted(3) + 0.3 * np.random.default_rng(2).normal(size=(3, 11, 11))
    np.testing.assert_allclose(gabor_fit(-7 * patterns), gabor_fit(patterns), atol=2e-3)


def test_a_pattern_of_zeros_has_no_fit():
    assert np.isnan(gabor_fit(np.zeros((1, 11, 11)))[0])
