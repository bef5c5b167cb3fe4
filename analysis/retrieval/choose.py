"""Which index to build: from how many vectors there are, what memory may be taken, and how good it must be."""

from math import log2
from typing import NamedTuple

FLAT = "flat"  # no index: all features are compared
FLAT_VALUES = 500_000_000  # that one query may be compared with
FLAT_RATE = 5e9  # values/s that `search_exact` reads for a single query on one core, measured on an AMD EPYC (Zen 5)
DIMENSIONS = 256  # principal axes that are kept: 87 % of the variance of fc7 on Tiny ImageNet
ID_BYTES = 8  # that FAISS keeps with each code
ROW_BYTES = 4 + ID_BYTES + 8 + 1  # beside its code: squared length, id, row, whether it is live


class Choice(NamedTuple):
    """An index, and why."""

    kind: str  # `FLAT`, or a factory string of FAISS
    reason: str  # part of a sentence, with numbers
    bytes: int | None  # that it is expected to take in memory; None where it was not chosen here


def choose_index(n: int, d: int, *, memory: int | None = None, recall: float = 0.95, on_disk: bool = False) -> Choice:
    """The index for n vectors (d,) that takes at most `memory` bytes and whose recall@10 can reach `recall`.

    Exact search where one query is answered within about 0.1 s, or nothing may be missed. Else inverted lists over
    principal axes, with the finest codes that fit: what they find is compared again exactly, so that they need not
    order it well. A graph (HNSW) is never chosen: it takes twice the bytes and far longer to build, and reading the
    candidates' features takes most of the time either way. `on_disk` says that inverted lists are in a file. Raises
    ``ValueError`` where nothing fits.
    """
    size, milliseconds, expected = f"{n:,} vectors of {d:,}", 1e3 * n * d / FLAT_RATE, n * (4 + 1)
    slow = f"comparing a query with all {size} takes about {milliseconds:,.0f} ms"
    if (n * d <= FLAT_VALUES or recall >= 1) and _fits(expected, memory):
        missed = " and nothing may be missed" if recall >= 1 else ""
        return Choice(FLAT, f"exact search, as {slow}{missed}", expected)
    options = _compressed(n, d, on_disk)
    for kind, expected in options:
        if _fits(expected, memory):
            limit = "" if memory is None else f" of the {memory / 1e6:,.0f} MB allowed"
            return Choice(kind, f"{kind}, as {slow}, and this takes about {expected / 1e6:,.0f} MB{limit}", expected)
    least = min(expected for _, expected in options)
    raise ValueError(
        f"An index of {size} takes at least {least / 1e6:,.1f} MB, allowed are {(memory or 0) / 1e6:,.1f} MB; "
        "allow more, or keep fewer vectors."
    )


def _compressed(n: int, d: int, on_disk: bool) -> list[tuple[str, int]]:
    """Factory strings and what they take in memory, the finest first."""
    kept = min(d, DIMENSIONS)
    lists = 2 ** round(log2(4 * n**0.5))  # FAISS's advice is 4 to 16 sqrt(n)
    axes = f"PCA{kept}," if kept < d else ""
    fixed = 4 * kept * (lists + (d if axes else 0)) + n * (ROW_BYTES - ID_BYTES)
    rotation = 4 * kept * kept + 4 * 256 * kept  # and the codebooks

    def listed(length: int) -> int:
        """Of codes that are so long."""
        return 0 if on_disk else n * (length + ID_BYTES)

    scalar = (f"{axes}IVF{lists},SQ8", fixed + listed(kept))
    lengths = [kept // each for each in (4, 8, 16) if kept % each == 0]
    products = [(f"{axes}RR{kept},IVF{lists},PQ{length}np", fixed + rotation + listed(length)) for length in lengths]
    return [scalar, *products]  # np: not polysemous, which is of no use here and takes a second for each byte to train


def _fits(expected: int, memory: int | None) -> bool:
    return memory is None or expected <= memory
