"""Ways to cut a network's first two layers in two."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from alexnet_core.geometry import channels
from alexnet_core.model import AlexNet
from analysis.between.routing import blind_cut
from analysis.towers.comparison import tower_labels


class Cut(NamedTuple):
    """A way to cut conv1 and conv2 in two."""

    name: str  # "towers", "pairs of towers", "arbitrary halves" or "blind cut"
    labels: tuple[NDArray[np.intp], NDArray[np.intp]]  # 0 or 1, of conv1's units and of conv2's


def cuts_of(model: AlexNet) -> list[Cut]:
    """The halves by number, and where conv2 has no groups, besides, those that it reads together."""
    towers = model.config.towers
    name = {1: "arbitrary halves", 2: "towers"}.get(towers, "pairs of towers")
    first, second = (tower_labels(channels(model.config, layer), 2) for layer in ("conv1", "conv2"))
    cuts = [Cut(name, (first, second))]
    return cuts if model.config.groups("conv2") > 1 else [*cuts, Cut("blind cut", blind_cut(model))]
