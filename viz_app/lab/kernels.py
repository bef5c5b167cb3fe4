"""Section: the towers' first-layer kernels compared, with nulls, intervals, and published networks beside."""

import streamlit as st

from alexnet_core import Checkpoint
from analysis.experiments.nets import KERNELS
from analysis.kernels.indices import knows_learned_part
from analysis.towers.comparison import colour_kernels, colour_shares, tower_labels
from analysis.towers.secondary import Secondary
from analysis.towers.study import TowerStudy
from analysis.towers.sweep import Sweep
from viz_app.figures import captions
from viz_app.figures import tower_kernels as figures
from viz_app.inputs import csv_button, figure_config
from viz_app.resources import (
    conv1_kernels,
    conv1_snapshots,
    current_checkpoint,
    current_workspace,
    tower_studies,
    workspace_gallery,
)

PART_HELP = (
    "Kernels start as random noise, which has chroma 0.67 and fades slowly. The learned part is what remains when the "
    "rest of that noise is taken off."
)


def show() -> None:
    """The verdict, and what it rests on."""
    checkpoint, workspace = current_checkpoint(), current_workspace()
    try:
        studies = tower_studies(checkpoint, workspace_gallery(workspace) if workspace else None)
        learned = knows_learned_part(conv1_snapshots(checkpoint.id, checkpoint))
    except ValueError as error:
        st.warning(f"The kernels cannot be compared. {captions.escaped(str(error))}")
        return
    part = KERNELS[0]
    if learned:
        part = st.segmented_control(
            "Weights", KERNELS, default=KERNELS[0], required=True, key="part", bind="query-params", help=PART_HELP
        )
    study = studies[part]
    verdict(checkpoint, study, learned=part == KERNELS[1])
    with st.container(border=True):
        beside_published(studies)
    swarm(checkpoint, study, learned=part == KERNELS[1])
    if study.secondary:
        if study.secondary.sweep and study.primary.threshold is not None:
            sweep(study.secondary.sweep, study.primary.threshold)
        all_else(checkpoint, study.secondary)


def verdict(checkpoint: Checkpoint, study: TowerStudy, *, learned: bool) -> None:
    """What was found, in a few sentences with their numbers."""
    _, indices = conv1_kernels(checkpoint.id, None, learned, checkpoint)
    st.markdown(figures.verdict_text(study.primary))
    if study.primary.threshold is not None:
        shares = colour_shares(indices, tower_labels(len(indices.chroma), 2), study.primary.threshold)
        st.markdown(f"{shares.sentence()} {figures.shares_text(study.primary)} {shares.left_out()}")
    st.caption(
        "This is one trained network, and the test is about its kernels. Whether it happens in every training is asked "
        "under Networks."
    )


def beside_published(studies: dict[str, TowerStudy]) -> None:
    """The same numbers of networks that were published."""
    results = {name: study.primary for name, study in studies.items()}
    st.markdown("**Beside published networks**")
    st.plotly_chart(
        figures.references_figure(results),
        key="references",
        config=figure_config("references"),
        alt=figures.references_alt(results),
    )
    st.caption(figures.REFERENCES_TEXT)
    with st.expander("The numbers behind this"):
        st.dataframe(figures.references_table(results), hide_index=True, key="references_table")


def swarm(checkpoint: Checkpoint, study: TowerStudy, *, learned: bool) -> None:
    """Every kernel at its chroma, and at its chroma and frequency."""
    kernels, indices = conv1_kernels(checkpoint.id, None, learned, checkpoint)
    colour = colour_kernels(indices, study.primary.threshold or 0.5)
    st.subheader("Every kernel at its chroma")
    st.plotly_chart(
        figures.swarm_figure(kernels, indices, colour, study.primary),
        key="swarm",
        config=figure_config("chroma"),
        alt=figures.swarm_text(indices, study.primary),
    )
    st.caption(figures.SWARM_TEXT)
    st.subheader("Chroma and frequency")
    st.plotly_chart(
        figures.chroma_map_figure(kernels, indices, colour),
        key="chroma_map",
        config=figure_config("chroma-frequency"),
        alt=figures.chroma_map_text(indices),
    )
    st.caption(f"{figures.MAP_TEXT} {figures.chroma_map_text(indices)}")
    st.page_link("views/kernels.py", label="The kernels one by one", icon=":material/grid_view:")


def sweep(found: Sweep, threshold: float) -> None:
    """Purity at every threshold."""
    st.subheader("Wherever colour begins")
    text = figures.sweep_text(found)
    st.plotly_chart(figures.sweep_figure(found, threshold), key="sweep", config=figure_config("sweep"), alt=text)
    st.caption(f"{figures.SWEEP_TEXT} {text}")


def all_else(checkpoint: Checkpoint, found: Secondary) -> None:
    """Other indices, with Holm; the classifier; neighbouring channels."""
    st.subheader("All else")
    table = figures.secondary_table(found)
    st.dataframe(table, hide_index=True, key="secondary")
    st.caption(figures.SECONDARY_TEXT)
    st.markdown(figures.secondary_text(found))
    csv_button("Table as CSV", table, f"{checkpoint.card['name']}-towers", key="secondary_csv")
