"""Widgets that several pages use."""

import streamlit as st

from alexnet_core import CheckpointError, list_checkpoints
from viz_app.resources import checkpoint_named


def checkpoint_picker() -> None:
    """Choice of the checkpoint, kept in the URL; stops the page with one sentence if it cannot be loaded."""
    names = list_checkpoints()
    if not names:
        st.error("No checkpoint was found. Train one with `make train`, or put one into the checkpoints folder.")
        st.stop()
    name = st.selectbox(
        "Checkpoint",
        names,
        key="checkpoint",
        bind="query-params",
        help="A trained network. Those that ship with the code come first, then your own.",
    )
    try:
        card = checkpoint_named(name).card
    except CheckpointError as error:
        st.error(f"This checkpoint cannot be used. {error}")
        st.stop()
    metrics = card.get("metrics", {}).get("as_stored")
    if metrics:
        st.caption(f"Top-1 {metrics['top1']:.1%}, top-5 {metrics['top5']:.1%} on {metrics['n']:,} validation images.")
