"""Predictions as a Parquet table: one row per image, all that an error browser filters and sorts by."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from alexnet_core.files import written_beside
from alexnet_core.predict import rank_of_truth
from analysis.label_quality import Judged, LabelQuality, label_quality

TOP = 10  # classes kept for each image, fewer where there are fewer
ROW_GROUP = 4096  # rows written at once: more would hold on to what each block needed meanwhile
_ABOUT = b"alexnet_predictions"

COLUMNS = pa.schema(
    [
        ("id", pa.int64()),  # row of the gallery, hence of features, thumbnails, index; of an evaluation: of the split
        ("path", pa.string()),  # in the source of the image store
        ("split", pa.string()),
        ("label", pa.int32()),  # true class, index into About.classes
        ("top_classes", pa.list_(pa.int32())),  # min(10, classes) of them, best first
        ("top_probabilities", pa.list_(pa.float32())),
        ("guess", pa.int32()),  # top_classes[0]
        ("confidence", pa.float32()),  # top_probabilities[0]
        ("rank", pa.int32()),  # of the truth, 0 = first (alexnet_core.predict.rank_of_truth)
        ("probability", pa.float32()),  # of the truth
        ("loss", pa.float32()),  # -ln of it, in nats
        ("margin", pa.float32()),  # truth minus the best other class, -1 to 1; negative where another is ahead
        ("entropy", pa.float32()),  # over all classes, in nats
        ("views", pa.int8()),  # crops that the probabilities were averaged over
        ("label_quality", pa.float32()),  # 0 to 1, low: the label is suspect (analysis.label_quality)
        ("label_issue", pa.bool_()),  # confident learning takes the label for wrong
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
    views: int  # crops averaged over
    off: str  # "" for the intact network, else what was silenced, such as "tower A off"
    firsts: Mapping[str, int]  # id of the first image of each split


class Rows(NamedTuple):
    """Some images of one split, in order, and what was predicted for them."""

    ids: NDArray[np.int64]  # (n,)
    split: str
    paths: Sequence[str]  # n
    labels: NDArray[np.int64]  # (n,)
    log_probabilities: NDArray[np.floating]  # (n, classes), natural logarithms
    views: int = 1


def prediction_table(rows: Rows, labels: LabelQuality) -> pa.Table:
    """The columns of `COLUMNS` for some images, whose labels were judged before (`analysis.label_quality`).

    Equal probabilities stand in the order of their classes.
    """
    logs = torch.from_numpy(np.asarray(rows.log_probabilities, np.float64))
    truth = torch.from_numpy(np.asarray(rows.labels, np.int64))
    probabilities, n = logs.exp(), len(truth)
    ordered, classes = logs.sort(dim=1, descending=True, stable=True)
    k = min(TOP, logs.shape[1])
    probability = probabilities.gather(1, truth[:, None])[:, 0]
    others = probabilities.scatter(1, truth[:, None], 0.0).amax(1)
    columns = {
        "id": rows.ids,
        "path": list(rows.paths),
        "split": [rows.split] * n,
        "label": truth.numpy(),
        "top_classes": list(classes[:, :k].int().numpy()),
        "top_probabilities": list(ordered[:, :k].exp().float().numpy()),
        "guess": classes[:, 0].numpy(),
        "confidence": ordered[:, 0].exp().numpy(),
        "rank": rank_of_truth(logs, truth).numpy(),
        "probability": probability.numpy(),
        "loss": -logs.gather(1, truth[:, None])[:, 0].numpy(),
        "margin": (probability - others).numpy(),
        "entropy": torch.special.entr(probabilities).sum(1).numpy(),
        "views": np.full(n, rows.views),
        "label_quality": labels.quality,
        "label_issue": labels.issue,
    }
    return pa.table([pa.array(columns[field.name]).cast(field.type) for field in COLUMNS], schema=COLUMNS)


def write_predictions(file: Path, blocks: Callable[[], Iterable[Rows]], about: About) -> None:
    """Write the table of all blocks, in row groups of `ROW_GROUP`; memory hardly grows with the number of rows.

    `blocks` is called three times and must give the same each time: the labels are judged in two passes before.
    Of a network's own training images the probabilities are in-sample: it has learnt their labels, right or wrong, so
    fewer are suspect. A linear head gives out-of-fold probabilities for the images it was fitted on.
    """
    judged = label_quality(lambda: map(_judged, blocks()))
    schema = described(COLUMNS, about)
    with written_beside(file) as beside, pq.ParquetWriter(beside, schema) as writer:
        waiting: list[pa.Table] = []
        written = dict.fromkeys(judged, 0)
        for block in blocks():
            waiting.append(prediction_table(block, judged[block.split].part(written[block.split], len(block.ids))))
            written[block.split] += len(block.ids)
            if sum(map(len, waiting)) >= ROW_GROUP:
                writer.write_table(pa.concat_tables(waiting).cast(schema))
                waiting = []
        if waiting:
            writer.write_table(pa.concat_tables(waiting).cast(schema))


def read_predictions(file: Path, *, checkpoint_id: str | None = None, store_hash: str | None = None) -> pa.Table:
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
    if checkpoint_id not in (None, found.checkpoint_id):
        raise ValueError(f"{file} was made by checkpoint {found.checkpoint_id}, not by {checkpoint_id}.")
    if store_hash not in (None, found.store_hash):
        raise ValueError(f"{file} is about the images {found.store_hash[:12]}..., not {store_hash[:12]}....")
    return table


def described(schema: pa.Schema, about: About) -> pa.Schema:
    """The schema with what holds for all rows; `about` reads it back from a table."""
    return schema.with_metadata({_ABOUT: json.dumps(about._asdict()).encode()})


def about(table: pa.Table) -> About:
    """Checkpoint, images and classes of a table. Raises ``ValueError`` if its metadata does not tell."""
    try:
        values = json.loads(table.schema.metadata[_ABOUT])
        values |= {name: tuple(values[name]) for name in ("classes", "class_names")}
        return About(**values)
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(f"The table of predictions does not say which checkpoint made it ({error!r}).") from error


def _judged(rows: Rows) -> Judged:
    return Judged(rows.split, np.asarray(rows.labels, np.int64), np.exp(rows.log_probabilities))
