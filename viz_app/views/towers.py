"""Page: a tower switched off, over one image and measured over many."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from alexnet_core import Checkpoint
from alexnet_core.prism import HUES, SHAPES
from analysis.dissociation import LesionReport, load_lesions
from analysis.lesion import MODES, SCOPES
from viz_app.figures import captions
from viz_app.figures import lesions as figures
from viz_app.figures.theme import TOWER_MARKS
from viz_app.inputs import csv_button, figure_config, images_ready
from viz_app.resources import (
    conv1_towers,
    current_checkpoint,
    current_workspace,
    guesses_under,
    picture_of,
    stock_photo,
    workspace_gallery,
)
from viz_app.switches import Stock, Switches, donor_of, stock_of
from viz_app.uploads import Photo

SEARCHED = 60  # images looked at for one whose answer changes


@st.fragment
def try_it() -> None:
    """One image, the switches, and what the network says; a switch redraws this part of the page only."""
    checkpoint, workspace = current_checkpoint(), current_workspace()
    gallery = workspace_gallery(workspace) if workspace else None
    stock = stock_of(gallery)
    if not stock.size:
        st.info("This needs an image, and this installation has neither the workspace's nor sample photos.")
        return
    if not gallery:
        st.caption("The images of this workspace are not on this machine; these are sample photos.")
    left, right = st.columns([2, 3], gap="large")
    with right:
        switches = switchboard(checkpoint.model.config.towers, stock)
        explained, result = st.container(), st.container()
    with left:
        shown = st.container()
        row = choose_image(checkpoint, stock, switches)
        photo = stock_photo(stock.key, row, stock)
        donor = stock_photo(stock.key, donor_of(row, stock.size), stock) if switches.mode == "resample" else None
        with shown:
            picture(checkpoint, photo)
    with explained:
        how(checkpoint, switches, stock, donor)
    guesses = guesses_under(checkpoint.id, stock.key, row, switches, checkpoint, stock)
    with result:
        answers(checkpoint, photo, guesses, switches, donor)
    labels = captions.class_labels(checkpoint.card["classes"])
    if figures.knows_factors(labels):
        factors(photo, guesses, switches)
    table = figures.guess_table(labels, guesses, without(switches))
    csv_button("Guesses as CSV", table, f"{photo.name}-{switches.name}", key="guesses_csv")


def switchboard(towers: int, stock: Stock) -> Switches:
    """Which towers are off, how much of them, and what they give instead."""
    with st.container(horizontal=True, gap="medium", vertical_alignment="center"):
        on = [
            st.toggle(f"{mark.glyph} {figures.titled(mark.name)}", value=tower > 0, key=key, bind="query-params")
            for tower, (mark, key) in enumerate(zip(TOWER_MARKS[:towers], tower_keys(towers), strict=True))
        ]
    with st.container(horizontal=True, gap="medium"):
        scope = st.segmented_control(
            "What is switched off",
            SCOPES,
            default=SCOPES[0],
            required=True,
            key="off_layers",
            bind="query-params",
            help=figures.SCOPE_HELP,
        )
        modes = MODES if stock.size > 1 else MODES[:2]
        mode = st.segmented_control(
            "How", modes, default=modes[0], required=True, key="off_how", bind="query-params", help=figures.MODE_HELP
        )
    off = tuple(tower for tower, switch in enumerate(on) if not switch)
    return Switches(off, scope, mode)


def tower_keys(towers: int) -> list[str]:
    """Widget keys of the towers' switches, which are also their names in the URL."""
    return [mark.name.replace(" ", "_").lower() for mark in TOWER_MARKS[:towers]]


