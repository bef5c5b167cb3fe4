"""Section: many trained networks; which condition parts the towers, and when it happens."""

from collections.abc import Sequence

import streamlit as st

from analysis.experiments.matrix import Matrix, list_matrices, load_matrix
from analysis.experiments.nets import KERNELS, KINDS, Row, rows_of
from analysis.experiments.report import net_table, summary
from viz_app.figures import captions
from viz_app.figures import networks as figures
from viz_app.inputs import csv_button, figure_config
from viz_app.resources import conv1_snapshots, current_checkpoint, matrix_nets

KIND_HELP = (
    "Chroma of the kernels as trained, noise of the start included, which has chroma 0.67 and fades slowly; or of the "
    "learned part alone, the rest of that noise taken off; or what the towers are for, measured by silencing them; "
    "or what they know, measured by linear probes."
)


def show() -> None:
    """The matrix of trainings, then the film of this network's own kernels."""
    matrix = load_matrix(choose_matrix())
    kind = st.segmented_control(
        "Compared", KINDS, default=KINDS[0], required=True, key="kind", bind="query-params", help=KIND_HELP
    )
    nets = matrix_nets(matrix)
    rows = rows_of(matrix, nets, kind)
    st.markdown(f"**{captions.escaped(matrix.title)}**")
    st.markdown("\n".join(f"- {captions.escaped(line)}" for line in summary(matrix, nets)))
    conditions(matrix, rows)
    with st.expander("The numbers behind this"):
        st.dataframe(figures.rows_table(rows), hide_index=True, key="conditions_table")
        csv_button("Networks as CSV", lambda: net_table(nets), f"{matrix.name}-networks", key="nets_csv")
    if kind in KERNELS:
        over_training([row for row in rows if row.measured])
    film()


def choose_matrix() -> str:
    """The name of the matrix; that of this network's own images first."""
    names = list_matrices()
    own = next((name for name in names if str(current_checkpoint().card["name"]).startswith(name)), names[-1])
    return str(st.segmented_control("Trained on", names, default=own, required=True, key="matrix", bind="query-params"))


def conditions(matrix: Matrix, rows: Sequence[Row]) -> None:
    """A dot per network, a row per condition; what is missing is named."""
    if trained := [row for row in rows if row.nets]:
        config, alt = figure_config(f"{matrix.name}-nets"), figures.nets_alt(trained)
        st.plotly_chart(figures.nets_figure(trained), key="nets", config=config, alt=alt)
        st.caption(figures.NETS_TEXT[rows[0].kind])
    if missing := figures.missing_text(matrix, rows):
        st.markdown(captions.escaped(missing))


def over_training(rows: Sequence[Row]) -> None:
    """When the towers came apart, condition by condition."""
    st.subheader("When the towers part")
    if not rows:
        st.info("No network that can be measured yet.", icon=":material/hourglass_empty:")
        return
    names = [row.condition for row in rows]
    if st.session_state.get("condition", names[0]) not in names:
        st.session_state.condition = names[0]  # of another matrix
    chosen = st.selectbox("Condition", names, key="condition", bind="query-params", width=220)
    row = rows[names.index(chosen)]
    st.plotly_chart(
        figures.courses_figure(row),
        key="courses",
        config=figure_config(f"{chosen}-course"),
        alt=figures.courses_text(row),
    )
    st.caption(f"{row.asks} {figures.COURSE_TEXT} {figures.courses_text(row)}")
    kernels_of_one(row)


def kernels_of_one(row: Row) -> None:
    """The kernels of one network of a condition, to be looked at."""
    nets = {f"seed {net.seed}": net for net in row.nets if not net.reason}
    st.subheader("What they learned")
    chosen = st.segmented_control(
        "Network", list(nets), default=next(iter(nets)), required=True, key=f"network of {row.condition}"
    )
    text = figures.kernels_text(nets[chosen])
    st.plotly_chart(
        figures.kernels_figure(nets[chosen]),
        key="kernels_of_one",
        config=figure_config(f"{row.condition}-kernels"),
        alt=text,
    )
    st.caption(f"{text} {figures.KERNELS_TEXT}")


def film() -> None:
    """The kernels of this network as they came about."""
    checkpoint = current_checkpoint()
    try:
        snapshots = conv1_snapshots(checkpoint.id, checkpoint)
    except ValueError as error:
        st.warning(f"The film cannot be shown. {captions.escaped(str(error))}")
        return
    if snapshots is None:
        return
    st.subheader("How the kernels came about")
    titles = figures.film_titles(snapshots, checkpoint.model.config.towers)
    st.plotly_chart(
        figures.film_figure(snapshots, checkpoint.model.config.towers),
        key="film",
        config=figure_config(f"{checkpoint.card['name']}-film"),
        alt=f"The kernels at {len(titles)} steps of training. {titles[0]}; {titles[-1]}.",
    )
    st.caption(figures.FILM_TEXT)
