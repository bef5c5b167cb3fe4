"""Where data sets, downloads and runs are kept on this machine."""

import os
from pathlib import Path

from platformdirs import user_data_dir


def data_home() -> Path:
    """Folder for everything large: ``$ALEXNET_HOME`` if set, else the platform's user data folder."""
    if chosen := os.environ.get("ALEXNET_HOME"):
        return Path(chosen).expanduser()
    return Path(user_data_dir("alexnet-toolkit", appauthor=False))


def datasets_dir(home: Path | None = None) -> Path:
    """Folder of built image stores, one subfolder each."""
    return (home or data_home()) / "datasets"


def downloads_dir(home: Path | None = None) -> Path:
    """Folder of downloaded archives, kept so that another image size needs no second download."""
    return (home or data_home()) / "downloads"


def runs_dir(home: Path | None = None) -> Path:
    """Folder of training runs, one subfolder each."""
    return (home or data_home()) / "runs"


def checkpoints_dir(home: Path | None = None) -> Path:
    """Folder of the user's own checkpoints; those that ship lie in the package."""
    return (home or data_home()) / "checkpoints"


def workspaces_dir(home: Path | None = None) -> Path:
    """Folder of workspaces, one subfolder each: what was computed from a checkpoint and an image set."""
    return (home or data_home()) / "workspaces"


def predictions_dir(home: Path | None = None) -> Path:
    """Folder of evaluations, one subfolder per data set: what checkpoints predict for the images of a split."""
    return (home or data_home()) / "predictions"


def features_dir(home: Path | None = None) -> Path:
    """Folder of feature stores, one subfolder per data set: what a stage of a network gives for each image."""
    return (home or data_home()) / "features"
