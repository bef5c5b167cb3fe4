"""What checkpoints, each and averaged, predict for a split, kept for all who ask: ``python -m analysis.evaluate``.

An evaluation is a table of predictions (`analysis.predictions`) in ``predictions/<data set>`` of the data home, with a
manifest beside it: what it follows from, its own SHA-256, the software, and the accuracies.
"""

import argparse
import json
import platform
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from math import log
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from alexnet_core import Checkpoint, load_checkpoint
from alexnet_core.data import open_dataset
from alexnet_core.files import sha256_of_file, sha256_of_values, write_json
from alexnet_core.model import AlexNet
from alexnet_core.paths import predictions_dir
from alexnet_core.predict import VIEWS, views_of
from alexnet_core.store import ImageStore
from analysis.lesions.lesion import Lesion, Mode, Scope, run_under, tower_lesion
from analysis.predictions import TOP, About, Rows, read_predictions, write_predictions
from analysis.shards import BATCH, Shard, ShardFolder, compute_shards, shards_of
from analysis.stats import wilson_interval

Off = Literal["none", "A", "B"]
OFFS: tuple[Off, ...] = get_args(Off)
SCOPE: Scope = "conv1-conv2"  # where a tower is switched off, and how: `tower_lesion`'s defaults
MODE: Mode = "zero"
VERSION = 1  # of the code that makes scores and tables
SHARDS = "shards"  # folder of unfinished evaluations
SOFTWARE = ("torch", "numpy", "pyarrow", "cleanlab")
TOLD = ("title", "checkpoint", "checkpoint_id", "dataset", "store_hash", "split", "views", "off", "n")  # by manifests
AGAIN = "delete it and run python -m analysis.evaluate again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """A table of predictions for one split of an image store, and what it follows from."""

    file: Path
    title: str  # for people, such as "prism-127, central crop, tower A off (conv1-conv2, zero)"
    checkpoint: str  # name; "one + other" where their softmax outputs were averaged
    checkpoint_id: str  # likewise "id+id"
    dataset: str
    store_hash: str
    split: str
    views: int
    off: str  # "" for the intact network
    n: int


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Accuracy of one network, or of several averaged, with Wilson 95 % intervals; shares in [0, 1]."""

    network: str
    views: int
    off: str
    n: int
    top1: float
    top1_interval: tuple[float, float]
    top5: float
    top5_interval: tuple[float, float]


def evaluate(
    checkpoints: Sequence[Checkpoint],
    store: ImageStore,
    *,
    split: str = "val",
    views: Sequence[int] = VIEWS,
    off: Sequence[Off] = ("none",),
    limit: int | None = None,
    home: Path | None = None,
    device: torch.device | None = None,
    progress: bool = False,
    fresh: bool = False,
) -> list[Evaluation]:
    """The evaluations of each checkpoint and, of several, of their average; what is not there yet is made.

    Ten views are the four corners, the centre and their mirrors, softmax averaged (paper section 4.1). `off` "A" or
    "B" silences that tower by zeros behind its ReLUs in conv1 and conv2, so that conv3 reads the other tower alone.
    `limit` takes that many images evenly spread over the split. `fresh` makes again what is there.

    All is computed in one pass over the images; killed at any moment, the same call goes on and ends with the same
    bytes. Raises ``ValueError`` if image size, classes or towers do not allow it, or while another process evaluates
    on this data set.
    """
    check_fit(checkpoints, store)
    images, networks = _Sample.of(store, split, limit), [(checkpoint,) for checkpoint in checkpoints]
    subjects = [*networks, *([tuple(checkpoints)] if len(checkpoints) > 1 else [])]
    wanted = [_Condition(networks=each, views=v, off=o) for each in subjects for v in views for o in off]
    folder = predictions_dir(home) / store.name
    with _alone(folder):
        if fresh:
            _shards(folder, wanted, images).remove()
        if todo := [condition for condition in wanted if fresh or not _is_fresh(folder, condition, images)]:
            shards = _shards(folder, todo, images)
            _look(shards, todo, images, device or torch.device("cpu"), progress)
            for condition in todo:
                _write(_manifest_file(folder, condition, images), condition, images, shards)
        _shards(folder, wanted, images).remove()
    return [_evaluation(_manifest_file(folder, condition, images)) for condition in wanted]


