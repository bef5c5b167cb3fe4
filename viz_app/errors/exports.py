"""What was filtered, to take away: buttons that compute nothing before the click."""

from collections.abc import Callable
from functools import partial
from io import BytesIO
from typing import Any, TypeAlias

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from analysis.errors.export import write_csv, write_parquet, write_paths
from analysis.errors.selection import Selection
from viz_app.errors.subject import Subject
from viz_app.inputs import file_button

Writer: TypeAlias = Callable[..., None]

EXPORTS: tuple[tuple[str, str, str, Writer], ...] = (  # label, ending, MIME type
    ("List as CSV", "csv", "text/csv", write_csv),
    ("List as Parquet", "parquet", "application/vnd.apache.parquet", write_parquet),
    ("Paths as text", "txt", "text/plain", write_paths),
)


def export_buttons(subject: Subject, positions: NDArray[np.int64], name: str) -> None:
    """Downloads of these rows of the subject's table: CSV and Parquet with all columns, the paths of the images."""
    with st.container(horizontal=True):
        for label, ending, kind, write in EXPORTS:
            make = partial(_written, write, subject.table, positions, subject.names)
            file_button(label, make, f"{name}.{ending}", kind, key=f"export_{ending}")


def report_button(subject: Subject, selection: Selection, name: str) -> None:
    """Download of the report of the selection's split, with the first images of the selection."""
    file_button(
        "Report as HTML", lambda: report_html(subject, selection).encode(), f"{name}.html", "text/html", "export_html"
    )


def report_html(subject: Subject, selection: Selection) -> str:
    """The report about a subject: one file that opens without a server."""
    from viz_app.errors.report import Material, errors_report  # matplotlib takes half a second to import

    return errors_report(
        Material(
            title=subject.workspace.title,
            card=subject.checkpoint.card,
            table=subject.table,
            about=subject.about,
            names=subject.names,
            image=lambda position: subject.gallery.pixels(subject.gallery_row(position)),
            thumbnail=subject.thumbnail,
        ),
        selection,
    )


def _written(write: Writer, *what: Any) -> bytes:
    sink = BytesIO()
    write(sink, *what)
    return sink.getvalue()
