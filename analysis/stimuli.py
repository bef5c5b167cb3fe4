"""What the towers are shown: photographs with colour, luma or detail taken away, and gratings in tinted light."""

import math
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alexnet_core.colour import LUMA, luma, rotate_hue, to_grey
from analysis.kernels.indices import hue_direction

Stimulus = Literal["colour", "grey", "hue-rotated", "chroma only", "low-pass", "high-pass"]
STIMULI: tuple[Stimulus, ...] = get_args(Stimulus)
FIELD = 127.5  # luma of hues and mean of gratings, grey levels
TURN = 180.0  # degrees by which "hue-rotated" turns: to the opponent hue
BLUR = 1 / 32  # standard deviation of the low-pass, in image sides: half amplitude at 6 cycles per image

HUES = ORIENTATIONS = 8  # of tinted gratings, evenly spaced over 360 and 180 degrees
TINT = (1.0, 10.0)  # grey levels between the strongest and the weakest channel of a tint, least and most
CONTRAST = (2.0, 20.0)  # grey levels from the middle to the crest of a grating
NOISE = 20.0  # standard deviation in grey levels, of each pixel and channel: so that not everything can be told
FREQUENCY = (0.03, 0.2)  # cycles per pixel, evenly spread by octave


def photo_stimulus(images: Tensor, stimulus: Stimulus) -> Tensor:
    """Photographs (N, 3, s, s), RGB 0-255, as they are shown: float32 of the same shape and range.

    "colour": as they are. "grey": their luma. "hue-rotated": every hue turned to its opponent, luma unchanged.
    "chroma only": every pixel at the mean luma of its image, so that only colour tells anything apart. "low-pass":
    blurred by a Gaussian. "high-pass": what the blur took away, around the image's mean colour. Where a colour would
    leave the gamut its chroma is reduced at equal luma; high-passed values are cut at 0 and 255.
    Raises ``ValueError`` for another word.
    """
    pixels = images.float()
    if stimulus == "colour":
        return pixels
    if stimulus == "grey":
        return to_grey(pixels)
    if stimulus == "hue-rotated":
        return rotate_hue(pixels, TURN)
    if stimulus == "chroma only":
        flat = luma(pixels)
        return rotate_hue(pixels - flat + flat.mean((-2, -1), keepdim=True), 0)  # turned by 0: put into the gamut
    if stimulus not in STIMULI:
        raise ValueError(f"The stimulus must be one of {STIMULI}, got {stimulus!r}.")
    low = blurred(pixels, BLUR * pixels.shape[-1])
    return low if stimulus == "low-pass" else (pixels - low + pixels.mean((-2, -1), keepdim=True)).clamp(0, 255)


def hue_colours(hues: NDArray[np.float64]) -> NDArray[np.float64]:
    """RGB colours (h, 3), 0 to 255, of hues in degrees: of luma `FIELD` and as far from grey as all hues can be."""
    farthest = np.abs(_equal_luma(np.arange(360.0))).max()
    return np.asarray(FIELD + min(FIELD, 255 - FIELD) / farthest * _equal_luma(hues))


def _equal_luma(hues: NDArray[np.float64]) -> NDArray[np.float64]:
    """Steps away from grey (h, 3) that do not change the luma."""
    direction = hue_direction(hues)
    return np.asarray(direction - (direction @ np.array(LUMA))[:, None])


def blurred(images: Tensor, deviation: float) -> Tensor:
    """Images (..., s, s) blurred by a Gaussian of that standard deviation in pixels, weights renormalised at edges."""
    place = torch.arange(images.shape[-1], dtype=torch.float64, device=images.device)
    weights = torch.exp(-((place[:, None] - place) ** 2) / (2 * deviation**2))
    matrix = (weights / weights.sum(1, keepdim=True)).to(images)
    return matrix @ images @ matrix.T


class TintedGratings(NamedTuple):
    """Pictures whose orientation is told by luma alone and whose hue by chroma alone."""

    images: Tensor  # (n, 3, size, size) float32, about 0-255
    orientation: NDArray[np.intp]  # (n,) 0 to ORIENTATIONS - 1: stripes at that many times 22.5 degrees
    hue: NDArray[np.intp]  # (n,) 0 to HUES - 1, drawn independently


def tinted_gratings(n: int, size: int, rng: np.random.Generator) -> TintedGratings:
    """n faint gratings of random frequency, phase and contrast in a light of random hue and strength, with noise.

    But for the noise, all of a picture has the same chroma, so its luma is a plain grating around the same mean, and a
    tower that sees no colour cannot tell the hue.
    """
    orientation, hue = (rng.permutation(np.arange(n) % kinds) for kinds in (ORIENTATIONS, HUES))
    coarsest, finest = np.log2(FREQUENCY)
    waves = gratings(
        orientation * 180 / ORIENTATIONS, 2 ** rng.uniform(coarsest, finest, n), rng.uniform(0, 360, n), size
    )
    contrast, strength = (torch.from_numpy(rng.uniform(*bounds, n)).float() for bounds in (CONTRAST, TINT))
    steps = hue_colours(hue * 360 / HUES) - FIELD
    tints = strength[:, None] * torch.from_numpy(steps / np.ptp(steps, axis=1, keepdims=True)).float()
    noise = torch.from_numpy(rng.standard_normal((n, 3, size, size), dtype=np.float32))
    images = FIELD + contrast[:, None, None, None] * waves[:, None] + tints[:, :, None, None] + NOISE * noise
    return TintedGratings(images, orientation, hue)


def gratings(
    orientations: NDArray[np.floating], frequencies: NDArray[np.floating], phases: NDArray[np.floating], size: int
) -> Tensor:
    """Sine gratings (n, size, size) in -1 to 1, one for each of n orientations, frequencies and phases.

    Stripes run at `orientations` degrees (0 lying, 90 upright, anticlockwise), with `frequencies` cycles per pixel and
    `phases` in degrees at the picture's centre.
    """
    place = np.arange(size) - (size - 1) / 2
    across, up = np.meshgrid(place, -place)
    angle, phase = np.radians(orientations) + math.pi / 2, np.radians(phases)
    distance = np.cos(angle)[:, None, None] * across + np.sin(angle)[:, None, None] * up
    return torch.from_numpy(np.sin(2 * math.pi * frequencies[:, None, None] * distance + phase[:, None, None])).float()
