"""Pixels: the same everywhere, and what the scene says."""

import hashlib
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch

from alexnet_core.colour import luma
from alexnet_core.prism import rendering as renderer
from alexnet_core.prism.rendering import render
from alexnet_core.prism.scenes import Scenes, World, draw_scenes

PINNED = "a8c3411399319190f9822555ab9100469057f708e3ad0e66f1315c33ad7262d0"
CALM = {"noise": 0.0, "blur": 0.0, "cover_offset": 9.0, "exposure": 1.0, "shadow": 0.0, "gloss": 0.0, "relief": 0.0}


def scenes(n: int = 100, world: World | None = None) -> Scenes:
    return draw_scenes(world or World(), 3, np.arange(n) % 100, np.arange(n), training=False)


def calm(drawn: Scenes, **values: float) -> Scenes:
    """The same scenes without noise, blur, cover, shadow and relief, in white light, before one colour."""
    fixed = {name: np.full(len(drawn), value) for name, value in (CALM | values).items()}
    white = {
        "light": np.ones((len(drawn), 3)),
        "ground_2": drawn.colours["ground_1"],
        "blob": drawn.colours["ground_1"],
    }
    plain = np.zeros(len(drawn), dtype=np.int64)
    return replace(
        drawn, values={**drawn.values, **fixed}, colours={**drawn.colours, **white}, texture=plain, ground=plain
    )


