"""Does one tower carry hue and the other shape? Lesions' drops in accuracy, their intervals, nulls and a verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from alexnet_core.checkpoint import LESIONS, SHIPPED, Checkpoint
from alexnet_core.paths import data_home
from alexnet_core.predict import rank_of_truth
from analysis.lesions.lesion import Mode, Scope
from analysis.sealed import read_sealed, save_sealed, to_json
from analysis.stats import permutation_p

Hits = NDArray[np.bool_]  # (metrics, images), or more axes before
Factors = Mapping[str, NDArray[np.intp]]
"""Value of each class (num_classes,) in each of two factors: "shape" first, "hue" second."""

_DRAWN = 2**22  # counts drawn at a time by the bootstrap: bounds the memory


@dataclass(frozen=True, slots=True)
class Estimate:
    """A share or a difference of shares (1 = 100 %), with its bootstrap 95 % interval over images."""

    value: float
    low: float
    high: float

    @property
    def sign(self) -> int:
        """1 or -1 if the whole interval lies on that side of zero, else 0."""
        return int(self.low > 0) - int(self.high < 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Accuracies of the network with one tower off, or of the intact one (the three are then ``None``).

    Metrics are "top1" and "top5" and, where labels have two factors, "shape" and "hue": whether the top-1 class has
    the right shape, hue. (Both right is "top1".)
    """

    tower: int | None  # 0 = tower A, 1 = tower B
    scope: Scope | None
    mode: Mode | None
    accuracy: dict[str, Estimate]  # by metric
    drop: dict[str, Estimate]  # intact minus this, by metric, on the same images; empty for the intact network


@dataclass(frozen=True, slots=True, kw_only=True)
class Dissociation:
    """How differently the two towers' lesions, of one scope and mode, hit the two factors (drops, A against B)."""

    scope: Scope
    mode: Mode
    interaction: Estimate  # (hue - shape drop under A off) - (the same under B off)
    specificity: tuple[Estimate, Estimate]  # hue drop - shape drop, under A off and under B off
    contrast: dict[str, Estimate]  # by factor: drop under A off - drop under B off


@dataclass(frozen=True, slots=True, kw_only=True)
class Rank:
    """Where a tower's lesion stands among random lesions of its size, on the same images."""

    observed: float  # of the tower's lesion
    controls: tuple[float, ...]  # of each random lesion, in the order drawn
    rank: int  # random lesions that lie below the observed value
    p_value: float  # two-sided, the observed one counted: 2 min(P(controls >= observed), P(controls <= observed))


