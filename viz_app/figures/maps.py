"""Maps of images as figures: a point for each image, told apart by colour and by shape; sentences on what they show."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from alexnet_core.prism import HUES, SHAPES, hue_of, shape_of
from analysis.projection import Agreement, Faithfulness, ImageMap, MapPlan
from viz_app.figures.lesions import escape_html
from viz_app.figures.theme import ACCENT, LINE, TOWER_MARKS, plain_figure

Ints = NDArray[np.int64]

HEIGHT = 600
LISTED = 12  # groups that a legend names
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe and Ito's, visible on any page
SYMBOLS = (
    "circle",
    "diamond",
    "square",
    "triangle-up",
    "cross",
    "star",
    "triangle-down",
    "x",
    "hexagon",
    "pentagon",
)
BALANCE = ((0.0, TOWER_MARKS[0].colour), (0.5, "#a0a0a0"), (1.0, TOWER_MARKS[1].colour))  # grey shows on any page

READING = {
    "PCA": "What may be read: it is a shadow of the features. Images far apart here are at least as far apart in the "
    "features; images close together may still differ in what the shadow leaves out.",
    "t-SNE": "What may be read: who lies next to whom. How large a cluster is, how far clusters are from each other "
    "and how empty it is between them mean nothing.",
}
READING["UMAP"] = READING["t-SNE"]


class Group(NamedTuple):
    """Points that look alike: one name in the legend."""

    name: str
    places: Ints  # of its points among all
    colour: str | NDArray[np.str_] = LINE  # one for all, or one for each
    symbol: str | NDArray[np.str_] = "circle"


def class_groups(labels: Ints, names: Sequence[str], chosen: Sequence[int] = ()) -> list[Group]:
    """A group for each class; where there are many, one of all, in which looks repeat; chosen ones before the rest."""
    if chosen:
        rest = Group("other classes", np.flatnonzero(~np.isin(labels, chosen)))
        return [rest, *_groups(labels, [(label, names[label]) for label in chosen], first=1)]
    present = np.unique(labels).tolist()
    if len(present) <= LISTED:
        return _groups(labels, [(label, names[label]) for label in present])
    colours = np.array(PALETTE)[labels % len(PALETTE)]
    symbols = np.array(SYMBOLS)[labels // len(PALETTE) % len(SYMBOLS)]
    return [Group(f"{len(present)} classes", np.arange(len(labels)), colours, symbols)]


def hue_groups(labels: Ints) -> list[Group]:
    """The ten hues of Prism in their own colours."""
    hues = hue_of(labels)
    return [
        Group(hue.name, np.flatnonzero(hues == place), hue.hex, SYMBOLS[place % len(SYMBOLS)])
        for place, hue in enumerate(HUES)
    ]


def shape_groups(labels: Ints) -> list[Group]:
    """The ten shapes of Prism."""
    return _groups(shape_of(labels), list(enumerate(SHAPES)))


def answer_groups(right: NDArray[np.bool_]) -> list[Group]:
    """Images that the network is right about, and those that it is not."""
    return [
        Group("right", np.flatnonzero(right), PALETTE[0], "circle"),
        Group("wrong", np.flatnonzero(~right), PALETTE[1], "x"),
    ]


def tower_groups(shares: NDArray[np.floating]) -> list[Group]:
    """Images by the tower that has more of the energy; `map_figure` colours them by how much."""
    a, b = TOWER_MARKS[:2]
    return [
        Group(f"more in {a.name}", np.flatnonzero(shares < 0.5), a.colour, a.symbol),
        Group(f"more in {b.name}", np.flatnonzero(shares >= 0.5), b.colour, b.symbol),
    ]


def _groups(labels: Ints, named: Sequence[tuple[int, str]], first: int = 0) -> list[Group]:
    """A look for each: up to ten differ in shape already, up to thirty in shape and colour."""
    return [
        Group(
            name,
            np.flatnonzero(labels == label),
            PALETTE[place % len(PALETTE)],
            SYMBOLS[place % len(SYMBOLS)],
        )
        for place, (label, name) in enumerate(named, first)
    ]


def map_figure(
    shown: ImageMap,
    plan: MapPlan,
    groups: Sequence[Group],
    texts: NDArray[np.str_],
    *,
    shares: NDArray[np.floating] | None = None,
    query: int | None = None,
) -> go.Figure:
    """A point for each image; `texts` (n,) stand at the pointer, `shares` (n,) are shown on a scale from tower to
    tower, `query` is the row that gets a ring. The custom datum of a point is its row in the gallery."""
    traces = [_points(shown, group, texts, shares) for group in groups if len(group.places)]
    if query is not None and query in shown.rows:
        traces.append(_ring(shown.positions[np.searchsorted(shown.rows, query)]))
    layout: dict[str, Any] = {
        "xaxis": _axis(shown, plan, 0),
        "yaxis": _axis(shown, plan, 1) | {"scaleanchor": "x"},
        "dragmode": "lasso",
        "clickmode": "event+select",
        "hovermode": "closest",
        "legend": {"orientation": "h", "y": -0.02 if plan.method != "PCA" else -0.1, "yanchor": "top"}
        | {"itemsizing": "constant", "itemclick": False, "itemdoubleclick": False},
        "showlegend": shares is not None or len(traces) > 1,
        "margin": {"l": 5, "r": 5, "t": 60 if shares is not None else 30, "b": 5},
        "uirevision": "map",  # other colours leave the view as it is
    }
    if shares is not None:
        layout["coloraxis"] = _scale(shares)
    return plain_figure(traces, layout, height=HEIGHT)


def _points(
    shown: ImageMap, group: Group, texts: NDArray[np.str_], shares: NDArray[np.floating] | None
) -> dict[str, Any]:
    places = group.places
    look: dict[str, Any] = {"color": group.colour}
    if shares is not None:
        look = {"color": 100 * shares[places].astype(np.float32), "coloraxis": "coloraxis"}
    return {
        "type": "scattergl",
        "mode": "markers",
        "name": escape_html(group.name),
        "x": shown.positions[places, 0],
        "y": shown.positions[places, 1],
        "customdata": shown.rows[places].astype(np.int32),
        "text": texts[places],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"size": _size(len(shown.rows)), "symbol": group.symbol, "opacity": 0.8} | look,
        "unselected": {"marker": {"opacity": 0.15}},
    }


def _ring(place: NDArray[np.float32]) -> dict[str, Any]:
    return {
        "type": "scattergl",
        "mode": "markers",
        "name": "the query",
        "x": place[:1],
        "y": place[1:],
        "hoverinfo": "skip",
        "marker": {"size": 22, "symbol": "circle-open", "color": ACCENT, "line": {"width": 4}},
    }


def _axis(shown: ImageMap, plan: MapPlan, number: int) -> dict[str, Any]:
    if plan.method != "PCA":
        return {"showticklabels": False, "zeroline": False, "ticks": "", "showgrid": False}
    title = f"component {number + 1} ({shown.variance[number]:.1%} of the variance)"
    return {"title": {"text": title}, "zeroline": False}


def _scale(shares: NDArray[np.floating]) -> dict[str, Any]:
    """Half and half in the middle, as far to either side as nearly all images go."""
    reach = 100 * max(0.01, float(np.nanquantile(np.abs(shares - 0.5), 0.99)))
    return {
        "colorscale": [list(stop) for stop in BALANCE],
        "cmin": 50 - reach,
        "cmax": 50 + reach,
        "colorbar": {
            "title": {"text": "share of the energy in tower B, %", "side": "top"},
            "orientation": "h",
            "thickness": 10,
            "len": 0.9,
            "x": 0,
            "xanchor": "left",
            "y": 1,
            "yanchor": "bottom",
        },
    }


def _size(points: int) -> int:
    """Diameter in pixels."""
    return 9 if points <= 600 else 7 if points <= 2500 else 6 if points <= 6000 else 4


# Sentences.


def shown_text(shown: ImageMap, plan: MapPlan, images: int) -> str:
    """What is on the map, and how much of the features it keeps."""
    n, kept = len(shown.rows), float(shown.variance.sum())
    count = f"{n:,} images" if n == images else f"{n:,} of {images:,} images, of each class its share"
    if plan.method == "PCA":
        return f"PCA of {count}: the two directions in which they differ most hold {kept:.1%} of the variance."
    start = f"the first {len(shown.variance)} principal components ({kept:.1%} of the variance)"
    return f"{plan.method} of {count}, from {start}, made in {shown.seconds:.0f} s."


def trust_text(found: Faithfulness) -> str:
    """How far the map can be believed."""
    return (
        f"Trustworthiness **{found.trustworthiness:.3f}** (1: whoever is near on the map is near in the features; "
        f"about 0.5: by chance). Of an image's {found.k} nearest on the map, {found.shared:.0%} are among its "
        f"{found.k} nearest in the features (by chance {found.chance:.1%})."
    )


def kinds_text(what: str, found: Agreement, k: int) -> str:
    """Whether images of a kind lie together."""
    return f"Of an image's {k} nearest on the map, {found.found:.0%} {what} (by chance {found.chance:.1%})."


def balance_text(shares: NDArray[np.floating], around: float, k: int) -> str:
    """How the energy is shared by the towers, and whether images of equal balance lie together."""
    low, middle, high = np.nanquantile(shares, (0.05, 0.5, 0.95))
    return (
        f"Tower B has {middle:.0%} of the energy in the middle image, {low:.0%} to {high:.0%} in nine of ten. With the "
        f"mean of its {k} nearest on the map an image's share correlates at r = {around:.2f}."
    )


def map_alt(plan: MapPlan, colour: str, *sentences: str) -> str:
    """The figure in words."""
    text = " ".join(sentences).replace("**", "")
    return f"Map of images by {plan.method}, a point each, coloured by {colour}. {text}"
