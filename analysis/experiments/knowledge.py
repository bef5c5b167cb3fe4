"""What either half of a trained network knows: which of two factors a linear probe reads off it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alexnet_core.model import AlexNet
from alexnet_core.preprocess import Preprocess
from analysis.between.probes import mean_activations, middle_of, told
from analysis.experiments.cuts import Cut
from analysis.lesions.dissociation import Estimate, paired_estimate
from analysis.stimuli import tinted_gratings

STAGE = "pool2"  # the last before conv3 mixes the towers
PICTURES = 800
DIMENSIONS = 48  # that a probe sees, as in `analysis.between.probes`
RANDOM_HALVES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """How differently two halves of pool2 tell a grating's orientation and its light's hue; shares of pictures."""

    factors: tuple[str, str]  # ("orientation", "hue")
    pictures: int
    told: tuple[tuple[float, float], tuple[float, float]]  # by half, by factor
    split: Estimate  # (hue - orientation told from the second half) - (the same from the first)
    null: tuple[float, ...]  # the split of random halves of pool2

    @property
    def specificity(self) -> tuple[float, float]:
        """By how much more is told of the second factor than of the first, from the first half and the second."""
        first, second = (half[1] - half[0] for half in self.told)
        return first, second


def measure_knowledge(
    model: AlexNet, preprocess: Preprocess, cuts: Sequence[Cut], rng: np.random.Generator
) -> list[Knowledge]:
    """What the halves of each cut know of the same pictures. The random halves serve all cuts."""
    shown = tinted_gratings(PICTURES, preprocess.input_size, rng)
    features = mean_activations(model, shown.images - middle_of(preprocess), [STAGE])[STAGE]
    seed = int(rng.integers(2**31))
    factors = {"orientation": shown.orientation, "hue": shown.hue}

    def right(labels: NDArray[np.intp]) -> NDArray[np.float64]:
        """What is told from either half, (halves, factors, pictures)."""
        dimensions = min(DIMENSIONS, int(np.bincount(labels).min()))
        halves = [
            [told(features[:, labels == half], truth, dimensions, seed) for truth in factors.values()]
            for half in (0, 1)
        ]
        return np.array(halves, np.float64)

    null = tuple(float(_parting(right(rng.permutation(cuts[0].labels[1]))).mean()) for _ in range(RANDOM_HALVES))
    found = []
    for cut in cuts:
        each = right(cut.labels[1])
        (first, second), split = each.mean(2).tolist(), paired_estimate(_parting(each), rng)
        found.append(
            Knowledge(
                factors=("orientation", "hue"),
                pictures=PICTURES,
                told=(tuple(first), tuple(second)),
                split=split,
                null=null,
            )
        )
    return found


def _parting(right: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far the halves part the factors, by picture (n,), of what is told (halves, factors, n)."""
    more = right[:, 1] - right[:, 0]
    return np.asarray(more[1] - more[0])
