"""Page: which images the network finds alike."""

import streamlit as st

from viz_app.retrieval import compare, figure, map, quality, results
from viz_app.retrieval.state import NEIGHBOURS
from viz_app.retrieval.subject import current_subject

INTRO = (
    "Which images does the network find alike? Ask about an image, then follow its neighbours: what is near in the "
    "last hidden layer is alike to the network, whatever it shows."
)

SECTIONS = {
    NEIGHBOURS: results.show,
    "Two lists": compare.show,
    "Map": map.show,
    "Figure 4": figure.show,
    "Quality": quality.show,
}

st.title("Retrieval")
st.markdown(INTRO)
if subject := current_subject():
    section = st.segmented_control(
        "Section",
        SECTIONS,
        default=NEIGHBOURS,
        required=True,
        key="retrieval",
        bind="query-params",
        label_visibility="collapsed",
    )
    SECTIONS[section](subject)
