"""Top-1 and top-5 accuracy of checkpoints, each and averaged: ``python -m analysis.evaluate CHECKPOINT ...``."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch

from alexnet_core import Checkpoint, load_checkpoint
from alexnet_core.data import open_dataset
from alexnet_core.predict import VIEWS, predict_stored, rank_of_truth
from alexnet_core.store import ImageStore
from analysis.stats import wilson_interval


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Accuracy of one network, or of several averaged, with Wilson 95 % intervals; shares in [0, 1]."""

    network: str
    views: int
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
    views: int = 10,
    limit: int | None = None,
    device: torch.device | None = None,
    progress: bool = False,
) -> Accuracy:
    """Accuracy on a split of stored images; several checkpoints are averaged over their softmax outputs.

    Ten views are the four corners, the centre and their mirrors, softmax averaged (paper section 4.1).
    `limit` takes that many images evenly spread over the split. Raises ``ValueError`` if a
    checkpoint's image size or classes are not the store's.
    """
    check_fit(checkpoints, store)
    images, labels = store.split(split).images, np.asarray(store.split(split).labels)
    chosen = np.arange(len(labels)) if limit is None else np.linspace(0, len(labels) - 1, limit).astype(int)
    device = device or torch.device("cpu")
    name = " + ".join(str(checkpoint.card["name"]) for checkpoint in checkpoints)
    blocks = predict_stored(
        [(checkpoint.model.to(device), checkpoint.preprocess) for checkpoint in checkpoints],
        images if limit is None else images[chosen],
        views=views,
        device=device,
        progress=f"{name}, {views} view(s)" if progress else None,
    )
    ranks = rank_of_truth(torch.cat(list(blocks)), torch.from_numpy(labels[chosen])).numpy()
    (top1, interval1), (top5, interval5) = _share(ranks < 1), _share(ranks < 5)
    return Accuracy(name, views, len(ranks), top1, interval1, top5, interval5)


def _share(hits: np.ndarray) -> tuple[float, tuple[float, float]]:
    return float(hits.mean()), wilson_interval(int(hits.sum()), len(hits))


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


def main(arguments: list[str] | None = None) -> None:
    """Measure top-1 and top-5 with 95 % intervals, from the central crop and from ten views."""
    parser = argparse.ArgumentParser(prog="python -m analysis.evaluate", description=main.__doc__)
    parser.add_argument("checkpoints", nargs="+", help="names or paths; several are also averaged")
    parser.add_argument("--dataset", help="name of a built image store (default: the first checkpoint's)")
    parser.add_argument("--split", default="val")
    parser.add_argument("--views", type=int, nargs="+", choices=VIEWS, default=list(VIEWS))
    parser.add_argument("--limit", type=int, help="only that many images, evenly spread")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", action="store_true", help="print one JSON object in place of a table")
    options = parser.parse_args(arguments)
    try:
        loaded = [load_checkpoint(name) for name in options.checkpoints]
        store = open_dataset(options.dataset or loaded[0].card["dataset"])
        groups = [[checkpoint] for checkpoint in loaded] + ([loaded] if len(loaded) > 1 else [])
        results = [
            evaluate(
                group,
                store,
                split=options.split,
                views=views,
                limit=options.limit,
                device=torch.device(options.device),
                progress=True,
            )
            for group in groups
            for views in options.views
        ]
    except (FileNotFoundError, ValueError) as problem:
        parser.error(str(problem))
    if options.json:
        print(json.dumps({"dataset": store.name, "split": options.split, "rows": [asdict(row) for row in results]}))
        return
    print(f"{store.name}, {options.split}: accuracy in % [95 % interval]")
    for row in results:
        one, five = (
            f"{100 * share:.2f} [{100 * low:.2f}, {100 * high:.2f}]"
            for share, (low, high) in ((row.top1, row.top1_interval), (row.top5, row.top5_interval))
        )
        print(f"{row.network:40s} {row.views:2d} view(s)  n {row.n:,}  top-1 {one}  top-5 {five}")


if __name__ == "__main__":
    main()
