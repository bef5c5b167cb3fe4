"""Turn a finished training run into a checkpoint that is small enough to ship: ``python -m alexnet_core.export``."""

import argparse
import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from alexnet_core.checkpoint import config_from_json, load_checkpoint, save_checkpoint
from alexnet_core.config import named_config
from alexnet_core.data import open_dataset
from alexnet_core.model import AlexNet
from alexnet_core.paths import checkpoints_dir
from alexnet_core.predict import predict_stored, rank_of_truth
from alexnet_core.preprocess import Preprocess
from alexnet_core.store import ImageStore
from alexnet_core.train import preprocess_of, read_state, with_prefix

logger = logging.getLogger(__name__)

# fc6 and fc7 hold nine tenths of the weights and bear the coarsest steps; biases stay in float32.
SHIPPING_BITS = {f"conv{i}.weight": 8 for i in range(1, 6)} | {
    "fc6.weight": 4,
    "fc7.weight": 4,
    "fc8.weight": 8,
}


def export_run(run: Path, name: str, folder: Path, *, bits: dict[str, int], views: int = 10) -> Path:
    """Store the run's network as checkpoint `name`, measured before and after quantisation on the validation set.

    The card tells how the run came to be and both accuracies; conv1's snapshots go into
    ``NAME.conv1.safetensors``. Returns the card's path. Raises ``ValueError`` if the data set differs from the
    one of the run, or if the run saw other colours or classes than the data set's: a checkpoint is for its images
    as they are.
    """
    tensors, state = read_state(run)
    if state["config"].get("colours", "original") != "original" or state["config"].get("classes"):
        raise ValueError(f"{run} was trained on other colours or fewer classes than the data set's; it stays a run.")
    store = open_dataset(state["config"]["dataset"])
    if store.hash != state["data_hash"]:
        raise ValueError(f"{run} was trained on other images than those of {store.name!r} here.")
    model, preprocess = network_of(tensors, state, len(store.classes))
    about = {
        "training": state["config"] | {"device": state["device"], "seconds": round(state["progress"]["seconds"])},
        "dataset": store.name,
        "data_hash": store.hash,
        "seed": state["config"]["seed"],
        "commit": state["commit"],
        "torch": state["torch"],
        "curve": state["progress"]["curve"],
        "conv1_decay": state["progress"]["conv1_decay"],
    }
    exact = _accuracy(model, preprocess, store, views, "float32")
    classes = [{"id": id_, "name": text} for id_, text in zip(store.classes, store.class_names, strict=True)]
    path = save_checkpoint(folder, name, model, preprocess, classes, about=about, storage_bits=bits)
    stored = _accuracy(load_checkpoint(path).model, preprocess, store, views, "as stored")
    metrics = {"images": "validation", "views": views, "float32": exact, "as_stored": stored}
    path = save_checkpoint(
        folder, name, model, preprocess, classes, about=about | {"metrics": metrics}, storage_bits=bits
    )
    _save_snapshots(folder / f"{name}.conv1.safetensors", tensors["snapshots"], state["progress"])
    return path


def network_of(tensors: dict[str, Tensor], state: dict[str, Any], classes: int) -> tuple[AlexNet, Preprocess]:
    """The network of a run as far as it was saved, with its preprocessing; eval mode, no gradients."""
    mode = asdict(named_config(state["config"]["mode"], num_classes=classes))
    config = config_from_json(mode | state["config"]["network"])
    model = AlexNet(config)
    model.load_state_dict(with_prefix(tensors, "model."))
    return model.eval().requires_grad_(False), preprocess_of(tensors, state)


def _accuracy(model: AlexNet, preprocess: Preprocess, store: ImageStore, views: int, label: str) -> dict[str, float]:
    split = store.split("val")
    blocks = predict_stored([(model, preprocess)], split.images, views=views, progress=f"Validation, {label}")
    ranks = rank_of_truth(torch.cat(list(blocks)), torch.from_numpy(np.array(split.labels)))
    return {
        "top1": (ranks < 1).double().mean().item(),
        "top5": (ranks < 5).double().mean().item(),
        "n": len(ranks),
    }


def _save_snapshots(path: Path, snapshots: Tensor, progress: dict[str, Any]) -> None:
    """conv1 over training, float16 (steps, 96, 3, 11, 11), with the step and what noise is left at each."""
    about = {"steps": progress["snapshot_steps"], "noise_left": progress["snapshot_decays"]}
    beside = path.with_suffix(".part")
    save_file({"kernels": snapshots}, beside, metadata={key: json.dumps(value) for key, value in about.items()})
    beside.replace(path)


def main(arguments: list[str] | None = None) -> None:
    """Store a training run as a small checkpoint, with its accuracy measured on the validation images."""
    parser = argparse.ArgumentParser(prog="python -m alexnet_core.export", description=main.__doc__)
    parser.add_argument("run", type=Path, help="folder of the training run")
    parser.add_argument("--name", help="name of the checkpoint (default: the run's folder name)")
    parser.add_argument("--to", type=Path, help="folder (default: the data home's checkpoints)")
    parser.add_argument("--full-precision", action="store_true", help="keep float32 weights")
    parser.add_argument("--views", type=int, choices=(1, 10), default=10)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    bits = {} if options.full_precision else SHIPPING_BITS
    folder = options.to or checkpoints_dir()
    try:
        path = export_run(options.run, options.name or options.run.name, folder, bits=bits, views=options.views)
    except (FileNotFoundError, ValueError) as problem:
        parser.error(str(problem))
    metrics = json.loads(path.read_text())["metrics"]
    logger.info(
        "%s: top-1 %.2f %% / top-5 %.2f %% (float32: %.2f / %.2f)",
        path,
        *(100 * metrics[kind][top] for kind in ("as_stored", "float32") for top in ("top1", "top5")),
    )


if __name__ == "__main__":
    main()