def list_evaluations(store_hash: str, home: Path | None = None) -> list[Evaluation]:
    """The evaluations on these images, in the order of their titles; titles that would be the same get an id.

    One whose manifest cannot be read is left out, for nothing is known of it; the others are looked at when they are
    opened.
    """
    found = []
    for manifest in predictions_dir(home).glob("*/*.json"):
        with suppress(ValueError):
            found.append(_evaluation(manifest))
    found = [each for each in found if each.store_hash == store_hash]
    titles = [each.title for each in found]
    named = [
        replace(each, title=f"{each.title} ({each.checkpoint_id[:6]})") if titles.count(each.title) > 1 else each
        for each in found
    ]
    return sorted(named, key=lambda each: (each.title, each.file))


def open_evaluation(evaluation: Evaluation) -> pa.Table:
    """Its table, with the columns `analysis.predictions.COLUMNS`; an id is a place in the split.

    Raises ``ValueError``, one sentence, if the file is not as it was written, or about something else.
    """
    values = _manifest(evaluation.file.with_suffix(".json"))
    if not evaluation.file.exists() or sha256_of_file(evaluation.file) != values["sha256"]:
        raise ValueError(f"{evaluation.file} is missing, cut short or changed since it was written; {AGAIN}")
    return read_predictions(evaluation.file, checkpoint_id=evaluation.checkpoint_id, store_hash=evaluation.store_hash)


def accuracy(evaluation: Evaluation) -> Accuracy:
    """Top-1 and top-5 from the table of an evaluation. Raises ``ValueError`` as `open_evaluation` does."""
    ranks = open_evaluation(evaluation)["rank"].to_numpy()
    (top1, interval1), (top5, interval5) = _share(ranks < 1), _share(ranks < 5)
    return Accuracy(
        evaluation.checkpoint, evaluation.views, evaluation.off, len(ranks), top1, interval1, top5, interval5
    )


def check_fit(checkpoints: Sequence[Checkpoint], store: ImageStore) -> None:
    """Raises ``ValueError`` unless the store has the checkpoints' classes, in order, and their image size."""
    for checkpoint in checkpoints:
        name, size = checkpoint.card["name"], checkpoint.preprocess.source_size
        if [row["id"] for row in checkpoint.card["classes"]] != list(store.classes):
            raise ValueError(f"The classes of {name!r} must be those of {store.name!r}, in order.")
        if size != store.size:
            raise ValueError(
                f"{name!r} reads {size} px images, {store.name!r} holds {store.size} px: fetch it with --size {size}."
            )


def _share(hits: NDArray[np.bool_]) -> tuple[float, tuple[float, float]]:
    return float(hits.mean()), wilson_interval(int(hits.sum()), len(hits))


