"""Which tower carries colour on photographs? From answers under lesions to intervals, nulls and a verdict.

Lesions are three throughout, in this order: none, tower A off, tower B off. The module `photographs` measures them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alexnet_core.predict import rank_of_truth
from analysis.lesions.dissociation import Estimate, Rank, points, rank_among
from analysis.lesions.lesion import Mode, Scope
from analysis.sealed import to_json
from analysis.stimuli import Stimulus

METRICS = ("top1", "top5", "log p")  # the first is the declared primary
CONTRASTS: tuple[tuple[Stimulus, Stimulus], ...] = (
    ("colour", "grey"),  # declared primary
    ("chroma only", "grey"),
    ("colour", "hue-rotated"),
    ("low-pass", "high-pass"),
)
COLOURED = 0.25  # share of the classes that are called colour-dependent

Floats = NDArray[np.float64]
Answers = Floats
"""Of each image under each lesion (lesions, metrics, n): right (1 or 0) in the first place, in the first five, and the
log probability (natural) of the truth."""

_DRAWN = 2**22  # counts drawn at a time by the bootstrap: bounds the memory


def answers_of(logits: Tensor, labels: Tensor) -> Answers:
    """What logits (lesions, n, classes) say about images of these labels (n,)."""
    ranks = torch.stack([rank_of_truth(scores, labels) for scores in logits])
    chosen = logits.argmax(2) == labels  # as everywhere else: of equals the first
    truth = logits.double().log_softmax(2).gather(2, labels.expand(len(logits), -1)[..., None])[..., 0]
    return torch.stack([chosen.double(), (ranks < 5).double(), truth], 1).cpu().numpy()


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoRow:
    """One stimulus: how good the network is, intact and with either tower off. All by metric, with 95 % intervals."""

    stimulus: Stimulus
    score: dict[str, tuple[Estimate, Estimate, Estimate]]  # intact, A off, B off
    drop: dict[str, tuple[Estimate, Estimate]]  # intact minus A off, minus B off
    difference: dict[str, Estimate]  # A off minus B off: above zero where tower B is the more needed one


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoContrast:
    """What a stimulus is worth over another, and how that depends on which tower is off. All by metric."""

    more: Stimulus
    less: Stimulus
    advantage: dict[str, tuple[Estimate, Estimate, Estimate]]  # score with `more` minus `less`: intact, A off, B off
    interaction: dict[str, Estimate]  # advantage with A off minus with B off: above zero where tower B carries it
    # Advantages shrink where a lesion leaves little to lose; shares of the score do not. Of top1 and top5, over colour:
    relative: dict[str, tuple[Estimate, Estimate, Estimate]]  # advantage over the score with `more`
    relative_interaction: dict[str, Estimate]  # likewise with A off minus with B off


class PhotoTable(NamedTuple):
    """Every stimulus, and every contrast of stimuli that were both shown."""

    rows: tuple[PhotoRow, ...]
    contrasts: tuple[PhotoContrast, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomHalves:
    """The towers among random halves of the same layers, each against its complement, on the same images.

    A half has as many units as tower A and the same summed squared weights, so its complement matches tower B.
    """

    n: int
    images: int
    norm_error: dict[str, float]  # by stage: largest |summed squared weights / tower A's - 1| among the halves
    overlap: dict[str, float]  # by stage: mean share of a half's units that lie in tower A
    drop: dict[str, tuple[Rank, Rank]]  # of the photographs in colour, by metric: A among halves, B among complements
    interaction: dict[str, Rank]  # of the primary contrast, by metric


@dataclass(frozen=True, slots=True, kw_only=True)
class ColourClasses:
    """Classes that need colour, chosen on every second image of each class and tested on the others.

    Chosen: the quarter of the classes whose log p in the intact network falls most when the photographs turn grey.
    All is measured on the images that were not used to choose: of the chosen classes, of the others, the difference.
    """

    chosen: tuple[int, ...]  # labels, most dependent first
    images: tuple[int, int]  # tested, of the chosen and of the other classes
    benefit: dict[str, tuple[Estimate, Estimate, Estimate]]  # of colour over grey, intact
    interaction: dict[str, tuple[Estimate, Estimate, Estimate]]  # as in the primary contrast


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoReport:
    """What switching off a tower costs on photographs; JSON-able and complete with what is needed to repeat it."""

    checkpoint: str
    checkpoint_id: str
    dataset: str
    data_hash: str
    split: str
    images: int
    scope: Scope
    mode: Mode
    resamples: int
    seed: int
    verdict: str
    rows: tuple[PhotoRow, ...]
    contrasts: tuple[PhotoContrast, ...]
    halves: tuple[RandomHalves, ...]  # one, or () if they were not measured
    classes: tuple[ColourClasses, ...]  # likewise

    def row(self, stimulus: Stimulus) -> PhotoRow:
        """One stimulus. Raises ``ValueError`` if it was not shown."""
        for row in self.rows:
            if row.stimulus == stimulus:
                return row
        raise ValueError(f"{stimulus!r} was not shown; there are {[row.stimulus for row in self.rows]}.")

    def to_json(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return to_json(self)


def photo_table(answers: Mapping[Stimulus, Answers], rng: np.random.Generator, *, resamples: int = 2000) -> PhotoTable:
    """Scores, drops and interactions with paired bootstrap intervals, from the three lesions' answers by stimulus.

    All stimuli are made from the same images in the same order.
    """
    shown = tuple(answers)
    means = resampled_means(np.stack([answers[stimulus] for stimulus in shown]), rng, resamples=resamples)
    by_stimulus = dict(zip(shown, np.moveaxis(means, 1, 0), strict=True))  # (1 + resamples, lesions, metrics) each
    rows = (
        PhotoRow(
            stimulus=stimulus,
            score=_by_metric(score),
            drop=_by_metric(score[:, :1] - score[:, 1:]),
            difference=_one_by_metric(score[:, 1] - score[:, 2]),
        )
        for stimulus, score in by_stimulus.items()
    )
    pairs = [pair for pair in CONTRASTS if set(pair) <= set(shown)]
    contrasts = (_contrast(more, less, by_stimulus[more], by_stimulus[less]) for more, less in pairs)
    return PhotoTable(tuple(rows), tuple(contrasts))


def _contrast(more: Stimulus, less: Stimulus, of_more: Floats, of_less: Floats) -> PhotoContrast:
    """From means (1 + resamples, lesions, metrics)."""
    advantage = of_more - of_less
    shares = len(METRICS) - 1 if more == "colour" else 0  # of log p there is none, nor of what is worth less
    relative = np.divide(advantage, of_more, out=np.zeros_like(of_more), where=of_more > 0)[..., :shares]
    return PhotoContrast(
        more=more,
        less=less,
        advantage=_by_metric(advantage),
        interaction=_one_by_metric(advantage[:, 1] - advantage[:, 2]),
        relative=_by_metric(relative),
        relative_interaction=_one_by_metric(relative[:, 1] - relative[:, 2]),
    )


def resampled_means(values: Floats, rng: np.random.Generator, *, resamples: int) -> Floats:
    """Means of values (..., images) over the images, shape (1 + resamples, ...): first as they are, then resampled.

    Every resample draws the same images for all values, so what is computed from the means is paired.
    """
    n, flat = values.shape[-1], values.reshape(-1, values.shape[-1])
    equal, step = np.full(n, 1 / n), max(1, _DRAWN // n)
    sizes = [min(step, resamples - start) for start in range(0, resamples, step)]
    drawn = (rng.multinomial(n, equal, size).astype(np.float64) @ flat.T / n for size in sizes)
    means: Floats = np.concatenate([flat.mean(1)[None], *drawn])
    return means.reshape(-1, *values.shape[:-1])


def estimates(means: Floats) -> tuple[Estimate, ...]:
    """Values with percentile 95 % intervals, from means (1 + resamples, k) as of `resampled_means`."""
    low, high = np.quantile(means[1:], (0.025, 0.975), axis=0)
    return tuple(Estimate(*map(float, each)) for each in zip(means[0], low, high, strict=True))


def random_halves(
    answers: Mapping[Stimulus, Answers], norm_error: Mapping[str, float], overlap: Mapping[str, float]
) -> RandomHalves:
    """The towers' place among random halves, from answers (3 + 2 n, metrics, images) to the primary contrast.

    Behind the three lesions come the halves, each followed by its complement. How well they match is passed on.
    """
    more, less = (answers[stimulus].mean(2) for stimulus in CONTRASTS[0])  # (lesions, metrics)
    drop, advantage = more[:1] - more, more - less
    interaction = advantage[1::2] - advantage[2::2]  # the towers, then each half against its complement

    def rank(values: Floats) -> Rank:
        return rank_among(float(values[0]), values[1:])

    places = list(enumerate(METRICS))
    return RandomHalves(
        n=len(more) // 2 - 1,
        images=answers[CONTRASTS[0][0]].shape[2],
        norm_error=dict(norm_error),
        overlap=dict(overlap),
        drop={metric: (rank(drop[1::2, place]), rank(drop[2::2, place])) for place, metric in places},
        interaction={metric: rank(interaction[:, place]) for place, metric in places},
    )


def colour_classes(
    answers: Mapping[Stimulus, Answers], labels: NDArray[np.int64], rng: np.random.Generator, *, resamples: int = 2000
) -> tuple[ColourClasses, ...]:
    """Choose classes on one half of the images and test them on the other, from the primary contrast's answers.

    One result, or none where fewer than 4 classes have two images.
    """
    found, counts = np.unique(labels, return_counts=True)
    present = found[counts > 1]
    if len(present) < 4:
        return ()
    choosing, usable = _every_second(labels), np.isin(labels, present)
    more, less = (answers[stimulus] for stimulus in CONTRASTS[0])
    advantage = more - less  # (lesions, metrics, images)
    dependence = advantage[0, METRICS.index("log p")]
    means = np.array([dependence[choosing & (labels == label)].mean() for label in present])
    chosen = present[np.argsort(-means, kind="stable")][: round(COLOURED * len(present))]
    groups = [usable & ~choosing & np.isin(labels, chosen, invert=invert) for invert in (False, True)]

    def compared(values: Floats) -> dict[str, tuple[Estimate, Estimate, Estimate]]:
        """Of values (metrics, images)."""
        first, second = (resampled_means(values[:, group], rng, resamples=resamples) for group in groups)
        each = zip(estimates(first), estimates(second), estimates(first - second), strict=True)
        return dict(zip(METRICS, each, strict=True))

    return (
        ColourClasses(
            chosen=tuple(chosen.tolist()),
            images=(int(groups[0].sum()), int(groups[1].sum())),
            benefit=compared(advantage[0]),
            interaction=compared(advantage[1] - advantage[2]),
        ),
    )


def verdict_of(table: PhotoTable, halves: Sequence[RandomHalves] = ()) -> str:
    """What was found about the primary contrast and metric, and in a second sentence about the other contrasts.

    A tower is said to carry colour where the interaction is clear of zero and, if they were measured, beyond the
    random halves; a double dissociation where, besides, one tower is the more needed in colour and the other in grey.
    """
    contrast = next(each for each in table.contrasts if (each.more, each.less) == CONTRASTS[0])
    return f"{_primary_verdict(table, contrast, halves)}{_besides(table)}"


def _primary_verdict(table: PhotoTable, contrast: PhotoContrast, halves: Sequence[RandomHalves]) -> str:
    metric = METRICS[0]
    interaction = contrast.interaction[metric]
    size = f"interaction {points(interaction)} points of top-1"
    if not interaction.sign:
        return f"No evidence: colour is worth about as much with either tower off ({size})."
    size += "".join(f"; among {half.n} random halves p = {half.interaction[metric].p_value:.2g}" for half in halves)
    if not all(_is_beyond(half.interaction[metric], interaction.sign) for half in halves):
        return f"Weak: the towers differ in what colour is worth, but so do random halves ({size})."
    _, a_off, b_off = contrast.advantage[metric]
    carrier, other, with_it, without = ("B", "A", a_off, b_off) if interaction.sign > 0 else ("A", "B", b_off, a_off)
    needed = {row.stimulus: row.difference[metric].sign for row in table.rows}
    crossed = needed["colour"] == interaction.sign and needed["grey"] == -interaction.sign
    kind = "Double dissociation" if crossed else "One-sided dissociation"
    return (
        f"{kind}: tower {carrier} carries colour. Colour is worth {points(with_it)} points of top-1 without tower "
        f"{other}, and {points(without)} without tower {carrier} ({size})."
    )


def _besides(table: PhotoTable) -> str:
    """The contrasts that were not the primary one and are clear of zero."""
    clear = [
        f"{contrast.more} over {contrast.less} {points(contrast.interaction[METRICS[0]])}"
        for contrast in table.contrasts
        if (contrast.more, contrast.less) != CONTRASTS[0] and contrast.interaction[METRICS[0]].sign
    ]
    return f" Clear of zero besides, not adjusted for looking at several: {'; '.join(clear)}." if clear else ""


def _is_beyond(rank: Rank, sign: int) -> bool:
    """Whether an observed value lies outside the random ones on that side."""
    return rank.p_value <= 0.05 and (2 * rank.rank >= len(rank.controls)) == (sign > 0)


def _by_metric(means: Floats) -> dict[str, Any]:
    """Estimates, one tuple over lesions for each metric, of means (1 + resamples, lesions, metrics)."""
    return {metric: estimates(means[..., place]) for place, metric in enumerate(METRICS[: means.shape[-1]])}


def _one_by_metric(means: Floats) -> dict[str, Estimate]:
    """One estimate for each metric, of means (1 + resamples, metrics)."""
    return dict(zip(METRICS, estimates(means), strict=False))


def _every_second(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether an image is the first, third, ... of its class."""
    chosen = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        chosen[np.flatnonzero(labels == label)[::2]] = True
    return chosen
