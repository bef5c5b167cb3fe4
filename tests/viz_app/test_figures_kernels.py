"""Figures of kernels: what lies where, what the scales mean, and that nothing is told by colour alone."""

import base64
import io

import numpy as np
import plotly.graph_objects as go
import pytest
from PIL import Image
from plotly.colors import unlabel_rgb

from analysis.kernels.indices import measure_kernels, readers, unit_inputs
from analysis.towers.comparison import ChromaCourse
from viz_app.figures import kernels as figures
from viz_app.figures.theme import TOWER_MARKS


@pytest.fixture(scope="module")
def kernels() -> np.ndarray:
    """96 smooth kernels with very different colours and strengths, the last one all zeros."""
    rng = np.random.default_rng(0)
    row, column = np.mgrid[:11, :11]
    waves = np.cos(rng.uniform(0.2, 1.2, (96, 1, 1)) * column + rng.uniform(0.2, 1.2, (96, 1, 1)) * row)
    made = rng.normal(size=(96, 3, 1, 1)) * waves[:, None] * rng.uniform(0.2, 2, (96, 1, 1, 1))
    made[95] = 0
    return made.astype(np.float32)


def numbered_tiles(n: int) -> np.ndarray:
    """Tiles of 3 x 3 pixels, each filled with its own number."""
    return np.full((n, 3, 3, 4), 255, np.uint8) * 0 + np.arange(n, dtype=np.uint8)[:, None, None, None]


pytestmark = pytest.mark.usefixtures("checked_by_plotly")


def picture_in(figure: go.Figure) -> np.ndarray:
    source = figure.data[0].source
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))))


def test_a_weight_of_zero_is_mid_grey_on_either_contrast(kernels):
    for shared in (True, False):
        assert (figures.rgb_tiles(kernels, shared=shared)[95, ..., :3] == 128).all()


def test_the_shared_contrast_is_linear_in_the_weight_for_all_kernels(kernels):
    tiles = figures.rgb_tiles(kernels, shared=True)[..., :3].astype(float)
    expected = 127.5 + 127.5 * kernels.transpose(0, 2, 3, 1) / np.abs(kernels).max()
    assert np.abs(tiles - expected).max() <= 0.51


def test_on_its_own_contrast_every_kernel_reaches_an_end_of_the_scale(kernels):
    tiles = figures.rgb_tiles(kernels[:95], shared=False)[..., :3]
    assert ((tiles.max((1, 2, 3)) == 255) | (tiles.min((1, 2, 3)) == 0)).all()


def test_signed_tiles_are_white_at_zero_red_above_and_blue_below():
    negative, zero, positive = figures.signed_tiles(np.array([-2.0, 0, 2]).reshape(3, 1, 1), 2.0)[:, 0, 0, :3].astype(
        int
    )
    assert zero.min() > 240
    assert positive[0] > positive[2] + 50
    assert negative[2] > negative[0] + 50


