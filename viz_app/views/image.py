"""Inspect: a photo's way through both towers."""

from functools import partial

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from alexnet_core.colour import recoloured
from alexnet_core.geometry import receptive_field
from analysis.activations import (
    Activations,
    receptive_box,
    strongest_positions,
    tower_balance,
    tower_change,
    unit_table,
)
from analysis.attribution import LAST_MAPS
from viz_app.figures import captions, image
from viz_app.inputs import csv_button, figure_config, photo_picker, png_button
from viz_app.resources import (
    activations_of,
    current_checkpoint,
    current_workspace,
    evidence_of,
    picture_of,
    stage_board,
    ten_view_guesses,
    workspace_gallery,
    workspace_head,
)
from viz_app.uploads import Photo, Picture, frame_of, input_png

CENTRE, TEN_VIEWS = "Central crop", "Ten views"
ONE_SCALE, OWN_SCALES = "One for all maps of a stage", "Each map its own"
BEST_GUESS = "The best guess"

checkpoint = current_checkpoint()
preprocess, config = checkpoint.preprocess, checkpoint.model.config
classes = checkpoint.card["classes"]
labels = captions.class_labels(classes)


def picture(photo: Photo) -> Picture:
    """The photo made ready."""
    return picture_of(photo.sha256, preprocess.source_size, photo)


def activations(photo: Photo, colours: str = "original", degrees: int = 0) -> Activations:
    """All stages for the photo."""
    return activations_of(checkpoint.id, photo.sha256, colours, degrees, checkpoint, photo)


def guesses(photo: Photo, views: str) -> NDArray[np.float32]:
    """Class probabilities, from one view or ten."""
    if views == TEN_VIEWS:
        return ten_view_guesses(checkpoint.id, photo.sha256, checkpoint, photo)
    return activations(photo).probabilities


def towers_of(stage: str) -> int:
    """Blocks in which the units of a stage are laid out."""
    return 1 if stage == "fc8" else config.towers


def heading(photo: Photo, photos: list[Photo]) -> None:
    """Name of the photo where there are two."""
    if len(photos) > 1:
        st.markdown(f"**{captions.escaped(photo.name)}**")


def guess_section(photos: list[Photo]) -> None:
    """The photos, the network's view of them, the five best guesses."""
    views = st.segmented_control(
        "Guess from",
        (CENTRE, TEN_VIEWS),
        default=CENTRE,
        required=True,
        key="views",
        bind="query-params",
        help="Ten views: four corners and the centre, and their mirror images; the probabilities are averaged, as in "
        "the paper. Everything else on this page is about the central crop.",
    )
    for place, photo in zip(st.columns(len(photos), gap="large"), photos, strict=True):
        with place:
            heading(photo, photos)
            if len(photos) == 1:
                left, right = st.columns([9, 7], gap="large")
            else:
                left, right = st.container(), st.container()
            with left:
                what_it_sees(photo)
            with right:
                what_it_guesses(photo, guesses(photo, views))
    st.caption(f"How a photo is made ready: {preprocess.describe()}")
    known_classes(photos, views)


def what_it_sees(photo: Photo) -> None:
    """The photo with a frame, and the pixels inside it."""
    shown, (left, right) = picture(photo), st.columns([5, 4])
    left.image(
        image.framed_jpeg(shown.shown, frame_of(shown, preprocess)),
        caption=captions.photo_line(photo.credit, shown.note),
        alt=f"The photo {photo.name} with a frame around the part that the network reads.",
        width="stretch",
    )
    seen = input_png(shown.stored, preprocess)
    right.image(
        seen,
        caption=captions.input_line(preprocess),
        alt=f"The pixels of {photo.name} that the network reads.",
        width="stretch",
    )
    with right:
        png_button("This view as PNG", seen, f"{photo.name}-input", key=f"input_png_{photo.sha256}")


def what_it_guesses(photo: Photo, probabilities: NDArray[np.float32]) -> None:
    """The five best guesses, the truth where it is known, and a warning where the guesses are weak."""
    guess_chart(photo, probabilities, "guesses")
    if photo.truth:
        st.markdown(captions.truth_text(photo.truth, labels, probabilities))
        own_classes(photo)
    if photo.truth not in labels and (warning := captions.fit_warning(labels, probabilities)):
        st.warning(warning, icon=":material/help:")


