"""Confidence on the page: the slider tells what it would cost to answer only when sure."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from analysis.benchmarks.errors import simulate

pytestmark = pytest.mark.usefixtures("fresh_caches")

SCRIPT = "import streamlit as st; from viz_app.errors.confidence import show; show(st.session_state.subject)"
TABLE = simulate(2000, 12, np.random.default_rng(0))
SUBJECT = SimpleNamespace(table=TABLE, names=[], key="confidence", title="simulated")


def page(**query: str) -> AppTest:
    app = AppTest.from_string(SCRIPT, default_timeout=30)
    app.session_state["subject"] = SUBJECT
    app.session_state["split_in_use"] = "val"
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def answered(app: AppTest) -> str:
    return next(text.value for text in app.markdown if text.value.startswith("Answering only"))


@pytest.mark.parametrize("percent", [0, 35, 80])
def test_the_slider_tells_coverage_and_error(percent):
    sure = TABLE["confidence"].to_numpy() >= np.float32(percent / 100)
    wrong = (TABLE["rank"].to_numpy() > 0)[sure].mean()
    text = answered(page(answer_from=str(percent)))
    assert f"**{sure.sum():,} of 2,000 ({sure.mean():.0%})**" in text
    assert f"**{wrong:.1%} [" in text


def test_the_slider_moves_the_mark_on_the_curve():
    app = page()
    app.slider(key="answer_from").set_value(80).run()
    curve = json.loads(app.get("plotly_chart")[1].proto.spec)["data"]
    sure = TABLE["confidence"].to_numpy() >= np.float32(0.8)
    assert curve[-1]["x"][0] == pytest.approx(100 * sure.mean())
    assert "**80% sure**" in answered(app)


def test_where_no_image_is_sure_enough_nothing_is_answered():
    unsure = TABLE.filter(np.asarray(TABLE["confidence"]) < 0.5)
    app = AppTest.from_string(SCRIPT, default_timeout=30)
    app.session_state["subject"] = SimpleNamespace(table=unsure, key="unsure", title="unsure")
    app.session_state["split_in_use"] = "val"
    app.query_params["answer_from"] = "90"
    app.run()
    assert not app.exception
    assert answered(app).endswith(f"would answer none of {len(unsure):,} images.")


def test_the_calibration_error_is_told_with_its_interval():
    text = page().markdown[0].value
    assert re.match(r"Expected calibration error \*\*\d+\.\d points\*\* \[\d+\.\d, \d+\.\d\]", text)


def test_both_figures_have_text_alternatives():
    assert [len(chart.proto.alt) > 60 for chart in page().get("plotly_chart")] == [True, True]
