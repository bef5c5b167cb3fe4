"""Section: whether the network knows when it is wrong."""

from functools import partial

import streamlit as st

from viz_app.errors.state import current_split
from viz_app.errors.subject import Subject
from viz_app.figures import errors as figures
from viz_app.inputs import csv_button, figure_config
from viz_app.resources import answered_above, calibration_of, risk_coverage_of


def show(subject: Subject) -> None:
    """Is it as right as it is sure, and what would it gain by keeping silent?"""
    split = current_split()
    calibration(subject, split)
    silence(subject, split)


def calibration(subject: Subject, split: str) -> None:
    """The reliability diagram and its one number."""
    st.subheader("Is it as right as it is sure?")
    found = calibration_of(subject.key, split, subject.table)
    st.markdown(figures.calibration_text(found))
    st.plotly_chart(
        figures.calibration_figure(found),
        key="calibration",
        config=figure_config(f"{subject.title}-{split}-calibration"),
        alt=figures.calibration_alt(found),
    )
    st.caption(figures.CALIBRATION_HELP)
    table = partial(figures.calibration_table, found)
    csv_button("Bins as CSV", table, f"{subject.title}-{split}-calibration", key="calibration_csv")


@st.fragment
def silence(subject: Subject, split: str) -> None:
    """Answer only when sure enough: how many answers are left and how many of them are wrong."""
    st.subheader("What if it answered only when sure?")
    percent = st.slider(
        "Answer only when at least so sure, %", 0, 99, 50, key="answer_from", bind="query-params", width=420
    )
    found = risk_coverage_of(subject.key, split, subject.table)
    answered, n = answered_above(subject.key, split, percent / 100, subject.table)
    st.markdown(figures.answered_text(percent / 100, answered, n))
    st.plotly_chart(
        figures.risk_figure(found, answered, n),
        key="risk",
        config=figure_config(f"{subject.title}-{split}-risk-coverage"),
        alt=figures.risk_alt(found),
    )
    st.markdown(figures.risk_text(found))
    st.caption(figures.RISK_HELP)
    table = partial(figures.risk_table, found)
    csv_button("Curve as CSV", table, f"{subject.title}-{split}-risk-coverage", key="risk_csv")
