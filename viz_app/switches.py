"""Towers switched off over one image: which images there are, and what the network then says. No Streamlit here."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from alexnet_core.model import AlexNet
from analysis.lesions.lesion import STAGES, Lesion, Mode, Scope, run_under, tower_lesion
from viz_app.figures.theme import TOWER_MARKS
from viz_app.samples import Gallery, sample, sample_names
from viz_app.uploads import Photo

REFERENCE = 64  # images for mean responses: enough for a look, and a matter of seconds


class Stock(NamedTuple):
    """Images to try, by number."""

    key: str  # for caches
    size: int
    take: Callable[[int], Photo]
    spread: tuple[int, ...]  # up to `REFERENCE` of them, for means; the first one is shown first


class Switches(NamedTuple):
    """Which towers are off, how much of them, and what they give instead."""

    off: tuple[int, ...]
    scope: Scope
    mode: Mode

    @property
    def name(self) -> str:
        """What is off, in words."""
        letters = [TOWER_MARKS[tower].name.removeprefix("tower ") for tower in self.off]
        if not letters:
            return "Nothing off"
        return f"Tower{'s' if len(letters) > 1 else ''} {' and '.join(letters)} off"

    def lesion(self, model: AlexNet) -> Lesion:
        """All these towers off at once."""
        parts = [tower_lesion(model, tower, self.scope, self.mode).units for tower in self.off]
        units = {stage: [unit for part in parts for unit in part[stage]] for stage in STAGES[self.scope]}
        return Lesion(units, self.mode)


def stock_of(gallery: Gallery | None) -> Stock:
    """The images of a gallery, or the sample photos without one."""
    if gallery:
        return Stock(gallery.key, len(gallery.labels), gallery.photo, tuple(gallery.spread(REFERENCE)))
    names = sample_names()
    return Stock("samples", len(names), lambda row: sample(names[row]), tuple(range(len(names))))


def donor_of(row: int, count: int) -> int:
    """The other image, out of `count` >= 2, whose responses stand in for this one's: always the same one."""
    return (row + int(np.random.default_rng(row).integers(1, count))) % count


def guesses_with_and_without(
    model: AlexNet, image: Tensor, switches: Switches, *, means: Mapping[str, Tensor] | None, donor: Tensor | None
) -> NDArray[np.float32]:
    """Class probabilities (2, num_classes) of network input (1, 3, s, s): intact, then with the towers off.

    Raises ``ValueError`` if the mode needs `means` or a `donor` and there is none.
    """
    logits = run_under(model, image, (Lesion(), switches.lesion(model)), means=means, donors=donor)
    probabilities: NDArray[np.float32] = logits[:, 0].softmax(-1).numpy()
    return probabilities
