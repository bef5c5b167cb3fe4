"""The figures of the Inspect page: valid for plotly, true to their numbers, readable without colour."""

from io import BytesIO

import numpy as np
import plotly.graph_objects as go
import pytest
import torch
from PIL import Image
from plotly.colors import get_colorscale, sample_colorscale, unlabel_rgb

from alexnet_core.config import named_config
from alexnet_core.geometry import receptive_field
from alexnet_core.preprocess import Preprocess
from analysis.activations import Balance, Box, Frame, Maps, Position, receptive_box
from viz_app.figures import image
from viz_app.figures.image import Board, Scale, lay_out, shared_scale
from viz_app.figures.theme import DIVERGING, SEQUENTIAL
from viz_app.uploads import Picture, frame_of, read_picture

CONFIG = named_config("chm145", num_classes=10, input_size=127)
STAGES = ["conv1", "relu1", "fc6"]


def maps(units: int = 96, side: int = 5, *, signed: bool = False) -> Maps:
    values = np.random.default_rng(0).normal(size=(units, side, side)).astype(np.float32)
    return values if signed else np.maximum(values, 0)


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(png)).convert("RGBA")).astype(int)


def tile_of(board: Board, unit: int) -> np.ndarray:
    """The pixels of one unit's tile, RGBA."""
    left, top = round(board.x[unit] - board.tile[0] / 2), round(board.y[unit] - board.tile[1] / 2)
    return pixels(board.png)[top : top + board.tile[1], left : left + board.tile[0]]


def colour(name: str, place: float) -> np.ndarray:
    return np.array(unlabel_rgb(sample_colorscale(get_colorscale(name), [place])[0]))


@pytest.fixture(scope="module")
def picture() -> Picture:
    file = BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (300, 400, 3), dtype=np.uint8)).save(file, "PNG")
    return read_picture(file.getvalue(), 64)


