"""Buttons that hand files over: nothing is made before the click, and then the right rows."""

from collections.abc import Callable
from io import BytesIO
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from analysis.errors.selection import Selection, select
from tests.analysis.errors.tables import random_table
from viz_app.errors import exports

NAMES = [f"class {label}" for label in range(12)]
TABLE = random_table()
SUBJECT = SimpleNamespace(table=TABLE, names=NAMES)


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[[], bytes]]:
    """What the buttons hand over at the click, by file name."""
    found: dict[str, Callable[[], bytes]] = {}

    def button(label: str, data: Callable[[], bytes], file_name: str, mime: str, **_: object) -> None:
        found[file_name] = data

    monkeypatch.setattr(exports.st, "download_button", button)
    return found


def test_the_files_hold_the_rows_of_the_list_in_its_order(files: dict[str, Callable[[], bytes]]) -> None:
    positions = select(TABLE, Selection(criterion="top-1 wrong", order="loss"), NAMES)
    exports.export_buttons(SUBJECT, positions, "tiny, val: errors")
    assert list(files) == ["tiny-val-errors.csv", "tiny-val-errors.parquet", "tiny-val-errors.txt"]
    csv, parquet, paths = (make() for make in files.values())
    ids = TABLE["id"].to_numpy()[positions].tolist()
    assert pd.read_csv(BytesIO(csv))["id"].tolist() == ids
    assert pq.read_table(BytesIO(parquet))["id"].to_pylist() == ids
    assert paths.decode().split() == TABLE["path"].take(positions).to_pylist()


def test_nothing_is_written_before_the_click(
    files: dict[str, Callable[[], bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    rows = [(label, ending, kind, lambda *_: asked.append(1)) for label, ending, kind, _ in exports.EXPORTS]
    monkeypatch.setattr(exports, "EXPORTS", rows)
    monkeypatch.setattr(exports, "report_html", lambda *_: asked.append(2) or "")
    exports.export_buttons(SUBJECT, np.arange(5), "list")
    exports.report_button(SUBJECT, Selection(), "report")
    assert len(files) == 4
    assert not asked
    for make in files.values():
        make()
    assert asked == [1, 1, 1, 2]
