"""Exported files against the table itself, read back by other programs."""

import csv
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from analysis.errors import export
from analysis.predictions import read_predictions
from tests.analysis.errors.tables import random_table

NAMES = [f'class "{label}", <b>\nñ' for label in range(12)]


@pytest.fixture(scope="module")
def table() -> pa.Table:
    """300 rows in no order."""
    return random_table()


def rows_of_csv(table: pa.Table, positions: np.ndarray) -> list[dict[str, str]]:
    """What Python's own reader finds."""
    sink = BytesIO()
    export.write_csv(sink, table, positions, NAMES)
    return list(csv.DictReader(StringIO(sink.getvalue().decode(), newline="")))


def test_csv_holds_every_value_of_the_rows_in_their_order(table: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "BLOCK", 7)  # so that files are put together from many blocks
    positions = np.array([250, 3, 3, 299, *range(40)])
    stored = table.to_pylist()
    rows = rows_of_csv(table, positions)
    assert len(rows) == len(positions)
    for row, position in zip(rows, positions, strict=True):
        wanted: dict[str, Any] = dict(stored[position])
        guesses, probabilities = wanted.pop("top_classes"), wanted.pop("top_probabilities")
        wanted["rank_from_0"] = wanted.pop("rank")
        wanted |= {"label_name": NAMES[wanted["label"]], "guess_name": NAMES[wanted["guess"]]}
        for place, (guess, probability) in enumerate(zip(guesses, probabilities, strict=True), 1):
            wanted |= {f"class_{place}": guess, f"guess_{place}": NAMES[guess], f"probability_{place}": probability}
        assert row.keys() == wanted.keys()
        for name, value in wanted.items():
            if isinstance(value, float):
                assert np.float32(row[name]) == np.float32(value)
            else:
                assert row[name] == (str(value).lower() if isinstance(value, bool) else str(value))


def test_parquet_is_again_a_table_of_predictions(
    table: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "BLOCK", 7)
    positions, file = np.arange(299, 100, -2), tmp_path / "list.parquet"
    with file.open("wb") as sink:
        export.write_parquet(sink, table, positions, NAMES)
    found = read_predictions(file)
    assert found.select(table.column_names).to_pylist() == [table.to_pylist()[position] for position in positions]
    assert found.schema.metadata == table.schema.metadata
    assert found["guess_name"].to_pylist() == [NAMES[label] for label in found["guess"].to_pylist()]
    assert found["label_name"].to_pylist() == [NAMES[label] for label in found["label"].to_pylist()]


def test_paths_are_lines_in_the_order_of_the_list(table: pa.Table) -> None:
    sink = BytesIO()
    export.write_paths(sink, table, np.array([9, 0, 200]))
    assert sink.getvalue().decode().splitlines() == [table["path"][row].as_py() for row in (9, 0, 200)]


@pytest.mark.parametrize("write", [export.write_csv, export.write_parquet, export.write_paths])
def test_an_empty_list_is_a_file_without_rows(table: pa.Table, write: Any, tmp_path: Path) -> None:
    file = tmp_path / "list"
    with file.open("wb") as sink:
        write(sink, table, np.arange(0), NAMES)
    if write is export.write_csv:
        assert len(file.read_text().splitlines()) == 1
        assert "probability_10" in file.read_text()
    elif write is export.write_parquet:
        assert len(read_predictions(file)) == 0
    else:
        assert file.read_bytes() == b""
