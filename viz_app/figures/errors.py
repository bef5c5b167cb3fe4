"""Figures, tables and sentences of the error browser: confusions, classes, confidence, two sets of predictions."""

from collections.abc import Sequence
from shlex import quote
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.colors import get_colorscale

from analysis.errors.calibration import Bin, Calibration, RiskCoverage
from analysis.errors.classes import ClassRow
from analysis.errors.comparison import Comparison
from analysis.errors.confusions import Pair
from analysis.errors.rates import Rates, Share
from viz_app.figures.captions import escaped
from viz_app.figures.lesions import escape_html
from viz_app.figures.theme import (
    ACCENT,
    LEGEND_ABOVE,
    LINE,
    SEQUENTIAL,
    TOWER_MARKS,
    interval_text,
    plain_figure,
    rate_text,
    share_text,
)

Counts = NDArray[np.integer]
"""Images (k, k + 1) by true class (row) and best guess (column); the last column is any class outside the k."""

NUMBERED = 12  # classes up to which every cell holds its number
OTHERS = "other classes"

MATRIX_HELP = (
    "A row is a true class, a column what the network says. The lighter a square (and the bigger, where it holds no "
    "number), the more images. Right answers (diamonds) and guesses outside the shown classes (circles) have neither "
    "colour nor size, for they would outshine the confusions. Click a mark to see its images; a circle opens all wrong "
    "ones of its row."
)
PAIRS_HELP = (
    "Two classes that are taken for each other, most images first. Tick a row to see its images, both ways round."
)
CLASSES_HELP = (
    "Click a heading to sort, tick a row to see that class's wrong answers. Intervals: Wilson, 95%; with few images "
    "a class they are wide, so do not trust the order of neighbours."
)
CALIBRATION_HELP = (
    "A network is calibrated if, of the images on which it is 80% sure, 80% are right. Points under the dotted line: "
    "surer than it should be. Bars below count the images, for a point with few images says little."
)
RISK_HELP = (
    "Let the network keep silent where it is least sure: the error among the rest falls as it answers less. The "
    "dotted line would be reached if it were always surer when right than when wrong; the dashed one if its "
    "confidence said nothing."
)


def counted(hits: int, n: int) -> str:
    """A count with its denominator and share: "12 of 50 (24%)"."""
    return f"{hits:,} of {n:,} ({hits / n:.0%})" if n else "0 of 0"


# Confusions.


def pairs_table(pairs: Sequence[Pair], names: Sequence[str]) -> pd.DataFrame:
    """Confused pairs, a row each, with counts both ways and the images of each class."""
    return pd.DataFrame(
        [
            {
                "class": names[pair.first],
                "other": names[pair.second],
                "class_as_other": pair.there,
                "n_class": pair.n_first,
                "other_as_class": pair.back,
                "n_other": pair.n_second,
                "both_ways": pair.there + pair.back,
            }
            for pair in pairs
        ],
        columns=["class", "other", "class_as_other", "n_class", "other_as_class", "n_other", "both_ways"],
    )


def pair_text(pair: Pair, names: Sequence[str]) -> str:
    """One pair in words, for Markdown."""
    first, second = escaped(names[pair.first]), escaped(names[pair.second])
    return (
        f"**{first}** and **{second}**: {counted(pair.there, pair.n_first)} of the first are called the second, "
        f"{counted(pair.back, pair.n_second)} the other way round"
    )


def confusion_figure(counts: Counts, names: Sequence[str], *, shares: bool) -> go.Figure:
    """A mark to click on for every cell that holds images; x and y of a mark are its column and row.

    Wrong guesses are squares, sized and coloured by their number or, with `shares`, by their share of the row. Up to
    `NUMBERED` classes the squares are of one size and hold the number itself.
    """
    k, filled = len(names), counts > 0
    right, other = np.eye(k, k + 1, dtype=bool), np.arange(k + 1) == k
    values, texts = _values(counts, shares=shares), _cell_texts(counts, names)
    traces = [
        _wrong(values, filled & ~right & ~other, texts, shares=shares),
        _plain_marks(values, filled & right, texts, "diamond-open", "right"),
        _plain_marks(values, filled & other, texts, "circle-open", OTHERS),
    ]
    layout = _matrix_axes([escape_html(_short(name)) for name in names]) | {
        "clickmode": "event+select",
        "dragmode": False,
        "hovermode": "closest",
        "legend": LEGEND_ABOVE | {"yref": "container", "y": 1, "yanchor": "top", "itemsizing": "constant"},
        "margin": {"l": 10, "r": 10, "t": 100, "b": 10},
    }
    return plain_figure(traces, layout, height=230 + _step(k) * (k + 1) + 6 * _longest(names))


