"""Page: the kernels of every convolution, those of the first layer as one board with its towers compared."""

from typing import get_args

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from alexnet_core import Checkpoint
from alexnet_core.config import CONV_CHANNELS
from analysis.kernels.indices import (
    KernelIndices,
    Order,
    Snapshots,
    kernel_table,
    knows_learned_part,
    ranking,
    readers,
    unit_inputs,
)
from analysis.towers.comparison import (
    Shares,
    blind_threshold,
    colour_kernels,
    colour_shares,
    comparison_text,
    summary_table,
    tower_labels,
)
from viz_app.figures import kernels as figures
from viz_app.inputs import csv_button, figure_config, png_button
from viz_app.resources import conv1_course, conv1_kernels, conv1_snapshots, conv1_towers, current_checkpoint

CONVOLUTIONS = ("conv1", "conv2", "conv3", "conv4", "conv5")
FINISHED = "finished"
AS_TRAINED, LEARNED = "as trained", "learned part"
SHARED, OWN = "one for all", "each its own"


@st.fragment
def first_layer(snapshots: Snapshots | None) -> None:
    """The board, its towers compared, and one kernel in detail; a click redraws this part of the page only."""
    checkpoint = current_checkpoint()
    towers = checkpoint.model.config.towers
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        order, shared, swapped = look(towers)
        step, learned = source(snapshots)
        kernels, indices = conv1_kernels(checkpoint.id, step, learned, checkpoint)
        threshold = colour_threshold(indices)
    colour = colour_kernels(indices, threshold)
    if towers == 2:
        shares = colour_shares(indices, tower_labels(len(kernels), towers), threshold)
        compare(checkpoint, shares, step, {learned, knows_learned_part(snapshots)})
    else:
        st.info(f"Towers are compared where there are two of them; this network has {towers}.")
    left, right = st.columns([3, 2], gap="medium")
    with right:
        chosen = int(
            st.number_input(
                "Kernel",
                0,
                len(kernels) - 1,
                key="kernel",
                bind="query-params",
                help="Click a kernel on the board, or type its number here.",
            )
        )
        detail(kernels[chosen], indices, chosen, figures.heading(indices, chosen, bool(colour[chosen]), towers))
    with left:
        st.caption("Click a kernel to see it in detail.")
        sides = range(towers)[::-1] if swapped else range(towers)
        tiles = figures.rgb_tiles(kernels, shared=shared)
        draw_board(tiles, ranking(indices, order, colour), sides, indices, colour, chosen)
    inside(checkpoint, kernels[chosen], indices, chosen)
    table(indices, towers)


def look(towers: int) -> tuple[Order, bool, bool]:
    """How the board is sorted, lit and laid out."""
    order = st.selectbox(
        "Sort by",
        get_args(Order),
        key="sort",
        bind="query-params",
        width=150,
        help="Inside each tower: most chroma first, coarse patterns first, strongest norm first.",
    )
    contrast = st.segmented_control(
        "Contrast",
        (SHARED, OWN),
        default=SHARED,
        required=True,
        key="contrast",
        bind="query-params",
        help="One contrast for all shows which kernels are strong, as in the paper's figure; a contrast of its own "
        "shows the pattern of weak kernels too. Mid-grey is a weight of 0 either way.",
    )
    swapped = st.toggle(
        "Swap towers",
        disabled=towers == 1,
        key="swap",
        bind="query-params",
        help="Which tower is on the left is arbitrary, so they may change sides. Their names stay.",
    )
    return order, contrast == SHARED, swapped


def kept_snapshots(checkpoint: Checkpoint) -> Snapshots | None:
    """The kernels over training, if they were kept and can be read."""
    try:
        return conv1_snapshots(checkpoint.id, checkpoint)
    except ValueError as error:
        st.warning(f"The course of training cannot be shown. {error}")
        return None


