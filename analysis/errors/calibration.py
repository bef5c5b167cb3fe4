"""Whether a confidence means what it says, and what is gained by answering only when sure."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from analysis.errors.rates import Share, share
from analysis.stats import Interval

Floats = NDArray[np.float64]


class Bin(NamedTuple):
    """Images whose confidence lies above `low`, up to `high`."""

    low: float
    high: float
    n: int
    confidence: float  # mean; NaN without images
    right: Share


class Calibration(NamedTuple):
    """A reliability diagram and what it comes to."""

    bins: list[Bin]
    ece: float  # expected calibration error: distance of mean confidence and share right, averaged over the images
    ece_interval: Interval
    mce: float  # maximum calibration error, over the bins with images
    ece_by_chance: float  # what 95 % of perfectly calibrated networks with these confidences would stay below


class RiskCoverage(NamedTuple):
    """What share of the answers is wrong if only the surest images are answered."""

    coverage: Floats  # share answered, rising to 1, shape (points,)
    risk: Floats  # share of them wrong
    aurc: float  # area under the curve: mean risk over every coverage 1/n, 2/n, ... 1
    best_aurc: float  # of an oracle that answers every right image before a wrong one


def calibration(
    table: pa.Table, bins: int = 15, rng: np.random.Generator | None = None, *, n_resamples: int = 2000
) -> Calibration:
    """Calibration of the first guess in bins of equal width (Guo et al. 2017, "On Calibration of Modern Neural
    Networks", section 2).

    The 95 % interval is the basic bootstrap's (Davison & Hinkley 1997, section 5.2): noise alone makes the error of
    a resample, like that of the sample, too large, and the reflection takes off what it added. Its low end is 0
    where perfect calibration is not rejected, the error being no larger than `ece_by_chance` (outcomes drawn from the
    confidences: Broecker & Smith 2007). Without `rng` the draws are the same at every call. Raises ``ValueError`` for
    an empty table.
    """
    _some(table)
    edges, rng = np.linspace(0, 1, bins + 1), rng or np.random.default_rng(0)
    sums = _sums(table, edges)
    gaps, images = _gaps(sums.n, sums.confidence), sums.n.sum(0)
    ece, chance = gaps.sum() / len(table), np.quantile(_chance_ece(sums, rng, n_resamples), 0.95)
    low, high = np.clip(2 * ece - np.quantile(_resampled_ece(sums, rng, n_resamples), (0.975, 0.025)), 0, 1)
    interval = Interval(0.0 if ece <= chance else float(low), float(high))
    rows = zip(edges[:-1], edges[1:], images, sums.confidence.sum(0), sums.n[1], strict=True)
    mce = (gaps / np.maximum(images, 1)).max()
    return Calibration([_bin(*row) for row in rows], float(ece), interval, float(mce), float(chance))


def risk_coverage(table: pa.Table, points: int = 500) -> RiskCoverage:
    """Risk at each coverage when images are answered in the order of their confidence (Geifman & El-Yaniv 2017,
    "Selective Classification for Deep Neural Networks"; AURC: Geifman et al. 2019, "Bias-Reduced Uncertainty
    Estimation", section 3).

    Images of the same confidence count with their mean error, whatever their order. The curve is given at up to
    `points` coverages, the areas are over all. Raises ``ValueError`` for an empty table.
    """
    _some(table)
    confidence, wrong = table["confidence"].to_numpy(), table["rank"].to_numpy() > 0
    _, level, n = np.unique(-confidence, return_inverse=True, return_counts=True)
    risk = _running_mean(np.repeat(np.bincount(level, wrong) / n, n))
    best = float(_running_mean(np.sort(wrong)).mean())
    shown = np.unique(np.linspace(0, len(table) - 1, points).round().astype(np.int64))
    return RiskCoverage((shown + 1) / len(table), risk[shown], float(risk.mean()), best)


def _some(table: pa.Table) -> None:
    if not len(table):
        raise ValueError("Confidence can only be judged with images; the table has no rows.")


class _Sums(NamedTuple):
    """Over the wrong images of each bin, and over the right ones; shape (2, bins)."""

    n: Floats
    confidence: Floats
    squares: Floats  # of the confidence


def _sums(table: pa.Table, edges: Floats) -> _Sums:
    confidence, right = table["confidence"].to_numpy().astype(np.float64), table["rank"].to_numpy() == 0
    bins = len(edges) - 1
    cell = np.searchsorted(edges[1:-1], confidence) + bins * right
    weights = (np.ones_like(confidence), confidence, confidence**2)
    return _Sums(*(np.bincount(cell, weight, 2 * bins).astype(np.float64).reshape(2, bins) for weight in weights))


def _gaps(n: Floats, confidence: Floats) -> Floats:
    """|Sum of confidence - images right| of each bin, from sums over the wrong and over the right, (..., 2, bins)."""
    gaps: Floats = np.abs(confidence.sum(-2) - n[..., 1, :])
    return gaps


def _resampled_ece(sums: _Sums, rng: np.random.Generator, times: int) -> Floats:
    """ECE of samples drawn with replacement: counts are multinomial, each with the mean confidence of its bin."""
    n, mean = sums.n, sums.confidence / np.maximum(sums.n, 1)
    drawn = rng.multinomial(int(n.sum()), n.ravel() / n.sum(), times).reshape(times, *n.shape).astype(np.float64)
    ece: Floats = _gaps(drawn, drawn * mean).sum(-1) / n.sum()
    return ece


def _chance_ece(sums: _Sums, rng: np.random.Generator, times: int) -> Floats:
    """ECE if every image were right with the chance that its confidence states; a bin's count of them is normal."""
    n, confidence, squares = (both.sum(0) for both in sums)
    noise = rng.standard_normal((times, len(n))) * np.sqrt(np.maximum(confidence - squares, 0))
    ece: Floats = np.abs(noise).sum(-1) / n.sum()
    return ece


def _bin(low: float, high: float, n: float, total: float, right: float) -> Bin:
    return Bin(float(low), float(high), int(n), float(total / n) if n else float("nan"), share(int(right), int(n)))


def _running_mean(values: NDArray[np.floating] | NDArray[np.bool_]) -> Floats:
    means: Floats = np.cumsum(values, dtype=np.float64) / np.arange(1, len(values) + 1)
    return means
