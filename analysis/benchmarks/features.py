"""Features of stored images: `analysis.features` against a plain eager loop with torch.nn.LocalResponseNorm.

    python -m analysis.benchmarks.features [CHECKPOINT] [DATA] [--stage fc7] [--images 1024] [--repeats 5] [--json]

Both ways read the same images, prepare them alike, keep float16 and write it to disk; they take turns, so that a load
on the machine meets both, and the table gives the median over the rounds. The plain loop runs the same network in
float32, one batch after the other, normalising inside each tower by torch's module; torch has nothing for the
normalisation inside a map (cnorm2), which stays ours. Then features of so many images and of four times as many are
extracted, and the most memory that the process held at any time is given, without files that are mapped, where Linux
tells. It does not grow with the number of images.
"""

import argparse
import copy
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from statistics import median
from threading import Event, Thread
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import trange

from alexnet_core.checkpoint import Checkpoint, load_checkpoint
from alexnet_core.data import open_dataset
from alexnet_core.lrn import use_compiled, uses_compiled
from alexnet_core.model import AlexNet, LocalResponseNorm
from alexnet_core.store import ImageStore
from analysis.features import tap_of
from analysis.features.extraction import compute_features, warm_up
from analysis.shards import BATCH, IMAGES, ShardFolder, shards_of

GROWTH = 4  # the second measurement of memory has that many times the images
CPU = torch.device("cpu")


class Row(NamedTuple):
    """One way of extracting features."""

    name: str
    images_per_second: float
    ratio: float  # to the plain loop


class Peak(NamedTuple):
    """Memory that an extraction needs."""

    images: int
    peak_mb: float | None  # of the whole process; None where the system does not tell


@dataclass(frozen=True)
class Report:
    """Everything the table shows."""

    torch_version: str
    threads: int
    checkpoint: str
    dataset: str
    stage: str
    images: int
    repeats: int
    compiled: bool  # whether our normalisation ran in compiled kernels
    max_error: float  # largest difference between the two ways, as a share of the largest value
    rows: list[Row]
    peaks: list[Peak]


