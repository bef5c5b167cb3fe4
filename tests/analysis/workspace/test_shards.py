"""The pass over a gallery against one image at a time, and what it does again after an interruption."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from alexnet_core.checkpoint import Checkpoint, load_checkpoint
from alexnet_core.data import open_dataset
from alexnet_core.store import ImageStore
from analysis.shards import Shard, shards_of
from analysis.workspace import shards as module
from analysis.workspace.shards import GalleryShards, compute_gallery

CPU = torch.device("cpu")
KEYS: dict[str, str] = {"features": "f" * 64, "logits": "l" * 64, "thumbnails": "t" * 64}


@pytest.fixture
def store(home: Path) -> ImageStore:
    return open_dataset("set")


@pytest.fixture
def checkpoint(home: Path) -> Checkpoint:
    return load_checkpoint("tiny")


def shards_in(store: ImageStore, split: str) -> list[Shard]:
    return shards_of({split: store.splits[split].count})


def test_all_parts_equal_those_of_one_image_at_a_time(
    store: ImageStore, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    folder, shards, counted = GalleryShards(tmp_path / "s", KEYS), shards_in(store, "val"), []
    compute_gallery(folder, shards, store, checkpoint, device=CPU, advance=counted.append)
    assert sum(counted) == 13
    features = np.concatenate([folder.array("features", shard) for shard in shards])
    logits = np.concatenate([folder.array("logits", shard) for shard in shards])
    jpegs = [jpeg for shard in shards for jpeg in folder.jpegs(shard)]
    assert features.dtype == np.float16
    for i, pixels in enumerate(store.split("val").images):
        image = checkpoint.preprocess.centre(torch.from_numpy(np.array(pixels))[None])
        expected, taps = checkpoint.model.run(image, taps=["relu7"])
        assert logits[i] == pytest.approx(expected[0].numpy(), rel=1e-4, abs=1e-5)
        assert features[i] == pytest.approx(taps["relu7"][0].numpy(), rel=1e-3, abs=1e-3)
        shown = np.asarray(Image.open(BytesIO(jpegs[i])), float)
        assert shown.mean((0, 1)) == pytest.approx(pixels.mean((1, 2)), abs=4)
    assert np.ptp(features, axis=0).max() > 0.1  # not the same for every image


def test_only_missing_parts_are_computed_again(
    store: ImageStore, checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, shards = GalleryShards(tmp_path / "s", KEYS), shards_in(store, "train")
    compute_gallery(folder, shards, store, checkpoint, device=CPU, advance=lambda _: None)
    kept = {file: file.read_bytes() for file in (tmp_path / "s").rglob("*.*")}
    lost = [folder.file("logits", shards[1]), folder.file("thumbnails", shards[2])]
    for file in lost:
        file.unlink()
    computed: list[tuple[int, list[str]]] = []
    compute = module._compute

    def spied(batch, parts, **rest):  # type: ignore[no-untyped-def]
        computed.append((len(batch.images), parts))
        return compute(batch, parts, **rest)

    monkeypatch.setattr(module, "_compute", spied)
    compute_gallery(folder, shards, store, checkpoint, device=CPU, advance=lambda _: None)
    assert computed == [(3, ["logits"]), (3, ["logits"]), (2, ["logits"]), (3, ["thumbnails"]), (2, ["thumbnails"])]
    assert {file: file.read_bytes() for file in (tmp_path / "s").rglob("*.*")} == kept


def test_an_error_while_images_are_loaded_reaches_the_caller(checkpoint: Checkpoint, tmp_path: Path) -> None:
    class Torn:
        def __getitem__(self, rows: slice) -> np.ndarray:
            raise OSError("torn")

    store = open_dataset("set")
    split = store.split("val")._replace(images=Torn())  # type: ignore[arg-type]
    broken = type("Broken", (), {"split": lambda self, name: split, "splits": store.splits})()
    with pytest.raises(OSError, match="torn"):
        compute_gallery(
            GalleryShards(tmp_path, KEYS), shards_in(store, "val"), broken, checkpoint, device=CPU, advance=print
        )