class _Sample(NamedTuple):
    """The images of a split that are looked at."""

    store: ImageStore
    split: str
    rows: NDArray[np.int64]  # places in the split
    all: bool

    @classmethod
    def of(cls, store: ImageStore, split: str, limit: int | None) -> "_Sample":
        n = len(store.split(split).labels)
        if min(n, n if limit is None else limit) < 1:
            raise ValueError(f"At least 1 image is needed, {split!r} has {n} and the limit is {limit}.")
        if limit is None or limit >= n:
            return cls(store, split, np.arange(n), True)
        return cls(store, split, np.linspace(0, n - 1, limit).astype(np.int64), False)

    @property
    def shards(self) -> list[Shard]:
        return shards_of({self.split: len(self.rows)})

    @property
    def identity(self) -> list[Any]:
        """All that predictions for these images follow from."""
        return [self.store.hash, self.split, len(self.rows)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Condition:
    """Who is asked, and how."""

    networks: tuple[Checkpoint, ...]  # averaged
    views: int
    off: Off

    @property
    def name(self) -> str:
        return " + ".join(str(network.card["name"]) for network in self.networks)

    @property
    def id(self) -> str:
        return "+".join(network.id for network in self.networks)

    @property
    def off_text(self) -> str:
        return "" if self.off == "none" else f"tower {self.off} off ({SCOPE}, {MODE})"

    @property
    def each(self) -> "list[_Condition]":
        """Every network by itself."""
        return [replace(self, networks=(network,)) for network in self.networks]

    def key(self, images: _Sample) -> str:
        """Hash of all that the numbers follow from but the code."""
        return sha256_of_values(self.id, self.views, self.off_text, images.identity)

    def part(self, images: _Sample) -> str:
        """Short name of the key."""
        return self.key(images)[:16]

    def title(self, images: _Sample) -> str:
        views = "ten views" if self.views == 10 else "central crop"
        some = "" if images.all else f"{len(images.rows):,} images"
        return ", ".join(filter(None, [self.name, views, self.off_text, images.split * (images.split != "val"), some]))

    def lesion(self, model: AlexNet) -> Lesion:
        """What is silenced. Raises ``ValueError`` unless there are two towers to choose from."""
        if self.off == "none":
            return Lesion()
        if (towers := model.config.towers) != 2:
            raise ValueError(f"A tower can only be switched off where there are 2, {self.name!r} has {towers}.")
        return tower_lesion(model, "AB".index(self.off), SCOPE, MODE)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Holds a lock that the system frees when the process dies."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder.with_name(f".{folder.name}.lock"), timeout=1):
            yield
    except Timeout:
        raise ValueError(f"Another process evaluates on {folder.name!r}; wait for it to end.") from None


def _shards(folder: Path, conditions: Sequence[_Condition], images: _Sample) -> ShardFolder:
    """Where the scores of every network on its own lie until all tables are written."""
    parts = {one.part(images) for condition in conditions for one in condition.each}
    return ShardFolder(folder / SHARDS, {part: sha256_of_values(VERSION, part) for part in sorted(parts)})


def _look(
    shards: ShardFolder, todo: Sequence[_Condition], images: _Sample, device: torch.device, progress: bool
) -> None:
    """Keep the scores of every network on its own, shard by shard."""
    torch.backends.cudnn.allow_tf32 = False  # a GPU's convolutions would round to 10 bits
    scorers = {one.part(images): _scorer(one, device) for condition in todo for one in condition.each}
    pixels = images.store.split(images.split).images

    def load(_: Shard, start: int, stop: int, __: Sequence[str]) -> NDArray[np.uint8]:
        return np.array(pixels[start:stop] if images.all else pixels[images.rows[start:stop]])

    def compute(batch: NDArray[np.uint8], parts: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        found = torch.from_numpy(batch).to(device)
        return {part: scorers[part](found).cpu().numpy() for part in parts}

    left, n = shards.todo(images.shards), len(images.rows)
    label = f"{len(scorers)} x {images.store.name}, {images.split}"
    with tqdm(total=n, initial=n - left, desc=label, unit="image", disable=not progress) as bar:
        compute_shards(shards, images.shards, load=load, compute=compute, advance=bar.update)


def _scorer(condition: _Condition, device: torch.device) -> "partial[Tensor]":
    (checkpoint,) = condition.networks
    checkpoint.model.to(device)
    return partial(_scores, checkpoint, condition.lesion(checkpoint.model), condition.views)


@torch.inference_mode()
def _scores(checkpoint: Checkpoint, lesion: Lesion, views: int, images: Tensor) -> Tensor:
    """Scores (n, classes) whose softmax is what the network says: logits, or the log of the views' summed softmax."""
    found = []
    for some in images.split(max(1, BATCH // views)):
        crops = views_of(checkpoint.preprocess, some, views)
        logits = run_under(checkpoint.model, crops.flatten(0, 1), [lesion])[0]
        if views > 1:
            logits = logits.double().log_softmax(1).unflatten(0, (-1, views)).logsumexp(1).float()
        found.append(logits)
    return torch.cat(found)


def _rows(condition: _Condition, images: _Sample, shards: ShardFolder) -> Iterator[Rows]:
    """Predictions shard by shard, averaged over the networks' softmax outputs."""
    split, parts = images.store.split(images.split), [one.part(images) for one in condition.each]
    for shard in images.shards:
        ids = images.rows[shard.start : shard.stop]
        logs = torch.stack([torch.from_numpy(shards.array(part, shard)).double().log_softmax(1) for part in parts])
        averaged = (logs.logsumexp(0) - log(len(parts))).numpy()
        paths = [split.paths[i] for i in ids]
        yield Rows(ids, images.split, paths, np.asarray(split.labels)[ids], averaged, condition.views)


def _write(manifest: Path, condition: _Condition, images: _Sample, shards: ShardFolder) -> None:
    """Write the table, then the manifest that vouches for it."""
    store, file = images.store, manifest.with_suffix(".parquet")
    about = About(
        checkpoint=condition.name,
        checkpoint_id=condition.id,
        dataset=store.name,
        store_hash=store.hash,
        classes=tuple(store.classes),
        class_names=tuple(store.class_names),
        judge="fc8",
        views=condition.views,
        off=condition.off_text,
        firsts={images.split: 0},
    )
    write_predictions(file, partial(_rows, condition, images, shards), about)
    evaluation = Evaluation(
        file=file,
        title=condition.title(images),
        checkpoint=condition.name,
        checkpoint_id=condition.id,
        dataset=store.name,
        store_hash=store.hash,
        split=images.split,
        views=condition.views,
        off=condition.off_text,
        n=len(images.rows),
    )
    ranks = pq.read_table(file, columns=["rank"])["rank"].to_numpy()
    told = {name: getattr(evaluation, name) for name in TOLD}
    software = {"python": platform.python_version()} | {name: version(name) for name in SOFTWARE}
    shares = {f"top{k}": dict(zip(("share", "interval"), _share(ranks < k), strict=True)) for k in (1, 5)}
    key = _full_key(condition, images)
    write_json(manifest, {**told, **shares, "key": key, "sha256": sha256_of_file(file), "software": software})


def _full_key(condition: _Condition, images: _Sample) -> str:
    """Hash of all that the bytes of a table follow from, names and code too."""
    store = images.store
    return sha256_of_values(VERSION, TOP, condition.name, condition.key(images), store.name, store.class_names)


def _manifest_file(folder: Path, condition: _Condition, images: _Sample) -> Path:
    slug = re.sub(r"[^\w.]+", "-", condition.title(images).replace(" + ", "+"))[:100].strip("-")
    return folder / f"{slug}-{condition.key(images)[:8]}.json"


def _manifest(file: Path) -> dict[str, Any]:
    try:
        values = json.loads(file.read_bytes())
        return {name: values[name] for name in (*TOLD, "key", "sha256")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file} is no readable manifest of an evaluation ({error!r}); {AGAIN}") from error


def _evaluation(manifest: Path) -> Evaluation:
    values = _manifest(manifest)
    return Evaluation(file=manifest.with_suffix(".parquet"), **{name: values[name] for name in TOLD})


def _is_fresh(folder: Path, condition: _Condition, images: _Sample) -> bool:
    """Whether the table is there, whole, and what would be made now."""
    manifest = _manifest_file(folder, condition, images)
    try:
        values, found = _manifest(manifest), sha256_of_file(manifest.with_suffix(".parquet"))
    except (ValueError, OSError):
        return False
    return bool((values["key"], values["sha256"]) == (_full_key(condition, images), found))


def main(arguments: list[str] | None = None) -> None:
    """Write what checkpoints predict for a split, and print top-1 and top-5 with 95 % intervals."""
    parser = argparse.ArgumentParser(prog="python -m analysis.evaluate", description=main.__doc__)
    parser.add_argument("checkpoints", nargs="+", help="names or paths; several are also averaged")
    parser.add_argument("--dataset", help="name of a built image store (default: the first checkpoint's)")
    parser.add_argument("--split", default="val")
    parser.add_argument("--views", type=int, nargs="+", choices=VIEWS, default=list(VIEWS))
    parser.add_argument(
        "--off", nargs="+", choices=OFFS, default=["none"], help=f"a tower silenced in {SCOPE} (mode: {MODE})"
    )
    parser.add_argument("--limit", type=int, help="only that many images, evenly spread")
    parser.add_argument("--fresh", action="store_true", help="compute again what is there")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", action="store_true", help="print one JSON object in place of a table")
    options = parser.parse_args(arguments)
    try:
        loaded = [load_checkpoint(name) for name in options.checkpoints]
        store = open_dataset(options.dataset or loaded[0].card["dataset"])
        found = evaluate(
            loaded,
            store,
            split=options.split,
            views=options.views,
            off=options.off,
            limit=options.limit,
            device=torch.device(options.device),
            progress=True,
            fresh=options.fresh,
        )
        results = [accuracy(evaluation) for evaluation in found]
    except (FileNotFoundError, ValueError) as problem:
        parser.error(str(problem))
    if options.json:
        rows = [asdict(row) | {"file": str(evaluation.file)} for row, evaluation in zip(results, found, strict=True)]
        print(json.dumps({"dataset": store.name, "split": options.split, "rows": rows}))
        return
    print(f"{store.name}, {options.split}: accuracy in % [95 % interval]; tables in {found[0].file.parent}")
    names = [", ".join(filter(None, [row.network, row.off])) for row in results]
    for name, row in zip(names, results, strict=True):
        one, five = (
            f"{100 * share:.2f} [{100 * low:.2f}, {100 * high:.2f}]"
            for share, (low, high) in ((row.top1, row.top1_interval), (row.top5, row.top5_interval))
        )
        print(f"{name:{max(map(len, names))}s}  {row.views:2d} view(s)  n {row.n:,}  top-1 {one}  top-5 {five}")


if __name__ == "__main__":
    main()
