"""How alike the two towers are, and what either one knows: measured once and kept, ``python -m analysis.between``."""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from alexnet_core.checkpoint import LESIONS, SHIPPED, Checkpoint, load_checkpoint
from alexnet_core.data import open_dataset
from alexnet_core.store import ImageStore
from analysis.between.probes import ProbeReport, measure_probes
from analysis.between.similarity import StageSimilarity, measure_similarity
from analysis.lesions.dissociation import lesions_file
from analysis.sealed import read_sealed, save_sealed

BETWEEN = f".between{LESIONS}"  # ends the name of a result


@dataclass(frozen=True, slots=True, kw_only=True)
class BetweenTowers:
    """Similarity of the towers over images of a data set, and probes of both over rendered pictures; JSON-able."""

    checkpoint: str
    checkpoint_id: str
    dataset: str
    data_hash: str
    split: str
    images: int  # asked for; the similarity is over whole batches of them
    seed: int
    similarity: tuple[StageSimilarity, ...]
    probes: ProbeReport


def measure_between(
    checkpoint: Checkpoint,
    store: ImageStore,
    *,
    split: str = "val",
    images: int = 1000,
    pictures: int = 800,
    halves: int = 100,
    seed: int = 0,
    progress: bool = False,
) -> BetweenTowers:
    """Compare the towers of a checkpoint. Raises ``ValueError`` where `measure_similarity` does."""
    first, second = np.random.default_rng(seed).spawn(2)
    similarity = measure_similarity(
        checkpoint, store, first, split=split, images=images, halves=halves, progress=progress
    )
    return BetweenTowers(
        checkpoint=checkpoint.card["name"],
        checkpoint_id=checkpoint.id,
        dataset=store.name,
        data_hash=store.hash,
        split=split,
        images=images,
        seed=seed,
        similarity=similarity,
        probes=measure_probes(checkpoint.model, checkpoint.preprocess, second, images=pictures),
    )


def between_file(checkpoint: Checkpoint) -> Path:
    """Where this machine's own result for a checkpoint lies, in the folder of its lesions."""
    return lesions_file(checkpoint).with_name(f"{checkpoint.id}{BETWEEN}")


def load_between(checkpoint: Checkpoint) -> BetweenTowers | None:
    """The result measured here, else the one shipped as ``NAME.between.lesions.json``, else ``None``.

    A result of another checkpoint counts as absent. Raises ``ValueError`` for a damaged file.
    """
    for path in (between_file(checkpoint), SHIPPED / f"{checkpoint.card['name']}{BETWEEN}"):
        if path.exists() and (found := read_sealed(path, BetweenTowers)).checkpoint_id == checkpoint.id:
            return found
    return None


def main(arguments: list[str] | None = None) -> None:
    """Measure how alike the two towers of a checkpoint are at each stage, and what can be read off either."""
    parser = argparse.ArgumentParser(prog="python -m analysis.between", description=main.__doc__)
    parser.add_argument("checkpoint", help="name of a checkpoint, or path of its card")
    parser.add_argument("--dataset", help="name of an image store (default: the one the checkpoint was trained on)")
    parser.add_argument("--split", default="val")
    parser.add_argument("--images", type=int, default=1000, help="of the split (default: %(default)s)")
    parser.add_argument("--pictures", type=int, default=800, help="rendered for the probes (default: %(default)s)")
    parser.add_argument("--halves", type=int, default=100, help="random halves to compare with (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--to", type=Path, metavar="FILE", help="write the result there and not into the data home")
    options = parser.parse_args(arguments)
    try:
        checkpoint = load_checkpoint(options.checkpoint)
        found = measure_between(
            checkpoint,
            open_dataset(options.dataset or checkpoint.card["dataset"]),
            split=options.split,
            images=options.images,
            pictures=options.pictures,
            halves=options.halves,
            seed=options.seed,
            progress=True,
        )
    except (FileNotFoundError, ValueError) as problem:
        parser.error(str(problem))
    path = options.to or between_file(checkpoint)
    save_sealed(found, path)
    print(path)
