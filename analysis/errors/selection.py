"""Which images to look at, and in which order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

CRITERIA = ("all", "top-1 wrong", "top-5 wrong", "right but unsure", "wrong and sure", "rank between")
ORDERS = (
    "most wrong", "most confident error", "loss", "margin", "entropy", "suspected label", "random", "as stored",
)  # fmt: skip
_KEYS = {  # column, and whether its largest value comes first
    "most wrong": ("probability", False),
    "loss": ("loss", True),
    "margin": ("margin", False),
    "entropy": ("entropy", True),
    "suspected label": ("label_quality", False),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which images of a table, and in which order; all conditions hold at once. Hashable: caches are keyed by it.

    ``most wrong`` is the least probability of the truth first; ``most confident error`` the wrong image with the
    largest confidence first, then the right ones, the least confident first; ``loss`` and ``entropy`` the largest
    first; ``margin`` the truth farthest behind first; ``suspected label`` the least label quality first; ``random``
    a shuffle by `seed`, the same for the same images in whatever order the table has them.
    Raises ``ValueError`` for a criterion, an order or a range that does not exist.
    """

    criterion: str = "top-5 wrong"
    ranks: tuple[int, int] = (6, 10)  # first and last rank of the truth, counted from 1; for "rank between"
    sure: float = 0.5  # confidence from which a guess counts as sure
    true: tuple[int, ...] = ()  # labels; none means any
    guessed: tuple[int, ...] = ()
    text: str = ""  # in the name of the true or the guessed class, upper or lower case
    confidence: tuple[float, float] = (0.0, 1.0)  # both ends belong to it
    split: str = ""  # "" means all
    issues_only: bool = False  # images whose label cleanlab doubts
    order: str = "most wrong"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.criterion not in CRITERIA:
            raise ValueError(f"criterion must be one of {CRITERIA}, got {self.criterion!r}.")
        if self.order not in ORDERS:
            raise ValueError(f"order must be one of {ORDERS}, got {self.order!r}.")
        if not 1 <= self.ranks[0] <= self.ranks[1]:
            raise ValueError(f"ranks must be (first, last) with 1 <= first <= last, got {self.ranks}.")
        if not 0 <= self.confidence[0] <= self.confidence[1] <= 1:
            raise ValueError(f"confidence must be (low, high) with 0 <= low <= high <= 1, got {self.confidence}.")
        if not 0 <= self.sure <= 1:
            raise ValueError(f"sure must be 0 to 1, got {self.sure}.")


def select(table: pa.Table, selection: Selection, names: Sequence[str]) -> NDArray[np.int64]:
    """Positions in the table of the images that are wanted, in order; equal ones stand in the order of their ids.

    `names` are the classes' names in the order of labels; `Selection.text` is looked for in them.
    """
    positions = _wanted(table, selection, names)
    return positions[_order(table, positions, selection)]


def in_split(table: pa.Table, split: str) -> pa.Table:
    """The rows of one split, all for ``""``; shares the table's memory where they lie side by side, as in a file."""
    if not split:
        return table
    inside = pc.equal(table["split"], split)
    n, first = pc.sum(inside).as_py() or 0, pc.index(inside, True).as_py()
    run = inside.slice(first, n) if n else inside.slice(0, 0)
    return table.slice(max(first, 0), n) if pc.all(run).as_py() else table.filter(inside)


def _wanted(table: pa.Table, selection: Selection, names: Sequence[str]) -> NDArray[np.int64]:
    masks = [mask for mask in (_criterion(table, selection), *_filters(table, selection, names)) if mask is not None]
    if not masks:
        return np.arange(len(table))
    wanted = masks[0]
    for mask in masks[1:]:
        wanted = pc.and_(wanted, mask)
    return np.flatnonzero(wanted.to_numpy())


def _criterion(table: pa.Table, selection: Selection) -> Any:
    rank, sure = table["rank"], pa.scalar(selection.sure, pa.float32())
    match selection.criterion:
        case "top-1 wrong":
            return pc.greater_equal(rank, 1)
        case "top-5 wrong":
            return pc.greater_equal(rank, 5)
        case "right but unsure":
            return pc.and_(pc.equal(rank, 0), pc.less(table["confidence"], sure))
        case "wrong and sure":
            return pc.and_(pc.greater_equal(rank, 1), pc.greater_equal(table["confidence"], sure))
        case "rank between":
            return _between(rank, selection.ranks[0] - 1, selection.ranks[1] - 1)
    return None  # all


def _filters(table: pa.Table, selection: Selection, names: Sequence[str]) -> list[Any]:
    masks: list[Any] = []
    if selection.true:
        masks.append(_is_one_of(table["label"], selection.true))
    if selection.guessed:
        masks.append(_is_one_of(table["guess"], selection.guessed))
    if selection.text.strip():
        found = matching_labels(names, selection.text)
        masks.append(pc.or_(_is_one_of(table["label"], found), _is_one_of(table["guess"], found)))
    if selection.confidence != (0, 1):
        masks.append(_between(table["confidence"], *selection.confidence))
    if selection.split:
        masks.append(pc.equal(table["split"], selection.split))
    if selection.issues_only:
        masks.append(table["label_issue"])
    return masks


def matching_labels(names: Sequence[str], text: str) -> tuple[int, ...]:
    """Labels of the classes in whose names the text occurs, upper or lower case."""
    wanted = text.strip().casefold()
    return tuple(label for label, name in enumerate(names) if wanted in name.casefold())


def _is_one_of(column: pa.ChunkedArray, labels: Sequence[int]) -> Any:
    return pc.is_in(column, value_set=pa.array(labels, column.type))


def _between(column: pa.ChunkedArray, low: float, high: float) -> Any:
    ends = (pa.scalar(end, column.type) for end in (low, high))
    return pc.and_(pc.greater_equal(column, next(ends)), pc.less_equal(column, next(ends)))


def _order(table: pa.Table, positions: NDArray[np.int64], selection: Selection) -> NDArray[np.int64]:
    """Places in `positions`, best first."""
    if selection.order == "as stored":
        return np.arange(len(positions))
    by_id = np.argsort(_values(table, "id", positions), kind="stable")
    if selection.order == "random":
        return np.random.default_rng(selection.seed).permutation(by_id)
    key = _key(table, positions[by_id], selection.order)
    return by_id[np.argsort(key, kind="stable")]


def _key(table: pa.Table, positions: NDArray[np.int64], order: str) -> NDArray[Any]:
    if order == "most confident error":
        confidence = _values(table, "confidence", positions)
        return np.where(_values(table, "rank", positions) > 0, -confidence, confidence)
    column, falling = _KEYS[order]
    values = _values(table, column, positions)
    return -values if falling else values


def _values(table: pa.Table, column: str, positions: NDArray[np.int64]) -> NDArray[Any]:
    values: NDArray[Any] = table[column].to_numpy()[positions]
    return values
