"""Shares of images with their intervals."""

from typing import NamedTuple

import pyarrow as pa

from analysis.stats import Interval, wilson_interval


class Share(NamedTuple):
    """`hits` of `n`, and the 95 % interval of the share (Wilson 1927); 0 to 1 where there is nothing to count."""

    hits: int
    n: int
    interval: Interval

    @property
    def value(self) -> float:
        """hits / n, NaN without anything to count."""
        return self.hits / self.n if self.n else float("nan")


class Rates(NamedTuple):
    """How often a network is wrong."""

    n: int
    top1_wrong: Share
    top5_wrong: Share


def share(hits: int, n: int) -> Share:
    """A share with its interval. Raises ``ValueError`` unless 0 <= hits <= n."""
    return Share(hits, n, wilson_interval(hits, n) if n else Interval(0.0, 1.0))


def rates(table: pa.Table) -> Rates:
    """Shares of the table's images whose truth is not first, and not among the first five."""
    ranks, n = table["rank"].to_numpy(), len(table)
    return Rates(n, *(share(int((ranks >= k).sum()), n) for k in (1, 5)))