def _matrix_axes(names: Sequence[str]) -> dict[str, Any]:
    k = len(names)
    axis = {
        "zeroline": False,
        "showgrid": True,
        "fixedrange": True,
        "automargin": True,
        "tickfont": {"size": 12 if k <= 20 else 9},
    }
    across = {
        "title": {"text": "best guess", "standoff": 10},
        "tickvals": list(range(k + 1)),
        "ticktext": [*names, OTHERS],
        "tickangle": -90,
        "range": [-0.7, k + 0.7],
    }
    down = {
        "title": {"text": "true class"},
        "tickvals": list(range(k)),
        "ticktext": list(names),
        "range": [k - 0.3, -0.7],
    }
    return {"xaxis": axis | across, "yaxis": axis | down}


def matrix_width(names: Sequence[str]) -> int:
    """Width in pixels at which the cells of the matrix are as wide as high."""
    return max(420, 130 + _step(len(names)) * (len(names) + 1) + 6 * _longest(names))


def _longest(names: Sequence[str]) -> int:
    return max(map(len, map(_short, names)), default=0)


def _step(k: int) -> int:
    """Height of a row in pixels."""
    return int(np.clip(500 // max(k, 1), 18, 36))


def _side(k: int) -> float:
    """Largest mark in pixels: on a phone the cells are narrower than a row is high."""
    return float(np.clip(240 / (k + 1), 10, 30))


def _values(counts: Counts, *, shares: bool) -> NDArray[np.floating]:
    """What sizes and colours show: images, or percent of the true class's."""
    return 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1) if shares else counts.astype(np.float64)


def _wrong(
    values: NDArray[np.floating], shown: NDArray[np.bool_], texts: NDArray[np.str_], *, shares: bool
) -> dict[str, Any]:
    """The confusions: squares with the colour bar; with their number where there is room."""
    k, side = len(values), _side(len(values))
    found, rows_columns = values[shown], np.argwhere(shown)
    top = float(found.max(initial=0)) or 1.0
    numbered = k <= NUMBERED
    sizes = np.full(len(found), side) if numbered else np.maximum(1.4 * side * np.sqrt(found / top), 4)
    trace = _marks(rows_columns, texts[shown], "wrong: taken for another shown class")
    trace["marker"] = {
        "symbol": "square",
        "size": sizes.astype(np.float32),
        "color": found.astype(np.float32),
        "opacity": 1,
        "colorscale": get_colorscale(SEQUENTIAL),
        "cmin": 0,
        "cmax": top,
        "line": {"color": LINE, "width": 1},
        "showscale": True,
        "colorbar": {
            "title": {
                "text": "wrong guesses, % of the true class's images" if shares else "wrong guesses, images",
                "side": "top",
            },
            "orientation": "h",
            "thickness": 10,
            "len": 0.9,
            "x": 0,
            "xanchor": "left",
            "y": 1,
            "yanchor": "bottom",
            "ticks": "outside",
        },
    }
    if numbered:
        trace |= {
            "mode": "markers+text",
            "text": [f"{value:.0f}" for value in found],
            "textfont": {"size": 11, "color": ["black" if value > 0.42 * top else "white" for value in found]},
        }
    return trace


def _plain_marks(
    values: NDArray[np.floating],
    shown: NDArray[np.bool_],
    texts: NDArray[np.str_],
    symbol: str,
    name: str,
) -> dict[str, Any]:
    """Marks without a scale, for what is not a confusion inside the subset; as numbers where there is room."""
    trace = _marks(np.argwhere(shown), texts[shown], name)
    numbered = len(values) <= NUMBERED
    trace["marker"] = {"symbol": symbol, "size": _side(len(values)) if numbered else 7, "color": LINE}
    if numbered:
        trace |= {"mode": "markers+text", "text": [f"{value:.0f}" for value in values[shown]]}
        trace["textfont"] = {"size": 11}
    return trace


def _marks(rows_columns: NDArray[np.intp], texts: NDArray[np.str_], name: str) -> dict[str, Any]:
    kept = {"marker": {"opacity": 1}}  # a click opens the images; it must not fade the other marks
    return {
        "type": "scatter",
        "x": rows_columns[:, 1].astype(np.int16),
        "y": rows_columns[:, 0].astype(np.int16),
        "mode": "markers",
        "name": name,
        "selected": kept,
        "unselected": kept,
        "hovertext": texts.tolist(),
        "hovertemplate": "%{hovertext}<extra></extra>",
    }


def _cell_texts(counts: Counts, names: Sequence[str]) -> NDArray[np.str_]:
    """Hover texts (k, k + 1)."""
    plain = [escape_html(name) for name in names]
    return np.array(
        [
            [
                f"true: {truth}<br>guess: {guess}<br>{counted(int(count), int(row.sum()))}"
                for count, guess in zip(row, [*plain, f"a class that is not shown ({OTHERS})"], strict=True)
            ]
            for row, truth in zip(counts, plain, strict=True)
        ],
        dtype=np.str_,
    )


def _short(name: str, limit: int = 18) -> str:
    return name if len(name) <= limit else f"{name[: limit - 1]}…"


def confusion_text(counts: Counts, names: Sequence[str]) -> str:
    """The matrix in words: how many are right, and its largest cells."""
    k = len(names)
    wrong = np.where(np.eye(k, dtype=bool), 0, counts[:, :k])
    largest = [divmod(int(place), k) for place in np.argsort(-wrong, axis=None, kind="stable")[:5]]
    cells = "; ".join(
        f"{names[row]} called {names[column]} {counted(int(wrong[row, column]), int(counts[row].sum()))}"
        for row, column in largest
        if wrong[row, column]
    )
    right, total = int(np.trace(counts)), int(counts.sum())
    return (
        f"Matrix of {k} true classes against {k} guesses and other classes. Right: {counted(right, total)}. "
        f"Largest confusions: {cells or 'none'}. All its numbers are in the CSV file below."
    )


def confusion_table(counts: Counts, names: Sequence[str]) -> pd.DataFrame:
    """The matrix as numbers of images, a row per true class."""
    table = pd.DataFrame(np.column_stack([counts, counts.sum(1)]), columns=[*names, OTHERS, "n"])
    table.insert(0, "true class", list(names))
    return table


# Classes.


def by_top1(rows: Sequence[ClassRow]) -> list[ClassRow]:
    """The class with the least share of right best guesses first, those without images last."""
    return sorted(rows, key=lambda row: (not row.n, row.top1.value if row.n else 0.0, -row.n))


def classes_table(rows: Sequence[ClassRow], names: Sequence[str]) -> pd.DataFrame:
    """Rates of every class for reading: percent, intervals as text."""
    return pd.DataFrame(
        [
            {
                "class": names[row.label],
                "n": row.n,
                "top1": 100 * row.top1.value,
                "top1_interval": interval_text(row.top1),
                "top5": 100 * row.top5.value,
                "top5_interval": interval_text(row.top5),
                "wrong_guess": "" if row.wrong_guess is None else names[row.wrong_guess],
                "wrong_count": row.wrong_count,
            }
            for row in rows
        ]
    )


def classes_csv(rows: Sequence[ClassRow], names: Sequence[str]) -> pd.DataFrame:
    """The same as numbers, shares of 1."""
    return pd.DataFrame(
        [
            {"class": names[row.label], "label": row.label, "n": row.n}
            | _columns("top1", row.top1)
            | _columns("top5", row.top5)
            | {
                "most_frequent_wrong_guess": "" if row.wrong_guess is None else names[row.wrong_guess],
                "wrong_guess_count": row.wrong_count,
            }
            for row in rows
        ]
    )


def _columns(name: str, share: Share) -> dict[str, float]:
    return {name: share.value, f"{name}_low": share.interval[0], f"{name}_high": share.interval[1]}


def classes_text(rows: Sequence[ClassRow], names: Sequence[str]) -> str:
    """The best and the worst class in words."""
    ordered = by_top1([row for row in rows if row.n])
    if not ordered:
        return "No class has images here."
    low, high = (f"**{escaped(names[row.label])}** {row.top1.value:.0%}" for row in (ordered[0], ordered[-1]))
    return f"Top-1 of {len(ordered)} classes goes from {low} to {high}."


# Confidence.


def calibration_figure(found: Calibration) -> go.Figure:
    """Reliability diagram: share right against confidence, bin by bin, with intervals; images per bin below."""
    bins = [row for row in found.bins if row.n]
    confidence = 100 * np.array([row.confidence for row in bins])
    right = 100 * np.array([row.right.value for row in bins])
    low, high = (100 * np.array([row.right.interval[end] for row in bins]) for end in (0, 1))
    texts = [_bin_text(row) for row in bins]
    mark = TOWER_MARKS[0]
    points = {
        "type": "scatter",
        "x": confidence.astype(np.float32),
        "y": right.astype(np.float32),
        "mode": "lines+markers",
        "name": "this network, with 95% intervals",
        "line": {"color": mark.colour, "width": 1},
        "marker": {"symbol": mark.symbol, "color": mark.colour, "size": 9},
        "cliponaxis": False,
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": (high - right).astype(np.float32),
            "arrayminus": (right - low).astype(np.float32),
            "color": mark.colour,
            "thickness": 1.5,
        },
        "hovertext": texts,
        "hovertemplate": "%{hovertext}<extra></extra>",
    }
    perfect = _line([0, 100], [0, 100], "as right as it is sure", "dot", LINE)
    bars = {
        "type": "bar",
        "x": [50 * (row.low + row.high) for row in bins],
        "width": [100 * (row.high - row.low) for row in bins],
        "y": [row.n for row in bins],
        "yaxis": "y2",
        "marker": {"color": LINE, "line": {"color": "rgba(0,0,0,0)", "width": 1}},
        "hovertext": texts,
        "hovertemplate": "%{hovertext}<extra></extra>",
        "showlegend": False,
    }
    layout = {
        "xaxis": {
            "title": {"text": "confidence: probability of the best guess, %"},
            "range": [0, 100],
            "dtick": 20,
            "anchor": "y2",
            "fixedrange": True,
        },
        "yaxis": {"title": {"text": "right, %"}, "range": [0, 102], "domain": [0.3, 1], "fixedrange": True},
        "yaxis2": {
            "title": {"text": "images"},
            "domain": [0, 0.2],
            "rangemode": "tozero",
            "nticks": 3,
            "fixedrange": True,
        },
        "annotations": [_note(4, 96, "less sure than right", "left"), _note(98, 5, "surer than right", "right")],
        "legend": LEGEND_ABOVE,
        "margin": {"l": 10, "r": 10, "t": 50, "b": 10},
    }
    return plain_figure([perfect, points, bars], layout, height=520)


