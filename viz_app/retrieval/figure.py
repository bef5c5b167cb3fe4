"""Section: Figure 4 (right) of the paper for this network, to look at and to take away."""

import re
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd
import streamlit as st
from matplotlib.figure import Figure

from analysis.retrieval.spaces import Neighbour, Space
from viz_app.errors.figure4 import scrolled
from viz_app.figures import paper
from viz_app.figures.captions import escaped
from viz_app.inputs import csv_button, file_button, png_button
from viz_app.resources import figure4_svg, space_of
from viz_app.retrieval.choose import choose_space
from viz_app.retrieval.exports import neighbours_table
from viz_app.retrieval.query import Query, query_of
from viz_app.retrieval.results import found_in
from viz_app.retrieval.state import Step
from viz_app.retrieval.subject import HELD_OUT, TRAINED_ON, Subject
from viz_app.retrieval.terms import Terms, agreements, allowed

MOST = 12  # queries that can be named
SAVERS: tuple[tuple[str, str, Callable[[Figure], bytes]], ...] = (  # ending, MIME type
    ("pdf", "application/pdf", paper.as_pdf),
    ("svg", "image/svg+xml", paper.as_svg),
)

METRIC_NAMES = {"euclidean": "Euclidean distance", "cosine": "cosine distance", "inner product": "inner product"}

INTRO = (
    "Figure 4 (right) of the paper shows five test images in the first column, and beside each the six training images "
    "whose features in the last hidden layer (fc7) are nearest to its own by Euclidean distance."
)
CHOICE_HELP = (
    "Numbers of images, as Neighbours gives them, with commas: these are the queries, in this order, in place of a "
    "draw."
)
WORDS_HELP = "Class and distance below each image: ✓ where it is the query's class, ✕ where not. The paper has none."


def show(subject: Subject) -> None:
    """The figure, the choice of its queries, and its files."""
    st.markdown(f"{INTRO} {gallery_text(subject)}")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        space = choose_space(subject, without="kind")
    queries, words = choose(subject)
    if not queries:
        st.info("There is no such image here.", icon=":material/image:")
        return
    try:
        asked = [query_of(subject, Step(str(row))) for row in queries]
        found = [found_in(subject, query, space, terms(subject)).found for query in asked]
    except ValueError as error:
        st.error(escaped(str(error)), icon=":material/error:")
        return
    rows = [row_of(subject, row, some) for row, some in zip(queries, found, strict=True)]
    draw = partial(as_file, rows, words)
    svg = figure4_svg(f"{subject.key} {space} {words}", queries, partial(draw, paper.as_svg))
    st.html(scrolled(svg, paper.neighbours_text(rows)))
    st.caption(agreement_text(subject, queries, found, space))
    files(subject, queries, draw, partial(table_of, subject, asked, found, space))
    with st.expander("The same in words"):
        told = zip(queries, rows, strict=True)
        st.markdown("\n".join(f"1. Image {row:,}: {escaped(paper.row_text(one))}" for row, one in told))


def gallery_text(subject: Subject) -> str:
    """Where this workspace's figure must differ from the paper's."""
    if TRAINED_ON in subject.splits:
        return "Here it is drawn for this network."
    return "This workspace has no training images: here both are images of its own, and none finds itself."


def choose(subject: Subject) -> tuple[tuple[int, ...], bool]:
    """Rows of the queries, named by the visitor or else drawn, and whether words are shown; kept in the URL."""
    draw, with_words, named = st.columns([1, 1, 3], vertical_alignment="bottom")
    seed = draw.number_input("Draw number", 0, 9999, 0, key="alike_seed", bind="query-params")
    words = with_words.toggle("Words", value=True, key="alike_words", bind="query-params", help=WORDS_HELP)
    numbers = named.text_input("Or these images", key="alike_images", bind="query-params", help=CHOICE_HELP)
    if numbers and numbers.strip():
        found = map(subject.gallery.row, re.findall(r"[0-9]{1,9}", numbers)[:MOST])
        return tuple(row for row in found if row is not None), words
    return drawn(subject, seed), words


def drawn(subject: Subject, seed: int) -> tuple[int, ...]:
    """Rows of five images, of those kept from training where there are such; the same for the same seed."""
    rows = subject.rows(HELD_OUT if HELD_OUT in subject.splits else "")
    count = min(paper.QUERIES, len(rows))
    return tuple(np.random.default_rng(seed).choice(rows, count, replace=False).tolist())


def terms(subject: Subject) -> Terms:
    """The six nearest training images; of all images where there are none."""
    return Terms(paper.NEIGHBOURS, TRAINED_ON if TRAINED_ON in subject.splits else "")


def row_of(subject: Subject, row: int, found: Sequence[Neighbour]) -> paper.AlikeRow:
    """A query and what was found for it, as pixels and words."""
    gallery = subject.gallery

    def alike(one: Neighbour) -> paper.Alike:
        same = bool(gallery.labels[one.row] == gallery.labels[row])
        return paper.Alike(np.asarray(gallery.pixels(one.row)), gallery.label(one.row), one.distance, same)

    return paper.AlikeRow(np.asarray(gallery.pixels(row)), gallery.label(row), tuple(map(alike, found)))


def agreement_text(subject: Subject, queries: Sequence[int], found: Sequence[Sequence[Neighbour]], space: Space) -> str:
    """What is compared, and how many of the images found are of their query's class."""
    gallery, among = subject.gallery, allowed(subject.gallery, terms(subject))
    told = [
        agreements(gallery, int(gallery.labels[row]), [one.row for one in some], among)[0]
        for row, some in zip(queries, found, strict=True)
    ]
    units = "" if space.half is None else f", units of tower {'AB'[space.half]} alone"
    same, total, chance = (sum(getattr(one, part) for one in told) for part in ("same", "found", "by_chance"))
    return (
        f"Features of {space.stage}{units}, compared by {METRIC_NAMES[space.metric]}. {same} of {total} images found "
        f"are of their query's class; by chance it would be {chance:.1f}."
    )


def files(
    subject: Subject,
    queries: Sequence[int],
    draw: Callable[[Callable[[Figure], bytes]], bytes],
    table: Callable[[], pd.DataFrame],
) -> None:
    """The figure as PNG, PDF and SVG, and its numbers as CSV."""
    name = f"{subject.checkpoint.card['name']}-figure-4-right"
    with st.container(horizontal=True):
        png_button("Figure as PNG, 300 dpi", partial(draw, paper.as_png), name, key="alike_png")
        for ending, kind, save in SAVERS:
            file_button(f"As {ending.upper()}", partial(draw, save), f"{name}.{ending}", kind, key=f"alike_{ending}")
        csv_button("Neighbours as CSV", table, f"{name}-neighbours", key="alike_csv")


def as_file(rows: Sequence[paper.AlikeRow], words: bool, save: Callable[[Figure], bytes]) -> bytes:
    """The figure, drawn anew."""
    return save(paper.neighbours_figure(rows, words=words))


def table_of(
    subject: Subject, asked: Sequence[Query], found: Sequence[Sequence[Neighbour]], space: Space
) -> pd.DataFrame:
    """The neighbours of all queries, one list after the other."""
    index = space_of(subject.workspace, space).choice_.kind
    pairs = zip(asked, found, strict=True)
    return pd.concat([neighbours_table(subject, query, some, space, index) for query, some in pairs])
