"""Choosing, sorting and counting errors in simulated predictions, at the sizes of ImageNet's splits.

    python -m analysis.benchmarks.errors [--rows 50000 1281167] [--classes 1000] [--repeats 5] [--json]

Each piece of work runs `repeats` times; the table gives the median and the most memory that it held at once beyond the
predictions themselves: Arrow's and numpy's allocations, measured in a run of their own, which tracing slows down.
"""

import argparse
import json
import sys
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.special import entr

from analysis.errors.calibration import calibration, risk_coverage
from analysis.errors.classes import class_rows
from analysis.errors.comparison import compare
from analysis.errors.confusions import by_similarity, confused_pairs, confusion_counts, most_confused
from analysis.errors.rates import rates
from analysis.errors.selection import CRITERIA, ORDERS, Selection, in_split, select
from analysis.predictions import COLUMNS, TOP, About, about, described

Floats = NDArray[np.float64]

PAGE = 48  # images on the first page


class Row(NamedTuple):
    """One piece of work on one table."""

    name: str
    rows: int
    median_ms: float
    peak_mb: float


@dataclass(frozen=True)
class Report:
    """Everything the table shows."""

    pyarrow_version: str
    numpy_version: str
    classes: int
    repeats: int
    rows: list[Row]


def simulate(n: int, classes: int, rng: np.random.Generator) -> pa.Table:
    """Predictions of a perfectly calibrated network on `n` images, without a network.

    The ten best classes and their probabilities are drawn first, the truth then from these very probabilities, or
    from what they leave for the others. What is guessed beside a class are its neighbours in the order of labels.
    Raises ``ValueError`` for fewer than two classes.
    """
    if classes < 2:
        raise ValueError(f"There is nothing to guess among fewer than two classes, got {classes}.")
    columns = _images(n) | _answers(n, classes, min(TOP, classes), rng)
    names = tuple(f"class {label}" for label in range(classes))
    told = About("simulated", "", "simulated", "", names, names, "fc8", 1, "", {"val": 0})
    arrays = [pa.array(columns[field.name]).cast(field.type) for field in COLUMNS]
    return pa.table(arrays, schema=described(COLUMNS, told))


def _images(n: int) -> dict[str, Any]:
    ids = np.arange(n)
    return {
        "id": ids,
        "path": pc.binary_join_element_wise("val", pc.cast(pa.array(ids), pa.string()), "/"),
        "split": pa.DictionaryArray.from_arrays(np.zeros(n, np.int32), ["val"]),
        "views": np.ones(n, np.int8),
    }


def _answers(n: int, classes: int, k: int, rng: np.random.Generator) -> dict[str, Any]:
    best, rest = _probabilities(n, k, classes - k, rng)
    each, rows = rest / max(classes - k, 1), np.arange(n)
    steps = np.hstack([np.zeros((n, 1), np.int64), rng.permuted(np.tile(np.arange(1, k), (n, 1)), axis=1)])
    top = (rng.integers(0, classes, (n, 1)) + steps) % classes
    place = np.minimum((rng.random((n, 1)) > best.cumsum(1)).sum(1), k if classes > k else k - 1)
    among = place < k  # else the truth is none of the k best
    rank = np.where(among, place, rng.integers(k, max(classes, k + 1), n))
    probability = np.where(among, best[rows, place * among], each)
    margin = probability - best[rows, (place == 0).astype(np.int64)]
    return {
        "label": np.where(among, top[rows, place * among], (top[:, 0] + rank) % classes),
        "top_classes": _lists(top.astype(np.int32)),
        "top_probabilities": _lists(best.astype(np.float32)),
        "guess": top[:, 0],
        "confidence": best[:, 0],
        "rank": rank,
        "probability": probability,
        "loss": -np.log(probability),
        "margin": margin,
        "entropy": entr(best).sum(1) + (classes - k) * entr(each),
        "label_quality": (1 + margin) / 2,
        "label_issue": margin < -0.5,
    }