def guess_chart(photo: Photo, probabilities: NDArray[np.float32], kind: str) -> None:
    """The five best guesses as bars."""
    top = captions.best(probabilities)
    names = [labels[index] for index in top]
    st.plotly_chart(
        image.guess_bars(names, probabilities[top], [captions.swatch(name) for name in names]),
        key=f"{kind}_{photo.sha256}",
        config=figure_config(f"{photo.name}-{kind}"),
        alt=captions.guesses_text(labels, probabilities),
    )


def own_classes(photo: Photo) -> None:
    """The guess in the classes of the workspace's images, where the network was trained on others."""
    workspace = current_workspace()
    gallery = workspace and workspace_gallery(workspace)
    if not workspace or not gallery or photo.truth in labels or not (head := workspace_head(workspace)):
        return
    features = activations(photo).maps["relu7"].reshape(1, -1)
    st.markdown(captions.own_classes_text(gallery.classes, np.exp(head.log_probabilities(features)[0])))


@st.fragment
def known_classes(photos: list[Photo], views: str) -> None:
    """Which classes the network knows, and what it gives each of them."""
    with st.expander(f"Which {len(classes)} classes does the network know?", icon=":material/search:"):
        query = st.text_input("Search the class names", key="class_query", placeholder="for instance: cat")
        table = captions.found_classes(classes, query, {photo.name: guesses(photo, views) for photo in photos})
        st.write(captions.search_answer(len(table), len(classes), query))
        bars = {
            photo.name: st.column_config.ProgressColumn(
                f"{photo.name}: probability", format="%.1f %%", min_value=0, max_value=100
            )
            for photo in photos
        }
        st.dataframe(
            table,
            key="class_table",
            hide_index=True,
            column_config=bars,
            alt="Table of classes, their other names and their probability for each photo.",
        )
        csv_button("Table as CSV", table, "classes", key="classes_csv")


