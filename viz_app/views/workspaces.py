"""Page: the workspaces, what each of them holds, and how to make one's own."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import streamlit as st

from alexnet_core import list_checkpoints
from alexnet_core.paths import data_home
from analysis.workspace import (
    State,
    Workspace,
    WorkspaceError,
    list_workspaces,
    manifest_of,
    remove_workspace,
    state_of,
    verify_workspace,
)
from analysis.workspace.building import own_images
from analysis.workspace.registry import workspace_folder
from viz_app import builds, folders
from viz_app.figures import captions
from viz_app.inputs import UPLOAD_LIMIT, build_failure, build_progress, images_ready, release
from viz_app.resources import contact_sheet, current_workspace, looked_through, sizes_at, workspace_gallery

SHEET = 24  # images on the contact sheet
THUMBNAIL = 125  # pixels: six abreast on a small screen, eight on a large one

INTRO = (
    "A workspace is one network, one set of labelled images, and everything that was computed from the two. Choose one "
    "in the sidebar; all pages follow."
)
HOW_TO_MAKE = (
    "Choose a folder whose subfolders are the classes: `photos/cats/…`, `photos/dogs/…`. Each class needs at least "
    f"{folders.FEWEST} pictures. Where the network was trained on other classes, a linear classifier on its last "
    "hidden layer learns yours. The pictures stay on the machine that runs this app."
)


def contact(workspace: Workspace) -> None:
    """Some images of a workspace with what they show; each leads to Inspect."""
    st.subheader(captions.escaped(workspace.title))
    if not (gallery := workspace_gallery(workspace)):
        st.caption("Its images are not on this machine; below it says how to get them.")
        return
    rows = gallery.of_all_classes(SHEET)
    st.caption(f"{len(rows)} of its {len(gallery.labels):,} images. A name opens its image in Inspect.")
    with st.container(horizontal=True, gap="xsmall"):
        for row, picture in zip(rows, contact_sheet(gallery.key, tuple(rows), gallery), strict=True):
            with st.container(width=THUMBNAIL + 4, gap=None):
                st.image(picture, width=THUMBNAIL, alt=f"Image {row}: {gallery.label(row)}")
                st.page_link(
                    "views/image.py",
                    label=f":small[{captions.with_swatch(gallery.label(row))}]",
                    query_params={"workspace": workspace.name, "image": str(row)},
                    width=THUMBNAIL + 4,
                )


def card(workspace: Workspace, *, current: bool) -> None:
    """One workspace: what it is made of, what there is of it, and what can be done with it."""
    state, name = state_of(workspace), workspace.name
    gallery = workspace_gallery(workspace)
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{captions.escaped(name)}**", width="content")
            word, colour = captions.state_word(state, failed=bool(builds.last_error(name)))
            st.badge(word, color=colour)
            if current:
                st.badge("chosen", icon=":material/check:", color="violet")
        st.markdown(
            captions.images_line(workspace.title, gallery and len(gallery.labels), gallery and len(gallery.classes))
        )
        st.caption(f"Network: {captions.escaped(workspace.checkpoint)}. {captions.artefacts_line(state)}")
        if manifest := manifest_of(workspace):
            st.caption(captions.build_facts(manifest, (workspace.folder / "manifest.json").stat().st_mtime))
        if gallery and (left_out := gallery.left_out):
            with st.expander(captions.left_out_title(len(left_out))):
                st.markdown("\n".join(f"- {captions.escaped(f'{path}: {why}')}" for path, why in left_out))
        if builds.progress_of(name):
            build_progress(name)
            return
        if images_ready(workspace):
            build_failure(name)
        if state.problem:
            st.warning(captions.escaped(state.problem))
        actions(workspace, state, current=current)


def actions(workspace: Workspace, state: State, *, current: bool) -> None:
    """The buttons of a workspace that is not being built."""
    name = workspace.name
    with st.container(horizontal=True):
        if not current:
            st.button("Choose", key=f"choose_{name}", on_click=choose, args=(name,))
        if state.images and not state.fresh:
            label = "Try again" if builds.last_error(name) else "Rebuild" if captions.is_stale(state) else "Build"
            st.button(label, key=f"build_{name}", type="primary", on_click=builds.start, args=(name,))
        checked = bool(state.bytes) and st.button(
            "Verify",
            key=f"verify_{name}",
            help="Compare every byte with the checksums that were taken when it was built.",
        )
        if state.bytes or not workspace.built_in:
            removal(workspace, state)
    if checked:
        verify(name)
    if problem := st.session_state.pop(f"problem_{name}", ""):
        st.error(captions.escaped(problem))


def verify(name: str) -> None:
    """Say what a check of all checksums finds."""
    with st.spinner("Comparing every byte …"):
        problems = verify_workspace(name)
    for problem in problems:
        st.error(captions.escaped(problem))
    if not problems:
        st.success("Every file is as it was built.", icon=":material/verified:")


def removal(workspace: Workspace, state: State) -> None:
    """The button that deletes, behind a question."""
    name, images = workspace.name, own_images(workspace)
    freed = state.bytes + (sizes_at(str(images.parent))[images.name] if images else 0)
    with st.popover("Remove", key=f"remove_{name}"):
        st.markdown(captions.removal_text(name, freed, images=images is not None, entry=not workspace.built_in))
        st.button("Yes, remove it", key=f"removal_{name}", type="primary", on_click=remove, args=(name,))


def choose(name: str) -> None:
    """All pages show this workspace from now on."""
    st.session_state.workspace = name


def remove(name: str) -> None:
    """Delete; a workspace that is gone cannot stay chosen."""
    try:
        freed = remove_workspace(name)
    except WorkspaceError as error:
        st.session_state[f"problem_{name}"] = str(error)
    else:
        st.toast(f"{captions.megabytes(freed)} freed.", icon=":material/delete:")


def make_your_own() -> None:
    """From a folder in the browser to a workspace."""
    st.subheader("Make your own")
    st.markdown(HOW_TO_MAKE)
    if (place := st.session_state.get("folder")) and Path(place).exists():
        naming(Path(place))
    else:
        folder_uploader()
    st.caption("The same as a command, for folders of any size:")
    st.code("python -m analysis.workspace build my-photos --from PATH --checkpoint tiny-imagenet-127", language="bash")


def folder_uploader() -> None:
    """Take a folder to disk, and out of memory again."""
    number = st.session_state.setdefault("folders_taken", 0)
    files = st.file_uploader(
        "A folder of photos",
        accept_multiple_files="directory",
        key=f"folder_{number}",
        max_upload_size=UPLOAD_LIMIT,
        help="PNG, JPEG, WebP, GIF, BMP and TIFF; files of other kinds are left out and named.",
    )
    if files:
        with st.spinner(f"Looking through {len(files)} files …"):
            place = folders.keep((file.name, file.getvalue()) for file in files)
            release(files)
            st.session_state.folder = str(place)
        st.session_state.folders_taken += 1  # an uploader of another key is empty
        st.rerun()


def naming(place: Path) -> None:
    """What the folder holds; a name and a network for it; go."""
    found = looked_through(str(place))
    st.markdown(captions.folder_line(found.classes, found.bytes))
    if found.left_out:
        with st.expander(captions.left_out_title(len(found.left_out))):
            st.markdown("\n".join(f"- {captions.escaped(line)}" for line in found.left_out))
    if found.problem:
        st.error(captions.escaped(found.problem), icon=":material/folder_off:")
    else:
        with st.form("make", border=False):
            st.text_input("Name", key="new_name", placeholder="my-photos", help="Letters, digits, “-”, “_” and “.”")
            st.selectbox("Network", list_checkpoints(), key="new_checkpoint")
            st.form_submit_button("Build", type="primary", on_click=make, args=(place,))
    if problem := st.session_state.pop("make_problem", ""):
        st.error(captions.escaped(problem))
    st.button("Take another folder", key="another_folder", on_click=give_up, args=(place,))


def make(place: Path) -> None:
    """Build the workspace in the background and choose it as soon as it is there."""
    state = st.session_state
    try:
        taken = workspace_folder(state.new_name).exists()
    except WorkspaceError as error:
        state.make_problem = str(error)
        return
    if taken:
        state.make_problem = f"There is a workspace called {state.new_name} already; choose another name."
        return
    options = ("--from", str(place), "--checkpoint", state.new_checkpoint)
    builds.start(state.new_name, *options, afterwards=partial(folders.forget, place))
    state.making = state.new_name
    del state.folder


def give_up(place: Path) -> None:
    """Delete the folder that was handed over."""
    folders.forget(place)
    del st.session_state.folder


def being_made(known: Sequence[str]) -> None:
    """Builds of workspaces that are not in the list yet."""
    for name in builds.names():
        if name not in known and builds.progress_of(name):
            with st.container(border=True):
                st.markdown(f"**{captions.escaped(name)}**")
                build_progress(name)
        elif name not in known and builds.last_error(name):
            build_failure(name)
            st.button("Try again", key=f"retry_{name}", on_click=builds.start, args=(name,))


def where() -> None:
    """Where everything lies, how much it is, how to move it."""
    st.subheader("Where it is kept")
    st.code(str(data_home()), language=None)
    st.caption(captions.sizes_line(sizes_at(str(data_home()))))
    st.markdown(
        "Set the environment variable `ALEXNET_HOME` to another folder before the app starts, or pass `--home DIR` to "
        "the commands, to keep it elsewhere; what is there already may be moved as it is."
    )


st.title("Workspaces")
st.markdown(INTRO)
chosen = current_workspace()
if chosen:
    contact(chosen)
st.subheader("All workspaces")
workspaces = list_workspaces()
for workspace in workspaces:
    card(workspace, current=chosen is not None and workspace.name == chosen.name)
being_made([workspace.name for workspace in workspaces])
make_your_own()
where()
