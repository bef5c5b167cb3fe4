"""Reads one photograph of any common kind into 8-bit RGB, or says in one sentence why it cannot.

What is done to the pixels follows the 2012 code as far as it goes (PIL's ``convert('RGB')``; colour profiles
are not applied); rotation by EXIF is the caller's choice, because ImageNet was used without it.
"""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps
from PIL.BmpImagePlugin import BmpImageFile
from PIL.ExifTags import Base
from PIL.GifImagePlugin import GifImageFile
from PIL.Image import Resampling, Transpose
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

MAX_BYTES = 20_000_000
MAX_PIXELS = 64_000_000  # phones make 12, 48 and 50 megapixels

# Chosen here by content, so Image.open (which probes every plugin, and warns) is not needed.
READERS: dict[str, type[ImageFile]] = {
    "PNG": PngImageFile,
    "JPEG": JpegImageFile,
    "WebP": WebPImageFile,
    "GIF": GifImageFile,
    "BMP": BmpImageFile,
    "TIFF": TiffImageFile,
}
UPRIGHT = {  # EXIF orientation -> what makes the picture upright
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
BMP_HEADER_SIZES = {12, 40, 52, 56, 64, 108, 124}


class ImageError(ValueError):
    """The bytes cannot be used as a picture; the message is one plain sentence for the user."""


class DecodedImage(NamedTuple):
    """A picture ready for use, and what had to be done to it."""

    image: Image.Image  # mode RGB
    format: str  # a key of READERS, found from the content
    frames: int  # pictures in the file; only the first is read
    note: str  # sentences for the user, often empty


class _Opened(NamedTuple):
    image: ImageFile
    frames: int
    orientation: int  # EXIF, 1 is upright


def decode_image(
    data: bytes,
    *,
    exif: bool = True,
    min_side: int | None = None,
    max_bytes: int = MAX_BYTES,
    max_pixels: int = MAX_PIXELS,
) -> DecodedImage:
    """The first picture in ``data`` as 8-bit RGB, whatever the file was called.

    Transparent parts are laid on white, as on a page. 16-bit values are scaled to 8 bits (65535 becomes 255).
    With ``exif`` a photograph is turned upright (TIFF always is: its orientation is part of the format).
    ``min_side`` promises that the caller reduces the short side to that many pixels or fewer: a large JPEG is
    then decoded at 1/2, 1/4 or 1/8 scale, never below ``min_side``. Callable from any thread.

    Raises ImageError if there are more than ``max_bytes`` bytes or ``max_pixels`` pixels (judged before
    decoding), or if the bytes are no picture, damaged, cut short or of an unknown kind.
    """
    _check_bytes(len(data), max_bytes)
    kind = _kind(data)
    opened = _open(kind, data)
    _check_pixels(opened.image.size, max_pixels)
    if min_side is not None and isinstance(opened.image, JpegImageFile):
        opened.image.draft(opened.image.mode, (min_side, min_side))
    with _reported_as_damage(kind):
        opened.image.load()
    image, notes = _to_rgb(opened.image, kind)
    if opened.frames > 1:
        notes.insert(0, f"Only the first of {opened.frames} pictures in the file is used.")
    if exif and opened.orientation in UPRIGHT:
        image = image.transpose(UPRIGHT[opened.orientation])
        notes.append("Turned upright as the camera recorded it.")
    return DecodedImage(image, kind, opened.frames, " ".join(notes))


def read_image(
    path: Path, *, exif: bool = True, min_side: int | None = None, max_bytes: int = MAX_BYTES
) -> DecodedImage:
    """``decode_image`` of a file; ImageError also where the file is missing or cannot be read."""
    try:
        _check_bytes(path.stat().st_size, max_bytes)  # before reading: it may be a film of many gigabytes
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f"The file cannot be read: {error.strerror or error}.") from error
    return decode_image(data, exif=exif, min_side=min_side, max_bytes=max_bytes)


