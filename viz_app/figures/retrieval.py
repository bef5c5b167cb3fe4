"""Figures, tables and sentences about how good neighbours are."""

from collections.abc import Iterator, Sequence
from shlex import quote
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis.retrieval.quality import PAPER, WHOLE, Difference, Estimate, Hubs, Kind, Row
from analysis.retrieval.reports import Report
from viz_app.figures.theme import LEGEND_ABOVE, LINE, TOWER_MARKS, TowerMark, plain_figure

BOTH = TowerMark("both towers", "dot", "square", "■", LINE)
MARKS = {WHOLE: BOTH} | {mark.name: mark for mark in TOWER_MARKS}
PAIRS = {
    "L2 less raw, both towers": (Kind(WHOLE, "L2"), PAPER),
    "Tower B less tower A, both L2": (Kind("tower B", "L2"), Kind("tower A", "L2")),
}
SHIFT = 0.22  # between the marks of a row
PAPERS_STAGE = "fc7"

MEASURE_HELP = (
    "P@k: share of the k nearest images that are alike. MAP@R: average precision of the R nearest, where R is how many "
    "alike ones there are; 100% if all of them stand first, and it counts what stands before what."
)
SCALING_HELP = (
    "Raw: the features as they are, compared by Euclidean distance, as in the paper. L2: each vector scaled to length "
    "1 first, which ranks as the cosine does. Whitened: principal components, each scaled to the same variance."
)
INTERVALS = "Intervals: 95%, bootstrap over queries; they say what other queries would give, not another network."
HALVES_HELP = (
    "A tower's features are its half of the units. Behind conv2 no half is pure: conv3, fc6 and fc7 read both towers, "
    "so each half of fc7 knows what both computed. A difference between halves is none between two separate networks."
)
HUBS_HELP = (
    "Hubness: how unevenly images are found. N₁₀ is how often an image is among the ten nearest of a query; its "
    "skewness is near 0 if all are found alike often, and large if a few images (hubs) are near to everything."
)


def quality_figure(reports: Sequence[Report], factor: str, measure: str) -> go.Figure:
    """One measure of all features, in %, with intervals: a line for each stage and scaling, a mark for each part.

    The dotted line is what a random order would give, where that is known.
    """
    lines = [(report, scaling) for report in reports for scaling in _scalings(report)]
    traces = [_marks(lines, factor, measure, part, shift) for part, shift in _shifts(reports)]
    chance = _chance(reports[0], factor) if measure.startswith("P@") else None
    several = len(reports) > 1
    layout: dict[str, Any] = {
        "xaxis": {
            "title": {"text": f"{measure} by {factor}, %"},
            "rangemode": "tozero",
            "zeroline": False,
            "fixedrange": True,
        },
        "yaxis": {
            "tickvals": list(range(len(lines))),
            "ticktext": [f"{report.stage}, {scaling}" if several else scaling for report, scaling in lines],
            "range": [len(lines) - 0.5, -0.5],
            "zeroline": False,
            "showgrid": False,
            "fixedrange": True,
            "automargin": True,
        },
        "shapes": [] if chance is None else [_upright(100 * chance)],
        "annotations": [] if chance is None else [_note(100 * chance)],
        "legend": LEGEND_ABOVE,
        "margin": {"l": 10, "r": 10, "t": 40, "b": 10},
    }
    return plain_figure(traces, layout, height=110 + 44 * len(lines))


def _scalings(report: Report) -> list[str]:
    return list(dict.fromkeys(row.kind.scaling for row in report.rows))


def _shifts(reports: Sequence[Report]) -> list[tuple[str, float]]:
    """The parts, each with its place above or below the middle of a line."""
    parts = list(dict.fromkeys(row.kind.part for report in reports for row in report.rows))
    return [(part, SHIFT * (place - (len(parts) - 1) / 2)) for place, part in enumerate(parts)]


