"""Activations, their share by tower, and where on the photograph they come from, against brute force."""

import numpy as np
import pytest
import torch
from PIL import Image

from alexnet_core.geometry import receptive_field, sizes
from alexnet_core.images import short_side_resize
from alexnet_core.model import AlexNet, build_model
from alexnet_core.preprocess import Preprocess
from analysis.activations import (
    Activations,
    Balance,
    Position,
    input_frame,
    read_activations,
    receptive_box,
    strongest_positions,
    tower_balance,
    tower_change,
    unit_table,
)


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    return torch.randn(3, 127, 127, generator=torch.Generator().manual_seed(2)) * 60


@pytest.fixture(scope="module")
def activations(tiny_model: AlexNet, image: torch.Tensor) -> Activations:
    return read_activations(tiny_model, image)


def plain_preprocess() -> Preprocess:
    """The starter's sizes with a mean of zero, so that pixels stay what they are."""
    return Preprocess(64, 144, 127, torch.zeros(3, 144, 144), torch.eye(3), torch.ones(3))


def test_every_stage_is_what_the_modules_give_one_after_the_other(
    tiny_model: AlexNet, image: torch.Tensor, activations: Activations
) -> None:
    x = image[None]
    assert list(activations.maps) == list(tiny_model.stages)
    for name, module in tiny_model.stages.items():
        x = module(x)
        np.testing.assert_array_equal(activations.maps[name].reshape(-1), x.numpy().reshape(-1))
    np.testing.assert_allclose(activations.probabilities, x[0].softmax(0).numpy(), rtol=1e-6)


def test_activations_cannot_be_changed_by_those_who_share_them(activations: Activations) -> None:
    with pytest.raises(ValueError, match="read-only"):
        activations.maps["conv1"][0, 0, 0] = 1.0


@pytest.mark.parametrize("towers", [1, 2, 4])
def test_balance_is_the_share_of_squared_responses_of_the_units_of_each_tower(image: torch.Tensor, towers: int) -> None:
    model = build_model("chm145", 10, input_size=127, towers=towers, generator=torch.Generator().manual_seed(0)).eval()
    activations = read_activations(model, image)
    balance = tower_balance(activations, towers)
    assert balance.stages == [name for name in model.stages if name != "fc8"]
    for stage, shares in zip(balance.stages, balance.shares, strict=True):
        energy = [
            sum(float(np.sum(activations.maps[stage][unit].astype(np.float64) ** 2)) for unit in model.units(stage, t))
            for t in range(towers)
        ]
        np.testing.assert_allclose(shares, np.array(energy) / sum(energy), rtol=1e-9)


def test_a_silent_stage_has_no_balance(activations: Activations) -> None:
    silent = Activations({"relu5": np.zeros((4, 2, 2), np.float32)}, activations.probabilities)
    assert np.isnan(tower_balance(silent, 2).shares).all()


def test_change_is_seen_only_in_the_tower_that_changed() -> None:
    before = np.full((4, 1, 2), 3.0, np.float32)
    after = before.copy()
    after[2:] = 4.5  # tower B, everywhere half as much again
    change = tower_change(*(Activations({"conv1": maps}, np.ones(1, np.float32)) for maps in (before, after)), 2)
    assert isinstance(change, Balance)
    np.testing.assert_allclose(change.shares, [[0.0, 0.5]])


def test_strongest_positions_are_those_of_a_sorted_list_without_neighbours() -> None:
    responses = np.random.default_rng(3).normal(size=(7, 9)).astype(np.float32)
    order = sorted(np.ndindex(7, 9), key=lambda place: -responses[place])
    expected: list[tuple[int, int]] = []
    for row, column in order:
        if responses[row, column] > 0 and all(max(abs(row - r), abs(column - c)) > 1 for r, c in expected):
            expected.append((row, column))
    found = strongest_positions(responses, 6)
    assert [(p.row, p.column) for p in found] == expected[:6]
    assert [p.value for p in found] == [pytest.approx(float(responses[place])) for place in expected[:6]]


def test_places_without_a_positive_response_are_not_listed() -> None:
    assert strongest_positions(np.array([[0.0, -1.0, 0.0, 2.0]], np.float32)) == [Position(0, 3, 2.0)]
    assert strongest_positions(np.zeros((3, 3), np.float32)) == []


