"""Looks that all figures share: how a tower is marked without colour, scales, lines visible on light and dark."""

from typing import Any, NamedTuple

import plotly.graph_objects as go


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
DIVERGING = "RdBu_r"  # signed values on a symmetric scale: red positive, white zero, blue negative
SEQUENTIAL = "Viridis"

PLOT_CONFIG: dict[str, Any] = {
    "displaylogo": False,
    "toImageButtonOptions": {"format": "png", "scale": 3},  # the camera button in the modebar
}


def compact(figure: go.Figure, *, height: int, title: str = "") -> go.Figure:
    """Set the height in pixels and narrow margins; fonts and background follow the page's own theme."""
    top = 40 if title else 10
    return figure.update_layout(
        height=height, margin={"l": 10, "r": 10, "t": top, "b": 10}, title={"text": title, "font": {"size": 14}}
    )


def hide_axes(figure: go.Figure) -> go.Figure:
    """Pictures need no axes; square pixels, row 0 on top."""
    figure.update_xaxes(visible=False, constrain="domain", fixedrange=True)
    return figure.update_yaxes(visible=False, scaleanchor="x", autorange="reversed", fixedrange=True)
