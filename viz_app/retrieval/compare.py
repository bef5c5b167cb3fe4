"""Section: two lists of neighbours of the same query, what both hold and what only one does."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import streamlit as st

from analysis.retrieval import METRICS
from analysis.retrieval.spaces import Neighbour, Neighbours, Space, has_halves, space_features
from analysis.workspace import Workspace, list_workspaces
from viz_app.figures.captions import escaped
from viz_app.grid import thumbnail_grid
from viz_app.resources import checkpoint_named, workspace_gallery, workspace_stages
from viz_app.retrieval.choose import (
    APPROXIMATE_FROM,
    HALF_HELP,
    HALVES,
    INDEX_HELP,
    METRIC_HELP,
    choose_space,
    choose_terms,
    kinds_of,
    leave_other_classes,
)
from viz_app.retrieval.exports import neighbours_button
from viz_app.retrieval.making import index_ready
from viz_app.retrieval.query import Query, choose_query, query_columns, show_query
from viz_app.retrieval.results import NOTHING, chance_text, found_in, item, show_agreement
from viz_app.retrieval.state import walk
from viz_app.retrieval.subject import Subject, subject_of
from viz_app.retrieval.terms import Terms, allowed

WHICH = ("first", "second")
HELP = {"half": HALF_HELP, "metric": METRIC_HELP, "kind": INDEX_HELP}
OVERLAP_HELP = "Overlap@k: which share of the k images of a list is in the other one, too, whatever their order."


class Side(NamedTuple):
    """One of two lists: by which network's features its neighbours are found, and in which space."""

    title: str
    workspace: Workspace
    space: Space


def halves(subject: Subject, space: Space) -> list[Side]:
    """The units of one tower, of the other, of both."""
    if not has_halves(subject.workspace, space.stage):
        return []
    both, *single = [Side(name, subject.workspace, space._replace(half=half)) for name, half in HALVES.items()]
    return [*single, both]


def stages(subject: Subject, space: Space) -> list[Side]:
    """The stages whose features are there, the one in use first."""
    found = workspace_stages(subject.workspace)[::-1]
    return [Side(stage, subject.workspace, space._replace(stage=stage)) for stage in found]


def metrics(subject: Subject, space: Space) -> list[Side]:
    """The measures of distance."""
    return [Side(metric.capitalize(), subject.workspace, space._replace(metric=metric)) for metric in METRICS]


def indexes(subject: Subject, space: Space) -> list[Side]:
    """Exact and approximate search."""
    kinds = kinds_of(*space_features(subject.workspace, space).shape)
    return [Side(name, subject.workspace, space._replace(kind=kind)) for name, kind in kinds.items()]


def networks(subject: Subject, space: Space) -> list[Side]:
    """The networks of the workspaces of the same images, this one's first."""
    others = [each for each in list_workspaces() if is_of_same_images(each, subject)]
    return [Side(each.name, each, space) for each in (subject.workspace, *others)]


def is_of_same_images(workspace: Workspace, subject: Subject) -> bool:
    """Whether another workspace is about the same images."""
    if workspace.name == subject.workspace.name or workspace.dataset != subject.workspace.dataset:
        return False
    gallery = workspace_gallery(workspace)
    return gallery is not None and gallery.key == subject.gallery.key


class Difference(NamedTuple):
    """What two lists differ in: the field of `Space` that is then not asked for, the choices, what is said of none."""

    field: str
    sides: Callable[[Subject, Space], list[Side]]
    missing: str


DIFFERENCES = {
    "Tower halves": Difference("half", halves, "The units of {stage} belong to no tower."),
    "Stages": Difference(
        "stage",
        stages,
        "Only the features of {stage} are there. Those of another stage are made, once, by "
        "`python -m analysis.features {checkpoint} {dataset} --stage pool5`.",
    ),
    "Distances": Difference("metric", metrics, ""),
    "Indexes": Difference("kind", indexes, f"Fewer than {APPROXIMATE_FROM:,} images are always compared exactly."),
    "Networks": Difference(
        "network",
        networks,
        "No other workspace has these images. With another network, one is made by "
        "`python -m analysis.workspace build NAME --dataset {dataset} --checkpoint CHECKPOINT`.",
    ),
}


