"""What the Retrieval page is about: the images of a workspace, and the network by whose features they are compared."""

from dataclasses import dataclass

import streamlit as st

from alexnet_core import Checkpoint
from analysis.retrieval.index import AUTO
from analysis.retrieval.spaces import Space
from analysis.workspace import Thumbnails, Workspace
from viz_app.inputs import images_ready, offer_build
from viz_app.resources import (
    current_checkpoint,
    current_workspace,
    space_of,
    workspace_gallery,
    workspace_thumbnails,
)
from viz_app.samples import Gallery
from viz_app.uploads import jpeg

TRAINED_ON = "train"
HELD_OUT = "val"


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A workspace opened: a row is one of its gallery, its splits one after the other."""

    workspace: Workspace
    checkpoint: Checkpoint
    gallery: Gallery
    thumbnails: Thumbnails | None

    @property
    def key(self) -> str:
        """For caches: the network and the images."""
        return f"{self.checkpoint.id} {self.gallery.key}"

    @property
    def names(self) -> list[str]:
        """Readable classes of the images, in the order of the labels."""
        return self.gallery.classes

    @property
    def splits(self) -> list[str]:
        """Names of the splits, in the order of the rows."""
        return list(self.gallery.splits)

    def rows(self, split: str) -> range:
        """Rows of a split, of all images for ""."""
        return self.gallery.rows(split) if split else range(len(self.gallery.labels))

    def split_of(self, row: int) -> str:
        """The split that an image is in."""
        return next(split for split in self.splits if row in self.rows(split))

    def small_picture(self, row: int) -> bytes:
        """A small JPEG of an image."""
        return self.thumbnails[row] if self.thumbnails else jpeg(self.gallery.pixels(row))


def current_subject() -> Subject | None:
    """The workspace chosen in the sidebar; where it has no images or no index, what is missing is said and offered."""
    workspace = current_workspace()
    if workspace is None:
        st.info("Neighbours are found among images: choose a workspace that has some.", icon=":material/image:")
        return None
    if not images_ready(workspace) or (gallery := workspace_gallery(workspace)) is None:
        return None
    try:
        space_of(workspace, Space(kind=AUTO))
    except ValueError as error:
        offer_build(workspace, str(error))
        return None
    return subject_of(workspace, current_checkpoint(), gallery)


def subject_of(workspace: Workspace, checkpoint: Checkpoint, gallery: Gallery) -> Subject:
    """A workspace, its network and its images together."""
    return Subject(workspace, checkpoint, gallery, workspace_thumbnails(workspace))
