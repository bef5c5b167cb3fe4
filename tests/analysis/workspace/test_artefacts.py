"""Exactly the right artefacts become stale, every flipped byte is found, and bad files are refused in one sentence."""

import shutil
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from alexnet_core.paths import checkpoints_dir, data_home, datasets_dir
from analysis.workspace import artefacts, build_workspace
from analysis.workspace.artefacts import (
    FILES,
    MANIFEST,
    manifest_of,
    open_features,
    open_head,
    open_index,
    open_predictions,
    open_thumbnails,
    state_of,
    verify_workspace,
)
from analysis.workspace.registry import Workspace, WorkspaceError, register
from tests.analysis.workspace.small_world import (
    CLASSES,
    array_file,
    content_of,
    delete,
    small_checkpoint,
    small_store,
)

READERS = {
    "thumbnails": open_thumbnails,
    "features": open_features,
    "predictions": open_predictions,
    "index": open_index,
}


def fresh(workspace: Workspace) -> set[str]:
    return {name for name, found in state_of(workspace).artefacts.items() if found.status == "fresh"}


def test_everything_is_missing_before_and_fresh_after_a_build(built: Workspace) -> None:
    state = state_of(built)
    assert (state.fresh, state.images, state.problem, state.progress) == (True, True, "", None)
    assert list(state.artefacts) == ["thumbnails", "features", "predictions", "index"]
    beside = {"manifest.json", "workspace.json", ".index.lock"}
    files = [file for file in built.folder.rglob("*") if file.relative_to(built.folder).as_posix() not in beside]
    assert state.bytes == sum(file.stat().st_size for file in files if file.is_file())
    assert verify_workspace("mine") == []
    shutil.rmtree(built.folder)
    register(built)
    assert {(found.status, found.bytes) for found in state_of(built).artefacts.values()} == {("missing", 0)}


@pytest.mark.parametrize(
    ("disturb", "still_fresh"),
    [
        (lambda workspace: small_checkpoint(workspace.home, "tiny", seed=1), {"thumbnails"}),
        (lambda workspace: register(replace(workspace, splits=("val",))), set()),
        (lambda workspace: new_store(workspace, seed=1), set()),
        (lambda workspace: new_store(workspace, classes=("n01", "n02", "n09")), set()),
        (lambda workspace: None, set(READERS)),
    ],
)
def test_other_inputs_make_exactly_what_follows_from_them_stale(
    built: Workspace, disturb: Callable[[Workspace], object], still_fresh: set[str]
) -> None:
    disturb(built)
    workspace = artefacts.find_workspace("mine")
    assert fresh(workspace) == still_fresh
    for name in set(READERS) - still_fresh:
        with pytest.raises(WorkspaceError, match=f"The {name} of workspace 'mine' .* build mine$"):
            READERS[name](workspace)
    for name in still_fresh:
        READERS[name](workspace)


def new_store(workspace: Workspace, *, classes: tuple[str, ...] = CLASSES, seed: int = 0) -> None:
    shutil.rmtree(datasets_dir(workspace.home) / "set")
    small_store(workspace.home, "set", classes=classes, seed=seed)


@pytest.mark.parametrize(
    ("version", "stale"),
    [
        ("thumbnails", {"thumbnails"}),
        ("features", {"features", "index"}),
        ("logits", {"predictions"}),
        ("predictions", {"predictions"}),
        ("index", {"index"}),
        ("head", set()),
    ],
)
def test_a_new_version_of_the_code_makes_its_artefacts_stale_and_only_these_are_rebuilt(
    built: Workspace, monkeypatch: pytest.MonkeyPatch, version: str, stale: set[str]
) -> None:
    monkeypatch.setitem(artefacts.VERSIONS, version, 99)
    assert fresh(built) == set(READERS) - stale
    places = {name: built.folder / FILES[name] for name in READERS}
    before = {name: array_file(place).stat().st_mtime_ns for name, place in places.items()}
    contents = {name: content_of(place) for name, place in places.items()}
    build_workspace("mine")
    assert state_of(built).fresh
    assert {name for name, place in places.items() if array_file(place).stat().st_mtime_ns != before[name]} == stale
    assert {name: content_of(place) for name, place in places.items()} == contents