@st.fragment
def show(subject: Subject) -> None:
    """The query, what the lists differ in, what they share, and the lists; a click draws no more than this anew."""
    leave_other_classes(subject)
    query = choose_query(subject)
    name = st.segmented_control(
        "Compare", list(DIFFERENCES), default="Tower halves", required=True, key="lists", bind="query-params"
    )
    difference = DIFFERENCES[name]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        space, terms = choose_space(subject, without=difference.field), choose_terms(subject)
    if query is None:
        return
    sides = difference.sides(subject, space)
    if len(sides) < 2:
        where = {"dataset": subject.workspace.dataset, "checkpoint": subject.workspace.checkpoint}
        st.info(difference.missing.format(stage=space.stage, **where), icon=":material/compare_arrows:")
        return
    picture, text = query_columns()
    with picture:
        show_query(subject, query)
    with text:
        with st.container(horizontal=True):
            pair = [choose_side(sides, place, difference.field) for place in range(2)]
        try:
            if not all(index_ready(side.workspace, side.space) for side in pair):
                return
            subjects = [opened(side.workspace, subject) for side in pair]
            lists = [found_in(own, query, side.space, terms) for own, side in zip(subjects, pair, strict=True)]
        except ValueError as error:
            st.error(escaped(str(error)), icon=":material/error:")
            return
        among = int(allowed(subject.gallery, terms, query.without).sum())
        st.markdown(overlap_text(pair, lists, among), help=OVERLAP_HELP)
    for place, column in enumerate(st.columns(2, gap="medium")):
        with column:
            st.markdown(f"**{escaped(pair[place].title)}**")
            show_list(subjects[place], query, pair[place].space, terms, lists[place], lists[1 - place], WHICH[place])


def choose_side(sides: Sequence[Side], place: int, field: str) -> Side:
    """One of the choices."""
    titles, which = [side.title for side in sides], WHICH[place]
    title = st.selectbox(
        f"{which.capitalize()} list",
        titles,
        place,
        key=f"{which}_{field}",
        bind="query-params",
        width=200,
        help=HELP.get(field),
    )
    return sides[titles.index(title)]


def opened(workspace: Workspace, subject: Subject) -> Subject:
    """A workspace of the same images with its network. Raises ``CheckpointError`` if that is not there."""
    if workspace.name == subject.workspace.name:
        return subject
    return subject_of(workspace, checkpoint_named(workspace.checkpoint), subject.gallery)


def show_list(
    subject: Subject, query: Query, space: Space, terms: Terms, own: Neighbours, other: Neighbours, key: str
) -> None:
    """One list, each image with its place in the other one."""
    if not own.found:
        return
    show_agreement(subject, query, terms, own.found)
    items = [
        item(subject, query, space, rank, each, there(each, other.found)) for rank, each in enumerate(own.found, 1)
    ]
    thumbnail_grid(items, f"{key}_grid", on_click=walk)
    neighbours_button(subject, query, own.found, space, f"{key}_csv")


def there(each: Neighbour, others: Sequence[Neighbour]) -> str:
    """Where an image stands in the other list."""
    ranks = {other.row: rank for rank, other in enumerate(others, 1)}
    return f"= {ranks[each.row]} in the other" if each.row in ranks else "only here"


def overlap_text(pair: Sequence[Side], lists: Sequence[Neighbours], among: int) -> str:
    """How many images both lists hold, and how many would be by chance."""
    first, second = ({each.row for each in side.found} for side in lists)
    both, k = len(first & second), max(len(first), len(second))
    if not k:
        return NOTHING
    by_chance = len(first) * len(second) / among
    titles = " and ".join(f"**{escaped(side.title)}**" for side in pair)
    return (
        f"{titles} share **{both} of {k}** neighbours: overlap@{k} is {both / k:.2f}. Two lists drawn at random from "
        f"the same {among:,} images would share {chance_text(by_chance)}."
    )
