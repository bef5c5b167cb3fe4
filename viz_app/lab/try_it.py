"""Section: a tower switched off over one image, as it is and in grey, side by side."""

from collections.abc import Mapping, Sequence

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from alexnet_core import Checkpoint
from alexnet_core.prism import HUES, SHAPES
from analysis.lesions.lesion import MODES, SCOPES
from viz_app.figures import captions
from viz_app.figures import lesions as figures
from viz_app.figures.theme import TOWER_MARKS
from viz_app.inputs import csv_button, figure_config, images_ready, own_photos, photo_uploader
from viz_app.resources import (
    current_checkpoint,
    current_workspace,
    gallery_photo,
    guesses_under,
    picture_of,
    stock_photo,
    workspace_gallery,
)
from viz_app.samples import Gallery, sample, sample_names
from viz_app.switches import Stock, Switches, donor_of, stock_of
from viz_app.uploads import Photo

SEARCHED = 60  # images looked at for one whose answer changes
WORKSPACE = "Images of the workspace"
SIDES = {"original": "In colour", "grey": "In grey"}

Guesses = Mapping[str, NDArray[np.float32]]
"""Probabilities (2, n), intact and with towers off, by colours."""


def show() -> None:
    """The images if they are there, else how to get them, and the switches."""
    if workspace := current_workspace():
        images_ready(workspace)
    switches_and_answers()


@st.fragment
def switches_and_answers() -> None:
    """One image, the switches, and what the network says; a switch redraws this part of the page only."""
    checkpoint, workspace = current_checkpoint(), current_workspace()
    gallery = workspace_gallery(workspace) if workspace else None
    stock = stock_of(gallery)
    switches = switchboard(checkpoint.model.config.towers, stock)
    left, right = st.columns(2, gap="large")
    with right:
        photo_uploader(checkpoint, choose_first)
    with left:
        chosen = choose_photo(checkpoint, gallery, stock, switches)
    if chosen is None:
        st.info("This needs an image, and this installation has neither the workspace's nor sample photos.")
        return
    photo, donor = chosen
    how(checkpoint, switches, stock, donor)
    guesses = {colours: guesses_under(checkpoint, stock, photo, colours, switches, donor) for colours in SIDES}
    listed = figures.listed_classes(np.concatenate(list(guesses.values())))
    for column, (colours, title) in zip(st.columns(2, gap="large"), SIDES.items(), strict=True):
        with column:
            st.markdown(f"#### {title}")
            picture(checkpoint, photo, colours)
            answers(checkpoint, photo, guesses[colours], listed, switches, donor, colours)
    table = figures.guess_table(
        captions.class_labels(checkpoint.card["classes"]), guesses["original"], without(switches), guesses["grey"]
    )
    csv_button("Guesses as CSV", table, f"{photo.name}-{switches.name}", key="guesses_csv")


def switchboard(towers: int, stock: Stock) -> Switches:
    """Which towers are off, how much of them, and what they give instead."""
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        on = [
            st.toggle(f"{mark.glyph} {figures.titled(mark.name)}", value=tower > 0, key=key, bind="query-params")
            for tower, (mark, key) in enumerate(zip(TOWER_MARKS[:towers], tower_keys(towers), strict=True))
        ]
        scope = st.segmented_control(
            "What is switched off",
            SCOPES,
            default=SCOPES[0],
            required=True,
            key="off_layers",
            bind="query-params",
            help=figures.SCOPE_HELP,
        )
        modes = MODES[: min(1 + stock.size, 3)]  # a mean needs images, a donor another one
        mode = st.segmented_control(
            "How", modes, default=modes[0], required=True, key="off_how", bind="query-params", help=figures.MODE_HELP
        )
    off = tuple(tower for tower, switch in enumerate(on) if not switch)
    return Switches(off, scope, mode)


def tower_keys(towers: int) -> list[str]:
    """Widget keys of the towers' switches, which are also their names in the URL."""
    return [mark.name.replace(" ", "_").lower() for mark in TOWER_MARKS[:towers]]


def choose_first(names: Sequence[str]) -> None:
    """Callback: a photo that was just uploaded becomes the one on show."""
    st.session_state.tower_photo = names[0]


def choose_photo(
    checkpoint: Checkpoint, gallery: Gallery | None, stock: Stock, switches: Switches
) -> tuple[Photo, Photo | None] | None:
    """The photo, and the donor where one is needed; ``None`` where there is no photo to choose."""
    own = own_photos()
    names = (*([WORKSPACE] if gallery else []), *sample_names(), *own)
    if not names:
        return None
    name = st.selectbox("Photo", names, key="tower_photo", bind="query-params")
    row = sample_names().index(name) if name in sample_names() else 0  # of a sample among samples
    if name == WORKSPACE and gallery:
        row = choose_image(checkpoint, gallery, stock, switches)
        photo = gallery_photo(gallery.key, row, gallery)
    else:
        photo = own[name] if name in own else sample(name)
    needed = switches.mode == "resample"
    return photo, stock_photo(stock.key, donor_of(row, stock.size), stock) if needed else None


