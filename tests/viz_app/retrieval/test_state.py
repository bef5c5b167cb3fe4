"""The trail: the session and the URL say the same, whoever changed it last."""

from types import SimpleNamespace
from typing import Any

import pytest

from viz_app.retrieval import state
from viz_app.retrieval.state import Step, ask, ask_part, current_trail, go_back, read_step, walk

FIRST = Step("100")


class Address(dict[str, list[str]]):
    def get_all(self, key: str) -> list[str]:
        return self.get(key, [])


class Session(dict[str, Any]):
    __getattr__ = dict.__getitem__
    __setattr__ = dict.__setitem__


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A session, and the address of the browser."""
    made = SimpleNamespace(session_state=Session(), query_params=Address())
    monkeypatch.setattr(state, "st", made)
    return made


def drawn(page: SimpleNamespace, gallery: str = "a") -> list[str]:
    """The trail as the page shows it; then its widgets are there."""
    found = [str(step) for step in current_trail(gallery, FIRST)]
    page.session_state[state.IMAGE] = 0
    return found


def address(page: SimpleNamespace) -> list[str]:
    return page.query_params.get_all("trail")


@pytest.mark.parametrize("step", [Step("12"), Step("own photo.png"), Step("Coffee", (1, 2, 30, 40)), Step("a@b")])
def test_a_step_is_read_back_from_the_address(step: Step) -> None:
    assert read_step(str(step)) == step


def test_nothing_is_written_until_something_was_asked(page: SimpleNamespace) -> None:
    assert drawn(page) == ["100"]
    assert address(page) == []
    walk(7)
    assert drawn(page) == address(page) == ["100", "7"]


def test_the_address_of_a_link_is_followed(page: SimpleNamespace) -> None:
    page.query_params["trail"] = ["1", "Coffee@1,2,30,40"]
    assert drawn(page) == ["1", "Coffee@1,2,30,40"]


@pytest.mark.parametrize("before", [["100", "7"], []])
def test_the_browsers_back_is_followed(page: SimpleNamespace, before: list[str]) -> None:
    drawn(page)
    walk(7)
    drawn(page)
    walk(8)
    drawn(page)
    page.query_params["trail"] = before
    assert drawn(page) == (before or ["100"])
    assert address(page) == before


def test_a_click_that_comes_before_the_address_is_written_is_not_lost(page: SimpleNamespace) -> None:
    drawn(page)
    walk(7)
    drawn(page)
    page.query_params["trail"] = []  # of the browser, which has not heard yet
    walk(8)
    assert drawn(page) == address(page) == ["100", "7", "8"]


def test_the_trail_is_there_again_after_a_visit_to_another_page(page: SimpleNamespace) -> None:
    drawn(page)
    walk(7)
    drawn(page)
    page.query_params.clear()
    del page.session_state[state.IMAGE]
    assert drawn(page) == address(page) == ["100", "7"]


def test_a_breadcrumb_drops_what_came_after_it(page: SimpleNamespace) -> None:
    page.query_params["trail"] = ["1", "2", "3"]
    drawn(page)
    go_back(1)
    assert drawn(page) == address(page) == ["1", "2"]


def test_the_same_image_again_is_no_step_and_only_the_last_steps_are_kept(page: SimpleNamespace) -> None:
    for row in (1, 1, *range(2, 40)):
        walk(row)
    assert drawn(page) == [str(row) for row in range(40 - state.LONGEST, 40)]


def test_a_part_takes_the_place_of_another_part_and_leads_back_to_the_whole(page: SimpleNamespace) -> None:
    page.query_params["trail"] = ["1", "Coffee"]
    drawn(page)
    ask_part((1, 2, 30, 40))
    assert drawn(page) == ["1", "Coffee", "Coffee@1,2,30,40"]
    ask_part((5, 6, 30, 40))
    assert drawn(page) == ["1", "Coffee", "Coffee@5,6,30,40"]
    ask_part(None)
    assert drawn(page) == ["1", "Coffee"]


def test_images_of_another_gallery_are_forgotten_and_photos_are_not(page: SimpleNamespace) -> None:
    page.query_params["trail"] = ["1", "Coffee", "2"]
    drawn(page)
    assert drawn(page, "b") == address(page) == ["Coffee"]


def test_other_sections_lead_to_the_neighbours(page: SimpleNamespace) -> None:
    page.session_state.retrieval = "Map"
    ask(7)
    assert page.session_state.retrieval == state.NEIGHBOURS
