"""Small tables of predictions in which everything happens: ties, two splits, rows out of order."""

import json
from typing import Any

import numpy as np
import pyarrow as pa

from analysis.benchmarks.errors import simulate
from analysis.predictions import About, about


def random_table(n: int = 300, classes: int = 12, *, seed: int = 0, shuffled: bool = True) -> pa.Table:
    """Simulated predictions of two thirds training and one third validation images; many values are equal."""
    rng = np.random.default_rng(seed)
    table, train = simulate(n, classes, rng), n * 2 // 3
    for name in ("confidence", "probability", "loss", "margin", "entropy", "label_quality"):
        table = replaced(table, name, table[name].to_numpy().round(1))
    table = replaced(table, "split", ["train"] * train + ["val"] * (n - train))
    table = described(table, firsts={"train": 0, "val": train})
    return table.take(rng.permutation(n)) if shuffled else table


def replaced(table: pa.Table, name: str, values: Any) -> pa.Table:
    """The table with another column of that name."""
    place = table.schema.get_field_index(name)
    return table.set_column(place, table.schema.field(name), pa.array(values).cast(table.schema.field(name).type))


def described(table: pa.Table, **changes: Any) -> pa.Table:
    """The table with some fields of its `About` changed."""
    (key,) = table.schema.metadata
    told: About = about(table)._replace(**changes)
    return table.replace_schema_metadata({key: json.dumps(told._asdict())})


def outcomes(confidence: Any, right: Any) -> pa.Table:
    """A table of nothing but confidences and whether the first guess was right."""
    rank = np.where(right, 0, 1)
    return pa.table({"confidence": pa.array(confidence, pa.float32()), "rank": pa.array(rank, pa.int32())})
