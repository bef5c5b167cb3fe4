"""Charts of the reports, by matplotlib: small SVG without script, once for light and once for dark pages."""

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.errors.calibration import Calibration, RiskCoverage
from viz_app.figures.paper import as_svg
from viz_app.figures.theme import LINE, TOWER_MARKS


class Chart(NamedTuple):
    """A chart as two SVG files."""

    light: bytes
    dark: bytes


class Inks(NamedTuple):
    """Colours of a page."""

    text: str
    line: str


LIGHT, DARK = Inks("#1a1a1a", TOWER_MARKS[0].colour), Inks("#e6e6e6", "#56b4e9")  # blue and light blue, Okabe & Ito


def calibration_chart(found: Calibration) -> Chart:
    """Share right against confidence, bin by bin with 95% intervals; below the images of each bin."""
    return Chart(*(as_svg(_calibration(found, inks)) for inks in (LIGHT, DARK)))


def risk_chart(found: RiskCoverage) -> Chart:
    """Share wrong among the surest images against the share of images answered."""
    return Chart(*(as_svg(_risk(found, inks)) for inks in (LIGHT, DARK)))


def _calibration(found: Calibration, inks: Inks) -> Figure:
    figure = Figure(figsize=(5.6, 4.2), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    bins = [row for row in found.bins if row.n]
    right = np.array([row.right.value for row in bins])
    reach = np.abs(np.array([row.right.interval for row in bins]).T - right)
    above.plot([0, 1], [0, 1], ":", color=LINE, label="as right as it is sure")
    above.errorbar(
        [row.confidence for row in bins],
        right,
        reach,
        fmt="o-",
        color=inks.line,
        markersize=4,
        linewidth=1,
        label="this network, with 95% intervals",
    )
    above.set(ylabel="share right", xlim=(0, 1), ylim=(0, 1.02))
    lefts, counts = zip(*((row.low, row.n) for row in found.bins), strict=True)
    below.bar(lefts, counts, 0.9 / len(lefts), align="edge", color=LINE)
    below.set(xlabel="confidence: probability of the best guess", ylabel="images")
    styled(figure, inks)
    return figure


def _risk(found: RiskCoverage, inks: Inks) -> Figure:
    figure = Figure(figsize=(5.6, 3.4), layout="constrained")
    axes = figure.subplots()
    overall = found.risk[-1]
    best = np.maximum(found.coverage - (1 - overall), 0) / found.coverage
    axes.plot(found.coverage, found.risk, color=inks.line, label="this network")
    axes.plot(found.coverage, best, ":", color=LINE, label="if it were always surer when right")
    axes.axhline(overall, linestyle="--", linewidth=1, color=LINE, label="if its confidence said nothing")
    axes.set(xlabel="share of images answered, the surest first", ylabel="share of them wrong", xlim=(0, 1))
    axes.set_ylim(bottom=0)
    styled(figure, inks)
    return figure


def styled(figure: Figure, inks: Inks) -> None:
    """Text and axes in the colour of the page's text, no ground: the page shows through."""
    figure.set_facecolor("none")
    for axes in figure.axes:
        _style(axes, inks)


def _style(axes: Axes, inks: Inks) -> None:
    axes.set_facecolor("none")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(LINE)
    axes.tick_params(color=LINE, labelcolor=inks.text, labelsize=8)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(color=inks.text, fontsize=9)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8, labelcolor=inks.text)