@pytest.fixture(scope="module")
def frame(picture: Picture) -> Frame:
    return frame_of(picture, Preprocess(64, 144, 127, torch.zeros(3, 144, 144), torch.eye(3), torch.ones(3)))


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize(("signed", "name"), [(True, DIVERGING), (False, SEQUENTIAL)])
def test_every_unit_s_tile_is_where_the_board_says_in_the_colours_of_its_values(
    signed: bool, name: str, wide: bool
) -> None:
    values = maps(signed=signed)
    scale = shared_scale([values])
    board = lay_out(values, scale, 2, per_map=False, wide=wide, width=400)
    for unit in (0, 7, 47, 48, 95):
        enlarge = board.tile[0] // 5
        found = tile_of(board, unit)[enlarge // 2 :: enlarge, enlarge // 2 :: enlarge]
        places = np.clip((values[unit] - scale.low) / (scale.high - scale.low), 0, 1)
        for row, column in ((0, 0), (2, 3), (4, 4)):
            assert np.abs(found[row, column, :3] - colour(name, places[row, column])).max() <= 4
            assert found[row, column, 3] == 255


def test_each_tower_is_a_block_of_its_own_under_its_name() -> None:
    board = lay_out(maps(), Scale(0, 1), 2, per_map=False, wide=True, width=400)
    assert board.x[:48].max() + board.tile[0] / 2 < board.x[48:].min() - board.tile[0] / 2
    head = pixels(board.png)[: round(board.y.min() - board.tile[1] / 2)]
    middle = board.width // 2
    assert (head[:, :middle, 3] > 128).any()
    assert (head[:, middle:, 3] > 128).any()
    assert not np.array_equal(head[:, : middle - 10], head[:, -(middle - 10) :])  # the names differ


def test_between_the_tiles_the_page_shines_through() -> None:
    board = lay_out(maps(), Scale(0, 1), 2, per_map=False, wide=True, width=400)
    between = round((board.x[:48].max() + board.x[48:].min()) / 2)
    assert (pixels(board.png)[:, between, 3] == 0).all()


def test_with_a_scale_of_its_own_every_map_reaches_the_brightest_colour() -> None:
    values = maps() * np.linspace(0.01, 1, 96, dtype=np.float32)[:, None, None]
    scale = shared_scale([values])
    own, shared = (lay_out(values, scale, 2, per_map=flag, wide=True, width=400) for flag in (True, False))
    brightest = colour(SEQUENTIAL, 1.0)
    assert np.abs(tile_of(own, 0)[..., :3] - brightest).max(-1).min() <= 4
    assert np.abs(tile_of(shared, 0)[..., :3] - brightest).max(-1).min() > 50
    assert own.per_map
    assert not shared.per_map


def test_fully_connected_units_are_single_cells_that_keep_the_shared_scale() -> None:
    values = maps(4096, 1, signed=True)
    board = lay_out(values, shared_scale([values]), 2, per_map=True, wide=True, width=400)
    assert not board.per_map
    assert len(np.unique(np.stack([board.x, board.y], 1), axis=0)) == 4096
    strongest = int(values[:, 0, 0].argmax())
    assert np.abs(tile_of(board, strongest)[0, 0, :3] - colour(DIVERGING, 1.0)).max() <= 4


@pytest.mark.parametrize("towers", [1, 2, 4])
@pytest.mark.parametrize("units", [96, 256, 384, 4096])
def test_boards_are_full_rectangles_for_every_stage_and_number_of_towers(units: int, towers: int) -> None:
    board = lay_out(maps(units, 2), Scale(0, 1), towers, per_map=False, wide=False, width=600)
    assert len(np.unique(board.x)) * len(np.unique(board.y)) == units


def test_a_shared_scale_is_symmetric_only_for_negative_responses_and_leaves_out_one_in_two_hundred() -> None:
    values = np.arange(1, 1001, dtype=np.float32).reshape(10, 10, 10)
    assert shared_scale([values]) == Scale(0.0, 995.0)
    assert shared_scale([values, -values]) == Scale(-995.0, 995.0)
    assert shared_scale([np.zeros((2, 3, 3), np.float32)]) == Scale(0.0, 1.0)


def test_a_stage_with_few_responses_is_not_cut_down_to_nothing() -> None:
    values = np.zeros((10, 10, 10), np.float32)
    values[0, 0, 0] = 7
    assert shared_scale([values]).high == 7


def test_silent_maps_are_drawn_in_the_darkest_colour() -> None:
    values = np.zeros((4, 3, 3), np.float32)
    board = lay_out(values, shared_scale([values]), 2, per_map=True, wide=True, width=100)
    assert np.abs(tile_of(board, 3)[..., :3] - colour(SEQUENTIAL, 0.0)).max() <= 4


def test_the_legend_runs_from_the_lowest_to_the_highest_colour() -> None:
    strip = pixels(image.legend_png(signed=True))[0, :, :3]
    assert np.abs(strip[0] - colour(DIVERGING, 0.0)).max() <= 2
    assert np.abs(strip[-1] - colour(DIVERGING, 1.0)).max() <= 2


def test_the_sheet_holds_every_board_and_both_legends() -> None:
    board = lay_out(maps(), Scale(0, 1), 2, per_map=False, wide=True, width=300)
    legends = {"legend": image.legend_png(signed=False)}
    sheets = [pixels(image.sheet_png({str(n): board for n in range(count)}, legends)) for count in (2, 5)]
    assert sheets[1].shape[0] > sheets[0].shape[0]
    tile = pixels(board.png)
    assert (np.abs(sheets[0][24 + 28 :, 24:][: board.height, : board.width] - tile)[tile[..., 3] == 255] == 0).all()


def all_figures(picture: Picture, frame: Frame) -> dict[str, go.Figure]:
    values = maps(signed=True)
    scale = shared_scale([values])
    balance = Balance(STAGES, np.array([[0.25, 0.75], [0.5, 0.5], [np.nan, np.nan]]))
    field = receptive_field(CONFIG, "relu1")
    box = receptive_box(CONFIG, "relu1", 2, 3, frame)
    evidence = np.maximum(values[0], 0)
    boards = {own: lay_out(values, scale, 2, per_map=own, wide=False, width=400) for own in (True, False)}
    return {
        "board": image.board_figure(boards[False], scale, values.max((1, 2)), 60),
        "own scales": image.board_figure(boards[True], scale, values.max((1, 2)), 0),
        "unit": image.unit_figure(picture, values[0], frame, field, [Position(2, 3, 0.5)], box, "Unit <0>"),
        "silent unit": image.unit_figure(picture, np.zeros((5, 5), np.float32), frame, field, [], None, "Unit"),
        "evidence": image.evidence_figure(picture, evidence, frame, field, "Evidence for <b>"),
        "guesses": image.guess_bars(["cat <b>", "dog"], np.array([0.7, 0.2])),
        "hues": image.guess_bars(["teal star", "disc"], np.array([0.7, 0.2]), ["#1fa3a0", ""]),
        "balance": image.balance_bars(balance),
        "shares": image.share_lines({"Original": balance, "Grey": balance, "Turned": balance}),
        "change": image.change_lines(balance, 0.8, "Grey"),
    }


@pytest.fixture(scope="module")
def figures(picture: Picture, frame: Frame) -> dict[str, go.Figure]:
    return all_figures(picture, frame)


def test_plotly_accepts_every_property_of_every_figure(figures: dict[str, go.Figure]) -> None:
    for name, figure in figures.items():
        go.Figure(figure.to_dict())  # raises for what it does not know; the app builds them unchecked
        assert figure.layout.height, name


def test_colour_scales_are_spelled_out_because_the_browser_does_not_know_plotly_s_names(
    figures: dict[str, go.Figure],
) -> None:
    for name in ("board", "unit", "evidence"):
        trace = figures[name].to_dict()["data"][0]
        assert not isinstance(trace.get("colorscale", trace.get("marker", {}).get("colorscale")), str)


def test_titles_and_names_from_outside_are_not_read_as_markup(figures: dict[str, go.Figure]) -> None:
    assert "&lt;b>" in figures["evidence"].layout.title.text
    assert "cat &lt;b>" in figures["guesses"].layout.annotations[0].text


def test_the_board_has_a_point_for_every_unit_over_its_tile_and_frames_the_chosen_one() -> None:
    values = maps()
    board = lay_out(values, Scale(0, 1), 2, per_map=False, wide=False, width=400)
    figure = image.board_figure(board, Scale(0, 1), values.max((1, 2)), 60)
    for unit in (0, 47, 48, 95):
        curve, point = divmod(unit, 48)
        trace = figure.data[curve]
        assert (trace.x[point], trace.y[point]) == pytest.approx((board.x[unit], board.y[unit]))
        assert trace.text[point] == str(unit)
        assert trace.customdata[point] == pytest.approx(values[unit].max())
        assert f"tower {'AB'[curve]}" in trace.hovertemplate
        assert image.clicked_unit(curve, point, 96, 2) == unit
    shape = figure.layout.shapes[0]
    assert (shape.x0 + shape.x1) / 2 == pytest.approx(board.x[60])
    assert (shape.y0 + shape.y1) / 2 == pytest.approx(board.y[60])


def test_the_colour_bar_says_what_the_ends_of_the_scale_mean(figures: dict[str, go.Figure]) -> None:
    shared, own = (figures[name].data[0].marker for name in ("board", "own scales"))
    assert shared.cmax == shared_scale([maps(signed=True)]).high == -shared.cmin
    assert (own.cmin, own.cmax) == (-1.0, 1.0)
    assert shared.colorbar.title.text != own.colorbar.title.text


def test_a_map_lies_on_the_photo_where_its_fields_are_centred(frame: Frame, picture: Picture) -> None:
    field = receptive_field(CONFIG, "relu1")
    figure = image.evidence_figure(picture, maps(1)[0], frame, field, "")
    heat = figure.data[0]
    for index in (0, 4):
        box = receptive_box(CONFIG, "relu1", index, index, frame)
        assert heat.x0 + index * heat.dx == pytest.approx((box.left + box.right) / 2)
        assert heat.y0 + index * heat.dy == pytest.approx((box.top + box.bottom) / 2)


def test_places_are_numbered_on_the_photo_and_the_first_is_framed(frame: Frame, picture: Picture) -> None:
    field, places = receptive_field(CONFIG, "relu1"), [Position(2, 3, 0.5), Position(0, 1, 0.4)]
    box = receptive_box(CONFIG, "relu1", 2, 3, frame)
    figure = image.unit_figure(picture, maps(1)[0], frame, field, places, box, "")
    assert [note.text for note in figure.layout.annotations] == ["<b>1</b>", "<b>2</b>"]
    first = figure.layout.annotations[0]
    assert (first.x, first.y) == pytest.approx(((box.left + box.right) / 2, (box.top + box.bottom) / 2))
    assert figure.layout.shapes[-1].x0 == box.left


def test_what_is_zero_on_a_map_leaves_the_photo_visible() -> None:
    assert image._glaze(False)[0][1].endswith(",0.000)")
    assert image._glaze(True)[10][1].endswith(",0.000)")


def test_a_frame_is_drawn_on_the_photo(picture: Picture, frame: Frame) -> None:
    framed = np.asarray(Image.open(BytesIO(image.framed_jpeg(picture.shown, frame))).convert("L")).astype(int)
    left, middle = round(frame.outline.left), picture.height // 2
    assert framed.shape == (picture.height, picture.width)
    assert framed[middle - 50 : middle + 50, left : left + 2].mean() > 230  # white on noise


def test_bars_carry_their_numbers_and_towers_differ_by_more_than_colour(figures: dict[str, go.Figure]) -> None:
    assert figures["guesses"].layout.annotations[1].text == "<b>20.0%</b>  dog"
    tower_a, tower_b = figures["balance"].data
    assert list(tower_a.text) == ["A 25%", "A 50%", "silent"]
    assert list(tower_b.text) == ["B 75%", "B 50%", "silent"]
    assert tower_a.marker.pattern.shape != tower_b.marker.pattern.shape
    for name in ("shares", "change"):
        traces = figures[name].data
        assert len({(trace.line.dash, trace.marker.symbol) for trace in traces}) == len(traces)


def test_figures_of_changes_share_an_axis_that_holds_them_all() -> None:
    small, large = (Balance(STAGES, np.full((3, 2), value)) for value in (0.2, 1.5))
    silent = Balance(STAGES, np.full((3, 2), np.nan))
    assert image.highest([small, large, silent]) == 1.5
    assert image.change_lines(small, 1.5, "").layout.yaxis.range[1] > 1.5


def test_a_swatch_stands_before_the_bar_whose_name_speaks_of_it() -> None:
    figure = image.guess_bars(["disc", "teal star"], np.array([0.7, 0.2]), ["", "#1fa3a0"])
    (square,) = figure.layout.shapes
    assert (square.fillcolor, square.yanchor) == ("#1fa3a0", 1)
    assert max(square.x0, square.x1) < 0
    assert not image.guess_bars(["cat", "dog"], np.array([0.7, 0.2]), ["", ""]).layout.shapes


def test_a_box_on_a_photo_is_outlined_and_all_else_dimmed(picture: Picture) -> None:
    figure = image.crop_figure(picture, 1200, 900, Box(100, 200, 400, 500))
    dimmed, *lines = figure.layout.shapes
    assert dimmed.path == "M 0,0 H 1200 V 900 H 0 Z M 100,200 V 500 H 400 V 200 Z"
    assert {(line.x0, line.y0, line.x1, line.y1) for line in lines} == {(100, 200, 400, 500)}
    assert (figure.layout.images[0].sizex, figure.layout.images[0].sizey) == (1200, 900)
    assert figure.layout.dragmode == "select"
    assert not image.crop_figure(picture, 1200, 900).layout.shapes


def test_a_box_can_be_drawn_anywhere_as_points_lie_all_over_the_photo(picture: Picture) -> None:
    points = image.crop_figure(picture, 1200, 900).data[0]
    assert (min(points.x), max(points.x), min(points.y), max(points.y)) == (0, 1200, 0, 900)
    assert points.marker.opacity == points.selected.marker.opacity == points.unselected.marker.opacity == 0
