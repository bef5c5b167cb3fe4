"""Section: what switching off a tower costs, measured over many images."""

from functools import partial

import streamlit as st

from alexnet_core import Checkpoint
from analysis.lesions.dissociation import LesionReport, load_lesions
from analysis.lesions.photo_dissociation import METRICS, PhotoReport
from analysis.lesions.photographs import load_photos
from viz_app.figures import captions, photo_lesions
from viz_app.figures import lesions as figures
from viz_app.inputs import csv_button, figure_config
from viz_app.resources import current_checkpoint


def show() -> None:
    """What was measured, or how to measure it."""
    checkpoint = current_checkpoint()
    measured(checkpoint)
    photographs(checkpoint)


def measured(checkpoint: Checkpoint) -> None:
    """Every lesion over the images of the data set, and random lesions beside."""
    st.subheader("What each lesion costs")
    try:
        report = load_lesions(checkpoint)
    except ValueError as error:
        st.warning(f"The measurement cannot be shown. {captions.escaped(str(error))}")
        return
    if report is None:
        offer(checkpoint)
        return
    st.markdown(f"**{captions.escaped(report.verdict)}**")
    st.caption(captions.escaped(figures.intact_text(report)))
    drops(report)
    if report.controls:
        random_lesions(report)


def offer(checkpoint: Checkpoint) -> None:
    """What a measurement would tell, and the command for it."""
    st.info(
        "Not measured yet for this network: how many percentage points of accuracy each tower's lesion costs, with "
        "intervals, and whether random lesions of the same size cost the same.",
        icon=":material/straighten:",
    )
    st.code(figures.command(str(checkpoint.card["name"])), language="bash")
    st.caption(figures.DURATION)


def drops(report: LesionReport) -> None:
    """Drops of every lesion as a figure and as a table, and the number that compares the towers."""
    first, second = map(figures.measure_name, figures.measures(report))
    st.markdown(f"**What each lesion costs: {first} and {second}**")
    st.plotly_chart(
        figures.drops_figure(report), key="drops", config=figure_config("drops"), alt=figures.drops_text(report)
    )
    if report.dissociations:
        main = report.dissociation() or report.dissociations[0]
        st.markdown(figures.interaction_text(main, report.factors))
    with st.expander("The numbers behind this"):
        if report.dissociations:
            st.dataframe(figures.interaction_table(report), hide_index=True, key="interactions")
        st.dataframe(figures.drops_table(report), hide_index=True, key="drops_table")
        csv_button("Drops as CSV", partial(figures.drops_csv, report), f"{report.checkpoint}-lesions", key="drops_csv")


def random_lesions(report: LesionReport) -> None:
    """The towers' lesions among random ones of their size."""
    st.markdown("**Is a tower special, or would any lesion of its size do?**")
    st.plotly_chart(
        figures.random_figure(report),
        key="random",
        config=figure_config("random-lesions"),
        alt=figures.random_alt(report),
    )
    name = figures.statistic(report)
    st.markdown("  \n".join(figures.random_text(control, name) for control in report.controls))
    st.caption(figures.matching_text(report.controls))
    csv_button(
        "Random lesions as CSV", partial(figures.random_csv, report), f"{report.checkpoint}-random", key="random_csv"
    )


def photographs(checkpoint: Checkpoint) -> None:
    """The same over photographs in colour, in grey and otherwise changed."""
    st.subheader("In colour and without")
    try:
        report = load_photos(checkpoint)
    except ValueError as error:
        st.warning(f"The measurement cannot be shown. {captions.escaped(str(error))}")
        return
    if report is None:
        st.info(
            "Not measured yet for this network: what either tower is worth on images in colour, in grey, with turned "
            "hues, with colour alone, blurred and sharpened, and whether random halves differ as much.",
            icon=":material/straighten:",
        )
        st.code(f"python -m analysis.lesions.photographs {checkpoint.card['name']}", language="bash")
        st.caption(photo_lesions.DURATION)
        return
    kinds_of_photograph(report, captions.class_labels(checkpoint.card["classes"]))


def kinds_of_photograph(report: PhotoReport, names: list[str]) -> None:
    """Drops by kind of photograph, what colour is worth, random halves, and the classes that need colour."""
    st.markdown(f"**{captions.escaped(report.verdict)}**")
    st.caption(captions.escaped(photo_lesions.about_text(report)))
    metric = st.segmented_control(
        "Measure",
        METRICS,
        default=METRICS[0],
        required=True,
        format_func=photo_lesions.METRIC_NAMES.__getitem__,
        key="measure",
        bind="query-params",
    )
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**What a lesion costs, by kind of photograph**")
        st.plotly_chart(
            photo_lesions.drops_figure(report, metric),
            key="photo_drops",
            config=figure_config("photo-drops"),
            alt=photo_lesions.drops_alt(report, metric),
        )
        st.caption(photo_lesions.STIMULI_TEXT)
    with right:
        st.markdown("**Which tower carries what one kind has over another**")
        st.plotly_chart(
            photo_lesions.worth_figure(report, metric),
            key="photo_worth",
            config=figure_config("photo-worth"),
            alt=photo_lesions.worth_alt(report, metric),
        )
        st.caption(photo_lesions.WORTH_TEXT)
    for half in report.halves:
        text = photo_lesions.halves_text(half, metric)
        st.markdown(text)
        st.plotly_chart(
            photo_lesions.halves_figure(half, metric), key="halves", config=figure_config("random-halves"), alt=text
        )
    for classes in report.classes:
        st.markdown(photo_lesions.classes_text(classes, names))
    with st.expander("The numbers behind this"):
        st.dataframe(photo_lesions.score_table(report), hide_index=True, key="photo_scores")
        st.dataframe(photo_lesions.worth_table(report), hide_index=True, key="photo_worths")
        csv_button(
            "Scores as CSV", partial(photo_lesions.csv_table, report), f"{report.checkpoint}-photos", key="photo_csv"
        )
