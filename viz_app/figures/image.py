"""Figures of the Inspect page: guesses, maps of a stage, one unit on the photo, evidence, towers compared."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from plotly.colors import get_colorscale, sample_colorscale, unlabel_rgb

from alexnet_core.geometry import ReceptiveField
from analysis.activations import Balance, Box, Frame, Maps, Position
from analysis.mosaic import mosaic, to_bytes
from viz_app.figures.theme import (
    DIVERGING,
    LEGEND_ABOVE,
    LINE,
    PICTURE_X,
    PICTURE_Y,
    SEQUENTIAL,
    TOWER_MARKS,
    percent,
    plain_figure,
)
from viz_app.uploads import Picture

GAP = 255  # the palette entry between the tiles: transparent
INKS = 8  # the entries before it: a grey that is visible on light and dark, ever less transparent, for headings
LEVELS = GAP - INKS  # the other entries carry values
HEADING = 0.055  # height of the headings, relative to the width of the picture
CUT_OFF = 200  # one response in so many is beyond the end of a shared colour scale
BETWEEN = 10  # pixels between the blocks of two towers
HEAT = "Inferno"  # map laid over a photo; its opacity grows with the value as well
COLOURINGS = (("solid", "circle", "#009e73"), ("dot", "square", LINE), ("dash", "diamond", "#cc79a7"))  # line marks


class Scale(NamedTuple):
    """Responses at the two ends of a colour scale; `low` is 0 or -`high`."""

    low: float
    high: float

    @property
    def signed(self) -> bool:
        """Whether the stage has negative responses."""
        return self.low < 0


class Board(NamedTuple):
    """All maps of a stage as one picture, a block per tower from left to right."""

    png: bytes  # 256-colour palette, transparent between the tiles
    width: int
    height: int
    x: NDArray[np.float64]  # (units,) middle of each unit's tile, pixels of the picture
    y: NDArray[np.float64]
    tile: tuple[int, int]  # width, height
    towers: int
    per_map: bool  # whether every map has a colour scale of its own


def shared_scale(maps: Sequence[Maps]) -> Scale:
    """One colour scale for several map sets: from 0, or symmetric about 0 where there are negative responses.

    It ends at the magnitude that one response in 200 exceeds, so that a single strong unit does not darken all.
    """
    sizes = np.abs(np.concatenate([block.ravel() for block in maps]))
    rank = len(sizes) - 1 - len(sizes) // CUT_OFF
    high = float(np.partition(sizes, rank)[rank]) or float(sizes.max()) or 1.0
    return Scale(-high if min(float(block.min()) for block in maps) < 0 else 0.0, high)


def full_scale(values: Maps) -> Scale:
    """A colour scale on which nothing is cut off."""
    high = float(np.abs(values).max()) or 1.0
    return Scale(-high if values.min() < 0 else 0.0, high)


def lay_out(maps: Maps, scale: Scale, towers: int, *, per_map: bool, wide: bool, width: int) -> Board:
    """Draw maps (units, h, w) of a stage tower by tower; fully connected units become one pixel each.

    With `per_map` every map that has positions is stretched to its own largest magnitude first. Blocks are `wide`
    or high; pixels are enlarged by the whole factor that brings the picture closest to `width` pixels.
    """
    columns = _columns(len(maps) // towers, wide=wide)
    enlarge = max(1, round(width / (towers * columns * maps.shape[2])))
    names = [mark.name for mark in TOWER_MARKS[:towers]] if towers > 1 else ["no towers"]
    tiles = np.split(_levels(maps, scale, per_map), towers)
    blocks = [
        _block(part, columns, enlarge, name, round(HEADING * width)) for part, name in zip(tiles, names, strict=True)
    ]
    gap = np.full((len(blocks[0].picture), BETWEEN), GAP, np.uint8)
    picture = np.hstack([part for block in blocks for part in (block.picture, gap)][:-1])
    step = blocks[0].picture.shape[1] + BETWEEN
    x, y = np.concatenate([block.centres + np.array([tower * step, 0]) for tower, block in enumerate(blocks)]).T
    tile = (maps.shape[2] * enlarge, maps.shape[1] * enlarge)
    png, stretched = _palette_png(picture, scale.signed), per_map and maps.shape[1:] != (1, 1)
    return Board(png, picture.shape[1], picture.shape[0], x, y, tile, towers, stretched)


def _levels(maps: Maps, scale: Scale, per_map: bool) -> NDArray[np.uint8]:
    if per_map and maps.shape[1:] != (1, 1):
        peak = np.abs(maps).max((1, 2), keepdims=True)
        maps = maps * (scale.high / np.where(peak > 0, peak, 1)).astype(np.float32)
    beyond = scale.low + (scale.high - scale.low) * 255 / (LEVELS - 1)  # so that `high` becomes the last level
    return np.minimum(to_bytes(maps, scale.low, beyond), LEVELS - 1)


def _columns(count: int, *, wide: bool) -> int:
    """The divisor of `count` next to its root from above (a wide block of tiles) or from below (a high one)."""
    divisors = [number for number in range(1, count + 1) if count % number == 0]
    return min(d for d in divisors if d * d >= count) if wide else max(d for d in divisors if d * d <= count)


class _Block(NamedTuple):
    picture: NDArray[np.uint8]  # palette entries
    centres: NDArray[np.float64]  # (units, 2), middles of the tiles in x and y


def _block(tiles: NDArray[np.uint8], columns: int, enlarge: int, name: str, head: int) -> _Block:
    """One tower's tiles under its name, `head` pixels high."""
    if tiles.shape[1:] == (1, 1):
        picture = tiles.reshape(-1, columns).repeat(enlarge, 0).repeat(enlarge, 1)
        rows, places = np.divmod(np.arange(len(tiles)), columns)
        centres = (np.stack([places, rows], 1) + 0.5) * enlarge
    else:
        picture, grid = mosaic(tiles, columns=columns, enlarge=enlarge, background=GAP)
        centres = np.array([grid.centre(index)[::-1] for index in range(len(tiles))])
    return _Block(np.vstack([_heading(name, picture.shape[1], head), picture]), centres + np.array([0, head]))


