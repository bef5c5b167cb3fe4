"""What is asked about: an image of the gallery, a sample, one's own photo, or a part of one of them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from streamlit.delta_generator import DeltaGenerator

from analysis.retrieval.spaces import Space, query_features
from viz_app.figures.captions import escaped, with_swatch
from viz_app.inputs import own_photos, photo_uploader
from viz_app.resources import activations_of, gallery_photo, part_of, picture_of, space_of
from viz_app.retrieval import crop
from viz_app.retrieval.state import IMAGE, Step, ask_part, current_trail, go_back, walk
from viz_app.retrieval.subject import Subject
from viz_app.samples import sample, sample_names
from viz_app.uploads import Photo

PICTURE = 129  # pixels across on the page
FRAMING_HELP = "Draw a box on the photo: that part alone becomes the query."


class Query(NamedTuple):
    """What neighbours are looked for."""

    photo: Photo  # what the network reads; for a part, that part as a photo of its own
    row: int | None = None  # of the gallery image that it is, or is a part of
    is_part: bool = False
    label: int | None = None  # its class, where one of the gallery's is known

    @property
    def key(self) -> str:
        """For caches."""
        return f"{self.photo.sha256}{'' if self.row is None or self.is_part else f' {self.row}'}"

    @property
    def without(self) -> tuple[int, ...]:
        """Rows that are not to be found: the image itself."""
        return () if self.row is None else (self.row,)


def choose_query(subject: Subject) -> Query | None:
    """The trail, the widgets that ask about something else, and the query: the last step of the trail."""
    trail = current_trail(subject.gallery.key, Step(str(subject.gallery.spread(1)[0])))
    with st.container(key="shown_images"):  # where a click into a grid leads
        breadcrumbs(subject, trail)
    widgets(subject, trail[-1])
    try:
        return query_of(subject, trail[-1])
    except ValueError as error:
        st.warning(escaped(str(error)), icon=":material/broken_image:")
        return None


def breadcrumbs(subject: Subject, trail: Sequence[Step]) -> None:
    """What was asked about before, each a way back, then the query."""
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        for place, step in enumerate(trail[:-1]):
            st.button(
                escaped(title(subject, step)),
                key=f"trail_{place}",
                type="tertiary",
                on_click=go_back,
                args=(place,),
            )
            st.markdown("›", width="content")
        st.markdown(f"**{escaped(title(subject, trail[-1]))}**", width="content")


def title(subject: Subject, step: Step) -> str:
    """What a step is called."""
    row = subject.gallery.row(step.name)
    name = step.name if row is None else subject.gallery.name(row)
    return f"{name} (part)" if step.box else name


def widgets(subject: Subject, step: Step) -> None:
    """The ways to ask about something else."""
    photos, state = (*sample_names(), *own_photos()), st.session_state
    state[IMAGE] = subject.gallery.row(step.name)
    state.asked_photo = step.name if step.name in photos else None
    with st.container(horizontal=True, vertical_alignment="bottom"):
        last = len(subject.gallery.labels) - 1
        st.number_input(
            f"Image, 0 to {last:,}",
            0,
            last,
            None,
            key=IMAGE,
            placeholder="None",
            width=165,
            on_change=_walk_to_chosen,
            args=(IMAGE,),
        )
        st.button(
            "Another",
            key="asked_at_random",
            icon=":material/shuffle:",
            help=f"One of the {last + 1:,} images, drawn at random.",
            on_click=_walk_at_random,
            args=(last + 1,),
        )
        st.selectbox(
            "Or a photo",
            photos,
            None,
            key="asked_photo",
            placeholder="Samples and your own",
            width=220,
            on_change=_walk_to_chosen,
            args=("asked_photo",),
        )
        with st.popover("Upload", icon=":material/upload:"):
            photo_uploader(subject.checkpoint, _walk_to_first)
        st.toggle("Frame a part", key="framing", persist_state="session", help=FRAMING_HELP)


def _walk_to_chosen(key: str) -> None:
    if (chosen := st.session_state[key]) is not None:
        walk(chosen)


def _walk_at_random(images: int) -> None:
    walk(int(np.random.default_rng().integers(images)))


def _walk_to_first(names: Sequence[str]) -> None:
    walk(names[0])


def query_of(subject: Subject, step: Step) -> Query:
    """What a step asks about. Raises ``ValueError``, one sentence, where there is no such photo, or no such part."""
    photo, row = whole(subject, step)
    label = subject.names.index(photo.truth) if photo.truth in subject.names else None
    part = part_of(photo.sha256, step.box, photo) if step.box else photo
    return Query(part, row, step.box is not None, label)


def whole(subject: Subject, step: Step) -> tuple[Photo, int | None]:
    """The photo that a step is about, or about a part of, and its row where it is one of the gallery."""
    if step.name in (own := own_photos()):
        return own[step.name], None
    if (row := subject.gallery.row(step.name)) is not None:
        return gallery_photo(subject.gallery.key, row, subject.gallery), row
    if step.name in sample_names():
        return sample(step.name), None
    if step.name.isdecimal():
        raise ValueError(f"There is no image {step.name}: this workspace has {len(subject.gallery.labels):,}.")
    raise ValueError(
        f"The photo “{step.name}” is not here: own photos are forgotten with the session. Upload it again."
    )


def vector(subject: Subject, query: Query, space: Space) -> NDArray[np.float32]:
    """The features (d,) of the query in a space."""
    if query.row is not None and not query.is_part:
        own: NDArray[np.float32] = (
            space_of(subject.workspace, space).features_[query.row : query.row + 1][0].astype(np.float32)
        )
        return own
    checkpoint, photo = subject.checkpoint, query.photo
    return query_features(activations_of(checkpoint.id, photo.sha256, "original", 0, checkpoint, photo), space)


def query_columns() -> list[DeltaGenerator]:
    """A place for the query, wider where a part of it is framed, and one for what is found."""
    return st.columns([2, 3] if st.session_state.framing else [1, 5.2], gap="small")


def show_query(subject: Subject, query: Query) -> None:
    """The query as a picture, or to frame a part of it, and what it shows."""
    step: Step = st.session_state.trail[-1]
    if st.session_state.framing:
        crop.choose(whole(subject, step)[0], step.box, ask_part)
    else:
        shown = picture_of(query.photo.sha256, subject.checkpoint.preprocess.source_size, query.photo)
        st.image(shown.shown, width=PICTURE, alt=f"The query, {query.photo.name}.")
    st.markdown(query_text(subject, query))
    if query.row is not None:
        st.page_link(
            "views/image.py",
            label="Inspect",
            icon=":material/image_search:",
            query_params={"workspace": subject.workspace.name, "image": str(query.row)},
        )


def query_text(subject: Subject, query: Query) -> str:
    """Which image it is, what it shows, and whose photo it is."""
    start = escaped(query.photo.name) if query.row is None or query.is_part else f"Image {query.row:,}"
    shows = "" if query.label is None else f": **{with_swatch(subject.names[query.label])}**"
    split = "" if query.row is None else f" ({escaped(subject.split_of(query.row))})"
    credit = f"  \n{escaped(query.photo.credit)}" if query.photo.credit else ""
    return f"{start}{shows}{split}{credit}"
