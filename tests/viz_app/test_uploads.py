"""What becomes of a visitor's file, against Pillow and arithmetic; what cannot be used gets one sentence."""

import struct
import zlib
from hashlib import sha256
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from alexnet_core.images import ImageError, short_side_resize
from alexnet_core.preprocess import Preprocess
from viz_app.uploads import SHOWN_LENGTH, SHOWN_SIDE, cropped, fitted, frame_of, input_png, photo, read_picture


def scene(width: int = 480, height: int = 360) -> Image.Image:
    """Smooth colours with a red quarter in the upper left."""
    rows, columns = np.mgrid[:height, :width]
    pixels = np.stack([columns * 255 / width, rows * 255 / height, np.full_like(rows, 90)], -1)
    pixels[: height // 2, : width // 2] = (255, 0, 0)
    return Image.fromarray(pixels.astype(np.uint8))


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def shown(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(data)).convert("RGB")).astype(float)


@pytest.fixture
def preprocess() -> Preprocess:
    return Preprocess(64, 144, 127, torch.full((3, 144, 144), 100.0), torch.eye(3), torch.ones(3))


def test_a_photo_is_known_by_its_content() -> None:
    assert photo("a.jpg", b"x").sha256 == photo("b.jpg", b"x").sha256 == sha256(b"x").hexdigest()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_every_format_is_read_for_the_page_and_for_the_network(kind: str) -> None:
    picture = read_picture(encoded(scene(), kind), 64)
    assert (picture.width, picture.height) == (480, 360)
    assert picture.stored.shape == (1, 3, 64, 64)
    red = picture.stored[0, :, 4:24, 4:24].float().mean((1, 2))
    assert red[0] > 235
    assert red[1:].max() < 30


def test_the_network_gets_the_same_pixels_as_from_a_folder() -> None:
    image = scene(301, 500)
    expected = np.asarray(short_side_resize(image, 64)).transpose(2, 0, 1)
    np.testing.assert_array_equal(read_picture(encoded(image), 64).stored[0].numpy(), expected)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((4000, 3000), (480, 360)), ((300, 200), (540, 360)), ((64, 64), (360, 360)), ((9000, 90), (2000, 20))],
)
def test_what_is_shown_keeps_its_shape_and_has_the_pixels_that_the_page_needs(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    picture = read_picture(encoded(Image.new("RGB", size, "teal"), "JPEG"), 64)
    assert (picture.width, picture.height) == expected
    assert Image.open(BytesIO(picture.shown)).size == expected
    assert max(expected) <= SHOWN_LENGTH
    assert min(expected) <= SHOWN_SIDE


def test_the_grey_twin_has_the_same_size_and_no_colour() -> None:
    picture = read_picture(encoded(scene()), 64)
    assert Image.open(BytesIO(picture.shown_grey)).mode == "L"
    assert Image.open(BytesIO(picture.shown_grey)).size == (picture.width, picture.height)


def test_a_photo_is_turned_upright_on_the_page_and_for_the_network() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: to be shown a quarter clockwise
    lying = scene().transpose(Image.Transpose.ROTATE_90)
    picture = read_picture(encoded(lying, "JPEG", exif=exif, quality=95), 64)
    assert (picture.width, picture.height) == (480, 360)
    assert np.abs(shown(picture.shown)[40:120, 40:180] - [255, 0, 0]).mean() < 12
    assert picture.note == "Turned upright as the camera recorded it."


def test_of_an_animation_the_first_picture_is_used_and_the_page_says_so() -> None:
    frames = [Image.new("RGB", (80, 80), colour) for colour in ("red", "lime", "blue")]
    picture = read_picture(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]), 64)
    assert picture.note == "Only the first of 3 pictures in the file is used."
    assert picture.stored[0, 0].float().mean() > 240


def noise_jpeg() -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    return encoded(Image.fromarray(pixels), "JPEG")


def giant_png() -> bytes:
    """A PNG that declares 30,000 x 30,000 pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + encoded(Image.new("1", (8, 8)))[33:]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no picture at all",
        b'<svg xmlns="http://www.w3.org/2000/svg"></svg>',
        noise_jpeg()[:2000],
        giant_png(),
        noise_jpeg() + bytes(50_000_000),
    ],
    ids=["empty", "text", "svg", "cut", "900 megapixels", "50 MB"],
)
def test_a_file_that_cannot_be_used_gets_one_plain_sentence(data: bytes) -> None:
    with pytest.raises(ImageError) as caught:
        read_picture(data, 64)
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert "Error" not in sentence


def test_the_network_s_view_is_the_crop_before_the_mean_is_taken_off(preprocess: Preprocess) -> None:
    picture = read_picture(encoded(scene()), 64)
    seen = shown(input_png(picture.stored, preprocess, enlarge=2))
    expected = (preprocess.centre(picture.stored)[0] + 100).clamp(0, 255).permute(1, 2, 0).numpy()
    assert seen.shape == (254, 254, 3)
    np.testing.assert_allclose(seen[::2, ::2], expected, atol=0.51)
    np.testing.assert_array_equal(seen[::2, ::2], seen[1::2, 1::2])


def test_the_frame_on_a_wide_photo_is_centred(preprocess: Preprocess) -> None:
    outline = frame_of(read_picture(encoded(scene()), 64), preprocess).outline
    assert outline.left == pytest.approx(60 + 8 * 360 / 144)
    assert outline.bottom == pytest.approx((8 + 127) * 360 / 144)


def test_a_part_of_a_photo_has_its_pixels_and_says_which_part_it_is() -> None:
    whole = photo("x.png", encoded(scene()), credit="by me", truth="cup")
    part = cropped(whole, (10, 20, 100, 80))
    assert (part.name, part.credit, part.truth) == ("x.png (crop 10,20 100x80)", "by me", "cup")
    np.testing.assert_array_equal(shown(part.data), np.asarray(scene())[20:100, 10:110])
    assert part.sha256 == sha256(part.data).hexdigest() != whole.sha256


def test_a_part_of_a_photo_that_was_turned_is_that_of_the_upright_one() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    whole = photo("x.png", encoded(scene(), exif=exif))
    part = cropped(whole, (0, 0, 90, 400))
    upright = np.asarray(scene().transpose(Image.Transpose.ROTATE_270))
    np.testing.assert_array_equal(shown(part.data), upright[:400, :90])


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((10, 20, 30, 40), (10, 20, 30, 40)),
        ((9.6, 20.4, 30.2, 39.9), (10, 20, 30, 40)),
        ((-5, -9, 30, 40), (0, 0, 25, 31)),
        ((90, 40, 500, 500), (90, 40, 10, 20)),
        ((99, 59, 1, 1), (92, 52, 8, 8)),
        ((50, 30, 0, 0), (50, 30, 8, 8)),
        ((-900, -900, 1, 1), (0, 0, 8, 8)),
        ((0, 0, 100, 60), (0, 0, 100, 60)),
    ],
)
def test_a_box_is_fitted_into_the_photo(
    box: tuple[float, float, float, float], expected: tuple[int, int, int, int]
) -> None:
    assert fitted(box, 100, 60) == expected


def test_a_photo_of_a_few_pixels_is_its_only_part() -> None:
    assert fitted((2, 3, 1, 1), 4, 5) == (0, 0, 4, 5)
