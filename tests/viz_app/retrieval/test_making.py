"""Indexes that take long are offered, made beside the app, and told of."""

import re
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from analysis.features.__main__ import _parser as features_parser
from analysis.retrieval.__main__ import _parser
from analysis.retrieval.spaces import HALVES, Space
from analysis.workspace import Workspace
from viz_app import jobs
from viz_app.jobs import Job
from viz_app.retrieval import making
from viz_app.retrieval.making import options

pytestmark = pytest.mark.usefixtures("fresh_caches", "mine")

SLOW = Space("fc7", "cosine", 1, "PCA8,IVF4,SQ8")


def page(kind: str) -> None:
    import streamlit as st

    from analysis.retrieval.spaces import Space
    from analysis.workspace import find_workspace
    from viz_app.retrieval.making import index_ready

    st.text(f"ready: {index_ready(find_workspace('mine'), Space('fc7', 'cosine', 1, kind))}")


def opened(kind: str = SLOW.kind) -> AppTest:
    app = AppTest.from_function(page, args=(kind,), default_timeout=60).run()
    assert not app.exception
    return app


def key_of(workspace: Workspace) -> str:
    return " ".join(("analysis.retrieval", *options(workspace, SLOW)))


def stages_page() -> None:
    from analysis.workspace import find_workspace
    from viz_app.retrieval.making import more_stages

    more_stages(find_workspace("mine"))


@pytest.fixture(autouse=True)
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What would have been started; nothing is."""
    found: list[tuple[Any, ...]] = []
    monkeypatch.setattr(jobs, "_jobs", {})
    monkeypatch.setattr(jobs, "start", lambda *words: found.append(words))
    return found


def test_the_command_makes_the_index_that_was_asked_for(mine: Workspace) -> None:
    told = _parser().parse_args(options(mine, SLOW))
    assert Space(told.stage, told.metric, HALVES[told.half], told.kind) == SLOW
    assert (told.workspace, told.home) == (mine.name, mine.home)


def test_an_exact_index_needs_no_waiting() -> None:
    app = opened("flat")
    assert app.text[0].value == "ready: True"
    assert not app.button


def test_an_index_that_is_not_there_is_made_at_the_press_of_a_button(
    mine: Workspace, calls: list[tuple[Any, ...]]
) -> None:
    app = opened()
    assert app.text[0].value == "ready: False"
    assert "PCA8,IVF4,SQ8 is not there yet" in app.info[0].value
    app.button[0].click().run()
    assert calls == [(key_of(mine), "analysis.retrieval", *options(mine, SLOW))]


def test_an_index_that_is_being_made_tells_how_far_it_is_and_can_be_cancelled(mine: Workspace) -> None:
    key = key_of(mine)
    jobs._jobs[key] = Job(step="Adding the vectors", percent=40)
    app = opened()
    assert app.text[0].value == "ready: False"
    (bar,) = app.get("progress")
    assert bar.proto.value == 40
    assert re.fullmatch(r"Adding the vectors: \d+ s since the start", bar.proto.text)
    app.button[0].click().run()
    assert key not in jobs._jobs


def test_an_index_that_could_not_be_made_says_why_and_is_offered_again(mine: Workspace) -> None:
    key = key_of(mine)
    jobs._jobs[key] = Job(running=False, failed=True, said="There is no room.")
    app = opened()
    assert "There is no room" in app.error[0].value
    assert [button.label for button in app.button] == ["Make this index"]


def test_features_of_a_stage_are_computed_for_the_images_of_the_workspace(
    mine: Workspace, calls: list[tuple[Any, ...]]
) -> None:
    app = AppTest.from_function(stages_page, default_timeout=60).run()
    assert list(app.segmented_control(key="stage_to_compute").options) == ["pool2", "fc6", "fc8"]
    app.segmented_control(key="stage_to_compute").set_value("fc6").run()
    app.button[0].click().run()
    ((_, module, *words),) = calls
    assert module == "analysis.features"
    told = features_parser().parse_args(words)
    assert (told.checkpoint, told.data, told.stage) == (mine.checkpoint, mine.dataset, ["fc6"])
    assert (tuple(told.split), told.home) == (mine.splits, mine.home)


def test_stages_whose_features_are_there_are_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "workspace_stages", lambda _: list(making.STAGES))
    app = AppTest.from_function(stages_page, default_timeout=60).run()
    assert not app.button
    assert not app.expander
