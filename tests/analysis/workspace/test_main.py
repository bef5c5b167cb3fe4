"""The command line: what it does, what it says, and with which status it ends."""

from pathlib import Path

import pytest

from alexnet_core.paths import data_home
from analysis.workspace import (
    Workspace,
    find_workspace,
    open_predictions,
    state_of,
)
from analysis.workspace.__main__ import main
from tests.analysis.workspace.small_world import small_checkpoint, small_photos

Said = pytest.CaptureFixture[str]


def test_a_folder_of_photographs_becomes_a_workspace_with_one_command(home: Path, tmp_path: Path, capsys: Said) -> None:
    photos = small_photos(tmp_path / "photos", classes=("cats", "dogs", "owls"))
    (photos / "owls" / "torn.png").write_bytes(b"\x89PNG")
    for _ in range(2):  # the same command again goes on, and has nothing to do
        assert main(["build", "pets", "--from", str(photos), "--checkpoint", "tiny"]) == 0
        said = capsys.readouterr().out
        assert "left out of train: owls/torn.png" in said or "left out of val: owls/torn.png" in said
        assert "pets: fresh; checkpoint tiny; images pets (train 33, val 3)" in said
        assert "linear head: top-1" in said
    assert open_predictions(find_workspace("pets")).num_rows == 36


def test_build_list_show_verify_and_remove(home: Path, capsys: Said) -> None:
    assert main(["build", "mine", "--dataset", "set", "--checkpoint", "tiny"]) == 0
    assert main(["list"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in said[-3:]] == ["prism", "tiny-imagenet", "mine"]
    assert main(["show", "mine"]) == 0
    shown = capsys.readouterr().out
    state = state_of(find_workspace("mine"))
    assert all(f"{name:12s} fresh" in shown and f"{found.bytes:,}" in shown for name, found in state.artefacts.items())
    assert shown.count("images/s") == 5
    assert main(["verify", "mine"]) == 0
    assert "every checksum is right" in capsys.readouterr().out
    occupied = sum(file.stat().st_size for file in find_workspace("mine").folder.rglob("*.*") if file.is_file())
    assert main(["remove", "mine"]) == 0
    assert f"mine: {occupied:,} bytes freed" in capsys.readouterr().out


def test_verify_ends_with_1_and_names_what_is_wrong(built: Workspace, capsys: Said) -> None:
    small_checkpoint(built.home, "tiny", seed=1)
    assert main(["verify", "mine"]) == 1
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 3
    assert all("belong to its checkpoint and images" in line for line in said)
    assert sum("The index of workspace 'mine' does not belong" in line for line in said) == 1
    assert main(["list"]) == 0
    assert "mine: stale" in capsys.readouterr().out


def test_another_data_home_can_be_named(small: None, tmp_path: Path, capsys: Said) -> None:
    elsewhere = tmp_path / "elsewhere"
    small_checkpoint(elsewhere, "tiny")
    photos = small_photos(tmp_path / "photos")
    where = ["--home", str(elsewhere)]
    assert main(["build", "pets", "--from", str(photos), "--checkpoint", "tiny", *where]) == 0
    assert main(["verify", "pets", *where]) == 0
    assert not data_home().exists()
    assert main(["remove", "pets", *where]) == 0
    assert f"with the images that were read for it ({elsewhere}" in capsys.readouterr().out
    assert [file for file in elsewhere.rglob("*pets*") if file.suffix != ".lock"] == []


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["show", "none"], "There is no workspace 'none'"),
        (["build", "none"], "There is no workspace 'none'"),
        (["build", "tiny-imagenet", "--checkpoint", "tiny"], "for a new workspace"),
        (["build", "pets", "--from", "nowhere", "--checkpoint", "tiny"], "does not exist"),
        (["remove", "../up"], "must be letters"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(home: Path, capsys: Said, command: list[str], message: str) -> None:
    assert main(command) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "%|" not in line and line.strip()]
    assert message in line


def test_an_interruption_says_that_the_command_goes_on(
    home: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("analysis.workspace.__main__.build_workspace", interrupted)
    assert main(["build", "prism"]) == 130
    assert "goes on where it stopped" in capsys.readouterr().err