def choose_image(checkpoint: Checkpoint, gallery: Gallery, stock: Stock, switches: Switches) -> int:
    """The number of the workspace's image: typed, drawn, or found because its answer changes."""
    state = st.session_state
    if not 0 <= state.get("tower_image", 0) < stock.size:
        state.tower_image = stock.spread[0]  # another workspace has fewer images
    if state.pop("look_for_change", False):
        look_for_change(checkpoint, gallery, stock, switches, state.get("tower_image", stock.spread[0]))
    row = st.number_input(
        f"Image, 0 to {stock.size - 1:,}",
        0,
        stock.size - 1,
        stock.spread[0],
        key="tower_image",
        bind="query-params",
    )
    with st.container(horizontal=True):
        st.button("Another", key="another_image", icon=":material/shuffle:", on_click=choose_another, args=(stock,))
        st.button(
            "One whose answer changes",
            key="changing_image",
            icon=":material/search:",
            on_click=ask_for_change,
            disabled=not switches.off,
            help=f"The next of the following {SEARCHED} images whose best guess is not the same without the tower.",
        )
    return int(row)


def choose_another(stock: Stock) -> None:
    """Callback: an image drawn at random."""
    st.session_state.tower_image = int(np.random.default_rng().integers(stock.size))


def ask_for_change() -> None:
    """Callback: look for a changing answer in the run that follows, where progress can be shown."""
    st.session_state.look_for_change = True


def look_for_change(checkpoint: Checkpoint, gallery: Gallery, stock: Stock, switches: Switches, row: int) -> None:
    """Go on to the next image whose best guess changes, or say that none was found."""
    count = min(SEARCHED, stock.size - 1)
    bar = st.progress(0.0, "Looking for an answer that changes ...")
    for step in range(1, count + 1):
        candidate = (row + step) % stock.size
        photo = gallery_photo(gallery.key, candidate, gallery)
        donor = stock_photo(stock.key, donor_of(candidate, stock.size), stock) if switches.mode == "resample" else None
        intact, lesioned = guesses_under(checkpoint, stock, photo, "original", switches, donor).argmax(1)
        if intact != lesioned:
            st.session_state.tower_image = candidate
            break
        bar.progress(step / count, f"Looking for an answer that changes: {step} of {count} images stayed.")
    else:
        st.info(f"None of the next {count} images changes its answer.")
    bar.empty()


def picture(checkpoint: Checkpoint, photo: Photo, colours: str) -> None:
    """The photo, as it is or in grey."""
    made = picture_of(photo.sha256, checkpoint.preprocess.source_size, photo)
    grey = colours == "grey"
    caption = " · ".join(part for part in (captions.escaped(photo.name), captions.escaped(photo.credit)) if part)
    st.image(
        made.shown_grey if grey else made.shown,
        caption=caption,
        alt=f"The image {photo.name}{' in grey' if grey else ''}.",
        width=260,
    )


def how(checkpoint: Checkpoint, switches: Switches, stock: Stock, donor: Photo | None) -> None:
    """What the towers that are off give instead, and the donor if there is one."""
    text = figures.mode_text(switches.mode, len(stock.spread), donor.name if donor else "")
    if not switches.off:
        text = "Both towers are on. Switch one off to see what it is for."
    elif len(switches.off) == checkpoint.model.config.towers:
        text = f"All towers are off. {figures.ALL_OFF[switches.mode]}"
    if donor is None:
        st.caption(text)
        return
    small, line = st.columns([1, 9], vertical_alignment="center")
    shown = picture_of(donor.sha256, checkpoint.preprocess.source_size, donor).shown
    small.image(shown, alt=f"The donor, {donor.name}.", width=72)
    line.caption(text)


def without(switches: Switches) -> str:
    """The name of the second bars, "" where nothing is off."""
    return switches.name if switches.off else ""


def answers(
    checkpoint: Checkpoint,
    photo: Photo,
    guesses: NDArray[np.float32],
    listed: Sequence[int],
    switches: Switches,
    donor: Photo | None,
    colours: str,
) -> None:
    """The result in one sentence and as bars, for one of the two pictures."""
    labels = captions.class_labels(checkpoint.card["classes"])
    st.markdown(figures.answer_text(photo.truth, labels, guesses, switches, donor.truth if donor else ""))
    names = [labels[index] for index in listed]
    swatches = [captions.swatch(name) for name in names]
    bars("guesses", "the best guesses", names, guesses[:, listed], swatches, switches, photo, photo.truth, colours)
    if figures.knows_factors(labels):
        hue, _, shape = photo.truth.partition(" ")
        shapes, hues = figures.by_factor(guesses)
        st.markdown("**Which shape?** Summed over all hues.")
        bars("shapes", "shapes", SHAPES, shapes, [""] * len(SHAPES), switches, photo, shape, colours)
        st.markdown("**Which hue?** Summed over all shapes.")
        named = [row.name for row in HUES]
        bars("hues", "hues", named, hues, [row.hex for row in HUES], switches, photo, hue, colours)


def bars(
    key: str,
    kind: str,
    names: Sequence[str],
    guesses: NDArray[np.float32],
    shades: Sequence[str],
    switches: Switches,
    photo: Photo,
    truth: str,
    colours: str,
) -> None:
    """Pairs of bars, intact and with towers off."""
    st.plotly_chart(
        figures.guess_pairs(names, guesses, shades, without(switches), truth),
        key=f"{key}_{colours}",
        config=figure_config(f"{photo.name}-{switches.name}-{key}-{colours}"),
        alt=f"{SIDES[colours]}. {figures.pairs_text(kind, names, guesses, without(switches))}",
    )
