"""Section: the images of a selection, page by page, and the card of the one that is open."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from analysis.errors.groups import groups
from analysis.errors.rates import Rates
from analysis.errors.selection import CRITERIA, ORDERS, Selection
from viz_app.errors import why
from viz_app.errors.exports import export_buttons, report_button
from viz_app.errors.state import (
    current_split,
    default_criterion,
    leave_other_images,
    open_images,
    to_page_one,
)
from viz_app.errors.subject import Subject
from viz_app.figures.theme import percent, rate_text
from viz_app.grid import Item, thumbnail_grid
from viz_app.resources import rates_of, selected

PAGE = 48  # thumbnails
LAST_RANK = 100  # at the end of the slider
SIDE_BY_SIDE: Any = {"horizontal": True, "width": "content", "vertical_alignment": "bottom", "gap": "xsmall"}
ARROWS = {-1: ":material/chevron_left:", 1: ":material/chevron_right:"}
COLUMNS = ["label", "guess", "confidence", "probability", "rank", "label_issue"]  # that a thumbnail tells
CRITERIA_HELP = (
    "Wrong at top-1: the best guess is not the label. Wrong at top-5: the label is not among the best five, which is "
    "how the paper counts. Sure and unsure: the probability of the best guess is above or below a boundary."
)
ORDERS_HELP = (
    "Most wrong: the least probability for the truth first. Margin: the truth farthest behind the best other class. "
    "Entropy: the most undecided first. Suspected label: the least label quality first."
)
KEYS = (
    "Under an image: its label; the best guess; the label's own place and probability. A mark on it: ✕ wrong, ? label "
    "suspected (where these are asked for). Keys: ← → image, Shift with ← → page, Esc closes; inside the grid the "
    "arrows move from thumbnail to thumbnail and Enter opens."
)
ISSUES_HELP = "Images whose label confident learning takes for wrong; the card of an image says how it finds out."


@st.fragment
def show(subject: Subject) -> None:
    """Filters, counts, the open image with its card, and the thumbnails; a click redraws no more than this."""
    leave_other_images(subject)
    selection = choose_images(subject)
    positions = selected(subject.key, selection, subject.table, subject.names)
    everything = replace(selection, criterion="all", order="as stored", seed=0)
    among = rates_of(subject.key, everything, subject.table, subject.names)
    with st.container(horizontal=True, vertical_alignment="center", key="shown_images"):
        st.markdown(counts_text(selection, len(positions), among))
        if is_filtered(selection) or not len(positions):
            st.button(
                "Reset",
                key="reset",
                icon=":material/filter_alt_off:",
                on_click=open_images,
                kwargs={"criterion": default_criterion(subject)},
            )
    page, chosen = toolbar(subject, positions)
    if chosen is not None:
        why.card(subject, chosen)
    if not len(positions):
        st.info("No image is like this. Make the filters wider, or reset them.", icon=":material/search_off:")
        return
    start = PAGE * (page - 1)
    suspects = selection.issues_only or selection.order == "suspected label"
    items = thumbnails(subject, positions[start : start + PAGE], suspects=suspects)
    thumbnail_grid(items, "thumbnails", chosen, on_click=partial(open_image, subject))
    st.caption(f"{start + 1:,} to {start + len(items):,} of {len(positions):,}. {KEYS}")
    name = "-".join(
        part
        for part in (
            subject.about.checkpoint,
            subject.about.off,
            selection.split,
            selection.criterion,
            "filtered" if is_filtered(selection) else "",
        )
        if part
    )
    with st.container(horizontal=True):
        export_buttons(subject, positions, name)
        report_button(subject, selection, name)


def choose_images(subject: Subject) -> Selection:
    """The widgets that say which images to show, and in which order."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        criterion = st.selectbox(
            "Show",
            CRITERIA,
            index=CRITERIA.index(default_criterion(subject)),
            key="criterion",
            bind="query-params",
            on_change=to_page_one,
            width=180,
            help=CRITERIA_HELP,
        )
        more = boundary(criterion, len(subject.names))
        order = st.selectbox(
            "Order",
            ORDERS,
            key="order",
            bind="query-params",
            on_change=to_page_one,
            width=200,
            help=ORDERS_HELP,
        )
        seed = st.number_input("Seed", 0, 9999, key="seed", bind="query-params", width=110) if order == "random" else 0
        text = st.text_input(
            "Class name holds",
            key="find",
            bind="query-params",
            on_change=to_page_one,
            placeholder="for instance: cat",
            width=200,
            help="Part of the name of the true or of the guessed class.",
        )
    return Selection(
        criterion=criterion, order=order, seed=int(seed), text=text, split=current_split(), **more, **filters(subject)
    )


