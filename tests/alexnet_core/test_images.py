"""Tests of alexnet_core.images: every kind of file people have, and every kind of broken one."""

import io
import struct
import sys
import warnings
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from alexnet_core.images import READERS, ImageError, decode_image, read_image, short_side_resize

ORIENTATION = 0x0112


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def smooth_photo(width: int = 48, height: int = 32, seed: int = 0) -> Image.Image:
    """Coarse noise enlarged: like a photograph, neighbouring pixels are alike."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def with_orientation(image: Image.Image, orientation: int, kind: str = "PNG") -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encoded(image, kind, exif=exif)


def png_bytes(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    """A PNG put together by hand from the specification, because Pillow cannot write 16-bit colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def pixels(data: bytes, **options: Any) -> np.ndarray:
    return np.asarray(decode_image(data, **options).image).astype(int)


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("WebP", {"lossless": True})])
def test_lossless_kinds_give_back_every_pixel_and_are_told_apart_by_content(kind: str, options: dict[str, Any]) -> None:
    photo = smooth_photo()
    decoded = decode_image(encoded(photo, kind, **options))
    assert (decoded.format, decoded.frames, decoded.note) == (kind, 1, "")
    assert decoded.image.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(decoded.image), np.asarray(photo))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_a_jpeg_is_close_to_its_original(options: dict[str, Any]) -> None:
    photo = smooth_photo(200, 120)
    difference = pixels(encoded(photo, "JPEG", quality=95, **options)) - np.asarray(photo)
    assert np.abs(difference).mean() < 2


def test_a_grey_jpeg_has_three_equal_channels() -> None:
    grey = smooth_photo().convert("L")
    rgb = pixels(encoded(grey, "JPEG", quality=95))
    assert (rgb == rgb[..., :1]).all()
    assert np.abs(rgb[..., 0] - np.asarray(grey).astype(int)).mean() < 2


def test_a_cmyk_jpeg_keeps_its_colours_and_says_so() -> None:
    inks = Image.new("CMYK", (32, 32), (0, 255, 255, 0))  # magenta and yellow on paper are red
    decoded = decode_image(encoded(inks, "JPEG", quality=95))
    assert np.abs(np.asarray(decoded.image).astype(int) - (255, 0, 0)).max() < 8
    assert decoded.note == "Converted from CMYK."


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_and_not_clipped(kind: str) -> None:
    ramp = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    decoded = decode_image(encoded(Image.fromarray(ramp), kind))
    expected = np.rint(ramp / 65535 * 255)
    np.testing.assert_array_equal(np.asarray(decoded.image), np.repeat(expected[..., None], 3, axis=2))
    assert "16" in decoded.note


def test_16_bit_colour_is_scaled_to_within_one_level() -> None:
    values = np.random.default_rng(0).integers(0, 65536, (20, 30, 3))
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    assert np.abs(pixels(png_bytes(30, 20, 16, 2, rows)) - values / 65535 * 255).max() <= 1


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_grey_of_few_bits_reaches_from_black_to_white(depth: int) -> None:
    levels = 2**depth
    rows = b"\0" + int("".join(f"{v:0{depth}b}" for v in range(levels)).ljust(levels * 8, "0"), 2).to_bytes(levels)
    expected = np.rint(np.arange(levels) * 255 / (levels - 1))
    np.testing.assert_array_equal(pixels(png_bytes(levels, 1, depth, 0, rows))[0, :, 0], expected)


def test_transparency_is_laid_on_white() -> None:
    image = Image.new("RGBA", (3, 1))
    for x, alpha in enumerate((0, 128, 255)):
        image.putpixel((x, 0), (10, 20, 30, alpha))
    decoded = decode_image(encoded(image, "PNG"))
    by_hand = [[round(255 + (c - 255) * alpha / 255) for c in (10, 20, 30)] for alpha in (0, 128, 255)]
    assert np.abs(np.asarray(decoded.image)[0].astype(int) - by_hand).max() <= 1
    assert "white" in decoded.note
    assert decode_image(encoded(smooth_photo().convert("RGBA"), "PNG")).note == ""


