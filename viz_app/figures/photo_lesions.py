"""A tower switched off over photographs, in colour and without: drops, what colour is worth, random halves, classes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from analysis.lesions.dissociation import Estimate, points
from analysis.lesions.photo_dissociation import METRICS, ColourClasses, PhotoReport, RandomHalves
from viz_app.figures.rows import interval_marks, rows_figure, scattered, zero_line
from viz_app.figures.theme import LINE, TOWER_MARKS, TowerMark

METRIC_NAMES = {"top1": "top-1", "top5": "top-5", "log p": "log p"}
DURATION = (
    "About an hour on two processor cores, half of it for the random halves (`--halves 0` leaves them out, `--limit` "
    "takes fewer images). The command shows progress and goes on where it was interrupted. Load this page anew "
    "afterwards."
)
STIMULI_TEXT = (
    "Grey: luma alone. Hue-rotated: every hue turned to its opponent, luma as before. Chroma only: every pixel at the "
    "image's mean luma. Low-pass: blurred; high-pass: what the blur took away."
)
WORTH_TEXT = (
    "How much more one kind of photograph is worth than another with tower A off, less the same with tower B off. "
    "Right of zero tower B carries it, left of zero tower A; 95% intervals, paired by image."
)


def drops_figure(report: PhotoReport, metric: str) -> go.Figure:
    """What either tower's lesion costs for every kind of photograph."""
    rows = report.rows
    places = np.arange(len(rows))
    traces = [
        _marks([row.drop[metric][tower] for row in rows], places + shift, metric, f"{mark.name} off", mark)
        for tower, (mark, shift) in enumerate(zip(TOWER_MARKS, (-0.14, 0.14), strict=False))
    ]
    names = [f"{row.stimulus} ({_score(row.score[metric][0], metric)})" for row in rows]
    return rows_figure(traces, names, f"drop of {METRIC_NAMES[metric]}, {_unit(metric)}", shapes=[zero_line()])


def drops_alt(report: PhotoReport, metric: str) -> str:
    """The drops in words."""
    rows = "; ".join(
        f"{row.stimulus}: intact {_score(row.score[metric][0], metric)}, "
        + ", ".join(f"tower {'AB'[tower]} off {_text(row.drop[metric][tower], metric)}" for tower in (0, 1))
        for row in report.rows
    )
    return f"Drop of {METRIC_NAMES[metric]} in {_unit(metric)} by kind of photograph. {rows}."


def worth_figure(report: PhotoReport, metric: str) -> go.Figure:
    """The interaction of every contrast of two kinds of photograph."""
    rows = report.contrasts
    trace = _marks([row.interaction[metric] for row in rows], range(len(rows)), metric) | {"showlegend": False}
    title = f"interaction of {METRIC_NAMES[metric]}, {_unit(metric)}"
    return rows_figure([trace], [f"{row.more} over {row.less}" for row in rows], title, shapes=[zero_line()])


def worth_alt(report: PhotoReport, metric: str) -> str:
    """The interactions in words."""
    rows = "; ".join(f"{row.more} over {row.less} {_text(row.interaction[metric], metric)}" for row in report.contrasts)
    return f"Interactions of {METRIC_NAMES[metric]} in {_unit(metric)}: {rows}."


def about_text(report: PhotoReport) -> str:
    """What was measured on what."""
    return (
        f"{report.images:,} images of {report.dataset} ({report.split}); {report.scope} off by {report.mode}; paired "
        f"bootstrap over images, {report.resamples:,} resamples. In brackets beside a kind of photograph: how good the "
        "intact network is."
    )


def halves_figure(found: RandomHalves, metric: str) -> go.Figure:
    """Every random half as a ring, the towers as their mark: what colour is worth more without the one or the other."""
    scale, rank = _scale(metric), found.interaction[metric]
    rings = {
        "type": "scatter",
        "x": (scale * np.array(rank.controls)).astype(np.float32),
        "y": scattered(found.n, 0.5),
        "mode": "markers",
        "name": "random halves",
        "marker": {"symbol": "circle-open", "size": 6, "color": LINE},
        "hovertemplate": "random half: %{x:+.2f}<extra></extra>",
    }
    value = scale * rank.observed
    towers = interval_marks([(value, value, value)], [0], "the towers", TOWER_MARKS[0].colour, "square")
    title = f"interaction of {METRIC_NAMES[metric]}, {_unit(metric)}"
    return rows_figure([rings, towers], ["colour over grey"], title, shapes=[zero_line()])


