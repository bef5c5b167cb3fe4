"""Pictures of kernels: the board of the first layer, one kernel in detail, the kernels of deeper layers."""

import base64
import io
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from plotly.colors import get_colorscale, sample_colorscale, unlabel_rgb

from analysis.kernels.indices import (
    KernelIndices,
    Readers,
    UnitInputs,
    colour_axis,
    hue_name,
    hue_pair,
    power_spectrum,
    spectrum_axis,
)
from analysis.mosaic import mosaic, to_bytes
from analysis.towers.comparison import ChromaCourse
from viz_app.figures.theme import (
    ACCENT,
    DIVERGING,
    LEGEND_ABOVE,
    LINE,
    PICTURE_X,
    PICTURE_Y,
    SEQUENTIAL,
    TOWER_MARKS,
    plain_figure,
)

Picture = NDArray[np.uint8]

TILE_TEXT = "On its own contrast; mid-grey is a weight of 0."
PLANES_TEXT = (
    "Weights on the red, green and blue channel, one scale for all three: red is positive, blue negative, white 0. "
    "Three equal planes make a black-and-white kernel."
)
SPECTRUM_TEXT = (
    "Which stripes the kernel holds (Fourier magnitude of its pattern along its main colour axis): coarse ones near "
    "the middle, fine ones outside, each direction with its mirror image. The dotted ring is the mean frequency."
)
UNIT_TEXT = (
    "One tile per input channel, its number below; all pages of a unit share one scale. Red is a positive weight, "
    "blue a negative one, white 0."
)
COURSE_TEXT = (
    "Mean chroma of all kernels of each tower at the steps that were kept, noise included. Thin lines with open "
    "markers: the kernels as they were; thick lines with filled markers: the learned part, their noise taken off."
)
TABLE_COLUMNS = {  # how the columns of the table of kernels are headed on the page
    "hue": "hue (°)",
    "grey_angle": "angle to grey (°)",
    "frequency": "frequency (cycles/px)",
    "bandwidth": "bandwidth (cycles/px)",
    "orientation": "orientation (°)",
}
BOARD_COLUMNS = 12  # of all towers together: twelve tiles are still big enough to hit on a phone
_BETWEEN = 5  # pixels between two towers, room for their frames
_CHANNELS = ("red", "green", "blue")


class Board(NamedTuple):
    """All kernels as one picture, each tower a block of its own."""

    picture: Picture  # (height, width, 4) RGBA, transparent between the tiles
    x: NDArray[np.float64]  # (n,) middle of each kernel's tile by kernel number, pixels of the picture
    y: NDArray[np.float64]
    towers: tuple[int, ...]  # of the blocks from left to right
    edges: tuple[tuple[int, int], ...]  # first and last pixel column of each block
    side: int  # of a tile, pixels


class Fact(NamedTuple):
    """One number of a kernel with its name and what the name means."""

    label: str
    value: str
    help: str


def rgb_tiles(kernels: NDArray[np.floating], *, shared: bool) -> Picture:
    """Kernels (n, 3, k, k) as RGBA tiles (n, k, k, 4); weight 0 is mid-grey.

    `shared`: one contrast for all, set by the largest weight of all, as in the paper's figure (shownet.py
    stretches minimum to maximum; here the scale is symmetric, so that 0 is mid-grey). Otherwise each kernel has
    its own.
    """
    limits = np.abs(kernels).max((1, 2, 3), keepdims=True)
    limits = np.maximum(limits.max() if shared else limits, np.finfo(np.float32).tiny)
    return _opaque(to_bytes(kernels / limits, -1, 1).transpose(0, 2, 3, 1))


def signed_tiles(maps: NDArray[np.floating], limit: float) -> Picture:
    """Maps (n, h, w) in diverging colours as RGBA tiles (n, h, w, 4); white is 0, `limit` deepest red."""
    return _opaque(_diverging_table()[to_bytes(maps, -limit, limit)])


