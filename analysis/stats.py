"""Small statistics with their intervals and nulls; randomness is always an argument."""

import math
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest, combine_pvalues, hypergeom, norm, rankdata
from scipy.stats import t as student

Floats = NDArray[np.float64]

_NORMAL_975 = float(norm.ppf(0.975))
_CHUNK = 10_000  # permutations drawn at a time: bounds the memory


class Interval(NamedTuple):
    """Lower and upper end of a 95 % interval."""

    low: float
    high: float


def wilson_interval(hits: int, n: int) -> Interval:
    """95 % interval of a share, `hits` of `n` (Wilson 1927). Raises ``ValueError`` unless 0 <= hits <= n, n >= 1."""
    if not 0 <= hits <= n or n < 1:
        raise ValueError(f"A share needs 0 <= hits <= n and n >= 1, got {hits} of {n}.")
    share, squared = hits / n, _NORMAL_975**2 / n  # by hand: scipy's binomtest takes 0.3 ms, for a p-value nobody reads
    middle, reach = share + squared / 2, math.sqrt(squared * (share * (1 - share) + squared / 4))
    return Interval((middle - reach) / (1 + squared), (middle + reach) / (1 + squared))


def bootstrap_difference(
    first: ArrayLike, second: ArrayLike, rng: np.random.Generator, *, n_resamples: int = 5000
) -> Interval:
    """Percentile 95 % interval of mean(second) - mean(first), each group resampled by itself."""
    groups = [np.asarray(group, np.float64) for group in (first, second)]
    means = [group[rng.integers(len(group), size=(n_resamples, len(group)))].mean(axis=1) for group in groups]
    low, high = np.quantile(means[1] - means[0], (0.025, 0.975))
    return Interval(float(low), float(high))


def permuted_differences(
    values: ArrayLike, n_first: int, rng: np.random.Generator, *, n_permutations: int = 100_000
) -> Floats:
    """|Difference of means| between a random `n_first` of the values and the rest, shape (n_permutations,)."""
    pool = np.asarray(values, np.float64)
    chunks = []
    for start in range(0, n_permutations, _CHUNK):
        draws = min(_CHUNK, n_permutations - start)
        shuffled = rng.permuted(np.broadcast_to(pool, (draws, len(pool))), axis=1)
        chunks.append(np.abs(shuffled[:, n_first:].mean(axis=1) - shuffled[:, :n_first].mean(axis=1)))
    return np.concatenate(chunks)


def permutation_p(observed: float, null: Floats) -> float:
    """Share of the null at or beyond the observed value, counting the observed one: (1 + hits) / (1 + draws)."""
    slack = 1e-12 + 1e-9 * abs(observed)  # the same split summed in another order is a hit
    return float((1 + np.count_nonzero(null >= observed - slack)) / (1 + len(null)))


def otsu_threshold(values: ArrayLike) -> float:
    """Cut that leaves the least variance inside the two classes (Otsu 1979), exactly, without a histogram.

    Lies midway between the two neighbouring values. Raises ``ValueError`` if all values are equal.
    """
    ordered = np.sort(np.asarray(values, np.float64))
    cuts = np.flatnonzero(np.diff(ordered)) + 1
    if not len(cuts):
        raise ValueError(f"A threshold needs at least two different values, got {len(ordered)} equal one(s).")
    total, below = len(ordered), np.cumsum(ordered)
    gap = (below[-1] - below[cuts - 1]) / (total - cuts) - below[cuts - 1] / cuts
    best = cuts[np.argmax(cuts * (total - cuts) * gap**2)]
    return float((ordered[best - 1] + ordered[best]) / 2)


def area_under_curve(first: ArrayLike, second: ArrayLike) -> float:
    """Chance that a value of `second` exceeds one of `first`, ties counted half (AUC); 0.5 means no order."""
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    ranks = rankdata(np.concatenate([first, second]))[len(first) :]
    return float((ranks.mean() - (len(second) + 1) / 2) / len(first))


