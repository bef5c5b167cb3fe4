"""Who reads whom, and how alike the towers are: block maps, cross-talk, axes, similarity by stage, probes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.colors import get_colorscale

from analysis.between.probes import Probe, ProbeReport
from analysis.between.report import BetweenTowers
from analysis.between.routing import AxesReport, BlockMass
from analysis.between.similarity import StageSimilarity
from analysis.lesions.dissociation import Estimate
from viz_app.figures.rows import interval_marks, rows_figure, scattered, tick_marks
from viz_app.figures.theme import LEGEND_ABOVE, LINE, SEQUENTIAL, TOWER_MARKS, plain_figure

BLOCKS_TEXT = (
    "Rows: the tower that is read (conv2); columns: the tower that reads (conv3, the first layer that may read both). "
    "All four shares sum to 100%; 25% each if towers did not matter. Left: squared weights. Right: weights times the "
    "mean response of what they read."
)
CROSS_TEXT = "Units of conv3 by the share of their squared weights that lies on the other tower's units."
AXES_TEXT = (
    "Which kernels of conv1 the units of conv2 read together: correspondence analysis of the connection strengths, "
    "inside each tower, with the totals divided out. If an axis orders the kernels by colour, its rank correlation "
    "(Spearman's rho) with chroma is far from 0; partial: with frequency and total strength held fixed."
)
SIMILARITY_TEXT = (
    "Linear CKA (debiased) between what tower A and tower B make of the same images: 0 unrelated, 1 the same up to "
    "rotation and scale, with 95% intervals over images. Rings: random halves of all units against their complements. "
    "Ticks: what 95% of the shuffles of one tower's images stay below."
)
PROBES_TEXT = (
    "Share of tinted gratings whose hue or orientation a linear classifier reads from one tower alone, "
    "cross-validated, from equally many dimensions, with 95% intervals. Ticks: chance."
)


def blocks_figure(found: BlockMass) -> go.Figure:
    """The block maps of weights and, where it is known, of drive, side by side."""
    maps = {"squared weights": found.weights} | ({"weights × responses": found.drive} if found.drive else {})
    names = [f"{mark.glyph} {mark.name.removeprefix('tower ')}" for mark in TOWER_MARKS[: len(found.weights)]]
    axis = {"tickvals": list(range(len(names))), "ticktext": names, "fixedrange": True, "showgrid": False}
    layout: dict[str, Any] = {"margin": {"l": 10, "r": 10, "t": 40, "b": 10}, "annotations": []}
    traces = []
    for place, (title, shares) in enumerate(maps.items()):
        number, left = str(place + 1) if place else "", place / len(maps)
        right = left + 1 / len(maps) - 0.03
        traces.append(_blocks(np.array(shares, np.float32), number))
        layout |= {
            f"xaxis{number}": axis | {"domain": [left, right], "anchor": f"y{number}", "title": {"text": "read by"}},
            f"yaxis{number}": axis
            | {"anchor": f"x{number}", "autorange": "reversed", "showticklabels": not place}
            | ({} if place else {"title": {"text": "from"}}),
        }
        layout["annotations"].append(_title(title, left))
    return plain_figure(traces, layout, height=300)


def _title(text: str, left: float) -> dict[str, Any]:
    """Over a part of the figure."""
    place = {"x": left, "y": 1, "xref": "paper", "yref": "paper", "xanchor": "left", "yanchor": "bottom"}
    return place | {"text": text, "showarrow": False}


def _blocks(shares: NDArray[np.float32], number: str) -> dict[str, Any]:
    return {
        "type": "heatmap",
        "z": shares,
        "xaxis": f"x{number}",
        "yaxis": f"y{number}",
        "zmin": 0,
        "zmax": 0.5,
        "colorscale": get_colorscale(SEQUENTIAL),
        "showscale": False,
        "texttemplate": "%{z:.1%}",
        "textfont": {"size": 18},
        "hovertemplate": "from %{y}, read by %{x}: %{z:.2%}<extra></extra>",
    }


def blocks_text(found: BlockMass) -> str:
    """How much runs between the towers, in words."""
    expected = 1 - 1 / len(found.weights)
    text = (
        f"**{found.across:.1%}** of {found.layer}'s squared weights run between the towers; {expected:.0%} would if "
        "towers did not matter."
    )
    if found.drive:
        within = sum(found.drive[tower][tower] for tower in range(len(found.drive)))
        text += f" Of the weighted drive, {1 - within:.1%} does."
    return text


def blocks_table(found: BlockMass) -> pd.DataFrame:
    """The block masses, for reading."""
    letters = [mark.name.removeprefix("tower ") for mark in TOWER_MARKS[: len(found.weights)]]
    return pd.DataFrame(
        [
            {"From": source, "Read by": reader, "Squared weights": f"{found.weights[i][j]:.2%}"}
            | ({"Weights × responses": f"{found.drive[i][j]:.2%}"} if found.drive else {})
            for i, source in enumerate(letters)
            for j, reader in enumerate(letters)
        ]
    )


def cross_talk_figure(found: BlockMass) -> go.Figure:
    """How many units of each tower read the other tower how much."""
    edges = np.linspace(0, 1, 41)
    towers = len(found.weights)
    traces = [
        {
            "type": "scatter",
            "x": (edges[:-1] + 0.0125).astype(np.float32),
            "y": np.histogram(units, edges)[0],
            "mode": "lines",
            "name": mark.name,
            "line": {"shape": "hvh", "color": mark.colour, "dash": mark.dash, "width": 2},
            "hovertemplate": f"{mark.name}: %{{y}} units near %{{x:.0%}}<extra></extra>",
        }
        for mark, units in zip(TOWER_MARKS, np.split(np.array(found.cross_talk), towers), strict=False)
    ]
    expected = 1 - 1 / towers
    line = {"color": LINE, "dash": "dot", "width": 2}
    layout = {
        "xaxis": {
            "title": {"text": "share of a unit's weights on the other tower"},
            "range": [0, 1],
            "tickformat": ".0%",
            "fixedrange": True,
        },
        "yaxis": {"title": {"text": f"units of {found.layer}"}, "fixedrange": True, "rangemode": "tozero"},
        "shapes": [{"type": "line", "x0": expected, "x1": expected, "y0": 0, "y1": 1, "yref": "paper", "line": line}],
        "legend": LEGEND_ABOVE,
        "margin": {"l": 10, "r": 10, "t": 30, "b": 10},
    }
    return plain_figure(traces, layout, height=300)


def cross_talk_text(found: BlockMass) -> str:
    """The cross-talk in words."""
    rows = [
        f"{mark.name}'s units {np.nanmin(units):.0%} to {np.nanmax(units):.0%}, median {np.nanmedian(units):.0%}"
        for mark, units in zip(TOWER_MARKS, np.split(np.array(found.cross_talk), len(found.weights)), strict=False)
    ]
    return f"Share of weights on the other tower: {'; '.join(rows)}."


def axes_table(reports: Sequence[AxesReport]) -> pd.DataFrame:
    """The axes of connectivity inside each tower, for reading."""
    return pd.DataFrame(
        [
            {
                "Connections": "all" if report.tower is None else f"inside {TOWER_MARKS[report.tower].name}",
                "Axis": str(place),
                "Singular value": f"{axis.singular:.3f}",
                "Share of all order": f"{axis.share:.0%}",
                "95% null of the first": f"{report.null_95:.0%}",
                "rho chroma": f"{axis.chroma:+.2f}",
                "p": f"{axis.p_chroma:.2g}",
                "partial rho": f"{axis.chroma_partial:+.2f}",
                "p (partial)": f"{axis.p_chroma_partial:.2g}",
                "rho frequency": f"{axis.frequency:+.2f}",
                "partial rho frequency": f"{axis.frequency_partial:+.2f}",
                "rho total": f"{axis.total:+.2f}",
            }
            for report in reports
            for place, axis in enumerate(report.axes, 1)
        ]
    )


def axes_text(reports: Sequence[AxesReport]) -> str:
    """What the first axes have to do with colour, in words."""
    return " ".join(_axes_line(report) for report in reports)


def _axes_line(report: AxesReport) -> str:
    first = report.axes[0]
    where = "In the whole network" if report.tower is None else f"Inside {TOWER_MARKS[report.tower].name}"
    clear = "orders the kernels by colour" if first.p_chroma_partial <= 0.05 else "is not clearly about colour"
    return (
        f"{where} the strongest axis {clear}: rho with chroma {first.chroma:+.2f} (partial "
        f"{first.chroma_partial:+.2f}, p = {first.p_chroma_partial:.2g}); it holds {first.share:.0%} of all order in "
        f"the connections (p = {report.p_first:.2g})."
    )


# From images.


def similarity_figure(found: Sequence[StageSimilarity]) -> go.Figure:
    """CKA between the towers, stage by stage, with random halves and the null of shuffled images."""
    places, halves = np.arange(len(found)), [value for row in found for value in row.halves]
    rings = {
        "type": "scatter",
        "x": np.array(halves, np.float32),
        "y": np.repeat(places, [len(row.halves) for row in found]) + scattered(len(halves), 0.5),
        "mode": "markers",
        "name": "random halves",
        "marker": {"symbol": "circle-open", "size": 5, "color": LINE},
        "hovertemplate": "random halves: %{x:.2f}<extra></extra>",
    }
    null = tick_marks([row.null_95 for row in found], places, "95% null")
    own = interval_marks([_ends(row.towers) for row in found], places, "towers", TOWER_MARKS[0].colour, "square")
    names = [row.stage for row in found]
    return rows_figure([rings, null, own], names, "CKA of the towers", xaxis={"range": [-0.05, 1.03]})


def similarity_alt(found: Sequence[StageSimilarity]) -> str:
    """The similarities in words."""
    rows = ", ".join(f"{row.stage} {row.towers.value:.2f} (halves {np.mean(row.halves):.2f})" for row in found)
    return f"CKA between the towers by stage, and between random halves on average: {rows}."


def between_text(found: BetweenTowers) -> str:
    """On what the similarity was measured."""
    return f"Up to {found.images:,} images of {found.dataset} ({found.split})."


def similarity_table(found: Sequence[StageSimilarity]) -> pd.DataFrame:
    """The similarities, for reading."""
    return pd.DataFrame(
        [
            {
                "Stage": row.stage,
                "CKA of the towers": _interval(row.towers),
                "95% null": f"{row.null_95:.3f}",
                "p": f"{row.p_value:.2g}",
                "Random halves, mean": f"{np.mean(row.halves):.3f}",
                "p among halves": f"{row.p_halves:.2g}",
            }
            for row in found
        ]
    )


def probes_figure(report: ProbeReport) -> go.Figure:
    """What a linear classifier reads from each tower, a row per factor and stage."""
    rows = report.probes
    towers = [
        interval_marks(
            [_ends(row.towers[tower]) for row in rows],
            np.arange(len(rows)) + shift,
            mark.name,
            mark.colour,
            mark.symbol,
        )
        for tower, (mark, shift) in enumerate(zip(TOWER_MARKS, (-0.14, 0.14), strict=False))
    ]
    chance = tick_marks([row.chance for row in rows], range(len(rows)), "chance")
    names = [f"{row.factor}, {row.stage}" for row in rows]
    return rows_figure([chance, *towers], names, "share right", xaxis={"range": [0, 1.02], "tickformat": ".0%"})


def probes_text(report: ProbeReport) -> str:
    """Whether the towers differ more in hue than in orientation, in words."""
    rows = [
        f"{stage} {100 * each.value:+.1f} [{100 * each.low:+.1f}, {100 * each.high:+.1f}]"
        for stage, each in report.interaction.items()
    ]
    return (
        f"Tower B minus tower A, for hue more than for orientation, in percentage points: {', '.join(rows)}. Clear of "
        f"zero: one tower tells hue better than the other does, compared with orientation. {report.images:,} gratings."
    )


def probes_table(report: ProbeReport) -> pd.DataFrame:
    """The probes, for reading."""
    return pd.DataFrame([_probe_row(row) for row in report.probes])


def _probe_row(row: Probe) -> dict[str, str]:
    a, b = (_percent(each) for each in row.towers)
    return {
        "Read": row.factor,
        "From": row.stage,
        "Dimensions": f"{row.dimensions:,}",
        "Chance": f"{row.chance:.1%}",
        "Tower A": a,
        "Tower B": b,
        "B - A, points": _percent(row.difference, "+"),
    }


# Parts.


def _ends(each: Estimate) -> tuple[float, float, float]:
    return each.value, each.low, each.high


def _interval(each: Estimate) -> str:
    return f"{each.value:.3f} [{each.low:.3f}, {each.high:.3f}]"


def _percent(each: Estimate, sign: str = "") -> str:
    return f"{100 * each.value:{sign}.1f}% [{100 * each.low:{sign}.1f}, {100 * each.high:{sign}.1f}]"