def source(snapshots: Snapshots | None) -> tuple[int | None, bool]:
    """Which weights are shown: at which step of training, with or without the noise they began as."""
    if not snapshots:
        return None, False
    part = AS_TRAINED
    if knows_learned_part(snapshots):
        part = st.segmented_control(
            "Weights",
            (AS_TRAINED, LEARNED),
            default=AS_TRAINED,
            required=True,
            key="part",
            bind="query-params",
            help="Kernels start as random noise, which fades slowly. The learned part is what remains when the rest "
            "of that noise is taken off.",
        )
    step = st.select_slider(
        "Training step",
        (*map(str, snapshots.steps), FINISHED),
        value=FINISHED,
        key="step",
        bind="query-params",
        width=300,
        help="The kernels as they were after so many training batches.",
    )
    return (None if step == FINISHED else int(step)), part == LEARNED


def colour_threshold(indices: KernelIndices) -> float:
    """The chroma from which a kernel counts as a colour kernel: Otsu's, or the visitor's own."""
    blind = blind_threshold(indices)
    own = st.toggle(
        "Own threshold",
        key="own_threshold",
        bind="query-params",
        help="From which chroma on a kernel counts as a colour kernel. Otsu's method, which never looks at the "
        f"towers, puts it at {blind:.2f}. A threshold picked because it parts the towers well proves nothing: the "
        "permutation test therefore compares mean chroma and does not depend on it.",
    )
    if not own:
        return blind
    return st.slider("Chroma threshold", 0.0, 1.0, 0.5, 0.01, key="threshold", bind="query-params", width=260)


def compare(checkpoint: Checkpoint, shares: Shares, step: int | None, parts: set[bool]) -> None:
    """Are the colour kernels in one tower? The answer in words, its numbers on demand."""
    results = {
        LEARNED if learned else AS_TRAINED: conv1_towers(checkpoint.id, step, learned, checkpoint)
        for learned in sorted(parts)
    }
    st.markdown(comparison_text(shares, results))
    with st.expander("The numbers behind this"):
        st.dataframe(summary_table(results), hide_index=True, key="towers")


def draw_board(
    tiles: NDArray[np.uint8],
    order: NDArray[np.intp],
    sides: range,
    indices: KernelIndices,
    colour: NDArray[np.bool_],
    chosen: int,
) -> None:
    """The board to click on, and the same as a picture to keep."""
    board = figures.lay_out(tiles, order, sides)
    st.plotly_chart(
        figures.board_figure(board, figures.descriptions(indices, colour, len(sides)), colour, indices.live, chosen),
        key="board",
        on_select=choose_clicked,
        selection_mode="points",
        config=figure_config("kernels"),
        alt=figures.board_text(indices, colour, len(sides)),
    )
    png_button(
        "Board as PNG",
        lambda: figures.board_png(figures.lay_out(tiles, order, sides, enlarge=6)),
        "kernels",
        key="board_png",
    )


def choose_clicked() -> None:
    """What was clicked on the board becomes the chosen kernel; clicking it again changes nothing."""
    if points := st.session_state.board.selection.points:
        st.session_state.kernel = points[0]["point_index"]


def detail(kernel: NDArray[np.float32], indices: KernelIndices, chosen: int, heading: str) -> None:
    """One kernel large, with its numbers."""
    st.markdown(f"**{heading}**")
    facts = figures.facts(indices, chosen)
    text = f"{heading}; " + ", ".join(f"{fact.label} {fact.value}" for fact in facts)
    st.plotly_chart(figures.tile_figure(kernel), key="tile", config=figure_config(heading), alt=text)
    st.caption(figures.TILE_TEXT)
    with st.container(horizontal=True, gap="medium"):
        for fact in facts:
            st.markdown(f"{fact.label}  \n**{fact.value}**", help=fact.help, width="content")


def inside(checkpoint: Checkpoint, kernel: NDArray[np.float32], indices: KernelIndices, chosen: int) -> None:
    """The channel planes of a kernel, its Fourier transform and who reads it."""
    planes, spectrum, read = st.columns(3)
    with planes:
        st.markdown("**Channel planes**")
        st.plotly_chart(
            figures.planes_figure(kernel), key="planes", config=figure_config("channel-planes"), alt=figures.PLANES_TEXT
        )
        st.caption(figures.PLANES_TEXT)
    with spectrum:
        frequency = float(indices.frequency[chosen])
        st.markdown("**Spatial frequencies**")
        st.plotly_chart(
            figures.spectrum_figure(kernel, frequency),
            key="spectrum",
            config=figure_config("spectrum"),
            alt=figures.SPECTRUM_TEXT,
        )
        st.caption(figures.SPECTRUM_TEXT)
    with read:
        found = readers(checkpoint.model.kernels("conv2").numpy(), chosen, CONV_CHANNELS[0])
        text = figures.readers_text(found, chosen, "conv2")
        st.markdown("**Who reads it**")
        st.plotly_chart(
            figures.readers_figure(found, "conv2"), key="readers", config=figure_config("readers"), alt=text
        )
        st.caption(text)


