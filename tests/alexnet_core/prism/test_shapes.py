"""Shapes against areas known from geometry and distances found by searching."""

import math

import pytest
import torch

from alexnet_core.prism.shapes import DISTANCES, SHAPES

AREAS = {
    "disc": math.pi * 0.8**2,
    "ring": math.pi * (0.87**2 - 0.41**2),
    "cross": 4 * 0.86 * 0.27 * 2 - 4 * 0.27**2,
    "square": 1.3**2 + 4 * 1.3 * 0.06 + math.pi * 0.06**2,  # rounded by 0.06
    "hexagon": 2 * math.sqrt(3) * 0.74**2,
    "triangle": math.sqrt(3) * 0.86**2 + 6 * 0.86 * 0.06 + math.pi * 0.06**2,
}
BOUNDS_ONLY = ("crescent", "cross")  # joined from two distances: never longer than the true one


def plane(points: int, reach: float = 1.2) -> tuple[torch.Tensor, torch.Tensor]:
    centres = (torch.arange(points) + 0.5) / points * 2 * reach - reach
    x, y = torch.meshgrid(centres, centres, indexing="xy")
    return x, y


@pytest.mark.parametrize("name", AREAS)
def test_a_shape_covers_its_area(name: str) -> None:
    inside = (DISTANCES[name](*plane(1200)) < 0).double().mean().item() * 2.4**2
    assert inside == pytest.approx(AREAS[name], rel=0.004)


@pytest.mark.parametrize("name", SHAPES)
def test_the_distance_is_that_to_the_nearest_point_of_the_outline(name: str) -> None:
    """The outline is found as the change of sign on a fine grid."""
    step = 2.4 / 600
    x, y = plane(600)
    sign = DISTANCES[name](x, y) < 0
    edge = torch.zeros_like(sign)
    edge[:, 1:] |= sign[:, 1:] != sign[:, :-1]
    edge[1:] |= sign[1:] != sign[:-1]
    outline = torch.stack([x[edge], y[edge]], 1)
    points = torch.rand(400, 2, generator=torch.Generator().manual_seed(0)) * 2.2 - 1.1
    claimed = DISTANCES[name](points[:, 0], points[:, 1])
    true = torch.cdist(points, outline).amin(1)
    assert (claimed.abs() <= true + 1.5 * step).all()
    if name not in BOUNDS_ONLY:
        torch.testing.assert_close(claimed.abs(), true, atol=2 * step, rtol=0)


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_is_centred_and_of_a_size_with_the_others(name: str) -> None:
    x, y = plane(400)
    inside = DISTANCES[name](x, y) < 0
    area = inside.double().mean().item() * 2.4**2
    assert 0.7 < area < 2.4
    assert max(x[inside].abs().max(), y[inside].abs().max()) < 1.1
    assert math.hypot(x[inside].mean(), y[inside].mean()) < 0.55


def test_no_two_shapes_are_alike() -> None:
    x, y = plane(200)
    masks = [DISTANCES[name](x, y) < 0 for name in SHAPES]
    for i, one in enumerate(masks):
        for other in masks[:i]:
            assert int((one & other).sum()) / int((one | other).sum()) < 0.92  # disc and hexagon
