"""Figures for paper, and for files that run no script: drawn by matplotlib, the same bytes for the same values."""

from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray
from PIL import Image

from analysis.errors.selection import Selection, select
from viz_app.figures.theme import percent

IMAGES, COLUMNS = 8, 4  # as in the paper
GUESSES = 5  # bars under each image
LONGEST = 25  # characters of a class name in a bar
QUERIES, NEIGHBOURS = 5, 6  # rows of the right half, and images found for each
GAP = 0.15  # between a query and what was found, in widths of an image
UNDER = 20  # characters of a class name under one of its images
DPI, SCREEN_DPI = 300, 150  # of images; text and bars stay vectors
RIGHT, OTHER = "#ffb0a8", "#b0c4ff"  # pale, as in the authors' shownet.py: the names are written across the bars
HATCH = "#ff8a7d"  # of the right bar: colour is never the only code
INK = "#1a1a1a"

mpl.rcParams.update(  # here, once: what is set around each drawing would reach the drawings of other threads
    {
        "pdf.fonttype": 42,  # whole TrueType fonts, which publishers ask for
        "svg.hashsalt": "alexnet",  # else every file gets other ids
        "hatch.linewidth": 0.6,
    }
)


class Panel(NamedTuple):
    """An image and the network's best guesses for it."""

    pixels: NDArray[np.uint8]  # (s, s, 3) RGB
    truth: str
    guesses: tuple[str, ...]  # best first
    probabilities: tuple[float, ...]  # of the guesses
    right: int | None  # which of the guesses is the truth, 0 the best; None where none is


def drawn(table: pa.Table, split: str, seed: int, *, only_errors: bool = False) -> tuple[int, ...]:
    """Positions of eight images of a split, drawn at random: the same for the same seed."""
    criterion = "top-1 wrong" if only_errors else "all"
    shuffled = select(table, Selection(criterion=criterion, split=split, order="random", seed=seed), ())
    return tuple(shuffled[:IMAGES].tolist())


def panels_of(
    table: pa.Table, positions: Sequence[int], names: Sequence[str], image: Callable[[int], Image.Image]
) -> list[Panel]:
    """The images at these positions of a table of predictions, with their five best guesses."""
    rows = table.take(pa.array(positions, pa.int64())).to_pylist()
    return [_panel(np.asarray(image(position)), row, names) for position, row in zip(positions, rows, strict=True)]


def _panel(pixels: NDArray[np.uint8], row: Mapping[str, Any], names: Sequence[str]) -> Panel:
    top, label = row["top_classes"][:GUESSES], row["label"]
    return Panel(
        pixels,
        short(names[label]),
        tuple(short(names[guess]) for guess in top),
        tuple(row["top_probabilities"][:GUESSES]),
        top.index(label) if label in top else None,
    )


def short(name: str) -> str:
    """The name of a class up to its first comma, as in the paper."""
    return name.partition(",")[0].strip()


