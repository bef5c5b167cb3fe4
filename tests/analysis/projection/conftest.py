"""Fixtures of the maps' tests."""

from pathlib import Path

import pytest

from alexnet_core.paths import data_home
from analysis.workspace import Workspace, build_workspace, create_workspace, find_workspace
from tests.analysis.workspace.small_world import SMALL, small_checkpoint, small_store


@pytest.fixture(scope="session")
def maps_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data home with 40 images to learn from and 20 others, in the workspaces "mine" and "theirs" of two networks."""
    home = tmp_path_factory.mktemp("maps-home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALEXNET_HOME", str(home))
        for (module, field), value in SMALL.items():
            patch.setattr(module, field, value)
        small_checkpoint(data_home(), "tiny")
        small_store(data_home(), "set", train=40, val=20)
        small_checkpoint(data_home(), "other", seed=9)
        for name, network in (("mine", "tiny"), ("theirs", "other")):
            create_workspace(name, checkpoint=network, dataset="set")
            build_workspace(name)
    return home


@pytest.fixture
def mine(maps_home: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The workspace, in the home of this test."""
    monkeypatch.setenv("ALEXNET_HOME", str(maps_home))
    for (module, field), value in SMALL.items():
        monkeypatch.setattr(module, field, value)
    return find_workspace("mine")