def short_side_resize(image: Image.Image, size: int) -> Image.Image:
    """The central square of ``image``, scaled so that the short side is ``size`` (paper, section 2).

    Both axes are scaled alike, up or down (no warp). The filter is Pillow's bicubic (a = -0.5), which widens
    with the reduction and so is antialiased; the authors' own resizing script is not public. An image that is
    ``size`` x ``size`` already keeps every pixel.
    """
    if size < 1:
        raise ValueError(f"size must be at least 1 pixel, got {size}.")
    return ImageOps.fit(image, (size, size), Resampling.BICUBIC)


def _check_bytes(count: int, limit: int) -> None:
    if count == 0:
        raise ImageError("The file is empty (0 bytes).")
    if count > limit:
        raise ImageError(f"The file has {count / 1e6:.1f} MB; at most {limit / 1e6:g} MB can be read.")


def _check_pixels(size: tuple[int, int], limit: int) -> None:
    width, height = size
    if width * height > limit:
        raise ImageError(
            f"The image has {width} x {height} pixels ({width * height / 1e6:.0f} megapixels); "
            f"at most {limit / 1e6:g} megapixels can be read."
        )


def _kind(data: bytes) -> str:
    """The key of READERS that the first bytes call for."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WebP"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data.startswith(b"BM") and int.from_bytes(data[14:18], "little") in BMP_HEADER_SIZES:
        return "BMP"
    if data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    raise ImageError(_why_no_image(data))


def _why_no_image(data: bytes) -> str:
    if b"<svg" in data[:2000].lower():
        return "SVG drawings cannot be read; save the picture as PNG or JPEG."
    if data[4:8] == b"ftyp" and data[8:11] in (b"hei", b"hev", b"mif", b"avi"):
        return "HEIC and AVIF photos cannot be read; save the picture as PNG or JPEG."
    return f"The file is not a picture in any of the formats {', '.join(READERS)}."


def _open(kind: str, data: bytes) -> _Opened:
    """Parses the headers only: no pixel is decoded yet."""
    with _quiet_pillow(), _reported_as_damage(kind):
        image = READERS[kind](BytesIO(data))
        frames = 1 if kind in ("JPEG", "BMP") else int(getattr(image, "n_frames", 1))
        return _Opened(image, frames, 1 if kind == "TIFF" else _orientation(image))


def _orientation(image: ImageFile) -> int:
    try:
        return int(image.getexif().get(Base.Orientation, 1))
    except Exception:  # broken metadata of any sort says nothing about the pixels
        return 1


_warnings_lock = threading.Lock()


@contextmanager
def _quiet_pillow() -> Iterator[None]:
    """Keeps Pillow's remarks on odd metadata from the caller, also where warnings are errors.

    Warning filters belong to the whole process, hence the lock; it is held while headers are read, not
    pixels.
    """
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _reported_as_damage(kind: str) -> Iterator[None]:
    """Pillow's readers raise a dozen exception types on broken input; callers get one."""
    try:
        yield
    except Image.DecompressionBombError as error:
        raise ImageError(f"The {kind} file declares more pixels than can be read.") from error
    except Exception as error:
        raise ImageError(f"The {kind} file is damaged or cut short.") from error


def _to_rgb(image: Image.Image, kind: str) -> tuple[Image.Image, list[str]]:
    """8-bit RGB of a loaded picture of any mode, and notes on what was done."""
    if image.mode in ("I", "F"):
        raise ImageError("The image has 32 bits per channel; save it with 8 or 16 bits.")
    with _reported_as_damage(kind):
        if image.mode.startswith("I;16"):
            return _from_16_bit(image), ["Reduced from 16 to 8 bits."]
        if image.has_transparency_data:
            return _on_white(image.convert("RGBA"))
        return image.convert("RGB"), ["Converted from CMYK."] if image.mode == "CMYK" else []


def _from_16_bit(image: Image.Image) -> Image.Image:
    """Nearest 8-bit grey; Pillow's own conversion clips everything above 255 to white."""
    values = np.asarray(image).astype(np.uint32)
    return Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert("RGB")


def _on_white(image: Image.Image) -> tuple[Image.Image, list[str]]:
    page = Image.new("RGB", image.size, "white")
    page.paste(image, mask=image.getchannel("A"))
    opaque = image.getchannel("A").getextrema() == (255, 255)
    return page, [] if opaque else ["Transparent parts are shown on white."]
