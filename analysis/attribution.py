"""Which places of a picture speak for a class: Grad-CAM through taps, without a trace on the model."""

import torch
from torch import Tensor

from alexnet_core.model import AlexNet

LAST_MAPS = "relu5"  # the last maps before pooling


def grad_cam(model: AlexNet, images: Tensor, target: int, *, stage: str = LAST_MAPS) -> Tensor:
    """Evidence for a class at each position of a convolutional stage (Selvaraju et al. 2017, Grad-CAM).

    `images` (N, 3, s, s) as the network reads them; `target` is the class index. Returns shape (N, h, w), in
    logits, never negative: the stage's maps weighted with the mean gradient of the class's logit, summed, and cut
    off at zero. Raises ``ValueError`` for an unknown class or stage, and for one without positions.
    """
    with torch.no_grad():
        maps, _ = model.run(images, until=stage)
    return class_evidence(model, maps, target, stage=stage)


def class_evidence(model: AlexNet, maps: Tensor, target: int, *, stage: str = LAST_MAPS) -> Tensor:
    """`grad_cam` from the stage's own output `maps` (N, C, h, w), where that is already known."""
    if not 0 <= target < model.config.num_classes:
        raise ValueError(f"target must be a class from 0 to {model.config.num_classes - 1}, got {target}.")
    if maps.ndim != 4:
        raise ValueError(f"Grad-CAM needs maps of shape (N, C, h, w); {stage!r} gave {tuple(maps.shape)}.")
    maps = maps.detach().clone().requires_grad_()  # cutting the graph here is cheaper, and the weights need no grad
    with torch.enable_grad():
        logits, _ = model.run(maps, after=stage)
    (gradient,) = torch.autograd.grad(logits[:, target].sum(), maps)
    return (gradient.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1).relu().detach()
