"""A box on a photo: what is drawn or typed is told in whole pixels of the photo, and what the photo shows is in use."""

from io import BytesIO
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from viz_app.retrieval import crop
from viz_app.uploads import photo

pytestmark = pytest.mark.usefixtures("fresh_caches")

SCRIPT = """
import streamlit as st
from viz_app.retrieval.crop import choose

def changed(box):
    st.session_state.told, st.session_state.box = True, box

choose(st.session_state.photo, st.session_state.get("box"), changed)
"""
WIDTH, HEIGHT = 120, 90


def picture() -> bytes:
    file = BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> AppTest:
    """The widget alone, about a photo without a box."""
    network = SimpleNamespace(preprocess=SimpleNamespace(source_size=64))
    monkeypatch.setattr(crop, "current_checkpoint", lambda: network)
    app = AppTest.from_string(SCRIPT, default_timeout=30)
    app.session_state["photo"] = photo("x.png", picture())
    return app


def run(app: AppTest) -> AppTest:
    app.run()
    assert not app.exception
    return app


def sides(app: AppTest) -> list[int]:
    return [app.number_input(key=key).value for key in crop.SIDES.values()]


def test_without_a_box_the_numbers_are_those_of_the_whole_photo(page: AppTest) -> None:
    assert sides(run(page)) == [0, 0, WIDTH, HEIGHT]
    assert not page.button
    assert page.caption[0].value == crop.HELP


def test_a_typed_number_is_told_and_then_in_use(page: AppTest) -> None:
    run(page).number_input(key="crop_left").set_value(40).run()
    assert page.session_state["box"] == (40, 0, 80, 90)
    assert sides(page) == [40, 0, 80, 90]
    page.number_input(key="crop_height").set_value(30).run()
    assert page.session_state["box"] == (40, 0, 80, 30)
    assert "80 × 30 of 120 × 90 pixels, 40 from the left, 0 from the top" in page.caption[0].value


def test_the_button_asks_for_the_whole_photo_again(page: AppTest) -> None:
    page.session_state["box"] = (40, 10, 20, 20)
    run(page).button(key="crop_off").click().run()
    assert page.session_state["box"] is None
    assert sides(page) == [0, 0, WIDTH, HEIGHT]


def test_numbers_of_the_whole_photo_are_no_box(page: AppTest) -> None:
    page.session_state["box"] = (0, 0, 50, HEIGHT)
    run(page).number_input(key="crop_width").set_value(WIDTH).run()
    assert page.session_state["told"]
    assert page.session_state["box"] is None


def test_a_box_that_reaches_beyond_the_photo_is_shown_as_it_is_used(page: AppTest) -> None:
    page.session_state["box"] = (100, 80, 500, 500)
    assert sides(run(page)) == [100, 80, 20, 10]


@pytest.mark.parametrize(
    ("drawn", "expected"),
    [
        ([], "nothing"),
        ([{"x": [80.4, 19.7], "y": [30.2, 60.1]}], (20, 30, 60, 30)),  # from right to left
        ([{"x": [1, 2], "y": [1, 2]}, {"x": [50, 70], "y": [40, 60]}], (50, 40, 20, 20)),
        ([{"x": [-9, 500], "y": [-9, 500]}], None),
        ([{"x": [110, 300], "y": [-40, 20]}], (110, 0, 10, 20)),
    ],
)
def test_a_drawn_box_is_told_in_whole_pixels_of_the_photo(
    monkeypatch: pytest.MonkeyPatch, drawn: list[dict[str, Any]], expected: Any
) -> None:
    state = {crop.CHART: SimpleNamespace(selection=SimpleNamespace(box=drawn))}
    monkeypatch.setattr(crop.st, "session_state", state)
    told: list[Any] = []
    crop.take_drawn(WIDTH, HEIGHT, told.append)
    assert told == ([] if expected == "nothing" else [expected])


def test_the_text_says_that_only_the_square_in_the_middle_is_read() -> None:
    assert "square" not in crop.box_text((0, 0, 30, 30), WIDTH, HEIGHT)
    assert "square in the middle" in crop.box_text((0, 0, 30, 40), WIDTH, HEIGHT)
    assert crop.box_text(None, WIDTH, HEIGHT) == "No box: all of its 120 × 90 pixels are the query."
