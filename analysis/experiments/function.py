"""What either half of a trained network is for: which of two factors hangs on it, measured by silencing it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from alexnet_core.model import AlexNet
from alexnet_core.preprocess import Preprocess
from analysis.experiments.cuts import Cut
from analysis.lesions.dissociation import Estimate, Factors, Hits, paired_estimate
from analysis.lesions.lesion import STAGES, Lesion, complement, matched_lesion, run_under
from analysis.shards import BATCH
from analysis.stimuli import Stimulus, photo_stimulus

IMAGES = 1000  # of the validation split, evenly spread
RANDOM_HALVES = 30  # with each of them and its rest off, two minutes of one core
COLOURS: tuple[Stimulus, Stimulus] = ("grey", "colour")  # the factors where labels have none: shown so and so
GREYEST = 2  # images whose channels differ by no more, of 255, have no colour to be good for


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """How differently two halves of conv1 and conv2 serve two factors; shares of images, 1 = 100 %.

    The factors are shape and hue, where labels have both: whether the top-1 class has the right one. Else they are
    photographs in grey and in colour: whether the top-1 class is right.
    """

    factors: tuple[str, str]
    images: int
    intact: tuple[float, float]  # right, by factor
    off: tuple[tuple[float, float], tuple[float, float]]  # right with the first half silenced, with the second
    split: Estimate  # (second - first factor's drop with the second half off) - (the same with the first half off)
    null: tuple[float, ...]  # the split of random halves against the rest, of equal size and norm

    @property
    def crossed(self) -> bool:
        """Whether each half, silenced, costs more than the other of a different factor: a double dissociation.

        Without it a split may be no more than one half carrying everything, of which the factors have unequal shares.
        """
        (first_a, second_a), (first_b, second_b) = self.off
        return (first_a - first_b) * (second_a - second_b) < 0

    @property
    def specificity(self) -> tuple[float, float]:
        """By how much more the second factor suffers than the first, with the first half off and with the second."""
        drops = np.array(self.intact) - self.off  # (halves, factors)
        first, second = drops[:, 1] - drops[:, 0]
        return float(first), float(second)


def measure_functions(
    model: AlexNet,
    preprocess: Preprocess,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    factors: Factors,
    cuts: Sequence[Cut],
    rng: np.random.Generator,
) -> list[Function | None]:
    """What the halves of each cut are for, on images (N, 3, s, s) as stored with labels (N,); ``None`` without colour.

    `factors`: shape and hue of each class, or nothing. The random halves, matched to the first cut's, serve all cuts.
    """
    if not factors and not _coloured(images):
        return [None] * len(cuts)
    drawn = [matched_lesion(model, without(cuts[0], 0), rng).lesion for _ in range(RANDOM_HALVES)]
    wanted = [Lesion(), *(without(cut, half) for cut in cuts for half in (0, 1))]
    random = [lesion for half in drawn for lesion in (half, complement(model, half))]
    hits = _hits(model, preprocess, images, labels, [*wanted, *random], factors)
    null = tuple(_parting(hits[len(wanted) :]).mean(1).tolist())
    return [
        _function(hits[[0, 1 + 2 * place, 2 + 2 * place]], null, tuple(factors) or COLOURS, rng)
        for place in range(len(cuts))
    ]


def without(cut: Cut, half: int) -> Lesion:
    """The units of one half silenced."""
    stages = zip(STAGES["conv1-conv2"], cut.labels, strict=True)
    return Lesion({stage: np.flatnonzero(labels == half).tolist() for stage, labels in stages})


def _function(hits: Hits, null: tuple[float, ...], names: Sequence[str], rng: np.random.Generator) -> Function:
    """From what is right, (intact and either half off, factors, images)."""
    right = [(float(first), float(second)) for first, second in hits.mean(2)]
    return Function(
        factors=(names[0], names[1]),
        images=hits.shape[2],
        intact=right[0],
        off=(right[1], right[2]),
        split=paired_estimate(_parting(hits[1:])[0], rng),
        null=null,
    )


def _parting(hits: Hits) -> NDArray[np.float64]:
    """How far each pair of halves parts the factors, by image: of hits (2 n, 2, images), shape (n, images)."""
    more = hits[:, 1].astype(np.float64) - hits[:, 0]
    return np.asarray(more[::2] - more[1::2])


def _hits(
    model: AlexNet,
    preprocess: Preprocess,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    lesions: Sequence[Lesion],
    factors: Factors,
) -> Hits:
    """What is right under each lesion, (lesions, 2, images)."""
    shown: tuple[Stimulus, ...] = ("colour",) if factors else COLOURS
    blocks = []
    for start in range(0, len(images), BATCH):
        block, truth = images[start : start + BATCH], labels[start : start + BATCH]
        guesses = [_guesses(model, preprocess, block, stimulus, lesions) for stimulus in shown]
        if factors:
            right = [values[guesses[0]] == values[truth] for values in factors.values()]
        else:
            right = [guess == truth for guess in guesses]
        blocks.append(np.stack(right, axis=1))
    return np.concatenate(blocks, axis=2)


def _guesses(
    model: AlexNet, preprocess: Preprocess, images: NDArray[np.uint8], stimulus: Stimulus, lesions: Sequence[Lesion]
) -> NDArray[np.intp]:
    """Top-1 class (lesions, N); in bfloat16, as the networks were trained and judged."""
    pixels = torch.from_numpy(np.array(images)).to(next(model.parameters()).device)
    batch = preprocess.centre(photo_stimulus(pixels, stimulus)).contiguous(memory_format=torch.channels_last)
    with torch.autocast(pixels.device.type, torch.bfloat16):
        return run_under(model, batch, lesions).argmax(2).cpu().numpy()


def _coloured(images: NDArray[np.uint8]) -> bool:
    return any(int(np.ptp(image, axis=0).max()) > GREYEST for image in images)