def figure4(panels: Sequence[Panel]) -> Figure:
    """The paper's Figure 4, left: four images a row, each with its label and its best guesses as bars from 0 to 1.

    The bar of the truth is red, hatched and starred, the others are blue.
    """
    rows = -(-len(panels) // COLUMNS)
    figure = Figure(figsize=(7.2, 2.55 * rows), facecolor="white")
    for part, shown in zip(figure.subfigures(rows, COLUMNS, squeeze=False).flat, panels, strict=False):
        _draw_panel(part, shown)
    return figure


def _draw_panel(part: SubFigure, shown: Panel) -> None:
    picture = part.add_axes((0.04, 0.45, 0.92, 0.53), xticks=[], yticks=[])
    picture.imshow(shown.pixels, interpolation="lanczos")
    bars = part.add_axes((0.04, 0.02, 0.92, 0.34), xlim=(0, 1), ylim=(GUESSES - 0.5, -0.5), xticks=[], yticks=[])
    bars.set_title(_cut(shown.truth), fontsize=8, fontweight="bold", color=INK, pad=3, parse_math=False)
    for axes in (picture, bars):
        axes.spines[:].set(linewidth=0.5, color=INK)
    for place, (name, probability) in enumerate(zip(shown.guesses, shown.probabilities, strict=True)):
        _draw_bar(bars, place, name, probability, right=place == shown.right)


def _draw_bar(axes: Axes, place: int, name: str, probability: float, *, right: bool) -> None:
    look: dict[str, Any] = {"color": RIGHT, "hatch": "////", "edgecolor": HATCH} if right else {"color": OTHER}
    axes.barh(place, probability, height=0.78, linewidth=0, **look)
    text: dict[str, Any] = {"fontsize": 6.5, "va": "center_baseline", "color": INK, "parse_math": False}
    axes.text(0.015, place, _cut(f"★ {name}" if right else name), **text)
    axes.text(0.985, place, percent(probability), ha="right", **text)


def _cut(name: str, longest: int = LONGEST) -> str:
    return name if len(name) <= longest else f"{name[: longest - 1].rstrip()}…"


def figure4_text(panels: Sequence[Panel]) -> str:
    """The figure for those who do not see it."""
    return " ".join(f"Image {number}: {panel_text(shown)}" for number, shown in enumerate(panels, 1))


def panel_text(shown: Panel) -> str:
    """One image of the figure in words."""
    guesses = ", ".join(
        f"{name} {percent(probability)}" + (" (right)" if place == shown.right else "")
        for place, (name, probability) in enumerate(zip(shown.guesses, shown.probabilities, strict=True))
    )
    return f"{shown.truth}. Guesses: {guesses}." + ("" if shown.right is not None else " None is right.")


class Alike(NamedTuple):
    """An image that was found for a query."""

    pixels: NDArray[np.uint8]  # (s, s, 3) RGB
    name: str  # of its class
    distance: float
    agrees: bool | None  # whether its class is the query's; None where that has none

    @property
    def marked(self) -> str:
        """Its class, ticked or crossed."""
        return self.name if self.agrees is None else f"{'✓' if self.agrees else '✕'} {self.name}"

    @property
    def far(self) -> str:
        """Its distance, in three digits or more."""
        return f"{self.distance:.1f}" if abs(self.distance) >= 10 else f"{self.distance:.3f}"


class AlikeRow(NamedTuple):
    """A query and what was found for it, the nearest first."""

    pixels: NDArray[np.uint8]  # (s, s, 3) RGB
    name: str  # of its class, "" where that is not known
    found: tuple[Alike, ...]


def neighbours_figure(rows: Sequence[AlikeRow], *, words: bool = True) -> Figure:
    """The paper's Figure 4, right: a row for each query, which stands first, then the images found for it.

    The paper has images alone. With `words` the class of each stands below it, ticked where it is the query's, crossed
    where not, and its distance.
    """
    columns, text = max((len(row.found) for row in rows), default=0), 0.3 if words else 0.05  # inches below an image
    side = 7.2 / (columns + 1 + GAP)
    height = len(rows) * (side + text)
    figure = Figure(figsize=(7.2, height), facecolor="white")
    grid = figure.add_gridspec(
        len(rows),
        columns + 2,
        width_ratios=[1, GAP, *[1] * columns],  # the query stands apart
        left=0.003,
        right=0.997,
        top=1 - 0.02 / height,
        bottom=text / height,
        wspace=0.05,
        hspace=text / side,
    )
    for number, row in enumerate(rows):
        _draw_small(figure.add_subplot(grid[number, 0]), row.pixels, [row.name] if words else [], bold=True)
        for place, one in enumerate(row.found, 2):
            lines = [one.marked, one.far] if words else []
            _draw_small(figure.add_subplot(grid[number, place]), one.pixels, lines)
    return figure


def _draw_small(axes: Axes, pixels: NDArray[np.uint8], lines: Sequence[str], *, bold: bool = False) -> None:
    axes.imshow(pixels, interpolation="lanczos")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(linewidth=0.5, color=INK)
    look: dict[str, Any] = {"fontsize": 6, "color": INK, "fontweight": "bold" if bold else "normal"}
    text = "\n".join(_cut(line, UNDER) for line in lines)
    axes.set_xlabel(text, labelpad=2, parse_math=False, **look)


def neighbours_text(rows: Sequence[AlikeRow]) -> str:
    """The figure for those who do not see it."""
    return " ".join(f"Row {number}: {row_text(row)}" for number, row in enumerate(rows, 1))


def row_text(row: AlikeRow) -> str:
    """One row of the figure in words."""
    found = ", ".join(f"{one.marked} ({one.far})" for one in row.found) or "nothing"
    return f"Query {row.name or 'of no known class'}. Found, with distance: {found}."


def as_png(figure: Figure) -> bytes:
    """The figure as pixels."""
    return _saved(figure, "png", dpi=DPI)


def as_pdf(figure: Figure) -> bytes:
    """The figure as vectors, text as text; images are enlarged to `DPI`."""
    return _saved(figure, "pdf", dpi=DPI, metadata={"CreationDate": None})


def as_svg(figure: Figure) -> bytes:
    """The figure as vectors without script, text as outlines: it looks the same where the font is not installed."""
    return _saved(figure, "svg", dpi=SCREEN_DPI, metadata={"Date": None})


def _saved(figure: Figure, kind: str, **options: Any) -> bytes:
    file = BytesIO()
    figure.savefig(file, format=kind, **options)
    return file.getvalue()
