"""Fixtures of the Errors page's tests."""

from pathlib import Path

import pytest

from analysis.workspace import Workspace, find_workspace
from tests.analysis.workspace.small_world import SMALL
from tests.viz_app.errors.world import make_world


@pytest.fixture(scope="session")
def errors_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data home with the small world in it, for all tests: leave it as it is."""
    home = tmp_path_factory.mktemp("errors-home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALEXNET_HOME", str(home))
        for (module, field), value in SMALL.items():
            patch.setattr(module, field, value)
        make_world(home)
    return home


@pytest.fixture
def mine(errors_home: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The workspace whose classes are the network's, in a home that the app reads in this test."""
    monkeypatch.setenv("ALEXNET_HOME", str(errors_home))
    for (module, field), value in SMALL.items():
        monkeypatch.setattr(module, field, value)
    return find_workspace("mine")