def _marks(lines: Sequence[tuple[Report, str]], factor: str, measure: str, part: str, shift: float) -> dict[str, Any]:
    mark = MARKS[part]
    found = {
        height: _mean(report, row, measure)
        for height, (report, scaling) in enumerate(lines)
        for row in report.rows
        if (row.factor, row.kind) == (factor, Kind(part, scaling))
    }
    value, low, high = (
        100 * np.array([[one.value, *one.interval] for one in found.values()], np.float32).reshape(-1, 3).T
    )
    return {
        "type": "scatter",
        "x": value,
        "y": np.array(list(found), np.float32) + np.float32(shift),
        "mode": "markers",
        "name": mark.name,
        "marker": {"symbol": mark.symbol, "color": mark.colour, "size": 10, "line": {"color": LINE, "width": 1}},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": high - value,
            "arrayminus": value - low,
            "color": mark.colour,
            "thickness": 2,
            "width": 4,
        },
        "text": [
            f"{lines[height][0].stage}, {mark.name}, {lines[height][1]}<br>{measure} {share(one)}"
            for height, one in found.items()
        ],
        "hovertemplate": "%{text}<extra></extra>",
    }


def _upright(x: float) -> dict[str, Any]:
    line = {"color": LINE, "dash": "dot", "width": 1.5}
    return {"type": "line", "x0": x, "x1": x, "yref": "paper", "y0": 0, "y1": 1, "line": line}


def _note(x: float) -> dict[str, Any]:
    place = {"x": x, "yref": "paper", "y": 0, "xanchor": "left", "yanchor": "bottom"}
    return {"text": "chance", "showarrow": False, "font": {"size": 11, "color": LINE}, **place}


def shared_measures(reports: Sequence[Report]) -> list[str]:
    """The measures that all reports have."""
    return [name for name in reports[0].measures if all(name in report.measures for report in reports)]


def _chance(report: Report, factor: str) -> float:
    return next(one.chance for one in report.factors if one.name == factor)


def share(estimate: Estimate) -> str:
    """A share for people: "59.1% [57.7, 60.5]"."""
    value, (low, high) = estimate
    return f"{value:.1%} [{100 * low:.1f}, {100 * high:.1f}]"


def points(estimate: Estimate) -> str:
    """A difference of shares for people: "+4.95 points [+4.72, +5.18]"."""
    value, (low, high) = estimate
    return f"{100 * value:+.2f} points [{100 * low:+.2f}, {100 * high:+.2f}]".replace("-", "−")


def features_name(stage: str, kind: Kind) -> str:
    """Features in words: "fc7, tower A, L2"."""
    return f"{stage}, {MARKS[kind.part].name}, {kind.scaling}"


def quality_text(reports: Sequence[Report], factor: str, measure: str) -> str:
    """Which features retrieve best, how many are about as good, and how good the paper's are."""
    found = {(report.stage, row.kind): _mean(report, row, measure) for report, row in _rows(reports, factor)}
    best = max(found, key=lambda one: found[one].value)
    near = sum(one.value >= found[best].interval.low for one in found.values()) - 1
    told = f"**{features_name(*best)}** finds the most alike: {measure} **{share(found[best])}**"
    told += f"; {near} of {len(found) - 1} others lie within this interval" if near else ""
    if best == (PAPERS_STAGE, PAPER):
        told += ". These are the paper's features"
    elif papers := found.get((PAPERS_STAGE, PAPER)):
        told += f". The paper's features ({features_name(PAPERS_STAGE, PAPER)}) reach {share(papers)}"
    if measure.startswith("P@"):
        told += f"; by chance it would be {_chance(reports[0], factor):.1%}"
    return f"{told}."


def _mean(report: Report, row: Row, measure: str) -> Estimate:
    return row.means[report.measures.index(measure)]


def differences_text(reports: Sequence[Report], factor: str, measure: str) -> str:
    """What length 1 changes, and how the towers' halves differ, in each stage."""
    found = (
        f"{names}, on the same queries: {', '.join(told)}."
        for names, pair in PAIRS.items()
        if (told := [*_less(reports, factor, measure, pair)])
    )
    return "  \n".join(found)


def _less(reports: Sequence[Report], factor: str, measure: str, pair: tuple[Kind, Kind]) -> Iterator[str]:
    for report in reports:
        for one in report.differences:
            if (one.factor, one.kind, one.less) == (factor, *pair):
                yield f"{report.stage} {points(one.means[report.measures.index(measure)])}"


