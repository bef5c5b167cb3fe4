"""Section: the images on a map, near to each other where the network finds them alike."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import streamlit as st
from numpy.typing import NDArray

from alexnet_core.prism import CLASS_NAMES, hue_of, shape_of
from analysis.projection import METHODS, ImageMap, MapPlan, agreement, correlation, map_file, nearest_on
from analysis.workspace import WorkspaceError
from viz_app import jobs
from viz_app.figures import maps as figures
from viz_app.figures.captions import escaped, with_swatch
from viz_app.figures.lesions import escape_html
from viz_app.grid import Item, thumbnail_grid
from viz_app.inputs import figure_config
from viz_app.resources import map_of, workspace_predictions
from viz_app.retrieval.choose import ALL, choose_space
from viz_app.retrieval.state import Step, ask, current_trail
from viz_app.retrieval.subject import Subject

SIZES = (1000, 2000, 5000, 10_000, 20_000)  # images
USUAL = MapPlan().images
SMALLEST = 4  # images
THUMBNAILS = 60  # of a selection
LISTED = 4  # classes of a selection that are named
CLASS, SHAPE, HUE, ANSWER, BALANCE = "class", "shape", "hue", "right or wrong", "tower balance"
TOOLS = ["lasso2d", "select2d", "pan2d", "zoom2d", "resetScale2d"]
MINUTES = {"t-SNE": 0.5, "UMAP": 0.3}  # that 5,000 images take on one core

METHOD_HELP = (
    "PCA: the two directions in which the images differ most, at once. t-SNE and UMAP bend the space so that "
    "neighbours stay neighbours; they are made beside the app and kept."
)
PERPLEXITY_HELP = "How many neighbours each image tries to stay near to; larger values show coarser groups."
COLOUR_HELP = (
    "Class: looks repeat where there are many, so point at an image for its name, or choose classes to tell apart. "
    "Tower balance: which tower's units hold more of the energy, the sum of squares, of the stage."
)
SELECT_TEXT = (
    "Point at an image for what it is. Click one, or draw around some (with the buttons over the map as a box), to see "
    "them below. Without a mouse: colour by class and choose some."
)


class Answers(NamedTuple):
    """What the network says about the images of a map."""

    guesses: NDArray[np.int64]
    confidences: NDArray[np.float32]
    right: NDArray[np.bool_]


def show(subject: Subject) -> None:
    """How the map is made, the map, and the images that were picked on it."""
    forget_other_classes(subject)
    plan = choose_plan(subject)
    if plan is None:
        return
    try:
        found = map_of(subject.workspace, plan)
        if found is None:
            offer(subject, plan)
            return
    except (ValueError, OSError) as error:
        st.error(escaped(str(error)), icon=":material/error:")
        return
    picked = draw(subject, plan, found)
    show_picked(subject, picked)


def forget_other_classes(subject: Subject) -> None:
    """Classes chosen for other images mean nothing here."""
    state, key = st.session_state, subject.gallery.key
    if state.get("mapped", key) != key:
        state.map_classes = []
    state.mapped = key


# How the map is made.


def choose_plan(subject: Subject) -> MapPlan | None:
    """The visitor's choice; ``None``, and a sentence, where there are too few images."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        method = st.segmented_control(
            "Map", METHODS, default="PCA", required=True, key="map_method", bind="query-params", help=METHOD_HELP
        )
        split = choose_split(subject)
        images = choose_images(len(subject.rows(split)))
        space = choose_space(subject, without="kind")
    if images < SMALLEST:
        st.info(f"A map needs at least {SMALLEST} images, here are {images}.", icon=":material/map:")
        return None
    plan = MapPlan(method=method, images=images, split=split, stage=space.stage, metric=space.metric, half=space.half)
    return plan if method == "PCA" else choose_details(plan)


def choose_split(subject: Subject) -> str:
    """Which images, "" for all."""
    if len(splits := subject.splits) < 2:
        return ""
    chosen = st.segmented_control(
        "Images", (*splits, ALL), default=ALL, required=True, key="map_of", bind="query-params"
    )
    return "" if chosen == ALL else chosen


def choose_images(there: int) -> int:
    """How many of the images that are there."""
    sizes = [size for size in SIZES if size < there] + ([there] if there <= SIZES[-1] else [])
    if len(sizes) < 2:
        return there
    usual = USUAL if USUAL in sizes else sizes[-1]
    if st.session_state.get("map_images", usual) not in sizes:
        st.session_state.map_images = usual  # another workspace has fewer
    return int(
        st.selectbox(
            "How many",
            sizes,
            sizes.index(usual),
            key="map_images",
            bind="query-params",
            format_func=lambda size: f"{size:,}",
            width=110,
            help="Drawn from all, of each class its share.",
        )
    )


