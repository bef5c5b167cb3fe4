"""Many trained networks: which condition parts the towers, when it happens, and the kernels as they come about."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from analysis.experiments.matrix import Matrix
from analysis.experiments.nets import KERNELS, KINDS, Course, Net, Row, Spread
from analysis.experiments.report import net_table
from analysis.kernels.indices import Snapshots, chroma_energy
from viz_app.figures.kernels import Board, data_uri, lay_out, rgb_tiles
from viz_app.figures.rows import interval_marks, rows_figure, zero_line
from viz_app.figures.theme import LEGEND_ABOVE, LINE, PICTURE_X, PICTURE_Y, TOWER_MARKS, plain_figure

DOT = TOWER_MARKS[0].colour
BANDS = (("null_999", 0.12), ("null_95", 0.22))  # of a row's networks, and how dark they are drawn
FRAME_MS = 700  # of the film

AXES = dict.fromkeys(KERNELS, "difference of mean chroma, beyond chance") | {
    KINDS[2]: "difference of what is lost, beyond chance (share of images)",
    KINDS[3]: "difference of what is known, beyond chance (share of pictures)",
}
_SHOWN = {
    KINDS[2]: "One dot per network: by how much more hue suffers than shape with one tower's conv1 and conv2 silenced "
    "than with the other's (colour than grey, where labels have no shape and hue), less what random halves of the "
    "network give on average. Circle: each half is the more needed one for a factor of its own, a double dissociation; "
    "square: one half is the more needed one for both. ",
    KINDS[3]: "One dot per network: by how much more a linear probe tells of a grating's hue than of its orientation "
    "from one tower's pool2 than from the other's, less what random halves of pool2 give on average. ",
} | dict.fromkeys(
    KERNELS,
    "One dot per network: how much further apart its towers' mean chroma is than shuffled tower labels make it on "
    "average. ",
)
_MARKS = (
    "Filled: beyond the 99.9% point of its own null; open: not. Dark and pale band: where 95% and 99.9% of the null "
    "lie. Diamond: the mean over networks, with its 95% interval where there are three or more."
)
NETS_TEXT = {kind: shown + _MARKS for kind, shown in _SHOWN.items()}
COURSE_TEXT = (
    "Difference of the towers' mean chroma over training, a line per network. Dark and pale band: what 95% and 99.9% "
    "of shuffled labels stay below. Filled marks: beyond the 99.9% point of its own null. Steps at which a tower has "
    "too few live kernels are left out."
)
KERNELS_TEXT = (
    "The finished first layer of one trained network, each kernel on its own contrast, by tower; without towers by the "
    "halves that are compared."
)
FILM_TEXT = (
    "The first layer of the network on this page while it was trained, each kernel on its own contrast. Play it, or "
    "drag the slider."
)


# Conditions.


def nets_figure(rows: Sequence[Row]) -> go.Figure:
    """A row per condition, a dot per network; conditions without networks keep their empty row."""
    traces, shapes = [], []
    for place, row in enumerate(rows):
        if row.measured:
            shapes += [_band(row.measured, place, name, dark) for name, dark in BANDS]
            traces += [_dots(row, place), _mean(row, place)]
    names = [f"{row.condition} ({len(row.measured)})" for row in rows]
    more = {"shapes": [*shapes, zero_line()], "showlegend": False, "margin": {"l": 10, "r": 10, "t": 10, "b": 10}}
    return rows_figure(traces, names, AXES[rows[0].kind], **more)


def _dots(row: Row, place: int) -> dict[str, Any]:
    nets = [net for net in row.nets if not net.reason and net.courses[row.kind].last]
    n = len(nets)
    apart = np.linspace(-0.22, 0.22, n) if n > 1 else np.zeros(n)
    return {
        "type": "scatter",
        "x": np.array(row.excess, np.float32),
        "y": (place + apart).astype(np.float32),
        "mode": "markers",
        "marker": {
            "symbol": [
                f"{'square' if one_sided(net, row.kind) else 'circle'}{'' if spread.beyond else '-open'}"
                for net, spread in zip(nets, row.measured, strict=True)
            ],
            "size": 10,
            "color": DOT,
            "line": {"width": 1.5},
        },
        "text": [
            f"{row.condition}, seed {net.seed}<br>difference {spread.range:.3f}, chance {spread.chance:.3f}<br>"
            f"p = {spread.p_value:.2g}, 99.9% null {spread.null_999:.3f}<br>top-1 {net.top1:.1%}, {net.live} live"
            for net, spread in zip(nets, row.measured, strict=True)
        ],
        "hovertemplate": "%{text}<extra></extra>",
    }


def one_sided(net: Net, kind: str) -> bool:
    """Whether a network's dot is to say that one half is the more needed one for both factors."""
    return kind == KINDS[2] and not net.crossed


