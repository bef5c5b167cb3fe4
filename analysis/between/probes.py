"""What can be read off a tower with a linear classifier? Hue and orientation, from pool1 and pool2.

Every picture (`analysis.stimuli.tinted_gratings`) has both, drawn
independently: orientation told by luma alone, hue by chroma alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from alexnet_core.model import AlexNet
from alexnet_core.preprocess import Preprocess
from analysis.lesions.dissociation import Estimate
from analysis.lesions.photo_dissociation import estimates, resampled_means
from analysis.stimuli import tinted_gratings

FACTORS = ("hue", "orientation")
STAGES = ("pool1", "pool2")
FOLDS = 5
ROUNDS = 1000  # of the solver; it stops by itself after a few dozen
BATCH = 50


@dataclass(frozen=True, slots=True)
class Probe:
    """Share of pictures whose factor a linear classifier tells that was trained on others, by tower."""

    stage: str
    factor: str
    dimensions: int  # of what it sees, the same for both towers and all stages
    chance: float
    towers: tuple[Estimate, Estimate]  # tower A, tower B
    difference: Estimate  # tower B minus tower A, paired by picture


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """Linear probes of both towers; intervals are bootstrap 95 % over pictures."""

    images: int
    probes: tuple[Probe, ...]  # by stage, hue before orientation
    interaction: dict[str, Estimate]  # by stage: the difference in hue minus the difference in orientation


def measure_probes(
    model: AlexNet,
    preprocess: Preprocess,
    rng: np.random.Generator,
    *,
    images: int = 800,
    stages: Sequence[str] = STAGES,
    resamples: int = 2000,
) -> ProbeReport:
    """Probe both towers for the hue and the orientation of the same pictures, each unit averaged over its map.

    All features are reduced by PCA, fitted like the classifier on the training folds, to as many dimensions as the
    smallest tower has units. Raises ``ValueError`` unless there are two towers and 5 pictures of every kind.
    """
    if (towers := model.config.towers) != 2:
        raise ValueError(f"The towers are compared in pairs: the network must have 2, this one has {towers}.")
    dimensions = min(len(model.units(stage, 0)) for stage in stages)
    shown = tinted_gratings(images, preprocess.input_size, rng)
    truth = {"hue": shown.hue, "orientation": shown.orientation}
    least = min(int(np.bincount(labels).min()) for labels in truth.values())
    if least < FOLDS:
        raise ValueError(f"Every hue and orientation needs {FOLDS} pictures or more, {images} make {least}.")
    features = mean_activations(model, shown.images - middle_of(preprocess), stages)
    seed = int(rng.integers(2**31))
    right = {
        (stage, factor, tower): told(
            features[stage][:, list(model.units(stage, tower))], truth[factor], dimensions, seed
        )
        for stage, factor, tower in product(stages, FACTORS, (0, 1))
    }
    means = resampled_means(np.array(list(right.values()), np.float64), rng, resamples=resamples)
    by_tower = means.reshape(len(means), len(stages), len(FACTORS), 2)
    difference = by_tower[..., 1] - by_tower[..., 0]
    probes = [
        Probe(
            stage=stage,
            factor=factor,
            dimensions=dimensions,
            chance=1 / len(np.unique(truth[factor])),
            towers=_pair(by_tower[:, row, column]),
            difference=estimates(difference[:, row, column, None])[0],
        )
        for (row, stage), (column, factor) in product(enumerate(stages), enumerate(FACTORS))
    ]
    interaction = estimates(difference[:, :, 0] - difference[:, :, 1])
    return ProbeReport(images, tuple(probes), dict(zip(stages, interaction, strict=True)))


@torch.inference_mode()
def mean_activations(model: AlexNet, images: torch.Tensor, stages: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Mean of every map (n, units) by stage, for network input (n, 3, s, s)."""
    last = max(stages, key=list(model.stages).index)
    kept = [model.run(batch, until=last, taps=stages)[1] for batch in images.split(BATCH)]
    return {
        stage: torch.cat([batch[stage].flatten(2).mean(2) for batch in kept]).double().cpu().numpy() for stage in stages
    }


def told(features: NDArray[np.float64], labels: NDArray[np.intp], dimensions: int, seed: int) -> NDArray[np.bool_]:
    """Which labels (n,) a logistic regression tells from features (n, d), each from a fit to the other folds."""
    classifier = make_pipeline(
        StandardScaler(),
        PCA(dimensions, svd_solver="full"),
        LogisticRegression(max_iter=ROUNDS),
    )
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    return np.asarray(cross_val_predict(classifier, features, labels, cv=folds) == labels)


def middle_of(preprocess: Preprocess) -> torch.Tensor:
    """Mean image (3, s, s) that a network of this preprocessing expects to be subtracted."""
    zero = torch.zeros(1, 3, preprocess.input_size, preprocess.input_size)
    return -preprocess.subtract_mean(zero)[0]


def _pair(means: NDArray[np.float64]) -> tuple[Estimate, Estimate]:
    first, second = estimates(means)
    return first, second