def lay_out(
    tiles: Picture,
    order: NDArray[np.intp],
    towers: Sequence[int],
    *,
    columns: int = BOARD_COLUMNS,
    enlarge: int = 1,
) -> Board:
    """Arrange tiles (n, k, k, 4) in `order`, a block for each of `towers` from left to right, `columns` in all.

    Tile i belongs to tower ``i * len(towers) // n``.
    """
    n = len(tiles)
    x, y, edges, blocks = np.zeros(n), np.zeros(n), [], []
    left = 0
    for tower in towers:
        members = order[order * len(towers) // n == tower]
        block, grid = mosaic(tiles[members], columns=columns // len(towers), enlarge=enlarge, background=0)
        centres = np.array([grid.centre(place) for place in range(len(members))])
        y[members], x[members] = centres[:, 0] - 0.5, centres[:, 1] - 0.5 + left  # pixel 0 is centred on 0
        edges.append((left, left + block.shape[1] - 1))
        blocks += [block, np.zeros((block.shape[0], _BETWEEN * enlarge, 4), np.uint8)]
        left += block.shape[1] + _BETWEEN * enlarge
    picture = np.hstack(blocks[:-1])
    return Board(picture, x, y, tuple(towers), tuple(edges), tiles.shape[1] * enlarge)


def board_figure(
    board: Board, labels: Sequence[str], colour: NDArray[np.bool_], live: NDArray[np.bool_], chosen: int
) -> go.Figure:
    """The board with a marker to click on every kernel, colour kernels and noise marked, towers framed.

    `labels` are the hover texts. The number of a point of the first markers is its kernel's number.
    """
    height, width = board.picture.shape[:2]
    clickable = {
        "type": "scatter",
        "x": board.x,
        "y": board.y,
        "mode": "markers",
        "marker": {"size": 26, "symbol": "square", "color": "rgba(0,0,0,0)"},
        "selected": {"marker": {"opacity": 0}},
        "unselected": {"marker": {"opacity": 0}},
        "text": list(labels),
        "hovertemplate": "%{text}<extra></extra>",
        "showlegend": False,
    }
    marks = (
        _corner_marks(board, colour, "star", "colour kernel"),
        _corner_marks(board, ~live, "x", "noise or near zero"),
    )
    layout = {
        "xaxis": PICTURE_X | {"range": [-2.5, width + 1.5]},
        "yaxis": PICTURE_Y | {"range": [height + 1.5, -9.5]},
        "shapes": [*(_tower_frame(board, block) for block in range(len(board.towers))), *_chosen_frame(board, chosen)],
        "annotations": [_block_heading(board, block) for block in range(len(board.towers))],
        "clickmode": "event+select",
        "dragmode": False,
        "hovermode": "closest",
        "hoverdistance": 30,
        "legend": LEGEND_ABOVE,
        "margin": {"l": 10, "r": 10, "t": 40, "b": 10},
    }
    return plain_figure([_image(board), clickable, *marks], layout, height=440)


def board_png(board: Board) -> bytes:
    """The board for print: a PNG on white with tower names and frames in their own line styles."""
    height, width = board.picture.shape[:2]
    sheet = Image.new("RGB", (width + 40, height + 70), "white")
    sheet.paste(Image.fromarray(board.picture), (20, 50), Image.fromarray(board.picture[..., 3]))
    draw = ImageDraw.Draw(sheet)
    for tower, (left, right) in zip(board.towers, board.edges, strict=True):
        draw.text((20 + left, 12), _tower_name(tower, board), "black", ImageFont.load_default(20))
        _dashed_frame(draw, (14 + left, 44, 26 + right, 56 + height), tower)
    return _png(np.asarray(sheet))


def tile_figure(kernel: NDArray[np.floating]) -> go.Figure:
    """One kernel (3, k, k) as a large RGB tile on its own contrast; axes in pixels of the input."""
    tile = rgb_tiles(kernel[None], shared=False)[0]
    axis = {"title": {"text": "pixel"}, "constrain": "domain", "fixedrange": True}
    return plain_figure(
        [{"type": "image", "z": tile[..., :3], "hovertemplate": "column %{x}, row %{y}<extra></extra>"}],
        {"xaxis": axis, "yaxis": axis | {"scaleanchor": "x", "autorange": "reversed"}},
        height=300,
    )


def planes_figure(kernel: NDArray[np.floating]) -> go.Figure:
    """The three channel planes of a kernel (3, k, k) side by side on one symmetric scale around 0."""
    limit, size = float(np.abs(kernel).max()) or 1.0, kernel.shape[-1]
    gap = np.full((size, 1), np.nan, np.float32)
    planes = {
        "type": "heatmap",
        "z": np.hstack([part for plane in kernel.astype(np.float32) for part in (plane, gap)][:-1]),
        "zmin": -limit,
        "zmax": limit,
        "colorscale": get_colorscale(DIVERGING),
        "colorbar": _bar_below("weight", -0.05),
        "hoverongaps": False,
        "hovertemplate": "weight %{z:.4f}<extra></extra>",
    }
    layout = {
        "xaxis": PICTURE_X,
        "yaxis": PICTURE_Y | {"range": [size - 0.5, -2.5]},
        "annotations": [_heading(place * (size + 1), -0.7, name) for place, name in enumerate(_CHANNELS)],
    }
    return plain_figure([planes], layout, height=230)


def spectrum_figure(kernel: NDArray[np.floating], frequency: float) -> go.Figure:
    """Fourier magnitude of the kernel's pattern along its colour axis; a dotted ring at its mean `frequency`."""
    magnitude = np.sqrt(power_spectrum(colour_axis(kernel[None]).pattern)[0])
    axis = spectrum_axis()
    spectrum = {
        "type": "heatmap",
        "x": axis,
        "y": -axis,  # rows count downwards, frequencies upwards
        "z": (magnitude / (magnitude.max() or 1.0)).astype(np.float32),
        "colorscale": get_colorscale(SEQUENTIAL),
        "zmin": 0,
        "zmax": 1,
        "colorbar": _bar_below("magnitude (peak = 1)", -0.3),
        "hovertemplate": "across %{x:.2f}, up %{y:.2f} cycles/px: %{z:.2f}<extra></extra>",
    }
    ring = {
        "type": "circle",
        "x0": -frequency,
        "x1": frequency,
        "y0": -frequency,
        "y1": frequency,
        "line": {"color": "white", "dash": "dot", "width": 2},
    }
    axes = {"range": [-0.5, 0.5], "constrain": "domain", "fixedrange": True, "dtick": 0.25}
    layout = {
        "xaxis": axes | {"title": {"text": "across, cycles per pixel"}},
        "yaxis": axes | {"title": {"text": "up, cycles per pixel"}, "scaleanchor": "x"},
        "shapes": [ring] if np.isfinite(frequency) else [],
    }
    return plain_figure([spectrum], layout, height=360)


def readers_figure(found: Readers, layer: str, *, top: int = 12) -> go.Figure:
    """Bars: how strongly the `top` units of `layer` read a kernel; a dotted line at the median of all readers."""
    bars = {
        "type": "bar",
        "x": [str(unit) for unit in found.units[:top]],
        "y": found.strengths[:top].astype(np.float32),
        "marker": {"color": LINE},
        "hovertemplate": f"{layer} unit %{{x}}: %{{y:.3f}}<extra></extra>",
    }
    layout = {
        "xaxis": {"title": {"text": f"unit of {layer}"}, "type": "category", "fixedrange": True},
        "yaxis": {"title": {"text": "strength (L2 norm of 5 × 5 weights)"}, "rangemode": "tozero", "fixedrange": True},
        "shapes": [_level(float(np.median(found.strengths)), ACCENT)],
    }
    return plain_figure([bars], layout, height=300)


def unit_figure(found: UnitInputs, rows: NDArray[np.intp]) -> go.Figure:
    """A page of one unit's input channels, each tile named by its channel's number; one scale for all pages."""
    limit = float(np.abs(found.maps).max()) or 1.0
    tiles = np.pad(signed_tiles(found.maps[rows], limit), ((0, 0), (0, 2), (0, 0), (0, 0)))  # room for the number
    board = lay_out(tiles, np.arange(len(rows)), (0,), columns=8)
    height, width = board.picture.shape[:2]
    numbers = {
        "type": "scatter",
        "x": board.x,
        "y": board.y + board.side / 2 - 1,
        "mode": "markers+text",
        "text": [str(channel) for channel in found.channels[rows]],
        "textposition": "middle center",
        "textfont": {"size": 10},
        "hovertext": input_labels(found, rows),
        "hovertemplate": "%{hovertext}<extra></extra>",
        "marker": {  # invisible, but for the colour bar that it carries
            "size": 1,
            "color": np.zeros(len(rows), np.int8),
            "opacity": 0,
            "colorscale": get_colorscale(DIVERGING),
            "cmin": -limit,
            "cmax": limit,
            "showscale": True,
            "colorbar": {"title": {"text": "weight"}, "thickness": 12, "len": 0.9},
        },
        "showlegend": False,
    }
    layout = {
        "xaxis": PICTURE_X | {"range": [-0.5, width - 0.5]},
        "yaxis": PICTURE_Y | {"range": [height + 1.5, -0.5]},
    }
    return plain_figure([_image(board), numbers], layout, height=520)


def chroma_over_training(course: ChromaCourse) -> go.Figure:
    """Mean chroma of each tower at the kept steps of training, as trained and for the learned part."""
    steps = [f"{step:,}" for step in course.steps]
    lines = [
        {
            "type": "scatter",
            "x": steps,
            "y": series,
            "mode": "lines+markers",
            "name": f"{mark.name}, {part}",
            "line": {"color": mark.colour, "dash": mark.dash, "width": width},
            "marker": {"symbol": f"{mark.symbol}{kind}", "size": 9},
        }
        for values, part, width, kind in (
            (course.trained, "as trained", 1.5, "-open"),
            (course.learned, "learned part", 3, ""),
        )
        for mark, series in zip(TOWER_MARKS, values.T.astype(np.float32), strict=False)
    ]
    place = {"xref": "paper", "xanchor": "right", "font": {"size": 11}}
    noise = _heading(1, 2 / 3, "random weights: 0.667") | place
    layout = {
        "xaxis": {"title": {"text": "training step"}, "type": "category", "fixedrange": True},
        "yaxis": {"title": {"text": "mean chroma (0 grey, 1 colour)"}, "range": [0, 1], "fixedrange": True},
        "shapes": [_level(2 / 3, LINE)],
        "annotations": [noise],
        "legend": LEGEND_ABOVE,
    }
    return plain_figure(lines, layout | {"margin": {"l": 10, "r": 10, "t": 40, "b": 10}}, height=360)


def input_labels(found: UnitInputs, rows: NDArray[np.intp]) -> list[str]:
    """Hover texts for the tiles of a page."""
    return [
        f"channel {found.channels[row]}, {TOWER_MARKS[found.towers[row]].name}<br>strength {found.strengths[row]:.3f}"
        for row in rows
    ]


def facts(indices: KernelIndices, kernel: int) -> list[Fact]:
    """What is known of one kernel, for a row of numbers with explanations."""
    chroma, hue, frequency, orientation, selectivity, norm = (
        float(values[kernel])
        for values in (
            indices.chroma,
            indices.hue,
            indices.frequency,
            indices.orientation,
            indices.selectivity,
            indices.norm,
        )
    )
    grey = not chroma >= 0.1  # under it the hue is decided by noise
    return [
        Fact(
            "Chroma",
            _number(chroma, "{:.2f}"),
            "Share of the kernel's energy that a grey image cannot reach: 0 is a black-and-white kernel, 1 a pure "
            "colour kernel. Random weights have 0.67.",
        ),
        Fact(
            "Hue",
            "none (grey)" if grey else f"{hue_name(hue)}, {round(hue) % 360}°",
            "Colour of the strongest spot of the kernel: red 0°, yellow 60°, green 120°, cyan 180°, blue 240°, "
            f"magenta 300°. {'' if grey else f'This kernel sets {hue_pair(hue)}.'}",
        ),
        Fact(
            "Frequency",
            _number(frequency, "{:.2f} cycles/px"),
            "How fine the pattern is: the centre of its power spectrum. 0.5 would be stripes one pixel wide.",
        ),
        Fact(
            "Orientation",
            f"{round(orientation) % 180}°" if selectivity >= 0.2 else "no clear one",
            "Direction of the stripes: 0° lying, 90° upright, anticlockwise. Selectivity "
            f"{_number(selectivity, '{:.2f}')} (0: all directions alike, 1: one only); under 0.2 none is given.",
        ),
        Fact("Norm", _number(norm, "{:.3f}"), "Strength: the root of the sum of all squared weights."),
        Fact(
            "State",
            "live" if indices.live[kernel] else "noise",
            "A kernel counts as live if its norm is at least 5% of the median and its neighbouring weights agree "
            "more than those of 99% of random kernels. Only live kernels enter the statistics.",
        ),
    ]


def heading(indices: KernelIndices, kernel: int, colour: bool, towers: int) -> str:
    """A kernel's number, tower and kind."""
    mark = TOWER_MARKS[kernel * towers // len(indices.chroma)]
    owner = f", {mark.glyph} {mark.name}" if towers > 1 else ""
    kind = "colour kernel" if colour else "no colour kernel" if indices.live[kernel] else "noise, not counted"
    return f"Kernel {kernel}{owner}: {kind}"


def descriptions(indices: KernelIndices, colour: NDArray[np.bool_], towers: int) -> list[str]:
    """Every kernel in a few lines: the hover texts of the board."""
    return [
        "<br>".join(
            [
                heading(indices, kernel, bool(colour[kernel]), towers),
                *(f"{fact.label.lower()} {fact.value}" for fact in facts(indices, kernel)),
            ]
        )
        for kernel in range(len(colour))
    ]


def board_text(indices: KernelIndices, colour: NDArray[np.bool_], towers: int) -> str:
    """The board in a few sentences: its text alternative."""
    names = [TOWER_MARKS[tower].name for tower in range(towers)]
    counts = [f"{int(block.sum())} in {name}" for block, name in zip(np.split(colour, towers), names, strict=True)]
    layout = f"one block for each of {', '.join(names)}" if towers > 1 else "one block"
    return (
        f"{len(colour)} first-layer kernels as tiles in {layout}. "
        f"Colour kernels, marked by a star: {', '.join(counts) if towers > 1 else int(colour.sum())}. "
        f"Kernels that are noise or near zero, marked by a cross: {int((~indices.live).sum())}. "
        "All their numbers are in the table below."
    )


def readers_text(found: Readers, kernel: int, layer: str) -> str:
    """Who reads a kernel, in words."""
    return (
        f"The units of {layer} in the finished network with the largest weights on kernel {kernel}: "
        f"{', '.join(map(str, found.units[:3]))} lead the {len(found.units)} that can see it. "
        "The dotted line is the median of them all."
    )


def unit_text(layer: str, unit: int, tower: int, towers: int, found: UnitInputs) -> str:
    """To which tower a unit belongs and from which towers its weights come."""
    count = len(found.channels)
    if towers == 1:
        return f"Unit {unit} of {layer} reads all {count} channels of the layer below."
    own, shares = TOWER_MARKS[tower].name, found.energy_by_tower()
    if set(shares) == {tower}:
        return f"Unit {unit} of {layer} belongs to {own} and reads only the {count} channels of its own tower."
    parts = ", ".join(f"{100 * share:.0f}% on {TOWER_MARKS[owner].name}" for owner, share in shares.items())
    return (
        f"Unit {unit} of {layer} belongs to {own} and reads {count} channels of all towers; "
        f"of its squared weights lie {parts}."
    )


def page_name(found: UnitInputs, rows: NDArray[np.intp], towers: int) -> str:
    """Which input channels a page shows."""
    first, last = found.channels[rows].min(), found.channels[rows].max()
    mark = TOWER_MARKS[found.towers[rows[0]]]
    owner = f" of {mark.glyph} {mark.name}" if towers > 1 else ""
    span = f"{first} to {last}" if last - first + 1 == len(rows) else f"between {first} and {last}"
    return f"{len(rows)} input channels{owner}, {span}"


def data_uri(picture: Picture) -> str:
    """A picture as the text of a PNG that a figure can carry."""
    return "data:image/png;base64," + base64.b64encode(_png(picture)).decode()


def _image(board: Board) -> dict[str, Any]:
    """The picture pixel by pixel: a browser would smooth it otherwise."""
    return {"type": "image", "source": data_uri(board.picture), "zsmooth": False, "hoverinfo": "skip"}


def _corner_marks(board: Board, chosen: NDArray[np.bool_], symbol: str, name: str) -> dict[str, Any]:
    """A symbol in the upper right corner of some tiles; left out of the legend where there are none."""
    corner = board.side / 2 - 1.5
    return {
        "type": "scatter",
        "x": board.x[chosen] + corner,
        "y": board.y[chosen] - corner,
        "mode": "markers",
        "marker": {"size": 9, "symbol": symbol, "color": "white", "line": {"color": "black", "width": 1}},
        "name": name,
        "hoverinfo": "skip",
        "showlegend": bool(chosen.any()),
    }


def _block_heading(board: Board, block: int) -> dict[str, Any]:
    tower, count = board.towers[block], len(board.x) // len(board.towers)
    glyph = f"{TOWER_MARKS[tower].glyph} " if len(board.towers) > 1 else ""
    return _heading(board.edges[block][0], -2, f"<b>{glyph}{_tower_name(tower, board)}</b> ({count})")


def _tower_frame(board: Board, block: int) -> dict[str, Any]:
    (left, right), height = board.edges[block], board.picture.shape[0]
    line = {"color": LINE, "width": 2, "dash": TOWER_MARKS[board.towers[block]].dash}
    return {"type": "rect", "x0": left - 1.5, "x1": right + 1.5, "y0": -1.5, "y1": height + 0.5, "line": line}


def _chosen_frame(board: Board, chosen: int) -> list[dict[str, Any]]:
    """White on black, so that it stands out on every kernel and every page."""
    x, y, half = float(board.x[chosen]), float(board.y[chosen]), board.side / 2
    box = {"type": "rect", "x0": x - half, "x1": x + half, "y0": y - half, "y1": y + half}
    return [box | {"line": {"color": "black", "width": 5}}, box | {"line": {"color": "white", "width": 2}}]


def _heading(x: float, y: float, text: str) -> dict[str, Any]:
    corner = {"x": x, "y": y, "xanchor": "left", "yanchor": "bottom", "showarrow": False}
    return corner | {"text": text, "font": {"size": 14}}


def _tower_name(tower: int, board: Board) -> str:
    return TOWER_MARKS[tower].name if len(board.towers) > 1 else "the only tower"


def _dashed_frame(draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], tower: int) -> None:
    left, top, right, bottom = box
    on, off = {"solid": (1, 0), "dash": (16, 10), "dot": (4, 8), "dashdot": (24, 6)}[TOWER_MARKS[tower].dash]
    for start, end, line in (
        (left, right, lambda a, b: [(a, top), (b, top)]),
        (left, right, lambda a, b: [(a, bottom), (b, bottom)]),
        (top, bottom, lambda a, b: [(left, a), (left, b)]),
        (top, bottom, lambda a, b: [(right, a), (right, b)]),
    ):
        for place in range(start, end, on + off):
            draw.line(line(place, min(place + on, end)), fill="black", width=3)


def _level(value: float, colour: str) -> dict[str, Any]:
    """A dotted line across the figure."""
    line = {"color": colour, "dash": "dot", "width": 2}
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": value, "y1": value, "line": line}


def _bar_below(title: str, y: float) -> dict[str, Any]:
    """A lying colour bar whose top is at `y` (0 is the lower edge of the plot)."""
    place = {"orientation": "h", "thickness": 12, "len": 0.9, "y": y, "yanchor": "top"}
    return place | {"title": {"text": title, "side": "bottom"}}


def _number(value: float, pattern: str) -> str:
    return pattern.format(value) if np.isfinite(value) else "undefined"


def _opaque(rgb: Picture) -> Picture:
    return np.concatenate([rgb, np.full((*rgb.shape[:-1], 1), 255, np.uint8)], axis=-1)


def _png(picture: Picture) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


@cache
def _diverging_table() -> Picture:
    """RGB of the diverging scale for the bytes 0-255, shape (256, 3)."""
    colours = sample_colorscale(DIVERGING, np.linspace(0, 1, 256))
    return np.array([unlabel_rgb(colour) for colour in colours]).round().astype(np.uint8)
