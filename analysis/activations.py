"""What one photograph sets off in the network: every stage of a forward pass, tower by tower."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from alexnet_core.config import AlexNetConfig
from alexnet_core.geometry import receptive_field
from alexnet_core.model import AlexNet
from alexnet_core.preprocess import Preprocess

Maps = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Activations:
    """All stages of one forward pass, read-only.

    ``maps`` has one entry (units, height, width) per stage, in order; fully connected stages are (units, 1, 1).
    ``probabilities`` (num_classes,) is the softmax of the last stage.
    """

    maps: dict[str, Maps]
    probabilities: NDArray[np.float32]


class Balance(NamedTuple):
    """Share of activation energy that each tower holds, stage by stage."""

    stages: list[str]
    shares: NDArray[np.float64]  # (stages, towers), rows sum to 1; NaN where a stage is silent


class Position(NamedTuple):
    """One place on a map and the response there."""

    row: int
    column: int
    value: float


class Box(NamedTuple):
    """A rectangle on a photograph, in pixels; may reach beyond its edges."""

    left: float
    top: float
    right: float
    bottom: float


class Frame(NamedTuple):
    """Where the network's input lies on a photograph: photo pixel = corner + scale * input pixel."""

    left: float
    top: float
    scale: float
    input_size: int

    def box(self, left: float, top: float, right: float, bottom: float) -> Box:
        """Rectangle of input pixels as a rectangle on the photograph."""
        return Box(
            self.left + left * self.scale,
            self.top + top * self.scale,
            self.left + right * self.scale,
            self.top + bottom * self.scale,
        )

    @property
    def outline(self) -> Box:
        """What of the photograph the network reads."""
        return self.box(0, 0, self.input_size, self.input_size)


@torch.no_grad()
def read_activations(model: AlexNet, image: Tensor) -> Activations:
    """All stages for one image (3, s, s) as `Preprocess` hands it to the network; one forward pass."""
    logits, taps = model.run(image[None], taps=model.config.stages)
    maps = {name: _maps(taps[name]) for name in model.config.stages}
    return Activations(maps, logits[0].float().softmax(0).numpy())


def _maps(output: Tensor) -> Maps:
    units = output[0].float().reshape(output.shape[1], *(output.shape[2:] or (1, 1)))
    array: Maps = units.contiguous().numpy()
    array.flags.writeable = False
    return array


def tower_energy(maps: Maps, towers: int) -> NDArray[np.float64]:
    """Sum of squared responses in each tower, shape (towers,), for maps (units, height, width)."""
    rows = maps.reshape(towers, -1).astype(np.float64)
    energy: NDArray[np.float64] = (rows * rows).sum(1)
    return energy


def tower_balance(activations: Activations, towers: int) -> Balance:
    """How every stage's energy is divided between the towers; fc8 is left out, its units belong to none."""
    stages = [name for name in activations.maps if name != "fc8"]
    energy = np.stack([tower_energy(activations.maps[name], towers) for name in stages])
    with np.errstate(invalid="ignore"):
        return Balance(stages, energy / energy.sum(1, keepdims=True))


def tower_change(before: Activations, after: Activations, towers: int) -> Balance:
    """How far each tower's responses move from one image to another: |after - before| / |before| per stage.

    Euclidean norms over all units and positions of a tower; NaN where a tower was silent before. fc8 is left out.
    """
    stages = [name for name in before.maps if name != "fc8"]
    moved = np.stack([tower_energy(after.maps[name] - before.maps[name], towers) for name in stages])
    start = np.stack([tower_energy(before.maps[name], towers) for name in stages])
    return Balance(stages, np.sqrt(np.divide(moved, start, out=np.full_like(moved, np.nan), where=start > 0)))


def strongest_positions(responses: Maps, count: int = 5) -> list[Position]:
    """The places of the largest positive responses of one map (height, width), strongest first, no two adjacent.

    After each choice the eight neighbours are set aside, so that one bright edge does not fill the list. Ties go
    to the upper left. Shorter than `count` where the map responds at fewer places.
    """
    left = np.pad(responses.astype(np.float64), 1)
    found: list[Position] = []
    while len(found) < count and left.max() > 0:
        row, column = divmod(int(left.argmax()), left.shape[1])
        found.append(Position(row - 1, column - 1, float(left[row, column])))
        left[row - 1 : row + 2, column - 1 : column + 2] = 0
    return found


def input_frame(preprocess: Preprocess, width: int, height: int) -> Frame:
    """Where the central crop that the network reads lies on a photograph of `width` x `height` pixels.

    The central square is reduced to the stored size, enlarged, and cropped by the border (see `Preprocess`).
    """
    side = min(width, height)
    scale = side / preprocess.full_size
    inset = preprocess.border // 2 * scale
    return Frame((width - side) / 2 + inset, (height - side) / 2 + inset, scale, preprocess.input_size)


def receptive_box(config: AlexNetConfig, stage: str, row: int, column: int, frame: Frame) -> Box:
    """What the unit at (row, column) of a stage sees of the photograph, by its convolutions and poolings.

    Response normalisation and the smoothing of the image's own reduction reach a little further.
    """
    field = receptive_field(config, stage)
    (top, bottom), (left, right) = field.span(row), field.span(column)
    return frame.box(left, top, right, bottom)


def unit_table(activations: Activations, towers: int) -> pd.DataFrame:
    """One row per unit of every stage: its tower (A, B, ...; empty for fc8), mean and largest response and where."""
    return pd.concat([_unit_rows(name, maps, towers) for name, maps in activations.maps.items()], ignore_index=True)


def _unit_rows(stage: str, maps: Maps, towers: int) -> pd.DataFrame:
    count, _, width = maps.shape
    flat = maps.reshape(count, -1)
    units, best = np.arange(count), flat.argmax(1)
    letters = np.array([chr(ord("A") + tower) for tower in range(towers)])
    return pd.DataFrame(
        {
            "stage": stage,
            "unit": units,
            "tower": "" if stage == "fc8" else letters[units * towers // count],
            "mean": flat.mean(1),
            "largest": flat.max(1),
            "row": best // width,
            "column": best % width,
        }
    )
