"""Workspaces that come with the code and the user's own are found by name; others are refused in one sentence."""

from pathlib import Path

import pytest

from alexnet_core.paths import data_home
from analysis.workspace.registry import (
    BUILT_IN,
    REGISTRATION,
    Workspace,
    WorkspaceError,
    checkpoint_place,
    default_workspace,
    find_workspace,
    list_workspaces,
    open_images,
    register,
    workspace_folder,
)
from tests.analysis.workspace.small_world import small_checkpoint, small_store


def own(name: str, home: Path | None = None) -> Workspace:
    workspace = Workspace(
        name=name,
        folder=workspace_folder(name, home),
        checkpoint="tiny",
        dataset="photos",
        title="My photos",
        splits=("train", "val"),
        source=Path("photos").absolute(),
    )
    register(workspace)
    return workspace


def test_two_come_with_the_code_and_ones_own_follow_in_order() -> None:
    assert [workspace.name for workspace in list_workspaces()] == ["prism", "tiny-imagenet"]
    second, first = own("zoo"), own("album")
    assert list_workspaces()[2:] == [first, second]
    assert find_workspace("zoo") == second
    assert [workspace.built_in for workspace in list_workspaces()] == [True, True, False, False]


def test_another_home_has_its_own(tmp_path: Path) -> None:
    elsewhere = own("zoo", tmp_path / "elsewhere")
    assert elsewhere.home == tmp_path / "elsewhere"
    assert find_workspace("zoo", tmp_path / "elsewhere") == elsewhere
    with pytest.raises(WorkspaceError, match=r"no workspace 'zoo'; choose from \['prism', 'tiny-imagenet'\]"):
        find_workspace("zoo")


@pytest.mark.parametrize("name", ["", "../up", ".hidden", "a/b", "a b"])
def test_a_name_that_is_no_folder_is_refused(name: str) -> None:
    with pytest.raises(WorkspaceError, match="must be letters"):
        find_workspace(name)


def test_a_damaged_registration_is_refused_and_hides_no_other() -> None:
    broken, whole = own("broken"), own("whole")
    (broken.folder / REGISTRATION).write_text("{")
    assert list_workspaces()[2:] == [whole]
    with pytest.raises(WorkspaceError, match="damaged"):
        find_workspace("broken")


def test_the_photographs_are_the_default_where_they_are() -> None:
    assert default_workspace().name == "prism"
    small_store(data_home(), BUILT_IN["tiny-imagenet"].dataset)
    assert default_workspace().name == "tiny-imagenet"


def test_missing_images_are_named_with_the_command_that_gets_them() -> None:
    with pytest.raises(WorkspaceError, match=r"python -m analysis\.workspace build tiny-imagenet"):
        open_images(find_workspace("tiny-imagenet"))


def test_a_checkpoint_of_the_same_data_home_is_found_there(small: None, tmp_path: Path) -> None:
    home = tmp_path / "elsewhere"
    small_checkpoint(home, "tiny")
    assert checkpoint_place(own("zoo", home)) == home / "checkpoints" / "tiny.json"
    assert checkpoint_place(own("zoo")) == "tiny"
