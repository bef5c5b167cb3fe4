"""Ten shapes as signed distance functions: (x, y) to the distance from the outline, negative inside.

Coordinates and distances are in radii: every shape fits about the unit disc. After I. Quilez, "2D distance
functions", written anew for tensors.
"""

import torch
from torch import Tensor


def length(x: Tensor, y: Tensor) -> Tensor:
    return (x * x + y * y).sqrt()


def _box(x: Tensor, y: Tensor, width: float, height: float) -> Tensor:
    dx, dy = x.abs() - width, y.abs() - height
    return length(dx.clamp(min=0), dy.clamp(min=0)) + torch.maximum(dx, dy).clamp(max=0)


def _disc(x: Tensor, y: Tensor) -> Tensor:
    return length(x, y) - 0.8


def _ring(x: Tensor, y: Tensor) -> Tensor:
    return (length(x, y) - 0.64).abs() - 0.23


def _crescent(x: Tensor, y: Tensor) -> Tensor:
    return torch.maximum(length(x + 0.15, y) - 0.88, 0.74 - length(x - 0.3, y))


def _drop(x: Tensor, y: Tensor) -> Tensor:
    """A large disc and a small one, and the cone that touches both."""
    large, small, height = 0.6, 0.05, 1.1
    x, y = x.abs(), y + 0.35
    b = (large - small) / height
    a = (1 - b * b) ** 0.5
    along = a * y - b * x
    cone = a * x + b * y - large
    return torch.where(
        along < 0, length(x, y) - large, torch.where(along > a * height, length(x, y - height) - small, cone)
    )


def _heart(x: Tensor, y: Tensor) -> Tensor:
    x, y = x.abs() / 1.5, y / 1.5 + 0.55
    lobe = length(x - 0.25, y - 0.75) - 2**0.5 / 4
    fold = 0.5 * (x + y).clamp(min=0)
    nearest = torch.minimum(length(x, y - 1), length(x - fold, y - fold))
    return 1.5 * torch.where(x + y > 1, lobe, nearest * (x - y).sign())


def _triangle(x: Tensor, y: Tensor) -> Tensor:
    side, k = 0.86, 3**0.5
    x, y = x.abs() - side, y + side / k
    out = x + k * y > 0
    x, y = torch.where(out, (x - k * y) / 2, x), torch.where(out, (-k * x - y) / 2, y)
    x = x - x.clamp(-2 * side, 0)
    return -length(x, y) * y.sign() - 0.06


def _square(x: Tensor, y: Tensor) -> Tensor:
    return _box(x, y, 0.65, 0.65) - 0.06


def _hexagon(x: Tensor, y: Tensor) -> Tensor:
    kx, ky, kz, size = -(3**0.5) / 2, 0.5, 3**-0.5, 0.74
    x, y = x.abs(), y.abs()
    fold = 2 * (kx * x + ky * y).clamp(max=0)
    x, y = x - fold * kx, y - fold * ky
    x, y = x - x.clamp(-kz * size, kz * size), y - size
    return length(x, y) * y.sign()


def _star(x: Tensor, y: Tensor) -> Tensor:
    size, depth = 0.94, 0.5
    kx, ky = 0.809016994375, -0.587785252292
    x = x.abs()
    fold = 2 * (kx * x + ky * y).clamp(min=0)
    x, y = x - fold * kx, y - fold * ky
    fold = 2 * (ky * y - kx * x).clamp(min=0)
    x, y = (x + fold * kx).abs(), y - fold * ky - size
    edge_x, edge_y = -depth * ky, depth * kx - 1
    along = ((x * edge_x + y * edge_y) / (edge_x * edge_x + edge_y * edge_y)).clamp(0, size)
    return length(x - along * edge_x, y - along * edge_y) * (y * edge_x - x * edge_y).sign() - 0.03


def _cross(x: Tensor, y: Tensor) -> Tensor:
    return torch.minimum(_box(x, y, 0.86, 0.27), _box(x, y, 0.27, 0.86))


DISTANCES = {
    "disc": _disc,
    "ring": _ring,
    "crescent": _crescent,
    "drop": _drop,
    "heart": _heart,
    "triangle": _triangle,
    "square": _square,
    "hexagon": _hexagon,
    "star": _star,
    "cross": _cross,
}
SHAPES = tuple(DISTANCES)
