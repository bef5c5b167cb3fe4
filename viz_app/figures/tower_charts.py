"""Charts of the towers' report, by matplotlib: the page's figures as small SVG, for light and for dark pages."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from analysis.experiments.nets import Row
from analysis.kernels.indices import KernelIndices
from analysis.towers.comparison import TowerResult
from analysis.towers.sweep import Sweep
from viz_app.figures.networks import AXES, one_sided
from viz_app.figures.paper import as_svg
from viz_app.figures.report import DARK, LIGHT, Chart, Inks, styled
from viz_app.figures.rows import Ends
from viz_app.figures.theme import LINE, TOWER_MARKS
from viz_app.figures.tower_kernels import (
    COLOURFUL,
    Spots,
    across_chroma,
    between_towers,
    chroma_map,
    swarm,
    up_frequency,
)

SYMBOLS = ("o", "D")  # of the towers, as on the page
DASHES = ("-", "--", ":", "-.")


class Marks(NamedTuple):
    """A series of values with intervals, one for each row of a chart."""

    name: str
    ends: Ends
    tower: int | None = None  # whose colour and symbol; None for neither's


def swarm_chart(kernels: NDArray[np.floating], indices: KernelIndices, result: TowerResult) -> Chart:
    """Every kernel at its chroma, tower A above the line and tower B below it."""
    spots = swarm(kernels, indices)
    height, width = spots.picture.shape[:2]
    line = between_towers(spots, len(kernels))

    def draw(axes: Axes, inks: Inks) -> None:
        _kernels(axes, spots)
        axes.axhline(line, color=LINE, linewidth=0.8)
        if result.threshold is not None:
            axes.axvline(across_chroma(result.threshold), linestyle=":", color=LINE)
        said = []
        for tower, (mean, edge) in enumerate(zip(result.mean_chroma, (0, height), strict=True)):
            said.append(TOWER_MARKS[tower].name + ("" if mean is None else f"\nmean {mean:.2f}"))
            if mean is not None:
                x = across_chroma(mean)
                axes.plot([x, x], [line, edge], linestyle=DASHES[tower], color=TOWER_MARKS[tower].colour)
        axes.set_yticks([line / 2, (line + height) / 2], said)
        axes.set_ylim(height, 0)

    return _chart(draw, 6.6, 6.2 * height / width + 0.6)


def map_chart(kernels: NDArray[np.floating], indices: KernelIndices) -> Chart:
    """Every kernel at its chroma and frequency, framed in its tower's line."""
    spots, top = chroma_map(kernels, indices)

    def draw(axes: Axes, inks: Inks) -> None:
        _kernels(axes, spots)
        ticks = np.arange(0, top, 0.1)
        axes.set(ylabel="frequency, cycles per pixel")
        axes.set_yticks([up_frequency(tick, top) for tick in ticks], [f"{tick:.1f}" for tick in ticks])

    height, width = spots.picture.shape[:2]
    return _chart(draw, 6.6, 6.2 * height / width + 0.6)


def sweep_chart(found: Sweep, threshold: float) -> Chart:
    """Purity at every threshold, with the bands that hold for all of them."""

    def draw(axes: Axes, inks: Inks) -> None:
        x = found.thresholds
        axes.plot(x, found.expected, ":", color=LINE, label="expected of shuffled towers")
        axes.plot(x, found.band_95, "--", color=LINE, linewidth=1, label="95% band")
        axes.plot(x, found.band_999, "-", color=LINE, linewidth=1, label="99.9% band")
        axes.plot(x, found.purity, "o-", color=inks.line, markersize=3, linewidth=1, label="this network")
        axes.axvline(threshold, linestyle=":", color=inks.text, linewidth=1)
        axes.set(xlabel="chroma from which a kernel counts as colour", ylabel="share in one tower", ylim=(0.48, 1.02))

    return _chart(draw, 6.6, 3.4)


