"""What the trained networks of a matrix say: towers compared in each network, conditions compared across networks."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.experiments.matrix import RESULTS, Matrix
from analysis.experiments.results import Halves, Result, counts, finished
from analysis.stats import Floats, Interval, fisher_p, mean_interval, permutation_p, rate_lower_bound, sign_test
from analysis.towers.comparison import MIN_LIVE, tower_labels

FEWEST = 3  # networks from which an interval across them is given
HALVES = 2  # into which a network of one tower is cut, arbitrarily
KINDS = ("as trained", "learned part", "function", "probes")
KERNELS = KINDS[:2]  # of these, chroma is compared
PERMUTATIONS = 20_000
CUT_ASKS = "The same networks, halved where conv2's connections part by themselves, blind to colour."


class Spread(NamedTuple):
    """How far apart the towers are in one network, at one step, among what shuffled towers give.

    Of kernels: mean chroma energy of a tower's live ones, among permuted labels. Of function: by how much more the
    second factor (hue, colour) suffers than the first (shape, grey) with a tower silenced, among random halves. Of
    probes: by how much more is told of the second factor (hue) than of the first (orientation), among random halves.
    """

    means: tuple[float, ...]  # by tower
    range: float  # largest less smallest mean; of two towers |difference|
    p_value: float
    chance: float  # mean range of the null: a range is never negative
    null_50: float  # range that half of the null stays below
    null_95: float  # range that 95 % of the null stay below
    null_999: float  # of fewer than 1,000 random halves nearly the largest

    @property
    def beyond(self) -> bool:
        """Whether the towers are further apart than the 99.9 % null."""
        return self.range > self.null_999


class Course(NamedTuple):
    """The spread over training; ``None`` where a tower has too few live kernels."""

    steps: tuple[int, ...]
    spreads: tuple[Spread | None, ...]

    @property
    def last(self) -> Spread | None:
        """At the end of training."""
        return self.spreads[-1] if self.spreads else None

    @property
    def detected(self) -> int | None:
        """First step from which on the towers stay beyond the 99.9 % null to the end."""
        step = None
        for at, spread in zip(reversed(self.steps), reversed(self.spreads), strict=True):
            if spread is None or not spread.beyond:
                break
            step = at
        return step


class Net(NamedTuple):
    """One trained network."""

    condition: str
    cut: str  # "" for its towers, else how else it was halved
    seed: int
    top1: float  # share of the held-out training images that are right
    live: int
    kernels: tuple[NDArray[np.float32], ...]  # (n, 3, 11, 11), raw RGB, of each tower or half
    reason: str  # why it does not count; "" if it does
    courses: dict[str, Course]  # by kind; of function and probes only the end, or nothing where there is no colour
    factors: dict[str, tuple[str, str]]  # of function and probes
    crossed: bool | None  # whether each tower, silenced, costs more than the other of a factor of its own

    def agrees(self, kind: str) -> bool | None:
        """Whether of two towers the one whose learned part is the more colourful is that of a kind's second factor."""
        chroma, other = (self.courses[each].last for each in (KINDS[1], kind))
        if chroma is None or other is None or len(chroma.means) != 2:
            return None
        return (chroma.means[1] > chroma.means[0]) == (other.means[1] > other.means[0])


class Row(NamedTuple):
    """One condition over its networks; those that do not count are left out, and named."""

    condition: str  # with how its networks were cut, if not by towers
    asks: str
    nets: tuple[Net, ...]  # all that were trained
    kind: str  # one of KINDS

    @property
    def measured(self) -> tuple[Spread, ...]:
        """The towers at the end of training, in the networks that count and can be measured."""
        ends = (net.courses[self.kind].last for net in self.nets if not net.reason)
        return tuple(spread for spread in ends if spread is not None)

    @property
    def mean(self) -> float | None:
        """Mean range over the networks."""
        return float(np.mean([spread.range for spread in self.measured])) if self.measured else None

    @property
    def excess(self) -> tuple[float, ...]:
        """By how much the range of each network exceeds what chance alone gives it on average."""
        return tuple(spread.range - spread.chance for spread in self.measured)

    @property
    def interval(self) -> Interval | None:
        """95 % interval of the mean excess over networks; ``None`` for fewer than 3."""
        return mean_interval(self.excess) if len(self.measured) >= FEWEST else None

    @property
    def sign_p(self) -> float | None:
        """Exact sign test, two-sided: the range is as often above as below the median of its null."""
        return sign_test([spread.range - spread.null_50 for spread in self.measured]) if self.measured else None

    @property
    def joint_p(self) -> float | None:
        """P-value of the hypothesis that no network's towers are parted (Fisher), from each one's own."""
        return fisher_p([spread.p_value for spread in self.measured]) if self.measured else None

    @property
    def agreeing(self) -> tuple[int, int]:
        """In how many networks, of how many, the more colourful tower is that of the second factor."""
        found = [net.agrees(self.kind) for net in self.nets if not net.reason]
        known = [agrees for agrees in found if agrees is not None]
        return sum(known), len(known)

    @property
    def crossed(self) -> int:
        """Networks in which each tower is the more needed one for a factor of its own."""
        return sum(bool(net.crossed) for net in self.nets if not net.reason)

    @property
    def beyond(self) -> int:
        """Networks whose towers are beyond the 99.9 % null."""
        return sum(spread.beyond for spread in self.measured)

    @property
    def rate_bound(self) -> float | None:
        """Share of such networks that the true one exceeds with 95 % confidence."""
        return rate_lower_bound(self.beyond, len(self.measured)) if self.measured else None


