"""Silenced units: which, how, and what the network says without them. Measured by ``python -m analysis.lesions``."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alexnet_core.geometry import channels
from alexnet_core.model import AlexNet

Mode = Literal["zero", "mean", "resample"]
MODES: tuple[Mode, ...] = get_args(Mode)
Scope = Literal["conv1-conv2", "whole tower"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
STAGES: dict[Scope, tuple[str, ...]] = {
    "conv1-conv2": ("relu1", "relu2"),  # before conv3 mixes the towers
    "whole tower": ("relu1", "relu2", "relu3", "relu4", "relu5", "relu6", "relu7"),
}
MAX_SWAPS = 20_000  # tried for one random lesion, ten times what a trained network needs


@dataclass(frozen=True, slots=True)
class Lesion:
    """Units silenced behind a stage, by number; without any units it is the intact network.

    ``mode``: "zero", the unit never fires; "mean", it always gives its mean over reference images (and positions);
    "resample", it gives what another image, the donor, makes it give: one donor for all units of the lesion.

    Zeros change more than the units themselves: in a stage followed by response normalisation the neighbours'
    denominators shrink, so their gain rises; and the drive of the next layer falls, which mean and resample keep.
    Raises ``ValueError`` for an unknown mode and for negative or repeated units.
    """

    units: Mapping[str, Sequence[int]] = field(default_factory=dict)
    mode: Mode = "zero"

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"The mode of a lesion must be one of {MODES}, got {self.mode!r}.")
        for stage, units in self.units.items():
            if len(set(units)) < len(units) or min(units, default=0) < 0:
                raise ValueError(f"The units of {stage} must be different numbers from 0 on, got {list(units)}.")


def tower_lesion(model: AlexNet, tower: int, scope: Scope = "conv1-conv2", mode: Mode = "zero") -> Lesion:
    """A tower (0 = A, 1 = B) switched off, silenced behind its ReLUs.

    "conv1-conv2" leaves conv3 to read the other tower alone; "whole tower" takes conv1 to conv5 and its halves of
    fc6 and fc7. Raises ``ValueError`` for a tower or scope that is not there.
    """
    if scope not in SCOPES:
        raise ValueError(f"The scope of a tower's lesion must be one of {SCOPES}, got {scope!r}.")
    return Lesion({stage: model.units(stage, tower) for stage in STAGES[scope]}, mode)


def complement(model: AlexNet, lesion: Lesion) -> Lesion:
    """All units of the lesion's stages that it leaves alone."""
    units = {
        stage: sorted(set(range(channels(model.config, stage))) - set(silenced))
        for stage, silenced in lesion.units.items()
    }
    return Lesion(units, lesion.mode)


@torch.inference_mode()
def run_under(
    model: AlexNet,
    batch: Tensor,
    lesions: Sequence[Lesion],
    *,
    means: Mapping[str, Tensor] | None = None,
    donors: Tensor | None = None,
) -> Tensor:
    """Logits (lesions, N, num_classes) of network input (N, 3, s, s) under each lesion; ``Lesion()`` is intact.

    What lesions have in common is computed once. `means` holds mean activations (units,) by stage, from
    `unit_means`, for lesions of mode "mean"; `donors` (N, 3, s, s) is the network input of one other image each, for
    "resample". Raises ``ValueError`` if they lack, if there is no lesion, or if a stage or unit is not there.
    """
    if not lesions:
        raise ValueError("At least one lesion is needed; Lesion() is the intact network.")
    pending = {number: _steps(model, lesion) for number, lesion in enumerate(lesions)}
    values = _values(model, {step for steps in pending.values() for step in steps}, len(batch), means, donors)
    logits: dict[int, Tensor] = {}
    _follow(model, batch, None, pending, values, logits)
    return torch.stack([logits[number] for number in pending])


@torch.inference_mode()
def unit_means(model: AlexNet, batches: Iterable[Tensor], stages: Collection[str]) -> dict[str, Tensor]:
    """Mean activation (units,) by stage of the intact network, over images (network input) and positions.

    Raises ``ValueError`` if there are no images.
    """
    count, totals = 0, {stage: torch.zeros(()) for stage in stages}
    for batch in batches:
        _, kept = model.run(batch, taps=stages)
        count += len(batch)
        totals = {stage: totals[stage].to(batch.device) + _over_positions(kept[stage]).sum(0) for stage in stages}
    if not count:
        raise ValueError("Mean activations need at least one image.")
    return {stage: total / count for stage, total in totals.items()}


class Match(NamedTuple):
    """A random lesion and how well it matches: by stage, its summed squared weights over the wanted ones, minus 1."""

    lesion: Lesion
    error: dict[str, float]


def matched_lesion(model: AlexNet, lesion: Lesion, rng: np.random.Generator, *, tolerance: float = 0.01) -> Match:
    """As many units, drawn from all of each stage, whose weights' summed squares are those of `lesion`.

    The weights are those of the stage's own layer (conv1 for relu1). A draw that misses by more than `tolerance` is
    mended by random swaps, each of which brings it nearer; what cannot be mended is told by `error`.
    """
    units, error = {}, {}
    for stage, silenced in lesion.units.items():
        energy, wanted = weight_energy(model, stage), np.array(silenced)
        units[stage] = matched_units(energy, wanted, rng, tolerance)
        error[stage] = float(energy[units[stage]].sum() / energy[wanted].sum() - 1)
    return Match(Lesion({stage: found.tolist() for stage, found in units.items()}, lesion.mode), error)