def _bin_text(row: Bin) -> str:
    return (
        f"confidence {100 * row.low:.0f} to {100 * row.high:.0f}%: {row.n:,} images<br>mean confidence "
        f"{row.confidence:.1%}<br>right {rate_text(row.right)}"
    )


def _note(x: float, y: float, text: str, anchor: str) -> dict[str, Any]:
    return {"x": x, "y": y, "text": text, "xanchor": anchor, "showarrow": False, "font": {"size": 11, "color": LINE}}


def _line(x: Any, y: Any, name: str, dash: str, colour: str, width: float = 2) -> dict[str, Any]:
    line = {"color": colour, "dash": dash, "width": width}
    return {"type": "scatter", "x": x, "y": y, "mode": "lines", "name": name, "line": line, "hoverinfo": "skip"}


def calibration_text(found: Calibration) -> str:
    """The calibration error in a plain sentence."""
    low, high = found.ece_interval
    n = sum(row.n for row in found.bins)
    gap = sum(row.n * row.confidence - row.right.hits for row in found.bins if row.n) / max(n, 1)
    lean = "surer than it is right" if gap > 0 else "less sure than it is right"
    by_chance = 100 * found.ece_by_chance
    return (
        f"Expected calibration error **{100 * found.ece:.1f} points** [{100 * low:.1f}, {100 * high:.1f}]: so far does "
        f"confidence lie from the share that is right, on average over {n:,} images in {len(found.bins)} bins (worst "
        f"bin {100 * found.mce:.1f}). By chance alone a perfectly calibrated network reaches {by_chance:.1f} in one of "
        f"20 such samples. All in all this one is {abs(100 * gap):.1f} points {lean}."
    )


