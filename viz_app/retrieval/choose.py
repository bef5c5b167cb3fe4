"""The widgets that say how images are compared, and which may be found."""

from collections.abc import Mapping
from math import log2

import streamlit as st

from analysis.retrieval import METRICS, Index, choose_index
from analysis.retrieval.choose import DIMENSIONS, FLAT
from analysis.retrieval.spaces import NEAR_DUPLICATE, Space, has_halves, space_features
from viz_app.figures.captions import escaped
from viz_app.figures.lesions import titled
from viz_app.figures.theme import TOWER_MARKS
from viz_app.resources import workspace_stages
from viz_app.retrieval.subject import TRAINED_ON, Subject
from viz_app.retrieval.terms import Terms

EXACT = "Exact"
ALL = "all"  # splits
MOST = 60  # neighbours
APPROXIMATE_FROM = 10_000  # images: fewer are compared in a moment
HALVES: Mapping[str, int | None] = {"All": None} | {
    f"{mark.glyph} {titled(mark.name)}": half for half, mark in enumerate(TOWER_MARKS[:2])
}
METRIC_HELP = (
    "Euclidean: the paper's, the straight line between two feature vectors. Cosine: one minus the cosine of the angle "
    "between them, whatever their lengths. Inner product: the sum of the products of their values; the largest is "
    "the nearest, and long vectors are near to all."
)
HALF_HELP = (
    "All units of the stage, or those of one tower only: of fc7 the first or the second 2,048. As fc6 reads both "
    "towers, a half of fc6 or fc7 is not what that tower alone has seen; of conv1 and conv2 it is."
)
INDEX_HELP = (
    "Exact: the query is compared with every image. The others compare it with a few that a short code of each image "
    "says are near, as one must with millions; the distances shown are exact all the same."
)
DUPLICATES_HELP = (
    f"Leaves out images whose features are less than {NEAR_DUPLICATE:.0%} of the query's length away: copies of it, "
    "also where they were saved again or made a little brighter."
)


def choose_space(subject: Subject, *, without: str = "") -> Space:
    """How images are compared; `without` names a field that is not asked for."""
    space = Space()
    if without != "stage" and len(stages := workspace_stages(subject.workspace)) > 1:
        stage = st.selectbox(
            "Stage", stages, stages.index(space.stage), key="compared_stage", bind="query-params", width=110
        )
        space = space._replace(stage=stage)
    if without != "metric":
        metric = st.selectbox(
            "Distance",
            METRICS,
            key="metric",
            bind="query-params",
            format_func=str.capitalize,
            width=150,
            help=METRIC_HELP,
        )
        space = space._replace(metric=metric)
    if without != "half" and has_halves(subject.workspace, space.stage):
        half = st.segmented_control(
            "Units", list(HALVES), default="All", required=True, key="half", bind="query-params", help=HALF_HELP
        )
        space = space._replace(half=HALVES[half])
    if without != "kind" and len(kinds := kinds_of(*space_features(subject.workspace, space).shape)) > 1:
        kind = st.selectbox("Index", list(kinds), key="index", bind="query-params", width=130, help=INDEX_HELP)
        space = space._replace(kind=kinds[kind])
    return space


def kinds_of(n: int, d: int) -> dict[str, str]:
    """Indexes of n vectors (d,) by name, as `Space.kind` has them, the one that would be chosen first."""
    if n < APPROXIMATE_FROM:
        return {EXACT: FLAT}
    lists, axes = 2 ** round(log2(4 * n**0.5)), f"PCA{DIMENSIONS}," if d > DIMENSIONS else ""
    kinds = {EXACT: FLAT, "IVF": f"{axes}IVF{lists},SQ8", "HNSW": f"{axes}HNSW32_SQ8", "PQ": f"{axes}IVF{lists},PQ32np"}
    first = choose_index(n, d).kind
    return dict(sorted(kinds.items(), key=lambda kind: kind[1] != first))


def choose_terms(subject: Subject) -> Terms:
    """How many neighbours, and among which images."""
    k = st.number_input("Neighbours", 1, MOST, Terms().k, key="k", bind="query-params", width=110)
    split = ""
    if len(splits := subject.splits) > 1:
        first = TRAINED_ON if TRAINED_ON in splits else ALL
        chosen = st.segmented_control(
            "Among", (*splits, ALL), default=first, required=True, key="among", bind="query-params"
        )
        split = "" if chosen == ALL else chosen
    classes = st.multiselect(
        "Classes",
        range(len(subject.names)),
        key="only",
        bind="query-params",
        format_func=lambda label: subject.names[label],
        placeholder="Any",
        width=220,
    )
    skip = st.toggle("No near duplicates", key="no_duplicates", bind="query-params", help=DUPLICATES_HELP)
    return Terms(int(k), split, tuple(sorted(classes)), skip)


def leave_other_classes(subject: Subject) -> None:
    """Forget the classes chosen for other images."""
    state, key = st.session_state, subject.gallery.key
    if state.get("classes_of", key) != key:
        state.only = []
    state.classes_of = key


def index_text(index: Index) -> str:
    """What the index is, why, and what was measured when it was built."""
    return escaped(index.explanation[:1].upper() + index.explanation[1:])
