"""Ten hues, evenly spaced around OKLCH, a space in which equal steps look equal."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

FIRST_ANGLE, ANGLE_STEP = 22.0, 36.0  # degrees; the first hue is red
MOST_CHROMA = 0.19  # so that no hue stands out because screens show it more vividly
SWATCH_LIGHTNESS = 0.68

_OKLAB_TO_CONES = ((0.3963377774, 0.2158037573), (-0.1055613458, -0.0638541728), (-0.0894841775, -1.2914855480))
_CONES_TO_LINEAR = np.array(
    [
        (4.0767416621, -3.3077115913, 0.2309699292),
        (-1.2684380046, 2.6097574011, -0.3413193965),
        (-0.0041960863, -0.7034186147, 1.7076147010),
    ]
)


class Hue(NamedTuple):
    """One of ten hues, evenly spaced in OKLCH."""

    name: str
    angle: float  # degrees in OKLCH
    hex: str  # a swatch of it, at the lightness and chroma of a plain object


def oklch_to_linear(lightness: Floats, chroma: Floats, degrees: Floats) -> Floats:
    """Linear sRGB (n, 3) of OKLCH colours (n,); outside 0-1 where a screen cannot show them.

    Source: B. Ottosson, "A perceptual color space for image processing" (2020).
    """
    a, b = chroma * np.cos(np.radians(degrees)), chroma * np.sin(np.radians(degrees))
    cones = np.stack([lightness + u * a + w * b for u, w in _OKLAB_TO_CONES], axis=-1) ** 3
    linear: Floats = np.sum(cones[..., None, :] * _CONES_TO_LINEAR, axis=-1)
    return linear


def widest_chroma(lightness: Floats, degrees: Floats) -> Floats:
    """The largest chroma, up to `MOST_CHROMA`, that a screen can show at this lightness and hue."""
    low, high = np.zeros_like(lightness), np.full_like(lightness, MOST_CHROMA)
    for _ in range(24):
        middle = (low + high) / 2
        linear = oklch_to_linear(lightness, middle, degrees)
        inside = (linear.min(-1) >= 0) & (linear.max(-1) <= 1)
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return low


def _swatch(angle: float) -> str:
    light, degrees = np.array([SWATCH_LIGHTNESS]), np.array([angle])
    linear = oklch_to_linear(light, 0.9 * widest_chroma(light, degrees), degrees)[0].clip(0, 1)
    levels = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)  # IEC 61966-2-1
    return "#" + "".join(f"{round(255 * level):02x}" for level in levels)


_NAMES = ("red", "orange", "yellow", "lime", "emerald", "teal", "azure", "blue", "violet", "pink")
_ANGLES = tuple(FIRST_ANGLE + ANGLE_STEP * k for k in range(len(_NAMES)))
HUES = tuple(Hue(name, angle, _swatch(angle)) for name, angle in zip(_NAMES, _ANGLES, strict=True))
