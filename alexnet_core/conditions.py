"""What a controlled experiment changes about ordinary training: which images, and how the weights start."""

import torch
from torch import Tensor

from alexnet_core.model import AlexNet

STARTS = ("random", "grey tower A", "mirrored towers")


def subset(labels: Tensor, classes: int = 0, images: int = 0) -> Tensor:
    """Places of the images to train on: of `classes` classes, evenly spread over all, the first `images` in all.

    `labels` (n,) holds integers; 0 stands for all. Every class gives equally many images (to within one).
    Returns places in ascending order. Raises ``ValueError`` if there are not as many classes or images.
    """
    found = labels.unique()
    if not 0 <= classes <= len(found):
        raise ValueError(f"classes must be 0 (all) to {len(found)}, got {classes}.")
    kept = found[torch.linspace(0, len(found) - 1, classes).round().long()] if classes else found
    of_class = [torch.nonzero(labels == label)[:, 0] for label in kept]
    if not images:
        return torch.cat(of_class).sort().values
    share = [images // len(kept) + (place < images % len(kept)) for place in range(len(kept))]
    if any(len(places) < wanted for places, wanted in zip(of_class, share, strict=True)):
        least = min(map(len, of_class))
        raise ValueError(f"{images} images need {max(share)} of each of {len(kept)} classes, one has {least}.")
    return torch.cat([places[:wanted] for places, wanted in zip(of_class, share, strict=True)]).sort().values


@torch.no_grad()
def start_from(model: AlexNet, start: str, epsilon: float, generator: torch.Generator) -> AlexNet:
    """Change freshly drawn weights before training begins (specialisation 4.5).

    "random" leaves them. "grey tower A" makes tower A's first-layer kernels blind to colour: each becomes its mean
    over the channels, its norm kept. "mirrored towers" makes the two towers, and all weights that read them, equal
    but for Gaussian noise on tower B's first layer, `epsilon` times its initial standard deviation; with
    `epsilon` 0 the towers stay equal for ever where dropout treats them alike. Raises ``ValueError`` for another
    word, and unless the network has two towers.
    """
    if start not in STARTS:
        raise ValueError(f"start must be one of {STARTS}, got {start!r}.")
    if start != "random" and model.config.towers != 2:
        raise ValueError(f"{start!r} needs a network of 2 towers, this one has {model.config.towers}.")
    if start == "grey tower A":
        _grey(model.kernels("conv1")[: len(model.kernels("conv1")) // 2])
    elif start == "mirrored towers":
        _mirror(model)
        second = model.kernels("conv1")[len(model.kernels("conv1")) // 2 :]
        second += epsilon * model.config.conv_std[0] * torch.randn(second.shape, generator=generator).to(second)
    return model


def _grey(kernels: Tensor) -> None:
    """Make kernels (n, 3, k, k) blind to colour where they are, each of its old norm.

    A grey picture reaches a kernel through the sum over its channels alone, so all three become their mean.
    """
    norms = kernels.flatten(1).norm(dim=1)
    kernels.copy_(kernels.mean(1, keepdim=True).expand_as(kernels))
    kernels *= (norms / kernels.flatten(1).norm(dim=1))[:, None, None, None]


def _mirror(model: AlexNet) -> None:
    """Copy tower A's weights to tower B so that exchanging the towers changes nothing.

    A layer that reads both towers keeps two blocks: from the own tower, and from the other one.
    """
    for name, layer in model.stages.items():
        weight = getattr(layer, "weight", None)
        if not isinstance(weight, Tensor):
            continue
        if name == "fc8":  # its units belong to no tower
            half = weight.shape[1] // 2
            weight[:, half:] = weight[:, :half]
            continue
        half = len(weight) // 2
        own = weight[:half]
        if name != "conv1" and name not in model.config.grouped:
            inputs = own.shape[1] // 2
            own = torch.cat([own[:, inputs:], own[:, :inputs]], dim=1)
        weight[half:] = own
