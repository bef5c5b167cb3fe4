"""Section: how good the neighbours are, by what is compared."""

from collections.abc import Sequence
from functools import partial

import streamlit as st

from analysis.retrieval.reports import Report, kept_reports
from analysis.workspace import WorkspaceError
from viz_app.figures import retrieval as figures
from viz_app.figures.captions import escaped
from viz_app.inputs import csv_button, figure_config
from viz_app.resources import workspace_stages
from viz_app.retrieval.subject import Subject

INTRO = (
    "Do the nearest images show the same thing? Every query is asked, and what it finds is counted: with the features "
    "of each stage, of both towers and of each tower's half, as they are and scaled."
)


@st.fragment
def show(subject: Subject) -> None:
    """What was measured, or the command that measures it."""
    st.markdown(INTRO)
    try:
        reports, stages = reports_of(subject), workspace_stages(subject.workspace)
    except WorkspaceError as error:
        st.warning(escaped(str(error)), icon=":material/construction:")
        return
    missing = [stage for stage in stages if stage not in {report.stage for report in reports}]
    if reports:
        measured(subject, reports)
    else:
        st.info("Nothing was measured for these images yet.", icon=":material/straighten:")
    if missing:
        offer(subject, missing, measured=bool(reports))


def reports_of(subject: Subject) -> list[Report]:
    """What was measured for the workspace, in the order of the network."""
    stages = list(subject.checkpoint.model.stages)
    return sorted(kept_reports(subject.workspace), key=lambda report: stages.index(report.stage))


def measured(subject: Subject, reports: Sequence[Report]) -> None:
    """Figure, sentences and tables."""
    factor, measure = choose(reports)
    st.markdown(figures.quality_text(reports, factor, measure), help=figures.SCALING_HELP)
    st.markdown(figures.differences_text(reports, factor, measure), help=figures.HALVES_HELP)
    name = f"{subject.workspace.name}-retrieval-quality"
    st.plotly_chart(
        figures.quality_figure(reports, factor, measure),
        key="quality",
        config=figure_config(f"{name}-{factor}-{measure}"),
        alt=figures.quality_alt(reports, factor, measure),
    )
    st.caption(f"{figures.measured_text(reports, factor)} {figures.INTERVALS}")
    st.markdown(figures.hubs_text(reports), help=figures.HUBS_HELP)
    st.dataframe(figures.quality_table(reports, factor), hide_index=True)
    csv_button("All numbers as CSV", partial(figures.quality_csv, reports), name, key="quality_csv")
    with st.expander("Differences on the same queries"):
        st.dataframe(figures.differences_table(reports, factor), hide_index=True)


def choose(reports: Sequence[Report]) -> tuple[str, str]:
    """What counts as alike, and how it is counted."""
    factors, measures = [factor.name for factor in reports[0].factors], figures.shared_measures(reports)
    with st.container(horizontal=True):
        factor = factors[0]
        if len(factors) > 1:
            factor = st.segmented_control(
                "Alike is what has the same",
                factors,
                default=factors[0],
                required=True,
                key="quality_factor",
                bind="query-params",
            )
        measure = st.segmented_control(
            "Measure",
            measures,
            default=measures[-1],
            required=True,
            key="quality_measure",
            bind="query-params",
            help=figures.MEASURE_HELP,
        )
    return factor, measure


def offer(subject: Subject, stages: Sequence[str], *, measured: bool) -> None:
    """The command that measures what was not."""
    st.caption(f"This measures {'the other stages' if measured else 'it'}, in minutes, and keeps the result:")
    st.code(figures.quality_command(subject.workspace.name, stages), language="bash")
