"""Rows of a table of predictions as files: CSV and Parquet with all columns, and the paths of the images."""

from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

BLOCK = 65_536  # rows written at once
LISTS = ("top_classes", "top_probabilities")  # columns that CSV cannot hold

Positions = NDArray[np.int64]


def write_csv(sink: BinaryIO, table: pa.Table, positions: Positions, names: Sequence[str]) -> None:
    """Write these rows of the table, in this order, as CSV: a column per value, the lists as ``class_1``,
    ``guess_1`` (its name), ``probability_1`` and so on. Memory does not grow with the number of rows.
    """
    schema = flat(named(table.slice(0, 0), names), names, _depth(table)).schema
    with pyarrow.csv.CSVWriter(sink, schema) as writer:
        for block in _blocks(table, positions):
            writer.write_table(flat(named(block, names), names, _depth(table)))


def write_parquet(sink: BinaryIO, table: pa.Table, positions: Positions, names: Sequence[str]) -> None:
    """Write these rows of the table, in this order, as Parquet with all its columns and metadata."""
    with pq.ParquetWriter(sink, named(table.slice(0, 0), names).schema) as writer:
        for block in _blocks(table, positions):
            writer.write_table(named(block, names))


def write_paths(sink: BinaryIO, table: pa.Table, positions: Positions, names: Sequence[str] = ()) -> None:
    """Write the images' paths in their source, one a line; names are not needed."""
    for path in table["path"].take(pa.array(positions)):
        sink.write(f"{path}\n".encode())


def named(table: pa.Table, names: Sequence[str]) -> pa.Table:
    """The table with two more columns: the names of the true and of the guessed class."""
    readable = pa.array(names, pa.string())
    for column in ("label", "guess"):
        table = table.append_column(f"{column}_name", _taken(readable, table[column]))
    return table


def flat(table: pa.Table, names: Sequence[str], depth: int) -> pa.Table:
    """The table with its first `depth` guesses in columns of their own in place of the lists; `rank` says its start."""
    readable = pa.array(names, pa.string())
    kept = table.drop_columns(LISTS).rename_columns({"rank": "rank_from_0"})  # people count from 1
    for place in range(depth):
        classes, probabilities = (pc.list_element(table[column], place) for column in LISTS)
        kept = kept.append_column(f"class_{place + 1}", classes)
        kept = kept.append_column(f"guess_{place + 1}", _taken(readable, classes))
        kept = kept.append_column(f"probability_{place + 1}", probabilities)
    return kept


def _taken(names: pa.Array, labels: pa.ChunkedArray) -> pa.ChunkedArray:
    return pa.chunked_array([names.take(chunk) for chunk in labels.chunks], pa.string())


def _depth(table: pa.Table) -> int:
    """Guesses kept for each image."""
    return len(table[LISTS[0]][0]) if len(table) else 0


def _blocks(table: pa.Table, positions: Positions) -> Iterator[pa.Table]:
    return (table.take(pa.array(positions[start : start + BLOCK])) for start in range(0, len(positions), BLOCK))