def _mean(row: Row, place: int) -> dict[str, Any]:
    mean = float(np.mean(row.excess))
    ends = (mean, *(row.interval or (mean, mean)))
    return interval_marks([ends], [place + 0.36], f"{row.condition}, mean", LINE, "diamond")


def _band(spreads: Sequence[Spread], place: int, null: str, dark: float) -> dict[str, Any]:
    """From no difference at all to a point of the null, means over the networks."""
    low = -float(np.mean([spread.chance for spread in spreads]))
    high = float(np.mean([getattr(spread, null) - spread.chance for spread in spreads]))
    return {
        "type": "rect",
        "x0": low,
        "x1": high,
        "y0": place - 0.34,
        "y1": place + 0.46,
        "fillcolor": LINE,
        "opacity": dark,
        "line": {"width": 0},
        "layer": "below",
    }


def nets_alt(rows: Sequence[Row]) -> str:
    """The conditions in words."""
    what = AXES[rows[0].kind].capitalize()
    found = "; ".join(_row_text(row) for row in rows if row.measured)
    return f"{what}, by condition: {found or 'no network yet'}."


def _row_text(row: Row) -> str:
    interval = f" [{row.interval.low:+.2f}, {row.interval.high:+.2f}]" if row.interval else ""
    n = len(row.measured)
    return f"{row.condition} {np.mean(row.excess):+.2f}{interval}, {row.beyond} of {n} beyond the 99.9% null"


def rows_table(rows: Sequence[Row]) -> pd.DataFrame:
    """The conditions with every number, for reading; conditions without networks say so."""
    return pd.DataFrame([_row_numbers(row) for row in rows])


def _row_numbers(row: Row) -> dict[str, str]:
    n, start = len(row.measured), {"Condition": row.condition, "It asks": row.asks}
    if not n or row.mean is None:
        left_out = "none that counts" if row.nets else "not trained yet"
        return start | {"Networks": left_out} | dict.fromkeys(_NUMBERS, "–")
    chance = np.mean([spread.chance for spread in row.measured])
    interval = f" [{row.interval.low:+.3f}, {row.interval.high:+.3f}]" if row.interval else ""
    values = (
        f"{row.mean:.3f}",
        f"{chance:.3f}",
        f"{np.mean(row.excess):+.3f}{interval}",
        f"{row.sign_p:.2g}",
        f"{row.joint_p:.2g}",
        f"{row.beyond} of {n}",
        f"{row.rate_bound:.0%}",
    )
    crossed = {"Double dissociation": f"{row.crossed} of {n}"} if row.kind == KINDS[2] else {}
    return start | {"Networks": str(n)} | dict(zip(_NUMBERS, values, strict=True)) | crossed


_NUMBERS = (
    "Mean difference",
    "Chance",
    "Beyond chance, 95% interval",
    "Sign test p",
    "Joint p",
    "Beyond the 99.9% null",
    "True share at least",
)


def nets_for_reading(nets: Sequence[Net]) -> pd.DataFrame:
    """Every network, those that do not count included, for reading."""
    table = net_table(nets).rename(columns={name: name.replace("_", " ") for name in net_table(nets).columns})
    return table.map(lambda value: f"{value:.3g}" if isinstance(value, float) and np.isfinite(value) else value)


def missing_text(matrix: Matrix, rows: Sequence[Row]) -> str:
    """Which trainings of a matrix are not done, and which do not count, in a few sentences; "" if there are none."""
    seeds = len(matrix.seeds)
    none = [row.condition for row in rows if not row.nets]
    fewer = [f"{row.condition} ({len(row.nets)} of {seeds})" for row in rows if 0 < len(_towers(row)) < seeds]
    out = [f"{net.condition}, seed {net.seed}: {net.reason}" for row in rows for net in _towers(row) if net.reason]
    parts = [
        f"Not trained yet: {', '.join(none)}." if none else "",
        f"Fewer networks than planned: {', '.join(fewer)}." if fewer else "",
        f"Left out: {' '.join(out)}" if out else "",
    ]
    return " ".join(part for part in parts if part)


