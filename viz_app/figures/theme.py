"""Looks that all figures share: how a tower is marked without colour, scales, lines visible on light and dark."""

from typing import Any, NamedTuple

import plotly.graph_objects as go

from analysis.errors.rates import Share


class TowerMark(NamedTuple):
    """How one tower looks in every figure: its name, line style, marker and the same marker as a character."""

    name: str
    dash: str
    symbol: str
    glyph: str
    colour: str


TOWER_MARKS = (
    TowerMark("tower A", "solid", "circle", "●", "#0072b2"),
    TowerMark("tower B", "dash", "diamond", "◆", "#d55e00"),
    TowerMark("tower C", "dot", "square", "■", "#009e73"),
    TowerMark("tower D", "dashdot", "triangle-up", "▲", "#cc79a7"),
)  # Okabe and Ito's colours, which colour-blind readers tell apart; never the only code

LINE = "#808080"  # a grey that is visible on a light and on a dark page
ACCENT = "#e69f00"  # Okabe and Ito's orange, for a line across grey bars
DIVERGING = "RdBu_r"  # signed values on a symmetric scale: red positive, white zero, blue negative
SEQUENTIAL = "Viridis"

PLOT_CONFIG: dict[str, Any] = {
    "displaylogo": False,
    "toImageButtonOptions": {"format": "png", "scale": 3},  # the camera button in the modebar
}

PICTURE_X: dict[str, Any] = {"visible": False, "constrain": "domain", "fixedrange": True}  # no axes, square pixels
PICTURE_Y: dict[str, Any] = PICTURE_X | {"scaleanchor": "x", "autorange": False, "constraintoward": "top"}
LEGEND_ABOVE: dict[str, Any] = {"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom", "font": {"size": 11}}


def plain_figure(traces: list[dict[str, Any]], layout: dict[str, Any], *, height: int) -> go.Figure:
    """A figure of plain values with narrow margins; fonts and background follow the page's own theme.

    Plotly's own checks would take longer than all else on a page: the tests do them. Without them a colour scale
    must be spelt out (`get_colorscale`): the browser knows few of the names.
    """
    frame = {"height": height, "margin": {"l": 10, "r": 10, "t": 10, "b": 10}}
    return go.Figure({"data": traces, "layout": frame | layout}, _validate=False)


def interval_text(share: Share) -> str:
    """The ends of a share's interval in percent: "[15.1, 19.6]"; "" where nothing was counted."""
    low, high = share.interval
    return f"[{100 * low:.1f}, {100 * high:.1f}]" if share.n else ""


def rate_text(share: Share) -> str:
    """A share with its interval: "17.3% [15.1, 19.6]"; "none" where nothing was counted."""
    return f"{share.value:.1%} {interval_text(share)}" if share.n else "none"


def share_text(share: Share) -> str:
    """A share with interval and denominator: "17.3% [15.1, 19.6] of 1,000"; "none" where nothing was counted."""
    return f"{rate_text(share)} of {share.n:,}" if share.n else "none"


def percent(share: float) -> str:
    """A probability for people; a small one is not called none."""
    return "<0.1%" if 0 < share < 0.0005 else f"{share:.1%}"