def compare_towers(
    chroma: NDArray[np.floating], live: NDArray[np.bool_], labels: NDArray[np.intp], rng: np.random.Generator
) -> Spread | None:
    """The towers of one layer by chroma (n,) of its live kernels; ``None`` with under 20 live ones in a tower.

    `labels` (n,): tower of each kernel, 0, 1, ... Four towers need 10 live kernels each.
    """
    return compare_courses(chroma[None], live[None], labels, rng)[0]


def compare_courses(
    chroma: NDArray[np.floating], live: NDArray[np.bool_], labels: NDArray[np.intp], rng: np.random.Generator
) -> list[Spread | None]:
    """`compare_towers` for each step of chroma and live kernels (steps, n).

    Steps at which the same kernels are live share their permutations.
    """
    parts = int(labels.max()) + 1
    found: list[Spread | None] = [None] * len(live)
    for mask in np.unique(live, axis=0):
        sizes = np.bincount(labels[mask], minlength=parts)
        if sizes.min() < MIN_LIVE * HALVES / parts:
            continue
        steps = np.flatnonzero((live == mask).all(1))
        values = chroma[steps][:, mask].astype(np.float64)
        means = group_means(values, labels[mask][None], sizes)[:, 0]
        null = np.ptp(
            group_means(values, rng.permuted(np.tile(labels[mask], (PERMUTATIONS, 1)), axis=1), sizes), axis=2
        )
        for step, towers_means, ranges in zip(steps, means, null, strict=True):
            found[step] = spread_among(tuple(towers_means.tolist()), ranges)
    return found


def spread_among(means: tuple[float, ...], null: Floats) -> Spread:
    """How far apart means are, among the ranges (draws,) of a null."""
    observed = float(np.ptp(means))
    points = (float(point) for point in np.quantile(null, (0.5, 0.95, 0.999)))
    return Spread(means, observed, permutation_p(observed, null), float(null.mean()), *points)


def group_means(values: Floats, labels: NDArray[np.intp], sizes: NDArray[np.intp]) -> Floats:
    """Mean of each group: of values (m, n) under labels (draws, n), as (m, draws, groups)."""
    sums = [values @ (labels == group).T for group in range(len(sizes))]
    return np.asarray(np.stack(sums, axis=-1) / sizes)


def read_nets(result: Result) -> list[Net]:
    """What one result says, once for each way to cut it: by towers and, without groups, where conv2 itself parts.

    The permutations follow from its seed, so that everyone reads the same numbers.
    """
    n = result.chroma.shape[1]
    towers, *cuts = result.halves
    found = [_read(result, "", tower_labels(n, max(result.towers, HALVES)), towers)]
    return found + [_read(result, cut.name, np.array(cut.labels, np.intp), cut) for cut in cuts]


def _read(result: Result, cut: str, labels: NDArray[np.intp], halves: Halves) -> Net:
    measured = ((result.chroma, result.live), (result.learned_chroma, result.learned_live))
    steps = tuple(result.steps.tolist())
    courses = {
        kind: Course(steps, tuple(compare_courses(*values, labels, np.random.default_rng(result.seed))))
        for kind, values in zip(KERNELS, measured, strict=True)
    }
    factors = {}
    for kind, found in zip(KINDS[2:], (halves.function, halves.knowledge), strict=True):
        courses[kind] = Course((), ())
        if found:
            courses[kind] = Course(steps[-1:], (spread_among(found.specificity, np.abs(found.null)),))
            factors[kind] = found.factors
    return Net(
        condition=result.condition,
        cut=cut,
        seed=result.seed,
        top1=result.top1,
        live=int(result.live[-1].sum()),
        kernels=tuple(result.kernels[labels == half] for half in range(int(labels.max()) + 1)),
        reason=counts(result),
        courses=courses,
        factors=factors,
        crossed=halves.function.crossed if halves.function else None,
    )


def read_matrix(matrix: Matrix, results: Path = RESULTS) -> list[Net]:
    """All networks of a matrix whose result is kept, condition by condition."""
    return [net for result in kept_results(matrix, results) for net in read_nets(result)]


def kept_results(matrix: Matrix, results: Path = RESULTS) -> Iterator[Result]:
    """The results of a matrix that are there, condition by condition and seed by seed, of any seed."""
    for condition in matrix.conditions:
        files = sorted((results / matrix.name).glob(f"{condition.name}-seed-*.safetensors"))
        seeds = sorted(
            int(seed) for file in files if (seed := file.stem.removeprefix(f"{condition.name}-seed-")).isdigit()
        )
        found = (finished(matrix.cell(condition.name, seed), results) for seed in seeds)
        yield from (result for result in found if result)


def rows_of(matrix: Matrix, nets: Sequence[Net], kind: str = KINDS[0]) -> list[Row]:
    """A row per condition, also of those that have no network yet, and behind it one for its networks cut otherwise."""
    rows = []
    for condition in matrix.conditions:
        own = [net for net in nets if net.condition == condition.name]
        rows.append(Row(condition.name, condition.asks, tuple(net for net in own if not net.cut), kind))
        for cut in sorted({net.cut for net in own} - {""}):
            name = f"{condition.name}, {cut}"
            rows.append(Row(name, CUT_ASKS, tuple(net for net in own if net.cut == cut), kind))
    return rows
