"""What "grey" and "another hue" mean, defined once: Rec. 601 luma, and hue rotation that leaves luma alone."""

import math

import torch
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)  # Rec. 601 weights of R, G, B


def luma(images: Tensor) -> Tensor:
    """Rec. 601 luma of RGB float images (..., 3, H, W), shape (..., 1, H, W), in the images' units."""
    if not images.is_floating_point():
        raise TypeError(f"Colours are computed on float images, got {images.dtype}; call .float() first.")
    weights = torch.tensor(LUMA, dtype=images.dtype, device=images.device)
    return (images * weights[:, None, None]).sum(-3, keepdim=True)


def to_grey(images: Tensor) -> Tensor:
    """RGB images (..., 3, H, W) with all three channels set to their luma."""
    return luma(images).expand_as(images).clone()


def rotate_hue(images: Tensor, degrees: float, *, white: float = 255.0) -> Tensor:
    """Turn the hue of every pixel, its luma unchanged; RGB float images (..., 3, H, W) from 0 to `white`.

    The colour difference from grey is turned in the chroma plane of YIQ (the plane of equal luma). Where the
    turned colour would leave the gamut, its chroma is reduced until it fits, so luma holds exactly.
    """
    grey = luma(images)
    turned: Tensor = torch.einsum("ij,...jhw->...ihw", _rotation(degrees).to(images), images - grey)
    room_up = (white - grey) / turned.clamp(min=1e-6)
    room_down = grey / (-turned).clamp(min=1e-6)
    share = torch.minimum(room_up, room_down).amin(-3, keepdim=True).clamp(0, 1)
    return grey + share * turned


def recoloured(stored: Tensor, colours: str, degrees: float = 0) -> Tensor:
    """Stored images (N, 3, s, s) uint8 as they are ("original"), in grey, or with hues turned by `degrees` ("rotated").

    Raises ``ValueError`` for another word.
    """
    if colours == "original":
        return stored
    if colours not in ("grey", "rotated"):
        raise ValueError(f"colours must be 'original', 'grey' or 'rotated', got {colours!r}.")
    pixels = to_grey(stored.float()) if colours == "grey" else rotate_hue(stored.float(), degrees)
    return pixels.round().clamp(0, 255).to(torch.uint8)


def _rotation(degrees: float) -> Tensor:
    """3 x 3 matrix that turns chroma by an angle in the (I, Q) plane and keeps luma."""
    to_yiq = torch.tensor(
        [LUMA, (0.595716, -0.274453, -0.321263), (0.211456, -0.522591, 0.311135)], dtype=torch.float64
    )
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn = torch.tensor([(1.0, 0.0, 0.0), (0.0, c, -s), (0.0, s, c)], dtype=torch.float64)
    matrix: Tensor = torch.linalg.inv(to_yiq) @ turn @ to_yiq
    return matrix