def calibration_alt(found: Calibration) -> str:
    """The reliability diagram in words."""
    rows = "; ".join(
        f"{row.confidence:.0%} sure, {row.right.value:.0%} right ({row.n:,} images)" for row in found.bins if row.n
    )
    return f"Reliability diagram, mean confidence and share right in each bin: {rows}."


def calibration_table(found: Calibration) -> pd.DataFrame:
    """The bins as numbers, shares of 1; empty ones left out."""
    return pd.DataFrame(
        [
            {"from": row.low, "to": row.high, "n": row.n, "mean_confidence": row.confidence}
            | _columns("right", row.right)
            for row in found.bins
            if row.n
        ]
    )


def risk_figure(found: RiskCoverage, answered: Rates | None, n: int) -> go.Figure:
    """Error among the answered images against their share, with the best possible order and the chosen threshold.

    `answered` are the rates among the images over the threshold, of `n` in all; ``None`` if there are none.
    """
    total, mark = float(found.risk[-1]), TOWER_MARKS[0]
    share, risk, best = (
        (100 * values).astype(np.float32) for values in (found.coverage, found.risk, best_risk(found.coverage, total))
    )
    curve = _line(share, risk, "by confidence", "solid", mark.colour, 2.5) | {
        "hoverinfo": "all",
        "hovertemplate": "answers %{x:.1f}%: %{y:.1f}% wrong<extra></extra>",
    }
    lines = [
        curve,
        _line(share, best, "best possible order", "dot", TOWER_MARKS[2].colour),
        _line([0, 100], [100 * total] * 2, "any order by chance", "dash", LINE, 1.5),
    ]
    if answered is not None:
        lines.append(_chosen(100 * answered.n / n, 100 * answered.top1_wrong.value))
    layout = {
        "xaxis": {"title": {"text": "coverage: images answered, %"}, "range": [0, 100], "fixedrange": True},
        "yaxis": {
            "title": {"text": "risk: wrong among them, %"},
            "range": [0, 105 * max(total, float(found.risk.max()), 0.01)],
            "fixedrange": True,
        },
        "legend": LEGEND_ABOVE,
        "margin": {"l": 10, "r": 10, "t": 50, "b": 10},
    }
    return plain_figure(lines, layout, height=400)


