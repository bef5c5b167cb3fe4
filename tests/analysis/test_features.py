"""Feature stores against single images, killed and shared passes, damaged files, and numpy's own indexing."""

import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from alexnet_core import Checkpoint, load_checkpoint
from alexnet_core.paths import checkpoints_dir, data_home, features_dir
from alexnet_core.store import ImageStore
from analysis import shards
from analysis.features import (
    FeatureStore,
    extract,
    list_feature_stores,
    open_feature_store,
    open_features_of,
    tap_of,
)
from analysis.features.__main__ import main
from analysis.workspace import build_workspace, create_workspace, open_features
from tests.analysis.workspace.small_world import SMALL, small_checkpoint, small_store

N = {"train": 21, "val": 13}
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    for (place, field), value in SMALL.items():
        monkeypatch.setattr(place, field, value)


@pytest.fixture
def images() -> ImageStore:
    return small_store(data_home(), "set")


@pytest.fixture
def checkpoint() -> Checkpoint:
    return load_checkpoint(small_checkpoint(data_home(), "tiny"))


@pytest.fixture
def store(checkpoint: Checkpoint, images: ImageStore) -> FeatureStore:
    (found,) = extract(checkpoint, images, dtype="float32")
    return found


def one_by_one(checkpoint: Checkpoint, images: ImageStore, tap: str) -> NDArray[np.float32]:
    """What a stage gives for single images, train before val."""
    found = []
    for name in images.splits:
        for image in images.split(name).images:
            batch = checkpoint.preprocess.centre(torch.from_numpy(np.array(image[None])))
            _, kept = checkpoint.model.run(batch, taps=[tap])
            found.append(kept[tap].numpy().reshape(-1))  # (channel, row, column)
    return np.stack(found)


def contents(home: Path | None = None) -> dict[str, bytes]:
    """The bytes of all that a pass leaves, but for locks."""
    folder = features_dir(home)
    files = (file for file in sorted(folder.rglob("*")) if file.is_file() and file.suffix != ".lock")
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def test_every_stage_is_what_the_network_gives_for_single_images(checkpoint: Checkpoint, images: ImageStore) -> None:
    names = list(checkpoint.model.stages)
    found = {store.stage: store for store in extract(checkpoint, images, names, dtype="float32")}
    assert set(found) == {tap_of(name, names) for name in names}
    for tap, store in found.items():
        truth = one_by_one(checkpoint, images, tap)
        assert store.shape == truth.shape
        np.testing.assert_allclose(store[:], truth, rtol=1e-4, atol=1e-5 * np.abs(truth).max())


def test_a_layer_means_what_it_passes_on_and_all_else_means_itself() -> None:
    stages = ["conv1", "norm1", "relu1", "conv2", "fc7", "relu7", "drop7", "fc8"]
    assert [tap_of(name, stages) for name in stages] == [
        "relu1", "norm1", "relu1", "conv2", "relu7", "relu7", "drop7", "fc8",
    ]  # fmt: skip
    with pytest.raises(ValueError, match=r"Unknown stage 'fc9'; choose from \['conv1'"):
        tap_of("fc9", stages)


def test_rows_are_those_of_a_workspace(checkpoint: Checkpoint, images: ImageStore) -> None:
    create_workspace("mine", checkpoint="tiny", dataset="set")
    gallery = np.array(open_features(build_workspace("mine")), np.float32)
    (store,) = extract(checkpoint, images)
    np.testing.assert_allclose(store[:], gallery, rtol=2e-3, atol=2e-3)
    train, val = images.split("train"), images.split("val")
    assert store.labels().tolist() == [*train.labels, *val.labels]
    assert store.ids == [*train.paths, *val.paths]
    assert (store.rows_of("train"), store.rows_of("val")) == (slice(0, 21), slice(21, 34))


