"""Learning rates over a run: the plateau schedule of net #145, and a cosine for runs of a few epochs."""

import math
from typing import NamedTuple, Protocol

from alexnet_core.preprocess import LIGHTING_STD


class Phase(NamedTuple):
    """Learning rates of conv1's weights, of the other weights and of the biases; strength of the lighting."""

    conv1: float
    weights: float
    biases: float
    lighting: float

    def rate(self, layer: str, kind: str) -> float:
        """Rate of a parameter; a frozen conv1 keeps its biases too, as rate 0 means wholly frozen."""
        if layer == "conv1" and (kind == "weight" or self.conv1 == 0):
            return self.conv1
        return self.weights if kind == "weight" else self.biases


class Schedule(Protocol):
    """What the training loop asks of a schedule."""

    finished: bool

    def phase(self, progress: float) -> Phase:
        """Rates at a share `progress` in [0, 1] of the planned steps."""

    def observe(self, held_out_error: float) -> None:
        """Take note of the held-out top-1 error (share) at the end of an epoch."""


class PlateauSchedule:
    """Drops when the held-out error stops improving, the rows of layer-params-145-2010.cfg in order.

    Three drops of the weights; at the end the colour noise goes, conv1 is slowed, then frozen, and the other
    layers outlive it. The biases keep their rate to the end, as in layer-params-145.cfg.
    """

    PHASES = (
        Phase(1e-2, 1e-2, 2e-2, LIGHTING_STD),
        Phase(1e-3, 1e-3, 2e-2, LIGHTING_STD),
        Phase(1e-4, 1e-4, 2e-2, LIGHTING_STD),
        Phase(1e-5, 1e-4, 2e-2, 0.0),
        Phase(0.0, 1e-4, 2e-2, 0.0),
        Phase(0.0, 1e-5, 2e-2, 0.0),
    )

    def __init__(self, patience: int) -> None:
        self.patience, self.errors, self.row, self.finished = patience, [1.0], 0, False

    def phase(self, progress: float) -> Phase:
        return self.PHASES[self.row]

    def observe(self, held_out_error: float) -> None:
        self.errors.append(held_out_error)
        if min(self.errors[-self.patience :]) < min(self.errors[: -self.patience], default=math.inf):
            return
        self.errors = [min(self.errors)]
        self.finished = self.row == len(self.PHASES) - 1
        self.row = min(self.row + 1, len(self.PHASES) - 1)


class CosineSchedule:
    """Half a cosine from `rate` to 0; the last `quiet_share` without lighting and with conv1 frozen.

    Keeps #145's two ends, but spends a budget of a few epochs fully: a plateau cannot be seen in so few.
    """

    finished = False

    def __init__(self, rate: float, quiet_share: float) -> None:
        self.rate, self.quiet_share = rate, quiet_share

    def phase(self, progress: float) -> Phase:
        rate = self.rate * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
        if progress >= 1 - self.quiet_share:
            return Phase(0.0, rate, 2 * rate, 0.0)
        return Phase(rate, rate, 2 * rate, LIGHTING_STD)

    def observe(self, held_out_error: float) -> None:
        """A cosine does not look at the error."""
