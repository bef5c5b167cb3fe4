"""Surface textures: where there is ink, 0 to 1, at a place (u, w) in periods; and the smooth noise they bend by."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from alexnet_core.prism.shapes import length

COARSE, FINE = 6, 15  # cells of the two octaves of noise across an image
LATTICE_POINTS = (COARSE + 1) ** 2 + (FINE + 1) ** 2


def noise_field(lattice: npt.NDArray[np.float64], size: int, device: torch.device) -> Tensor:
    """Smooth noise in two octaves, (n, 1, size, size), 0-1."""
    values = torch.from_numpy(lattice.astype(np.float32)).to(device)
    coarse, fine = values.split([(COARSE + 1) ** 2, (FINE + 1) ** 2], dim=1)
    return 0.6 * _octave(coarse, COARSE, size) + 0.4 * _octave(fine, FINE, size)


def _octave(values: Tensor, cells: int, size: int) -> Tensor:
    """Lattice values (n, (cells + 1)^2) joined smoothly: (n, 1, size, size)."""
    lattice = values.view(-1, 1, cells + 1, cells + 1)
    place = (torch.arange(size, device=values.device) * 2 + 1) * cells / (2 * size)
    cell = place.floor().long()
    t = place - cell
    t = t * t * (3 - 2 * t)
    rows = lattice[:, :, cell] + (lattice[:, :, cell + 1] - lattice[:, :, cell]) * t[:, None]
    return rows[..., cell] + (rows[..., cell + 1] - rows[..., cell]) * t


def _fraction(t: Tensor) -> Tensor:
    return t - t.floor()


def _wave(t: Tensor) -> Tensor:
    """Period 1, from 1 at 0 to 0 at 1/2: nearly (1 + cos 2 pi t) / 2."""
    ramp = (2 * _fraction(t) - 1).abs()
    return ramp * ramp * (3 - 2 * ramp)


def _sharp(t: Tensor, steepness: float = 6) -> Tensor:
    return ((t - 0.5) * steepness + 0.5).clamp(0, 1)


def _plain(u: Tensor, w: Tensor, noise: Tensor) -> Tensor:
    return torch.zeros_like(u)


def _stripes(u: Tensor, w: Tensor, noise: Tensor) -> Tensor:
    return _sharp(_wave(u))


def _checks(u: Tensor, w: Tensor, noise: Tensor) -> Tensor:
    a, b = _sharp(_wave(u)), _sharp(_wave(w))
    return a + b - 2 * a * b


def _dots(u: Tensor, w: Tensor, noise: Tensor) -> Tensor:
    return _sharp(0.8 - length(_fraction(u) - 0.5, _fraction(w) - 0.5), 9)


def _waves(u: Tensor, w: Tensor, noise: Tensor) -> Tensor:
    return _sharp(_wave(u + 0.5 * _wave(0.6 * w)))


def _marble(u: Tensor, w: Tensor, noise: Tensor) -> Tensor:
    vein = _wave(0.5 * u + 2.5 * noise)
    return vein * vein


def _speckle(u: Tensor, w: Tensor, noise: Tensor) -> Tensor:
    return _sharp(noise + 0.1 * _wave(u) * _wave(w), 10)


INKS = {
    "plain": _plain,
    "stripes": _stripes,
    "checks": _checks,
    "dots": _dots,
    "waves": _waves,
    "marble": _marble,
    "speckle": _speckle,
}
TEXTURES = tuple(INKS)
