"""How well a Gabor function, a grating under a Gaussian window, describes a kernel's pattern."""

from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

Floats = NDArray[np.float64]

_STARTS = 2  # best entries of the bank from which the fit is refined
_PRECISION = 1e-3  # of the shares, on average half of it; a full one takes four times as long
_STEP = 1e-6  # of the parameters, for their slopes
_NARROWEST = 0.5  # standard deviation of the window in pixels: narrower ones would fit single pixels


def gabor_fit(patterns: NDArray[np.floating]) -> Floats:
    """Share of the energy of patterns (n, k, k) that the best Gabor function explains (R squared), (n,).

    Place, orientation, frequency, phase, both widths and strength are free: the best of a bank, refined by least
    squares. A Gaussian spot counts as a Gabor function of frequency 0; 11 x 11 random weights reach about 0.15. NaN
    for a pattern of zeros. About 5 ms a pattern.
    """
    rows = np.asarray(patterns, np.float64).reshape(len(patterns), -1)
    energy = (rows**2).sum(1)
    unit = np.divide(rows, np.sqrt(energy)[:, None], out=np.zeros_like(rows), where=energy[:, None] > 0)
    parameters, basis = _bank(patterns.shape[-1])
    explained = ((unit @ basis) ** 2).reshape(len(rows), 2, -1).sum(1)
    starts = np.argsort(-explained, axis=1)[:, :_STARTS]
    best = [max(_refined(row, parameters[start]) for start in each) for row, each in zip(unit, starts, strict=True)]
    return np.where(energy > 0, best, np.nan)


def _refined(row: Floats, start: Floats) -> float:
    """Share explained of a pattern of energy 1 after least squares from `start`."""
    given = {"args": (row, _grid(len(row))), "ftol": _PRECISION, "xtol": _PRECISION}
    return 1 - 2 * float(least_squares(_left, start, _slopes, method="lm", **given).cost)


def _left(parameters: Floats, row: Floats, grid: Floats) -> Floats:
    """What is left of a pattern without the best cosine and sine under the window: strength and phase drop out."""
    waves = _waves(parameters, grid)
    return np.asarray(row - ((waves @ row)[..., None] * waves).sum(-2))


def _slopes(parameters: Floats, row: Floats, grid: Floats) -> Floats:
    """Differences of `_left` by each parameter, (k k, 6); all at once, as single ones are mostly overhead."""
    left = _left(np.vstack([parameters, parameters + _STEP * np.eye(6)]), row, grid)
    return np.asarray((left[1:] - left[0]).T / _STEP)


def _waves(parameters: Floats, grid: Floats) -> Floats:
    """Orthonormal pairs (..., 2, k k) that span the Gabor functions (..., 6) of any strength and phase."""
    column, row, along, across, angle, frequency = np.moveaxis(parameters, -1, 0)[..., None]
    x, y = grid[0] - column, grid[1] - row
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    window = np.exp(-0.5 * (u**2 / (along**2 + _NARROWEST**2) + v**2 / (across**2 + _NARROWEST**2)))
    cosine, sine = window * np.cos(2 * np.pi * frequency * u), window * np.sin(2 * np.pi * frequency * u)
    cosine = _unit(cosine)
    return np.stack([cosine, _unit(sine - (sine * cosine).sum(-1, keepdims=True) * cosine)], axis=-2)


def _unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.sqrt((vectors**2).sum(-1, keepdims=True) + 1e-30))


def _grid(pixels: int) -> Floats:
    """Columns and rows of a square of so many pixels from its middle, (2, pixels)."""
    size = round(np.sqrt(pixels))
    place = np.arange(size) - (size - 1) / 2
    return np.stack([np.tile(place, size), np.repeat(place, size)])


@cache
def _bank(size: int) -> tuple[Floats, Floats]:
    """Parameters (m, 6) and their orthonormal pairs, cosines then sines, (size size, 2 m)."""
    places = np.linspace(-0.35, 0.35, 5) * size
    widths = np.array([0.1, 0.2, 0.36]) * size
    frequencies = (0.02, 0.08, 0.15, 0.23, 0.32, 0.42)
    angles = np.arange(8) * np.pi / 8
    parameters = np.array(
        [(x, y, w, w, angle, f) for x, y, w, angle, f in product(places, places, widths, angles, frequencies)]
    )
    return parameters, _waves(parameters, _grid(size**2)).transpose(2, 1, 0).reshape(size**2, -1)