def mutual_information(first: ArrayLike, second: ArrayLike) -> float:
    """Mutual information of two truth values per item, in bits, from 0 to 1 (plug-in estimate)."""
    joint = np.zeros((2, 2))
    np.add.at(joint, (np.asarray(first, np.intp), np.asarray(second, np.intp)), 1)
    joint /= joint.sum()
    independent = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    seen = joint > 0
    return float((joint[seen] * np.log2(joint[seen] / independent[seen])).sum())


# More than one test.


def holm(p_values: ArrayLike) -> Floats:
    """P-values adjusted for being several (Holm 1979), in the order given: one below 0.05 stands at 5 % for all."""
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return np.minimum(adjusted, 1.0)[np.argsort(order)]


def two_sided_p(observed: float, null: Floats) -> float:
    """Twice the smaller of the shares of the null at or above, and at or below, the observed value; at most 1."""
    return min(1.0, 2 * min(permutation_p(observed, null), permutation_p(-observed, -null)))


def purity_p(inside: tuple[int, int], sizes: tuple[int, int]) -> float:
    """Chance that one of two groups holds at least this share of the marked items, were they marked blindly.

    `inside` counts the marked items by group, `sizes` all items. Exact: a hypergeometric tail, folded, since either
    group may be the fuller one.
    """
    marked, fuller = sum(inside), max(inside)
    chances = hypergeom(sum(sizes), sizes[0], marked)
    return min(1.0, float(chances.sf(fuller - 1) + chances.cdf(marked - fuller)))


# Neighbours along the channels.


def morans_i(values: ArrayLike, positions: ArrayLike, groups: ArrayLike, *, reach: int = 2) -> float:
    """Moran's I of values on a line: whether neighbours are alike (towards 1), unrelated (about 0) or opposed.

    Neighbours lie at most `reach` apart and in the same group; a group's own mean is taken off, so that a difference
    between the groups does not count. A response normalisation of size 5 reaches 2. Raises ``ValueError`` if there
    are no neighbours, or nothing varies inside a group.
    """
    return float(_autocorrelation(*_neighbours(values, positions, groups, reach))[0])


def permuted_morans_i(
    values: ArrayLike,
    positions: ArrayLike,
    groups: ArrayLike,
    rng: np.random.Generator,
    *,
    reach: int = 2,
    n_permutations: int = 10_000,
) -> Floats:
    """`morans_i` with the values shuffled inside each group, shape (n_permutations,)."""
    centred, pairs = _neighbours(values, positions, groups, reach)
    labels = np.asarray(groups)
    shuffled = np.empty((n_permutations, centred.shape[1]))
    for group in np.unique(labels):
        members = labels == group
        shuffled[:, members] = rng.permuted(
            np.broadcast_to(centred[:, members], (n_permutations, members.sum())), axis=1
        )
    return _autocorrelation(shuffled, pairs)


