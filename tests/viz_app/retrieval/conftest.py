"""Fixtures of the Retrieval page's tests."""

from pathlib import Path

import pytest

from analysis.workspace import Workspace, find_workspace
from tests.analysis.workspace.small_world import SMALL
from tests.viz_app.retrieval.world import make_world


@pytest.fixture(scope="session")
def retrieval_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data home with the small world in it, for all tests: leave it as it is."""
    home = tmp_path_factory.mktemp("retrieval-home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALEXNET_HOME", str(home))
        for (module, field), value in SMALL.items():
            patch.setattr(module, field, value)
        make_world(home)
    return home


@pytest.fixture
def mine(retrieval_home: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace in a home that the app reads in this test."""
    monkeypatch.setenv("ALEXNET_HOME", str(retrieval_home))
    for (module, field), value in SMALL.items():
        monkeypatch.setattr(module, field, value)
    return find_workspace("mine")
