"""Widgets that several pages use."""

import re
from collections.abc import Callable, Collection
from itertools import chain, count
from typing import Any

import pandas as pd
import streamlit as st

from alexnet_core import Checkpoint, CheckpointError, list_checkpoints
from alexnet_core.images import READERS, ImageError
from viz_app.figures.captions import escaped
from viz_app.figures.theme import PLOT_CONFIG
from viz_app.resources import checkpoint_named, picture_of
from viz_app.samples import sample, sample_names
from viz_app.uploads import Photo, photo

NO_PHOTO = "None"
SHOT_NAME = "Camera shot"
UPLOAD_LIMIT = 20  # megabytes


def checkpoint_picker() -> None:
    """Choice of the checkpoint, kept in the URL; stops the page with one sentence if it cannot be loaded."""
    names = list_checkpoints()
    if not names:
        st.error(
            "No checkpoint was found. Train one with `python -m alexnet_core.train` and store it with "
            "`python -m alexnet_core.export`."
        )
        st.stop()
    name = st.selectbox(
        "Checkpoint",
        names,
        key="checkpoint",
        bind="query-params",
        help="A trained network. Those that ship with the code come first, then your own.",
    )
    try:
        card = checkpoint_named(name).card
    except CheckpointError as error:
        st.error(f"This checkpoint cannot be used. {error}")
        st.stop()
    metrics = card.get("metrics", {}).get("as_stored")
    if metrics:
        st.caption(f"Top-1 {metrics['top1']:.1%}, top-5 {metrics['top5']:.1%} on {metrics['n']:,} validation images.")


def photo_picker(checkpoint: Checkpoint) -> list[Photo]:
    """One photo or two: a sample, an upload or a shot; own photos stay for the session, on every page."""
    own: dict[str, Photo] = st.session_state.setdefault("own_photos", {})
    names = (*sample_names(), *own)
    choice, upload = st.columns(2, gap="large")
    with upload:
        _uploader(checkpoint)
    with choice:
        first = st.selectbox("Photo", names, key="photo", bind="query-params", help="Samples, then your own photos.")
        second = st.selectbox("Second photo, side by side", (NO_PHOTO, *names), key="second", bind="query-params")
        if st.toggle("Use the camera", key="camera_on"):
            st.camera_input("Take a photo", key="shot", on_change=_take_shot, args=(checkpoint,))
    chosen = [own[name] if name in own else sample(name) for name in (first, second) if name in names]
    if not chosen:
        st.info("Upload a photo to begin: this installation has no sample photos.")
        st.stop()
    return list({taken.sha256: taken for taken in chosen}.values())  # the same photo twice is one photo


def _uploader(checkpoint: Checkpoint) -> None:
    st.file_uploader(
        "Your own photos",
        accept_multiple_files=True,
        key="upload",
        on_change=_take_uploads,
        args=(checkpoint,),
        max_upload_size=UPLOAD_LIMIT,
        help=f"{', '.join(READERS)}; the kind is read from the content, not from the name. Of an animation the first "
        "picture is used. The photo stays on the machine that runs this app and is forgotten with the session.",
    )
    if st.session_state.upload or st.session_state.get("shot"):  # both are empty after a visit to another page
        for problem in st.session_state.get("photo_problems", []):
            st.error(problem, icon=":material/broken_image:")


def _take_uploads(checkpoint: Checkpoint) -> None:
    """What was just uploaded becomes the photo on show, two files the pair; what of it cannot be used is said."""
    state = st.session_state
    own = {name: shot for name, shot in state.own_photos.items() if name == SHOT_NAME}
    seen, fresh, problems = state.get("seen_uploads", frozenset()), [], []
    for file in state.upload:
        name, new = _free_name(file.name, own), file.file_id not in seen
        try:
            own[name] = _readable(name, file.getvalue(), checkpoint)
        except ImageError as error:
            problems += [f"{escaped(file.name)}: {escaped(str(error))}"] if new else []
        else:
            fresh += [name] if new else []
    state.own_photos, state.photo_problems = own, problems
    state.seen_uploads = frozenset(file.file_id for file in state.upload)
    for key, name in zip(("photo", "second"), fresh, strict=False):
        state[key] = name


def _take_shot(checkpoint: Checkpoint) -> None:
    """The camera's picture becomes the photo on show."""
    state = st.session_state
    if state.shot is None:
        return
    try:
        shot = _readable(SHOT_NAME, state.shot.getvalue(), checkpoint)
    except ImageError as error:
        state.photo_problems = [f"{SHOT_NAME}: {escaped(str(error))}"]
    else:
        state.own_photos, state.photo_problems, state.photo = state.own_photos | {SHOT_NAME: shot}, [], SHOT_NAME


def _readable(name: str, data: bytes, checkpoint: Checkpoint) -> Photo:
    """A photo that can be shown. Raises ``ImageError`` with one plain sentence otherwise."""
    new = photo(name, data)
    picture_of(new.sha256, checkpoint.preprocess.source_size, new)
    return new


def _free_name(wanted: str, taken: Collection[str]) -> str:
    """The file's name, numbered where a sample or another photo has it already."""
    names = chain([wanted], (f"{wanted} ({number})" for number in count(2)))
    return next(name for name in names if name not in (*taken, *sample_names(), NO_PHOTO, SHOT_NAME))


def figure_config(name: str) -> dict[str, Any]:
    """Plotly settings: one button over the figure, which saves it as a PNG of this name."""
    image = PLOT_CONFIG["toImageButtonOptions"] | {"filename": _file_stem(name)}
    return PLOT_CONFIG | {"toImageButtonOptions": image, "modeBarButtons": [["toImage"]]}


def csv_button(label: str, table: pd.DataFrame | Callable[[], pd.DataFrame], name: str, key: str) -> None:
    """Hand the numbers over; nothing is computed before the click."""
    st.download_button(
        label,
        lambda: (table if isinstance(table, pd.DataFrame) else table()).to_csv(index=False).encode(),
        f"{_file_stem(name)}.csv",
        "text/csv",
        key=key,
        type="tertiary",
        icon=":material/download:",
        on_click="ignore",
    )


def png_button(label: str, picture: bytes | Callable[[], bytes], name: str, key: str) -> None:
    """Hand a picture over; nothing is drawn before the click."""
    st.download_button(
        label,
        lambda: picture if isinstance(picture, bytes) else picture(),
        f"{_file_stem(name)}.png",
        "image/png",
        key=key,
        type="tertiary",
        icon=":material/download:",
        on_click="ignore",
    )


def _file_stem(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name).strip("-")
