"""The table of classes on the page: the worst first, and a ticked row opens what it counts."""

from types import SimpleNamespace

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from analysis.benchmarks.errors import simulate
from analysis.errors.selection import Selection, select
from viz_app.errors import classes

pytestmark = pytest.mark.usefixtures("fresh_caches")

SCRIPT = "import streamlit as st; from viz_app.errors.classes import show; show(st.session_state.subject)"
TABLE = simulate(2000, 12, np.random.default_rng(0))
NAMES = [f"thing {label}" for label in range(12)]
SUBJECT = SimpleNamespace(table=TABLE, names=NAMES, key="classes", title="simulated")


def page() -> AppTest:
    app = AppTest.from_string(SCRIPT, default_timeout=30)
    app.session_state["subject"] = SUBJECT
    app.session_state["split_in_use"] = "val"
    app.run()
    assert not app.exception
    return app


def test_every_class_has_a_row_the_worst_first():
    (frame,) = page().dataframe
    right = TABLE["rank"].to_numpy() == 0
    share = {name: 100 * right[TABLE["label"].to_numpy() == label].mean() for label, name in enumerate(NAMES)}
    assert frame.value["top1"].to_dict() == pytest.approx(
        dict(enumerate(sorted(share.values()))),
    )
    assert {row["class"]: row["top1"] for row in frame.value.to_dict("records")} == pytest.approx(share)


def test_a_ticked_class_opens_its_wrong_answers(monkeypatch):
    opened: list[Selection] = []
    monkeypatch.setattr(classes, "open_images", lambda **changes: opened.append(Selection(**changes)))
    for rows in ([2], []):
        ticked = SimpleNamespace(classes=SimpleNamespace(selection=SimpleNamespace(rows=rows)))
        monkeypatch.setattr(classes.st, "session_state", ticked)
        classes.open_class([4, 5, 6])
    (selection,) = opened
    images = select(TABLE, selection, NAMES)
    expected = (TABLE["label"].to_numpy() == 6) & (TABLE["rank"].to_numpy() > 0)
    assert set(images) == set(np.flatnonzero(expected))


def test_the_table_has_a_text_alternative():
    assert page().dataframe[0].proto.alt.startswith("Top-1 of 12 classes goes from")
