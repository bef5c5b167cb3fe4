"""Figures with a row per thing: its name on the left, marks with their intervals on one scale."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike, NDArray

from viz_app.figures.theme import LEGEND_ABOVE, LINE, plain_figure

Ends = Sequence[tuple[float, float, float]]  # value, low and high end of its interval


def rows_figure(traces: list[dict[str, Any]], names: Sequence[str], title: str, **layout: Any) -> go.Figure:
    """Traces over rows 0, 1, ... from the top, which bear these names."""
    axis = {"title": {"text": title}, "zeroline": False, "fixedrange": True}
    frame = {
        "xaxis": axis | layout.pop("xaxis", {}),
        "yaxis": row_axis(names),
        "legend": LEGEND_ABOVE,
        "hovermode": "closest",
        "margin": {"l": 10, "r": 10, "t": 40, "b": 10},
    }
    return plain_figure(traces, frame | layout, height=120 + 44 * len(names))


def row_axis(names: Sequence[str]) -> dict[str, Any]:
    """A vertical axis with a name per row."""
    return {
        "tickvals": list(range(len(names))),
        "ticktext": list(names),
        "range": [len(names) - 0.5, -0.6],
        "showgrid": False,
        "zeroline": False,
        "fixedrange": True,
        "automargin": True,
    }


def interval_marks(ends: Ends, places: ArrayLike, name: str, colour: str, symbol: str, **more: Any) -> dict[str, Any]:
    """A mark with its interval for each value, lying at `places` from the top."""
    value, low, high = np.array(ends, np.float64).reshape(-1, 3).T
    return {
        "type": "scatter",
        "x": value.astype(np.float32),
        "y": np.asarray(places, np.float32),
        "mode": "markers",
        "name": name,
        "marker": {"symbol": symbol, "color": colour, "size": 11},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": (high - value).astype(np.float32),
            "arrayminus": (value - low).astype(np.float32),
            "color": colour,
            "thickness": 2,
            "width": 4,
        },
        "hovertemplate": f"{name}: %{{x:.3f}}<extra></extra>",
    } | more


def tick_marks(values: ArrayLike, places: ArrayLike, name: str, size: int = 18) -> dict[str, Any]:
    """An upright tick for each value: what chance gives, or where a null ends."""
    return {
        "type": "scatter",
        "x": np.asarray(values, np.float32),
        "y": np.asarray(places, np.float32),
        "mode": "markers",
        "name": name,
        "marker": {"symbol": "line-ns", "size": size, "line": {"width": 2, "color": LINE}},
        "hovertemplate": f"{name}: %{{x:.3f}}<extra></extra>",
    }


def zero_line(at: float = 0.0) -> dict[str, Any]:
    """A dotted line down all rows."""
    line = {"color": LINE, "dash": "dot", "width": 1}
    return {"type": "line", "x0": at, "x1": at, "y0": 0, "y1": 1, "yref": "y domain", "line": line}


def scattered(count: int, height: float) -> NDArray[np.floating]:
    """Shifts that part marks of a row evenly over a height, always the same: golden steps."""
    return np.asarray(height * ((np.arange(count) * 0.618034) % 1 - 0.5))
