"""Why one image was taken for what it is not: what the towers contribute, and what a linear head says."""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from alexnet_core.model import AlexNet, Linear
from analysis.lesions.lesion import Lesion, run_under, tower_lesion
from analysis.workspace.head import Head


def with_head(model: AlexNet, head: Head) -> AlexNet:
    """The network with a linear head on fc7 in the place of its fc8; all other weights are shared.

    Its logits are those of the head: what stands between relu7 and fc8 scales, and the weights are scaled back.
    """
    with torch.device("meta"):
        judge = AlexNet(replace(model.config, num_classes=len(head.bias)))
        layer = Linear(head.weight.shape[1], head.weight.shape[0])
    with torch.no_grad():
        scale, _ = model.run(torch.ones(1, head.weight.shape[1]), after="relu7", until=list(model.stages)[-2])
    layer.weight = nn.Parameter(torch.tensor(head.weight) / scale, requires_grad=False)
    layer.bias = nn.Parameter(torch.tensor(head.bias), requires_grad=False)
    judge.stages = nn.ModuleDict({**model.stages, "fc8": layer})
    return judge.eval()


def tower_contributions(model: AlexNet, image: Tensor) -> NDArray[np.float32]:
    """Class probabilities (1 + towers, num_classes) of network input (1, 3, s, s): intact, then without each tower.

    A tower that is off gives zeros behind its ReLUs in conv1 and conv2, so that conv3 reads the others alone.
    """
    lesions = [tower_lesion(model, tower) for tower in range(model.config.towers)] if model.config.towers > 1 else []
    logits = run_under(model, image, [Lesion(), *lesions])
    probabilities: NDArray[np.float32] = logits[:, 0].softmax(-1).numpy()
    return probabilities
