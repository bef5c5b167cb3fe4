"""Widgets that several pages use."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import chain, count
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile

from alexnet_core import Checkpoint, CheckpointError
from alexnet_core.images import READERS, ImageError
from analysis.workspace import Workspace, WorkspaceError, state_of
from viz_app import builds
from viz_app.figures import captions
from viz_app.figures.captions import escaped
from viz_app.figures.theme import PLOT_CONFIG
from viz_app.resources import (
    current_checkpoint,
    current_workspace,
    picture_of,
    workspace_choices,
    workspace_gallery,
    workspace_store,
)
from viz_app.samples import Gallery, sample, sample_names
from viz_app.uploads import Photo, photo

BUILT_UNASKED = "prism"  # renders its own images
FETCH_LABELS = {"tiny-imagenet": "Fetch Tiny ImageNet (about 240 MB) and build"}
GALLERY_ROWS = 12  # images of a workspace in the list of photos
NO_PHOTO = "None"
SHOT_NAME = "Camera shot"
UPLOAD_LIMIT = 20  # megabytes


def workspace_picker() -> None:
    """Choice of the workspace, kept in the URL; stops the page with one sentence if it cannot be opened."""
    try:
        choices = workspace_choices()
        _choose_what_was_made(choices)
        st.selectbox(
            "Workspace",
            choices,
            key="workspace",
            bind="query-params",
            help="A trained network with a set of labelled images. Those that come with the code are listed first, "
            "then your own, then networks of yours without images.",
        )
        card = current_checkpoint().card
    except (CheckpointError, WorkspaceError) as error:
        st.error(f"This workspace cannot be used. {escaped(str(error))}")
        st.stop()
    st.caption(captions.checkpoint_line(card))
    if workspace := current_workspace():
        _workspace_lines(workspace)


def _choose_what_was_made(choices: Collection[str]) -> None:
    """A workspace that this visitor had built is chosen when the build has ended well."""
    state = st.session_state
    made = state.get("making")
    if made is None or builds.is_running(made):
        return
    del state.making
    if made in choices and not builds.last_error(made):
        state.workspace = made
        st.toast(f"“{made}” is built and chosen.", icon=":material/check:")


def _workspace_lines(workspace: Workspace) -> None:
    """The images and the state of a workspace; one that needs neither network nor consent is built unasked."""
    gallery = workspace_gallery(workspace)
    state = state_of(workspace)
    if workspace.name == BUILT_UNASKED:
        builds.start_once(workspace.name, needed=not state.fresh)
    st.caption(captions.images_line(workspace.title, gallery and len(gallery.labels), gallery and len(gallery.classes)))
    if builds.progress_of(workspace.name):
        build_progress(workspace.name)
    else:
        word, colour = captions.state_word(state, failed=bool(builds.last_error(workspace.name)))
        st.badge(word, color=colour)


def images_ready(workspace: Workspace) -> bool:
    """Whether the images of a workspace are there; else how to get them is shown."""
    if workspace_store(workspace) is not None:
        return True
    if builds.progress_of(workspace.name):
        build_progress(workspace.name)
    else:
        fetch_offer(workspace)
    return False


@st.fragment(run_every=1.0)
def build_progress(name: str) -> None:
    """The bar of a build, drawn anew each second; when it ends, the whole page is."""
    progress = builds.progress_of(name)
    if progress is None:
        st.rerun()
    share = progress.done / progress.total if progress.total else 0.0
    st.progress(min(share, 1.0), captions.progress_text(progress))


def fetch_offer(workspace: Workspace) -> None:
    """Say that the images are not there, with the one button and the command that fetch them."""
    st.info(
        f"The images of “{escaped(workspace.title)}” are not on this machine, and nothing is downloaded "
        "unasked. What needs the network alone works without them.",
        icon=":material/cloud_download:",
    )
    build_failure(workspace.name)
    label = FETCH_LABELS.get(workspace.name, "Read the images and build")
    st.button(label, key=f"fetch_{workspace.name}", type="primary", on_click=builds.start, args=(workspace.name,))
    st.caption("The same as a command:")
    st.code(f"python -m analysis.workspace build {workspace.name}", language="bash")


def offer_build(workspace: Workspace, problem: str) -> None:
    """Say what is not built, with the button that builds it; while that is under way, how far it is."""
    if builds.progress_of(workspace.name):
        build_progress(workspace.name)
        return
    build_failure(workspace.name)
    st.info(escaped(problem), icon=":material/construction:")
    st.button("Build", key="build_missing", type="primary", on_click=builds.start, args=(workspace.name,))


def build_failure(name: str) -> None:
    """Why the last build failed, if it did."""
    if error := builds.last_error(name):
        st.error(f"The build failed. {escaped(error)}", icon=":material/error:")


def photo_picker(checkpoint: Checkpoint) -> list[Photo]:
    """One photo or two: of the workspace, a sample, an upload or a shot; own photos stay for the session."""
    own, workspace = own_photos(), current_workspace()
    gallery = workspace_gallery(workspace) if workspace else None
    rows = _rows_to_choose(gallery) if gallery else {}
    names = (*rows, *sample_names(), *own)
    choice, upload = st.columns(2, gap="large")
    with upload:
        photo_uploader(checkpoint, _choose_pair)
    with choice:
        first = st.selectbox(
            "Photo",
            names,
            key="photo",
            bind="query-params",
            help="Images of the workspace with their number and what they show, then samples, then your own photos.",
        )
        second = st.selectbox("Second photo, side by side", (NO_PHOTO, *names), key="second", bind="query-params")
        with st.container(horizontal=True, vertical_alignment="center"):
            if gallery:
                st.button(
                    "Another image",
                    key="another",
                    icon=":material/shuffle:",
                    on_click=_choose_another,
                    args=(gallery,),
                    help=f"One of the workspace's {len(gallery.labels):,} images, drawn at random.",
                )
            camera = st.toggle("Use the camera", key="camera_on")
        if camera:
            st.camera_input("Take a photo", key="shot", on_change=_take_shot, args=(checkpoint,))
    if "image" in st.query_params and not (gallery and first == _name_of(gallery, st.query_params["image"])):
        del st.query_params["image"]  # another photo was chosen
    if not names:
        st.info("Upload a photo to begin: this installation has no sample photos.")
        st.stop()
    chosen = [_photo_named(name, own, rows, gallery) for name in (first, second) if name in names]
    return list({taken.sha256: taken for taken in chosen}.values())  # the same photo twice is one photo


def own_photos() -> dict[str, Photo]:
    """What this visitor has uploaded or taken, by name; forgotten with the session."""
    found: dict[str, Photo] = st.session_state.setdefault("own_photos", {})
    return found


def _rows_to_choose(gallery: Gallery) -> dict[str, int]:
    """Images of the gallery by name: a dozen, and those that a link or a click asked for."""
    state, asked = st.session_state, st.query_params.get("image", "")
    if (row := gallery.row(asked)) is not None and state.get("asked") != (gallery.key, asked):
        state.photo = gallery.name(row)
    state.asked = (gallery.key, asked)  # once: then the visitor chooses
    wanted = [str(place.get(key, "")) for key in ("photo", "second") for place in (state, st.query_params)]
    opened = [row for row in map(gallery.row, wanted) if row is not None]
    return {gallery.name(row): row for row in dict.fromkeys((*gallery.spread(GALLERY_ROWS), *opened))}


def _name_of(gallery: Gallery, number: str) -> str | None:
    row = gallery.row(number)
    return None if row is None else gallery.name(row)


def _choose_another(gallery: Gallery) -> None:
    """An image drawn from the gallery becomes the photo on show."""
    st.session_state.photo = gallery.name(int(np.random.default_rng().integers(len(gallery.labels))))


def _photo_named(name: str, own: Mapping[str, Photo], rows: Mapping[str, int], gallery: Gallery | None) -> Photo:
    if name in own:
        return own[name]
    return gallery.photo(rows[name]) if gallery and name in rows else sample(name)


def photo_uploader(checkpoint: Checkpoint, show: Callable[[list[str]], None]) -> None:
    """Upload of own photos; the names of those that just came are handed to `show` before the page is drawn anew."""
    st.file_uploader(
        "Your own photos",
        accept_multiple_files=True,
        key="upload",
        on_change=_take_uploads,
        args=(checkpoint, show),
        max_upload_size=UPLOAD_LIMIT,
        help=f"{', '.join(READERS)}; the kind is read from the content, not from the name. Of an animation the first "
        "picture is used. The photo stays on the machine that runs this app and is forgotten with the session.",
    )
    if st.session_state.upload or st.session_state.get("shot"):  # both are empty after a visit to another page
        for problem in st.session_state.get("photo_problems", []):
            st.error(problem, icon=":material/broken_image:")


def _take_uploads(checkpoint: Checkpoint, show: Callable[[list[str]], None]) -> None:
    """Keep what was just uploaded; what of it cannot be used is said."""
    state = st.session_state
    own = {name: shot for name, shot in own_photos().items() if name == SHOT_NAME}
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
    if fresh:
        show(fresh)


def _choose_pair(names: Sequence[str]) -> None:
    """A photo that was just uploaded becomes the one on show, two the pair."""
    for key, name in zip(("photo", "second"), names, strict=False):
        st.session_state[key] = name


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


def release(files: Sequence[UploadedFile]) -> None:
    """Give back the memory of uploads that were dealt with; Streamlit would keep them for the session."""
    context = get_script_run_ctx()
    if context and isinstance(context.uploaded_file_mgr, MemoryUploadedFileManager):
        for file in files:
            context.uploaded_file_mgr.remove_file(context.session_id, file.file_id)


def csv_button(label: str, table: pd.DataFrame | Callable[[], pd.DataFrame], name: str, key: str) -> None:
    """Hand the numbers over; nothing is computed before the click."""

    def csv() -> bytes:
        rows = table if isinstance(table, pd.DataFrame) else table()
        text: str = rows.to_csv(index=False)
        return text.encode()

    file_button(label, csv, f"{name}.csv", "text/csv", key)


def png_button(label: str, picture: bytes | Callable[[], bytes], name: str, key: str) -> None:
    """Hand a picture over; nothing is drawn before the click."""
    file_button(label, lambda: picture if isinstance(picture, bytes) else picture(), f"{name}.png", "image/png", key)


def file_button(label: str, make: Callable[[], bytes], name: str, mime: str, key: str) -> None:
    """Hand a file over; it is made at the click."""
    stem, dot, ending = name.rpartition(".")
    st.download_button(
        label,
        make,
        f"{_file_stem(stem)}{dot}{ending}",
        mime,
        key=key,
        type="tertiary",
        icon=":material/download:",
        on_click="ignore",
    )


def _file_stem(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name).strip("-")