def choose_details(plan: MapPlan) -> MapPlan:
    """What t-SNE and UMAP ask for besides."""
    most = min(100, plan.images - 1)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if plan.method == "t-SNE":
            neighbours = st.slider(
                "Perplexity",
                2,
                most,
                min(30, most),
                key="perplexity",
                bind="query-params",
                width=200,
                help=PERPLEXITY_HELP,
            )
            min_dist = plan.min_dist
        else:
            neighbours = st.slider(
                "Neighbours",
                2,
                most,
                min(15, most),
                key="umap_neighbours",
                bind="query-params",
                width=200,
                help=PERPLEXITY_HELP,
            )
            min_dist = st.slider(
                "Least distance",
                0.0,
                0.99,
                0.1,
                0.01,
                key="umap_distance",
                bind="query-params",
                width=200,
                help="How close it may put images: small values give tight clumps.",
            )
        seed = st.number_input("Seed", 0, 9999, key="map_seed", bind="query-params", width=110)
    return plan._replace(neighbours=neighbours, min_dist=min_dist, seed=int(seed))


def offer(subject: Subject, plan: MapPlan) -> None:
    """The button that makes the map, or how far it is."""
    key = str(map_file(subject.workspace, plan))
    job = jobs.find(key)
    if job and job.running:
        progress(key)
        return
    if job and job.problem:
        st.error(f"The map could not be made. {escaped(job.problem)}", icon=":material/error:")
    minutes = MINUTES[plan.method] * (plan.images / USUAL) ** 1.1
    st.info(
        f"{plan.method} of {plan.images:,} images is not there yet. It takes about "
        f"{'half a minute' if minutes < 0.75 else f'{minutes:.0f} minutes'} on an idle machine, beside the app, and is "
        "then kept.",
        icon=":material/map:",
    )
    words = (subject.workspace.name, *plan.options(), "--home", str(subject.workspace.home))
    st.button(
        "Make this map", key="make_map", type="primary", on_click=jobs.start, args=(key, "analysis.projection", *words)
    )


@st.fragment(run_every=1.0)
def progress(key: str) -> None:
    """The phase and the time since the start, drawn anew each second; when it ends, the whole page is."""
    job = jobs.find(key)
    if job is None or not job.running:
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f":material/hourglass_top: {escaped(job.said or job.step)} {job.seconds:.0f} s since the start.")
        st.button("Cancel", key="cancel_map", icon=":material/close:", on_click=jobs.cancel, args=(key,))


# The map.


def draw(subject: Subject, plan: MapPlan, found: ImageMap) -> NDArray[np.int64]:
    """The map with what it shows in words; returns the rows that were picked on it."""
    labels, answers = subject.gallery.labels[found.rows], answers_of(subject, found.rows)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        colour = st.selectbox(
            "Colour by",
            colours(subject, found, answers),
            key="map_colour",
            bind="query-params",
            width=180,
            help=COLOUR_HELP,
        )
        chosen = choose_classes(subject) if colour == CLASS else []
    near = nearest_on(found.positions)
    balance = found.tower_b if colour == BALANCE else None
    shown = figures.shown_text(found, plan, len(subject.rows(plan.split)))
    trust = figures.trust_text(found.faithfulness)
    told = colour_text(colour, labels, answers, balance, near)
    event = st.plotly_chart(
        figures.map_figure(
            found,
            plan,
            groups_of(colour, labels, subject.names, chosen, answers, found.tower_b),
            point_texts(subject, found, answers),
            shares=balance,
            query=current_row(subject),
        ),
        key="map",
        on_select="rerun",
        selection_mode=("points", "box", "lasso"),
        config=figure_config(f"{subject.workspace.name}-{plan.stage}-{plan.method}-{colour}")
        | {"modeBarButtons": [TOOLS, ["toImage"]], "displayModeBar": True},
        alt=figures.map_alt(plan, colour, shown, trust, told),
    )
    st.markdown(f"{shown} {trust} {told}")
    st.caption(f"{figures.READING[plan.method]} {SELECT_TEXT}")
    picked = np.array([point["customdata"] for point in event.selection.points if "customdata" in point], np.int64)
    return picked if len(picked) else found.rows[np.isin(labels, chosen)]


def colours(subject: Subject, found: ImageMap, answers: Answers | None) -> list[str]:
    """What the points can be told apart by."""
    return [
        *([HUE, SHAPE] if is_prism(subject) else []),
        CLASS,
        *([ANSWER] if answers else []),
        *([BALANCE] if np.isfinite(found.tower_b).any() else []),
    ]


