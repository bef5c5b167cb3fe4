"""The confusions on the page: what is shown, what a link holds, and that a click opens the images it counts."""

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from alexnet_core.prism import CLASS_NAMES
from analysis.benchmarks.errors import simulate
from analysis.errors.confusions import by_similarity, confused_pairs, confusion_counts, most_confused
from analysis.errors.selection import Selection, select
from analysis.predictions import about
from viz_app.errors import confusions

pytestmark = pytest.mark.usefixtures("fresh_caches")

SCRIPT = "import streamlit as st; from viz_app.errors.confusions import show; show(st.session_state.subject)"
TABLE = simulate(4000, 100, np.random.default_rng(0))
NAMES = list(CLASS_NAMES)
SUBJECT = SimpleNamespace(
    table=TABLE,
    about=about(TABLE)._replace(classes=CLASS_NAMES, class_names=CLASS_NAMES),
    names=NAMES,
    key="confusions",
    title="simulated, central crop",
)


def page(subject: Any = SUBJECT, split: str = "val", **query: str | list[str]) -> AppTest:
    """The section alone, opened by a link."""
    app = AppTest.from_string(SCRIPT, default_timeout=30)
    app.session_state["subject"] = subject
    app.session_state["split_in_use"] = split
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def matrix(app: AppTest) -> dict[str, Any]:
    (chart,) = app.get("plotly_chart")
    return json.loads(chart.proto.spec)


def ticks(app: AppTest) -> list[str]:
    """Classes of the rows, top down."""
    return matrix(app)["layout"]["yaxis"]["ticktext"]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Selection]:
    """Selections whose images were opened."""
    found: list[Selection] = []
    monkeypatch.setattr(confusions, "open_images", lambda **changes: found.append(Selection(**changes)))
    return found


def selected(monkeypatch: pytest.MonkeyPatch, key: str, **selection: Any) -> None:
    """What a click leaves in the session."""
    state = SimpleNamespace(**{key: SimpleNamespace(selection=SimpleNamespace(**selection))})
    monkeypatch.setattr(confusions.st, "session_state", state)


def test_the_pairs_are_those_of_the_predictions_most_confused_first():
    app = page()
    (frame,) = app.dataframe
    pairs = confused_pairs(TABLE, limit=100)
    assert list(frame.value["both_ways"]) == [pair.there + pair.back for pair in pairs]
    assert list(frame.value["class"]) == [NAMES[pair.first] for pair in pairs]
    first = pairs[0]
    assert f"{first.there} of {first.n_first} (" in app.markdown[0].value


def test_a_ticked_pair_opens_its_images_both_ways_round(opened, monkeypatch):
    pairs = confused_pairs(TABLE)
    selected(monkeypatch, "pairs", rows=[3])
    confusions.open_pair(pairs)
    images = select(TABLE, opened[0], NAMES)
    assert len(images) == pairs[3].there + pairs[3].back
    selected(monkeypatch, "pairs", rows=[])
    confusions.open_pair(pairs)
    assert len(opened) == 1


@pytest.mark.parametrize(("row", "column"), [(0, 1), (2, 2), (1, 0), (2, 3)])
def test_a_clicked_cell_opens_the_images_it_counts(opened, monkeypatch, row, column):
    labels = tuple(most_confused(TABLE, 3))
    counts = confusion_counts(TABLE, labels)
    selected(monkeypatch, "matrix", points=[{"x": column, "y": row}])
    confusions.open_cell(labels)
    images = select(TABLE, opened[0], NAMES)
    other = column == len(labels)  # opens all that are wrong
    assert len(images) == (counts[row].sum() - counts[row, row] if other else counts[row, column])
    assert set(TABLE["label"].to_numpy()[images]) <= {labels[row]}


def test_a_click_beside_the_marks_opens_nothing(opened, monkeypatch):
    selected(monkeypatch, "matrix", points=[])
    confusions.open_cell((1, 2))
    assert not opened


def test_the_matrix_shows_the_most_confused_classes_similar_ones_together():
    labels = sorted(most_confused(TABLE, 20))
    assert ticks(page(matrix_order="as listed")) == [NAMES[label] for label in labels]
    order = by_similarity(confusion_counts(TABLE, labels))
    assert ticks(page()) == [NAMES[labels[place]] for place in order]


def test_the_number_of_classes_and_the_unit_come_from_the_link():
    app = page(matrix_size="7", matrix_values="images")
    assert len(ticks(app)) == 7
    assert "images" in matrix(app)["data"][0]["marker"]["colorbar"]["title"]["text"]
    assert "%" in matrix(page())["data"][0]["marker"]["colorbar"]["title"]["text"]


def test_a_group_fills_the_matrix():
    app = page(matrix_of="a group", matrix_order="as listed")
    group = app.selectbox(key="matrix_group").value
    assert len(ticks(app)) == 10
    assert all(group.split(": ")[1] in name.split() for name in ticks(app))


def test_classes_of_ones_own_choice_fill_the_matrix():
    app = page(matrix_of="my choice", matrix_classes=["teal star", "red star"], matrix_order="as listed")
    assert ticks(app) == ["red star", "teal star"]
    few = page(matrix_of="my choice")
    assert "two classes or more" in few.info[0].value
    assert not few.get("plotly_chart")


def test_classes_that_the_next_workspace_lacks_are_left_behind():
    app = page(matrix_of="my choice", matrix_classes=["teal star", "red star"])
    other = simulate(400, 5, np.random.default_rng(0))
    names = [*"abcd", "red star"]
    app.session_state["subject"] = SimpleNamespace(
        table=other, about=about(other), names=names, key="other", title="other"
    )
    app.run()
    assert not app.exception
    assert app.multiselect(key="matrix_classes").value == ["red star"]


def test_unknown_classes_have_no_groups_to_choose_from():
    other = simulate(400, 5, np.random.default_rng(0))
    app = page(SimpleNamespace(table=other, about=about(other), names=list("abcde"), key="few", title="few"))
    assert [option.content for option in app.get_by_key("matrix_of").proto.options] == ["most confused", "my choice"]
    assert app.slider(key="matrix_size").max == 5


def test_a_network_without_errors_confuses_nothing():
    right = TABLE.filter(np.asarray(TABLE["rank"]) == 0)
    app = page(SimpleNamespace(**{**vars(SUBJECT), "table": right, "key": "right"}))
    assert "No image is taken for another class" in app.info[0].value
    assert not app.dataframe


def test_the_matrix_and_the_pairs_have_text_alternatives():
    app = page()
    assert "Largest confusions: " in app.get("plotly_chart")[0].proto.alt
    assert "pairs of classes" in app.dataframe[0].proto.alt


def test_a_group_that_the_next_workspace_lacks_gives_way_to_its_own():
    app = page(matrix_of="a group", matrix_group="hue: teal")
    assert len(ticks(app)) == 10
    table = simulate(400, 4, np.random.default_rng(0))
    ids, names = ("n02124075", "n02123394", "n02123045", "n02129165"), ["Egyptian cat", "Persian cat", "tabby", "lion"]
    app.session_state["subject"] = SimpleNamespace(
        table=table, about=about(table)._replace(classes=ids), names=names, key="cats", title="cats"
    )
    app.run()
    assert not app.exception
    assert set(ticks(app)) <= set(names)
