"""Packed thumbnails come out as they went in, and look like their images."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from analysis.workspace.thumbnails import SIDE, Thumbnails, thumbnail, write_thumbnails


def test_packed_bytes_come_back_one_by_one(tmp_path: Path) -> None:
    blocks = [[b"a", b"", b"ccc"], [bytes(range(256)) * 9], [b"end"]]
    write_thumbnails(tmp_path / "t.arrow", blocks)
    packed = Thumbnails(tmp_path / "t.arrow")
    assert [packed[i] for i in range(len(packed))] == [jpeg for block in blocks for jpeg in block]
    with pytest.raises(IndexError):
        packed[5]


@pytest.mark.parametrize(("side", "expected"), [(64, 64), (96, 96), (128, SIDE), (256, SIDE)])
def test_a_thumbnail_is_small_and_never_larger_than_its_image(side: int, expected: int) -> None:
    ramp = np.broadcast_to(np.linspace(0, 255, side)[:, None], (side, side))
    pixels = np.stack([ramp, ramp[::-1], ramp.T]).astype(np.uint8)
    image = Image.open(BytesIO(thumbnail(pixels)))
    assert (image.format, image.size) == ("JPEG", (expected, expected))
    wanted = Image.fromarray(pixels.transpose(1, 2, 0)).resize((expected, expected), Image.Resampling.BICUBIC)
    difference = np.asarray(image, np.float64) - np.asarray(wanted, np.float64)
    assert np.abs(difference).mean() < 3


@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.99])
def test_a_file_that_was_cut_short_is_refused(tmp_path: Path, kept: float) -> None:
    file = tmp_path / "t.arrow"
    write_thumbnails(file, [[b"x" * 5000] * 20])
    data = file.read_bytes()
    file.write_bytes(data[: int(kept if kept > 1 else kept * len(data))])
    with pytest.raises(ValueError, match="cut short"):
        Thumbnails(file)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="missing"):
        Thumbnails(tmp_path / "t.arrow")