def is_prism(subject: Subject) -> bool:
    """Whether the classes are shapes in hues."""
    return tuple(subject.names) == CLASS_NAMES


def choose_classes(subject: Subject) -> list[int]:
    """Classes to be told apart from all others."""
    return st.multiselect(
        "Classes to tell apart",
        range(len(subject.names)),
        key="map_classes",
        bind="query-params",
        format_func=lambda label: subject.names[label],
        placeholder="All",
        max_selections=figures.LISTED,
        width=420,
    )


def groups_of(
    colour: str,
    labels: NDArray[np.int64],
    names: Sequence[str],
    chosen: Sequence[int],
    answers: Answers | None,
    balance: NDArray[np.float32],
) -> list[figures.Group]:
    """The points by what they are told apart by."""
    match colour:
        case "shape":
            return figures.shape_groups(labels)
        case "hue":
            return figures.hue_groups(labels)
        case "right or wrong" if answers:
            return figures.answer_groups(answers.right)
        case "tower balance":
            return figures.tower_groups(balance)
        case _:
            return figures.class_groups(labels, names, chosen)


def colour_text(
    colour: str,
    labels: NDArray[np.int64],
    answers: Answers | None,
    balance: NDArray[np.float32] | None,
    near: NDArray[np.int64],
) -> str:
    """Whether what the colours show lies together, as numbers."""
    if balance is not None:
        return figures.balance_text(balance, correlation(balance, near), near.shape[1])
    if colour == ANSWER and answers:
        what, kinds = "are right where it is right, or wrong where it is wrong", answers.right.astype(np.int64)
    else:
        kinds = {SHAPE: shape_of, HUE: hue_of}.get(colour, np.asarray)(labels)
        what = f"are of its {colour}"
    return figures.kinds_text(what, agreement(kinds, near), near.shape[1])


def answers_of(subject: Subject, rows: NDArray[np.int64]) -> Answers | None:
    """What the network says about these images; ``None`` where there are no predictions."""
    try:
        table = workspace_predictions(subject.workspace, subject.checkpoint.id)
    except WorkspaceError:
        return None
    some = table.select(["guess", "confidence", "rank"]).take(pa.array(rows))
    guess, confidence, rank = (some[name].to_numpy() for name in some.column_names)
    return Answers(guess, confidence, rank == 0)


def point_texts(subject: Subject, found: ImageMap, answers: Answers | None) -> NDArray[np.str_]:
    """What stands at the pointer, a text for each image."""
    names = [escape_html(name) for name in subject.names]
    labels = subject.gallery.labels[found.rows]
    texts = [f"<b>{names[label]}</b>" for label in labels]
    if answers:
        told = zip(texts, *answers, strict=True)
        texts = [f"{text}<br>{'✓' if right else '✕'} {names[guess]} {sure:.0%}" for text, guess, sure, right in told]
    return np.array([f"{text}<br>image {row}" for text, row in zip(texts, found.rows, strict=True)])


def current_row(subject: Subject) -> int | None:
    """The row of the query, where it is an image of the gallery."""
    trail = current_trail(subject.gallery.key, Step(str(subject.gallery.spread(1)[0])))
    return subject.gallery.row(trail[-1].name)


# What was picked.


def show_picked(subject: Subject, rows: NDArray[np.int64]) -> None:
    """The images that were picked on the map, class by class; a click makes one the query."""
    if not len(rows):
        return
    labels = subject.gallery.labels[rows]
    some = rows[np.argsort(labels, kind="stable")][:THUMBNAILS]
    st.markdown(picked_text(labels, subject.names))
    items = [item(subject, int(row)) for row in some]
    thumbnail_grid(items, "map_picked", on_click=ask)
    rest = f"The first {len(some)} of {len(rows):,}, class by class. " if len(some) < len(rows) else ""
    st.caption(f"{rest}Click one to see its neighbours.")


def picked_text(labels: NDArray[np.int64], names: Sequence[str]) -> str:
    """How many images were picked, and of which classes most are."""
    found, counts = np.unique(labels, return_counts=True)
    most = np.argsort(-counts, kind="stable")[:LISTED]
    listed = ", ".join(f"{with_swatch(names[found[place]])} {counts[place]:,}" for place in most)
    start = f"**{len(labels):,} image{'' if len(labels) == 1 else 's'}** picked"
    return f"{start}, of {len(found)} classes; most of: {listed}." if len(found) > 1 else f"{start}: {listed}."


def item(subject: Subject, row: int) -> Item:
    """A thumbnail: its class and its number."""
    label = subject.gallery.label(row)
    return Item(row, subject.small_picture(row), label, (f"image {row}",), f"Image {row}, {label}.")
