"""Purity at every threshold: how strongly colour kernels gather in one tower, wherever "colour" is taken to begin."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.stats import permutation_p

Floats = NDArray[np.float64]

LEAST_COLOUR = 10  # colour kernels at the strictest threshold; the mildest leaves half of all kernels grey
_CLOSEST = 1e-9  # gap that a threshold needs: smaller ones are rounding


class Sweep(NamedTuple):
    """Purity over m thresholds, the strictest first, and what it would be if the towers meant nothing.

    The bands hold for all thresholds at once: with permuted towers, the whole curve of purity stays below in 95 %
    (99.9 %) of the draws. A threshold chosen because it parts the towers well must be read against them.
    """

    thresholds: Floats  # (m,) midway between two neighbouring values
    colour: NDArray[np.intp]  # (m, 2) kernels above, by tower
    purity: Floats  # (m,) larger share of them that lies in one tower, 0.5 to 1
    expected: Floats  # (m,) its mean over permuted towers
    band_95: Floats  # (m,) may exceed 1 where few kernels are above: no purity is remarkable there
    band_999: Floats  # (m,)
    p_value: float  # of the curve's largest rise over what is expected, in standard deviations at each threshold

    def to_json(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return {name: np.asarray(value).tolist() for name, value in self._asdict().items()}


def purity_sweep(
    values: ArrayLike, labels: ArrayLike, rng: np.random.Generator, *, n_permutations: int = 10_000
) -> Sweep | None:
    """Purity of the kernels with the largest values, for all thresholds that leave 10 kernels up to half of them.

    `labels` holds the tower (0 or 1) of each of the n values. Equal values cannot be parted: ``None`` if that
    leaves no threshold. The band is that of the largest standardised purity over all thresholds (max-T, Westfall
    and Young 1993).
    """
    x, towers = np.asarray(values, np.float64), np.asarray(labels)
    order = np.argsort(-x, kind="stable")
    above = np.arange(LEAST_COLOUR, len(x) // 2 + 1)  # how many kernels a threshold leaves
    above = above[x[order[above - 1]] - x[order[above]] > _CLOSEST]
    if not len(above):
        return None
    in_b = np.cumsum(towers[order])[above - 1]
    shuffled = rng.permuted(np.broadcast_to(towers.astype(np.int16), (n_permutations, len(x))), axis=1)
    null = _purity(np.cumsum(shuffled, axis=1)[:, above - 1], above)
    expected, spread = null.mean(0), null.std(0)
    largest = ((null - expected) / spread).max(1)
    purity = _purity(in_b, above)
    reach_95, reach_999 = np.quantile(largest, (0.95, 0.999))
    return Sweep(
        thresholds=(x[order[above - 1]] + x[order[above]]) / 2,
        colour=np.stack([above - in_b, in_b], axis=1),
        purity=purity,
        expected=expected,
        band_95=expected + reach_95 * spread,
        band_999=expected + reach_999 * spread,
        p_value=permutation_p(float(((purity - expected) / spread).max()), largest),
    )


def _purity(in_b: NDArray[np.integer], above: NDArray[np.intp]) -> Floats:
    return np.asarray(np.maximum(in_b, above - in_b) / above)