def halves_text(found: RandomHalves, metric: str) -> str:
    """The towers among random halves, in a few sentences."""
    rank, scale, digits = found.interaction[metric], _scale(metric), 2 if metric == "log p" else 1
    low, high = (scale * float(point) for point in np.quantile(rank.controls, (0.025, 0.975)))
    error, inside = max(found.norm_error.values()), float(np.mean(list(found.overlap.values())))
    return (
        f"**The fair null: {found.n} random halves against their complements.** Each half takes as many units of both "
        f"layers as a tower has, of the same summed squared weights to within {error:.1%}; {inside:.0%} of them lie in "
        f"tower A. On the same {found.images:,} images the towers' interaction of colour over grey is "
        f"{scale * rank.observed:+.{digits}f} {_unit(metric)} of {METRIC_NAMES[metric]}; 95% of the halves lie between "
        f"{low:+.{digits}f} and {high:+.{digits}f} (p = {rank.p_value:.2g}, two-sided)."
    )


def classes_text(found: ColourClasses, names: Sequence[str]) -> str:
    """Classes that need colour, and whether they need one tower more, in a few sentences."""
    metric = METRICS[0]
    listed = ", ".join(names[label] for label in found.chosen[:12])
    more = f" and {len(found.chosen) - 12} more" if len(found.chosen) > 12 else ""
    chosen, others, difference = found.interaction[metric]
    return (
        f"**Classes that need colour**, chosen on every second image and tested on the others ({found.images[0]:,} and "
        f"{found.images[1]:,} images): {listed}{more}. For them the interaction is {points(chosen)} points of top-1, "
        f"for the other classes {points(others)}; difference {points(difference)}."
    )


def score_table(report: PhotoReport) -> pd.DataFrame:
    """Scores and drops with intervals, a row per kind of photograph and measure."""
    return pd.DataFrame(
        [
            {
                "Photographs": row.stimulus,
                "Measure": METRIC_NAMES[metric],
                "Intact": _score(row.score[metric][0], metric, interval=True),
                "A off": _score(row.score[metric][1], metric, interval=True),
                "B off": _score(row.score[metric][2], metric, interval=True),
                "Drop, A off": _text(row.drop[metric][0], metric),
                "Drop, B off": _text(row.drop[metric][1], metric),
                "A off - B off": _text(row.difference[metric], metric),
            }
            for row in report.rows
            for metric in METRICS
        ]
    )


def worth_table(report: PhotoReport) -> pd.DataFrame:
    """Advantages and interactions with intervals, a row per contrast and measure."""
    return pd.DataFrame(
        [
            {
                "Contrast": f"{row.more} over {row.less}",
                "Measure": METRIC_NAMES[metric],
                "Intact": _text(row.advantage[metric][0], metric),
                "A off": _text(row.advantage[metric][1], metric),
                "B off": _text(row.advantage[metric][2], metric),
                "Interaction": _text(row.interaction[metric], metric),
                "Of shares of the score": (
                    _text(row.relative_interaction[metric], metric) if metric in row.relative_interaction else "–"
                ),
            }
            for row in report.contrasts
            for metric in METRICS
        ]
    )


def csv_table(report: PhotoReport) -> pd.DataFrame:
    """All scores as numbers, a row per kind of photograph, measure and lesion."""
    return pd.DataFrame(
        [
            {
                "checkpoint": report.checkpoint,
                "dataset": report.dataset,
                "split": report.split,
                "images": report.images,
                "stimulus": row.stimulus,
                "measure": metric,
                "off": off,
                "value": each.value,
                "low": each.low,
                "high": each.high,
            }
            for row in report.rows
            for metric in METRICS
            for off, each in zip(("nothing", "A", "B"), row.score[metric], strict=True)
        ]
    )


def _marks(
    found: Sequence[Estimate], places: ArrayLike, metric: str, name: str = "", mark: TowerMark | None = None
) -> dict[str, Any]:
    """Estimates in the unit of their measure, marked as a tower's or as neither's."""
    scale, (colour, symbol) = _scale(metric), (mark.colour, mark.symbol) if mark else (LINE, "square")
    ends = [(scale * each.value, scale * each.low, scale * each.high) for each in found]
    texts = {"text": [_text(each, metric) for each in found], "hovertemplate": "%{text}<extra></extra>"}
    return interval_marks(ends, places, name, colour, symbol, **texts)


def _scale(metric: str) -> float:
    return 1.0 if metric == "log p" else 100.0


def _unit(metric: str) -> str:
    return "nats" if metric == "log p" else "percentage points"


def _text(each: Estimate, metric: str) -> str:
    scale, digits = _scale(metric), 2 if metric == "log p" else 1
    value, low, high = (f"{scale * part:+.{digits}f}" for part in (each.value, each.low, each.high))
    return f"{value} [{low}, {high}]"


def _score(each: Estimate, metric: str, *, interval: bool = False) -> str:
    if metric == "log p":
        return f"{each.value:.2f}" + (f" [{each.low:.2f}, {each.high:.2f}]" if interval else "")
    return f"{each.value:.1%}" + (f" [{100 * each.low:.1f}, {100 * each.high:.1f}]" if interval else "")
