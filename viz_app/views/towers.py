"""Page: is one tower really the colour tower? Tried on images, and measured."""

import streamlit as st

from viz_app.lab import kernels, lesions, networks, reading, routing, try_it
from viz_app.resources import current_checkpoint

INTRO = (
    "The network has two towers that hardly talk to each other. The paper of 2012 says that one of them learned colour "
    "and the other did not, in every training. Switch one off and see what is lost, or read what was measured."
)

SECTIONS = {
    "Try it": try_it.show,
    "Kernels": kernels.show,
    "Networks": networks.show,
    "Routing": routing.show,
    "Lesions": lesions.show,
    "How to read this": reading.show,
}
OF_TWO = ("Kernels", "Routing", "Lesions")  # compare two towers


def sections(towers: int) -> list[str]:
    """What can be shown of a network with so many towers."""
    names = [name for name in SECTIONS if towers == 2 or name not in OF_TWO]
    return names if towers > 1 else names[1:]


st.title("Towers")
st.markdown(INTRO)
towers = current_checkpoint().model.config.towers
if towers == 1:
    st.info("Towers can be switched off where there is more than one; this network has one.")
names = sections(towers)
if st.session_state.get("lab", names[0]) not in names:
    st.session_state.lab = names[0]  # another network has more towers
section = st.segmented_control(
    "Section", names, default=names[0], required=True, key="lab", bind="query-params", label_visibility="collapsed"
)
SECTIONS[section]()
