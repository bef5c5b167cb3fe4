"""The towers' kernels by their colour: every kernel is drawn as itself, at the place of its numbers."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray
from PIL import ImageColor

from analysis.kernels.indices import KernelIndices
from analysis.stats import Interval
from analysis.towers.comparison import TowerResult
from analysis.towers.references import REFERENCES
from analysis.towers.secondary import Neighbours, Secondary
from analysis.towers.sweep import Sweep
from viz_app.figures.kernels import Picture, data_uri, descriptions, rgb_tiles
from viz_app.figures.rows import interval_marks, rows_figure, tick_marks
from viz_app.figures.theme import ACCENT, LEGEND_ABOVE, LINE, PICTURE_Y, TOWER_MARKS, plain_figure

SPAN = 330  # canvas pixels from 0 to 1 chroma: thirty tiles of 11
RISE = 205  # canvas pixels from frequency 0 to the highest one
EDGE = 10  # canvas pixels around
GAP = 5  # canvas pixels from the line between the towers to their first tiles
PITCH = 12  # canvas pixels from a tile to the one on top of it
COLOURFUL = (0, 0.25, 0.5, 0.75, 1)  # ticks of chroma

SWARM_TEXT = (
    "Every kernel of the first layer as a picture (each on its own contrast) at its chroma, tower A above the line and "
    "tower B below it. Dotted: Otsu's threshold, which never looks at the towers."
)
MAP_TEXT = (
    "Every kernel at its chroma and its mean spatial frequency: coarse patterns below, fine ones above. Solid frames "
    "are tower A's, dashed ones tower B's."
)
SWEEP_TEXT = (
    "Wherever colour is taken to begin: the share of the colour kernels that lies in one tower. A threshold picked "
    "because it parts the towers well must lie above the bands, which hold for all thresholds at once "
    "(max-T, Westfall and Young 1993)."
)
REFERENCES_TEXT = (
    "Difference of the towers' mean chroma, less colourful from more colourful tower, with 95% intervals over kernels. "
    "Ticks: what 95% and 99.9% of shuffled tower labels stay below. Each row is one network."
)
SECONDARY_TEXT = (
    "What else differs between the towers. p (Holm) is adjusted for all rows, so that 5% holds for the whole table. "
    "Cliff's delta: how much more often a kernel of tower B has the larger value than the smaller."
)
INDEX_NAMES = {
    "frequency": "frequency (cycles/px)",
    "selectivity": "orientation selectivity",
    "separability": "separability of colour and pattern",
    "gabor_fit": "Gabor fit (R²)",
    "weighted_chroma": "chroma weighted by natural images",
    "colour_selectivity": "colour selectivity on images",
}


class Spots(NamedTuple):
    """Tiles on a canvas."""

    picture: Picture  # (height, width, 4) RGBA
    shown: NDArray[np.intp]  # numbers of the kernels on it: those with a chroma
    x: NDArray[np.float64]  # (shown,) middle of each, pixels of the picture
    y: NDArray[np.float64]


# The swarm.


def swarm(kernels: NDArray[np.floating], indices: KernelIndices) -> Spots:
    """Kernels (n, 3, k, k) piled up at their chroma without covering each other: tower A upwards, tower B down."""
    n, side = len(kernels), kernels.shape[-1]
    shown = np.flatnonzero(np.isfinite(indices.chroma))
    x = EDGE + SPAN * indices.chroma[shown]
    lower = shown >= n // 2
    height = np.zeros(len(shown))
    for half in (lower, ~lower):
        height[half] = GAP + side / 2 + PITCH * piled(x[half], side + 1)
    reach = [float(height[half].max(initial=0)) + side / 2 for half in (~lower, lower)]
    y = reach[0] + np.where(lower, height, -height)
    tiles = rgb_tiles(kernels[shown], shared=False)
    return Spots(pasted(tiles, x, y, SPAN + 2 * EDGE, int(sum(reach)) + 2), shown, x, y)


def piled(x: NDArray[np.float64], width: float) -> NDArray[np.intp]:
    """The lowest free row for each of things of this width, put down from left to right."""
    ends: list[float] = []
    rows = np.zeros(len(x), np.intp)
    for place in np.argsort(x, kind="stable"):
        rows[place] = next((row for row, end in enumerate(ends) if end <= x[place]), len(ends))
        ends[rows[place] : rows[place] + 1] = [x[place] + width]
    return rows


def pasted(tiles: Picture, x: NDArray[np.float64], y: NDArray[np.float64], width: int, height: int) -> Picture:
    """Tiles (n, k, k, 4) on a transparent canvas, each with its middle near (x, y); later ones cover earlier ones."""
    canvas, side = np.zeros((height, width, 4), np.uint8), tiles.shape[1]
    lefts, tops = (np.clip(np.rint(at - side / 2), 0, end - side).astype(int) for at, end in ((x, width), (y, height)))
    for tile, left, top in zip(tiles, lefts, tops, strict=True):
        part, solid = canvas[top : top + side, left : left + side], tile[..., 3:] > 0
        np.copyto(part, tile, where=solid)
    return canvas


def swarm_figure(
    kernels: NDArray[np.floating], indices: KernelIndices, colour: NDArray[np.bool_], result: TowerResult
) -> go.Figure:
    """The swarm with both means and the blind threshold; hover texts say what each kernel is."""
    spots = swarm(kernels, indices)
    height, width = spots.picture.shape[:2]
    middle = between_towers(spots, len(kernels))
    shapes: list[dict[str, Any]] = [_across(middle, width)]
    if result.threshold is not None:
        shapes.append(_upright(across_chroma(result.threshold), 0, height, LINE, "dot"))
    notes = []
    for mark, mean, edge, anchor in zip(TOWER_MARKS, result.mean_chroma, (0, height), ("bottom", "top"), strict=False):
        notes.append(_note(0, edge, f"<b>{mark.glyph} {mark.name}</b>", anchor) | {"xanchor": "left"})
        if mean is not None:
            shapes.append(_upright(across_chroma(mean), middle, edge, mark.colour, mark.dash))
            notes.append(_note(across_chroma(mean), edge, f"mean {mean:.2f}", anchor))
    layout = {
        "xaxis": _chroma_axis() | {"range": [-1, width]},
        "yaxis": PICTURE_Y | {"range": [height + 12, -14]},
        "shapes": shapes,
        "annotations": notes,
        "hovermode": "closest",
        "showlegend": False,
        "margin": {"l": 10, "r": 10, "t": 10, "b": 10},
    }
    traces = [_image(spots), _hover(spots, indices, colour), _noise(spots, indices)]
    return plain_figure(traces, layout, height=round(2.3 * height) + 90)


def swarm_text(indices: KernelIndices, result: TowerResult) -> str:
    """The swarm in words."""
    rows = []
    for mark, mean, chroma in zip(TOWER_MARKS, result.mean_chroma, np.split(indices.chroma, 2), strict=False):
        low, median, high = np.nanquantile(chroma, (0.25, 0.5, 0.75))
        rows.append(
            f"{mark.name}: mean {'undefined' if mean is None else f'{mean:.2f}'}, median {median:.2f}, "
            f"half of its kernels between {low:.2f} and {high:.2f}"
        )
    return f"Chroma of the {len(indices.chroma)} first-layer kernels. {'; '.join(rows)}."


# Chroma and frequency.


def chroma_map(kernels: NDArray[np.floating], indices: KernelIndices) -> tuple[Spots, float]:
    """Kernels framed in their tower's line at their chroma and frequency, and the frequency at the top."""
    n = len(kernels)
    shown = np.flatnonzero(np.isfinite(indices.chroma) & np.isfinite(indices.frequency))
    top = max(0.3, float(indices.frequency[shown].max(initial=0)) + 0.02)
    x, y = EDGE + SPAN * indices.chroma[shown], EDGE + RISE * (1 - indices.frequency[shown] / top)
    tiles = framed(rgb_tiles(kernels[shown], shared=False), shown * 2 // n)
    return Spots(pasted(tiles, x, y, SPAN + 2 * EDGE, RISE + 2 * EDGE), shown, x, y), top


def framed(tiles: Picture, towers: NDArray[np.intp]) -> Picture:
    """Tiles (n, k, k, 4) in a frame of one pixel, solid or dashed and in the colour of its tower."""
    side = tiles.shape[1] + 2
    found = np.pad(tiles, ((0, 0), (1, 1), (1, 1), (0, 0)))
    row, column = np.mgrid[:side, :side]
    edge = (row % (side - 1) == 0) | (column % (side - 1) == 0)
    for tower, mark in enumerate(TOWER_MARKS[:2]):
        drawn = edge if mark.dash == "solid" else edge & ((row + column) // 2 % 2 == 0)
        ink = np.array([*ImageColor.getrgb(mark.colour), 255], np.uint8)
        found[towers == tower] = np.where(drawn[..., None], ink, found[towers == tower])
    return found


def chroma_map_figure(kernels: NDArray[np.floating], indices: KernelIndices, colour: NDArray[np.bool_]) -> go.Figure:
    """Chroma across, frequency upwards, kernels as their own markers."""
    spots, top = chroma_map(kernels, indices)
    height, width = spots.picture.shape[:2]
    ticks = np.arange(0, top, 0.1)
    frequency = PICTURE_Y | {
        "visible": True,
        "range": [height, -1],
        "tickvals": [up_frequency(tick, top) for tick in ticks],
        "ticktext": [f"{tick:.1f}" for tick in ticks],
        "title": {"text": "frequency, cycles per pixel"},
        "showgrid": False,
        "zeroline": False,
    }
    layout = {"xaxis": _chroma_axis() | {"range": [-1, width]}, "yaxis": frequency, "hovermode": "closest"}
    traces = [_image(spots), _hover(spots, indices, colour), _noise(spots, indices)]
    return plain_figure(traces, layout | {"showlegend": False}, height=620)


def chroma_map_text(indices: KernelIndices) -> str:
    """The map in words."""
    known = np.isfinite(indices.chroma) & np.isfinite(indices.frequency) & indices.live
    rows = [
        f"{mark.name}: {np.corrcoef(indices.chroma[part], indices.frequency[part])[0, 1]:+.2f}"
        for mark, part in zip(TOWER_MARKS, _halves(known), strict=False)
        if part.sum() > 2
    ]
    return f"Chroma and frequency of every kernel. Their correlation among live kernels, {', '.join(rows)}."


# The sweep.


def sweep_figure(found: Sweep, threshold: float) -> go.Figure:
    """Purity at every threshold, with the bands that hold for all of them."""
    x = found.thresholds.astype(np.float32)
    lines = [
        _line(x, found.expected, "expected of shuffled towers", LINE, "dot"),
        _line(x, found.band_95, "95% band", LINE, "dash"),
        _line(x, found.band_999, "99.9% band", LINE, "solid"),
        _line(x, found.purity, "this network", TOWER_MARKS[0].colour, "solid")
        | {
            "mode": "lines+markers",
            "marker": {"size": 6},
            "text": [f"tower A {a}, tower B {b}" for a, b in found.colour],
            "hovertemplate": "from chroma %{x:.2f}: %{text}, %{y:.0%} in one tower<extra></extra>",
        },
    ]
    layout = {
        "xaxis": {"title": {"text": "chroma from which a kernel counts as colour"}, "fixedrange": True},
        "yaxis": {
            "title": {"text": "share in one tower"},
            "range": [0.48, 1.02],
            "tickformat": ".0%",
            "fixedrange": True,
        },
        "shapes": [_upright(threshold, 0.48, 1.02, ACCENT, "dot")],
        "annotations": [_note(threshold, 1.02, "Otsu's threshold", "bottom")],
        "legend": LEGEND_ABOVE | {"y": 1.1},
        "margin": {"l": 10, "r": 10, "t": 60, "b": 10},
    }
    return plain_figure(lines, layout, height=380)


def sweep_text(found: Sweep) -> str:
    """The sweep in words."""
    best = int(np.argmax(found.purity - found.expected))
    a, b = found.colour[best]
    return (
        f"Most above what shuffled towers give from chroma {found.thresholds[best]:.2f} on: {max(a, b)} of {a + b} "
        f"colour kernels in one tower ({found.purity[best]:.0%}, expected {found.expected[best]:.0%}). "
        f"Over all thresholds p = {found.p_value:.2g}."
    )


def sweep_table(found: Sweep) -> pd.DataFrame:
    """The sweep in numbers, a row per threshold."""
    return pd.DataFrame(
        {
            "From chroma": [f"{value:.3f}" for value in found.thresholds],
            "Colour kernels, A": found.colour[:, 0],
            "Colour kernels, B": found.colour[:, 1],
            "In one tower": [f"{value:.1%}" for value in found.purity],
            "Expected": [f"{value:.1%}" for value in found.expected],
            "95% band": [f"{value:.1%}" for value in found.band_95],
            "99.9% band": [f"{value:.1%}" for value in found.band_999],
        }
    )


# Beside published networks, and all else.


class Measured(NamedTuple):
    """One network's difference of mean chroma, tower names aside."""

    name: str
    difference: float
    interval: Interval
    null_95: float
    null_999: float


def measured_rows(results: dict[str, TowerResult]) -> list[Measured]:
    """This network's results that can be measured, then the published networks."""
    own = [
        Measured(f"this network, {name}", *_folded(result.difference, result.interval), result.null_95, result.null_999)
        for name, result in results.items()
        if result.difference is not None and result.interval and result.null_95 is not None and result.null_999
    ]
    published = [Measured(row.name, row.difference, row.interval, row.null_95, row.null_999) for row in REFERENCES]
    return [*own, *published]


def references_figure(results: dict[str, TowerResult]) -> go.Figure:
    """Differences with intervals, and the points of their nulls, a row per network."""
    rows = measured_rows(results)
    places, mark = range(len(rows)), TOWER_MARKS[0]
    ends = [(row.difference, *row.interval) for row in rows]
    traces = [
        tick_marks([row.null_95 for row in rows], places, "95% null (short tick)", 10),
        tick_marks([row.null_999 for row in rows], places, "99.9% null (long tick)", 22),
        interval_marks(ends, places, "difference, 95% interval", mark.colour, "square"),
    ]
    return rows_figure(traces, [row.name for row in rows], "difference of mean chroma", xaxis={"range": [0, 1]})


def references_alt(results: dict[str, TowerResult]) -> str:
    """The comparison in words."""
    rows = ", ".join(
        f"{row.name} {row.difference:.2f} [{row.interval.low:.2f}, {row.interval.high:.2f}]"
        for row in measured_rows(results)
    )
    return f"Difference of mean chroma: {rows}."


def references_table(results: dict[str, TowerResult]) -> pd.DataFrame:
    """This network and the published ones, every number, for reading."""
    own = [_own_row(name, result) for name, result in results.items()]
    published = [
        {
            "Network": row.name,
            "Mean chroma, A / B": f"{row.mean_chroma[0]:.2f} / {row.mean_chroma[1]:.2f}",
            "Difference": _with_interval(row.difference, row.interval),
            "Null 95% / 99.9%": f"{row.null_95:.2f} / {row.null_999:.2f}",
            "p": "≤ 1e-5",
            "Colour kernels, A / B": f"{row.colour[0]} / {row.colour[1]} (from {row.threshold:.2f})",
            "Of colour, in one tower": f"{row.share_of_colour:.0%}",
            "Of that tower, colour": f"{row.share_of_tower:.0%}",
            "Hypergeometric p": f"{row.purity_p:.1e}",
            "Information": f"{row.mutual_information:.2f} bit",
            "AUC": f"{row.auc:.2f} [{row.auc_interval.low:.2f}, {row.auc_interval.high:.2f}]",
        }
        for row in REFERENCES
    ]
    return pd.DataFrame([*own, *published])


def _own_row(name: str, result: TowerResult) -> dict[str, str]:
    row = {
        "Network": f"this network, {name}",
        "Mean chroma, A / B": " / ".join("–" if mean is None else f"{mean:.2f}" for mean in result.mean_chroma),
    }
    if result.difference is None or result.colour is None:
        return row | dict.fromkeys(("Difference", "p"), "not measurable")
    return row | {
        "Difference": _with_interval(result.difference, result.interval),
        "Null 95% / 99.9%": f"{result.null_95:.2f} / {result.null_999:.2f}",
        "p": result.p_text.removeprefix("p ").removeprefix("= "),
        "Colour kernels, A / B": f"{result.colour[0]} / {result.colour[1]} (from {result.threshold:.2f})",
        "Of colour, in one tower": _share(result.share_of_colour),
        "Of that tower, colour": _share(result.share_of_tower),
        "Hypergeometric p": f"{result.purity_p:.1e}",
        "Information": f"{result.mutual_information:.2f} bit",
        "AUC": f"{result.auc:.2f}",
    }


def verdict_text(result: TowerResult) -> str:
    """The verdict with the interval and p-value of what it rests on, a line of Markdown."""
    if result.difference is None or result.interval is None:
        return f"**{result.verdict}**"
    a, b = result.mean_chroma
    low, high = result.interval
    return (
        f"**{result.verdict}** Mean chroma of live kernels: ● tower A {a:.2f}, ◆ tower B {b:.2f}; 95% interval of the "
        f"difference [{low:+.3f}, {high:+.3f}], {result.p_text} (permutation of the towers' labels)."
    )


def shares_text(result: TowerResult) -> str:
    """The two directed shares in percent, and how much colour tells of the tower."""
    if result.colour is None:
        return ""
    return (
        f"That is {_share(result.share_of_colour)} and {_share(result.share_of_tower)}; colour begins at chroma "
        f"{result.threshold:.2f} (Otsu's threshold, which does not look at the towers). Knowing that a kernel is "
        f"colourful tells {result.mutual_information:.2f} bit of its tower, of 1."
    )


def secondary_table(found: Secondary) -> pd.DataFrame:
    """All else that was compared, for reading."""
    return pd.DataFrame(
        [
            {
                "Index": INDEX_NAMES.get(row.index, row.index),
                "Kernels, A + B": f"{row.n[0]} + {row.n[1]}",
                "Tower A": f"{row.means[0]:.3f}",
                "Tower B": f"{row.means[1]:.3f}",
                "Difference B - A, 95% interval": _with_interval(row.difference, row.interval, digits=3),
                "Cliff's delta": f"{row.cliffs_delta:+.2f}",
                "p": f"{row.p_value:.2g}",
                "p (Holm)": "–" if row.p_holm is None else f"{row.p_holm:.2g}",
            }
            for row in found.rows
        ]
    )


def secondary_text(found: Secondary) -> str:
    """What is no row of the table: the classifier, and what neighbouring channels have to do with it."""
    readable, everything = found.readable, found.unfiltered
    return (
        "Can a kernel's tower be read from all indices together? A classifier that has not seen the kernel: AUC "
        f"**{readable.auc:.2f}** (p = {readable.p_value:.2g}; about 0.5 means no). {_neighbours_text(found.neighbours)}"
        f"With no kernel left out the difference of mean chroma is {everything.difference:+.3f} "
        f"(p = {everything.p_value:.2g})."
    )


def _neighbours_text(found: Neighbours | None) -> str:
    if found is None:
        return ""
    return (
        f"Neighbouring channels of a tower are alike in chroma with Moran's I = **{found.morans_i:+.2f}** "
        f"(p = {found.p_value:.2g}; about 0 means no); dealing whole blocks of five channels to the towers instead of "
        f"single kernels gives p = **{found.block_p:.2g}** for the difference of mean chroma. "
    )


# Parts.


def _folded(difference: float, interval: Interval) -> tuple[float, Interval]:
    """Without its sign: which tower is called B is arbitrary."""
    return (difference, interval) if difference >= 0 else (-difference, Interval(-interval.high, -interval.low))


def _with_interval(value: float, interval: Interval | None, digits: int = 2) -> str:
    ends = f" [{interval.low:+.{digits}f}, {interval.high:+.{digits}f}]" if interval else ""
    return f"{value:+.{digits}f}{ends}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


def _halves(chosen: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """The same, of the first half alone and of the second half alone."""
    first = np.arange(len(chosen)) < len(chosen) // 2
    return [chosen & first, chosen & ~first]


def across_chroma(chroma: float) -> float:
    """Where a chroma lies across a canvas."""
    return EDGE + SPAN * chroma - 0.5  # pixel 0 is centred on 0


def up_frequency(frequency: float, top: float) -> float:
    """Where a frequency lies on the map of chroma and frequency whose highest frequency is `top`."""
    return EDGE + RISE * (1 - frequency / top) - 0.5


def between_towers(spots: Spots, n: int) -> float:
    """Where the line between the two towers of n kernels lies on a swarm."""
    upper = spots.y[spots.shown < n // 2]
    return float(upper.max(initial=0)) + GAP + PITCH / 2 - 0.5


def _chroma_axis() -> dict[str, Any]:
    return {
        "constrain": "domain",
        "fixedrange": True,
        "showgrid": False,
        "zeroline": False,
        "tickvals": [across_chroma(tick) for tick in COLOURFUL],
        "ticktext": [f"{tick:g}" for tick in COLOURFUL],
        "title": {"text": "chroma (0 grey, 1 colour; random weights 0.67)"},
    }


def _image(spots: Spots) -> dict[str, Any]:
    return {"type": "image", "source": data_uri(spots.picture), "zsmooth": False, "hoverinfo": "skip"}


def _hover(spots: Spots, indices: KernelIndices, colour: NDArray[np.bool_]) -> dict[str, Any]:
    """A mark on every kernel that is not seen and says what the kernel is."""
    texts = descriptions(indices, colour, 2)
    return {
        "type": "scatter",
        "x": spots.x - 0.5,
        "y": spots.y - 0.5,
        "mode": "markers",
        "marker": {"size": 22, "symbol": "square", "color": "rgba(0,0,0,0)"},
        "text": [texts[kernel] for kernel in spots.shown],
        "hovertemplate": "%{text}<extra></extra>",
    }


def _noise(spots: Spots, indices: KernelIndices) -> dict[str, Any]:
    """A cross on kernels that are noise or near zero."""
    dead = ~indices.live[spots.shown]
    return {
        "type": "scatter",
        "x": spots.x[dead] - 0.5,
        "y": spots.y[dead] - 0.5,
        "mode": "markers",
        "marker": {"size": 9, "symbol": "x", "color": "white", "line": {"color": "black", "width": 1}},
        "hoverinfo": "skip",
    }


def _line(x: NDArray[np.float32], y: NDArray[np.float64], name: str, colour: str, dash: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "x": x,
        "y": y.astype(np.float32),
        "mode": "lines",
        "name": name,
        "line": {"color": colour, "dash": dash, "width": 2},
        "hoverinfo": "skip",
    }


def _upright(x: float, y0: float, y1: float, colour: str, dash: str) -> dict[str, Any]:
    return {"type": "line", "x0": x, "x1": x, "y0": y0, "y1": y1, "line": {"color": colour, "dash": dash, "width": 2}}


def _across(y: float, width: int) -> dict[str, Any]:
    return {"type": "line", "x0": 0, "x1": width, "y0": y, "y1": y, "line": {"color": LINE, "width": 1}}


def _note(x: float, y: float, text: str, anchor: str) -> dict[str, Any]:
    return {"x": x, "y": y, "text": text, "yanchor": anchor, "showarrow": False, "font": {"size": 12}}