def block_permuted_differences(
    values: ArrayLike,
    labels: ArrayLike,
    counted: ArrayLike,
    rng: np.random.Generator,
    *,
    block: int = 5,
    n_permutations: int = 100_000,
) -> Floats:
    """|Difference of means| of two groups, were whole blocks of neighbours dealt out to them, (n_permutations,).

    The n values stand in the order of the channels, `labels` (0 or 1) says whose they are and only those in
    `counted` enter the means. Each group's runs of channels are cut into blocks of `block` and a shorter rest; only
    blocks of equal length are exchanged. A draw that leaves a group without a counted value is infinitely far out.
    """
    owners, lengths, sums, counts = _blocks(np.asarray(values), np.asarray(labels), np.asarray(counted), block)
    dealt = np.empty((n_permutations, len(owners)))
    for length in np.unique(lengths):
        alike = lengths == length
        dealt[:, alike] = rng.permuted(np.broadcast_to(owners[alike], (n_permutations, alike.sum())), axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        difference = np.abs(dealt @ sums / (dealt @ counts) - (1 - dealt) @ sums / ((1 - dealt) @ counts))
    return np.where(np.isnan(difference), np.inf, difference)


# Across trained networks.


def sign_test(differences: ArrayLike) -> float:
    """Two-sided exact p-value that as many of the differences have the same sign; zeros are left out, 1 if all are."""
    signs = np.sign(np.asarray(differences, np.float64))
    positive, negative = int((signs > 0).sum()), int((signs < 0).sum())
    return float(binomtest(positive, positive + negative).pvalue) if positive + negative else 1.0


def rate_lower_bound(hits: int, n: int) -> float:
    """Rate that the true one exceeds with 95 % confidence when `hits` of `n` came out (Clopper and Pearson 1934).

    For hits = n it is 0.05^(1/n). Raises ``ValueError`` unless 0 <= hits <= n, n >= 1.
    """
    if not 0 <= hits <= n or n < 1:
        raise ValueError(f"A rate needs 0 <= hits <= n and n >= 1, got {hits} of {n}.")
    return float(binomtest(hits, n, alternative="greater").proportion_ci(0.95, method="exact").low)


def mean_interval(values: ArrayLike) -> Interval:
    """95 % interval of a mean over few items, such as trained networks, by Student's t (1908).

    A bootstrap of three items cannot leave them, so it covers their true mean far less often than it says; t does
    not, as far as the items vary normally. Raises ``ValueError`` for fewer than two.
    """
    sample = np.asarray(values, np.float64)
    n = len(sample)
    if n < 2:
        raise ValueError(f"An interval needs at least two values, got {n}.")
    middle, reach = sample.mean(), student.ppf(0.975, n - 1) * sample.std(ddof=1) / math.sqrt(n)
    return Interval(float(middle - reach), float(middle + reach))


def fisher_p(p_values: ArrayLike) -> float:
    """P-value of all independent null hypotheses at once, from one of each (Fisher 1925, section 21.1).

    Small if one of them is very small, or several are fairly small: of networks, it then speaks against the
    hypothesis that the towers are parted in none of them. Raises ``ValueError`` for none.
    """
    values = np.asarray(p_values, np.float64)
    if not values.size:
        raise ValueError("A joint p-value needs at least one, got none.")
    return float(combine_pvalues(values, method="fisher").pvalue)


def _neighbours(
    values: ArrayLike, positions: ArrayLike, groups: ArrayLike, reach: int
) -> tuple[Floats, NDArray[np.intp]]:
    """Values less their group's mean, (1, n), and the pairs of neighbours, (2, pairs)."""
    x, place, group = np.asarray(values, np.float64), np.asarray(positions), np.asarray(groups)
    _, member = np.unique(group, return_inverse=True)
    centred = x - (np.bincount(member, x) / np.bincount(member))[member]
    first, second = np.triu_indices(len(x), 1)
    near = (np.abs(place[first] - place[second]) <= reach) & (group[first] == group[second])
    if not near.any() or not np.ptp(centred):
        raise ValueError(f"Moran's I needs neighbours whose values differ, got {near.sum()} pairs of {len(x)} values.")
    return centred[None], np.stack([first[near], second[near]])


def _autocorrelation(centred: Floats, pairs: NDArray[np.intp]) -> Floats:
    products = (centred[:, pairs[0]] * centred[:, pairs[1]]).mean(axis=1)
    return np.asarray(products / (centred**2).mean(axis=1))


def _blocks(
    values: NDArray[Any], labels: NDArray[Any], counted: NDArray[Any], block: int
) -> tuple[Floats, NDArray[np.intp], Floats, Floats]:
    """By block: its label, its length, and the sum and the number of its counted values."""
    edges = [0, *(np.flatnonzero(np.diff(labels)) + 1), len(labels)]
    starts = np.array([place for low, high in pairwise(edges) for place in range(low, high, block)])
    sums = np.add.reduceat(np.where(counted, values, 0.0), starts)
    counts = np.add.reduceat(counted.astype(np.float64), starts)
    return labels[starts].astype(np.float64), np.diff([*starts, len(labels)]), sums, counts
