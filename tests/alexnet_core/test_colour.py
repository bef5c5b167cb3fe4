"""Grey and hue rotation against Pillow, published luma weights and the geometry of the colour cube."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from alexnet_core.colour import luma, recoloured, rotate_hue, to_grey

ANGLES = (0.0, 37.0, 90.0, 120.0, 180.0, 251.0)


def colours(n: int = 2000, *, seed: int = 0) -> Tensor:
    """Random colours as a picture of one row, shape (3, 1, n), 0 to 255."""
    return 255 * torch.rand(3, 1, n, generator=torch.Generator().manual_seed(seed))


def chroma_plane(images: Tensor) -> Tensor:
    """YIQ's I and Q by the published coefficients, shape (2, n)."""
    to_iq = torch.tensor([[0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])
    return to_iq @ images.flatten(1)


def test_luma_is_the_grey_of_pillow() -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    grey = np.asarray(Image.fromarray(image).convert("L"), dtype=np.float32)
    found = luma(torch.from_numpy(image).permute(2, 0, 1).float())
    np.testing.assert_allclose(found[0].numpy(), grey, atol=1)


def test_luma_of_white_is_white_and_of_green_is_its_published_weight() -> None:
    assert luma(torch.ones(3, 1, 1)) == pytest.approx(1)
    assert luma(torch.tensor([0.0, 255.0, 0.0]).view(3, 1, 1)) == pytest.approx(0.587 * 255)


def test_grey_pictures_have_three_equal_channels_with_the_luma_of_the_colour() -> None:
    images = colours()
    grey = to_grey(images)
    assert torch.equal(grey[0], grey[1])
    assert torch.equal(grey[0], grey[2])
    torch.testing.assert_close(luma(grey), luma(images))


def test_making_grey_twice_changes_nothing_more_and_leaves_the_input_alone() -> None:
    images = colours()
    before, grey = images.clone(), to_grey(images)
    torch.testing.assert_close(to_grey(grey), grey)
    grey.zero_()
    assert torch.equal(images, before)


@pytest.mark.parametrize("degrees", ANGLES)
def test_hue_rotation_keeps_luma(degrees: float) -> None:
    images = colours()
    torch.testing.assert_close(luma(rotate_hue(images, degrees)), luma(images), rtol=0, atol=2e-3)


@pytest.mark.parametrize("degrees", ANGLES)
def test_hue_rotation_stays_inside_the_gamut(degrees: float) -> None:
    turned = rotate_hue(colours(), degrees)
    assert turned.min() > -1e-3
    assert turned.max() < 255 + 1e-3


@pytest.mark.parametrize("degrees", ANGLES)
def test_hue_rotation_turns_the_chroma_by_the_angle_and_never_makes_it_stronger(degrees: float) -> None:
    images = colours()
    before, after = chroma_plane(images), chroma_plane(rotate_hue(images, degrees))
    angle = math.radians(degrees)
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    expected = turn @ before
    share = after.norm(dim=0) / expected.norm(dim=0)
    assert share.max() < 1 + 1e-3
    torch.testing.assert_close(after, share * expected, rtol=0, atol=5e-3)


@pytest.mark.parametrize("degrees", ANGLES)
def test_chroma_is_reduced_no_more_than_the_gamut_demands(degrees: float) -> None:
    images = colours()
    before, turned = chroma_plane(images), rotate_hue(images, degrees)
    reduced = chroma_plane(turned).norm(dim=0) < 0.999 * before.norm(dim=0)
    touches = (turned.flatten(1).amin(0) < 0.01) | (turned.flatten(1).amax(0) > 254.99)
    assert touches[reduced].all()


@pytest.mark.parametrize("degrees", [0.0, 360.0, -720.0])
def test_whole_turns_change_nothing(degrees: float) -> None:
    images = colours()
    torch.testing.assert_close(rotate_hue(images, degrees), images, rtol=0, atol=5e-3)


def test_two_turns_add_up_where_the_gamut_leaves_room() -> None:
    pale = 128 + 0.1 * (colours() - 128)
    torch.testing.assert_close(rotate_hue(rotate_hue(pale, 70), 50), rotate_hue(pale, 120), rtol=0, atol=1e-3)


@pytest.mark.parametrize("degrees", ANGLES)
def test_grey_black_and_white_have_no_hue_to_turn(degrees: float) -> None:
    greys = torch.linspace(0, 255, 52).expand(3, 1, 52)
    torch.testing.assert_close(rotate_hue(greys, degrees), greys, rtol=0, atol=2e-3)


def test_the_white_point_sets_the_gamut() -> None:
    images = colours()
    torch.testing.assert_close(255 * rotate_hue(images / 255, 90, white=1.0), rotate_hue(images, 90), rtol=0, atol=0.01)


def test_batches_of_any_shape_are_treated_picture_by_picture() -> None:
    batch = 255 * torch.rand(2, 4, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(rotate_hue(batch, 60)[1, 2], rotate_hue(batch[1, 2], 60))
    torch.testing.assert_close(to_grey(batch)[1, 2], to_grey(batch[1, 2]))


@pytest.mark.parametrize("function", [luma, to_grey, partial(rotate_hue, degrees=90.0)])
def test_whole_numbers_are_refused_since_the_luma_weights_would_vanish_in_them(
    function: Callable[[Tensor], Tensor],
) -> None:
    with pytest.raises(TypeError, match="float"):
        function(colours().byte())


def test_grey_and_turned_hues_keep_the_brightness() -> None:
    stored = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    luma = (stored.float() * weights).sum(1)
    assert recoloured(stored, "original") is stored
    grey, turned = recoloured(stored, "grey"), recoloured(stored, "rotated", 120)
    assert torch.equal(grey[:, 0], grey[:, 1])
    assert torch.equal(grey[:, 1], grey[:, 2])
    for changed in (grey, turned):
        assert changed.dtype == torch.uint8
        torch.testing.assert_close((changed.float() * weights).sum(1), luma, rtol=0, atol=0.6)
    assert (turned != stored).any()


def test_an_unknown_colouring_is_refused() -> None:
    with pytest.raises(ValueError, match="'sepia'"):
        recoloured(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "sepia")