def measured_text(reports: Sequence[Report], factor: str) -> str:
    """What asked what."""
    report = reports[0]
    queries = next(one.queries for one in report.factors if one.name == factor)
    own = " No image finds itself." if report.left_out else ""
    return f"{queries:,} queries, each among {report.gallery:,} images; alike is what has the same {factor}.{own}"


def quality_alt(reports: Sequence[Report], factor: str, measure: str) -> str:
    """The figure in words."""
    rows = "; ".join(
        f"{features_name(report.stage, row.kind)} {share(_mean(report, row, measure))}"
        for report, row in _rows(reports, factor)
    )
    return f"{measure} by {factor}: {rows}."


def quality_table(reports: Sequence[Report], factor: str) -> pd.DataFrame:
    """All measures of all features as text, with intervals, and hubness."""
    return pd.DataFrame([_told(report, row) for report, row in _rows(reports, factor)])


def _rows(reports: Sequence[Report], factor: str) -> list[tuple[Report, Row]]:
    return [(report, row) for report in reports for row in report.rows if row.factor == factor]


def _told(report: Report, row: Row) -> dict[str, str]:
    hub = _hubs(report, row.kind)
    value, (low, high) = hub.skewness
    return {
        "stage": report.stage,
        "units": f"{MARKS[row.kind.part].glyph} {MARKS[row.kind.part].name}",
        "scaling": row.kind.scaling,
        **dict(zip(report.measures, map(share, row.means), strict=True)),
        "hubness": f"{value:.2f} [{low:.2f}, {high:.2f}]",
        "largest hub": f"{hub.most:,}",
        "never found": f"{hub.never:.1%}",
    }


def _hubs(report: Report, kind: Kind) -> Hubs:
    return next(one for one in report.hubs if one.kind == kind)


def quality_csv(reports: Sequence[Report]) -> pd.DataFrame:
    """All numbers of all factors, shares of 1."""
    return pd.DataFrame(
        [
            {
                "stage": report.stage,
                "units": MARKS[row.kind.part].name,
                "scaling": row.kind.scaling,
                "factor": row.factor,
                "queries": one.queries,
                "gallery": report.gallery,
                "chance": one.chance,
                **_columns(zip(report.measures, row.means, strict=True)),
                **_columns([("hubness", _hubs(report, row.kind).skewness)]),
                "largest_hub": _hubs(report, row.kind).most,
                "never_found": _hubs(report, row.kind).never,
            }
            for report in reports
            for one in report.factors
            for row in report.rows
            if row.factor == one.name
        ]
    )


def _columns(named: Any) -> dict[str, float]:
    return {
        f"{name}{end}": number
        for name, (value, (low, high)) in named
        for end, number in (("", value), ("_low", low), ("_high", high))
    }


def differences_table(reports: Sequence[Report], factor: str) -> pd.DataFrame:
    """What features score more than others on the same queries, in points, with intervals."""
    found: list[tuple[Report, Difference]] = [
        (report, one) for report in reports for one in report.differences if one.factor == factor
    ]
    return pd.DataFrame(
        [
            {
                "stage": report.stage,
                "features": f"{MARKS[one.kind.part].name}, {one.kind.scaling}",
                "less": f"{MARKS[one.less.part].name}, {one.less.scaling}",
                **{name: points(mean) for name, mean in zip(report.measures, one.means, strict=True)},
            }
            for report, one in found
        ]
    )


def hubs_text(reports: Sequence[Report]) -> str:
    """The least and the most hubs in words."""
    found = [(report, hub) for report in reports for hub in report.hubs]
    low, high = (pick(found, key=lambda one: one[1].skewness.value) for pick in (min, max))
    rows = " to ".join(
        f"{hub.skewness.value:.2f} for {features_name(report.stage, hub.kind)} (largest hub: {hub.most:,} times)"
        for report, hub in (low, high)
    )
    return f"Hubness goes from {rows}; by chance alone it would be {low[0].chance_skewness:.2f}."


def quality_command(workspace: str, stages: Sequence[str]) -> str:
    """What measures the features of these stages."""
    return f"python -m analysis.retrieval quality {quote(workspace)} --stage {' '.join(stages)}"