def _chosen(coverage: float, risk: float) -> dict[str, Any]:
    return {
        "type": "scatter",
        "x": [coverage],
        "y": [risk],
        "mode": "markers",
        "name": "chosen threshold",
        "marker": {"symbol": "diamond", "size": 14, "color": ACCENT, "line": {"color": LINE, "width": 1.5}},
        "cliponaxis": False,
        "hovertemplate": "chosen: answers %{x:.1f}%, %{y:.1f}% wrong<extra></extra>",
    }


def best_risk(coverage: NDArray[np.floating], total: float) -> NDArray[np.float64]:
    """Error at each coverage if all right answers came before all wrong ones; `total` is the error over all."""
    return np.maximum(0.0, np.asarray(coverage, np.float64) - (1 - total)) / np.asarray(coverage, np.float64)


def risk_text(found: RiskCoverage) -> str:
    """The areas under the curves in words."""
    return (
        f"Area under the curve (AURC): **{found.aurc:.3f}**. The best possible order would have {found.best_aurc:.3f}, "
        f"an order by chance {float(found.risk[-1]):.3f}; lower is better."
    )


def risk_alt(found: RiskCoverage) -> str:
    """The curve in words."""
    at = (float(np.interp(share, found.coverage, found.risk)) for share in (0.25, 0.5, 0.75, 1))
    rows = ", ".join(f"{share} {risk:.1%}" for share, risk in zip(("25%", "50%", "75%", "100%"), at, strict=True))
    return f"Risk-coverage curve. Wrong among the images answered, by the share answered: {rows}."