@pytest.mark.parametrize("name", READERS)
def test_a_flipped_byte_is_found_and_rebuilt_once_the_file_is_deleted(built: Workspace, name: str) -> None:
    place = built.folder / FILES[name]
    whole, file = content_of(place), array_file(place)
    file.write_bytes(whole[:-40] + bytes([whole[-40] ^ 1]) + whole[-39:])
    (problem,) = verify_workspace("mine")
    assert str(place) in problem
    assert "delete it and run: python -m analysis.workspace build mine" in problem
    delete(place)
    build_workspace("mine")
    assert content_of(place) == whole
    assert verify_workspace("mine") == []


def test_changed_predictions_are_refused_even_at_the_same_length(built: Workspace) -> None:
    file = built.folder / FILES["predictions"]
    data = bytearray(file.read_bytes())
    data[100] ^= 1
    file.write_bytes(data)
    with pytest.raises(WorkspaceError, match="is not as it was built"):
        open_predictions(built)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
def test_a_file_that_was_cut_short_is_refused(built: Workspace, name: str, kept: float) -> None:
    file = array_file(built.folder / FILES[name])
    data = file.read_bytes()
    file.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(WorkspaceError, match=f"The {name} of workspace 'mine'"):
        READERS[name](built)
    assert len(verify_workspace("mine")) == 1


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_refused_where_the_manifest_was_made_to_fit(
    built: Workspace, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    place = built.folder / FILES[name]
    file = array_file(place)
    file.write_bytes(file.read_bytes()[:-30])
    manifest = manifest_of(built)
    assert manifest is not None
    entry = manifest.artefacts[name]._replace(bytes=artefacts.size_of(place), sha256=artefacts.sha256_of(place))
    artefacts.write_manifest(built, manifest._replace(artefacts={**manifest.artefacts, name: entry}))
    with pytest.raises(WorkspaceError, match="is not as it was built"):
        READERS[name](built)


def test_predictions_of_another_checkpoint_are_refused_where_the_manifest_was_made_to_fit(built: Workspace) -> None:
    file = built.folder / FILES["predictions"]
    table = pq.read_table(file)
    changed = {
        key: value.replace(b'"checkpoint_id": "', b'"checkpoint_id": "0')
        for key, value in table.schema.metadata.items()
    }
    pq.write_table(table.replace_schema_metadata(changed), file)
    manifest = manifest_of(built)
    assert manifest is not None
    entry = manifest.artefacts["predictions"]._replace(bytes=file.stat().st_size, sha256=artefacts.sha256_of_file(file))
    artefacts.write_manifest(built, manifest._replace(artefacts={**manifest.artefacts, "predictions": entry}))
    with pytest.raises(WorkspaceError, match="was made by checkpoint 0"):
        open_predictions(built)


def test_a_torn_manifest_is_no_manifest(built: Workspace) -> None:
    (built.folder / MANIFEST).write_text('{"inputs": {')
    assert manifest_of(built) is None
    assert fresh(built) == set()


def test_without_its_images_what_was_computed_can_still_be_read(built: Workspace) -> None:
    table = open_predictions(built)
    shutil.rmtree(datasets_dir(data_home()) / "set")
    state = state_of(built)
    assert (state.images, state.fresh) == (False, True)
    assert open_predictions(built).equals(table)


def test_a_missing_checkpoint_and_images_of_another_size_are_a_problem_in_words(built: Workspace) -> None:
    register(replace(built, checkpoint="gone"))
    assert "no checkpoint 'gone'" in state_of(artefacts.find_workspace("mine")).problem
    register(replace(built, checkpoint="tiny-imagenet-127"))
    assert "reads images of 64 px, 'set' holds 16 px" in state_of(artefacts.find_workspace("mine")).problem
    shutil.rmtree(checkpoints_dir(data_home()))


def test_the_index_finds_what_numpy_finds(built: Workspace) -> None:
    features = np.asarray(open_features(built), np.float64)
    distances = ((features[:, None] - features[None]) ** 2).sum(-1)
    rows, found = open_index(built).search(features, len(features))
    assert found**2 == pytest.approx(np.sort(distances, axis=1), rel=1e-9, abs=1e-9)
    assert rows.tolist() == np.argsort(distances, axis=1, kind="stable").tolist()


def test_the_index_keeps_no_copy_of_the_features(built: Workspace) -> None:
    assert artefacts.size_of(built.folder / FILES["index"]) < (built.folder / FILES["features"]).stat().st_size
    assert isinstance(open_index(built).features_, np.memmap)


def test_an_index_of_another_layout_is_stale(built: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artefacts, "INDEX_VERSION", 99)
    assert fresh(built) == set(READERS) - {"index"}


def test_there_is_no_head_where_the_classes_are_the_checkpoints(built: Workspace) -> None:
    assert open_head(built) is None
