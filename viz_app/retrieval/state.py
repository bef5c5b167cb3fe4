"""The state of the Retrieval page: the trail of what was asked about, the same in the session and in the URL.

All else is kept by widgets that are bound to the URL.
"""

import re
from typing import NamedTuple, TypeAlias

import streamlit as st

NEIGHBOURS = "Neighbours"  # the section that shows what was found
IMAGE = "asked_row"  # key of the widget that says which image is asked about
LONGEST = 12  # steps that are remembered
_BOX = re.compile(r"@([0-9]{1,6}),([0-9]{1,6}),([0-9]{1,6}),([0-9]{1,6})$")

Box: TypeAlias = tuple[int, int, int, int]  # left, top, width, height of a part of a photo, pixels


class Step(NamedTuple):
    """One thing that was asked about: the number of a row or the name of a photo, and the part of it, if one."""

    name: str
    box: Box | None = None

    def __str__(self) -> str:
        """As the URL has it."""
        return self.name + (f"@{','.join(map(str, self.box))}" if self.box else "")


def read_step(text: str) -> Step:
    """A step from the URL."""
    if (found := _BOX.search(text)) is None:
        return Step(text)
    left, top, width, height = map(int, found.groups())
    return Step(text[: found.start()], (left, top, width, height))


def current_trail(gallery_key: str, first: Step) -> list[Step]:
    """What was asked about, the current query last; `first` where nothing was yet, which the URL need not say.

    What a click has just changed goes into the URL. Otherwise the URL is followed where this page did not write it,
    as one of a link or of the browser's Back; only who comes from another page finds the trail that was left here.
    Images of another gallery are forgotten.
    """
    state, address = st.session_state, st.query_params.get_all("trail")
    trail, written = state.get("trail", []), state.get("trail_written", [])
    came = IMAGE not in state  # Streamlit forgets widgets that were not drawn
    if state.get("trail_of", gallery_key) != gallery_key:
        trail = [step for step in trail if not step.name.isdecimal()]
    elif [str(step) for step in trail] == written != address and (address or not came):
        trail = [read_step(text) for text in address]
    state.trail, state.trail_of = trail[-LONGEST:] or [first], gallery_key
    state.trail_written = [str(step) for step in state.trail]
    if address != state.trail_written and (address or state.trail != [first]):
        st.query_params["trail"] = state.trail_written
    found: list[Step] = state.trail
    return found


def walk(name: str | int) -> None:
    """Callback: a row of the gallery, or a photo by its name, becomes the query; the one before stays in the trail."""
    _append(Step(str(name)))


def ask(name: str | int) -> None:
    """Callback of other sections: the same, and the neighbours are shown; in a fragment ``st.rerun()`` must follow."""
    walk(name)
    st.session_state.retrieval = NEIGHBOURS


def ask_part(box: Box | None) -> None:
    """Callback: a part of the photo that is the query becomes the query; for ``None`` the whole photo."""
    trail: list[Step] = st.session_state.trail
    name = trail[-1].name
    if trail[-1].box:  # another part of the same photo takes its place
        st.session_state.trail = trail[:-1]
    _append(Step(name, box))


def go_back(place: int) -> None:
    """Callback: return to a step of the trail; those after it are dropped."""
    st.session_state.trail = st.session_state.trail[: place + 1]


def _append(step: Step) -> None:
    trail: list[Step] = st.session_state.get("trail", [])
    if trail[-1:] != [step]:
        st.session_state.trail = [*trail, step][-LONGEST:]
