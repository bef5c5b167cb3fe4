"""Why one image was taken for what it is not: what the towers contribute, and which images are alike."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from alexnet_core.model import AlexNet, Linear
from analysis.lesion import Lesion, run_under, tower_lesion
from analysis.workspace.head import Head


class Neighbour(NamedTuple):
    """An image that is alike: its row in the gallery, and how far its features are (Euclidean)."""

    row: int
    distance: float


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


def nearest(
    index: Any, features: NDArray[np.floating], rows: range, *, without: Collection[int] = (), count: int = 6
) -> list[Neighbour]:
    """The images among `rows` (step 1) of a faiss index that are most alike to features (d,), the nearest first.

    `without` are rows to pass over, such as the image itself. Shorter where there are fewer.
    """
    import faiss  # seconds, which pages without neighbours need not wait for

    query = np.asarray(features, np.float32)[None]
    inside = faiss.SearchParameters(sel=faiss.IDSelectorRange(rows.start, rows.stop))  # type: ignore[call-arg]
    squares, found = index.search(query, min(count + len(without), len(rows)), params=inside)
    pairs = zip(found[0].tolist(), np.sqrt(np.maximum(squares[0], 0)).tolist(), strict=True)
    return [Neighbour(row, distance) for row, distance in pairs if row not in without][:count]