def boundary(criterion: str, classes: int) -> dict[str, Any]:
    """What a criterion needs besides its name."""
    if criterion == "rank between":
        last = min(classes, LAST_RANK)
        ends = (min(6, last), min(10, last))
        if max(st.session_state.get("ranks", ends)) > last:
            st.session_state.ranks = ends  # another network knows fewer classes
        ranks = st.slider(
            "Rank of the truth", 1, last, ends, key="ranks", bind="query-params", on_change=to_page_one, width=200
        )
        return {"ranks": ranks}
    if "sure" in criterion:
        percent = st.slider(
            "Sure from", 0, 100, 50, format="%d%%", key="sure", bind="query-params", on_change=to_page_one, width=160
        )
        return {"sure": percent / 100}
    return {}


def filters(subject: Subject) -> dict[str, Any]:
    """Conditions on classes, confidence and label."""
    grouped = groups(subject.about.classes, subject.names)
    with st.expander("More filters: classes, confidence, suspected labels", icon=":material/filter_alt:"):
        left, right = st.columns(2, gap="medium")
        with left:
            true = choose_classes("True class or group", "truth", subject, grouped)
            low, high = st.slider(
                "Probability of the guess",
                0,
                100,
                (0, 100),
                format="%d%%",
                key="confidence",
                bind="query-params",
                on_change=to_page_one,
            )
        with right:
            guessed = choose_classes("Guessed class or group", "guess", subject, grouped)
            issues = st.toggle(
                "Suspected labels only", key="issues", bind="query-params", on_change=to_page_one, help=ISSUES_HELP
            )
    return {"true": true, "guessed": guessed, "confidence": (low / 100, high / 100), "issues_only": issues}


