"""Two checkpoints on the same images: what the second mends and what it breaks."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.stats import binomtest, norm

from analysis.predictions import about
from analysis.stats import Interval

Positions = NDArray[np.int64]


class Comparison(NamedTuple):
    """Positions in the first table, rising, of the images that both tables have; right is the truth among the top k."""

    both_right: Positions
    fixed: Positions  # wrong in the first, right in the second
    broken: Positions  # right in the first, wrong in the second
    both_wrong: Positions
    p_value: float  # McNemar's exact test: are fixed and broken equally likely?
    difference: float  # share right in the second minus that in the first, -1 to 1
    interval: Interval  # 95 %, paired

    @property
    def n(self) -> int:
        """Images compared."""
        return sum(map(len, self[:4]))


def compare(first: pa.Table, second: pa.Table, k: int = 1) -> Comparison:
    """Sort the images that both tables have, by split and place in it, by who is right at top-k.

    The p-value is two-sided and exact (McNemar 1947, on the binomial distribution of the images that changed); the
    interval of the difference is Wald's with half an image more in each of the four cells (Agresti & Min 2005).
    Raises ``ValueError`` if the tables are about other images or have none in common.
    """
    in_first, in_second = _matched(first, second)
    was, now = first["rank"].to_numpy()[in_first] < k, second["rank"].to_numpy()[in_second] < k
    both_right, fixed, broken, both_wrong = (
        in_first[(was == before) & (now == after)] for before, after in ((1, 1), (0, 1), (1, 0), (0, 0))
    )
    changed = len(fixed) + len(broken)
    p_value = float(binomtest(len(fixed), changed).pvalue) if changed else 1.0
    difference = (len(fixed) - len(broken)) / len(in_first)
    interval = paired_interval(len(fixed), len(broken), len(in_first))
    return Comparison(both_right, fixed, broken, both_wrong, p_value, difference, interval)


def paired_interval(fixed: int, broken: int, n: int) -> Interval:
    """95 % interval of (fixed - broken) / n in n pairs (Agresti & Min 2005, "Simple improved confidence intervals")."""
    n, gain, changed = n + 2, fixed - broken, fixed + broken + 1
    reach = norm.ppf(0.975) * np.sqrt(changed - gain**2 / n)
    return Interval(*(float(np.clip((gain + side * reach) / n, -1, 1)) for side in (-1, 1)))


def _matched(first: pa.Table, second: pa.Table) -> tuple[Positions, Positions]:
    """Positions in either table of the images that both have, rising in the first."""
    hashes = [about(table).store_hash for table in (first, second)]
    if hashes[0] != hashes[1]:
        raise ValueError(
            f"The predictions are about different images: {hashes[0][:12]}... and {hashes[1][:12]}...; "
            "compare checkpoints on the same image store."
        )
    splits = about(first).firsts.keys() & about(second).firsts.keys()
    pairs = np.hstack([np.empty((2, 0), np.int64), *(_matched_in(split, first, second) for split in splits)])
    if not pairs.size:
        raise ValueError("The predictions have no image in common; evaluate both checkpoints on the same split.")
    in_first, in_second = pairs[:, np.argsort(pairs[0], kind="stable")]
    return in_first, in_second


def _matched_in(split: str, first: pa.Table, second: pa.Table) -> Positions:
    """Positions in either table of the images of one split, shape (2, images)."""
    (rows, places), (others, other_places) = (_places(table, split) for table in (first, second))
    row_of_place = np.full(max(places.max(initial=-1), other_places.max(initial=-1)) + 1, -1)
    row_of_place[other_places] = others
    found = row_of_place[places]
    return np.stack([rows, found])[:, found >= 0]


def _places(table: pa.Table, split: str) -> tuple[Positions, Positions]:
    """Rows of a split, and the place of each in it."""
    rows = np.flatnonzero(pc.equal(table["split"], split).to_numpy())
    return rows, table["id"].to_numpy()[rows] - about(table).firsts[split]