@dataclass(frozen=True, slots=True, kw_only=True)
class Controls:
    """Random lesions across both towers that match one tower's conv1-conv2 lesion in units and kernel energy."""

    tower: int  # the tower that is matched
    scope: Scope
    mode: Mode
    n: int  # random lesions
    images: int
    precision: str  # of the arithmetic, the tower's own lesion included
    ranks: dict[str, Rank]  # "top1", "top5" and, with factors, "shape", "hue" and "hue - shape": of the drops
    units: dict[str, int]  # silenced units by stage
    norm_error: dict[str, float]  # by stage: largest |summed squared norm / the tower's - 1| among them
    overlap: dict[str, float]  # by stage: mean share of a random lesion's units that lie in this tower


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionReport:
    """What switching off a tower costs; JSON-able and complete with what is needed to repeat it."""

    checkpoint: str
    checkpoint_id: str
    dataset: str
    data_hash: str
    split: str
    images: int
    factors: tuple[str, ...]  # ("shape", "hue"), or () for a data set without factors
    resamples: int  # of the bootstrap
    seed: int
    reference: str  # what the means were taken over, in words
    verdict: str
    conditions: tuple[Condition, ...]  # the intact network first
    dissociations: tuple[Dissociation, ...]  # one per scope and mode; () without factors
    controls: tuple[Controls, ...]  # for tower A, for tower B; () if none were measured

    def condition(self, tower: int | None, scope: Scope | None = None, mode: Mode | None = None) -> Condition:
        """One row of the table; ``condition(None)`` is the intact network. ``ValueError`` if it was not measured."""
        for row in self.conditions:
            if (row.tower, row.scope, row.mode) == (tower, scope, mode):
                return row
        raise ValueError(f"There is no result for tower {tower}, {scope}, {mode}.")

    def dissociation(self, scope: Scope = "conv1-conv2", mode: Mode = "zero") -> Dissociation | None:
        """The comparison of the towers for a scope and mode, or ``None`` if it was not made."""
        return next((row for row in self.dissociations if (row.scope, row.mode) == (scope, mode)), None)

    def to_json(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return to_json(self)


# From logits to the numbers.


class Off(NamedTuple):
    """Which tower is off, in what scope and mode; all ``None`` for the intact network."""

    tower: int | None = None
    scope: Scope | None = None
    mode: Mode | None = None


INTACT = Off()


def metric_names(factors: Factors) -> tuple[str, ...]:
    """What `score` measures, in order."""
    return ("top1", "top5", *factors)


def score(logits: Tensor, labels: NDArray[np.int64], factors: Factors) -> Hits:
    """What is right of logits (lesions, N, num_classes) for N labels, shape (lesions, metrics, N).

    The factors are read from the top-1 class, so that both are right where it is.
    """
    truth = torch.from_numpy(labels).to(logits.device)
    top5 = torch.stack([rank_of_truth(scores, truth) < 5 for scores in logits]).cpu().numpy()
    guess = logits.argmax(2).cpu().numpy()
    right = [values[guess] == values[labels] for values in factors.values()]
    return np.stack([guess == labels, top5, *right], axis=1)


def paired_estimate(values: ArrayLike, rng: np.random.Generator, *, resamples: int = 10_000) -> Estimate:
    """Mean of one value per image, with the percentile bootstrap 95 % interval over images.

    Pass differences of conditions on the same images and the interval is paired. How often each image is drawn
    matters only by value, so the counts of the distinct values are drawn, which is exact and cheap.
    """
    levels, counts = np.unique(np.asarray(values, np.float64), return_counts=True)
    n, step = counts.sum(), max(1, _DRAWN // len(levels))
    means = np.concatenate(
        [
            rng.multinomial(n, counts / n, size=min(step, resamples - start)) @ levels / n
            for start in range(0, resamples, step)
        ]
    )
    low, high = np.quantile(means, (0.025, 0.975))
    return Estimate(float(levels @ counts / n), float(low), float(high))


def compare(
    hits: Mapping[Off, Hits], factors: Sequence[str], rng: np.random.Generator, *, resamples: int = 10_000
) -> tuple[tuple[Condition, ...], tuple[Dissociation, ...]]:
    """Accuracies, drops and, for two factors, dissociations, from what was right (metrics, images) by condition.

    All conditions are of the same images; the intact network must be one of them.
    """
    metrics = ("top1", "top5", *factors)
    right = {off: dict(zip(metrics, rows.astype(np.int8), strict=True)) for off, rows in hits.items()}

    def estimate(values: NDArray[np.int8]) -> Estimate:
        return paired_estimate(values, rng, resamples=resamples)

    def condition(off: Off) -> Condition:
        drops = {m: right[INTACT][m] - right[off][m] for m in metrics} if off != INTACT else {}
        return Condition(
            **off._asdict(),
            accuracy={metric: estimate(values) for metric, values in right[off].items()},
            drop={metric: estimate(values) for metric, values in drops.items()},
        )

    def dissociation(scope: Scope, mode: Mode) -> Dissociation:
        shape, hue = (
            [right[INTACT][factor] - right[Off(tower, scope, mode)][factor] for tower in (0, 1)] for factor in factors
        )
        return Dissociation(
            scope=scope,
            mode=mode,
            interaction=estimate((hue[0] - shape[0]) - (hue[1] - shape[1])),
            specificity=(estimate(hue[0] - shape[0]), estimate(hue[1] - shape[1])),
            contrast={name: estimate(drop[0] - drop[1]) for name, drop in zip(factors, (shape, hue), strict=True)},
        )

    both = [(off.scope, off.mode) for off in hits if off.tower == 0 and factors]
    return (
        tuple(condition(off) for off in hits),
        tuple(dissociation(scope, mode) for scope, mode in both if scope and mode),
    )


def drops_of(intact: Hits, lesioned: Hits, factors: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Drop of every metric, and for two factors of the second more than of the first, by lesion.

    `intact` (metrics, images), `lesioned` (lesions, metrics, images); the drops have shape (lesions,).
    """
    counts = intact.sum(1) - lesioned.sum(2)  # whole numbers, so that ties are ties
    drops = {name: counts[:, place] / intact.shape[1] for place, name in enumerate(("top1", "top5", *factors))}
    if factors:
        first, second = factors
        drops[f"{second} - {first}"] = (counts[:, 3] - counts[:, 2]) / intact.shape[1]
    return drops


def rank_among(observed: float, controls: NDArray[np.float64]) -> Rank:
    """Place of the observed value among the random lesions', with its two-sided p-value."""
    above, below = permutation_p(observed, controls), permutation_p(-observed, -controls)
    return Rank(
        observed=float(observed),
        controls=tuple(controls.tolist()),
        rank=int(np.count_nonzero(controls < observed)),
        p_value=min(1.0, 2 * min(above, below)),
    )


# The verdict.


def verdict_of(
    conditions: Sequence[Condition], dissociations: Sequence[Dissociation], controls: Sequence[Controls]
) -> str:
    """What was found, in one sentence: from the conv1-conv2 lesion by zeros, or the first one measured.

    A double dissociation is claimed where, with intervals clear of zero, one tower's lesion costs more hue and the
    other's more shape than the other way round; a one-sided one where the interaction is clear of zero but not both.
    """
    if not dissociations:
        return _costs(conditions) + _beyond(controls, "top1", (1, 1))
    first = next((row for row in dissociations if (row.scope, row.mode) == ("conv1-conv2", "zero")), dissociations[0])
    sign = first.interaction.sign
    size = f"interaction {points(first.interaction)} points, {first.scope}, {first.mode}"
    (shape_name, shape), (hue_name, hue) = first.contrast.items()
    if not sign:
        return f"No dissociation: {hue_name} and {shape_name} do not clearly hang on different towers ({size})."
    hue_tower, shape_tower = ("tower A", "tower B")[::sign]
    costs = {
        f"{hue_tower} off costs {_size(hue)} points more {hue_name} than {shape_tower} off": hue.sign == sign,
        f"{shape_tower} off costs {_size(shape)} points more {shape_name} than {hue_tower} off": shape.sign == -sign,
    }
    kind = "Double dissociation" if all(costs.values()) else "One-sided dissociation"
    found = " and ".join(text for text, clear in costs.items() if clear)
    found = found or f"{hue_tower} off costs {hue_name} more than {shape_name}, measured against {shape_tower} off"
    return f"{kind}: {found} ({size}){_beyond(controls, f'{hue_name} - {shape_name}', (sign, -sign))}"


def points(estimate: Estimate) -> str:
    """An estimate in percentage points with its interval."""
    return f"{100 * estimate.value:+.1f} [{100 * estimate.low:+.1f}, {100 * estimate.high:+.1f}]"


def _size(estimate: Estimate) -> str:
    return f"{100 * abs(estimate.value):.1f}"


def _costs(conditions: Sequence[Condition]) -> str:
    rows = [row for row in conditions if (row.scope, row.mode) == (conditions[1].scope, conditions[1].mode)]
    costs = " and ".join(f"tower {'AB'[row.tower or 0]} off {points(row.drop['top1'])} points" for row in rows)
    return f"Top-1 falls by: {costs} ({rows[0].scope}, {rows[0].mode})"


def _beyond(controls: Sequence[Controls], statistic: str, directions: Sequence[int]) -> str:
    """Whether the towers' lesions lie outside the random ones, in the direction that each one's finding takes."""
    if not controls:
        return "; random lesions were not measured."
    ranks = [control.ranks[statistic] for control in controls]
    p_values = " and ".join(f"{rank.p_value:.2g}" for rank in ranks)
    outside = [
        f"tower {'AB'[control.tower]}"
        for control, rank in zip(controls, ranks, strict=True)
        if rank.p_value <= 0.05 and (1 if 2 * rank.rank >= control.n else -1) == directions[control.tower]
    ]
    who = {0: "neither tower's lesion is", 1: f"only {' '.join(outside)}'s lesion is", 2: "both towers' lesions are"}
    return f"; {who[len(outside)]} beyond {controls[0].n} random ones of the same size (p = {p_values})."


# Files.


def lesions_file(checkpoint: Checkpoint) -> Path:
    """Where this machine's own result for a checkpoint lies: ``<data home>/lesions/<checkpoint id>.json``."""
    return data_home() / "lesions" / f"{checkpoint.id}.json"


def load_lesions(checkpoint: Checkpoint) -> LesionReport | None:
    """The result measured here, else the one shipped as ``NAME.lesions.json``, else ``None``.

    A result of another checkpoint counts as absent. Raises ``ValueError`` for a damaged file.
    """
    for path in (lesions_file(checkpoint), SHIPPED / f"{checkpoint.card['name']}{LESIONS}"):
        if path.exists() and (report := read_lesions(path)).checkpoint_id == checkpoint.id:
            return report
    return None


def save_lesions(report: LesionReport, path: Path) -> None:
    """Write a result with its checksum, whole or not at all."""
    save_sealed(report, path)


def read_lesions(path: Path) -> LesionReport:
    """A result from its file. Raises ``ValueError`` if it is torn, altered or of another format."""
    return read_sealed(path, LesionReport)
