"""A part of a photo as the query: a box drawn on it, or given by four numbers."""

from collections.abc import Callable
from functools import partial

import streamlit as st

from analysis import activations
from viz_app.figures.image import crop_figure
from viz_app.figures.theme import PLOT_CONFIG
from viz_app.resources import current_checkpoint, photo_size, picture_of
from viz_app.retrieval.state import Box
from viz_app.uploads import Photo, fitted

CHART = "crop_chart"
SIDES = {"Left": "crop_left", "Top": "crop_top", "Width": "crop_width", "Height": "crop_height"}
WIDE = 125  # pixels of a number field: two stand beside each other on a phone
CONFIG = PLOT_CONFIG | {"displayModeBar": False}
HELP = "Draw a box on the photo, or type where it lies: that part alone becomes the query."


def choose(photo: Photo, box: Box | None, on_change: Callable[[Box | None], None]) -> None:
    """A photo to draw a box on, with the one in use; `on_change` is called with a new one, ``None`` for the whole
    photo, before the page is drawn anew. `resources.part_of` makes a photo of the part. Call it once on a page."""
    width, height = photo_size(photo.sha256, photo)
    box = fitted(box, width, height) if box else None
    draw(photo, box, width, height, on_change)
    type_in(box or (0, 0, width, height), width, height, on_change)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(box_text(box, width, height) if box else HELP)
        if box:
            st.button("Whole photo", key="crop_off", icon=":material/crop_free:", on_click=on_change, args=(None,))


def draw(photo: Photo, box: Box | None, width: int, height: int, on_change: Callable[[Box | None], None]) -> None:
    """The photo."""
    shown = picture_of(photo.sha256, current_checkpoint().preprocess.source_size, photo)
    edges = box and activations.Box(box[0], box[1], box[0] + box[2], box[1] + box[3])
    st.plotly_chart(
        crop_figure(shown, width, height, edges),
        key=CHART,
        config=CONFIG,
        on_select=partial(take_drawn, width, height, on_change),
        selection_mode="box",
        alt=f"{photo.name}, to draw a box on. {box_text(box, width, height)}",
    )


def type_in(box: Box, width: int, height: int, on_change: Callable[[Box | None], None]) -> None:
    """The box as numbers, for those who do not draw."""
    ranges = ((0, width - 1), (0, height - 1), (1, width), (1, height))
    rows = zip(SIDES.items(), box, ranges, strict=True)
    with st.container(horizontal=True):
        for (label, key), value, (low, high) in rows:
            st.session_state[key] = value
            st.number_input(
                label, low, high, key=key, width=WIDE, on_change=take_typed, args=(width, height, on_change)
            )


def take_drawn(width: int, height: int, on_change: Callable[[Box | None], None]) -> None:
    """Callback: what was drawn becomes the box."""
    if drawn := st.session_state[CHART].selection.box:
        (left, right), (top, bottom) = (sorted(drawn[-1][axis]) for axis in "xy")
        tell((left, top, right - left, bottom - top), width, height, on_change)


def take_typed(width: int, height: int, on_change: Callable[[Box | None], None]) -> None:
    """Callback: what was typed becomes the box."""
    left, top, wide, high = (st.session_state[key] for key in SIDES.values())
    tell((left, top, wide, high), width, height, on_change)


def tell(
    box: tuple[float, float, float, float], width: int, height: int, on_change: Callable[[Box | None], None]
) -> None:
    """Call with what of the photo lies in a box; a box around all of it is none."""
    part = fitted(box, width, height)
    on_change(None if part == (0, 0, width, height) else part)


def box_text(box: Box | None, width: int, height: int) -> str:
    """Where the box lies, and what the network makes of it."""
    if box is None:
        return f"No box: all of its {width:,} × {height:,} pixels are the query."
    left, top, wide, high = box
    square = "" if wide == high else " The network reads the square in the middle of it."
    return (
        f"{wide:,} × {high:,} of {width:,} × {height:,} pixels, {left:,} from the left, {top:,} from the top.{square}"
    )