def _towers(row: Row) -> list[Net]:
    """The networks of a row that is about towers, so that those cut otherwise are not told twice."""
    return [net for net in row.nets if not net.cut]


# Over training.


def courses_figure(row: Row) -> go.Figure:
    """The towers' difference over training in every network of a condition that counts."""
    nets = [net for net in row.nets if not net.reason]
    courses = [net.courses[row.kind] for net in nets]
    traces = [
        *(_null(courses, null, dark) for null, dark in BANDS),
        *(_course(net, course, place) for place, (net, course) in enumerate(zip(nets, courses, strict=True))),
    ]
    layout = {
        "xaxis": {"type": "log", "title": {"text": "training step"}, "fixedrange": True} | _ticks(courses),
        "yaxis": {"title": {"text": "difference of mean chroma"}, "rangemode": "tozero", "fixedrange": True},
        "legend": LEGEND_ABOVE,
        "margin": {"l": 10, "r": 10, "t": 40, "b": 10},
    }
    return plain_figure(traces, layout, height=380)


def _ticks(courses: Sequence[Course]) -> dict[str, Any]:
    """Every second step that was kept, the last one among them."""
    steps = sorted({step for course in courses for step in course.steps if step})[::-2]
    return {"tickvals": steps, "ticktext": [f"{step:,}" for step in steps]}


def _course(net: Net, course: Course, place: int) -> dict[str, Any]:
    mark = TOWER_MARKS[place % len(TOWER_MARKS)]
    known = [(step, each) for step, each in zip(course.steps, course.spreads, strict=True) if step and each]
    return {
        "type": "scatter",
        "x": [step for step, _ in known],
        "y": np.array([each.range for _, each in known], np.float32),
        "mode": "lines+markers",
        "name": f"seed {net.seed}",
        "line": {"color": mark.colour, "dash": mark.dash, "width": 2},
        "marker": {"symbol": [f"{mark.symbol}{'' if each.beyond else '-open'}" for _, each in known], "size": 8},
        "hovertemplate": f"seed {net.seed}, step %{{x:,}}: %{{y:.3f}}<extra></extra>",
    }


def _null(courses: Sequence[Course], null: str, dark: float) -> dict[str, Any]:
    """A point of the null at every step, mean over the networks, as a surface from 0."""
    by_step: dict[int, list[float]] = {}
    for course in courses:
        for step, spread in zip(course.steps, course.spreads, strict=True):
            if step and spread:
                by_step.setdefault(step, []).append(getattr(spread, null))
    steps = sorted(by_step)
    return {
        "type": "scatter",
        "x": steps,
        "y": np.array([np.mean(by_step[step]) for step in steps], np.float32),
        "mode": "lines",
        "fill": "tozeroy",
        "fillcolor": f"rgba(128,128,128,{dark})",
        "line": {"width": 0},
        "name": {"null_95": "95% null", "null_999": "99.9% null"}[null],
        "hoverinfo": "skip",
    }


def courses_text(row: Row) -> str:
    """When the towers came apart, in words."""
    nets = [net for net in row.nets if not net.reason]
    found = [(net.seed, net.courses[row.kind].detected) for net in nets]
    parts = [f"seed {seed}: {'never' if step is None else f'step {step:,}'}" for seed, step in found]
    return (
        f"First step from which the towers of “{row.condition}” stay beyond the 99.9% null to the end, "
        f"{', '.join(parts) or 'no network yet'}."
    )


# The kernels.


def kernels_figure(net: Net) -> go.Figure:
    """The finished kernels of one network, a block for each tower or half."""
    board = _board(np.concatenate(net.kernels), len(net.kernels))
    names = _marked(f"mean chroma {mean}" for mean in _chroma_of_parts(net))
    return plain_figure([_picture(board)], _around(board, _block_names(board, names)), height=480)


def _chroma_of_parts(net: Net) -> list[str]:
    """Mean chroma of the live kernels in each tower or half as trained, for reading."""
    last = net.courses[KINDS[0]].last
    return [f"{mean:.2f}" for mean in last.means] if last else ["not measurable"] * len(net.kernels)


