"""From a finished run to a small checkpoint whose card tells the truth about it."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from alexnet_core import checkpoint, export
from alexnet_core.checkpoint import Checkpoint, load_checkpoint
from alexnet_core.export import SHIPPING_BITS, export_run
from alexnet_core.model import build_model
from alexnet_core.paths import checkpoints_dir, datasets_dir
from alexnet_core.quantise import quantise
from alexnet_core.store import ImageStore
from alexnet_core.train import Run, TrainConfig

pytestmark = pytest.mark.usefixtures("slim")

CONFIG = TrainConfig(
    preset="tiny",
    dataset="easy",
    network={"input_size": 63, "conv_std": [0.01, 0.03, 0.06, 0.06, 0.06], "fc_std": [0.15, 0.15, 0.15]},
    full_size=70,
    batch_size=8,
    epochs=3,
    held_out=8,
    seed=11,
    schedule="cosine",
    precision="fp32",
)


@pytest.fixture
def run(tmp_path: Path, make_store: Callable[..., ImageStore]) -> Run:
    """A short finished run on the easy set."""
    finished = Run(tmp_path / "run", CONFIG, make_store("easy"), torch.device("cpu"))
    finished.folder.mkdir()
    finished.train()
    return finished


def right_answers(checkpoint: Checkpoint, store: ImageStore, views: int) -> float:
    """Share of validation images whose mean softmax output is largest for the truth, one by one."""
    images, labels, _ = store.split("val")
    right = 0
    for image, label in zip(images, labels, strict=True):
        stored = torch.from_numpy(image.copy())[None]
        crops = checkpoint.preprocess.ten_views(stored)[0] if views == 10 else checkpoint.preprocess.centre(stored)
        with torch.no_grad():
            right += int(checkpoint.model(crops).softmax(1).mean(0).argmax()) == label
    return right / len(labels)


@pytest.mark.parametrize("views", [1, 10])
def test_both_accuracies_on_the_card_are_those_of_counting(tmp_path: Path, run: Run, views: int) -> None:
    stored = export_run(run.folder, "few-bits", tmp_path, bits=SHIPPING_BITS, views=views)
    exact = export_run(run.folder, "all-bits", tmp_path, bits={}, views=views)
    metrics = json.loads(stored.read_text())["metrics"]
    assert (metrics["images"], metrics["views"]) == ("validation", views)
    assert metrics["as_stored"]["top1"] == right_answers(load_checkpoint(stored), run.store, views)
    assert metrics["float32"]["top1"] == right_answers(load_checkpoint(exact), run.store, views)
    assert metrics["float32"]["n"] == metrics["as_stored"]["n"] == 12
    assert json.loads(exact.read_text())["metrics"]["as_stored"] == metrics["float32"]


def test_the_card_does_not_hide_what_storing_costs(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "quantise", lambda weights, bits: quantise(0 * weights, bits))
    stored = export_run(run.folder, "ruined", tmp_path, bits=SHIPPING_BITS, views=1)
    metrics = json.loads(stored.read_text())["metrics"]
    assert metrics["as_stored"]["top1"] == right_answers(load_checkpoint(stored), run.store, 1) == 0.5
    assert metrics["float32"]["top1"] == 1


def test_full_precision_keeps_every_bit_of_the_run(tmp_path: Path, run: Run) -> None:
    loaded = load_checkpoint(export_run(run.folder, "exact", tmp_path, bits={}, views=1))
    for name, weights in run.model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], weights), name
    assert loaded.card["storage_bits"] == {}
    torch.testing.assert_close(loaded.preprocess.mean, run.preprocess.mean, rtol=0, atol=0.0626)


def test_the_card_tells_how_the_run_came_to_be(tmp_path: Path, run: Run) -> None:
    card = load_checkpoint(export_run(run.folder, "tiny", tmp_path, bits=SHIPPING_BITS, views=1)).card
    assert card["classes"] == [{"id": "n01", "name": "red"}, {"id": "n02", "name": "blue, azure"}]
    assert (card["dataset"], card["data_hash"], card["seed"]) == ("easy", run.store.hash, 11)
    assert card["curve"] == run.progress.curve
    assert card["conv1_decay"] == run.progress.conv1_decay
    assert card["torch"] == torch.__version__
    assert (card["training"]["preset"], card["training"]["epochs"]) == ("tiny", 3)
    assert card["training"]["device"].startswith("CPU")
    assert card["storage_bits"] == SHIPPING_BITS


def test_the_commit_on_the_card_is_the_one_git_names(tmp_path: Path, run: Run) -> None:
    card = load_checkpoint(export_run(run.folder, "tiny", tmp_path, bits={}, views=1)).card
    root = Path(export.__file__).parents[1]
    told = subprocess.run(["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    assert card["commit"] == (told.stdout.strip() or "unknown")


def test_shipping_bits_name_all_weights_and_no_biases() -> None:
    with torch.device("meta"):
        names = [name.removeprefix("stages.") for name, _ in build_model("chm145").named_parameters()]
    assert SHIPPING_BITS.keys() == {name for name in names if name.endswith(".weight")}


def test_snapshots_of_conv1_lie_beside_with_their_steps(tmp_path: Path, run: Run) -> None:
    path = export_run(run.folder, "tiny", tmp_path, bits=SHIPPING_BITS, views=1)
    with safe_open(path.with_name("tiny.conv1.safetensors"), "np") as file:
        kernels, about = file.get_tensor("kernels"), file.metadata()
    assert json.loads(about["steps"]) == [0, 10, 12]
    assert json.loads(about["noise_left"]) == run.progress.snapshot_decays
    assert (kernels.shape, kernels.dtype) == ((3, 16, 3, 11, 11), np.float16)
    np.testing.assert_array_equal(kernels[-1], run.model.kernels("conv1").half().numpy())
    assert sorted(item.name for item in tmp_path.glob("tiny*")) == [
        "tiny.conv1.safetensors",
        "tiny.json",
        "tiny.safetensors",
    ]


def test_a_data_set_other_than_the_run_s_is_refused(
    tmp_path: Path, run: Run, make_store: Callable[..., ImageStore]
) -> None:
    (datasets_dir() / "easy").rename(datasets_dir() / "before")
    make_store("easy", seed=1)
    with pytest.raises(ValueError, match="other images"):
        export_run(run.folder, "tiny", tmp_path, bits={}, views=1)


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no run was saved"):
        export_run(tmp_path, "tiny", tmp_path, bits={}, views=1)


def test_the_command_writes_into_the_data_home_under_the_run_s_name(run: Run) -> None:
    export.main([str(run.folder), "--views", "1"])
    loaded = load_checkpoint("run")
    assert (loaded.card["name"], loaded.card["metrics"]["views"]) == ("run", 1)
    assert (checkpoints_dir() / "run.conv1.safetensors").exists()
    assert loaded.card["storage_bits"] == SHIPPING_BITS


def test_the_command_takes_a_name_a_folder_and_full_precision(tmp_path: Path, run: Run) -> None:
    export.main(
        [str(run.folder), "--name", "mine", "--to", str(tmp_path / "there"), "--full-precision", "--views", "1"]
    )
    assert load_checkpoint(tmp_path / "there" / "mine.json").card["storage_bits"] == {}


def test_a_run_in_few_bits_answers_like_the_run_itself(tmp_path: Path, run: Run) -> None:
    few, exact = (
        load_checkpoint(export_run(run.folder, name, tmp_path, bits=bits, views=1))
        for name, bits in (("few", SHIPPING_BITS), ("exact", {}))
    )
    images = torch.from_numpy(np.array(run.store.split("val").images))
    with torch.no_grad():
        rough, fine = (one.model(one.preprocess.centre(images)).softmax(1) for one in (few, exact))
    assert not torch.equal(rough, fine)
    torch.testing.assert_close(rough, fine, rtol=0, atol=0.1)


def test_a_network_with_unusual_fields_is_rebuilt_from_the_saved_state(
    tmp_path: Path, make_store: Callable[..., ImageStore]
) -> None:
    """JSON turns the tuples of a configuration into lists."""
    changes = {"towers": 4, "layer2": ("conv2", "relu2", "pool2")}
    config = replace(CONFIG, network=CONFIG.network | changes, epochs=1)
    run = Run(tmp_path / "run", config, make_store("easy"), torch.device("cpu"))
    run.folder.mkdir()
    run.train()
    loaded = load_checkpoint(export_run(run.folder, "odd", tmp_path, bits={}, views=1)).model
    assert list(loaded.stages) == list(run.model.stages)
    assert loaded.config.towers == 4
