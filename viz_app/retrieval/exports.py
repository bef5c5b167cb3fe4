"""What was found, to take away."""

from collections.abc import Sequence
from functools import partial

import pandas as pd

from analysis.retrieval.spaces import Neighbour, Space
from viz_app.inputs import csv_button
from viz_app.resources import space_of
from viz_app.retrieval.query import Query
from viz_app.retrieval.subject import Subject

HALVES = {None: "both towers", 0: "tower A", 1: "tower B"}


def neighbours_button(subject: Subject, query: Query, found: Sequence[Neighbour], space: Space, key: str) -> None:
    """Download of what was found for a query, as `neighbours_table`."""
    index = space_of(subject.workspace, space).choice_.kind
    name = f"{subject.workspace.name}-neighbours-of-{query.photo.name}"
    csv_button("Neighbours as CSV", partial(neighbours_table, subject, query, found, space, index), name, key)


def neighbours_table(
    subject: Subject, query: Query, found: Sequence[Neighbour], space: Space, index: str
) -> pd.DataFrame:
    """A line for each neighbour of a query, the nearest first; `index` is the kind that found them.

    What is not known of a query that is no image of the gallery is left empty.
    """
    gallery, label = subject.gallery, query.label
    return pd.DataFrame(
        [
            {
                "query": query.photo.name,
                "query_row": query.row,
                "query_path": None if query.row is None else gallery.path(query.row),
                "query_class": None if label is None else gallery.classes[label],
                "rank": rank,
                "row": one.row,
                "split": subject.split_of(one.row),
                "path": gallery.path(one.row),
                "class": gallery.label(one.row),
                "distance": one.distance,
                "agrees": None if label is None else bool(gallery.labels[one.row] == label),
                "stage": space.stage,
                "units": HALVES[space.half],
                "metric": space.metric,
                "index": index,
                "checkpoint": subject.checkpoint.card["name"],
                "checkpoint_id": subject.checkpoint.id,
            }
            for rank, one in enumerate(found, 1)
        ]
    )
