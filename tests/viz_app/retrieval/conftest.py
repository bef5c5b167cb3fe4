"""Fixtures of the Retrieval page's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from analysis.workspace import Workspace, find_workspace
from tests.analysis.workspace.small_world import small_home
from tests.viz_app.retrieval.world import make_world


@pytest.fixture(scope="session")
def retrieval_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data home with the small world in it, for all tests: leave it as it is."""
    with small_home(tmp_path_factory.mktemp("retrieval-home")) as home:
        make_world(home)
    return home


@pytest.fixture
def mine(retrieval_home: Path) -> Iterator[Workspace]:
    """A workspace in a home that the app reads in this test."""
    with small_home(retrieval_home):
        yield find_workspace("mine")
