"""From the bytes that a visitor hands over to what the page shows and the network reads. No Streamlit here."""

import hashlib
from io import BytesIO
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor

from alexnet_core.images import decode_image, short_side_resize
from alexnet_core.preprocess import Preprocess
from analysis.activations import Frame, input_frame

SHOWN_SIDE = 360  # pixels of the short side on the page; large JPEGs are decoded no finer than they need be
SMALLEST = 8  # pixels of a side of a part of a photo
SHOWN_LENGTH = 2000  # pixels of the long side: a strip of a million pixels is no JPEG


class Photo(NamedTuple):
    """A file as it came: what a session keeps, and the only thing it keeps."""

    name: str
    data: bytes
    sha256: str
    credit: str = ""
    truth: str = ""  # what it shows, where somebody has said so


class Picture(NamedTuple):
    """A photo made ready: to be shown, and reduced for the network."""

    shown: bytes  # JPEG, upright
    shown_grey: bytes  # the same without colour, to lay a map over
    width: int  # pixels of the picture that is shown
    height: int
    stored: Tensor  # (1, 3, source_size, source_size) uint8, the centre square
    note: str  # what had to be done to the file, often empty


def photo(name: str, data: bytes, credit: str = "", truth: str = "") -> Photo:
    """A photo known by its content."""
    return Photo(name, data, hashlib.sha256(data).hexdigest(), credit, truth)


def read_picture(data: bytes, source_size: int) -> Picture:
    """Decode a file for a network that stores its images at `source_size` pixels.

    Raises ``ImageError`` with one plain sentence if the bytes cannot be used.
    """
    decoded = decode_image(data, min_side=max(SHOWN_SIDE, source_size))
    shown = _for_the_page(decoded.image)
    return Picture(
        shown=jpeg(shown),
        shown_grey=jpeg(shown.convert("L")),
        width=shown.width,
        height=shown.height,
        stored=_stored(short_side_resize(decoded.image, source_size)),
        note=decoded.note,
    )


def cropped(whole: Photo, box: tuple[int, int, int, int]) -> Photo:
    """A part of an upright photo, (left, top, width, height) in its pixels, every pixel kept.

    A box that reaches beyond the photo ends at its edges; the name says which part it became.
    """
    image = decode_image(whole.data).image
    left, top, width, height = fitted(box, *image.size)
    name = f"{whole.name} (crop {left},{top} {width}x{height})"
    part = image.crop((left, top, left + width, top + height))
    return photo(name, _png(part), whole.credit, whole.truth)


def fitted(box: tuple[float, float, float, float], width: int, height: int) -> tuple[int, int, int, int]:
    """The whole pixels of a photo closest to a box (left, top, width, height): at least `SMALLEST` on a side."""
    left, wide = _fitted(box[0], box[2], width)
    top, high = _fitted(box[1], box[3], height)
    return left, top, wide, high


def _fitted(start: float, length: float, size: int) -> tuple[int, int]:
    least = min(SMALLEST, size)
    first = min(max(round(start), 0), size - least)
    last = min(max(round(start + length), first + least), size)
    return first, last - first


def frame_of(picture: Picture, preprocess: Preprocess) -> Frame:
    """Where on the shown picture the network's input lies."""
    return input_frame(preprocess, picture.width, picture.height)


def input_png(stored: Tensor, preprocess: Preprocess, *, enlarge: int = 3) -> bytes:
    """The central crop that the network reads, its mean image not yet taken off, each pixel a visible square."""
    offset = torch.tensor([preprocess.border // 2])
    crop = preprocess.crops(stored, offset, offset, torch.tensor([False]))[0]
    pixels = crop.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
    return _png(Image.fromarray(pixels.repeat(enlarge, 0).repeat(enlarge, 1)))


def _for_the_page(image: Image.Image) -> Image.Image:
    scale = min(SHOWN_SIDE / min(image.size), SHOWN_LENGTH / max(image.size))
    if scale == 1:
        return image
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    if scale > 1:  # a frame that is drawn on it shall be thin
        return image.resize(size, Image.Resampling.BICUBIC)
    return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)


def _stored(image: Image.Image) -> Tensor:
    size = image.width
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return pixels.view(1, size, size, 3).permute(0, 3, 1, 2).contiguous()


def jpeg(image: Image.Image) -> bytes:
    """A picture as a small file."""
    file = BytesIO()
    image.save(file, "JPEG", quality=88)
    return file.getvalue()


def _png(image: Image.Image) -> bytes:
    file = BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()