def rows_chart(
    names: Sequence[str], series: Sequence[Marks], title: str, *, ticks: Sequence[float] = (), zero: bool = False
) -> Chart:
    """Series of values with their intervals, a row per name; `ticks` are what chance gives in each row."""

    def draw(axes: Axes, inks: Inks) -> None:
        places = np.arange(len(names))
        if zero:
            axes.axvline(0, linestyle=":", linewidth=1, color=LINE)
        if ticks:
            axes.plot(ticks, places, "|", markersize=12, color=LINE, label="null or chance")
        for place, (name, ends, tower) in enumerate(series):
            value, low, high = np.array(ends).reshape(-1, 3).T
            axes.errorbar(
                value,
                places + (0.24 * (place - (len(series) - 1) / 2)),
                xerr=np.abs([value - low, high - value]),
                fmt="s" if tower is None else SYMBOLS[tower],
                color=inks.line if tower is None else TOWER_MARKS[tower].colour,
                markersize=5,
                linewidth=1.2,
                label=name,
            )
        axes.set_yticks(places, names)
        axes.set(xlabel=title, ylim=(len(names) - 0.5, -0.5))

    return _chart(draw, 6.6, 1.0 + 0.36 * len(names))


def nets_chart(rows: Sequence[Row]) -> Chart:
    """A dot per network, a row per condition, with the bands of chance."""

    def draw(axes: Axes, inks: Inks) -> None:
        for place, row in enumerate(rows):
            if row.measured:
                _condition(axes, row, place, inks)
        axes.axvline(0, linestyle=":", linewidth=1, color=LINE)
        axes.set_yticks(range(len(rows)), [f"{row.condition} ({len(row.measured)})" for row in rows])
        axes.set(xlabel=AXES[rows[0].kind], ylim=(len(rows) - 0.4, -0.6))

    return _chart(draw, 6.6, 1.0 + 0.36 * len(rows))


def _condition(axes: Axes, row: Row, place: int, inks: Inks) -> None:
    chance = float(np.mean([spread.chance for spread in row.measured]))
    for null, dark in (("null_999", 0.12), ("null_95", 0.22)):
        high = float(np.mean([getattr(spread, null) - spread.chance for spread in row.measured]))
        axes.barh(place, high + chance, 0.8, left=-chance, color=LINE, alpha=dark, linewidth=0)
    filled = [inks.line if spread.beyond else "none" for spread in row.measured]
    apart = place + np.linspace(-0.2, 0.2, len(filled)) if len(filled) > 1 else [place]
    nets = [net for net in row.nets if not net.reason and net.courses[row.kind].last]
    for net, x, y, fill in zip(nets, row.excess, apart, filled, strict=True):
        mark = "s" if one_sided(net, row.kind) else "o"
        axes.scatter(x, y, s=22, c=fill, marker=mark, edgecolors=inks.line, linewidths=1.2)
    mean = float(np.mean(row.excess))
    low, high = row.interval or (mean, mean)
    axes.errorbar(mean, place + 0.34, xerr=[[mean - low], [high - mean]], fmt="D", markersize=4, color=inks.text)


def courses_chart(row: Row) -> Chart:
    """The towers' difference over training in every network of a condition that counts."""

    def draw(axes: Axes, inks: Inks) -> None:
        for place, net in enumerate(net for net in row.nets if not net.reason):
            course = net.courses[row.kind]
            known = [(step, each) for step, each in zip(course.steps, course.spreads, strict=True) if step and each]
            steps = [step for step, _ in known]
            null = [each.null_999 for _, each in known]
            axes.plot(steps, null, color=LINE, linewidth=1, label="" if place else "99.9% null")
            look: dict[str, Any] = {
                "linestyle": DASHES[place % len(DASHES)],
                "color": TOWER_MARKS[place % len(TOWER_MARKS)].colour,
            }
            axes.plot(steps, [each.range for _, each in known], marker=".", label=f"seed {net.seed}", **look)
        axes.set(xscale="log", xlabel="training step", ylabel="difference of mean chroma")
        axes.set_ylim(bottom=0)

    return _chart(draw, 6.6, 3.4)


def _kernels(axes: Axes, spots: Spots) -> None:
    axes.imshow(spots.picture, interpolation="nearest")
    axes.set_xticks([across_chroma(tick) for tick in COLOURFUL], [f"{tick:g}" for tick in COLOURFUL])
    axes.set(xlabel="chroma (0 grey, 1 colour; random weights 0.67)")


def _chart(draw: Callable[[Axes, Inks], None], width: float, height: float) -> Chart:
    """The same drawing in both inks."""

    def drawn(inks: Inks) -> bytes:
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure.subplots(), inks)
        styled(figure, inks)
        return as_svg(figure)

    return Chart(*map(drawn, (LIGHT, DARK)))
