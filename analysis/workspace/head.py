"""A linear head on fc7, for images whose classes are not the checkpoint's; `analysis.workspace.head_fit` makes one."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from alexnet_core.files import written_beside


class Head(NamedTuple):
    """Logits = relu7 @ weight.T + bias, in the classes of the image store; relu7 as it leaves the network."""

    weight: NDArray[np.float32]  # (classes, 4096)
    bias: NDArray[np.float32]  # (classes,)

    def log_probabilities(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Natural logarithms of the class probabilities, (n, classes), for features (n, 4096)."""
        return log_softmax(features.astype(np.float32) @ self.weight.T + self.bias)


class HeldOut(NamedTuple):
    """Top-1 accuracy on images that took no part in fitting, with its Wilson 95 % interval; shares in [0, 1]."""

    n: int
    accuracy: float
    low: float
    high: float


def save_head(file: Path, head: Head, log_probabilities: NDArray[np.float64]) -> None:
    """Write a head as safetensors, together with what is predicted for the gallery, (n, classes)."""
    with written_beside(file) as beside:
        save_file(head._asdict() | {"log_probabilities": log_probabilities}, beside)


def load_head(file: Path) -> tuple[Head, NDArray[np.float64]]:
    """A head, and what is predicted for the gallery, (n, classes). Raises ``ValueError`` for a damaged file."""
    try:
        found = load_file(file)
        return Head(found["weight"], found["bias"]), found["log_probabilities"]
    except (OSError, SafetensorError, KeyError) as error:
        raise ValueError(f"{file} is missing or no linear head ({error}).") from error


def log_softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Natural logarithms of the softmax of each row, in double precision: different logits stay different."""
    found: NDArray[np.float64] = torch.from_numpy(logits.astype(np.float64)).log_softmax(1).numpy()
    return found
