"""Fixtures of the workspaces' tests."""

from pathlib import Path

import pytest

from alexnet_core.paths import data_home
from analysis.workspace import Workspace, build_workspace, create_workspace
from tests.analysis.workspace.small_world import SMALL, small_checkpoint, small_store


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks of this test have few units, shards few images."""
    for (module, field), value in SMALL.items():
        monkeypatch.setattr(module, field, value)


@pytest.fixture
def home(small: None) -> Path:
    """The test's data home with the checkpoint "tiny" and the data set "set", both of the same three classes."""
    small_checkpoint(data_home(), "tiny")
    small_store(data_home(), "set")
    return data_home()


@pytest.fixture
def built(home: Path) -> Workspace:
    """A whole workspace of the two."""
    create_workspace("mine", checkpoint="tiny", dataset="set")
    return build_workspace("mine")