@cache
def _heading(text: str, width: int, height: int) -> NDArray[np.uint8]:
    """Text in palette entries, its smooth edges half transparent."""
    mask = Image.new("L", (width, height))
    ImageDraw.Draw(mask).text((width / 2, height / 2), text, 255, ImageFont.load_default(0.75 * height), anchor="mm")
    strength = np.asarray(mask).astype(np.uint16) * INKS // 255
    return np.where(strength, LEVELS + strength - 1, GAP).astype(np.uint8)


def _colours(signed: bool) -> list[tuple[float, str]]:
    scale: list[tuple[float, str]] = get_colorscale(DIVERGING if signed else SEQUENTIAL)
    return scale


@cache
def _palette(signed: bool) -> bytes:
    colours = sample_colorscale(_colours(signed), np.linspace(0, 1, LEVELS))
    return bytes(round(part) for colour in colours for part in unlabel_rgb(colour)) + bytes([128] * 3 * (INKS + 1))


def _palette_png(picture: NDArray[np.uint8], signed: bool) -> bytes:
    image = Image.fromarray(picture).convert("P")
    image.putpalette(_palette(signed))
    opacity = bytes([255] * LEVELS + [255 * (step + 1) // INKS for step in range(INKS)] + [0])
    file = BytesIO()
    image.save(file, "PNG", transparency=opacity, compress_level=1)
    return file.getvalue()


def legend_png(*, signed: bool) -> bytes:
    """The colours of the maps from their lowest to their highest value, as a strip of 254 x 14 pixels."""
    strip = np.arange(LEVELS, dtype=np.uint8)[None].repeat(14, 0)
    return _palette_png(strip, signed)


def sheet_png(boards: Mapping[str, Board], legends: Mapping[str, bytes], columns: int = 3) -> bytes:
    """Boards on one white sheet for print, each under its line of text; the colour scales come last."""
    parts = [(line, board.png) for line, board in boards.items()] + list(legends.items())
    tiles = [(line, Image.open(BytesIO(png)).convert("RGBA")) for line, png in parts]
    font, edge, text = ImageFont.load_default(16), 24, 28
    width = max(tile.width for _, tile in tiles)
    rows = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    heights = [text + edge + max(tile.height for _, tile in row) for row in rows]
    sheet = Image.new("RGB", (edge + columns * (width + edge), edge + sum(heights)), "white")
    draw, top = ImageDraw.Draw(sheet), edge
    for row, height in zip(rows, heights, strict=True):
        for column, (line, tile) in enumerate(row):
            left = edge + column * (width + edge)
            draw.text((left, top), line.translate(_NOT_IN_THE_FONT), "black", font)
            sheet.paste(tile, (left, top + text), tile)
        top += height
    file = BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()


def board_figure(board: Board, scale: Scale, largest: NDArray[np.floating], chosen: int) -> go.Figure:
    """The maps of a stage with a mark to click on every unit; `largest` (units,) are their largest responses.

    Each tower is a trace of its own, its points in the order of its units.
    """
    units = len(largest) // board.towers
    traces = [_clickable(board, largest, range(t * units, (t + 1) * units), t) for t in range(board.towers)]
    traces[0]["marker"] |= _colour_scale(units, scale, board.per_map)
    x, y, width, height = board.x[chosen], board.y[chosen], board.tile[0] / 2 + 2, board.tile[1] / 2 + 2
    layout = {
        "images": [_picture(board.png, "png", board.width, board.height)],
        "shapes": _outline(Box(x - width, y - height, x + width, y + height)),
        "xaxis": PICTURE_X | {"range": [-4, board.width + 4]},
        "yaxis": PICTURE_Y | {"range": [board.height + 4, 0]},
        "clickmode": "event+select",
        "dragmode": False,
        "hovermode": "closest",
        "showlegend": False,
    }
    return plain_figure(traces, layout, height=430)


def clicked_unit(curve: int, point: int, units: int, towers: int) -> int:
    """The unit behind a click on a `board_figure` of `units` units: which trace, which of its points."""
    return curve * (units // towers) + point


def _clickable(board: Board, largest: NDArray[np.floating], members: range, tower: int) -> dict[str, Any]:
    part, owner = slice(members.start, members.stop), f", {TOWER_MARKS[tower].name}" if board.towers > 1 else ""
    return {
        "type": "scatter",
        "x": board.x[part].astype(np.float32),
        "y": board.y[part].astype(np.float32),
        "text": [str(unit) for unit in members],
        "customdata": largest[part].astype(np.float32),
        "mode": "markers",
        "marker": {"opacity": 0, "symbol": "square", "size": 14 if len(members) < 1000 else 6},
        "selected": {"marker": {"opacity": 0}},
        "unselected": {"marker": {"opacity": 0}},
        "hovertemplate": f"unit %{{text}}{owner}<br>largest response %{{customdata:.3g}}<extra></extra>",
    }


def unit_figure(
    photo: Picture,
    responses: Maps,
    frame: Frame,
    field: ReceptiveField,
    places: Sequence[Position],
    box: Box | None,
    title: str,
) -> go.Figure:
    """One unit's map (h, w) over the photo, its strongest places numbered, what the first of them sees framed."""
    marks = [_numbered(number, place, frame, field) for number, place in enumerate(places, 1)]
    return _map_on_photo(photo, responses, frame, field, "response", title, _outline(box) if box else [], marks)


def evidence_figure(
    photo: Picture, evidence: Maps, frame: Frame, field: ReceptiveField, title: str, *, scale: Scale | None = None
) -> go.Figure:
    """Grad-CAM (h, w) of one class over the photo; figures to be compared are given one scale."""
    return _map_on_photo(photo, evidence, frame, field, "evidence (logits)", title, [], [], scale)


def framed_jpeg(photo: bytes, frame: Frame) -> bytes:
    """The photo (JPEG) with a frame around what the network reads of it."""
    image = Image.open(BytesIO(photo))
    draw = ImageDraw.Draw(image)
    draw.rectangle(frame.outline, outline="black", width=5)
    draw.rectangle(frame.outline, outline="white", width=3)
    file = BytesIO()
    image.save(file, "JPEG", quality=88)
    return file.getvalue()


def crop_figure(photo: Picture, width: int, height: int, box: Box | None = None) -> go.Figure:
    """A photo of that many pixels to draw a box on; what lies outside of the box that there is is dimmed."""
    x, y = (edges.ravel() for edges in np.meshgrid(np.linspace(0, width, 9), np.linspace(0, height, 9)))
    hidden = {"marker": {"opacity": 0}}
    ground = {  # the browser tells of a box only where there are points
        "type": "scatter",
        "x": x.astype(np.float32),
        "y": y.astype(np.float32),
        "mode": "markers",
        "hoverinfo": "none",
        **hidden,
        "selected": hidden,
        "unselected": hidden,
    }
    layout = {
        "images": [_picture(photo.shown, "jpeg", width, height)],
        "shapes": [_outside(box, width, height), *_outline(box)] if box else [],
        "xaxis": PICTURE_X | {"range": [0, width]},
        "yaxis": PICTURE_Y | {"range": [height, 0]},
        "dragmode": "select",
        "showlegend": False,
    }
    return plain_figure([ground], layout, height=int(np.clip(20 + 370 * height / width, 120, 420)))


def _outside(box: Box, width: int, height: int) -> dict[str, Any]:
    """Everything but a rectangle, dimmed."""
    whole = f"M 0,0 H {width} V {height} H 0 Z"
    hole = f"M {box.left},{box.top} V {box.bottom} H {box.right} V {box.top} Z"  # wound the other way round
    return {"type": "path", "path": f"{whole} {hole}", "fillcolor": "rgba(0,0,0,0.55)", "line": {"width": 0}}


def guess_bars(names: Sequence[str], probabilities: NDArray[np.floating], swatches: Sequence[str] = ()) -> go.Figure:
    """Horizontal bars of the best guesses, best on top, each under its probability and name.

    Written above, not beside, a name fits a narrow column whatever the bar's length. `swatches` are colours
    ("#1fa3a0") that the names speak of, shown before them.
    """
    bars = {
        "type": "bar",
        "x": probabilities.astype(np.float32),
        "orientation": "h",
        "marker": {"color": TOWER_MARKS[0].colour},
        "width": 0.3,
        "offset": 0.15,
        "hoverinfo": "skip",
    }
    layout: dict[str, Any] = {
        "annotations": [
            _note(f"<b>{percent(float(value))}</b>  {_plain(name)}", row)
            for row, (name, value) in enumerate(zip(names, probabilities, strict=True))
        ],
        "xaxis": _share_axis("probability") | {"dtick": 0.25},
        "yaxis": {"visible": False, "autorange": "reversed", "fixedrange": True},
    }
    if any(swatches):
        layout |= {"shapes": [_swatch(row, colour) for row, colour in enumerate(swatches) if colour]}
        layout |= {"margin": {"l": 30, "r": 10, "t": 10, "b": 10}}
    return plain_figure([bars], layout, height=230)


def _note(text: str, row: int) -> dict[str, Any]:
    """Words above the bar of this row."""
    place = {"x": 0, "y": row - 0.15, "xanchor": "left", "xshift": -3, "yanchor": "middle"}
    return {"text": text, "showarrow": False, "font": {"size": 13}, **place}


def _swatch(row: int, colour: str) -> dict[str, Any]:
    """A small square left of the bar of this row."""
    place = {"xref": "paper", "xanchor": 0, "xsizemode": "pixel", "x0": -22, "x1": -8}
    height = {"yref": "y", "yanchor": row, "ysizemode": "pixel", "y0": -7, "y1": 7}
    return {"type": "rect", "fillcolor": colour, "line": {"width": 0}, **place, **height}


def balance_bars(balance: Balance) -> go.Figure:
    """Share of every stage's energy in each tower, as bars that fill the width, with the numbers on them."""
    layout = {
        "barmode": "stack",
        "bargap": 0.12,
        "legend": LEGEND_ABOVE | {"traceorder": "normal"},
        "shapes": [_middle("x", "white")],
        "xaxis": _share_axis("share of activation energy"),
        "yaxis": {"autorange": "reversed", "fixedrange": True},
    }
    traces = [_tower_share(balance, tower) for tower in range(balance.shares.shape[1])]
    return plain_figure(traces, layout, height=60 + 22 * len(balance.stages))


def _tower_share(balance: Balance, tower: int) -> dict[str, Any]:
    mark, share = TOWER_MARKS[tower], balance.shares[:, tower]
    pattern = {"shape": _PATTERNS[tower], "fillmode": "overlay", "fgcolor": "white", "fgopacity": 0.25}
    return {
        "type": "bar",
        "x": share.astype(np.float32),
        "y": balance.stages,
        "orientation": "h",
        "name": mark.name,
        "marker": {"color": mark.colour, "pattern": pattern},
        "text": [f"{mark.name[-1]} {value:.0%}" if np.isfinite(value) else "silent" for value in share],
        "textposition": "inside",
        "insidetextanchor": "start" if tower == 0 else "end",
        "insidetextfont": {"color": "white", "size": 12},
        "constraintext": "none",
        "textangle": 0,
        "hovertemplate": f"%{{y}}, {mark.name}: %{{x:.1%}}<extra></extra>",
    }


def share_lines(balances: Mapping[str, Balance]) -> go.Figure:
    """Tower A's share of energy, stage by stage, one line per colouring of the photo."""
    traces = [
        _line(balance.stages, balance.shares[:, 0], name, *look)
        for (name, balance), look in zip(balances.items(), COLOURINGS, strict=True)
    ]
    return _over_stages(traces, f"Energy in {TOWER_MARKS[0].name}", 1.0, [_middle("y", LINE)])


def change_lines(change: Balance, top: float, title: str) -> go.Figure:
    """How far each tower's responses move, stage by stage; the axis ends at `top` so that figures compare."""
    traces = [
        _line(change.stages, shares, mark.name, mark.dash, mark.symbol, mark.colour)
        for shares, mark in zip(change.shares.T, TOWER_MARKS, strict=False)
    ]
    return _over_stages(traces, title, top * 1.05, [])


def highest(changes: Iterable[Balance]) -> float:
    """The largest value of several balances, for a common axis."""
    return max(float(np.nanmax(change.shares, initial=0.01)) for change in changes)


_NOT_IN_THE_FONT = str.maketrans({"×": "x", "−": "-", "*": ""})
_PATTERNS = ("", "/", "x", ".")  # of the towers' bars


def _titled(title: str) -> dict[str, Any]:
    """Layout of a figure with a title above it."""
    return {"margin": {"l": 10, "r": 10, "t": 40, "b": 10}, "title": {"text": _plain(title), "font": {"size": 14}}}


def _line(
    stages: list[str], values: NDArray[np.floating], name: str, dash: str, symbol: str, colour: str
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "x": stages,
        "y": values.astype(np.float32),
        "name": _plain(name),
        "mode": "lines+markers",
        "line": {"color": colour, "dash": dash, "width": 2},
        "marker": {"symbol": symbol, "size": 8},
        "hovertemplate": f"%{{x}}, {_plain(name)}: %{{y:.0%}}<extra></extra>",
    }


def _over_stages(traces: list[dict[str, Any]], title: str, top: float, shapes: list[dict[str, Any]]) -> go.Figure:
    layout = {
        "legend": LEGEND_ABOVE,
        "margin": {"l": 10, "r": 10, "t": 95, "b": 10},
        "shapes": shapes,
        "xaxis": {"tickangle": -90, "dtick": 1, "fixedrange": True, "tickfont": {"size": 10}},
        "yaxis": {"tickformat": ".0%", "fixedrange": True, "range": [0, top]},
    }
    return plain_figure(traces, _titled(title) | layout, height=360)


def _share_axis(title: str) -> dict[str, Any]:
    return {"title": {"text": title}, "range": [0, 1.03], "tickformat": ".0%", "tickangle": 0, "fixedrange": True}


def _middle(axis: str, colour: str) -> dict[str, Any]:
    """A dotted line at one half of the axis, across the plot."""
    other = "y" if axis == "x" else "x"
    ends = {f"{axis}0": 0.5, f"{axis}1": 0.5, f"{other}0": 0, f"{other}1": 1, f"{other}ref": f"{other} domain"}
    return {"type": "line", **ends, "line": {"color": colour, "dash": "dot", "width": 2}}


def _map_on_photo(
    photo: Picture,
    values: Maps,
    frame: Frame,
    field: ReceptiveField,
    what: str,
    title: str,
    shapes: list[dict[str, Any]],
    annotations: list[dict[str, Any]],
    scale: Scale | None = None,
) -> go.Figure:
    """A map over the photo in grey, each value where its unit's field is centred; small values are transparent."""
    scale = scale or full_scale(values)
    first, step = field.first_centre * frame.scale, field.step * frame.scale
    heat = {
        "type": "heatmap",
        "z": values.astype(np.float32),
        "x0": frame.left + first,
        "dx": step,
        "y0": frame.top + first,
        "dy": step,
        "zmin": scale.low,
        "zmax": scale.high,
        "colorscale": _glaze(scale.signed),
        "colorbar": _bar(what),
        "hovertemplate": what + " %{z:.3g}<extra></extra>",
    }
    layout = {
        "images": [_picture(photo.shown_grey, "jpeg", photo.width, photo.height)],
        "shapes": _outline(frame.outline, "dot") + shapes,
        "annotations": annotations,
        "xaxis": PICTURE_X | {"range": [0, photo.width]},
        "yaxis": PICTURE_Y | {"range": [photo.height, 0]},
        "dragmode": False,
    }
    return plain_figure([heat], _titled(title) | layout, height=340)


@cache
def _glaze(signed: bool) -> list[list[float | str]]:
    """Colour scale whose opacity grows with the distance from zero."""
    places = np.linspace(0, 1, 21)
    strength = np.abs(2 * places - 1) if signed else places
    colours = (unlabel_rgb(colour) for colour in sample_colorscale(DIVERGING if signed else HEAT, places))
    return [
        [float(place), f"rgba({r:.0f},{g:.0f},{b:.0f},{0.85 * alpha**0.7:.3f})"]
        for place, (r, g, b), alpha in zip(places, colours, strength, strict=True)
    ]


def _numbered(number: int, place: Position, frame: Frame, field: ReceptiveField) -> dict[str, Any]:
    """A numbered spot at a unit's place."""
    return {
        "x": frame.left + (field.first_centre + place.column * field.step) * frame.scale,
        "y": frame.top + (field.first_centre + place.row * field.step) * frame.scale,
        "text": f"<b>{number}</b>",
        "showarrow": False,
        "font": {"color": "white", "size": 12},
        "bgcolor": "rgba(0,0,0,0.75)",
        "borderpad": 1,
        "hovertext": f"place {number}: response {place.value:.3g}",
    }


def _outline(box: Box, dash: str = "solid") -> list[dict[str, Any]]:
    """A rectangle to be seen on any ground: white on black."""
    rectangle = {"type": "rect", "x0": box.left, "y0": box.top, "x1": box.right, "y1": box.bottom}
    lines = ({"color": "black", "width": 4}, {"color": "white", "width": 2, "dash": dash})
    return [rectangle | {"line": line} for line in lines]


def _picture(data: bytes, kind: str, width: int, height: int) -> dict[str, Any]:
    """A picture behind the traces, one unit of the axes per pixel."""
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    place = {"xref": "x", "yref": "y", "x": 0, "y": 0, "sizex": width, "sizey": height}
    return {"source": source, **place, "sizing": "stretch", "layer": "below"}


def _colour_scale(count: int, scale: Scale, per_map: bool) -> dict[str, Any]:
    """Settings that make the markers of a trace show the colour scale of a board."""
    high = 1.0 if per_map else scale.high
    return {
        "color": np.zeros(count, np.int8),
        "colorscale": _colours(scale.signed),
        "cmin": -high if scale.signed else 0.0,
        "cmax": high,
        "showscale": True,
        "colorbar": _bar("share of its own largest" if per_map else "response (top 0.5% cut off)"),
    }


def _bar(title: str) -> dict[str, Any]:
    return {"title": {"text": title, "side": "right"}, "thickness": 12, "len": 0.9, "outlinewidth": 0}


def _plain(text: str) -> str:
    """Text that plotly must not read as markup."""
    return text.replace("<", "&lt;")
