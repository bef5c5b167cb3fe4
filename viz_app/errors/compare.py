"""Section: two sets of predictions for the same images, what the second one fixed and what it broke."""

from functools import partial

import streamlit as st

from alexnet_core import CheckpointError
from analysis.errors.comparison import Comparison
from analysis.evaluate import Evaluation
from analysis.predictions import About
from analysis.workspace import WorkspaceError
from viz_app.errors import why
from viz_app.errors.browse import choose_row, close_image, open_image
from viz_app.errors.state import HELD_OUT, current_split
from viz_app.errors.subject import Source, Subject, subject_of, subjects
from viz_app.figures import errors as figures
from viz_app.figures.captions import escaped
from viz_app.grid import Item, thumbnail_grid
from viz_app.inputs import csv_button
from viz_app.resources import comparison_of, current_checkpoint

PAGE = 24  # thumbnails
TOPS = {"top-1": 1, "top-5": 5}
CHANGES = {
    "class": st.column_config.TextColumn("class", pinned=True),
    "n": st.column_config.NumberColumn("images", format="localized"),
    "right_before": st.column_config.NumberColumn("right before", format="localized"),
    "right_now": st.column_config.NumberColumn("right now", format="localized"),
    "fixed": st.column_config.NumberColumn("fixed", format="localized"),
    "broken": st.column_config.NumberColumn("broken", format="localized"),
    "change": st.column_config.NumberColumn("change", format="%+d", help="Fixed minus broken, images."),
}


def show(first: Subject) -> None:
    """What changes from these predictions to others, counted, tested and shown."""
    if (second := choose_second(first)) is None:
        return
    top = st.segmented_control(
        "What counts as right",
        list(TOPS),
        default="top-1",
        required=True,
        key="compare_top",
        bind="query-params",
        on_change=to_first_page,
        help="The best guess is right, or the truth is among the best five.",
    )
    k = TOPS[top]
    try:
        found = comparison_of(first.key, second.key, current_split(), k, first.table, second.table)
    except ValueError as error:
        st.error(f"These two cannot be compared. {escaped(str(error))}", icon=":material/error:")
        return
    st.markdown(figures.two_by_two(found, first.title, second.title, k))
    st.markdown(figures.difference_text(found, k))
    images(first, second, found)
    changes(first, second, found, k)


def choose_second(first: Subject) -> Subject | None:
    """The predictions to compare with; where there are none, the commands that make some."""
    sources = {source.title: source for source in subjects(first.workspace) if made_by(source) != _maker(first.about)}
    if not sources:
        offer(first)
        return None
    title = st.selectbox(
        "Compare with",
        list(sources),
        key="compare_with",
        bind="query-params",
        on_change=to_first_page,
        help="Other predictions for the same images: of another network, from more views, or with a tower off.",
    )
    try:
        return subject_of(first.workspace, first.gallery, sources[title])
    except (ValueError, CheckpointError, WorkspaceError) as error:
        st.error(f"These predictions cannot be used. {escaped(str(error))}", icon=":material/error:")
        return None


def made_by(source: Source) -> tuple[str, int, str]:
    """Network, views and lesion of some predictions: the same ones need no comparison."""
    return _maker(source.evaluation) if source.evaluation else (current_checkpoint().id, 1, "")


def _maker(told: About | Evaluation) -> tuple[str, int, str]:
    return told.checkpoint_id, told.views, told.off


def offer(first: Subject) -> None:
    """What a comparison would tell, and the commands that make one possible."""
    st.info(
        "There is nothing to compare with yet. Other predictions for the same images show which errors come and go: "
        "with a tower switched off, from ten views in place of one, or by another network.",
        icon=":material/compare_arrows:",
    )
    split = HELD_OUT if HELD_OUT in first.gallery.splits else next(iter(first.gallery.splits))
    st.code(figures.evaluate_commands(first.workspace.checkpoint, first.about.dataset, split), language="bash")
    st.caption("Each shows its progress and goes on where it was interrupted. Load this page anew afterwards.")


def to_first_page() -> None:
    """Other images begin with their first page."""
    st.session_state.compare_page = 1


def images(first: Subject, second: Subject, found: Comparison) -> None:
    """The images of one of the four outcomes, page by page, with both answers."""
    cells = figures.cells(found)
    name = st.segmented_control(
        "Show the images that are",
        list(cells),
        default="broken",
        required=True,
        key="compare_cell",
        bind="query-params",
        on_change=to_first_page,
    )
    positions = cells[name]
    if not len(positions):
        st.info(f"No image is {name}.")
        return
    pages = -(-len(positions) // PAGE)
    if st.session_state.get("compare_page", 1) > pages:  # of a comparison with more
        to_first_page()
    page = st.pagination(pages, key="compare_page", bind="query-params")
    shown = positions[PAGE * (page - 1) : PAGE * page].tolist()
    items = [item(first, second, position) for position in shown]
    chosen = open_one(first, second)
    thumbnail_grid(items, "compare_grid", chosen, on_click=partial(open_image, first))
    st.caption(
        f"{name}: {PAGE * (page - 1) + 1:,} to {PAGE * (page - 1) + len(shown):,} of {len(positions):,}. Below each "
        "image the truth, the answer before, the answer now. Click an image to see why it is taken for what."
    )


def item(first: Subject, second: Subject, position: int) -> Item:
    """A thumbnail with the truth and both answers."""
    row = first.gallery_row(position)
    answers = [answer(subject, row) for subject in (first, second)]
    truth = first.names[first.table["label"][position].as_py()]
    alt = f"Image {row}: {truth}. Before: {answers[0]}. Now: {answers[1]}."
    return Item(position, first.thumbnail(position), truth, tuple(answers), alt)


def answer(subject: Subject, row: int) -> str:
    """For an image of the gallery: whether the best guess is right, how sure it is, and the guess."""
    if (position := subject.position(row)) is None:
        return "no answer"
    guess, confidence, rank = (subject.table[name][position].as_py() for name in ("guess", "confidence", "rank"))
    return f"{'✕' if rank else '✓'} {confidence:.0%} {subject.names[guess]}"


def open_one(first: Subject, second: Subject) -> int | None:
    """The card of the open image, with both answers above it; returns its position."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="shown_images"):
        row = choose_row(len(first.gallery.labels))
        if row is not None:
            st.button("Close", key="close", icon=":material/close:", shortcut="Escape", on_click=close_image)
    if row is None or (position := first.position(row)) is None:
        return None
    before, now = (escaped(answer(subject, row)) for subject in (first, second))
    st.markdown(f"Before: {before}. Now: **{now}**. The card is about the answer before.")
    why.card(first, position)
    return position


def changes(first: Subject, second: Subject, found: Comparison, k: int) -> None:
    """What changed in each class."""
    frame = figures.changes_table(found, first.table["label"].to_numpy(), first.names)
    with st.expander("Which classes change most"):
        st.dataframe(
            frame,
            key="changes",
            hide_index=True,
            column_config=CHANGES,
            alt=f"The {len(frame)} classes with images fixed and broken, the largest change first.",
        )
        csv_button("Changes as CSV", frame, f"{first.title}-{second.title}-top-{k}", key="changes_csv")
