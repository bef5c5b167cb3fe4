"""Predictions as a Parquet table: one row per image, all that an error browser filters and sorts by."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from alexnet_core.files import written_beside
from alexnet_core.predict import rank_of_truth

TOP = 10  # classes kept for each image, fewer where there are fewer
ROW_GROUP = 16_384  # rows read at once
_ABOUT = b"alexnet_predictions"

COLUMNS = pa.schema(
    [
        ("id", pa.int64()),  # row of the gallery, hence of features, thumbnails and index
        ("path", pa.string()),  # in the source of the image store
        ("split", pa.string()),
        ("label", pa.int32()),  # true class, index into About.classes
        ("top_classes", pa.list_(pa.int32())),  # min(10, classes) of them, best first
        ("top_probabilities", pa.list_(pa.float32())),
        ("rank", pa.int32()),  # of the truth, 0 = first (alexnet_core.predict.rank_of_truth)
        ("probability", pa.float32()),  # of the truth
        ("loss", pa.float32()),  # -ln of it, in nats
        ("margin", pa.float32()),  # truth minus the best other class, -1 to 1; negative where another is ahead
        ("entropy", pa.float32()),  # over all classes, in nats
        ("views", pa.int8()),  # crops that the probabilities were averaged over
    ]
)


class About(NamedTuple):
    """What holds for all rows of a table; kept in the file's metadata."""

    checkpoint: str  # name
    checkpoint_id: str
    dataset: str
    store_hash: str
    classes: tuple[str, ...]  # ids, in the order of labels
    class_names: tuple[str, ...]  # for people
    judge: str  # "fc8", or "head" where a linear head on fc7 gave the probabilities


class Rows(NamedTuple):
    """Some consecutive images of one split and what was predicted for them."""

    first: int  # id of the first
    split: str
    paths: Sequence[str]  # n
    labels: NDArray[np.int64]  # (n,)
    log_probabilities: NDArray[np.floating]  # (n, classes), natural logarithms
    views: int = 1


def prediction_table(rows: Rows) -> pa.Table:
    """The columns of `COLUMNS` for some images. Equal probabilities stand in the order of their classes."""
    logs = torch.from_numpy(np.asarray(rows.log_probabilities, np.float64))
    labels = torch.from_numpy(np.asarray(rows.labels, np.int64))
    probabilities, n = logs.exp(), len(labels)
    ordered, classes = logs.sort(dim=1, descending=True, stable=True)
    k = min(TOP, logs.shape[1])
    truth = probabilities.gather(1, labels[:, None])[:, 0]
    others = probabilities.scatter(1, labels[:, None], 0.0).amax(1)
    columns = {
        "id": np.arange(rows.first, rows.first + n),
        "path": list(rows.paths),
        "split": [rows.split] * n,
        "label": labels.numpy(),
        "top_classes": list(classes[:, :k].int().numpy()),
        "top_probabilities": list(ordered[:, :k].exp().float().numpy()),
        "rank": rank_of_truth(logs, labels).numpy(),
        "probability": truth.numpy(),
        "loss": -logs.gather(1, labels[:, None])[:, 0].numpy(),
        "margin": (truth - others).numpy(),
        "entropy": torch.special.entr(probabilities).sum(1).numpy(),
        "views": np.full(n, rows.views),
    }
    return pa.table([pa.array(columns[field.name]).cast(field.type) for field in COLUMNS], schema=COLUMNS)


def write_predictions(file: Path, blocks: Iterable[Rows], about: About) -> None:
    """Write the table of all blocks, in row groups of `ROW_GROUP`; memory does not grow with the number of rows."""
    schema = COLUMNS.with_metadata({_ABOUT: json.dumps(about._asdict()).encode()})
    with written_beside(file) as beside, pq.ParquetWriter(beside, schema) as writer:
        waiting: list[pa.Table] = []
        for block in blocks:
            waiting.append(prediction_table(block))
            if sum(map(len, waiting)) >= ROW_GROUP:
                writer.write_table(pa.concat_tables(waiting).cast(schema))
                waiting = []
        if waiting:
            writer.write_table(pa.concat_tables(waiting).cast(schema))


def read_predictions(file: Path, *, checkpoint_id: str, store_hash: str) -> pa.Table:
    """The table, memory-mapped where that is possible.

    Raises ``ValueError``, one sentence, if it is missing, cut short, lacks a column, or is about another checkpoint
    or other images than those named.
    """
    try:
        table = pq.read_table(file, memory_map=True)
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"{file} is missing, cut short or no Parquet file ({error}).") from error
    if missing := [field.name for field in COLUMNS if field not in table.schema]:
        raise ValueError(f"{file} lacks the column(s) {missing}, or holds them as another type.")
    found = about(table)
    if found.checkpoint_id != checkpoint_id:
        raise ValueError(f"{file} was made by checkpoint {found.checkpoint_id}, not by {checkpoint_id}.")
    if found.store_hash != store_hash:
        raise ValueError(f"{file} is about the images {found.store_hash[:12]}..., not {store_hash[:12]}....")
    return table


def about(table: pa.Table) -> About:
    """Checkpoint, images and classes of a table. Raises ``ValueError`` if its metadata does not tell."""
    try:
        values = json.loads(table.schema.metadata[_ABOUT])
        values |= {name: tuple(values[name]) for name in ("classes", "class_names")}
        return About(**values)
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(f"The table of predictions does not say which checkpoint made it ({error!r}).") from error
