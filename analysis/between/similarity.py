"""How alike are what the two towers make of the same images? Linear CKA by stage, against shuffled images and halves.

Debiased and over minibatches (Nguyen, Raghu & Kornblith 2021, arXiv 2010.15327; the unbiased HSIC of Song et al. 2012):
otherwise few images and many units alone look alike.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from alexnet_core.checkpoint import Checkpoint
from alexnet_core.model import AlexNet
from alexnet_core.store import ImageStore
from analysis.evaluate import check_fit
from analysis.lesions.dissociation import Estimate, rank_among
from analysis.lesions.photo_dissociation import estimates, resampled_means
from analysis.lesions.study import spread
from analysis.stats import permutation_p

Floats = NDArray[np.float64]

BATCH = 50  # images that are compared with each other; batches are what the bootstrap resamples
LEAST = 4  # images in a batch: the unbiased HSIC divides by n - 3


@dataclass(frozen=True, slots=True)
class StageSimilarity:
    """Linear CKA between the towers at one stage: 0 unrelated, 1 the same but for a rotation and a scale."""

    stage: str
    towers: Estimate  # with its bootstrap 95 % interval over batches of images
    null_95: float  # |CKA| that 95 % of the shuffles of tower B's images stay below
    p_value: float  # of |CKA| against them
    halves: tuple[float, ...]  # CKA between random halves of all units and their complements
    p_halves: float  # two-sided, the towers' own place among them


@torch.inference_mode()
def tower_similarity(
    model: AlexNet,
    batches: Iterable[Tensor],
    rng: np.random.Generator,
    *,
    stages: Sequence[str] | None = None,
    halves: int = 100,
    shuffles: int = 1000,
    resamples: int = 2000,
) -> tuple[StageSimilarity, ...]:
    """CKA between tower A and tower B at `stages` (all ReLUs and poolings), over batches of network input (N, 3, s, s).

    Images must come in random order, at least 4 to a batch. Raises ``ValueError`` unless there are two towers, two
    batches or more, and 4 images in each.
    """
    if (towers := model.config.towers) != 2:
        raise ValueError(f"The towers are compared in pairs: the network must have 2, this one has {towers}.")
    chosen = compared_stages(model) if stages is None else tuple(stages)
    sides = {stage: _sides(model, stage, halves, rng) for stage in chosen}
    found: dict[str, list[_Products]] = {stage: [] for stage in chosen}
    for batch in batches:
        if len(batch) < LEAST:
            raise ValueError(f"Every batch must have at least {LEAST} images, got one of {len(batch)}.")
        _, kept = model.run(batch, until=chosen[-1], taps=chosen)
        for stage in chosen:
            found[stage].append(_products(kept[stage], sides[stage], shuffles, rng))
    if len(found[chosen[0]]) < 2:
        raise ValueError(f"The bootstrap is over batches: at least 2 are needed, got {len(found[chosen[0]])}.")
    return tuple(_similarity(stage, rows, rng, resamples) for stage, rows in found.items())


def compared_stages(model: AlexNet) -> tuple[str, ...]:
    """The stages at which towers are compared unless told otherwise: ReLUs and poolings."""
    return tuple(stage for stage in model.config.stages if stage.startswith(("relu", "pool")))


def debiased_cka(first: Floats, second: Floats) -> float:
    """Linear CKA of features (n, d) and (n, e) of the same n >= 4 images; about 0 for unrelated ones, or below."""
    one, two = (_centred(features @ features.T) for features in (first, second))
    return _cka((one * two).sum(), (one * one).sum(), (two * two).sum())


_Products = tuple[Floats, Floats]
"""Of one batch: inner products of centred similarities (1 + halves, 3), of both sides and of each with itself, first
the towers, then the halves; and those of both towers where one has its images shuffled (shuffles,)."""


def _sides(model: AlexNet, stage: str, halves: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which units (1 + halves, units) are compared with the others: tower A, then random ones, as many."""
    first = np.zeros(2 * len(model.units(stage, 0)), bool)
    first[list(model.units(stage, 0))] = True
    return np.stack([first, *(rng.permutation(first) for _ in range(halves))])


def _products(features: Tensor, sides: NDArray[np.bool_], shuffles: int, rng: np.random.Generator) -> _Products:
    flat = features.flatten(2).double() if features.ndim > 2 else features[..., None].double()
    whole = _gram(flat)
    pairs = [(one := _gram(flat[:, torch.from_numpy(side)]), whole - one) for side in sides]
    centred = [(_centred(one), _centred(two)) for one, two in pairs]
    found = np.array([((one * two).sum(), (one * one).sum(), (two * two).sum()) for one, two in centred])
    one, two = centred[0]
    orders = (rng.permutation(len(one)) for _ in range(shuffles))
    return found, np.array([(one * two[np.ix_(order, order)]).sum() for order in orders])


def _gram(features: Tensor) -> Floats:
    """Inner products (n, n) of features (n, units, positions)."""
    flat = features.flatten(1)
    gram: Floats = (flat @ flat.T).cpu().numpy()
    return gram


def _centred(gram: Floats) -> Floats:
    """Similarities (n, n) without their diagonal, centred so that products of two are unbiased up to n (n - 3)."""
    n, rest = len(gram), gram - np.diag(np.diag(gram))
    means = rest.sum(0) / (n - 2)
    centred: Floats = rest - means[:, None] - means + rest.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(centred, 0)
    return centred


def _cka(both: float, first: float, second: float) -> float:
    return float(both / np.sqrt(first * second))


def _similarity(stage: str, batches: Sequence[_Products], rng: np.random.Generator, resamples: int) -> StageSimilarity:
    products = np.stack([found for found, _ in batches])  # (batches, 1 + halves, 3)
    means = resampled_means(products[:, 0].T, rng, resamples=resamples)  # (1 + resamples, 3)
    (towers,) = estimates((means[:, 0] / np.sqrt(means[:, 1] * means[:, 2]))[:, None])
    total = products.sum(0)
    halves = [_cka(*row) for row in total[1:]]
    null = np.abs(sum(shuffled for _, shuffled in batches)) / np.sqrt(total[0, 1] * total[0, 2])
    return StageSimilarity(
        stage=stage,
        towers=towers,
        null_95=float(np.quantile(null, 0.95)),
        p_value=permutation_p(abs(towers.value), null),
        halves=tuple(halves),
        p_halves=rank_among(towers.value, np.array(halves)).p_value,
    )


def measure_similarity(
    checkpoint: Checkpoint,
    store: ImageStore,
    rng: np.random.Generator,
    *,
    split: str = "val",
    images: int = 1000,
    halves: int = 100,
    progress: bool = False,
) -> tuple[StageSimilarity, ...]:
    """`tower_similarity` over whole batches of `images` of a split, evenly spread and in random order.

    Raises ``ValueError`` unless the network reads the store's images and classes and has two towers.
    """
    check_fit([checkpoint], store)
    pixels = store.split(split).images
    rows = rng.permutation(spread(len(pixels), images))
    starts = range(0, len(rows) - BATCH + 1, BATCH)

    def batches() -> Iterator[Tensor]:
        for start in tqdm(starts, desc="similarity of the towers", unit="batch", disable=not progress):
            yield checkpoint.preprocess.centre(torch.from_numpy(np.array(pixels[rows[start : start + BATCH]])))

    return tower_similarity(checkpoint.model, batches(), rng, halves=halves)
