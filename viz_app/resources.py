"""Everything the pages share and keep: the only module with Streamlit caches.

Keys are names, checkpoint ids and content hashes, never pixels or tensors: Streamlit samples large arrays.
"""

import streamlit as st

from alexnet_core import Checkpoint, list_checkpoints, load_checkpoint


@st.cache_resource(show_spinner="Loading the network ...", max_entries=2)
def checkpoint_named(name: str) -> Checkpoint:
    """One network for all sessions, read-only: never train(), hook or change it."""
    return load_checkpoint(name)


def current_checkpoint() -> Checkpoint:
    """The checkpoint chosen in the sidebar, or the first one."""
    return checkpoint_named(st.session_state.get("checkpoint") or list_checkpoints()[0])
