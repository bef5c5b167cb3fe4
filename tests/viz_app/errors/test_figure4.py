"""Figure 4 on the page: which images are drawn, what is said of them, what the link holds."""

from html import unescape
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from tests.analysis.errors.tables import random_table
from viz_app.errors import figure4
from viz_app.figures import paper

pytestmark = pytest.mark.usefixtures("fresh_caches")

SCRIPT = "import streamlit as st; from viz_app.errors.figure4 import show; show(st.session_state.subject)"
NAMES = [f"class {label}" for label in range(12)]
ROW = 1000  # of the gallery, of the table's first id


def picture(row: int) -> Image.Image:
    """An image that tells which one it is."""
    return Image.fromarray(np.full((8, 8, 3), row % 256, np.uint8))


def position_of(row: int) -> int | None:
    found = np.flatnonzero(TABLE["id"].to_numpy() == row - ROW)
    return int(found[0]) if len(found) else None


TABLE = random_table()
SUBJECT = SimpleNamespace(
    table=TABLE,
    names=NAMES,
    key="table",
    about=SimpleNamespace(checkpoint="tiny"),
    gallery=SimpleNamespace(pixels=picture),
    gallery_row=lambda position: TABLE["id"][position].as_py() + ROW,
    position=position_of,
)


def page(split: str = "val", **query: str) -> AppTest:
    """The section alone, opened by a link."""
    app = AppTest.from_string(SCRIPT, default_timeout=30)
    app.session_state["subject"] = SUBJECT
    app.session_state["split_in_use"] = split
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def told(app: AppTest) -> str:
    """The figure's text alternative."""
    (figure,) = app.get("html")
    return unescape(figure.proto.body.partition('alt="')[2].partition('"')[0])


def text_of(positions: Any) -> str:
    panels = paper.panels_of(TABLE, positions, NAMES, lambda _: picture(0))
    return paper.figure4_text(panels)


def test_the_figure_shows_the_drawn_images_of_the_split_and_tells_their_guesses() -> None:
    assert told(page()) == text_of(paper.drawn(TABLE, "val", 0))
    assert told(page("train")) == text_of(paper.drawn(TABLE, "train", 0))


def test_a_link_holds_the_draw_and_whether_only_errors_are_shown() -> None:
    app = page(figure_seed="7", figure_errors="true")
    assert told(app) == text_of(paper.drawn(TABLE, "val", 7, only_errors=True))
    app.number_input(key="figure_seed").set_value(9).run()
    assert told(app) == text_of(paper.drawn(TABLE, "val", 9, only_errors=True))


def test_named_images_stand_in_their_order_and_unknown_ones_are_left_out() -> None:
    assert told(page(figure_images="1007, 99999; 1003 1250")) == text_of(
        [position_of(row) for row in (1007, 1003, 1250)]
    )


@pytest.mark.parametrize("numbers", ["99999", "none of them", "999999999999"])
def test_no_such_image_is_said(numbers: str) -> None:
    app = page(figure_images=numbers)
    assert not app.get("image")
    assert "no such image" in app.info[0].value


def test_the_images_are_those_of_the_store() -> None:
    positions = paper.drawn(TABLE, "val", 0)
    for panel, position in zip(
        paper.panels_of(TABLE, positions, NAMES, lambda at: figure4.image_at(SUBJECT, at)), positions, strict=True
    ):
        assert panel.pixels[0, 0, 0] == (TABLE["id"][position].as_py() + ROW) % 256


def test_the_words_hold_every_image_of_the_figure() -> None:
    (words,) = [element.value for element in page().expander[0].markdown]
    assert words.count("Guesses") == 8
