"""The grid hands each picture with its words to the browser, and a click back to the page."""

import base64
from types import SimpleNamespace
from typing import Any

import pytest

from viz_app import grid
from viz_app.grid import Item, thumbnail_grid

ITEMS = [
    Item(position, b"jpeg%d" % position, f"class {position}", ("✕ other",), f"Image {position}.") for position in (8, 3)
]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the browser was given; position 3 was clicked."""
    given: dict[str, Any] = {}
    monkeypatch.setattr(grid, "_component", lambda **values: given.update(values) or SimpleNamespace(clicked=3))
    monkeypatch.setattr(grid.st, "session_state", {"thumbs": SimpleNamespace(clicked=3)})
    return given


def test_the_browser_gets_pictures_words_and_the_chosen_one(shown: dict[str, Any]) -> None:
    thumbnail_grid(ITEMS, "thumbs", chosen=8)
    first, second = shown["data"]["items"]
    assert (first["position"], second["position"], shown["data"]["chosen"]) == (8, 3, 8)
    assert base64.b64decode(first["jpeg"]) == b"jpeg8"
    assert (first["title"], first["alt"], list(first["lines"])) == ("class 8", "Image 8.", ["✕ other"])


def test_a_click_is_returned_and_told_before_the_page_is_drawn(shown: dict[str, Any]) -> None:
    told: list[int] = []
    assert thumbnail_grid(ITEMS, "thumbs", on_click=told.append) == 3
    assert told == []
    shown["on_clicked_change"]()
    assert told == [3]


def test_texts_go_into_the_page_as_text_and_never_as_markup() -> None:
    assert "innerHTML" not in grid.JS
    assert "textContent" in grid.JS
