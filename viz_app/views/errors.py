"""Page: what the network gets wrong, and why."""

import streamlit as st

from analysis.errors.selection import Selection
from viz_app.errors import browse, classes, compare, confidence, confusions, figure4
from viz_app.errors.state import BROWSE, back_button, choose_split, current_split, know_filters
from viz_app.errors.subject import Subject, current_subject
from viz_app.resources import rates_of

INTRO = "Every image that the network was asked about, with its answer. Open one to see why it was taken for that."

SECTIONS = {
    BROWSE: browse.show,
    "Confusions": confusions.show,
    "Classes": classes.show,
    "Confidence": confidence.show,
    "Compare": compare.show,
    "Figure 4": figure4.show,
}


def headline(subject: Subject) -> None:
    """How often the network is wrong."""
    everything = Selection(criterion="all", order="as stored", split=current_split())
    found = rates_of(subject.key, everything, subject.table, subject.names)
    views = "the central crop" if subject.about.views == 1 else f"{subject.about.views} views"
    st.markdown(f"From {views}, **{browse.rates_text(found)}**", help="In brackets: 95% intervals (Wilson).")


st.title("Errors")
st.markdown(INTRO)
if subject := current_subject():
    choose_split(subject)
    headline(subject)
    section = st.segmented_control(
        "Section",
        SECTIONS,
        default=BROWSE,
        required=True,
        key="section",
        bind="query-params",
        label_visibility="collapsed",
    )
    if section == BROWSE:
        back_button()  # here, not in the fragment of the section: it changes the whole page
    else:
        know_filters(subject)
    SECTIONS[section](subject)
