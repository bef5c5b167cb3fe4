"""Section: who reads whom, and how alike the two towers are."""

import streamlit as st

from alexnet_core import Checkpoint
from analysis.between.report import load_between
from viz_app.figures import captions
from viz_app.figures import routing as figures
from viz_app.inputs import csv_button, figure_config
from viz_app.resources import conv2_axes, conv3_blocks, current_checkpoint, current_workspace, workspace_gallery
from viz_app.switches import stock_of


def show() -> None:
    """From the weights: blocks, cross-talk, axes. From images: similarity and probes, where they were measured."""
    checkpoint = current_checkpoint()
    blocks(checkpoint)
    axes(checkpoint)
    alike(checkpoint)


def blocks(checkpoint: Checkpoint) -> None:
    """What conv3 reads of which tower."""
    workspace = current_workspace()
    stock = stock_of(workspace_gallery(workspace) if workspace else None)
    st.subheader("Between the towers")
    found = conv3_blocks(checkpoint.id, stock.key, checkpoint, stock)
    if found is None:
        st.info("conv3 of this network stays inside its towers: nothing runs between them before conv4.")
        return
    st.markdown(figures.blocks_text(found))
    left, right = st.columns(2, gap="large")
    with left:
        st.plotly_chart(
            figures.blocks_figure(found),
            key="blocks",
            config=figure_config("blocks"),
            alt=f"Shares by source and reader. {figures.blocks_text(found)}",
        )
        st.caption(figures.BLOCKS_TEXT)
    with right:
        st.plotly_chart(
            figures.cross_talk_figure(found),
            key="cross_talk",
            config=figure_config("cross-talk"),
            alt=figures.cross_talk_text(found),
        )
        st.caption(f"{figures.CROSS_TEXT} {figures.cross_talk_text(found)}")


def axes(checkpoint: Checkpoint) -> None:
    """What orders the connections inside each tower."""
    st.subheader("Inside the towers")
    found = conv2_axes(checkpoint.id, checkpoint)
    if not found:
        st.info("Not measurable: too few kernels of conv1 are live.")
        return
    st.markdown(figures.axes_text(found))
    table = figures.axes_table(found)
    st.dataframe(table, hide_index=True, key="axes")
    st.caption(figures.AXES_TEXT)
    csv_button("Axes as CSV", table, f"{checkpoint.card['name']}-axes", key="axes_csv")


def alike(checkpoint: Checkpoint) -> None:
    """How alike the towers are stage by stage, and what is read off either: from a kept measurement."""
    st.subheader("The same images in both towers")
    try:
        found = load_between(checkpoint)
    except ValueError as error:
        st.warning(f"The measurement cannot be shown. {captions.escaped(str(error))}")
        return
    if found is None:
        st.info(
            "Not measured yet for this network: how alike the towers' responses are at every stage, and how well hue "
            "and orientation can be read off either tower.",
            icon=":material/straighten:",
        )
        st.code(f"python -m analysis.between {checkpoint.card['name']}", language="bash")
        st.caption("A few minutes on one processor core. Load this page anew afterwards.")
        return
    left, right = st.columns(2, gap="large")
    with left:
        st.plotly_chart(
            figures.similarity_figure(found.similarity),
            key="similarity",
            config=figure_config("similarity"),
            alt=figures.similarity_alt(found.similarity),
        )
        st.caption(f"{figures.SIMILARITY_TEXT} {captions.escaped(figures.between_text(found))}")
    with right:
        st.plotly_chart(
            figures.probes_figure(found.probes),
            key="probes",
            config=figure_config("probes"),
            alt=f"Share right by tower. {figures.probes_text(found.probes)}",
        )
        st.caption(figures.PROBES_TEXT)
        st.markdown(figures.probes_text(found.probes))
    with st.expander("The numbers behind this"):
        st.dataframe(figures.similarity_table(found.similarity), hide_index=True, key="similarity_table")
        st.dataframe(figures.probes_table(found.probes), hide_index=True, key="probes_table")
