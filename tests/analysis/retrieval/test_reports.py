"""Quality results on disk: the same when read again, refused if about something else, replaced only by more."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alexnet_core.paths import data_home
from analysis.retrieval import reports as module
from analysis.retrieval.__main__ import main
from analysis.retrieval.quality import workspace_quality
from analysis.retrieval.reports import Report, from_json, keep_report, kept_reports, report_on, to_json
from analysis.workspace import Workspace, build_workspace, create_workspace
from tests.analysis.workspace.small_world import SMALL, small_checkpoint, small_store


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A whole workspace: 21 training and 13 validation images of three classes, 64 units in fc7."""
    for (place, field), value in SMALL.items():
        monkeypatch.setattr(place, field, value)
    small_checkpoint(data_home(), "tiny")
    small_store(data_home(), "set")
    create_workspace("mine", checkpoint="tiny", dataset="set")
    return build_workspace("mine")


def report_of(workspace: Workspace, n_queries: int | None = None) -> Report:
    quality = workspace_quality(workspace, ks=(1, 3), n_queries=n_queries, components=5)
    return report_on(workspace, "fc7", quality, np.random.default_rng(0))


def file_of(workspace: Workspace) -> Path:
    return workspace.folder / module.FOLDER / "fc7.json"


def test_a_report_is_the_same_after_it_was_written_and_read(built: Workspace) -> None:
    report = report_of(built)
    assert from_json(json.loads(json.dumps(to_json(report)))) == report
    assert keep_report(built, report) == file_of(built)
    assert kept_reports(built) == [report]


def test_a_report_holds_what_was_measured(built: Workspace) -> None:
    quality, report = workspace_quality(built, ks=(1, 3), components=5), report_of(built)
    assert report.title == "mine: fc7 of tiny"
    assert (report.queries, report.gallery, report.left_out) == (13, 21, 0)
    assert report.measures == ("P@1", "P@3", "MAP@R")
    (factor,) = report.factors
    assert (factor.name, factor.queries, factor.chance) == ("class", 13, pytest.approx(1 / 3))
    for place, row in enumerate(report.rows):
        assert row.kind == quality.kinds[place]
        assert [one.value for one in row.means] == pytest.approx(quality.scores["class"][:, place].mean(0))
        assert all(low <= one <= high for one, (low, high) in row.means)


def test_a_quick_look_does_not_take_the_place_of_a_result_of_more_queries(built: Workspace) -> None:
    few, all_of_them = report_of(built, 5), report_of(built)
    assert keep_report(built, few) == file_of(built)
    assert keep_report(built, all_of_them) == file_of(built)
    assert keep_report(built, few) is None
    assert kept_reports(built) == [all_of_them]


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values | {"key": "of other features"},
        lambda values: values | {"version": module.VERSION + 1},
        lambda values: values | {"report": values["report"] | {"rows": [{}]}},
        lambda values: values | {"report": values["report"] | {"more": 1}},
        lambda values: [],
    ],
)
def test_what_is_stale_or_damaged_is_no_result_and_gives_way(
    built: Workspace, change: Callable[[dict[str, Any]], Any]
) -> None:
    report = report_of(built)
    keep_report(built, report)
    file_of(built).write_text(json.dumps(change(json.loads(file_of(built).read_text()))))
    assert kept_reports(built) == []
    few = report_of(built, 5)
    keep_report(built, few)
    assert kept_reports(built) == [few]


def test_another_network_s_report_is_no_result_for_this_one(built: Workspace) -> None:
    keep_report(built, report_of(built))
    small_checkpoint(data_home(), "tiny", seed=7)
    assert kept_reports(built) == []


def test_a_torn_file_is_no_result(built: Workspace) -> None:
    keep_report(built, report_of(built))
    file_of(built).write_bytes(file_of(built).read_bytes()[:500])
    assert kept_reports(built) == []


def test_nothing_is_kept_where_nothing_was_measured(built: Workspace) -> None:
    assert kept_reports(built) == []


def test_the_command_keeps_what_it_prints(built: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quality", "mine", "--k", "1", "3", "--components", "5", "--json"]) == 0
    (report,) = kept_reports(built)
    assert report == report_of(built)
    assert (
        from_json({name: value for name, value in json.loads(capsys.readouterr().out).items() if name != "note"})
        == report
    )