def risk_table(found: RiskCoverage) -> pd.DataFrame:
    """The curves at the points that are drawn, shares of 1."""
    best = best_risk(found.coverage, float(found.risk[-1]))
    return pd.DataFrame({"coverage": found.coverage, "risk": found.risk, "best_possible_risk": best})


def answered_text(threshold: float, answered: Rates | None, n: int) -> str:
    """What "answer only when at least so sure" would mean."""
    start = f"Answering only when at least **{threshold:.0%} sure**"
    if answered is None:
        return f"{start}, the network would answer none of {n:,} images."
    return (
        f"{start}, the network answers **{counted(answered.n, n)}** of all images; of these "
        f"**{share_text(answered.top1_wrong)}** are wrong."
    )


# Two sets of predictions on the same images.


def cells(found: Comparison) -> dict[str, NDArray[np.int64]]:
    """Positions of the images of each of the four outcomes."""
    return {
        "fixed": found.fixed,
        "broken": found.broken,
        "wrong both times": found.both_wrong,
        "right both times": found.both_right,
    }


def two_by_two(found: Comparison, first: str, second: str, k: int) -> str:
    """The four outcomes as a Markdown table with counts and shares of all compared images."""
    fixed, broken, wrong, right = (
        f"**{len(cell):,}** {name} ({len(cell) / found.n:.1%})" for name, cell in cells(found).items()
    )
    yes, no = ("right", "wrong") if k == 1 else (f"in top {k}", f"not in top {k}")
    return (
        f"Before: **{escaped(first)}**. Now: **{escaped(second)}**.\n\n"
        f"| {found.n:,} images | now {yes} | now {no} |\n|---|---|---|\n"
        f"| **before {yes}** | {right} | {broken} |\n"
        f"| **before {no}** | {fixed} | {wrong} |"
    )


def difference_text(found: Comparison, k: int) -> str:
    """The change of accuracy with its interval, and what McNemar's test says of it."""
    low, high = found.interval
    fixed, broken = len(found.fixed), len(found.broken)
    size = f"**{100 * found.difference:+.2f} points** [{100 * low:+.2f}, {100 * high:+.2f}]".replace("-", "−")
    start = f"Top-{k} changes by {size}. "
    if not fixed + broken:
        return f"{start}No image is right in one and wrong in the other: there is nothing to test."
    return (
        f"{start}Of the {fixed + broken:,} images that only one of the two gets right, {fixed:,} were fixed and "
        f"{broken:,} broken. Were both equally good, chance alone would split them at least so unevenly with "
        f"{p_text(found.p_value)} (McNemar's exact test): {_verdict(found.p_value)}."
    )


def p_text(p: float) -> str:
    """A p-value for people."""
    return f"p = {p:.2g}" if p >= 0.0001 else "p < 0.0001"


def _verdict(p: float) -> str:
    if p <= 0.01:
        return "very unlikely to be chance"
    return "unlikely to be chance" if p <= 0.05 else "no more than chance may do"


def changes_table(found: Comparison, labels: NDArray[np.integer], names: Sequence[str]) -> pd.DataFrame:
    """Fixed and broken images of every class, the largest change first; `labels` are the true classes by position."""
    cells = (found.both_right, found.fixed, found.broken, found.both_wrong)
    kept, fixed, broken, lost = (np.bincount(labels[cell], minlength=len(names)) for cell in cells)
    n = kept + fixed + broken + lost
    net = fixed - broken
    order = [label for label in np.lexsort((-(fixed + broken), -np.abs(net))) if n[label]]
    return pd.DataFrame(
        {
            "class": [names[label] for label in order],
            "n": n[order],
            "right_before": (kept + broken)[order],
            "right_now": (kept + fixed)[order],
            "fixed": fixed[order],
            "broken": broken[order],
            "change": net[order],
        }
    )


def evaluate_commands(checkpoint: str, dataset: str, split: str) -> str:
    """What makes predictions to compare with."""
    start = f"python -m analysis.evaluate {quote(checkpoint)} --dataset {quote(dataset)} --split {quote(split)}"
    return "\n".join(f"{start} {options}" for options in ("--views 1 --off A B", "--views 10"))