@pytest.mark.parametrize(("width", "height"), [(640, 427), (300, 451), (64, 64), (40, 52)])
def test_a_dot_on_the_photo_is_found_where_the_frame_says(width: int, height: int) -> None:
    preprocess = plain_preprocess()
    frame = input_frame(preprocess, width, height)
    spot = max(2, min(width, height) // 16)
    for x, y in ((width // 2, height // 2), (width // 2 - width // 5, height // 2 + height // 5)):
        pixels = np.zeros((height, width, 3), np.uint8)
        pixels[y : y + spot, x : x + spot] = 255
        stored = np.asarray(short_side_resize(Image.fromarray(pixels), 64)).transpose(2, 0, 1)
        seen = preprocess.centre(torch.from_numpy(stored.copy())[None])[0, 0].clamp(min=0).double()
        rows, columns = (torch.arange(127) + 0.5 for _ in range(2))
        found_x, found_y = (float((seen.sum(d) * p).sum() / seen.sum()) for d, p in ((0, columns), (1, rows)))
        assert frame.left + found_x * frame.scale == pytest.approx(x + spot / 2, abs=0.4 * frame.scale)
        assert frame.top + found_y * frame.scale == pytest.approx(y + spot / 2, abs=0.4 * frame.scale)


def test_the_outline_is_the_centred_square_of_127_144ths_of_the_short_side() -> None:
    outline = input_frame(plain_preprocess(), 288, 144).outline
    assert outline == (72 + 8, 8, 72 + 8 + 127, 8 + 127)


# cnorm2's 5 x 5 windows reach beyond the nominal field, so what comes behind them is tested from its output on.
@pytest.mark.parametrize(
    ("stage", "place"),
    [("conv1", (0, 0)), ("pool1", (14, 3)), ("relu1", (7, 7)), ("conv2", (8, 6)), ("norm2", (5, 9))],
)
def test_pixels_outside_the_receptive_box_do_not_move_a_unit_and_its_edges_do(
    tiny_model: AlexNet, image: torch.Tensor, stage: str, place: tuple[int, int]
) -> None:
    frame = input_frame(plain_preprocess(), 144, 144)  # photo pixels are enlarged pixels: an inset of 8, scale 1
    box = receptive_box(tiny_model.config, stage, *place, frame)
    left, top, right, bottom = (round(edge - 8) for edge in box)
    inside = torch.zeros(127, 127, dtype=torch.bool)
    inside[max(top, 0) : bottom, max(left, 0) : right] = True

    def response(changed: torch.Tensor) -> torch.Tensor:
        disturbed = torch.where(changed, image + 50 * torch.sign(image), image)
        return tiny_model.run(disturbed[None], until=stage)[0][0, :, place[0], place[1]]

    reference = response(torch.zeros_like(inside))
    torch.testing.assert_close(response(~inside), reference, rtol=0, atol=1e-5)
    for edge in (slice(max(left, 0), max(left, 0) + 1), slice(min(right, 127) - 1, min(right, 127))):
        column = torch.zeros_like(inside)
        column[:, edge] = inside[:, edge]
        assert (response(column) != reference).any()


@pytest.mark.parametrize("stage", ["pool2", "conv3"])
def test_beyond_the_box_only_cnorm2_reaches_a_unit(tiny_model: AlexNet, stage: str) -> None:
    place, config = (3, 3), tiny_model.config
    behind, here = receptive_field(config, "cnorm2"), receptive_field(config, stage)
    side = sizes(config)["cnorm2"]
    low, high = here.span(place[0])
    seen = [i for i in range(side) if behind.span(i)[0] >= low and behind.span(i)[1] <= high]
    maps = torch.rand(1, 256, side, side, generator=torch.Generator().manual_seed(0))
    outside = torch.ones(side, side, dtype=torch.bool)
    outside[seen[0] : seen[-1] + 1, seen[0] : seen[-1] + 1] = False
    reference, disturbed = (
        tiny_model.run(x, after="cnorm2", until=stage)[0][0, :, *place] for x in (maps, maps + 5 * outside)
    )
    torch.testing.assert_close(disturbed, reference, rtol=0, atol=1e-6)


def test_the_table_of_units_agrees_with_a_search_through_the_maps(
    tiny_model: AlexNet, activations: Activations
) -> None:
    table = unit_table(activations, 2)
    assert len(table) == sum(len(maps) for maps in activations.maps.values())
    for row in table.sample(30, random_state=0).itertuples():
        maps = activations.maps[row.stage][row.unit]
        assert row.largest == maps.max() == maps[row.row, row.column]
        assert row.mean == pytest.approx(maps.mean(), rel=1e-4, abs=1e-6)
        tower = tiny_model.tower_of(row.stage, row.unit)
        assert row.tower == ("" if tower is None else "AB"[tower])
