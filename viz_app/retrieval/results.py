"""Section: the images that are most alike to the query; a click asks about one of them."""

from collections.abc import Sequence

import streamlit as st

from analysis.retrieval.spaces import Neighbour, Neighbours, Space
from viz_app.figures.captions import escaped, with_swatch
from viz_app.grid import Item, thumbnail_grid
from viz_app.resources import found_by, space_of
from viz_app.retrieval.choose import choose_space, choose_terms, index_text, leave_other_classes
from viz_app.retrieval.exports import neighbours_button
from viz_app.retrieval.making import index_ready, more_stages
from viz_app.retrieval.query import Query, choose_query, query_columns, show_query, vector
from viz_app.retrieval.state import walk
from viz_app.retrieval.subject import Subject
from viz_app.retrieval.terms import Agreement, Terms, agreements, allowed

LISTED = 3  # classes named where the query's own is not known
CHANCE_HELP = "By chance: how many would be, of as many images drawn at random from those that may be found."
NOTHING = "No image is left to be found: allow more classes, or another split."


@st.fragment
def show(subject: Subject) -> None:
    """The query, how it is compared, and what is found; a click draws no more than this anew."""
    leave_other_classes(subject)
    query = choose_query(subject)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        space, terms = choose_space(subject), choose_terms(subject)
    if query is None:
        return
    left, right = query_columns()
    with left:
        show_query(subject, query)
    with right:
        try:
            if not index_ready(subject.workspace, space):
                return
            found = found_in(subject, query, space, terms)
        except ValueError as error:
            st.error(escaped(str(error)), icon=":material/error:")
            return
        show_found(subject, query, space, terms, found)


def found_in(subject: Subject, query: Query, space: Space, terms: Terms) -> Neighbours:
    """What is most alike to the query. Raises ``ValueError``, one sentence, where it cannot be looked for."""
    asked = vector(subject, query, space)
    return found_by(subject.workspace, space, query.key, terms, query.without, asked, subject.gallery)


def show_found(subject: Subject, query: Query, space: Space, terms: Terms, neighbours: Neighbours) -> None:
    """The images found, how many are of the query's class, and how they were found."""
    if not neighbours.found:
        st.info(NOTHING, icon=":material/search_off:")
        return
    show_agreement(subject, query, terms, neighbours.found)
    items = [item(subject, query, space, rank, each) for rank, each in enumerate(neighbours.found, 1)]
    thumbnail_grid(items, "neighbours_found", on_click=walk)
    st.caption(found_text(neighbours, query))
    neighbours_button(subject, query, neighbours.found, space, "neighbours_csv")
    st.caption(index_text(space_of(subject.workspace, space)))
    more_stages(subject.workspace)


def item(subject: Subject, query: Query, space: Space, rank: int, each: Neighbour, *notes: str) -> Item:
    """A thumbnail: its class, ticked where it is the query's, its rank and its distance."""
    label, distance = int(subject.gallery.labels[each.row]), distance_text(each.distance, space)
    same = "" if query.label is None else "✓ " if label == query.label else "✕ "
    agrees = {"": "", "✓ ": ", of the query's class", "✕ ": ", of another class"}[same]
    return Item(
        position=each.row,
        jpeg=subject.small_picture(each.row),
        title=same + subject.names[label],
        lines=(f"{rank}: {distance}", *notes),
        alt=f"Number {rank}: image {each.row}, {subject.names[label]}{agrees}, {distance}.",
    )


def distance_text(distance: float, space: Space) -> str:
    """How far away an image is, by any of the metrics."""
    match space.metric:
        case "euclidean":
            return f"distance {distance:.1f}"
        case "cosine":
            return f"distance {distance:.3f}"
        case "inner product":
            return f"product {distance:,.0f}"


def show_agreement(subject: Subject, query: Query, terms: Terms, found: Sequence[Neighbour]) -> None:
    """How many of the images found are of the query's class."""
    text = agreement_text(subject, query, terms, found)
    st.markdown(text, help=CHANCE_HELP if query.label is not None else None)


def agreement_text(subject: Subject, query: Query, terms: Terms, found: Sequence[Neighbour]) -> str:
    """How many of the images found are of the query's class, and how many would be by chance."""
    rows, gallery = [each.row for each in found], subject.gallery
    if query.label is None:
        return unknown_text([subject.gallery.label(row) for row in rows])
    told = agreements(gallery, query.label, rows, allowed(gallery, terms, query.without))
    return f"Of {len(rows)} neighbours " + "; ".join(map(_agreement, told)) + "."


def _agreement(told: Agreement) -> str:
    value = with_swatch(told.value) if told.factor == "class" else escaped(told.value)
    share = "shares" if told.same == 1 else "share"
    return f"**{told.same} {share} its {told.factor}**, {value} (by chance {chance_text(told.by_chance)})"


def chance_text(expected: float) -> str:
    """An expected number of images."""
    return f"{expected:.2g}" if expected < 10 else f"{expected:.0f}"


def unknown_text(labels: Sequence[str]) -> str:
    """Which classes the images found are of, where the query's own is not known."""
    counts = sorted({label: labels.count(label) for label in labels}.items(), key=lambda row: -row[1])[:LISTED]
    listed = ", ".join(f"{with_swatch(label)} {count}" for label, count in counts)
    return f"The query's class is not known, so nothing is ticked. Most frequent of {len(labels)}: {listed}."


def found_text(neighbours: Neighbours, query: Query) -> str:
    """What stands below the thumbnails, and what was left out."""
    text = "Below an image: its class, then its rank and distance. "
    if query.label is not None:
        text += "✓ of the query's class, ✕ of another. "
    text += "Click one to ask about it."
    if query.row is not None:
        text += " The image itself is left out."
    if left := neighbours.left_out:
        images = ", ".join(f"{each.row:,}" for each in left)
        text += f" Near duplicates left out: {len(left)} (image {images})."
    return text
