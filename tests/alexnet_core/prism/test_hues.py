"""Hues against the published OKLCH values of the screen's primaries."""

import numpy as np
import pytest

from alexnet_core.prism.hues import HUES, MOST_CHROMA, oklch_to_linear, widest_chroma


@pytest.mark.parametrize(
    ("lightness", "chroma", "degrees", "linear"),
    [
        (0.62796, 0.25768, 29.234, (1, 0, 0)),  # CSS Color 4's red, lime, blue and white
        (0.86644, 0.29483, 142.495, (0, 1, 0)),
        (0.45201, 0.31321, 264.052, (0, 0, 1)),
        (1.0, 0.0, 0.0, (1, 1, 1)),
    ],
)
def test_the_published_oklch_of_the_primaries_gives_the_primaries(
    lightness: float, chroma: float, degrees: float, linear: tuple[float, ...]
) -> None:
    found = oklch_to_linear(np.array([lightness]), np.array([chroma]), np.array([degrees]))
    np.testing.assert_allclose(found[0], linear, atol=2e-4)


def test_ten_hues_stand_evenly_around_the_circle_and_have_different_names() -> None:
    assert len(HUES) == len({hue.name for hue in HUES}) == len({hue.hex for hue in HUES}) == 10
    steps = np.diff([hue.angle for hue in HUES] + [HUES[0].angle + 360])
    np.testing.assert_allclose(steps, 36)


def test_a_screen_shows_the_widest_chroma_but_nothing_beyond_it() -> None:
    rng = np.random.default_rng(0)
    lightness, degrees = rng.uniform(0.3, 0.9, 200), rng.uniform(0, 360, 200)
    widest = widest_chroma(lightness, degrees)
    shown = oklch_to_linear(lightness, widest, degrees)
    assert shown.min() >= 0
    assert shown.max() <= 1
    limited = widest < MOST_CHROMA - 1e-6
    beyond = oklch_to_linear(lightness, widest + 1e-3, degrees)
    assert limited.any()
    assert not limited.all()
    assert ((beyond.min(1) < 0) | (beyond.max(1) > 1))[limited].all()


def test_the_swatch_of_a_hue_has_that_hue() -> None:
    """Read back from its eight-bit levels through sRGB's own definition and OKLab's inverse."""
    to_cones = np.linalg.inv(
        [[4.0767416621, -3.3077115913, 0.2309699292], [-1.2684380046, 2.6097574011, -0.3413193965],
         [-0.0041960863, -0.7034186147, 1.7076147010]]
    )  # fmt: skip
    to_lab = np.linalg.inv(
        [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.2914855480]]
    )
    for hue in HUES:
        levels = np.array([int(hue.hex[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
        _, a, b = to_lab @ np.cbrt(to_cones @ linear)
        assert abs((np.degrees(np.arctan2(b, a)) - hue.angle + 180) % 360 - 180) < 1.5, hue