def choose_classes(label: str, key: str, subject: Subject, grouped: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    """Labels of the classes chosen, each by itself or with its group; () for any."""
    options: list[str | int] = [*grouped, *range(len(subject.names))]
    chosen = st.multiselect(
        label,
        options,
        key=key,
        bind="query-params",
        on_change=to_page_one,
        format_func=lambda option: option if isinstance(option, str) else subject.names[option],
        placeholder="Any",
    )
    parts = (grouped[option] if isinstance(option, str) else (option,) for option in chosen)
    return tuple(sorted({label for part in parts for label in part}))


def is_filtered(selection: Selection) -> bool:
    """Whether there are conditions besides the criterion."""
    return (
        Selection(
            true=selection.true,
            guessed=selection.guessed,
            text=selection.text,
            confidence=selection.confidence,
            issues_only=selection.issues_only,
        )
        != Selection()
    )


def counts_text(selection: Selection, shown: int, among: Rates) -> str:
    """How many images are shown, in which order, and of how many; with filters, how often those are wrong."""
    order = f"shuffled with seed {selection.seed}" if selection.order == "random" else f"order: {selection.order}"
    if not is_filtered(selection):
        return f"Shown: **{shown:,}** of {among.n:,} images ({selection.criterion}; {order})."
    rates = f" Among these {rates_text(among)}" if among.n else ""
    return (
        f"Shown: **{shown:,}** of the {among.n:,} images that pass the filters ({selection.criterion}; {order}).{rates}"
    )


def rates_text(rates: Rates) -> str:
    """How often the network is wrong, with the number of images and 95% intervals."""
    first, five = rates.top1_wrong, rates.top5_wrong
    return (
        f"{first.hits:,} of {rates.n:,} are wrong at top-1, {rate_text(first)}, and {five.hits:,} at top-5, "
        f"{rate_text(five)}."
    )


def toolbar(subject: Subject, positions: NDArray[np.int64]) -> tuple[int, int | None]:
    """Pages and images, back and forth, by click and by key; returns the page, and the position of the open image."""
    with st.container(horizontal=True):
        with st.container(**SIDE_BY_SIDE):
            page = choose_page(-(-len(positions) // PAGE) or 1)
        with st.container(**SIDE_BY_SIDE):
            row = choose_row(len(subject.gallery.labels))
            chosen = None if row is None else subject.position(row)
            image_buttons(subject, positions, chosen, is_open=row is not None)
    if row is not None and chosen is None:
        st.info(f"These predictions do not cover image {row:,}.", icon=":material/search_off:")
    return page, chosen


def image_buttons(subject: Subject, positions: NDArray[np.int64], chosen: int | None, *, is_open: bool) -> None:
    """From image to image, and out again."""
    for step, name, key in ((-1, "Previous", "Left"), (1, "Next", "Right")):
        st.button(
            name,
            key=f"image_{step}",
            icon=ARROWS[step],
            shortcut=key,
            help=f"{name} image.",
            disabled=not len(positions),
            on_click=step_image,
            args=(subject, positions, chosen, step),
        )
    if is_open:
        st.button("Close", key="close", icon=":material/close:", shortcut="Escape", on_click=close_image)


def choose_page(pages: int) -> int:
    """The number of the page."""
    if (st.session_state.get("page") or 1) > pages:
        st.session_state.page = pages  # another selection has fewer
    page = st.number_input(f"Page, 1 to {pages:,}", 1, pages, key="page", bind="query-params", width=110)
    for step, name, key in ((-1, "Previous", "Shift+Left"), (1, "Next", "Shift+Right")):
        st.button(
            "Page",
            key=f"page_{step}",
            icon=ARROWS[step],
            shortcut=key,
            help=f"{name} page.",
            disabled=not 1 <= page + step <= pages,
            on_click=turn_page,
            args=(step,),
        )
    return int(page)


def choose_row(images: int) -> int | None:
    """The row of the open image in the gallery, ``None`` where none is open."""
    if (st.session_state.get("picture") or 0) >= images:
        st.session_state.picture = None  # another workspace has fewer
    row = st.number_input(
        f"Image, 0 to {images - 1:,}",
        0,
        images - 1,
        None,
        key="picture",
        bind="query-params",
        placeholder="None",
        width=165,
    )
    return None if row is None else int(row)


def turn_page(step: int) -> None:
    """Callback: go to another page."""
    st.session_state.page += step


def step_image(subject: Subject, positions: NDArray[np.int64], chosen: int | None, step: int) -> None:
    """Callback: open the image before or after the open one, and the page that it is on."""
    found: list[int] = np.flatnonzero(positions == (-1 if chosen is None else chosen)).tolist()
    place = found[0] + step if found else PAGE * (st.session_state.page - 1)  # with none open, the page's first one
    place = min(max(place, 0), len(positions) - 1)
    st.session_state.page = place // PAGE + 1
    open_image(subject, int(positions[place]))


def open_image(subject: Subject, position: int) -> None:
    """Callback: open an image."""
    st.session_state.picture = subject.gallery_row(position)


def close_image() -> None:
    """Callback: open none."""
    st.session_state.picture = None


def thumbnails(subject: Subject, positions: NDArray[np.int64], *, suspects: bool) -> list[Item]:
    """The images with what they show and what they were taken for; `suspects` marks suspected labels."""
    rows = subject.table.select(COLUMNS).take(positions).to_pylist()
    found = zip(positions, rows, strict=True)
    return [item(subject, int(at), row, suspect=suspects and row["label_issue"]) for at, row in found]


def item(subject: Subject, position: int, row: Mapping[str, Any], *, suspect: bool) -> Item:
    """One image; a cross for wrong, a tick for right, a question mark for a suspected label."""
    truth, guess, right = subject.names[row["label"]], subject.names[row["guess"]], row["rank"] == 0
    taken = f"{'✓' if right else '✕'} {row['confidence']:.0%} {guess}"
    left = f"no. {row['rank'] + 1}: {percent(row['probability'])}"
    alt = f"Image {subject.gallery_row(position)}, labelled {truth}, "
    alt += "guessed right" if right else f"taken for {guess}"
    return Item(
        position=position,
        jpeg=subject.thumbnail(position),
        title=truth,
        lines=(taken, left),
        alt=f"{alt}{', label suspected' if suspect else ''}.",
        mark=("" if right else "✕") + ("?" if suspect else ""),
    )
