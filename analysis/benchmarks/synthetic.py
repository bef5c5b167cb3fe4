"""Any number of made-up vectors that are like real features: as sparse, as long, as correlated, and as crowded.

Each is a mixture of three real ones of the same class, by weights that are drawn, and a little of any fourth; then
every unit is shifted and scaled so that it is zero as often as the real unit and has its mean square, and the vector
gets the length of the real one that has the largest weight. `Statistics` say how like they are.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alexnet_core.files import write_json
from analysis.retrieval import Features

PARENTS = 3  # real vectors that are mixed
EVEN = 3.0  # of their weights, drawn from a Dirichlet distribution; fewer near copies the larger it is
STRANGER = 0.18  # weight of the fourth: keeps neighbours as far apart as real ones
BLOCK = 512  # vectors drawn at once: what stays in the processor's cache
KEPT = 64  # blocks after which a killed process goes on
CALIBRATED = 8192  # vectors that thresholds and gains are measured on
SAMPLE = 20_000  # vectors that units and principal axes are measured on
ASKED = 1000  # vectors whose distances to all others are measured
NEAREST = (1, 10, 100)  # of which the distances are compared
AXES = (1, 4, 16, 64, 256, 1024)  # principal axes whose share of the variance is compared


class Statistics(NamedTuple):
    """What is compared between real and made-up vectors."""

    zeros: float  # share of all values
    length: float  # mean
    length_spread: float  # standard deviation
    shares: tuple[float, ...]  # of the variance that the first of `AXES` have
    nearest: tuple[float, ...]  # distance to the first, 10th and 100th nearest other, over the median distance; means


class Mixer:
    """Draws vectors like some real ones."""

    def __init__(self, real: NDArray[np.floating], labels: NDArray[np.int64], seed: int = 0) -> None:
        """Features (n, d) without negative values, in memory or mapped, and their classes (n,)."""
        self._real, self._labels, self._seed = real, labels, seed
        self._order = np.argsort(labels, kind="stable")
        self._counts = np.bincount(labels)
        self._starts = np.cumsum(self._counts) - self._counts
        self._lengths = np.concatenate([_floats(part).norm(dim=1).numpy() for part in _parts(real)])
        self._threshold, self._gain = self._calibrated()

    def draw(self, block: int, count: int = BLOCK) -> NDArray[np.float16]:
        """Vectors (count, d) of one block; the same number gives the same."""
        mixed, lengths = self._mix(np.random.default_rng([self._seed, block]), count)
        mixed.sub_(self._threshold).clamp_(min=0).mul_(self._gain)
        mixed.mul_((torch.from_numpy(lengths) / mixed.norm(dim=1).clamp_min(1e-9))[:, None])
        drawn: NDArray[np.float16] = mixed.half().numpy()
        return drawn

    def _mix(self, rng: np.random.Generator, count: int) -> tuple[Tensor, NDArray[np.float32]]:
        first = rng.integers(0, len(self._real), count)
        label = self._labels[first]
        others = [self._order[self._starts[label] + rng.integers(0, self._counts[label])] for _ in range(PARENTS - 1)]
        parents = np.stack([first, *others])
        weights = rng.dirichlet([EVEN] * PARENTS, count).astype(np.float32).T
        mixed = torch.zeros(count, self._real.shape[1])
        for rows, weight in zip(parents, weights, strict=True):
            mixed.addcmul_(_floats(self._real[rows]), torch.from_numpy(weight)[:, None])
        mixed.add_(_floats(self._real[rng.integers(0, len(self._real), count)]), alpha=STRANGER)
        return mixed, self._lengths[parents[weights.argmax(0), np.arange(count)]]

    def _calibrated(self) -> tuple[Tensor, Tensor]:
        """Threshold and gain (d,) of each unit."""
        rng = np.random.default_rng([self._seed])
        mixed, _ = self._mix(rng, min(CALIBRATED, len(self._real)))
        real = _floats(self._real[np.sort(rng.choice(len(self._real), len(mixed), replace=False))])
        rank = ((real == 0).float().mean(0) * len(mixed)).long().clamp_max(len(mixed) - 1)
        threshold = mixed.sort(0).values.gather(0, rank[None])[0]
        gain = (real.square().mean(0) / (mixed - threshold).clamp(min=0).square().mean(0).clamp_min(1e-12)).sqrt()
        return threshold, gain


def write_vectors(
    file: Path, draw: Callable[[int], NDArray[np.float16]], n: int, d: int, advance: Callable[[int], None]
) -> NDArray[np.float16]:
    """A float16 file (n, d), mapped, of the blocks that are drawn; goes on where a killed process stopped."""
    if not file.exists():
        beside, told = file.with_suffix(".part"), file.with_suffix(".json")
        first = json.loads(told.read_bytes())["blocks"] if told.exists() and beside.exists() else 0
        mode = "r+" if first else "w+"
        array = np.lib.format.open_memmap(beside, mode, np.float16, (n, d))
        for block in range(first, -(-n // BLOCK)):
            start, stop = block * BLOCK, min((block + 1) * BLOCK, n)
            array[start:stop] = draw(block)[: stop - start]
            advance(stop - start)
            if block % KEPT == 0:
                array.flush()
                write_json(told, {"blocks": block})
        array.flush()
        beside.rename(file)
        told.unlink(missing_ok=True)
    mapped: NDArray[np.float16] = np.load(file, mmap_mode="r")
    if mapped.shape != (n, d):
        raise ValueError(f"{file} must hold {(n, d)} vectors, holds {mapped.shape}: delete it, or name another folder.")
    return mapped


def statistics(features: Features, seed: int = 0) -> Statistics:
    """Of features (n, d), two or more; distances are those of up to 1,000 of them to all others."""
    rng, (n, d) = np.random.default_rng(seed), features.shape
    sample = _floats(features[np.sort(rng.choice(n, min(n, SAMPLE), replace=False))])
    centred = sample - sample.mean(0)
    variances = torch.linalg.eigvalsh(centred.T @ centred).flip(0).clamp_min(0)
    explained = variances.cumsum(0) / variances.sum()
    lengths = sample.norm(dim=1)
    return Statistics(
        zeros=float((sample == 0).float().mean()),
        length=float(lengths.mean()),
        length_spread=float(lengths.std()),
        shares=tuple(float(explained[min(axes, d) - 1]) for axes in AXES),
        nearest=_nearest(features, np.sort(rng.choice(n, min(n, ASKED), replace=False))),
    )


def _nearest(features: Features, rows: NDArray[np.int64]) -> tuple[float, ...]:
    """See `Statistics.nearest`."""
    asked = _floats(features[rows])
    squares = asked.square().sum(1, keepdim=True)
    blocks = [
        (squares + block.square().sum(1) - 2 * asked @ block.T).clamp_(min=0).sqrt_()
        for block in map(_floats, _parts(features))
    ]
    distances = torch.cat(blocks, 1)
    median = distances.median(1).values
    distances[torch.arange(len(rows)), torch.from_numpy(rows)] = torch.inf
    most = distances.shape[1] - 1
    nearest = distances.topk(min(max(NEAREST), most), largest=False).values
    return tuple(float((nearest[:, min(k, most) - 1] / median).mean()) for k in NEAREST)


def _parts(features: Features) -> Iterator[NDArray[np.floating]]:
    """All of them, some at a time."""
    return (features[start : start + BLOCK] for start in range(0, features.shape[0], BLOCK))


def _floats(vectors: NDArray[np.floating]) -> Tensor:
    return torch.from_numpy(np.array(vectors)).float()
