"""What is built against the network's own outputs, one image at a time."""

from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from alexnet_core.checkpoint import load_checkpoint
from alexnet_core.paths import data_home
from alexnet_core.predict import probabilities
from analysis.workspace import (
    Workspace,
    about,
    build_workspace,
    create_workspace,
    manifest_of,
    open_features,
    open_head,
    open_images,
    open_predictions,
    open_thumbnails,
)
from tests.analysis.workspace.small_world import small_store


def test_row_i_is_image_i_of_the_splits_in_order_in_every_artefact(built: Workspace) -> None:
    store, checkpoint = open_images(built), load_checkpoint("tiny")
    rows, features, thumbnails = open_predictions(built).to_pylist(), open_features(built), open_thumbnails(built)
    gallery = [(split, i) for split in ("train", "val") for i in range(store.splits[split].count)]
    assert len(rows) == len(features) == len(thumbnails) == len(gallery) == 34
    for row, (split, i) in enumerate(gallery):
        images, found = store.split(split), rows[row]
        stored = torch.from_numpy(np.array(images.images[i]))[None]
        p = probabilities(checkpoint.model, checkpoint.preprocess, stored)[0].numpy()
        label = int(images.labels[i])
        assert (found["id"], found["split"], found["path"], found["label"]) == (row, split, images.paths[i], label)
        assert found["top_probabilities"] == pytest.approx(sorted(p)[::-1], abs=1e-5)
        assert found["probability"] == pytest.approx(p[label], abs=1e-5)
        assert found["rank"] == (p > p[label]).sum()
        relu7 = checkpoint.model.run(checkpoint.preprocess.centre(stored), until="relu7")[0][0].numpy()
        assert features[row] == pytest.approx(relu7, rel=1e-3, abs=1e-3)
        shown = np.asarray(Image.open(BytesIO(thumbnails[row])), float)
        assert shown.mean((0, 1)) == pytest.approx(images.images[i].mean((1, 2)), abs=4)


def test_the_manifest_tells_counts_and_rates(built: Workspace) -> None:
    manifest = manifest_of(built)
    assert manifest is not None
    assert (manifest.images, manifest.checkpoint, manifest.head) == ({"train": 21, "val": 13}, "tiny", None)
    assert manifest.pass_rate is not None
    assert manifest.pass_rate > 0
    assert all(entry.rate > 0 for entry in manifest.artefacts.values())
    assert not (built.folder / "shards").exists()


def test_the_table_says_what_it_is_about(built: Workspace) -> None:
    store, found = open_images(built), about(open_predictions(built))
    assert (found.checkpoint, found.checkpoint_id) == ("tiny", load_checkpoint("tiny").id)
    assert (found.dataset, found.store_hash, found.judge) == ("set", store.hash, "fc8")
    assert (found.classes, found.class_names) == (store.classes, store.class_names)


@pytest.fixture
def own_classes(home: object) -> Workspace:
    """A workspace whose images have classes of their own."""
    small_store(data_home(), "birds", classes=("owl", "jay"), train=30, val=10)
    create_workspace("birds", checkpoint="tiny", dataset="birds")
    return build_workspace("birds")


def test_a_linear_head_judges_in_the_classes_of_the_images(own_classes: Workspace) -> None:
    table, features = open_predictions(own_classes), np.asarray(open_features(own_classes), np.float32)
    store, head, manifest = open_images(own_classes), open_head(own_classes), manifest_of(own_classes)
    assert head is not None
    assert about(table).judge == "head"
    assert about(table).classes == ("owl", "jay")
    logits = features @ head.weight.T + head.bias
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = store.split("val").labels
    held_out = table.slice(30).to_pylist()  # judged by the head that is stored; training images are not
    assert [row["probability"] for row in held_out] == pytest.approx(p[30:][range(10), labels], abs=1e-4)
    assert manifest is not None
    assert manifest.head is not None
    assert manifest.head.n == 10
    assert manifest.head.accuracy == np.mean([row["rank"] == 0 for row in held_out])
    assert manifest.head.low < manifest.head.accuracy <= manifest.head.high + 1e-9
    trained = [row["probability"] for row in table.slice(0, 30).to_pylist()]
    assert np.abs(np.array(trained) - p[range(30), store.split("train").labels]).max() > 1e-3


def test_new_photographs_are_judged_as_the_gallery_is(own_classes: Workspace) -> None:
    head = open_head(own_classes)
    assert head is not None
    logs = head.log_probabilities(open_features(own_classes)[30:])
    assert np.exp(logs).sum(1) == pytest.approx(np.ones(10))
    expected = [row["loss"] for row in open_predictions(own_classes).slice(30).to_pylist()]
    assert -logs[range(10), open_images(own_classes).split("val").labels] == pytest.approx(expected, rel=1e-4)
