"""Workspaces are made, built twice alike, taken up after an interruption, and removed to the last byte."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from alexnet_core.paths import data_home, datasets_dir, workspaces_dir
from analysis.workspace import (
    build_workspace,
    building,
    create_workspace,
    default_workspace,
    making,
    open_images,
    open_predictions,
    read_progress,
    remove_workspace,
    shards,
    state_of,
    verify_workspace,
)
from analysis.workspace.artefacts import FILES, MANIFEST, manifest_of
from analysis.workspace.progress import Progress, sole_builder
from analysis.workspace.registry import Workspace, WorkspaceError, find_workspace, list_workspaces
from tests.analysis.workspace.small_world import content_of, delete, small_checkpoint, small_photos, small_store


def contents(workspace: Workspace) -> dict[str, bytes]:
    files = (workspace.folder / name for name in FILES.values())
    return {file.name: content_of(file) for file in files if file.exists()}


def test_two_builds_give_the_same_bytes(built: Workspace) -> None:
    first = contents(built)
    for name in (*FILES.values(), MANIFEST):
        delete(built.folder / name)
    build_workspace("mine")
    assert contents(built) == first
    assert len(first) == 4


def test_an_index_of_an_earlier_version_gives_way_without_a_pass_over_the_images(
    built: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, manifest = contents(built), manifest_of(built)
    assert manifest is not None
    delete(built.folder / FILES["index"])
    (built.folder / "index.faiss").write_bytes(b"the features once more")
    monkeypatch.setattr(making, "compute_gallery", None)
    build_workspace("mine")
    assert not (built.folder / "index.faiss").exists()
    assert contents(built) == first
    again = manifest_of(built)
    assert again is not None
    assert again.artefacts | {"index": None} == manifest.artefacts | {"index": None}


def test_what_is_fresh_is_not_touched(built: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "compute_gallery", None)
    before = {file: file.stat().st_mtime_ns for file in built.folder.iterdir()}
    build_workspace("mine")
    assert {file: file.stat().st_mtime_ns for file in built.folder.iterdir()} == before


def test_an_interrupted_pass_goes_on_at_the_next_shard(
    built: Workspace, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_workspace("other", checkpoint="tiny", dataset="set")
    compute, seen = shards._compute, []

    def dies_in_the_third_shard(batch, parts, **rest):  # type: ignore[no-untyped-def]
        seen.append(len(batch.images))
        if sum(seen) > 18:
            raise KeyboardInterrupt
        return compute(batch, parts, **rest)

    monkeypatch.setattr(shards, "_compute", dies_in_the_third_shard)
    with pytest.raises(KeyboardInterrupt):
        build_workspace("other")
    told: list[Progress] = []

    def counts(batch, parts, **rest):  # type: ignore[no-untyped-def]
        seen.append(len(batch.images))
        return compute(batch, parts, **rest)

    monkeypatch.setattr(shards, "_compute", counts)
    seen.clear()
    build_workspace("other", report=told.append)
    assert sum(seen) == 34 - 16  # two whole shards of 8 were kept
    assert told[0].done == 16
    assert told[0].step == "Looking at the images: 16 of 34"
    assert contents(find_workspace("other")) == contents(built)


def test_shards_of_another_network_are_not_used(built: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    small_checkpoint(built.home, "tiny", seed=1)
    monkeypatch.setattr(making.Build, "make", None)
    with pytest.raises(TypeError):
        build_workspace("mine")  # stops after the pass
    monkeypatch.undo()
    small_checkpoint(built.home, "tiny")
    assert state_of(built).artefacts["features"].status == "stale"  # nothing vouches for it any more
    left = {place.name for place in (built.folder / "shards").iterdir()}
    assert len(left) == 2


def test_a_workspace_can_be_made_of_a_folder_of_photographs(home: Path, tmp_path: Path) -> None:
    photos = small_photos(tmp_path / "photos")
    (photos / "cats" / "broken.jpg").write_bytes(b"no picture")
    workspace = create_workspace("pets", checkpoint="tiny", images=photos, progress=False)
    assert (workspace.splits, workspace.source) == (("train", "val"), photos)
    build_workspace("pets")
    assert state_of(workspace).fresh
    store = open_images(workspace)
    assert sum(info.count for info in store.splits.values()) == 24
    assert [file.path for info in store.splits.values() for file in info.skipped] == ["cats/broken.jpg"]
    assert open_predictions(workspace).num_rows == 24
    shutil.rmtree(photos)
    build_workspace("pets")  # the photographs were read; they are not needed again


def test_making_it_again_goes_on_and_another_of_the_same_name_is_refused(home: Path, tmp_path: Path) -> None:
    photos, others = small_photos(tmp_path / "photos"), small_photos(tmp_path / "others")
    first = create_workspace("pets", checkpoint="tiny", images=photos, progress=False)
    assert create_workspace("pets", checkpoint="tiny", images=photos, progress=False) == first
    with pytest.raises(WorkspaceError, match=r"exists already, made of .*photos and checkpoint 'tiny'"):
        create_workspace("pets", checkpoint="tiny", images=others)
    with pytest.raises(WorkspaceError, match="comes with the code"):
        create_workspace("prism", checkpoint="tiny", images=photos)
    with pytest.raises(WorkspaceError, match="A data set is called 'set' already"):
        create_workspace("set", checkpoint="tiny", images=photos)


def test_a_killed_reading_of_photographs_is_taken_up_by_name_alone(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(building, "fetch", killed)
    with pytest.raises(KeyboardInterrupt):
        create_workspace("pets", checkpoint="tiny", images=small_photos(tmp_path / "photos"))
    monkeypatch.undo()
    monkeypatch.setenv("ALEXNET_HOME", str(home))
    assert state_of(find_workspace("pets")).images is False


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"checkpoint": "gone", "dataset": "set"}, "no checkpoint 'gone'"),
        ({"checkpoint": "tiny", "dataset": "gone"}, "not there"),
        ({"checkpoint": "tiny", "images": Path("gone")}, "does not exist"),
        ({"checkpoint": "tiny-imagenet-127", "dataset": "set"}, "reads images of 64 px"),
        ({"checkpoint": "tiny"}, "one of the two"),
    ],
)
def test_what_cannot_be_used_is_refused_and_leaves_nothing(
    home: Path, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(WorkspaceError, match=message):
        create_workspace("new", **arguments)  # type: ignore[arg-type]
    assert [workspace.name for workspace in list_workspaces()] == ["prism", "tiny-imagenet"]
    assert not (workspaces_dir() / "new").exists()


def test_too_few_photographs_of_a_class_are_refused_before_any_work(home: Path, tmp_path: Path) -> None:
    photos = small_photos(tmp_path / "photos", each=6)
    for file in sorted((photos / "dogs").iterdir())[2:]:
        file.unlink()
    create_workspace("pets", checkpoint="tiny", images=photos, progress=False)
    with pytest.raises(WorkspaceError, match=r"too few of dogs \(1\)"):
        build_workspace("pets")


def test_images_that_are_published_nowhere_and_gone_are_named(built: Workspace) -> None:
    shutil.rmtree(datasets_dir() / "set")
    with pytest.raises(WorkspaceError, match="not there"):
        build_workspace("mine")


def test_removing_frees_every_byte_of_ones_own_and_keeps_a_data_set_that_was_there(
    built: Workspace, tmp_path: Path
) -> None:
    create_workspace("pets", checkpoint="tiny", images=small_photos(tmp_path / "photos"), progress=False)
    build_workspace("pets")
    occupied = sum(
        file.stat().st_size for kept in data_home().glob("*/pets") for file in kept.rglob("*") if file.is_file()
    )
    assert remove_workspace("pets") == occupied > 0
    assert not (datasets_dir() / "pets").exists()
    assert remove_workspace("mine") > 0
    assert open_images(built).name == "set"
    assert [workspace.name for workspace in list_workspaces()] == ["prism", "tiny-imagenet"]


def test_neither_build_nor_removal_disturbs_a_running_build(built: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analysis.workspace.progress.PATIENCE", 0.05)
    with sole_builder(built) as reporter:
        reporter.say("Working")
        for attempt in (build_workspace, remove_workspace):
            with pytest.raises(WorkspaceError, match="built by another process"):
                attempt("mine")
        assert read_progress(built) is not None
    assert state_of(built).fresh


def test_a_built_in_workspace_takes_its_images_from_an_archive(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {}

    def fetched(recipe: str, given: Path | None, **options: object) -> object:
        asked.update(options, recipe=recipe, given=given)
        return small_store(home, "tiny-imagenet-64")

    monkeypatch.setattr(building, "fetch", fetched)
    with pytest.raises(WorkspaceError, match="does not fit its card"):  # so far it came: units are few here
        build_workspace("tiny-imagenet", images=tmp_path / "archive.zip")
    assert (asked["recipe"], asked["given"], asked["size"]) == ("tiny-imagenet", tmp_path / "archive.zip", 64)
    assert asked["name"] == "tiny-imagenet-64"
    assert default_workspace().name == "tiny-imagenet"


def test_without_a_network_the_download_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("the address could not be fetched: no network.")

    monkeypatch.setattr(building, "fetch", offline)
    with pytest.raises(WorkspaceError, match="no network"):
        build_workspace("tiny-imagenet")


def test_builds_that_are_killed_at_random_moments_end_with_the_same_bytes() -> None:
    command = [sys.executable, "-m", "tests.analysis.workspace.kill_workspace", "--times", "4"]
    run = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("killed after") == 4


def test_every_problem_of_a_workspace_is_told(built: Workspace) -> None:
    delete(built.folder / FILES["index"])
    (built.folder / FILES["features"]).write_bytes(b"")
    assert len(verify_workspace("mine")) == 2