def test_float16_is_float32_rounded(checkpoint: Checkpoint, images: ImageStore, store: FeatureStore) -> None:
    (half,) = extract(checkpoint, images, dtype="float16")
    assert (half.dtype, store.dtype) == (np.float16, np.float32)
    assert np.array_equal(half[:], store[:].astype(np.float16))
    assert not np.array_equal(half[:].astype(np.float32), store[:])


def test_values_that_float16_cannot_hold_are_refused(checkpoint: Checkpoint, images: ImageStore) -> None:
    loud = checkpoint.model.stages["fc7"]
    loud.weight *= 1e6
    with pytest.raises(ValueError, match=r"relu7 gives values beyond 65,504, .* keep them as float32"):
        extract(checkpoint, images)
    (store,) = extract(checkpoint, images, dtype="float32")
    assert store[:].max() > 65504


KEYS = [
    3, -1, slice(None), slice(5, 20), slice(20, 22), slice(7, 8), slice(30, 99), slice(9, 4), slice(None, None, 3),
    slice(25, 2, -4), [], [33, 0, 8, 7, 8, -34], np.arange(34) % 5 == 0, np.array([[0, 33], [16, 15], [1, -1]]),
    np.uint8([9, 2]), np.zeros(34, bool),
]  # fmt: skip


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_rows_are_chosen_as_numpy_chooses_them(store: FeatureStore, key: object) -> None:
    whole = np.concatenate([np.load(store.folder / shard.name) for shard in store.shards])
    assert len(store.shards) == 5
    expected = whole[np.array([], int)] if isinstance(key, list) and not key else whole[key]  # type: ignore[index]
    assert np.array_equal(store[key], expected)  # type: ignore[index]


def test_rows_are_copies_and_blocks_and_the_whole_agree(store: FeatureStore) -> None:
    first, whole = store[0], np.asarray(store)
    first[:] = -1
    assert (store[0] >= 0).all()
    assert [len(block) for block in store.blocks(10)] == [10, 10, 10, 4]
    assert np.array_equal(np.concatenate(list(store.blocks(10))), whole)
    assert (len(store), whole.shape) == (34, store.shape)


@pytest.mark.parametrize("key", [34, -35, [0, 34], [0.5], np.ones(33, bool)], ids=str)
def test_rows_that_are_not_there_are_refused(store: FeatureStore, key: object) -> None:
    with pytest.raises(IndexError, match=r"rows 0 to 33|integers, a slice or a mask|shape \(34,\)"):
        store[key]  # type: ignore[index]


