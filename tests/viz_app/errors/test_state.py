"""The state of the Errors page: what a callback asks for is what the filters show."""

from types import SimpleNamespace
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from viz_app.errors import state


class Session(dict[str, Any]):
    """A stand-in for the session: by key and by attribute."""

    __getattr__ = dict.__getitem__
    __setattr__ = dict.__setitem__


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Session:
    found = Session(section="Classes", page=7, picture=12, split="train", find="cat", truth=["dogs"])
    monkeypatch.setattr(state.st, "session_state", found)
    return found


def test_images_are_opened_with_these_filters_and_no_others(session: Session) -> None:
    state.open_images(criterion="all", true=(3,), guessed=(5, 6), confidence=(0.9, 1.0), sure=0.75)
    assert (session.criterion, session.truth, session.guess) == ("all", [3], [5, 6])
    assert (session.confidence, session.sure) == ((90, 100), 75)
    assert (session.find, session.order, session.issues) == ("", "most wrong", False)
    assert (session.section, session.page, session.picture) == ("Browse", 1, None)


def test_the_split_stays(session: Session) -> None:
    state.open_images()
    assert session.split == "train"


def test_the_way_back_leads_to_the_section_as_it_was_left(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    pressed: list[Any] = []
    monkeypatch.setattr(state.st, "button", lambda label, on_click, **_: pressed.append((label, on_click)))
    state.back_button()
    assert not pressed  # nothing was left yet
    session.update(section="Confusions", matrix_size=12)
    state.open_images()
    session.matrix_size = 40  # Streamlit forgets what is not shown
    state.back_button()
    ((label, go),) = pressed
    assert label == "Back to Confusions"
    go()
    assert (session.section, session.matrix_size) == ("Confusions", 12)
    state.back_button()
    assert len(pressed) == 1


@pytest.mark.parametrize(("change", "error"), [({"colour": 1}, TypeError), ({"criterion": "odd"}, ValueError)])
def test_what_no_selection_has_is_refused(session: Session, change: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        state.open_images(**change)
    assert session.section == "Classes"


def test_classes_and_image_of_another_workspace_are_forgotten_and_those_of_a_link_are_not(session: Session) -> None:
    def images(key: str) -> Any:
        return SimpleNamespace(gallery=SimpleNamespace(key=key))

    state.leave_other_images(images("first"))
    assert (session.truth, session.picture) == (["dogs"], 12)
    state.leave_other_images(images("second"))
    assert (session.truth, session.guess, session.picture, session.page) == ([], [], None, 1)


def test_few_classes_are_judged_at_top_1() -> None:
    assert state.default_criterion(SimpleNamespace(names=["a"] * 3)) == "top-1 wrong"
    assert state.default_criterion(SimpleNamespace(names=["a"] * 200)) == "top-5 wrong"


SCRIPT = """
import streamlit as st
from types import SimpleNamespace
from viz_app.errors import state
if st.segmented_control("Section", ["Browse", "Classes"], default="Browse", key="section") == "Classes":
    state.know_filters(SimpleNamespace(names=["a"] * 200))
    st.button("open", key="open", on_click=state.open_images, kwargs={"criterion": "all", "text": "cat"})
else:
    st.selectbox("Show", ["top-5 wrong", "all"], key="criterion", bind="query-params")
    st.text_input("Class name", key="find", bind="query-params")
"""


def test_what_another_section_opens_is_in_the_link() -> None:
    app = AppTest.from_string(SCRIPT)
    app.session_state.section = "Classes"
    app.run().button(key="open").click().run()
    assert not app.exception
    assert app.selectbox(key="criterion").value == "all"
    assert (app.query_params["criterion"], app.query_params["find"]) == ("all", "cat")
