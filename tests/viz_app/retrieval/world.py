"""A small world with everything that the Retrieval page needs: two networks, images, workspaces, another stage."""

from pathlib import Path

from alexnet_core import load_checkpoint
from alexnet_core.data import open_dataset
from analysis.features import extract
from analysis.workspace import build_workspace, create_workspace
from tests.analysis.workspace.small_world import small_checkpoint, small_store

TRAIN, VAL = 30, 84  # images of the data set "set"
STAGE = "pool5"  # whose features are there besides those of fc7


def make_world(home: Path) -> None:
    """Workspaces "mine" and "theirs", of the same images by two networks, and "others", of other images."""
    small_checkpoint(home, "tiny", seed=0)
    small_checkpoint(home, "second", seed=1)
    small_checkpoint(home, "lonely", seed=2)
    small_store(home, "set", train=TRAIN, val=VAL)
    small_store(home, "set-of-two", classes=("n08", "n09"), train=24, val=12, seed=3)
    for name, dataset, network in (
        ("mine", "set", "tiny"),
        ("theirs", "set", "second"),
        ("others", "set-of-two", "tiny"),
    ):
        create_workspace(name, checkpoint=network, dataset=dataset)
        build_workspace(name)
    extract(load_checkpoint("tiny"), open_dataset("set"), (STAGE,), home=home)