class TowerNorm(nn.Module):
    """torch.nn.LocalResponseNorm inside each tower."""

    def __init__(self, like: LocalResponseNorm) -> None:
        super().__init__()
        self.towers, self.norm = like.towers, nn.LocalResponseNorm(5, like.alpha, 0.75, like.k)

    def forward(self, x: Tensor) -> Tensor:
        normalised: Tensor = self.norm(x.view(-1, x.shape[1] // self.towers, *x.shape[2:]))
        return normalised.view_as(x)


def plain_model(model: AlexNet) -> AlexNet:
    """A copy that normalises across channels by torch's own module."""
    plain = copy.deepcopy(model)
    for name, stage in model.stages.items():
        if isinstance(stage, LocalResponseNorm):
            plain.stages[name] = TowerNorm(stage)
    return plain


def run(checkpoint: Checkpoint, images: ImageStore, stage: str, split: str, n: int, repeats: int) -> Report:
    """Time both ways and compare what they give. Raises ``ValueError`` for a split with fewer than 4 n images."""
    if not 0 < GROWTH * n <= (there := images.splits[split].count):
        raise ValueError(f"{GROWTH} times {n} images are needed, {split!r} of {images.name!r} has {there}.")
    tap, plain = tap_of(stage, list(checkpoint.model.stages)), plain_model(checkpoint.model)
    with tempfile.TemporaryDirectory() as folder:
        numbers = count()

        def ours(n: int = n) -> NDArray[Any]:
            return _ours(checkpoint, images, tap, split, n, Path(folder, str(next(numbers))))

        def theirs() -> NDArray[Any]:
            return _plain(plain, checkpoint, images, tap, split, n, Path(folder, "plain.npy"))

        use_compiled()
        warm_up(checkpoint, [tap], CPU)
        compiled, error = uses_compiled(), _error(ours(), theirs())
        seconds: dict[str, list[float]] = {"plain loop": [], "analysis.features": []}
        for _ in trange(repeats, desc="rounds", leave=False, disable=None):
            for name, way in zip(seconds, (theirs, ours), strict=True):
                seconds[name].append(_time(way))
        peaks = [Peak(size, _peak(ours, size)) for size in (n, GROWTH * n)]
        use_compiled(False)
    rates = {name: n / median(times) for name, times in seconds.items()}
    return Report(
        torch_version=torch.__version__,
        threads=torch.get_num_threads(),
        checkpoint=str(checkpoint.card["name"]),
        dataset=images.name,
        stage=tap,
        images=n,
        repeats=repeats,
        compiled=compiled,
        max_error=error,
        rows=[Row(name, rate, rate / rates["plain loop"]) for name, rate in rates.items()],
        peaks=peaks,
    )


def _ours(checkpoint: Checkpoint, images: ImageStore, tap: str, split: str, n: int, folder: Path) -> NDArray[Any]:
    """Our way; returns the first shard."""
    shards, place = shards_of({split: n}), ShardFolder(folder, {"part": "key"})
    compute_features(
        place, shards, checkpoint, images, {"part": tap}, dtype="float16", device=CPU, advance=lambda _: None
    )
    first = place.array("part", shards[0])
    place.remove()
    return first


@torch.inference_mode()
def _plain(
    model: AlexNet, checkpoint: Checkpoint, images: ImageStore, tap: str, split: str, n: int, file: Path
) -> NDArray[Any]:
    """The plain loop."""
    pixels, found = images.split(split).images, []
    for start in range(0, n, BATCH):
        batch = torch.from_numpy(np.array(pixels[start : min(start + BATCH, n)]))
        output, _ = model.run(checkpoint.preprocess.centre(batch), until=tap)
        found.append(output.flatten(1).half().numpy())
    features = np.concatenate(found)
    np.save(file, features)
    return features


def _error(ours: NDArray[Any], theirs: NDArray[Any]) -> float:
    ours, theirs = ours.astype(np.float64), theirs[: len(ours)].astype(np.float64)
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def _time(way: Callable[[], object]) -> float:
    start = perf_counter()
    way()
    return perf_counter() - start


def _peak(way: Callable[[int], object], n: int) -> float | None:
    """Most memory that the process held while it extracted the features of n images."""
    held, over = [_anonymous_mb()], Event()

    def watch() -> None:
        while not over.wait(0.005):
            held.append(_anonymous_mb())

    watcher = Thread(target=watch)
    watcher.start()
    try:
        way(n)
    finally:
        over.set()
        watcher.join()
    return max((each for each in held if each is not None), default=None)


def _anonymous_mb() -> float | None:
    """Memory of this process that no file backs; mapped images and weights are not counted."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon")), None)


def _shares() -> int:
    return IMAGES * torch.get_num_threads()


def table(report: Report) -> str:
    """The report as text."""
    kernels = "compiled" if report.compiled else "not compiled"
    lines = [
        f"{report.stage} of {report.checkpoint} for {report.images:,} images of {report.dataset}, median of "
        f"{report.repeats}; torch {report.torch_version}, {report.threads} thread(s), normalisation {kernels}",
        f"{'':<18} {'images/s':>9} {'ratio':>7}",
    ]
    lines += [f"{row.name:<18} {row.images_per_second:>9.1f} {row.ratio:>6.2f}x" for row in report.rows]
    lines.append(f"largest difference between the two: {report.max_error:.1e} of the largest value")
    for peak in report.peaks:
        told = "not known on this system" if peak.peak_mb is None else f"{peak.peak_mb:,.0f} MB"
        lines.append(f"memory for {peak.images:,} images: {told}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure how fast features are extracted, and with how much memory."""
    parser = argparse.ArgumentParser(prog="python -m analysis.benchmarks.features", description=main.__doc__)
    parser.add_argument("checkpoint", nargs="?", default="tiny-imagenet-127")
    parser.add_argument("data", nargs="?", help="name of a built image store (default: the checkpoint's)")
    parser.add_argument("--stage", default="fc7")
    parser.add_argument("--split", default="val")
    parser.add_argument("--images", type=int, help="default: a shard for each thread")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, help="torch's default if left out")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        checkpoint = load_checkpoint(options.checkpoint)
        images = open_dataset(options.data or checkpoint.card["dataset"])
        report = run(checkpoint, images, options.stage, options.split, options.images or _shares(), options.repeats)
    except (FileNotFoundError, ValueError) as problem:
        parser.error(str(problem))
    if options.json:
        values = asdict(report) | {name: [row._asdict() for row in getattr(report, name)] for name in ("rows", "peaks")}
        sys.stdout.write(json.dumps(values) + "\n")
    else:
        sys.stdout.write(table(report) + "\n")


if __name__ == "__main__":
    main()