def _probabilities(n: int, k: int, others: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Those of the k best classes, falling, shape (n, k), and what is left for all others together, shape (n,)."""
    sharpness = rng.lognormal(2.2, 2.0, (n, 1))  # 45 % wrong at top-1, 16 % at top-5 among 1000 classes
    behind = np.sort(rng.exponential(1, (n, k)), axis=1)
    best = np.exp((behind[:, :1] - behind) * sharpness)
    rest = best[:, -1] * others / 20  # so that none of them is ahead of the k
    total = best.sum(1) + rest
    return best / total[:, None], rest / total


def _lists(values: NDArray[Any]) -> pa.ListArray:
    offsets = np.arange(0, values.size + 1, values.shape[1], dtype=np.int32)
    return pa.ListArray.from_arrays(offsets, values.ravel())


def run(sizes: Sequence[int], classes: int, repeats: int) -> Report:
    """Time every piece of work on tables of these sizes."""
    rows = []
    for n in sizes:
        table, other = (simulate(n, classes, np.random.default_rng(seed)) for seed in (0, 1))
        for name, work in _works(table, other).items():
            rows.append(Row(name, n, 1000 * median(_time(work) for _ in range(repeats)), _peak(work) / 2**20))
    return Report(pa.__version__, np.__version__, classes, repeats, rows)


def _works(table: pa.Table, other: pa.Table) -> dict[str, Callable[[], object]]:
    names = about(table).class_names
    selections = {f"select {criterion!r}": Selection(criterion=criterion) for criterion in CRITERIA}
    selections |= {f"select all, order {order!r}": Selection(criterion="all", order=order) for order in ORDERS}
    filters = Selection(true=tuple(range(100)), text="class 1", confidence=(0.2, 0.9), split="val", order="entropy")
    selections["select with every filter"] = filters
    works = {name: partial(select, table, selection, names) for name, selection in selections.items()}
    return works | {
        "first page": partial(_first_page, table, names),
        "in_split": partial(in_split, table, "val"),
        "rates": partial(rates, table),
        "class_rows": partial(class_rows, table, names),
        "confused_pairs": partial(confused_pairs, table),
        "confusion matrix in order": partial(_matrix, table),
        "calibration": partial(calibration, table),
        "risk_coverage": partial(risk_coverage, table),
        "compare": partial(compare, table, other),
    }


def _first_page(table: pa.Table, names: Sequence[str]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = table.take(select(table, Selection(), names)[:PAGE]).to_pylist()
    return rows


def _matrix(table: pa.Table) -> object:
    return by_similarity(confusion_counts(table, most_confused(table)))


def _time(work: Callable[[], object]) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start


def _peak(work: Callable[[], object]) -> int:
    """Most bytes that numpy and Python held, plus the most that Arrow held: no less than both at any one time."""
    usual = pa.default_memory_pool()
    counted = pa.proxy_memory_pool(usual)
    pa.set_memory_pool(counted)
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] + int(counted.max_memory())
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(usual)


def table(report: Report) -> str:
    """The report as text."""
    lines = [
        f"{report.classes} classes, median of {report.repeats}; pyarrow {report.pyarrow_version}, "
        f"numpy {report.numpy_version}",
        f"{'':<38} {'rows':>9} {'ms':>8} {'peak MB':>8}",
    ]
    lines += [f"{row.name:<38} {row.rows:>9,} {row.median_ms:>8.1f} {row.peak_mb:>8.1f}" for row in report.rows]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure how fast errors are chosen, sorted and counted."""
    parser = argparse.ArgumentParser(prog="python -m analysis.benchmarks.errors", description=main.__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[50_000, 1_281_167], metavar="N")
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    options = parser.parse_args(arguments)
    report = run(options.rows, options.classes, options.repeats)
    if options.json:
        text = json.dumps(asdict(report) | {"rows": [row._asdict() for row in report.rows]})
    else:
        text = table(report)
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
