"""The state of the Errors page: one key per choice, the same in the session and in the URL."""

from typing import Any

import streamlit as st

from analysis.errors.selection import CRITERIA, Selection
from viz_app.errors.subject import Subject

BROWSE = "Browse"  # the section that shows images
ALL = "all"  # splits
HELD_OUT = "val"
FILTERS = {  # field of Selection -> key
    "criterion": "criterion",
    "ranks": "ranks",
    "sure": "sure",
    "true": "truth",
    "guessed": "guess",
    "text": "find",
    "confidence": "confidence",
    "issues_only": "issues",
    "order": "order",
    "seed": "seed",
}
SET_UP = (  # of the sections that open images: what they look like when one comes back
    "section", "matrix_of", "matrix_size", "matrix_group", "matrix_classes", "matrix_order", "matrix_values"
)  # fmt: skip
PERCENT = ("sure", "confidence")  # kept in percent, which people read more easily


def choose_split(subject: Subject) -> None:
    """Which images all sections are about: those kept from training, where there are such."""
    splits = list(subject.about.firsts)
    if len(splits) < 2:
        st.session_state.split_in_use = splits[0]
        return
    default = HELD_OUT if HELD_OUT in splits else ALL
    chosen = st.segmented_control(
        "Images",
        (*splits, ALL),
        default=default,
        required=True,
        key="split",
        bind="query-params",
        on_change=to_page_one,
    )
    st.session_state.split_in_use = "" if chosen == ALL else chosen


def current_split() -> str:
    """The split that all sections are about, "" for all images."""
    split: str = st.session_state.split_in_use
    return split


def default_criterion(subject: Subject) -> str:
    """What is shown first: with few classes the truth is nearly always among the best five guesses."""
    return CRITERIA[2] if len(subject.names) > 10 else CRITERIA[1]


def to_page_one() -> None:
    """Callback of every filter: other images begin with their first page."""
    st.session_state.page = 1


def leave_other_images(subject: Subject) -> None:
    """Forget what only means something for the images of the workspace that was chosen before."""
    state, key = st.session_state, subject.gallery.key
    if state.get("browsed", key) != key:
        state.truth, state.guess, state.picture, state.page = [], [], None, 1
        state.pop("came_from", None)
    state.browsed = key


def know_filters(subject: Subject) -> None:
    """Give every filter a value in sections that do not show it.

    Only so does what `open_images` then sets reach the URL: Streamlit writes no values that are wholly new there.
    """
    usual = Selection(criterion=default_criterion(subject))
    for field, key in FILTERS.items():
        st.session_state.setdefault(key, _as_shown(field, getattr(usual, field)))
    st.session_state.setdefault("picture", None)


def open_images(**changes: Any) -> None:
    """Callback: browse the images of a selection, given by fields of `Selection`; all others are at their defaults.

    The split stays as it is.

    ``on_click=open_images, kwargs={"criterion": "all", "true": (3,), "guessed": (5,)}``
    Raises ``TypeError`` for an unknown field and ``ValueError`` for a value that it cannot have.
    """
    state, selection = st.session_state, Selection(**changes)
    for field, key in FILTERS.items():
        state[key] = _as_shown(field, getattr(selection, field))
    if state.get("section", BROWSE) != BROWSE:
        state.came_from = {key: state[key] for key in SET_UP if key in state}
    state.section, state.page, state.picture = BROWSE, 1, None


def back_button() -> None:
    """The way back to the section that opened these images; the browser's would need a step for every filter."""
    if left := st.session_state.get("came_from"):
        st.button(f"Back to {left['section']}", key="back", icon=":material/arrow_back:", on_click=_go_back)


def _go_back() -> None:
    state = st.session_state
    for key, value in state.pop("came_from").items():
        state[key] = value


def _as_shown(field: str, value: Any) -> Any:
    """A value as its widget keeps it."""
    if field in PERCENT:
        return tuple(round(100 * end) for end in value) if isinstance(value, tuple) else round(100 * value)
    return list(value) if field in ("true", "guessed") else value
