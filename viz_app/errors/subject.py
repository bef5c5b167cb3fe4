"""What the Errors page is about: a table of predictions, the images behind it, and the network that made it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import streamlit as st

from alexnet_core import Checkpoint, CheckpointError
from analysis.evaluate import Evaluation, list_evaluations
from analysis.predictions import About, about
from analysis.workspace import Thumbnails, Workspace, WorkspaceError
from viz_app.figures.captions import class_labels, escaped
from viz_app.inputs import images_ready, offer_build
from viz_app.resources import (
    checkpoint_named,
    current_checkpoint,
    current_workspace,
    evaluated_predictions,
    predictions_file,
    workspace_gallery,
    workspace_predictions,
    workspace_thumbnails,
)
from viz_app.samples import Gallery
from viz_app.uploads import jpeg


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """Predictions for images of a workspace: a position is a row of the table, a row is one of the gallery."""

    workspace: Workspace
    checkpoint: Checkpoint  # that predicted; the workspace's where that one is not here
    gallery: Gallery
    table: pa.Table
    about: About
    names: list[str]  # readable and unique, in the order of the labels
    key: str  # for caches
    title: str
    thumbnails: Thumbnails | None

    @property
    def is_own(self) -> bool:
        """Whether the card's network is the one that predicted, in the way in which the card looks at images."""
        about = self.about
        return (self.checkpoint.id, 1, "") == (about.checkpoint_id, about.views, about.off)

    def gallery_row(self, position: int) -> int:
        """The image behind a row of the table."""
        split = self.table["split"][position].as_py()
        return int(self.table["id"][position].as_py()) - self.about.firsts[split] + self.gallery.rows(split).start

    def position(self, row: int) -> int | None:
        """The row of the table about an image of the gallery, ``None`` if it is about none."""
        for split in self.about.firsts:
            place = row - self.gallery.rows(split).start
            if 0 <= place < len(self.gallery.splits[split].labels):
                found = pc.index(self.table["id"], place + self.about.firsts[split]).as_py()
                return None if found < 0 else int(found)
        return None

    def thumbnail(self, position: int) -> bytes:
        """A small JPEG of the image behind a row of the table."""
        return self.small_picture(self.gallery_row(position))

    def small_picture(self, row: int) -> bytes:
        """A small JPEG of an image of the gallery."""
        return self.thumbnails[row] if self.thumbnails else jpeg(self.gallery.pixels(row))


class Source(NamedTuple):
    """Where predictions can be taken from: an evaluation, or the workspace itself."""

    title: str
    evaluation: Evaluation | None = None


def current_subject() -> Subject | None:
    """The predictions chosen, the choice kept in the URL; where there are none, what is missing is said and offered."""
    workspace = current_workspace()
    if workspace is None:
        st.info("Errors are counted on labelled images: choose a workspace that has some.", icon=":material/image:")
        return None
    if not images_ready(workspace) or (gallery := workspace_gallery(workspace)) is None:
        return None
    problem, found = "", sources(workspace, gallery)
    try:
        workspace_predictions(workspace, current_checkpoint().id)
    except WorkspaceError as error:
        problem, found = str(error), found[1:]
    if problem:
        offer_build(workspace, problem)
    if not found:
        return None
    try:
        return subject_of(workspace, gallery, choose(found))
    except (ValueError, CheckpointError) as error:
        st.error(f"These predictions cannot be used. {escaped(str(error))}", icon=":material/error:")
        return None


def subjects(workspace: Workspace) -> list[Source]:
    """What there is to choose from: the workspace's own predictions first, then the evaluations of its images."""
    gallery = workspace_gallery(workspace)
    return sources(workspace, gallery) if gallery else []


def sources(workspace: Workspace, gallery: Gallery) -> list[Source]:
    """The same, where the images are at hand."""
    own = Source(f"This workspace: {workspace.checkpoint}, central crop")
    others = [
        Source(f"{found.title} ({found.split}, {found.n:,} images)", found)
        for found in list_evaluations(gallery.store.hash, workspace.home)
        if found.split in gallery.splits
    ]
    return [own, *others]


def choose(found: Sequence[Source]) -> Source:
    """The visitor's choice."""
    titles = [source.title for source in found]
    if len(found) == 1:
        return found[0]
    title = st.selectbox(
        "Predictions",
        titles,
        key="predictions",
        bind="query-params",
        help="A workspace predicts its images from the central crop. Others are made by python -m analysis.evaluate: "
        "with ten views, with a tower off, by another network.",
    )
    return found[titles.index(title)]


def subject_of(workspace: Workspace, gallery: Gallery, source: Source) -> Subject:
    """Open a source. Raises ``ValueError``, one sentence, if it cannot be used."""
    own, evaluation = current_checkpoint(), source.evaluation
    if evaluation is None:
        table, file, checkpoint = workspace_predictions(workspace, own.id), predictions_file(workspace), own
    else:
        table, file, checkpoint = evaluated_predictions(evaluation), evaluation.file, _network(evaluation, own)
    found = about(table)
    rows = [{"id": id_, "name": name} for id_, name in zip(found.classes, found.class_names, strict=True)]
    return Subject(
        workspace=workspace,
        checkpoint=checkpoint,
        gallery=gallery,
        table=table,
        about=found,
        names=class_labels(rows),
        key=f"{file} {file.stat().st_mtime_ns}",
        title=source.title,
        thumbnails=workspace_thumbnails(workspace),
    )


def _network(evaluation: Evaluation, otherwise: Checkpoint) -> Checkpoint:
    """The network that was evaluated; an average of several is none."""
    try:
        return checkpoint_named(evaluation.checkpoint)
    except CheckpointError:
        return otherwise
