"""A small world with everything that the Errors page needs: networks, images, workspaces and evaluations."""

from pathlib import Path

import torch

from alexnet_core import load_checkpoint
from alexnet_core.checkpoint import save_checkpoint
from alexnet_core.data import open_dataset
from alexnet_core.paths import checkpoints_dir
from analysis.evaluate import evaluate
from analysis.workspace import build_workspace, create_workspace
from tests.analysis.workspace.small_world import small_checkpoint, small_store

TRAIN, VAL = 30, 60  # images of the data set "set"


def make_world(home: Path) -> None:
    """Workspace "mine" (its classes are the network's) and "others" (a linear head judges), and four evaluations."""
    undecided_checkpoint(home, "tiny", seed=0)
    undecided_checkpoint(home, "second", seed=1)
    small_store(home, "set", train=TRAIN, val=VAL)
    small_store(home, "set-of-two", classes=("n08", "n09"), train=24, val=12, seed=3)
    for name, dataset in (("mine", "set"), ("others", "set-of-two")):
        create_workspace(name, checkpoint="tiny", dataset=dataset)
        build_workspace(name)
    networks = [load_checkpoint("tiny"), load_checkpoint("second")]
    evaluate(networks, open_dataset("set"), views=(1,), home=home)
    evaluate(networks[:1], open_dataset("set"), views=(1,), off=("A",), home=home)


def undecided_checkpoint(home: Path, name: str, *, seed: int) -> None:
    """A network whose probabilities are not all 0 or 1, so that they tell one image from another."""
    small_checkpoint(home, name, seed=seed)
    model, card, preprocess = load_checkpoint(name)
    with torch.no_grad():
        model.stages["fc8"].weight *= 0.05  # type: ignore[operator]
    save_checkpoint(checkpoints_dir(home), name, model, preprocess, card["classes"], about={"seed": seed})