def weight_energy(model: AlexNet, stage: str) -> NDArray[np.float64]:
    """Summed squared weights (units,) of the layer a ReLU stage belongs to, biases left out."""
    layer = next(name for name in model.stages if name in (f"conv{stage[-1]}", f"fc{stage[-1]}"))
    weight = model.get_parameter(f"stages.{layer}.weight").detach()
    return weight.flatten(1).double().square().sum(1).cpu().numpy()


def matched_units(
    energy: NDArray[np.float64], units: NDArray[np.intp], rng: np.random.Generator, tolerance: float
) -> NDArray[np.intp]:
    """As many random units as `units`, sorted, with their summed energy to within `tolerance` of it if possible."""
    goal, count = energy[units].sum(), len(units)
    order = rng.permutation(len(energy))
    gap = energy[order[:count]].sum() - goal
    for inside, outside in rng.integers((0, count), (count, len(energy)), (MAX_SWAPS, 2)):
        if abs(gap) <= tolerance * goal:
            break
        change = energy[order[outside]] - energy[order[inside]]
        if abs(gap + change) < abs(gap):
            order[[inside, outside]] = order[[outside, inside]]
            gap += change
    return np.sort(order[:count])


def _over_positions(x: Tensor) -> Tensor:
    """Mean of each map, (N, units); fully connected outputs as they are."""
    return x.flatten(2).mean(2) if x.ndim > 2 else x


class _Step(NamedTuple):
    """What a lesion does at one stage."""

    stage: str
    units: tuple[int, ...]
    mode: Mode


_Steps = tuple[_Step, ...]


class _Values(NamedTuple):
    """What silenced units give, by stage: their means (units,), and the donors' activations (N, units, ...)."""

    means: Mapping[str, Tensor]
    donors: Mapping[str, Tensor]

    def silence(self, x: Tensor, step: _Step) -> Tensor:
        """The output of a stage with the step's units silenced; `x` is left as it was."""
        index = torch.tensor(step.units, device=x.device)
        if step.mode == "zero":
            return x.index_fill(1, index, 0.0)
        if step.mode == "resample":
            return x.index_copy(1, index, self.donors[step.stage][:, index])
        means = self.means[step.stage].to(x)[index].view(-1, *[1] * (x.ndim - 2))
        return x.index_copy(1, index, means.expand(len(x), -1, *x.shape[2:]))


def _steps(model: AlexNet, lesion: Lesion) -> _Steps:
    """What is to be done, in the order of the stages and without what cannot matter."""
    order = model.config.stages
    if unknown := set(lesion.units) - set(order):
        raise ValueError(f"Unknown stage(s) {sorted(unknown)}; choose from {list(order)}.")
    for stage, units in lesion.units.items():
        if max(units, default=0) >= (count := channels(model.config, stage)):
            raise ValueError(f"{stage} has units 0 to {count - 1}, got {max(units)}.")
    silenced = {stage: set(units) for stage, units in lesion.units.items()}
    left = {stage: silenced[stage] - _idle(model, silenced, stage) for stage in order if stage in silenced}
    return tuple(_Step(stage, tuple(sorted(units)), lesion.mode) for stage, units in left.items() if units)


def _idle(model: AlexNet, silenced: Mapping[str, set[int]], stage: str) -> set[int]:
    """Units of a stage that nothing but silenced units can read, so that silencing them too changes nothing.

    That is so behind conv1 to conv4 where the next convolution stays inside its tower, all of the tower is silenced
    behind it, and no response normalisation in between reaches across.
    """
    config, layer = model.config, int(stage[-1])
    if stage != f"relu{layer}" or layer > 4 or config.groups(f"conv{layer + 1}") < config.towers:
        return set()
    if config.lrn_across_towers and f"norm{layer}" in config.stages[config.stages.index(stage) :]:
        return set()
    following = f"relu{layer + 1}"
    gone = [t for t in range(config.towers) if set(model.units(following, t)) <= silenced.get(following, set())]
    return {unit for tower in gone for unit in model.units(stage, tower)}


def _values(
    model: AlexNet, steps: set[_Step], n: int, means: Mapping[str, Tensor] | None, donors: Tensor | None
) -> _Values:
    averaged, resampled = ({step.stage for step in steps if step.mode == mode} for mode in ("mean", "resample"))
    if missing := averaged - set(means or {}):
        raise ValueError(f"Lesions of mode 'mean' need the mean activations of {sorted(missing)}: see unit_means.")
    if not resampled:
        return _Values(means or {}, {})
    if donors is None or len(donors) != n:
        raise ValueError(f"Lesions of mode 'resample' need {n} donors, one for each image.")
    order = list(model.stages)
    return _Values(means or {}, model.run(donors, until=max(resampled, key=order.index), taps=resampled)[1])


def _follow(
    model: AlexNet,
    x: Tensor,
    after: str | None,
    pending: Mapping[int, _Steps],
    values: _Values,
    logits: dict[int, Tensor],
) -> None:
    """Run on from `after` for all lesions that agree so far, and part where their next steps differ."""
    parted: dict[_Step, dict[int, _Steps]] = {}
    for number, steps in pending.items():
        if steps:
            parted.setdefault(steps[0], {})[number] = steps[1:]
    done = [number for number, steps in pending.items() if not steps]
    stages = {step.stage for step in parted}
    last = None if done else max(stages, key=list(model.stages).index)
    x, kept = model.run(x, after=after, until=last, taps=stages)
    logits.update(dict.fromkeys(done, x))
    for step, rest in parted.items():
        _follow(model, values.silence(kept[step.stage], step), step.stage, rest, values, logits)
