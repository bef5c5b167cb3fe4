"""Section: how well each class does, and what it is taken for."""

from collections.abc import Sequence
from functools import partial

import streamlit as st

from viz_app.errors.state import current_split, open_images
from viz_app.errors.subject import Subject
from viz_app.figures import errors as figures
from viz_app.inputs import csv_button
from viz_app.resources import class_rates

COLUMNS = {
    "class": st.column_config.TextColumn("class", pinned=True),
    "n": st.column_config.NumberColumn("images", format="localized"),
    "top1": st.column_config.NumberColumn("top-1, %", format="%.1f", help="Share whose best guess is right."),
    "top1_interval": st.column_config.TextColumn("95% interval", help="Of top-1 (Wilson)."),
    "top5": st.column_config.NumberColumn("top-5, %", format="%.1f", help="Share with the truth in the best five."),
    "top5_interval": st.column_config.TextColumn("95% interval ", help="Of top-5 (Wilson)."),
    "wrong_guess": st.column_config.TextColumn("most often taken for"),
    "wrong_count": st.column_config.NumberColumn("times", format="localized", help="Images, of those in column 2."),
}


def show(subject: Subject) -> None:
    """The table of all classes, the worst first; a ticked row opens that class's wrong answers."""
    split = current_split()
    rows = figures.by_top1(class_rates(subject.key, split, subject.table, subject.names))
    st.markdown(figures.classes_text(rows, subject.names))
    st.caption(figures.CLASSES_HELP)
    st.dataframe(
        figures.classes_table(rows, subject.names),
        key="classes",
        hide_index=True,
        height=560,
        column_config=COLUMNS,
        on_select=partial(open_class, [row.label for row in rows]),
        selection_mode="single-row",
        alt=figures.classes_text(rows, subject.names),
    )
    table = partial(figures.classes_csv, rows, subject.names)
    csv_button("Classes as CSV", table, f"{subject.title}-{split}-classes", key="classes_csv")


def open_class(labels: Sequence[int]) -> None:
    """The wrong answers of the ticked class."""
    if ticked := st.session_state.classes.selection.rows:
        open_images(criterion="top-1 wrong", true=(labels[ticked[0]],))
