"""Indexes that take minutes to fit, and the features of further stages, are made beside the app."""

from collections.abc import Sequence

import streamlit as st

from analysis.retrieval.spaces import HALVES, Space, opens_at_once
from analysis.workspace import Workspace
from viz_app import jobs
from viz_app.figures.captions import escaped
from viz_app.resources import workspace_stages

STAGES = ("pool2", "pool5", "fc6", "fc7", "fc8")  # whose features are offered
STAGES_HELP = (
    "The images pass through the network once more: some ten seconds for 5,000 images, some minutes for 100,000, "
    "which take 0.4 to 2.8 GB on disk. What was computed when it was cancelled is kept."
)


def index_ready(workspace: Workspace, space: Space) -> bool:
    """Whether the index of a space can be used; if not, the button that makes it, or how far it is.

    Raises ``ValueError``, one sentence, where its features are not there.
    """
    if opens_at_once(workspace, space):
        return True
    st.info(f"The index {space.kind} is not there yet. It takes some minutes, beside the app, and is then kept.")
    make("Make this index", "analysis.retrieval", options(workspace, space))
    return False


def more_stages(workspace: Workspace) -> None:
    """Compute the features of stages that are not there yet."""
    there = workspace_stages(workspace)
    if not (missing := [stage for stage in STAGES if stage not in there]):
        return
    with st.expander("Features of other stages", icon=":material/layers:"):
        stage = st.segmented_control("Stage", missing, default=missing[-1], required=True, key="stage_to_compute")
        words = [workspace.checkpoint, workspace.dataset, "--stage", stage, "--split", *workspace.splits]
        st.caption(STAGES_HELP)
        make(f"Compute {stage}", "analysis.features", [*words, "--home", str(workspace.home)])


def make(label: str, module: str, words: Sequence[str]) -> None:
    """The button that runs ``python -m module words`` beside the app, or how far that is, or why it failed."""
    key = " ".join((module, *words))
    job = jobs.find(key)
    if job and job.running:
        progress(key)
        return
    if job and job.problem:
        st.error(f"It could not be made. {escaped(job.problem)}", icon=":material/error:")
    st.button(label, key=f"make {key}", type="primary", on_click=jobs.start, args=(key, module, *words))


def options(workspace: Workspace, space: Space) -> list[str]:
    """What the command that makes it is told."""
    half = next(name for name, half in HALVES.items() if half == space.half)
    chosen = {"stage": space.stage, "metric": space.metric, "half": half, "kind": space.kind, "home": workspace.home}
    return ["index", workspace.name, *(word for name, value in chosen.items() for word in (f"--{name}", str(value)))]


@st.fragment(run_every=1.0)
def progress(key: str) -> None:
    """The bar of the phase, drawn anew each second; when it ends, the whole page is."""
    job = jobs.find(key)
    if job is None or not job.running:
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.progress(job.percent, f"{job.step}: {job.seconds:.0f} s since the start")
        st.button("Cancel", key=f"cancel {key}", icon=":material/close:", on_click=jobs.cancel, args=(key,))
