"""The section Quality: what was measured is shown, what was not comes with its command."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from alexnet_core import load_checkpoint
from analysis.retrieval import reports as module
from analysis.retrieval.quality import workspace_quality
from analysis.retrieval.reports import Report, keep_report, report_on
from analysis.workspace import Workspace
from tests.viz_app.retrieval.world import STAGE
from viz_app.figures.retrieval import quality_alt, quality_text
from viz_app.resources import workspace_gallery
from viz_app.retrieval.subject import Subject, subject_of

pytestmark = pytest.mark.usefixtures("fresh_caches")

SCRIPT = "import streamlit as st; from viz_app.retrieval.quality import show; show(st.session_state.subject)"


@pytest.fixture
def subject(mine: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Subject:
    """A workspace of which nothing was measured; what is kept in a test goes elsewhere."""
    monkeypatch.setattr(module, "FOLDER", str(tmp_path / "quality"))
    gallery = workspace_gallery(mine)
    assert gallery
    return subject_of(mine, load_checkpoint("tiny"), gallery)


def measure(subject: Subject, stage: str) -> Report:
    quality = workspace_quality(subject.workspace, stage=stage, components=5)
    report = report_on(subject.workspace, stage, quality, np.random.default_rng(0))
    keep_report(subject.workspace, report)
    return report


def page(subject: Subject, **query: str) -> AppTest:
    app = AppTest.from_string(SCRIPT, default_timeout=60)
    app.session_state["subject"] = subject
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def alt(app: AppTest) -> str:
    (chart,) = app.get("plotly_chart")
    return str(chart.proto.alt)


def test_where_nothing_was_measured_the_command_for_all_stages_is_given(subject: Subject) -> None:
    app = page(subject)
    assert "Nothing was measured" in app.info[0].value
    assert app.code[0].value == f"python -m analysis.retrieval quality mine --stage {STAGE} fc7"
    assert not app.get("plotly_chart")


def test_what_was_measured_is_shown_and_the_command_is_for_the_rest(subject: Subject) -> None:
    report = measure(subject, "fc7")
    app = page(subject)
    assert alt(app) == quality_alt([report], "class", "MAP@R")
    assert quality_text([report], "class", "MAP@R") in [element.value for element in app.markdown]
    assert len(app.dataframe[0].value) == len(report.rows) == 12
    assert app.code[0].value == f"python -m analysis.retrieval quality mine --stage {STAGE}"


def test_stages_stand_in_the_order_of_the_network(subject: Subject) -> None:
    reports = [measure(subject, stage) for stage in ("fc7", STAGE)]
    app = page(subject)
    assert alt(app) == quality_alt(reports[::-1], "class", "MAP@R")
    assert not app.code


def test_the_link_holds_the_measure(subject: Subject) -> None:
    report = measure(subject, "fc7")
    app = page(subject, quality_measure="P@5")
    assert alt(app) == quality_alt([report], "class", "P@5")


def test_a_workspace_that_cannot_be_used_says_why(subject: Subject) -> None:
    measure(subject, "fc7")
    broken = replace(subject, workspace=replace(subject.workspace, checkpoint="nobody"))
    app = page(broken)
    assert "nobody" in app.warning[0].value
