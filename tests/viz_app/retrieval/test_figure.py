"""Figure 4, right, on the page: its queries, what is found for them by brute force, its files, what the link holds."""

import re
from html import unescape

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from alexnet_core import load_checkpoint
from analysis.retrieval.spaces import Space
from analysis.workspace import Workspace, find_workspace, open_features
from tests.viz_app.retrieval.world import TRAIN, VAL
from viz_app.resources import workspace_gallery
from viz_app.retrieval import figure
from viz_app.retrieval.subject import Subject, subject_of

pytestmark = pytest.mark.usefixtures("fresh_caches")

SCRIPT = "import streamlit as st; from viz_app.retrieval.figure import show; show(st.session_state.subject)"


@pytest.fixture
def subject(mine: Workspace) -> Subject:
    gallery = workspace_gallery(mine)
    assert gallery
    return subject_of(mine, load_checkpoint("tiny"), gallery)


def page(subject: Subject, **query: str) -> AppTest:
    """The section alone, opened by a link."""
    app = AppTest.from_string(SCRIPT, default_timeout=60)
    app.session_state["subject"] = subject
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def told(app: AppTest) -> str:
    """The figure's text alternative."""
    (found,) = app.get("html")
    return unescape(found.proto.body.partition('alt="')[2].partition('"')[0])


def nearest(features: np.ndarray, row: int, among: range) -> list[tuple[int, float]]:
    """Six rows and their distances, without any of the product's code."""
    distances = np.linalg.norm(features.astype(np.float64) - features[row].astype(np.float64), axis=1)
    order = [int(found) for found in np.argsort(distances, kind="stable") if found in among and found != row]
    return [(found, float(distances[found])) for found in order[:6]]


def expected(features: np.ndarray, labels: np.ndarray, names: list[str], row: int, among: range) -> str:
    marks = []
    for found, distance in nearest(features, row, among):
        digits = 1 if distance >= 10 else 3
        tick = "✓" if labels[found] == labels[row] else "✕"
        marks.append(f"{tick} {names[labels[found]]} ({distance:.{digits}f})")
    return f"Query {names[labels[row]]}. Found, with distance: {', '.join(marks)}."


def test_each_row_is_a_held_out_image_with_the_six_nearest_training_images(subject: Subject) -> None:
    text, features = told(page(subject)), open_features(subject.workspace)
    queries = figure.drawn(subject, 0)
    assert len({*queries}) == 5
    assert all(TRAIN <= row < TRAIN + VAL for row in queries)
    for place, row in enumerate(queries, 1):
        wanted = expected(features, subject.gallery.labels, subject.names, row, range(TRAIN))
        assert f"Row {place}: {wanted}" in text


def test_the_link_holds_the_draw_the_images_and_how_they_are_compared(subject: Subject) -> None:
    features = open_features(subject.workspace)
    half = features[:, : features.shape[1] // 2]
    app = page(subject, alike_images="31, 4; 999 89", half="● Tower A")
    for place, row in enumerate((31, 4, 89), 1):
        wanted = expected(half, subject.gallery.labels, subject.names, row, range(TRAIN))
        assert f"Row {place}: {wanted}" in told(app)
    assert told(app).count("Row ") == 3
    assert "units of tower A alone" in app.caption[0].value
    assert figure.drawn(subject, 7) != figure.drawn(subject, 0)
    assert told(page(subject, alike_seed="7")) != told(page(subject))


def test_where_there_are_no_training_images_the_others_are_searched_and_that_is_said(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figure, "TRAINED_ON", "nothing")
    app, features = page(subject, alike_images="33"), open_features(subject.workspace)
    wanted = expected(features, subject.gallery.labels, subject.names, 33, range(TRAIN + VAL))
    assert told(app) == f"Row 1: {wanted}"
    assert "no training images" in app.markdown[0].value


def test_no_such_image_is_said(subject: Subject) -> None:
    app = page(subject, alike_images="99999")
    assert not app.get("html")
    assert "no such image" in app.info[0].value


def test_how_many_agree_is_counted_against_chance(subject: Subject) -> None:
    app = page(subject)
    ticks = told(app).count("✓")
    assert f"{ticks} of 30 images found are of their query's class; by chance it would be 10.0." in app.caption[0].value


def test_the_csv_lists_the_neighbours_of_every_query(subject: Subject) -> None:
    queries = (31, 40)
    asked = [figure.query_of(subject, figure.Step(str(row))) for row in queries]
    found = [figure.found_in(subject, query, Space(), figure.terms(subject)).found for query in asked]
    table = figure.table_of(subject, asked, found, Space())
    features = open_features(subject.workspace)
    for row in queries:
        some = table[table.query_row == row]
        wanted = nearest(features, row, range(TRAIN))
        assert some["row"].tolist() == [found for found, _ in wanted]
        assert some["distance"].tolist() == pytest.approx([distance for _, distance in wanted], rel=1e-6)
        assert some["rank"].tolist() == [1, 2, 3, 4, 5, 6]
        assert {*some["index"]} == {"flat"}


def test_an_index_that_is_missing_is_said_in_one_sentence(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ValueError("The index is gone.")

    monkeypatch.setattr(figure, "found_in", broken)
    app = page(subject)
    assert "The index is gone" in app.error[0].value.replace("\\", "")


def test_the_words_hold_every_row_with_its_image(subject: Subject) -> None:
    (words,) = [element.value for element in page(subject).expander[0].markdown]
    assert [int(row) for row in re.findall(r"Image (\d+):", words)] == list(figure.drawn(subject, 0))


def test_another_workspace_s_draw_is_of_its_own_images(subject: Subject) -> None:
    others = find_workspace("others")
    gallery = workspace_gallery(others)
    assert gallery
    rows = figure.drawn(subject_of(others, subject.checkpoint, gallery), 3)
    assert all(24 <= row < 36 for row in rows)