@pytest.mark.parametrize("towers", [1, 2, 4])
def test_every_kernel_lies_where_the_board_says_and_in_the_block_of_its_tower(towers):
    order = np.random.default_rng(0).permutation(96)
    board = figures.lay_out(numbered_tiles(96), order, range(towers)[::-1])
    for kernel in range(96):
        x, y = board.x[kernel], board.y[kernel]
        assert (board.picture[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2] == kernel).all()
        left, right = board.edges[board.towers.index(kernel * towers // 96)]
        assert left <= x <= right


def test_kernels_of_a_tower_are_read_row_by_row_in_the_given_order():
    order = np.random.default_rng(1).permutation(96)
    board = figures.lay_out(numbered_tiles(96), order, (0, 1))
    for members in (order[order < 48], order[order >= 48]):
        reading = sorted(members, key=lambda kernel: (board.y[kernel], board.x[kernel]))
        assert reading == members.tolist()


def test_gaps_of_the_board_are_transparent():
    board = figures.lay_out(figures.rgb_tiles(np.ones((96, 3, 11, 11)), shared=True), np.arange(96), (0, 1))
    assert np.count_nonzero(board.picture[..., 3]) == 96 * 121


@pytest.fixture(scope="module")
def board(kernels) -> figures.Board:
    return figures.lay_out(figures.rgb_tiles(kernels, shared=True), np.arange(96), (0, 1))


@pytest.fixture(scope="module")
def board_figure(kernels, board) -> go.Figure:
    indices = measure_kernels(kernels)
    colour = np.arange(96) % 3 == 0
    return figures.board_figure(board, figures.descriptions(indices, colour, 2), colour, indices.live, 37)


def test_the_board_carries_the_picture_pixel_by_pixel(board, board_figure):
    np.testing.assert_array_equal(picture_in(board_figure), board.picture)


def test_point_n_of_the_markers_to_click_is_kernel_n(board, board_figure):
    clickable = board_figure.data[1]
    np.testing.assert_array_equal(clickable.x, board.x)
    assert all(text.startswith(f"Kernel {number},") for number, text in enumerate(clickable.text))


def test_towers_are_told_apart_by_name_glyph_and_line_style(board_figure):
    assert [shape.line.dash for shape in board_figure.layout.shapes[:2]] == ["solid", "dash"]
    for mark, annotation in zip(TOWER_MARKS, board_figure.layout.annotations, strict=False):
        assert mark.name in annotation.text
        assert mark.glyph in annotation.text


def test_colour_kernels_and_noise_are_marked_by_symbols_with_a_legend(kernels, board_figure):
    stars, crosses = board_figure.data[2:]
    assert (len(stars.x), stars.name, stars.marker.symbol) == (32, "colour kernel", "star")
    assert len(crosses.x) == np.count_nonzero(~measure_kernels(kernels).live) > 0
    assert stars.showlegend
    assert crosses.showlegend


def test_the_chosen_kernel_is_framed(board, board_figure):
    frame = board_figure.layout.shapes[-1]
    assert (frame.x0 + frame.x1) / 2 == pytest.approx(board.x[37])
    assert (frame.y0 + frame.y1) / 2 == pytest.approx(board.y[37])


def test_swapped_towers_keep_their_names_and_styles(kernels):
    swapped = figures.lay_out(figures.rgb_tiles(kernels, shared=True), np.arange(96), (1, 0))
    figure = figures.board_figure(swapped, [""] * 96, np.zeros(96, bool), np.ones(96, bool), 0)
    assert ["tower B" in figure.layout.annotations[0].text, figure.layout.shapes[0].line.dash] == [True, "dash"]
    assert swapped.x[:48].min() > swapped.x[48:].max()


def test_a_single_tower_is_not_given_a_letter(kernels):
    single = figures.lay_out(figures.rgb_tiles(kernels, shared=True), np.arange(96), (0,))
    figure = figures.board_figure(single, [""] * 96, np.zeros(96, bool), np.ones(96, bool), 0)
    assert "the only tower" in figure.layout.annotations[0].text


@pytest.mark.parametrize("towers", [1, 2, 4])
def test_the_picture_to_keep_is_a_png_that_holds_the_board(kernels, towers):
    large = figures.lay_out(figures.rgb_tiles(kernels, shared=True), np.arange(96), range(towers), enlarge=4)
    picture = np.asarray(Image.open(io.BytesIO(figures.board_png(large))))
    height, width = large.picture.shape[:2]
    opaque = large.picture[..., 3] == 255
    np.testing.assert_array_equal(picture[50 : 50 + height, 20 : 20 + width][opaque], large.picture[opaque][:, :3])


def test_the_planes_of_a_kernel_stand_side_by_side_on_a_symmetric_scale(kernels):
    (trace,) = figures.planes_figure(kernels[5]).data
    shown = np.asarray(trace.z)
    for channel in range(3):
        np.testing.assert_array_equal(shown[:, 12 * channel : 12 * channel + 11], kernels[5, channel])
    assert (trace.zmin, trace.zmax) == (-np.abs(kernels[5]).max(), np.abs(kernels[5]).max())


@pytest.mark.parametrize(("direction", "axis"), [((1, 0), "across"), ((0, 1), "up")])
def test_the_spectrum_of_stripes_peaks_at_their_frequency_along_the_right_axis(direction, axis):
    row, column = np.mgrid[:11, :11]
    kernel = np.ones((3, 1, 1)) * np.cos(2 * np.pi * 0.25 * (direction[0] * column + direction[1] * row))
    (trace,) = figures.spectrum_figure(kernel, 0.25).data
    up, across = np.unravel_index(np.asarray(trace.z).argmax(), trace.z.shape)
    peak = {"across": abs(trace.x[across]), "up": abs(trace.y[up])}
    assert peak[axis] == pytest.approx(0.25, abs=0.02)
    assert peak["up" if axis == "across" else "across"] == 0


def test_diagonal_stripes_peak_in_the_quarters_across_them():
    row, column = np.mgrid[:11, :11]
    rising = np.ones((3, 1, 1)) * np.cos(2 * np.pi * 0.2 * (column + row))  # stripes rise to the right
    (trace,) = figures.spectrum_figure(rising, 0.28).data
    up, across = np.unravel_index(np.asarray(trace.z).argmax(), trace.z.shape)
    assert trace.x[across] * trace.y[up] < 0
    assert measure_kernels(rising[None]).orientation[0] == pytest.approx(45, abs=2)


def test_readers_are_shown_strongest_first_with_their_numbers():
    found = readers(np.random.default_rng(0).normal(size=(256, 48, 5, 5)), 50, 96)
    bars = figures.readers_figure(found, "conv2").data[0]
    assert list(bars.x) == [str(unit) for unit in found.units[:12]]
    assert (np.diff(bars.y) <= 0).all()
    assert str(found.units[0]) in figures.readers_text(found, 50, "conv2")


def test_a_page_of_input_channels_names_each_and_has_a_symmetric_colour_bar():
    weights = np.random.default_rng(0).normal(size=(384, 256, 3, 3)).astype(np.float32)
    found = unit_inputs(weights, 200, 256, 2)
    rows = found.pages(strongest_first=False)[2]
    figure = figures.unit_figure(found, rows)
    names = figure.data[1]
    assert list(names.text) == [str(channel) for channel in range(128, 192)]
    assert names.marker.cmin == -names.marker.cmax == -np.abs(weights[200]).max()
    assert "tower B" in names.hovertext[0]


def test_the_tiles_of_a_page_are_the_weights_in_diverging_colours():
    weights = np.random.default_rng(0).normal(size=(384, 256, 3, 3)).astype(np.float32)
    found = unit_inputs(weights, 3, 256, 2)
    picture = picture_in(figures.unit_figure(found, found.pages(strongest_first=False)[0]))
    expected = figures.signed_tiles(weights[3, :1], float(np.abs(weights[3]).max()))[0]
    np.testing.assert_array_equal(picture[1:4, 1:4], expected)


@pytest.mark.parametrize(
    ("towers", "shape", "inputs", "words"),
    [
        (2, (256, 48, 5, 5), 96, "belongs to tower A and reads only the 48 channels of its own tower"),
        (2, (384, 256, 3, 3), 256, "reads 256 channels of all towers; of its squared weights lie 50% on tower A"),
        (1, (256, 96, 5, 5), 96, "reads all 96 channels of the layer below"),
    ],
)
def test_the_sentence_on_a_unit_says_what_it_reads(towers, shape, inputs, words):
    found = unit_inputs(np.ones(shape), 7, inputs, towers)
    assert words in figures.unit_text("conv2", 7, 0, towers, found)


def test_the_name_of_a_page_gives_its_tower_and_channels():
    found = unit_inputs(np.ones((384, 256, 3, 3)), 7, 256, 2)
    assert figures.page_name(found, found.pages(strongest_first=False)[3], 2) == (
        "64 input channels of ◆ tower B, 192 to 255"
    )


def test_the_course_of_chroma_tells_towers_and_parts_apart_without_colour():
    course = ChromaCourse((0, 10), np.array([[0.6, 0.7], [0.5, 0.6]]), np.array([[np.nan, np.nan], [0.1, 0.4]]))
    lines = figures.chroma_over_training(course).data
    looks = {(line.line.dash, line.marker.symbol) for line in lines}
    assert len(lines) == len(looks) == 4
    assert [line.name for line in lines][:2] == ["tower A, as trained", "tower B, as trained"]


def test_facts_of_a_kernel_of_zeros_are_called_undefined(kernels):
    facts = {fact.label: fact.value for fact in figures.facts(measure_kernels(kernels), 95)}
    assert facts["Chroma"] == facts["Frequency"] == "undefined"
    assert (facts["Hue"], facts["Orientation"], facts["State"]) == ("none (grey)", "no clear one", "noise")


def test_facts_name_the_hue_with_a_word_and_an_angle():
    row, column = np.mgrid[:11, :11]
    blob = np.exp(-((row - 5) ** 2 + (column - 5) ** 2) / 8)
    kernel = np.array([1.0, -0.5, -0.5])[:, None, None] * blob
    facts = {fact.label: fact for fact in figures.facts(measure_kernels(np.stack([kernel, kernel])), 0)}
    assert facts["Hue"].value == "red, 0°"
    assert "red against cyan" in facts["Hue"].help
    assert facts["Chroma"].value == "1.00"


def test_stripes_that_lie_almost_flat_are_at_0_and_never_at_180_degrees():
    row, column = np.mgrid[:11, :11]
    lying = np.ones((3, 1, 1)) * np.cos(1.1 * row + 0.002 * column)
    indices = measure_kernels(np.stack([lying, lying[:, :, ::-1]]))
    assert max(indices.orientation) > 179.5  # the number itself is close to 180
    for kernel in (0, 1):
        assert {fact.label: fact.value for fact in figures.facts(indices, kernel)}["Orientation"] == "0°"


def test_the_board_in_words_counts_colour_kernels_by_tower(kernels):
    colour = np.arange(96) >= 90
    text = figures.board_text(measure_kernels(kernels), colour, 2)
    assert "0 in tower A, 6 in tower B" in text


def test_colour_scales_are_spelt_out_for_the_browser_with_red_for_positive(kernels):
    weights = unit_inputs(np.ones((384, 256, 3, 3)), 3, 256, 2)
    page = figures.unit_figure(weights, weights.pages(strongest_first=False)[0])
    for scale in (figures.planes_figure(kernels[0]).data[0].colorscale, page.data[1].marker.colorscale):
        (low, negative), (high, positive) = scale[0], scale[-1]
        assert (low, high) == (0, 1)
        red, _, blue = unlabel_rgb(positive)
        assert red > blue
        red, _, blue = unlabel_rgb(negative)
        assert blue > red
    assert len(figures.spectrum_figure(kernels[0], 0.1).data[0].colorscale) > 2


def test_every_figure_with_numbers_names_its_axes_or_has_a_colour_bar_with_a_title(kernels):
    found = readers(np.ones((256, 48, 5, 5)), 0, 96)
    course = ChromaCourse((0, 1), np.ones((2, 2)), np.ones((2, 2)))
    for figure in (
        figures.tile_figure(kernels[0]),
        figures.spectrum_figure(kernels[0], 0.1),
        figures.readers_figure(found, "conv2"),
        figures.chroma_over_training(course),
    ):
        assert figure.layout.xaxis.title.text
        assert figure.layout.yaxis.title.text
    for figure in (figures.spectrum_figure(kernels[0], 0.1), figures.planes_figure(kernels[0])):
        assert figure.data[0].colorbar.title.text
