"""Tests of alexnet_core.paths."""

from pathlib import Path

import pytest

from alexnet_core.paths import (
    data_home,
    datasets_dir,
    downloads_dir,
    features_dir,
    predictions_dir,
    runs_dir,
    workspaces_dir,
)


def test_the_environment_variable_decides_where_data_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ALEXNET_HOME", str(tmp_path))
    assert data_home() == tmp_path
    folders = (datasets_dir, downloads_dir, features_dir, predictions_dir, runs_dir, workspaces_dir)
    names = ("datasets", "downloads", "features", "predictions", "runs", "workspaces")
    assert [folder() for folder in folders] == [tmp_path / name for name in names]


def test_without_it_the_platform_decides_and_an_argument_goes_before_both(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("ALEXNET_HOME")
    assert data_home().is_absolute()
    assert "alexnet-toolkit" in str(datasets_dir())
    assert datasets_dir(tmp_path) == tmp_path / "datasets"