def maps_section(photos: list[Photo]) -> None:
    """Every stage as a small picture, then one of them large with one of its units."""
    st.subheader("Maps of every stage, tower by tower", help=captions.MAPS_HELP)
    scaling = st.segmented_control(
        "Colour scale",
        (ONE_SCALE, OWN_SCALES),
        default=ONE_SCALE,
        required=True,
        key="scale",
        bind="query-params",
        help="One scale shows which units respond strongly; a scale of its own shows where weak units respond, too. "
        "Two photos share their scales.",
    )
    per_map = scaling == OWN_SCALES
    legend()
    reads = [activations(photo) for photo in photos]
    for place, photo, read in zip(st.columns(len(photos), gap="large"), photos, reads, strict=True):
        with place:
            heading(photo, photos)
            all_maps(photo, read, reads, per_map, columns=3 // len(photos))
    closer(photos, per_map)


def legend() -> None:
    """The colours of the maps."""
    for place, signed in zip(st.columns([2, 2, 3]), (False, True), strict=False):
        place.image(
            image.legend_png(signed=signed),
            caption=captions.legend_line(signed=signed),
            alt=captions.legend_alt(signed=signed),
        )


def all_maps(photo: Photo, read: Activations, reads: list[Activations], per_map: bool, columns: int) -> None:
    """Small pictures of all stages of one photo."""
    boards, row = {}, []
    for index, (stage, maps) in enumerate(read.maps.items()):
        scale = image.shared_scale([other.maps[stage] for other in reads])
        line = captions.stage_line(stage, maps, scale, per_map=per_map)
        boards[line] = stage_board(checkpoint.id, photo.sha256, stage, scale, per_map, False, maps, towers_of(stage))
        if index % columns == 0:
            row = st.columns(columns, gap="medium")
        row[index % columns].image(
            boards[line].png, caption=line, alt=captions.stage_alt(stage, maps, towers_of(stage)), width="stretch"
        )
    with st.container(horizontal=True):
        legends = {captions.legend_line(signed=signed): image.legend_png(signed=signed) for signed in (False, True)}
        sheet = partial(image.sheet_png, boards, legends)
        png_button("All maps as PNG", sheet, f"{photo.name}-maps", key=f"maps_png_{photo.sha256}")
        table = partial(unit_table, read, config.towers)
        csv_button("All units as CSV", table, f"{photo.name}-units", key=f"units_csv_{photo.sha256}")


@st.fragment
def closer(photos: list[Photo], per_map: bool) -> None:
    """One stage large, one of its units on the photo; a click redraws this part of the page only."""
    st.subheader("One stage, one unit")
    reads = [activations(photo) for photo in photos]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        stage = st.selectbox(
            "Stage",
            config.stages,
            index=config.stages.index("relu1"),
            key="stage",
            bind="query-params",
            on_change=keep_unit_in_range,
            args=(reads[0],),
            width=160,
            help=captions.STAGE_HELP,
        )
        last = len(reads[0].maps[stage]) - 1
        unit = int(
            st.number_input(
                f"Unit, 0 to {last}",
                0,
                last,
                key="unit",
                bind="query-params",
                width=160,
                help="Type a number, or click a map below.",
            )
        )
    st.caption(captions.stage_text(stage))
    scale = image.shared_scale([read.maps[stage] for read in reads])
    for place, photo, read in zip(st.columns(len(photos), gap="large"), photos, reads, strict=True):
        with place:
            heading(photo, photos)
            left, right = st.columns([3, 2], gap="medium") if len(photos) == 1 else (st.container(), st.container())
            with left:
                stage_maps(photo, read, stage, unit, scale, per_map)
            with right:
                unit_on_photo(photo, read, stage, unit)


def keep_unit_in_range(read: Activations) -> None:
    """Another stage may have fewer units."""
    st.session_state.unit = min(st.session_state.unit, len(read.maps[st.session_state.stage]) - 1)


def stage_maps(photo: Photo, read: Activations, stage: str, unit: int, scale: image.Scale, per_map: bool) -> None:
    """All maps of a stage, to click on."""
    maps, towers, key = read.maps[stage], towers_of(stage), f"board_{photo.sha256}"
    board = stage_board(checkpoint.id, photo.sha256, stage, scale, per_map, True, maps, towers)
    st.plotly_chart(
        image.board_figure(board, scale, maps.max((1, 2)), unit),
        key=key,
        on_select=partial(choose_clicked, key, len(maps), towers),
        selection_mode="points",
        config=figure_config(f"{photo.name}-{stage}"),
        alt=captions.stage_alt(stage, maps, towers),
    )


def choose_clicked(key: str, units: int, towers: int) -> None:
    """What was clicked becomes the chosen unit; clicking it again changes nothing."""
    if points := st.session_state[key].selection.points:
        point = points[0]
        st.session_state.unit = image.clicked_unit(point["curve_number"], point["point_index"], units, towers)


def unit_on_photo(photo: Photo, read: Activations, stage: str, unit: int) -> None:
    """One unit's map over the photo, and what there is to say about it."""
    maps, shown, name = read.maps[stage], picture(photo), f"{photo.name}-{stage}-unit-{unit}"
    places, field = strongest_positions(maps[unit]), receptive_field(config, stage)
    text = captions.unit_text(config, stage, unit, maps, places)
    if maps.shape[1:] != (1, 1):
        frame = frame_of(shown, preprocess)
        box = receptive_box(config, stage, places[0].row, places[0].column, frame) if places else None
        title = captions.unit_title(stage, unit, len(maps), config.towers)
        st.plotly_chart(
            image.unit_figure(shown, maps[unit], frame, field, places, box, title),
            key=f"unit_{photo.sha256}",
            config=figure_config(name),
            alt=text,
        )
    st.markdown(text)
    csv_button("Its responses as CSV", captions.map_table(maps[unit]), name, key=f"map_csv_{photo.sha256}")


def balance_section(photos: list[Photo]) -> None:
    """How every stage's energy is divided between the towers."""
    st.subheader("Which tower responds more?", help=captions.BALANCE_HELP)
    for place, photo in zip(st.columns(len(photos), gap="large"), photos, strict=True):
        with place:
            heading(photo, photos)
            balance, name = tower_balance(activations(photo), config.towers), f"{photo.name}-tower-balance"
            st.plotly_chart(
                image.balance_bars(balance),
                key=f"balance_{photo.sha256}",
                config=figure_config(name),
                alt=captions.balance_text(balance),
            )
            csv_button(
                "Balance as CSV", captions.balance_table({photo.name: balance}), name, key=f"balance_csv_{photo.sha256}"
            )


@st.fragment
def evidence_section(photos: list[Photo]) -> None:
    """Grad-CAM for any class."""
    st.subheader("What speaks for a class?", help=captions.EVIDENCE_HELP)
    wanted = st.selectbox(
        "Class",
        (BEST_GUESS, *labels),
        key="class",
        bind="query-params",
        width=320,
        help="Open the list and type to search the class names.",
    )
    for place, photo in zip(st.columns(len(photos), gap="large"), photos, strict=True):
        with place:
            heading(photo, photos)
            best = captions.best(activations(photo).probabilities, 1)
            evidence_on_photo(photo, int(best[0]) if wanted == BEST_GUESS else labels.index(wanted))


def evidence_on_photo(photo: Photo, target: int) -> None:
    """Grad-CAM of one class over one photo."""
    read, shown, name = activations(photo), picture(photo), f"{photo.name}-evidence-{labels[target]}"
    found = evidence_of(checkpoint.id, photo.sha256, target, checkpoint, read)
    title = captions.evidence_title(labels[target], float(read.probabilities[target]), found)
    st.plotly_chart(
        image.evidence_figure(shown, found, frame_of(shown, preprocess), receptive_field(config, LAST_MAPS), title),
        key=f"evidence_{photo.sha256}",
        config=figure_config(name),
        alt=f"{title}, as a map over {photo.name}.",
    )
    csv_button("Evidence as CSV", captions.map_table(found), name, key=f"evidence_csv_{photo.sha256}")


@st.fragment
def colour_section(photos: list[Photo]) -> None:
    """The photo in grey and with turned hues beside it."""
    st.subheader("Which tower cares about colour?", help=captions.COLOUR_HELP)
    degrees = st.slider(
        "Turn hues by",
        15,
        345,
        180,
        15,
        format="%d°",
        key="hue",
        bind="query-params",
        width=320,
        help="180° gives every colour its opposite. Brightness stays as it is.",
    )
    for photo in photos:
        heading(photo, photos)
        one_photo_recoloured(photo, degrees)


def one_photo_recoloured(photo: Photo, degrees: int) -> None:
    """Top-5 and towers of one photo in its own colours, in grey and with turned hues."""
    kinds = {"Original": ("original", 0), "Grey": ("grey", 0), f"Hues +{degrees}°": ("rotated", degrees)}
    reads = {name: activations(photo, *kind) for name, kind in kinds.items()}
    for place, (name, kind) in zip(st.columns(3, gap="large"), kinds.items(), strict=True):
        with place:
            st.image(
                input_png(recoloured(picture(photo).stored, *kind), preprocess),
                caption=name,
                alt=f"{photo.name}, {name}",
                width=190,
            )
            guess_chart(photo, reads[name].probabilities, f"{kind[0]}-guesses")
    tower_comparison(photo, reads, degrees)


def tower_comparison(photo: Photo, reads: dict[str, Activations], degrees: int) -> None:
    """How the towers share the energy in each colouring, and how much each of them changes."""
    original, grey, turned = reads.values()
    shares = {name: tower_balance(read, config.towers) for name, read in reads.items()}
    without, hues = (tower_change(original, read, config.towers) for read in (grey, turned))
    changes = dict(zip(list(reads)[1:], (without, hues), strict=True))
    st.markdown(captions.colour_text(without, hues, config.layer1[-1]))
    left, *others = st.columns(3, gap="large")
    with left:
        st.plotly_chart(
            image.share_lines(shares),
            key=f"shares_{photo.sha256}",
            config=figure_config(f"{photo.name}-colour-balance"),
            alt="Tower A's share of activation energy at every stage, for each colouring.",
        )
    top = image.highest(changes.values())
    for place, (name, change) in zip(others, changes.items(), strict=True):
        with place:
            st.plotly_chart(
                image.change_lines(change, top, f"{name}: change of each tower"),
                key=f"change_{name[:4]}_{photo.sha256}",
                config=figure_config(f"{photo.name}-{name}-change"),
                alt=f"How much the responses of each tower change at every stage: {name}.",
            )
    table = captions.comparison_table(shares, changes)
    csv_button("Comparison as CSV", table, f"{photo.name}-colour", key=f"colour_csv_{photo.sha256}")


st.title("Inspect a photo")
st.markdown(captions.INTRO)
st.caption(captions.CAVEAT)
chosen = photo_picker(checkpoint)
guess_section(chosen)
maps_section(chosen)
left, right = st.columns(2, gap="large") if len(chosen) == 1 else (st.container(), st.container())
with left:
    balance_section(chosen)
with right:
    evidence_section(chosen)
colour_section(chosen)
