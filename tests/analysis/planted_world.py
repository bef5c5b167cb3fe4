"""A network in which tower A sees hue alone and tower B shape alone, and the images that it was fitted to."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from alexnet_core import Checkpoint
from alexnet_core.model import build_model
from alexnet_core.preprocess import Preprocess
from alexnet_core.prism import CLASS_NAMES
from alexnet_core.store import ImageStore, Split

N = 200
LABELS = np.arange(N) % 100


def draw_images() -> np.ndarray:
    """Gratings of ten orientations (shape, grey) plus one of ten hues without luma: (N, 3, 63, 63) uint8."""
    row, column = np.mgrid[:63, :63]
    turn = np.pi * np.arange(10) / 10
    shapes = np.stack([np.cos(0.7 * (np.cos(angle) * column + np.sin(angle) * row)) for angle in turn])
    hues = np.stack([np.cos(2 * turn + shift) for shift in (0, 2 * np.pi / 3, 4 * np.pi / 3)], axis=1)
    noise = np.random.default_rng(0).normal(0, 4, (N, 3, 63, 63))
    images = 128 + 50 * shapes[LABELS // 10][:, None] + 50 * hues[LABELS % 10][:, :, None, None] + noise
    return images.clip(0, 255).astype(np.uint8)


IMAGES = draw_images()


class MemoryStore(ImageStore):
    """A store whose only split lies in memory."""

    def split(self, name: str) -> Split:
        return Split(IMAGES, LABELS.astype(np.int64), tuple(str(i) for i in range(N)))


def memory_store(classes: tuple[str, ...] = tuple(CLASS_NAMES)) -> ImageStore:
    return MemoryStore(
        folder=Path(), name="planted", size=63, exif=False, classes=classes, class_names=classes, splits={}, note=""
    )


def planted_checkpoint(grey: tuple[float, ...] = (1 / 3, 1 / 3, 1 / 3)) -> Checkpoint:
    """Kernels of tower A blind to grey and of tower B blind to colour; fc8 fitted to shape plus hue.

    Tower B sees the channels' mean, or what other weights say is `grey`.
    """
    std = {"conv_std": (0.03,) * 5, "fc_std": (0.02,) * 3}
    model = build_model("chm145", 100, input_size=63, generator=torch.Generator().manual_seed(0), **std)
    preprocess = Preprocess(63, 63, 63, torch.full((3, 63, 63), 128.0), torch.eye(3), torch.ones(3))
    model.eval().requires_grad_(False)
    kernels = model.stages["conv1"].weight
    pattern = kernels.mean(1, keepdim=True)
    kernels[:48] = (kernels[:48] - pattern[:48]) * 1.5**0.5
    kernels[48:] = pattern[48:] * 3 * F.normalize(torch.tensor(grey), dim=0)[:, None, None]
    features = model.run(preprocess.centre(torch.from_numpy(IMAGES)), until="drop7")[0].double()
    features = torch.cat([features, torch.ones(N, 1)], 1)
    wanted = F.one_hot(torch.tensor(LABELS // 10), 10).repeat_interleave(10, 1)
    wanted = (wanted + F.one_hot(torch.tensor(LABELS % 10), 10).repeat(1, 10)).double()
    ridge = 1e-2 * N * features.square().mean() * torch.eye(N, dtype=torch.float64)
    weights = features.T @ torch.linalg.solve(features @ features.T + ridge, wanted)
    model.stages["fc8"].weight[:] = weights[:-1].T
    model.stages["fc8"].bias[:] = weights[-1]
    classes = [{"id": name, "name": name} for name in CLASS_NAMES]
    return Checkpoint(model, {"name": "planted", "id": "0123", "classes": classes, "dataset": "planted"}, preprocess)
