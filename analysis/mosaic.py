"""Many small maps as one picture: one request to the browser in place of hundreds."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Grid(NamedTuple):
    """Where the tiles of a mosaic lie, in pixels of the picture."""

    columns: int
    tile_height: int
    tile_width: int
    gap: int

    def corner(self, index: int) -> tuple[int, int]:
        """Top left corner (row, column) of the tile at `index`."""
        row, column = divmod(index, self.columns)
        return self.gap + row * (self.tile_height + self.gap), self.gap + column * (self.tile_width + self.gap)

    def centre(self, index: int) -> tuple[float, float]:
        """Middle (row, column) of the tile at `index`."""
        top, left = self.corner(index)
        return top + self.tile_height / 2, left + self.tile_width / 2


def mosaic(
    tiles: NDArray[np.uint8], *, columns: int, enlarge: int = 1, gap: int = 1, background: int = 255
) -> tuple[NDArray[np.uint8], Grid]:
    """Lay tiles out row by row: (n, h, w) grey or (n, h, w, 3) RGB in, picture (H, W[, 3]) and its grid out.

    Each tile is enlarged by a whole factor with sharp pixels. Raises ``ValueError`` for an empty set of tiles
    or tiles that are not uint8.
    """
    if tiles.dtype != np.uint8 or tiles.ndim not in (3, 4) or not len(tiles):
        raise ValueError(f"tiles must be uint8 of shape (n, h, w[, 3]) with n > 0, got {tiles.dtype} {tiles.shape}.")
    large = tiles.repeat(enlarge, axis=1).repeat(enlarge, axis=2)
    grid = Grid(columns, large.shape[1], large.shape[2], gap)
    rows = -(-len(tiles) // columns)
    bottom, right = grid.corner(rows * columns - 1)
    picture = np.full(
        (bottom + grid.tile_height + gap, right + grid.tile_width + gap, *large.shape[3:]),
        background,
        np.uint8,
    )
    for index, tile in enumerate(large):
        top, left = grid.corner(index)
        picture[top : top + grid.tile_height, left : left + grid.tile_width] = tile
    return picture, grid


def to_bytes(values: NDArray[np.floating], low: float, high: float) -> NDArray[np.uint8]:
    """Map [low, high] linearly to 0-255, clipped; all 127 where low equals high."""
    if not high > low:
        return np.full(values.shape, 127, np.uint8)
    scaled: NDArray[np.uint8] = np.clip((values - low) * (255 / (high - low)) + 0.5, 0, 255).astype(np.uint8)
    return scaled