def test_a_palette_with_a_transparent_entry_is_laid_on_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([200, 0, 0, 0, 0, 200])
    image.putpixel((1, 0), 1)
    for kind in ("PNG", "GIF"):
        assert pixels(encoded(image, kind, transparency=0)).tolist() == [[[255, 255, 255], [0, 0, 200]]]


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WebP"])
def test_of_an_animation_the_first_frame_is_used_and_that_is_said(kind: str) -> None:
    red, green, blue = (Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue"))
    data = encoded(red, kind, save_all=True, append_images=[green, blue], lossless=True)
    decoded = decode_image(data)
    assert decoded.image.getpixel((4, 4)) == (255, 0, 0)
    assert (decoded.format, decoded.frames) == (kind, 3)
    assert "first of 3" in decoded.note


@pytest.mark.parametrize("kind", ["PNG", "WebP", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_undone_as_pillow_does_it(orientation: int, kind: str) -> None:
    data = with_orientation(smooth_photo(24, 16), orientation, kind)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    np.testing.assert_array_equal(pixels(data), np.asarray(expected))


def test_an_upright_phone_photo_stored_lying_stands_and_without_exif_stays_lying() -> None:
    stored = Image.new("RGB", (40, 20), "black")
    stored.paste("red", (0, 0, 20, 20))  # left half as stored; orientation 6 makes it the top half
    data = with_orientation(stored, 6)
    upright, raw = decode_image(data), decode_image(data, exif=False)
    assert upright.image.size == (20, 40)
    assert upright.image.getpixel((10, 5)) == (255, 0, 0)
    assert "upright" in upright.note
    assert (raw.image.size, raw.note) == ((40, 20), "")


def test_a_turned_tiff_is_turned_once() -> None:
    photo = smooth_photo(24, 16)
    data = with_orientation(photo, 6, "TIFF")
    expected = np.asarray(photo.transpose(Image.Transpose.ROTATE_270))
    for exif in (True, False):
        np.testing.assert_array_equal(pixels(data, exif=exif), expected)


def with_broken_metadata(photo: bytes) -> bytes:
    """A JPEG with an EXIF block of nonsense, on which Pillow warns."""
    garbage = b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(range(60))
    return photo[:2] + b"\xff\xe1" + struct.pack(">H", len(garbage) + 2) + garbage + photo[2:]


def test_broken_metadata_neither_warns_nor_matters() -> None:
    photo = encoded(smooth_photo(), "JPEG")
    with pytest.warns(UserWarning, match=r"EXIF|Tag|tag"):
        Image.open(io.BytesIO(with_broken_metadata(photo)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(pixels(with_broken_metadata(photo)), pixels(photo))


def huge_headers() -> dict[str, bytes]:
    """Files that declare 30,000 x 30,000 pixels and hold next to none."""
    gif = bytearray(encoded(Image.new("P", (1, 1)), "GIF"))
    bmp = bytearray(encoded(Image.new("RGB", (1, 1)), "BMP"))
    jpeg = bytearray(encoded(Image.new("RGB", (8, 8)), "JPEG"))
    gif[6:10] = struct.pack("<HH", 30000, 30000)
    bmp[18:26] = struct.pack("<ii", 30000, 30000)
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", 30000, 30000)
    tags = [(256, 4, 30000), (257, 4, 30000), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (279, 4, 1)]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    tiff = b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4)
    png = png_bytes(30000, 30000, 8, 2, b"")
    return {"PNG": png, "GIF": bytes(gif), "BMP": bytes(bmp), "JPEG": bytes(jpeg), "TIFF": tiff}


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "JPEG", "TIFF"])
def test_900_megapixels_are_refused_by_their_header(kind: str) -> None:
    with pytest.raises(ImageError, match=r"30000 x 30000 pixels \(900 megapixels\)"):
        decode_image(huge_headers()[kind])


def test_a_size_where_pillow_only_warns_is_refused_without_a_warning() -> None:
    data = png_bytes(10_000, 10_000, 8, 0, b"")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageError, match="100 megapixels"):
            decode_image(data)


@pytest.mark.parametrize("size", [(4032, 3024), (8064, 6048)])
def test_phone_photos_of_12_and_48_megapixels_pass(size: tuple[int, int]) -> None:
    data = encoded(Image.new("L", size, 77), "JPEG", quality=50)
    decoded = decode_image(data, min_side=256)
    assert 256 <= min(decoded.image.size) < 512 + 256
    assert abs(decoded.image.getpixel((9, 9))[0] - 77) <= 1  # type: ignore[index]


REFUSED = {
    "empty": (b"", "empty"),
    "text": (b"Dear Sir or Madam, " * 20, "not a picture"),
    "svg": (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"></svg>', "SVG"),
    "heic": (b"\0\0\0\x18ftypheic" + bytes(100), "HEIC"),
    "pdf": (b"%PDF-1.7" + bytes(100), "not a picture"),
    "bmp-like text": (b"BMW cars are made in Munich and elsewhere", "not a picture"),
    "magic only": (b"\xff\xd8\xff", "JPEG file is damaged"),
    "too many bytes": (bytes(20_000_001), r"20\.0 MB"),
    "32 bits": (encoded(Image.new("F", (4, 4)), "TIFF"), "32 bits"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_is_refused_in_one_plain_sentence(case: str) -> None:
    data, words = REFUSED[case]
    with pytest.raises(ImageError, match=words) as caught:
        decode_image(data)
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert sentence.count(". ") == 0


def samples_of_every_kind() -> dict[str, bytes]:
    photo = smooth_photo(64, 48)
    return {kind: encoded(photo, kind) for kind in READERS} | {"TIFF lzw": encoded(photo, "TIFF", compression="lzw")}


@pytest.mark.parametrize("kind", [*READERS, "TIFF lzw"])
def test_a_file_cut_in_half_is_called_damaged(kind: str) -> None:
    data = samples_of_every_kind()[kind]
    with pytest.raises(ImageError, match=f"{kind.split()[0]} file is damaged or cut short"):
        decode_image(data[: len(data) // 2])


@pytest.mark.parametrize("kind", [*READERS, "TIFF lzw"])
def test_no_cut_and_no_flipped_bytes_raise_anything_but_image_error(kind: str) -> None:
    data, rng = samples_of_every_kind()[kind], np.random.default_rng(0)
    cuts = [data[:n] for n in (*range(64), *rng.integers(64, len(data), 40))]
    flips = []
    for _ in range(150):
        broken = bytearray(data)
        for place in rng.integers(0, min(len(data), 400), 3):
            broken[place] = rng.integers(256)
        flips.append(bytes(broken))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refused = 0
        for one in cuts + flips:
            try:
                decode_image(one, max_pixels=10**6)
            except ImageError:
                refused += 1
    assert refused >= 64


def test_a_large_jpeg_is_decoded_smaller_but_never_below_the_side_asked_for() -> None:
    photo = smooth_photo(1000, 700)
    data = encoded(photo, "JPEG", quality=95)
    shorts = {side: min(decode_image(data, min_side=side).image.size) for side in (64, 87, 88, 175, 176, 350, 351, 900)}
    assert shorts == {64: 88, 87: 88, 88: 175, 175: 175, 176: 350, 350: 350, 351: 700, 900: 700}


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_decoding_at_reduced_scale_changes_the_final_image_by_a_fraction_of_a_level(mode: str) -> None:
    data = encoded(smooth_photo(1000, 700).convert(mode), "JPEG", quality=95)
    whole, reduced = (
        np.asarray(short_side_resize(decode_image(data, min_side=side).image, 64)).astype(int) for side in (None, 128)
    )
    assert np.abs(whole - reduced).mean() < 0.5
    assert np.abs(whole - reduced).max() <= 3


@pytest.fixture
def hurried_threads() -> Iterator[None]:
    """Threads take turns so often that a race shows."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("hurried_threads")
def test_threads_agree_and_leave_the_warning_filters_alone() -> None:
    broken = with_broken_metadata(encoded(smooth_photo(), "JPEG"))
    files = [*samples_of_every_kind().values(), with_orientation(smooth_photo(), 6)] * 8 + [broken] * 300
    before = list(warnings.filters)
    alone = [pixels(data) for data in files]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(pixels, files))
    assert warnings.filters == before
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_reading_a_file_goes_by_content_and_reports_a_missing_or_oversized_one(tmp_path: Path) -> None:
    misnamed = tmp_path / "really_a_png.jpg"
    misnamed.write_bytes(encoded(smooth_photo(), "PNG"))
    assert read_image(misnamed).format == "PNG"
    with pytest.raises(ImageError, match="cannot be read: No such file"):
        read_image(tmp_path / "missing.jpg")
    with pytest.raises(ImageError, match=r"at most 0\.0001 MB"):
        read_image(misnamed, max_bytes=100)


def test_a_circle_stays_round_when_a_wide_card_is_reduced() -> None:
    """Trap 20: short-side scaling, not a warp to a square."""
    card = Image.new("L", (512, 256), 0)
    ImageDraw.Draw(card).ellipse((256 - 100, 128 - 100, 256 + 100, 128 + 100), fill=255)
    small = np.asarray(short_side_resize(card, 64)).astype(float) / 255
    across, down = small.sum(axis=0), small.sum(axis=1)
    assert np.count_nonzero(across > 0.5) == np.count_nonzero(down > 0.5) == pytest.approx(50, abs=1)
    assert small.sum() == pytest.approx(np.pi * 25**2, rel=0.02)


@pytest.mark.parametrize(("width", "height"), [(200, 100), (100, 200)])
def test_it_is_the_central_square_of_the_scaled_image(width: int, height: int) -> None:
    photo = smooth_photo(width, height)
    scaled = photo.resize((width // 2, height // 2), Image.Resampling.BICUBIC)
    left, top = (scaled.width - 50) // 2, (scaled.height - 50) // 2
    cropped = scaled.crop((left, top, left + 50, top + 50))
    difference = np.asarray(short_side_resize(photo, 50)).astype(int) - np.asarray(cropped)
    assert np.abs(difference).max() <= 2  # Pillow rounds to 8 bits between its two passes


def test_reduction_is_antialiased_enlargement_works_and_the_right_size_is_untouched() -> None:
    board = Image.fromarray((np.indices((256, 256)).sum(axis=0) % 2 * 255).astype(np.uint8))
    grey = np.asarray(short_side_resize(board, 32)).astype(int)
    assert np.abs(grey - 127.5).max() < 2  # without a filter it would be black and white
    photo = smooth_photo(64, 64)
    np.testing.assert_array_equal(np.asarray(short_side_resize(photo, 64)), np.asarray(photo))
    assert short_side_resize(photo, 100).size == (100, 100)
    with pytest.raises(ValueError, match="at least 1 pixel, got 0"):
        short_side_resize(photo, 0)
