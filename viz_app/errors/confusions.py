"""Section: which classes are taken for each other."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import streamlit as st

from analysis.errors.confusions import Pair, by_similarity
from analysis.errors.groups import groups
from viz_app.errors.state import current_split, open_images
from viz_app.errors.subject import Subject
from viz_app.figures import errors as figures
from viz_app.inputs import csv_button, figure_config
from viz_app.resources import confused_classes, confusions_among, pairs_of

LIMIT = 40  # classes in a matrix
MOST_CONFUSED, A_GROUP, CHOSEN = "most confused", "a group", "my choice"
SIMILAR, LISTED = "similar together", "as listed"
SHARES, IMAGES = "% of true class", "images"

COLUMNS = {
    "class": st.column_config.TextColumn("class A"),
    "other": st.column_config.TextColumn("class B"),
    "class_as_other": st.column_config.NumberColumn("A called B", format="localized", help="Images."),
    "n_class": st.column_config.NumberColumn("of A's", format="localized", help="All images of class A."),
    "other_as_class": st.column_config.NumberColumn("B called A", format="localized", help="Images."),
    "n_other": st.column_config.NumberColumn("of B's", format="localized", help="All images of class B."),
    "both_ways": st.column_config.NumberColumn("both ways", format="localized", help="Images; what ranks the pairs."),
}


def show(subject: Subject) -> None:
    """The pairs most confused, and a matrix of some classes; both open their images."""
    split = current_split()
    pairs = pairs_of(subject.key, split, subject.table)
    if not pairs:
        st.info("No image is taken for another class here.")
        return
    most_confused_pairs(subject, split, pairs)
    matrix(subject, split)


def most_confused_pairs(subject: Subject, split: str, pairs: Sequence[Pair]) -> None:
    """Pairs with counts both ways; a ticked row opens its images."""
    st.subheader("Pairs that are confused most")
    st.markdown(f"First: {figures.pair_text(pairs[0], subject.names)}.")
    st.caption(figures.PAIRS_HELP)
    frame = figures.pairs_table(pairs, subject.names)
    st.dataframe(
        frame,
        key="pairs",
        hide_index=True,
        column_config=COLUMNS,
        on_select=partial(open_pair, pairs),
        selection_mode="single-row",
        alt=f"The {len(pairs)} pairs of classes that are confused most, with counts.",
    )
    csv_button("Pairs as CSV", frame, f"{subject.title}-{split}-pairs", key="pairs_csv")


def open_pair(pairs: Sequence[Pair]) -> None:
    """The images of the ticked pair, both ways round."""
    if ticked := st.session_state.pairs.selection.rows:
        both = (pairs[ticked[0]].first, pairs[ticked[0]].second)
        open_images(criterion="top-1 wrong", true=both, guessed=both)


def matrix(subject: Subject, split: str) -> None:
    """The confusions among some classes, a mark to click on for each."""
    st.subheader("Matrix")
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        labels = classes_to_show(subject, split)
        order, values = look()
    if len(labels) < 2:
        st.info("Choose two classes or more.")
        return
    counts = confusions_among(subject.key, split, labels, subject.table)
    if order == SIMILAR:
        places = by_similarity(counts)
        labels = tuple(labels[place] for place in places)
        counts = counts[np.ix_(places, [*places, len(places)])]  # the last column is all other classes
    names = [subject.names[label] for label in labels]
    st.plotly_chart(
        figures.confusion_figure(counts, names, shares=values == SHARES),
        key="matrix",
        width=figures.matrix_width(names),
        on_select=partial(open_cell, labels),
        selection_mode="points",
        config=figure_config(f"{subject.title}-{split}-confusions"),
        alt=figures.confusion_text(counts, names),
    )
    st.caption(figures.MATRIX_HELP)
    table = partial(figures.confusion_table, counts, names)
    csv_button("Matrix as CSV", table, f"{subject.title}-{split}-confusions", key="matrix_csv")


def look() -> tuple[str, str]:
    """How the matrix is sorted, and what its numbers are."""
    order = st.segmented_control(
        "Order",
        (SIMILAR, LISTED),
        default=SIMILAR,
        required=True,
        key="matrix_order",
        bind="query-params",
        help="Classes that are taken for each other, or for the same third ones, lie side by side (optimal leaf "
        "ordering), or all lie as the data set lists them.",
    )
    values = st.segmented_control(
        "Numbers", (SHARES, IMAGES), default=SHARES, required=True, key="matrix_values", bind="query-params"
    )
    return order, values


def classes_to_show(subject: Subject, split: str) -> tuple[int, ...]:
    """Labels of the classes in the matrix, in the order of the data set."""
    grouped = groups(subject.about.classes, subject.names)
    kind = st.segmented_control(
        "Classes",
        (MOST_CONFUSED, *([A_GROUP] if grouped else []), CHOSEN),
        default=MOST_CONFUSED,
        required=True,
        key="matrix_of",
        bind="query-params",
    )
    if kind == A_GROUP:
        return _group(grouped)
    if kind == CHOSEN:
        return _chosen(subject)
    most = min(LIMIT, len(subject.names))
    size = st.slider(
        "How many", min(2, most - 1), most, min(20, most), key="matrix_size", bind="query-params", width=200
    )
    return confused_classes(subject.key, split, size, subject.table)


def _group(grouped: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    name = st.selectbox("Group", list(grouped), key="matrix_group", bind="query-params", width=260)
    return tuple(sorted(grouped[name]))[:LIMIT]


def _chosen(subject: Subject) -> tuple[int, ...]:
    if kept := st.session_state.get("matrix_classes"):  # another workspace has other classes
        st.session_state.matrix_classes = [name for name in kept if name in subject.names]
    names = st.multiselect(
        f"Up to {LIMIT} classes",
        subject.names,
        key="matrix_classes",
        bind="query-params",
        max_selections=LIMIT,
        select_all=False,
        placeholder="Type a part of a name",
        width=420,
    )
    return tuple(sorted(map(subject.names.index, names)))


def open_cell(labels: Sequence[int]) -> None:
    """The images of the clicked cell; for the last column all wrong ones of its row."""
    if not (points := st.session_state.matrix.selection.points):
        return
    column, row = int(points[0]["x"]), int(points[0]["y"])
    if column == len(labels):
        open_images(criterion="top-1 wrong", true=(labels[row],))
    else:
        open_images(criterion="all", true=(labels[row],), guessed=(labels[column],))
