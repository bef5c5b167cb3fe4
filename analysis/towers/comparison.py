"""Do the two towers differ in colour? Effect size, interval, null and a verdict: ``python -m analysis.towers``."""

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from analysis.kernels.indices import (
    KernelIndices,
    Snapshots,
    chroma_energy,
    measure_kernels,
)
from analysis.stats import (
    Interval,
    area_under_curve,
    bootstrap_difference,
    mutual_information,
    otsu_threshold,
    permutation_p,
    permuted_differences,
    purity_p,
)

MIN_LIVE = 20  # live kernels that each tower needs before a comparison means anything (specialisation 4.4)
TOWER_NAMES = ("tower A", "tower B")


class Shares(NamedTuple):
    """Colour kernels at a threshold by tower; only live kernels are counted."""

    threshold: float
    colour: tuple[int, int]
    live: tuple[int, int]
    kernels: tuple[int, int]

    @property
    def colour_tower(self) -> int:
        """The tower with more colour kernels, tower B on a tie."""
        return int(self.colour[1] >= self.colour[0])

    @property
    def of_colour(self) -> float | None:
        """Share of all colour kernels that sit in the colour tower; ``None`` without any."""
        return self.colour[self.colour_tower] / sum(self.colour) if sum(self.colour) else None

    @property
    def of_tower(self) -> float | None:
        """Share of the colour tower's live kernels that are colour kernels; ``None`` without any."""
        live = self.live[self.colour_tower]
        return self.colour[self.colour_tower] / live if live else None

    def sentence(self) -> str:
        """The two shares in words."""
        tower, count = self.colour_tower, sum(self.colour)
        if not count:
            return "No live kernel reaches the colour threshold."
        inside, live = self.colour[tower], self.live[tower]
        which = "" if live == self.kernels[tower] else " live ones"
        return (
            f"{inside} of {count} colour kernels are in one tower ({TOWER_NAMES[tower]}); "
            f"{inside} of its {live}{which} are colour."
        )

    def left_out(self) -> str:
        """How many kernels were not counted, in words; empty if all were."""
        a, b = (total - live for total, live in zip(self.kernels, self.live, strict=True))
        return f"Left out as still noise or close to zero: {a} in tower A, {b} in tower B." if a or b else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TowerResult:
    """How the chroma energy C of two towers' live kernels compares; what cannot be said is ``None``.

    The unit here is the kernel of one trained net: the p-value describes this net, not every training run.
    """

    kernels: tuple[int, int]
    live: tuple[int, int]
    mean_chroma: tuple[float | None, float | None]
    verdict: str
    n_permutations: int
    difference: float | None = None  # mean C of tower B minus tower A
    interval: Interval | None = None  # bootstrap 95 % over kernels
    p_value: float | None = None  # permutation of the labels, two-sided (|difference|)
    null_95: float | None = None  # |difference| that 95 % of the permutations stay below
    null_999: float | None = None
    null_largest: float | None = None
    threshold: float | None = None  # Otsu's, on the pooled C, blind to tower
    colour: tuple[int, int] | None = None
    share_of_colour: float | None = None  # colour kernels that sit in the tower with more of them
    share_of_tower: float | None = None  # that tower's live kernels that are colour
    auc: float | None = None  # chance that a kernel of tower B is the more colourful one
    cliffs_delta: float | None = None
    mutual_information: float | None = None  # of tower and colour at the threshold, bits, 0 to 1
    purity_p: float | None = None  # chance that as many of the colour kernels lie in one tower (hypergeometric)

    @property
    def p_text(self) -> str:
        """The p-value for print, never below what the number of permutations can show."""
        if self.p_value is None:
            return "p not measurable"
        floor = 1 / self.n_permutations
        return f"p ≤ {floor:.0e}".replace("e-0", "e-") if self.p_value < 2 * floor else f"p = {self.p_value:.2g}"

    def to_json(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return asdict(self) | {"interval": self.interval and list(self.interval)}


def measure(
    kernels: NDArray[np.floating],
    towers: ArrayLike,
    rng: np.random.Generator,
    n_permutations: int = 100_000,
) -> TowerResult:
    """Compare the towers of kernels (n, 3, k, k) in raw RGB; `towers` holds n labels, 0 for A and 1 for B.

    Declared primary statistic: the difference of the mean chroma energy over live kernels, tested by permuting
    the labels. Raises ``ValueError`` for other shapes or labels.
    """
    return measure_indices(measure_kernels(kernels), towers, rng, n_permutations)


def measure_indices(
    indices: KernelIndices, towers: ArrayLike, rng: np.random.Generator, n_permutations: int = 100_000
) -> TowerResult:
    """`measure` for kernels whose indices are known."""
    labels = checked_labels(towers, len(indices.chroma))
    first, second = (indices.chroma[indices.live & (labels == tower)] for tower in (0, 1))
    threshold = blind_threshold(indices)
    shares = colour_shares(indices, labels, threshold)
    if min(shares.live) < MIN_LIVE:
        return TowerResult(
            kernels=shares.kernels,
            live=shares.live,
            mean_chroma=(_mean(first), _mean(second)),
            verdict=_not_measurable(shares.live),
            n_permutations=n_permutations,
        )
    pooled = np.concatenate([first, second])
    difference = float(second.mean() - first.mean())
    null = permuted_differences(pooled, len(first), rng, n_permutations=n_permutations)
    null_95, null_999 = (float(point) for point in np.quantile(null, (0.95, 0.999)))
    auc = area_under_curve(first, second)
    return TowerResult(
        kernels=shares.kernels,
        live=shares.live,
        mean_chroma=(_mean(first), _mean(second)),
        verdict=_verdict(difference, null_95, null_999),
        n_permutations=n_permutations,
        difference=difference,
        interval=bootstrap_difference(first, second, rng),
        p_value=permutation_p(abs(difference), null),
        null_95=null_95,
        null_999=null_999,
        null_largest=float(null.max()),
        threshold=threshold,
        colour=shares.colour,
        share_of_colour=shares.of_colour,
        share_of_tower=shares.of_tower,
        auc=auc,
        cliffs_delta=2 * auc - 1,
        mutual_information=mutual_information(labels[indices.live], indices.chroma[indices.live] >= threshold),
        purity_p=purity_p(shares.colour, shares.live),
    )


def blind_threshold(indices: KernelIndices) -> float:
    """Otsu's threshold on the chroma of all live kernels, chosen without looking at their towers.

    0.5 where there are not two different ones to part.
    """
    chroma = indices.chroma[indices.live]
    return otsu_threshold(chroma) if len(np.unique(chroma)) > 1 else 0.5


def colour_kernels(indices: KernelIndices, threshold: float) -> NDArray[np.bool_]:
    """Which kernels are live and have a chroma energy of `threshold` or more."""
    return indices.live & (indices.chroma >= threshold)


def colour_shares(indices: KernelIndices, towers: ArrayLike, threshold: float) -> Shares:
    """Count the colour kernels of each tower; `towers` holds a label per kernel, 0 for A and 1 for B."""
    labels = checked_labels(towers, len(indices.chroma))

    def by_tower(chosen: NDArray[np.bool_]) -> tuple[int, int]:
        return int((chosen & (labels == 0)).sum()), int((chosen & (labels == 1)).sum())

    everything = np.ones(len(labels), bool)
    counts = (by_tower(chosen) for chosen in (colour_kernels(indices, threshold), indices.live, everything))
    return Shares(threshold, *counts)


def tower_labels(n: int, towers: int) -> NDArray[np.intp]:
    """Tower (0, 1, ...) of each of n units: equal blocks in order."""
    return np.arange(n) * towers // n


def checked_labels(towers: ArrayLike, n: int) -> NDArray[np.intp]:
    """`towers` as n labels. Raises ``ValueError`` unless each is 0 or 1."""
    labels = np.asarray(towers)
    if labels.shape != (n,) or not np.isin(labels, (0, 1)).all():
        raise ValueError(f"towers must be {n} labels, each 0 or 1, got {labels.dtype} of shape {labels.shape}.")
    return labels.astype(np.intp)


def comparison_text(shares: Shares, results: dict[str, TowerResult]) -> str:
    """The towers compared, in a few sentences of Markdown; `results` by the name of what was measured."""
    first = next(iter(results.values()))
    means = "; ".join(
        f"{name}: tower A {_mean_text(result, 0)}, tower B {_mean_text(result, 1)}" for name, result in results.items()
    )
    return (
        f"**{shares.sentence()}** Permutation {first.p_text} (of the difference of mean chroma).  \n"
        f"Mean chroma of live kernels, {means}.  \n{first.verdict} {shares.left_out()}"
    )


def summary_table(results: dict[str, TowerResult]) -> pd.DataFrame:
    """One row of printable statistics per result, for people."""
    return pd.DataFrame([_summary_row(name, result) for name, result in results.items()])


class ChromaCourse(NamedTuple):
    """Mean chroma of all kernels of each tower at the kept steps of training, each (steps, towers)."""

    steps: tuple[int, ...]
    trained: NDArray[np.float64]
    learned: NDArray[np.float64]  # NaN at step 0, where nothing is learned yet


def chroma_course(snapshots: Snapshots, towers: int) -> ChromaCourse:
    """How chroma came about, noise included, as trained and for the learned part (needs step 0 among them)."""
    kernels = snapshots.kernels.astype(np.float32)
    left = np.array(snapshots.noise_left, np.float32)[:, None, None, None, None]
    trained, learned = (
        chroma_energy(values.reshape(-1, *values.shape[2:])).reshape(len(values), towers, -1).mean(2)
        for values in (kernels, kernels - left * kernels[0])
    )
    return ChromaCourse(snapshots.steps, trained, learned)


def _mean(values: NDArray[np.float64]) -> float | None:
    return float(values.mean()) if len(values) else None


def _mean_text(result: TowerResult, tower: int) -> str:
    mean = result.mean_chroma[tower]
    return "–" if mean is None else f"{mean:.2f}"


def _verdict(difference: float, null_95: float, null_999: float) -> str:
    size = f"difference of mean chroma {difference:+.3f}"
    if abs(difference) > null_999:
        return f"Specialised: {size}, beyond the 99.9 % null of {null_999:.3f}."
    if abs(difference) > null_95:
        return f"Weak: {size}, beyond the 95 % null of {null_95:.3f} but not the 99.9 % null of {null_999:.3f}."
    return f"No evidence: {size}, inside the 95 % null of {null_95:.3f}."


def _not_measurable(live: tuple[int, int]) -> str:
    return (
        f"Not measurable: {live[0]} live kernels in tower A and {live[1]} in tower B, "
        f"at least {MIN_LIVE} are needed in each."
    )


def _summary_row(name: str, result: TowerResult) -> dict[str, str]:
    interval = "–" if result.interval is None else f"{result.interval.low:+.3f} to {result.interval.high:+.3f}"
    return {
        "Kernels": name,
        "Mean chroma, tower A": _mean_text(result, 0),
        "Mean chroma, tower B": _mean_text(result, 1),
        "Difference B - A": "–" if result.difference is None else f"{result.difference:+.3f}",
        "95 % interval": interval,
        "Permutation": result.p_text,
        "Live, A + B": f"{result.live[0]} + {result.live[1]}",
        "Verdict": result.verdict.split(":")[0],
    }