def training_course(checkpoint: Checkpoint) -> None:
    """How the towers' chroma came about."""
    st.subheader("How colour came about")
    figure = figures.chroma_over_training(conv1_course(checkpoint.id, checkpoint))
    st.plotly_chart(figure, key="course", config=figure_config("chroma"), alt=figures.COURSE_TEXT)
    st.caption(figures.COURSE_TEXT)


def table(indices: KernelIndices, towers: int) -> None:
    """All numbers of all kernels."""
    frame = kernel_table(indices, towers)
    with st.expander("Table of all kernels"):
        st.dataframe(frame.round(3), hide_index=True, column_config=figures.TABLE_COLUMNS, key="table")
        csv_button("Table as CSV", frame, "kernels", key="table_csv")


@st.fragment
def deeper_layer(layer: str) -> None:
    """One unit of conv2 to conv5 with its weights on every input channel."""
    checkpoint = current_checkpoint()
    towers = checkpoint.model.config.towers
    weights = checkpoint.model.kernels(layer).numpy()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        unit = int(st.number_input("Unit", 0, len(weights) - 1, key=f"{layer}_unit", bind="query-params", width=160))
        by_strength = st.toggle(
            "Strongest channels first",
            key="strongest",
            bind="query-params",
            help="Strength is the root of the summed squared weights (L2 norm) that the unit has on a channel.",
        )
        found = unit_inputs(weights, unit, CONV_CHANNELS[CONVOLUTIONS.index(layer) - 1], towers)
        pages = found.pages(strongest_first=by_strength)
        page = 1
        if len(pages) > 1:
            label = f"Page (of {len(pages)})"
            page = int(st.number_input(label, 1, len(pages), key=f"{layer}_page", bind="query-params", width=160))
    rows = pages[page - 1]
    text = figures.unit_text(layer, unit, checkpoint.model.tower_of(layer, unit) or 0, towers, found)
    st.markdown(f"{text} Shown: {figures.page_name(found, rows, towers)}.")
    st.plotly_chart(
        figures.unit_figure(found, rows),
        key="unit_inputs",
        width=720,
        config=figure_config(f"{layer}-unit-{unit}"),
        alt=f"{text} {figures.UNIT_TEXT}",
    )
    st.caption(figures.UNIT_TEXT)
    csv_button("Strengths as CSV", found.table, f"{layer}-unit-{unit}", key="unit_csv")


st.title("Kernels")
layer = st.segmented_control(
    "Layer",
    CONVOLUTIONS,
    default="conv1",
    required=True,
    key="layer",
    bind="query-params",
    help="The five convolutions. conv1 looks at the image, each of the others at the maps of the one before.",
)
if layer == "conv1":
    st.markdown(
        "Each tile is one kernel of the first layer: the patch of 11 × 11 pixels, in colour, that one of its units "
        "looks for. The kernels belong to towers that see the same image but were trained side by side, and the "
        "page counts whether the colour kernels have gathered in one of them."
    )
    st.caption(
        "This is one trained network: the p-value is about its kernels and says nothing of other training runs. "
        "Kernels that are still random noise look colourful (chroma 0.67) and are left out of the counts."
    )
    snapshots = kept_snapshots(current_checkpoint())
    first_layer(snapshots)
    if knows_learned_part(snapshots):
        training_course(current_checkpoint())
else:
    st.markdown(
        "Each tile shows how one unit of this layer weighs one channel of the layer below: red where it is excited, "
        "blue where it is inhibited, white where it does not care. Pick a unit and leaf through all channels that "
        "it reads."
    )
    st.caption(
        "These are weights on maps, not on pixels: a tile is not a picture of what the unit looks for in an image."
    )
    deeper_layer(layer)