def test_what_is_there_is_not_computed_again(
    checkpoint: Checkpoint, images: ImageStore, store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analysis.features.extraction.outputs", None)
    (again,) = extract(checkpoint, images, ["relu7"], dtype="float32")
    assert again.folder == store.folder


def test_afresh_every_file_is_written_again_with_the_same_bytes(
    checkpoint: Checkpoint, images: ImageStore, store: FeatureStore
) -> None:
    before = contents()
    (store.folder / store.shards[1].name).write_bytes(b"torn")
    extract(checkpoint, images, dtype="float32", fresh=True)
    assert contents() == before
    with pytest.raises(ValueError, match="one process only"):
        extract(checkpoint, images, fresh=True, ranks=2)


def test_what_was_begun_with_other_software_is_not_mixed_in(
    checkpoint: Checkpoint, images: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert extract(checkpoint, images, ranks=2) == []
    monkeypatch.setattr(torch, "__version__", "2.99")
    (store,) = extract(checkpoint, images)
    assert store.software["torch"] == "2.99"
    assert [place for place in store.folder.parent.iterdir() if place.is_dir()] == [store.folder]


def test_any_number_of_ranks_in_any_order_ends_with_the_same_bytes(checkpoint: Checkpoint, images: ImageStore) -> None:
    extract(checkpoint, images, ["fc7", "pool5"])
    expected = contents()
    for ranks in (2, 7):  # more than there are shards
        shutil.rmtree(features_dir())
        found = [extract(checkpoint, images, ["fc7", "pool5"], rank=r, ranks=ranks) for r in reversed(range(ranks))]
        assert [len(each) for each in found][-1] == 2
        assert contents() == expected


def test_the_number_of_threads_changes_nothing_and_is_as_before_when_it_ends(
    checkpoint: Checkpoint, images: ImageStore
) -> None:
    extract(checkpoint, images, ["fc7", "pool5"])
    expected = contents()
    shutil.rmtree(features_dir())
    torch.set_num_threads(3)
    try:
        extract(checkpoint, images, ["fc7", "pool5"])
        with ThreadPoolExecutor(1) as pool:  # a new thread
            assert (torch.get_num_threads(), pool.submit(torch.get_num_threads).result()) == (3, 3)
    finally:
        torch.set_num_threads(1)
    assert contents() == expected


def run(*arguments: str, torchrun: bool = False) -> "subprocess.Popen[str]":
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", "2"] if torchrun else []
    line = [sys.executable, *launcher, "-m", "tests.analysis.small_features", *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(line, cwd=ROOT, env=environment, text=True, stdout=-1, stderr=-1)


def test_two_processes_under_torchrun_end_with_the_bytes_of_one(checkpoint: Checkpoint, images: ImageStore) -> None:
    shared = run("tiny", "set", "--home", str(data_home()), torchrun=True)
    out, err = shared.communicate()
    assert shared.returncode == 0, err
    assert out.count("tiny, relu7: 34 x 64 float16 in ") >= 1
    two = contents()
    shutil.rmtree(features_dir())
    extract(checkpoint, images)
    assert contents() == two


def test_killed_in_the_middle_it_goes_on_and_ends_with_the_same_bytes(checkpoint: Checkpoint) -> None:
    images = small_store(data_home(), "large", train=1600)
    (store,) = extract(checkpoint, images)
    expected = contents()
    shutil.rmtree(features_dir())
    child = run("tiny", "large", "--home", str(data_home()))
    while child.poll() is None and len(list(features_dir().glob("*/*/*.npy"))) < 5:
        time.sleep(0.001)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    left = contents()
    assert 5 <= len([name for name in left if name.endswith(".npy")]) < len(store.shards)
    with pytest.raises(ValueError, match="There are no features of fc7 by 'tiny' for 'large'; run: python -m analysis"):
        open_features_of(checkpoint, images)
    kept = next(features_dir().glob("*/*/000000.npy"))
    written = kept.stat().st_mtime_ns
    extract(checkpoint, images)
    assert contents() == expected
    assert kept.stat().st_mtime_ns == written


def test_killed_just_before_the_end_it_only_vouches_for_what_is_there(
    checkpoint: Checkpoint, images: ImageStore, store: FeatureStore
) -> None:
    expected, written = contents(), (store.folder / store.shards[0].name).stat().st_mtime_ns
    (store.folder / "manifest.json").unlink()
    (store.folder / "images.parquet").write_bytes(b"torn")
    (again,) = extract(checkpoint, images, dtype="float32")
    assert contents() == expected
    assert (again.folder / store.shards[0].name).stat().st_mtime_ns == written


def test_one_of_another_checkpoint_of_that_name_is_refused(store: FeatureStore, images: ImageStore) -> None:
    shutil.rmtree(checkpoints_dir())
    other = load_checkpoint(small_checkpoint(data_home(), "tiny", seed=1))
    with pytest.raises(ValueError, match=r"are of another checkpoint: .*, not ") as caught:
        open_features_of(other, images)
    assert other.id in str(caught.value)
    extract(other, images, dtype="float32")
    assert open_features_of(other, images).checkpoint_id == other.id
    assert open_feature_store(store.folder).checkpoint_id == store.checkpoint_id


def test_one_of_another_image_set_of_that_name_is_refused(store: FeatureStore, checkpoint: Checkpoint) -> None:
    shutil.rmtree(data_home() / "datasets")
    other = small_store(data_home(), "set", seed=1)
    with pytest.raises(ValueError, match=r"are of another image set: .*, not "):
        open_features_of(checkpoint, other)
    assert list_feature_stores(other.hash) == []


def test_a_missing_shard_is_refused_in_one_sentence(store: FeatureStore, checkpoint: Checkpoint) -> None:
    (store.folder / store.shards[2].name).unlink()
    with pytest.raises(ValueError, match=r"000002.npy is missing; delete the folder and run python -m analysis.feat"):
        open_feature_store(store.folder)
    with pytest.raises(ValueError, match=r"000002.npy is missing or torn"):
        store[17]
    assert list_feature_stores(store.store_hash) == []


def test_a_cut_shard_is_refused_and_a_changed_one_is_found(store: FeatureStore) -> None:
    file = store.folder / store.shards[2].name
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    with pytest.raises(ValueError, match=r"000002.npy must have \d.* bytes, has \d.*; delete the folder"):
        open_feature_store(store.folder)
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    changed = open_feature_store(store.folder)
    with pytest.raises(ValueError, match=r"000002.npy was changed after it was written"):
        changed.verify()
    file.write_bytes(whole)
    changed.verify()


def test_a_manifest_that_cannot_be_read_is_refused(store: FeatureStore) -> None:
    (store.folder / "manifest.json").write_text('{"checkpoint": "tiny"}')
    with pytest.raises(ValueError, match=r"manifest.json is no readable manifest of features \(KeyError"):
        open_feature_store(store.folder)


def test_stores_are_listed_for_their_images_and_opened_by_what_they_are_of(
    checkpoint: Checkpoint, images: ImageStore
) -> None:
    extract(checkpoint, images, ["pool5", "fc6"])
    extract(checkpoint, images, ["fc6"], splits=["val"], dtype="float32")
    extract(checkpoint, small_store(data_home(), "other", seed=2))
    found = [(store.stage, store.shape[0], store.dtype) for store in list_feature_stores(images.hash)]
    assert found == [("pool5", 34, np.float16), ("relu6", 34, np.float16), ("relu6", 13, np.float32)]
    assert open_features_of(checkpoint, images, "relu6").splits == N
    val = open_features_of(checkpoint, images, "fc6", splits=["val"])
    np.testing.assert_allclose(val[:], one_by_one(checkpoint, images, "relu6")[21:], rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="There are no features of fc6"):
        open_features_of(checkpoint, images, "fc6", dtype="float32")
    with pytest.raises(ValueError, match="not of 'train'"):
        val.rows_of("train")


def test_what_cannot_be_done_is_said_before_anything_is_computed(
    checkpoint: Checkpoint, images: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for wrong, said in (
        ({"stages": ["fc9"]}, "Unknown stage 'fc9'"),
        ({"splits": ["test"]}, r"Unknown split\(s\) \['test'\] of 'set'"),
        ({"dtype": "int8"}, "got 'int8'"),
    ):
        with pytest.raises(ValueError, match=said):
            extract(checkpoint, images, **wrong)  # type: ignore[arg-type]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 9, 0))  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match=r"GB free for this, has 0.0 GB"):
        extract(checkpoint, images)
    assert contents() == {}


def test_the_command_line_says_where_features_are_and_what_is_wrong(
    checkpoint: Checkpoint, images: ImageStore, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analysis.features.__main__.use_compiled", lambda: None)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert main(["tiny", "set", "--split", "val"]) == 0
    assert capsys.readouterr().out.startswith("Process 2 of 2 has done its part")
    monkeypatch.setenv("RANK", "0")
    assert main(["tiny", "set", "--split", "val"]) == 0
    folder = open_features_of(checkpoint, images, splits=["val"]).folder
    assert capsys.readouterr().out == f"tiny, relu7: 13 x 64 float16 in {folder}\n"
    assert main(["tiny", "nowhere"]) == 1
    assert "Data set 'nowhere' is not in" in capsys.readouterr().err


def test_shards_are_as_large_as_they_are_meant_to_be() -> None:
    assert (shards.IMAGES, shards.BATCH) == (8, 3)  # else the tests above cross no edge
