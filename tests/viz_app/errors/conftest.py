"""Fixtures of the Errors page's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from analysis.workspace import Workspace, find_workspace
from tests.analysis.workspace.small_world import small_home
from tests.viz_app.errors.world import make_world


@pytest.fixture(scope="session")
def errors_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data home with the small world in it, for all tests: leave it as it is."""
    with small_home(tmp_path_factory.mktemp("errors-home")) as home:
        make_world(home)
    return home


@pytest.fixture
def mine(errors_home: Path) -> Iterator[Workspace]:
    """The workspace whose classes are the network's, in a home that the app reads in this test."""
    with small_home(errors_home):
        yield find_workspace("mine")
