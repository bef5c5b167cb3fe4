"""Mosaics against cutting the tiles out again."""

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.mosaic import Grid, mosaic, to_bytes


def tiles(n: int, *shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 255, (n, *shape), dtype=np.uint8)


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)])
@pytest.mark.parametrize(("n", "columns"), [(1, 1), (6, 3), (7, 3), (2, 5)])
def test_every_tile_can_be_cut_out_again(shape: tuple[int, ...], n: int, columns: int) -> None:
    pictures = tiles(n, *shape)
    picture, grid = mosaic(pictures, columns=columns, gap=2)
    for index, tile in enumerate(pictures):
        top, left = grid.corner(index)
        np.testing.assert_array_equal(picture[top : top + 5, left : left + 7], tile)


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)])
def test_what_is_no_tile_is_background(shape: tuple[int, ...]) -> None:
    picture, grid = mosaic(tiles(7, *shape), columns=3, gap=2, background=255)  # tiles stay below 255
    inside = np.zeros(picture.shape[:2], bool)
    for index in range(7):
        top, left = grid.corner(index)
        inside[top : top + 5, left : left + 7] = True
    assert (picture[~inside] == 255).all()
    assert (picture[inside] < 255).all()


def test_the_picture_is_no_larger_than_its_rows_columns_and_gaps() -> None:
    picture, _ = mosaic(tiles(7, 5, 4), columns=3, gap=2)
    assert picture.shape == (3 * (5 + 2) + 2, 3 * (4 + 2) + 2)


def test_tiles_run_row_by_row_from_the_top_left() -> None:
    _, grid = mosaic(tiles(7, 5, 4), columns=3, gap=2)
    assert [grid.corner(i) for i in (0, 1, 3, 6)] == [(2, 2), (2, 8), (9, 2), (16, 2)]
    assert grid.centre(1) == (2 + 2.5, 8 + 2)


def test_tiles_are_enlarged_with_sharp_pixels() -> None:
    picture, grid = mosaic(np.array([[[10, 20], [30, 40]]], np.uint8), columns=1, enlarge=3, gap=0)
    np.testing.assert_array_equal(picture, np.kron([[10, 20], [30, 40]], np.ones((3, 3))))
    assert grid == Grid(columns=1, tile_height=6, tile_width=6, gap=0)


@pytest.mark.parametrize(
    "wrong", [tiles(0, 5, 5), tiles(2, 5), np.zeros((2, 5, 5), np.float32)], ids=["none", "flat", "float"]
)
def test_what_cannot_be_laid_out_is_refused(wrong: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match="uint8"):
        mosaic(wrong, columns=3)


def test_values_are_mapped_linearly_and_clipped() -> None:
    values = np.array([-9.0, -1.0, 0.0, 1.0, 9.0])
    np.testing.assert_array_equal(to_bytes(values, -1, 1), [0, 0, 128, 255, 255])


def test_mapped_values_are_within_half_a_step() -> None:
    values = np.linspace(-3, 5, 1001)
    assert np.abs(to_bytes(values, -3, 5) / 255 * 8 - 3 - values).max() <= 0.5001 * 8 / 255


@pytest.mark.parametrize(("low", "high"), [(2.0, 2.0), (3.0, 1.0)])
def test_a_range_without_extent_gives_middle_grey(low: float, high: float) -> None:
    assert (to_bytes(np.array([1.0, 2.0, 3.0]), low, high) == 127).all()
