"""What else differs between two towers than their mean chroma, and whether neighbouring channels make it seem so."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.kernels.gabor import gabor_fit
from analysis.kernels.indices import KernelIndices, colour_axis, measure_kernels, weighted_chroma
from analysis.stats import (
    Interval,
    area_under_curve,
    block_permuted_differences,
    bootstrap_difference,
    holm,
    morans_i,
    permutation_p,
    permuted_differences,
    permuted_morans_i,
    two_sided_p,
)
from analysis.towers.comparison import MIN_LIVE, blind_threshold, checked_labels
from analysis.towers.readable import Readable, tower_readability
from analysis.towers.sweep import Sweep, purity_sweep

Floats = NDArray[np.float64]

MEASURED = ("frequency", "selectivity", "separability", "norm", "smoothness")  # fields of KernelIndices
GREY_FREQUENCY = "frequency of grey kernels"  # declared: finer in the tower with the higher mean chroma
CLASSIFIED = 1000  # permutations that are classified at most: each takes 3 ms
MIN_KNOWN = 5  # kernels with a value that each tower needs to be compared in an index


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One index in the two towers."""

    index: str
    n: tuple[int, int]  # kernels with a value, by tower
    means: tuple[float, float]
    difference: float  # mean of tower B minus tower A
    interval: Interval  # bootstrap 95 % over kernels
    cliffs_delta: float  # -1 to 1: how much more often tower B has the larger value of two kernels than the smaller
    p_value: float  # permutation of the labels, two-sided
    p_holm: float | None = None  # adjusted for all rows of a table and the classifier


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """Chroma along the channels, which response normalisation couples."""

    morans_i: float  # inside the towers, reach 2: neighbours alike (to 1), unrelated (about 0) or opposed
    p_value: float  # permutation inside the towers, two-sided
    block_p: float  # of the primary difference, whole blocks of five channels dealt to the towers


@dataclass(frozen=True, slots=True, kw_only=True)
class Secondary:
    """What is measured of live kernels besides the declared primary statistic."""

    rows: tuple[Comparison, ...]
    readable: Readable  # the tower, guessed from chroma and all indices that every kernel has
    neighbours: Neighbours | None  # none where chroma does not vary inside the towers
    unfiltered: Comparison  # the primary difference with no kernel left out
    sweep: Sweep | None  # none where chroma varies too little for a threshold

    def row(self, index: str) -> Comparison | None:
        """The comparison of an index, or ``None`` if it was not made."""
        return next((row for row in self.rows if row.index == index), None)

    def to_json(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return asdict(self) | {"sweep": self.sweep and self.sweep.to_json()}


def measure_secondary(
    kernels: NDArray[np.floating],
    towers: ArrayLike,
    rng: np.random.Generator,
    *,
    covariance: NDArray[np.floating] | None = None,
    more: Mapping[str, Floats] | None = None,
    n_permutations: int = 20_000,
) -> Secondary | None:
    """Compare the towers of kernels (n, 3, k, k) in raw RGB; `towers` holds n labels, 0 for A and 1 for B.

    `covariance` of patches of photographs adds the chroma weighted by it; `more` adds indices by name, (n,) each,
    such as those of responses to images. ``None`` where a tower has under 20 live kernels. Raises ``ValueError``
    for other shapes or labels.
    """
    indices, labels = measure_kernels(kernels), checked_labels(towers, len(kernels))
    if np.bincount(labels[indices.live], minlength=2).min() < MIN_LIVE:
        return None
    values = secondary_indices(kernels, indices, covariance) | dict(more or {})
    return compare_indices(indices, values, labels, rng, n_permutations)


def secondary_indices(
    kernels: NDArray[np.floating], indices: KernelIndices, covariance: NDArray[np.floating] | None = None
) -> dict[str, Floats]:
    """The indices that are compared besides chroma, by name, each (n,)."""
    values: dict[str, Floats] = {name: getattr(indices, name) for name in MEASURED}
    values["gabor_fit"] = gabor_fit(colour_axis(kernels).pattern)
    if covariance is not None:
        values["weighted_chroma"] = weighted_chroma(kernels, covariance)
    return values


def compare_indices(
    indices: KernelIndices,
    values: Mapping[str, Floats],
    labels: NDArray[np.intp],
    rng: np.random.Generator,
    n_permutations: int = 20_000,
) -> Secondary:
    """`measure_secondary` for kernels whose indices, and the `values` besides, are known."""
    live, chroma = indices.live, indices.chroma

    grey = np.where(chroma < blind_threshold(indices), indices.frequency, np.nan)
    rows = []
    for name, each in {**values, GREY_FREQUENCY: grey}.items():
        known = live & ~np.isnan(each)
        if np.bincount(labels[known], minlength=2).min() >= MIN_KNOWN:
            rows.append(compare(name, each[known], labels[known], rng, n_permutations))
    features = np.column_stack([chroma, *values.values()])[live]
    features = features[:, ~np.isnan(features).any(0)]
    readable = tower_readability(features, labels[live], rng, n_permutations=min(n_permutations, CLASSIFIED))
    seen = ~np.isnan(chroma)
    *adjusted, readable_p = holm([*(row.p_value for row in rows), readable.p_value])
    return Secondary(
        rows=tuple(replace(row, p_holm=float(p)) for row, p in zip(rows, adjusted, strict=True)),
        readable=replace(readable, p_holm=float(readable_p)),
        neighbours=neighbours(chroma, labels, live, rng, n_permutations),
        unfiltered=compare("chroma", chroma[seen], labels[seen], rng, n_permutations),
        sweep=purity_sweep(chroma[live], labels[live], rng),
    )


def compare(
    index: str, values: Floats, labels: NDArray[np.intp], rng: np.random.Generator, n_permutations: int = 20_000
) -> Comparison:
    """Compare one index (n,) between the two towers that `labels` (n,) name."""
    first, second = values[labels == 0], values[labels == 1]
    difference = float(second.mean() - first.mean())
    null = permuted_differences(values, len(first), rng, n_permutations=n_permutations)
    return Comparison(
        index=index,
        n=(len(first), len(second)),
        means=(float(first.mean()), float(second.mean())),
        difference=difference,
        interval=bootstrap_difference(first, second, rng),
        cliffs_delta=2 * area_under_curve(first, second) - 1,
        p_value=permutation_p(abs(difference), null),
    )


def neighbours(
    chroma: Floats,
    labels: NDArray[np.intp],
    live: NDArray[np.bool_],
    rng: np.random.Generator,
    n_permutations: int = 20_000,
) -> Neighbours | None:
    """Whether neighbouring channels are alike in chroma, and the towers' difference if they are moved together.

    ``None`` where chroma does not vary inside the towers.
    """
    if not any(np.ptp(chroma[live & (labels == tower)]) for tower in (0, 1)):
        return None
    lined_up = chroma[live], np.flatnonzero(live), labels[live]
    observed = morans_i(*lined_up)
    difference = abs(chroma[live & (labels == 1)].mean() - chroma[live & (labels == 0)].mean())
    blocks = block_permuted_differences(chroma, labels, live, rng, n_permutations=n_permutations)
    return Neighbours(
        morans_i=observed,
        p_value=two_sided_p(observed, permuted_morans_i(*lined_up, rng, n_permutations=n_permutations)),
        block_p=permutation_p(float(difference), blocks),
    )