def choose_image(checkpoint: Checkpoint, stock: Stock, switches: Switches) -> int:
    """The number of the image: typed, drawn, or found because its answer changes."""
    state = st.session_state
    if not 0 <= state.get("tower_image", 0) < stock.size:
        state.tower_image = stock.spread[0]  # another workspace has fewer images
    if state.pop("look_for_change", False):
        look_for_change(checkpoint, stock, switches, state.get("tower_image", stock.spread[0]))
    row = st.number_input(
        f"Image, 0 to {stock.size - 1}",
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
    """An image drawn at random."""
    st.session_state.tower_image = int(np.random.default_rng().integers(stock.size))


def ask_for_change() -> None:
    """Look for a changing answer in the run that follows, where progress can be shown."""
    st.session_state.look_for_change = True


def look_for_change(checkpoint: Checkpoint, stock: Stock, switches: Switches, row: int) -> None:
    """Go on to the next image whose best guess changes, or say that none was found."""
    count = min(SEARCHED, stock.size - 1)
    bar = st.progress(0.0, "Looking for an answer that changes ...")
    for step in range(1, count + 1):
        candidate = (row + step) % stock.size
        intact, lesioned = guesses_under(checkpoint.id, stock.key, candidate, switches, checkpoint, stock).argmax(1)
        if intact != lesioned:
            st.session_state.tower_image = candidate
            break
        bar.progress(step / count, f"Looking for an answer that changes: {step} of {count} images stayed.")
    else:
        st.info(f"None of the next {count} images changes its answer.")
    bar.empty()


def picture(checkpoint: Checkpoint, photo: Photo) -> None:
    """The image, large."""
    shown = picture_of(photo.sha256, checkpoint.preprocess.source_size, photo).shown
    caption = " · ".join(part for part in (captions.escaped(photo.name), captions.escaped(photo.credit)) if part)
    st.image(shown, caption=caption, alt=f"The image {photo.name}.", width="stretch")


def how(checkpoint: Checkpoint, switches: Switches, stock: Stock, donor: Photo | None) -> None:
    """What the towers that are off give instead, and the donor if there is one."""
    text = figures.mode_text(switches.mode, len(stock.spread), donor.name if donor else "")
    if donor is None:
        st.caption(text)
        return
    small, line = st.columns([1, 6], vertical_alignment="center")
    shown = picture_of(donor.sha256, checkpoint.preprocess.source_size, donor).shown
    small.image(shown, alt=f"The donor, {donor.name}.", width=72)
    line.caption(text)


def without(switches: Switches) -> str:
    """The name of the second bars, "" where nothing is off."""
    return switches.name if switches.off else ""


def answers(
    checkpoint: Checkpoint, photo: Photo, guesses: NDArray[np.float32], switches: Switches, donor: Photo | None
) -> None:
    """The result in one sentence and as bars."""
    labels = captions.class_labels(checkpoint.card["classes"])
    st.markdown(figures.answer_text(photo.truth, labels, guesses, switches, donor.truth if donor else ""))
    if not switches.off:
        st.caption("Both towers are on. Switch one off to see what it is for.")
    elif len(switches.off) == checkpoint.model.config.towers:
        st.caption(f"All towers are off. {figures.ALL_OFF[switches.mode]}")
    listed = figures.listed_classes(guesses)
    names = [labels[index] for index in listed]
    swatches = [captions.swatch(name) for name in names]
    bars("guesses", "the best guesses", names, guesses[:, listed], swatches, switches, photo.name, photo.truth)


def bars(
    key: str,
    kind: str,
    names: Sequence[str],
    guesses: NDArray[np.float32],
    colours: Sequence[str],
    switches: Switches,
    photo: str,
    truth: str,
) -> None:
    """Pairs of bars, intact and with towers off."""
    st.plotly_chart(
        figures.guess_pairs(names, guesses, colours, without(switches), truth),
        key=f"{key}_bars",
        config=figure_config(f"{photo}-{switches.name}-{key}"),
        alt=figures.pairs_text(kind, names, guesses, without(switches)),
    )


def factors(photo: Photo, guesses: NDArray[np.float32], switches: Switches) -> None:
    """The same guesses summed to shapes and to hues."""
    hue, _, shape = photo.truth.partition(" ")
    shapes, hues = figures.by_factor(guesses)
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**Which shape?** Probabilities summed over all hues.")
        bars("shapes", "shapes", SHAPES, shapes, [""] * len(SHAPES), switches, photo.name, shape)
    with right:
        st.markdown("**Which hue?** Probabilities summed over all shapes.")
        names, colours = [row.name for row in HUES], [row.hex for row in HUES]
        bars("hues", "hues", names, hues, colours, switches, photo.name, hue)


def measured(checkpoint: Checkpoint) -> None:
    """What was measured over many images, or how to measure it."""
    st.subheader("Measured")
    try:
        report = load_lesions(checkpoint)
    except ValueError as error:
        st.warning(f"The measurement cannot be shown. {captions.escaped(str(error))}")
        return
    if report is None:
        offer(checkpoint)
        return
    st.markdown(f"**{captions.escaped(report.verdict)}**")
    st.caption(captions.escaped(figures.intact_text(report)))
    drops(report)
    if report.controls:
        random_lesions(report)


def offer(checkpoint: Checkpoint) -> None:
    """What a measurement would tell, and the command for it."""
    st.info(
        "Not measured yet for this network: how many percentage points of accuracy each tower's lesion costs, with "
        "intervals, and whether random lesions of the same size cost the same.",
        icon=":material/straighten:",
    )
    st.code(figures.command(str(checkpoint.card["name"])), language="bash")
    st.caption(figures.DURATION)


def drops(report: LesionReport) -> None:
    """Drops of every lesion as a figure and as a table, and the number that compares the towers."""
    first, second = map(figures.measure_name, figures.measures(report))
    st.markdown(f"**What each lesion costs: {first} and {second}**")
    st.plotly_chart(
        figures.drops_figure(report), key="drops", config=figure_config("drops"), alt=figures.drops_text(report)
    )
    if report.dissociations:
        main = report.dissociation() or report.dissociations[0]
        st.markdown(figures.interaction_text(main, report.factors))
    with st.expander("The numbers behind this"):
        if report.dissociations:
            st.dataframe(figures.interaction_table(report), hide_index=True, key="interactions")
        st.dataframe(figures.drops_table(report), hide_index=True, key="drops_table")
        csv_button("Drops as CSV", partial(figures.drops_csv, report), f"{report.checkpoint}-lesions", key="drops_csv")


def random_lesions(report: LesionReport) -> None:
    """The towers' lesions among random ones of their size."""
    st.markdown("**Is a tower special, or would any lesion of its size do?**")
    st.plotly_chart(
        figures.random_figure(report),
        key="random",
        config=figure_config("random-lesions"),
        alt=figures.random_alt(report),
    )
    name = figures.statistic(report)
    st.markdown("  \n".join(figures.random_text(control, name) for control in report.controls))
    st.caption(figures.matching_text(report.controls))
    csv_button(
        "Random lesions as CSV", partial(figures.random_csv, report), f"{report.checkpoint}-random", key="random_csv"
    )


def how_to_read(checkpoint: Checkpoint) -> None:
    """What the words mean, what cannot be said, and what the kernels say."""
    st.subheader("How to read this")
    st.markdown(figures.HOW_TO_READ)
    st.markdown(figures.kernels_text(conv1_towers(checkpoint.id, None, False, checkpoint)))
    st.page_link("views/kernels.py", label="The kernels of both towers", icon=":material/grid_view:")


st.title("Towers")
checkpoint = current_checkpoint()
towers = checkpoint.model.config.towers
st.markdown(figures.INTRO)
if towers == 1:
    st.info("Towers can be switched off where there is more than one; this network has one.")
    st.stop()
if workspace := current_workspace():
    images_ready(workspace)
st.subheader("Try it")
try_it()
if towers == 2:
    measured(checkpoint)
    how_to_read(checkpoint)