def kernels_text(net: Net) -> str:
    """One network's kernels in words."""
    last = net.courses[KINDS[0]].last
    means = ", ".join(_marked(_chroma_of_parts(net)))
    name = f"{net.condition}{f', {net.cut}' * bool(net.cut)}, seed {net.seed}"
    return f"{name}: mean chroma of live kernels {means}{f' (p = {last.p_value:.2g})' if last else ''}."


# The film.


def film_figure(snapshots: Snapshots, towers: int) -> go.Figure:
    """The kernels at every kept step as frames of a film, with a slider and a button."""
    boards = [_board(layer.astype(np.float32), towers) for layer in snapshots.kernels]
    titles = film_titles(snapshots, towers)
    names = [f"{step:,}" for step in snapshots.steps]
    last = len(boards) - 1
    frames = [
        {"name": name, "data": [_picture(board)], "layout": {"annotations": _notes(boards[0], title)}}
        for name, board, title in zip(names, boards, titles, strict=True)
    ]
    play = {"frame": {"duration": FRAME_MS, "redraw": True}, "transition": {"duration": 0}, "fromcurrent": True}
    jump = {"frame": {"duration": 0, "redraw": True}, "mode": "immediate", "transition": {"duration": 0}}
    layout = _around(boards[0], _notes(boards[0], titles[last])) | {
        "updatemenus": [
            {
                "type": "buttons",
                "direction": "left",
                "showactive": False,
                "x": 0,
                "y": -0.02,
                "xanchor": "left",
                "yanchor": "top",
                "buttons": [
                    {"label": "▶ Play", "method": "animate", "args": [names, play]},
                    {"label": "❚❚ Pause", "method": "animate", "args": [[None], jump]},
                ],
            }
        ],
        "sliders": [
            {
                "active": last,
                "x": 0,
                "y": -0.14,
                "len": 1,
                "currentvalue": {"prefix": "step "},
                "steps": [{"label": name, "method": "animate", "args": [[name], jump]} for name in names],
            }
        ],
    }
    figure = plain_figure([_picture(boards[last])], layout, height=620)
    return go.Figure({"data": figure.data, "layout": figure.layout, "frames": frames}, _validate=False)


def film_titles(snapshots: Snapshots, towers: int) -> list[str]:
    """The mean chroma of each tower at every kept step, noise included."""
    chroma = [chroma_energy(layer.astype(np.float32)).reshape(towers, -1).mean(1) for layer in snapshots.kernels]
    return [
        f"step {step:,}: mean chroma {', '.join(_marked(f'{mean:.2f}' for mean in means))}"
        for step, means in zip(snapshots.steps, chroma, strict=True)
    ]


def _board(kernels: NDArray[np.float32], towers: int) -> Board:
    return lay_out(rgb_tiles(kernels, shared=False), np.arange(len(kernels)), range(towers))


def _picture(board: Board) -> dict[str, Any]:
    return {"type": "image", "source": data_uri(board.picture), "zsmooth": False, "hoverinfo": "skip"}


def _around(board: Board, notes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The layout of a figure that shows one board of kernels, with room for names above."""
    height, width = board.picture.shape[:2]
    return {
        "xaxis": PICTURE_X | {"range": [-1.5, width + 0.5]},
        "yaxis": PICTURE_Y | {"range": [height + 0.5, -10]},
        "annotations": notes,
        "margin": {"l": 10, "r": 10, "t": 10, "b": 10},
    }


def _marked(words: Iterable[str]) -> list[str]:
    """A word for each tower or half, behind its mark."""
    return [f"{mark.glyph} {word}" for mark, word in zip(TOWER_MARKS, words, strict=False)]


def _notes(board: Board, title: str) -> list[dict[str, Any]]:
    """Names of the towers over their blocks, what the frame shows below."""
    names = _block_names(board, _marked(TOWER_MARKS[tower].name for tower in board.towers))
    below = {"showarrow": False, "x": 1, "xref": "paper", "xanchor": "right", "y": -0.1, "yref": "paper"}
    return [*names, below | {"yanchor": "bottom", "text": title}]


def _block_names(board: Board, names: Sequence[str]) -> list[dict[str, Any]]:
    """A name over each block."""
    above = {"showarrow": False, "xanchor": "left", "yanchor": "bottom", "y": -2}
    return [above | {"x": left, "text": f"<b>{name}</b>"} for name, (left, _) in zip(names, board.edges, strict=True)]