def exact_levels(linear: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """sRGB by its definition, IEC 61966-2-1."""
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def test_pixels_are_those_of_every_other_machine() -> None:
    """Only operations that IEEE 754 rounds one way are used; a change of pixels needs another VERSION."""
    pixels = render(scenes(), 64).numpy()
    assert hashlib.sha256(pixels.tobytes()).hexdigest() == PINNED, "the pixels moved: raise VERSION and pin anew"


def test_an_image_does_not_depend_on_those_rendered_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = scenes(40)
    whole = render(drawn, 48)
    assert torch.equal(render(drawn[7:8], 48), whole[7:8])
    monkeypatch.setattr(renderer, "BLOCK", 7)
    assert torch.equal(render(drawn, 48), whole)


def test_two_threads_give_the_pixels_of_one() -> None:
    one = render(scenes(32), 96)
    torch.set_num_threads(2)
    try:
        assert torch.equal(render(scenes(32), 96), one)
    finally:
        torch.set_num_threads(1)


def test_double_precision_moves_hardly_a_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounding errors stay below a level, so that the images are those of the formulas."""
    drawn = calm(scenes(50))
    single = render(drawn, 48).int()
    plane = lambda values, device: torch.from_numpy(values).reshape(len(values), -1, 1, 1)  # noqa: E731
    monkeypatch.setattr(renderer, "_plane", plane)
    double = render(drawn, 48).int()
    assert ((single - double).abs() > 1).float().mean() < 1e-4


def test_a_calm_object_has_its_own_colour_and_the_ground_has_its() -> None:
    """Light falls straight on a flat top: 0.35 + 0.75 * cosine of the slant, times the surface's colour."""
    drawn = calm(scenes(), x=0.0, y=0.0, radius=0.7, light_height=1.0)
    drawn = replace(drawn, shape=np.zeros(100, dtype=np.int64))  # a disc, so that the centre is inside
    pixels = render(drawn, 65).numpy().astype(float)
    bright = 0.35 + 0.75 / np.sqrt(2)
    np.testing.assert_allclose(pixels[:, :, 32, 32], exact_levels(bright * drawn.colours["object"]), atol=1.2)
    np.testing.assert_allclose(pixels[:, :, 0, 0], exact_levels(drawn.colours["ground_1"]), atol=1.2)


@pytest.mark.parametrize("shape", range(10))
def test_the_object_lies_where_the_scene_says(shape: int) -> None:
    """The coloured pixels' centre moves with the object and its area grows with the radius squared."""
    drawn = replace(scenes(1), shape=np.array([shape]))
    colours = {**drawn.colours, "ground_1": np.zeros((1, 3)), "object": np.ones((1, 3))}

    def mask(**values: float) -> torch.Tensor:
        still = calm(replace(drawn, colours=colours), aspect=1.0, angle=0.0, **values)
        still = replace(still, colours={**still.colours, "ground_2": np.zeros((1, 3)), "blob": np.zeros((1, 3))})
        return render(still, 129)[0, 1] > 100

    small, moved = mask(x=0.0, y=0.0, radius=0.35), mask(x=0.4, y=-0.2, radius=0.35)
    large = mask(x=0.0, y=0.0, radius=0.7)
    shift = moved.nonzero().double().mean(0) - small.nonzero().double().mean(0)
    torch.testing.assert_close(shift, torch.tensor([-0.2, 0.4]).double() * 64.5, atol=0.6, rtol=0)
    assert large.sum() / small.sum() == pytest.approx(4, rel=0.06)


def test_a_cover_hides_and_light_tints_and_noise_and_blur_do_what_they_say() -> None:
    drawn = calm(scenes(20))
    clean = render(drawn, 64).float()
    noisy = render(calm(scenes(20), noise=0.05), 64).float()
    middle = (clean > 90) & (clean < 165)
    assert (noisy - clean)[middle].std().item() == pytest.approx(0.05 * 255, rel=0.03)
    soft = render(calm(scenes(20), blur=1.0), 64).float()
    assert soft.diff(dim=3).abs().amax() < 0.75 * clean.diff(dim=3).abs().amax()
    hidden = render(calm(scenes(20), cover_offset=-0.3, cover_width=0.5), 64).float()
    share = ((hidden - clean).abs().amax(1) > 3).float().mean().item()
    assert 0.1 < share < 0.6
    red = replace(drawn, colours={**drawn.colours, "light": np.tile([1.2, 0.9, 0.9], (20, 1))})
    shift = render(red, 64).float() - clean
    assert shift[:, 0].mean() > 4
    assert shift[:, 1].mean() < -2


def test_a_shadow_darkens_the_ground_and_falls_away_from_the_light() -> None:
    drawn = calm(scenes(1), x=0.0, y=0.0, radius=0.5, light_angle=0.0, shadow_reach=0.2, shadow_softness=0.05)
    bright = replace(drawn, colours={**drawn.colours, **{g: np.ones((1, 3)) for g in ("ground_1", "ground_2", "blob")}})
    shaded = replace(bright, values={**bright.values, "shadow": np.array([0.6])})
    change = (render(shaded, 64).float() - render(bright, 64).float())[0].mean(0)
    assert change.min() < -30
    assert change.max() <= 0
    left, right = change[:, :32].sum(), change[:, 32:].sum()
    assert left < 2 * right  # the light comes from the right


def test_levels_follow_srgb_to_within_a_level() -> None:
    linear = np.linspace(0.002, 1, 5000)
    found = renderer._to_levels(torch.from_numpy(linear)).numpy()
    assert np.abs(found - exact_levels(linear)).max() < 0.7


def test_grain_is_normal_enough_and_independent_between_pixels_channels_and_images() -> None:
    grain = renderer._grain(np.array([11.0, 12.0]), 128, torch.device("cpu"), coloured=True)
    assert grain.mean().abs() < 0.01
    assert grain.std().item() == pytest.approx(1, abs=0.01)
    assert (grain.abs() > 1.96).float().mean().item() == pytest.approx(0.05, abs=0.006)
    flat = grain.flatten(2)
    neighbours = [
        (grain[..., 1:], grain[..., :-1]), (grain[:, :, 1:], grain[:, :, :-1]), (flat[:, 0], flat[:, 1]),
        (flat[:, 1], flat[:, 2]), (flat[0], flat[1]),
    ]  # fmt: skip
    for one, other in neighbours:
        assert abs(np.corrcoef(one.flatten(), other.flatten())[0, 1]) < 0.02


def test_a_grey_world_is_grey() -> None:
    pixels = render(scenes(20, World(chroma=0.0)), 64).int()
    assert (pixels.amax(1) - pixels.amin(1)).max() <= 1
    assert pixels.float().std() > 20


def test_an_isoluminant_world_is_seen_by_colour_alone() -> None:
    pixels = render(scenes(20, World(isoluminant=True)), 64).float()
    assert (luma(pixels) - 128).abs().max() <= 0.51  # eight-bit rounding
    assert (pixels.amax(1) - pixels.amin(1)).mean() > 15


def test_no_scenes_are_no_pixels() -> None:
    assert render(scenes(4)[0:0], 32).shape == (0, 3, 32, 32)
