"""A world with known answers for the tower lab: kernels, trained networks, lesions and similarities."""

import numpy as np
import torch
from numpy.typing import NDArray

from alexnet_core import Checkpoint, build_model
from alexnet_core.preprocess import Preprocess
from analysis.between.probes import Probe, ProbeReport
from analysis.between.report import BetweenTowers
from analysis.between.similarity import StageSimilarity
from analysis.experiments.matrix import Condition, Matrix
from analysis.experiments.nets import Course, Net, Spread
from analysis.lesions.dissociation import Estimate
from analysis.lesions.photo_dissociation import (
    PhotoReport,
    colour_classes,
    photo_table,
    random_halves,
    verdict_of,
)
from analysis.stimuli import STIMULI

STEPS = (0, 10, 100, 1000)


def split_kernels(colour_in_a: int = 4, colour_in_b: int = 40) -> NDArray[np.float32]:
    """96 smooth kernels, (96, 3, 11, 11): so many in each tower are purely coloured, the others purely grey."""
    rng = np.random.default_rng(0)
    row, column = np.mgrid[:11, :11] - 5
    turn = rng.uniform(0, np.pi, (96, 1, 1))
    pattern = np.cos(rng.uniform(0.3, 1.2, (96, 1, 1)) * (np.cos(turn) * column + np.sin(turn) * row))
    pattern *= np.exp(-(row**2 + column**2) / 20) * rng.uniform(0.5, 1.5, (96, 1, 1))
    opponent = rng.normal(size=(96, 3))
    opponent -= opponent.mean(1, keepdims=True)
    opponent /= np.linalg.norm(opponent, axis=1, keepdims=True)
    coloured = np.concatenate([np.arange(48) < colour_in_a, np.arange(48) < colour_in_b])
    axis = np.where(coloured[:, None], opponent, np.full(3, 3**-0.5))
    kernels: NDArray[np.float32] = (axis[:, :, None, None] * pattern[:, None]).astype(np.float32)
    return kernels


def network(
    name: str, classes: list[str], *, towers: int = 2, kernels: NDArray[np.float32] | None = None
) -> Checkpoint:
    """A network of 127 px whose last layers are loud enough for answers that change; `kernels` become its conv1."""
    size = len(classes)
    model = build_model("chm145", size, input_size=127, towers=towers, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for stage in ("conv3", "fc6", "fc7", "fc8"):
            model.stages[stage].weight.mul_(3)
        if kernels is not None:
            model.stages["conv1"].weight.copy_(torch.from_numpy(kernels))
    card = {
        "name": name,
        "id": name,
        "dataset": "prism-128",
        "classes": [{"id": f"n{place}", "name": label} for place, label in enumerate(classes)],
        "config": {"mode": "chm145", "towers": towers, "input_size": 127},
        "preprocess": {"description": "as it comes"},
    }
    preprocess = Preprocess(128, 136, 127, torch.full((3, 136, 136), 110.0), torch.eye(3), torch.ones(3))
    return Checkpoint(model.eval().requires_grad_(False), card, preprocess)


def spread(size: float) -> Spread:
    """Two towers so far apart; the null ends at 0.1 and 0.2."""
    return Spread((0.3, 0.3 + size), size, 0.001 if size > 0.2 else 0.5, 0.05, 0.04, 0.1, 0.2)


def net(condition: str, seed: int, size: float, reason: str = "", cut: str = "") -> Net:
    """A network whose towers part after step 10; the learned part by a tenth more. Unmeasurable at step 0."""
    courses = {
        kind: Course(STEPS, (None, spread(0.05), spread(size * factor), spread(size * factor)))
        for kind, factor in (("as trained", 1.0), ("learned part", 1.1))
    }
    courses |= {kind: Course(STEPS[-1:], (spread(size / 2),)) for kind in ("function", "probes")}
    factors = {"function": ("shape", "hue"), "probes": ("orientation", "hue")}
    kernels = tuple(np.split(split_kernels(), 2))
    return Net(condition, cut, seed, 0.3, 90, kernels, reason, courses, factors, crossed=size > 0.2)


MATRIX = Matrix(
    name="small",
    source="small",
    title="Does it happen?",
    preset="tiny-imagenet-127",
    seeds=(1, 2, 3),
    conditions=(
        Condition("case", "The case.", {}),
        Condition("one-tower", "Is it the groups?", {}),
        Condition("weak", "Did it learn?", {}),
        Condition("never", "Not trained.", {}),
    ),
)
NETS = [
    *(net("case", seed, 0.4 + 0.05 * seed) for seed in (1, 2, 3)),
    *(net("one-tower", seed, 0.03 * seed) for seed in (1, 2)),
    *(net("one-tower", seed, 0.3, cut="blind cut") for seed in (1, 2)),
    net("weak", 1, 0.5, "2.0% of the held-out images are right, at least 20% are needed."),
]


def estimate(value: float) -> Estimate:
    """A value with an interval of a tenth of a unit."""
    return Estimate(value, value - 0.05, value + 0.05)


def between(checkpoint_id: str) -> BetweenTowers:
    """Towers that drift apart from stage to stage, and tower B alone tells hue from pool2."""
    stages = tuple(
        StageSimilarity(stage, estimate(0.9 - 0.2 * place), 0.02, 0.001, (0.95, 0.9, 0.92), 0.01)
        for place, stage in enumerate(("pool1", "relu2", "pool2"))
    )
    values = {
        ("pool1", "hue"): 0.9,
        ("pool1", "orientation"): 0.8,
        ("pool2", "hue"): 0.5,
        ("pool2", "orientation"): 0.8,
    }
    probes = tuple(
        Probe(stage, factor, 48, 0.125, (estimate(a), estimate(0.9)), estimate(0.9 - a))
        for (stage, factor), a in values.items()
    )
    report = ProbeReport(400, probes, {"pool1": estimate(-0.1), "pool2": estimate(0.3)})
    return BetweenTowers(
        checkpoint=checkpoint_id,
        checkpoint_id=checkpoint_id,
        dataset="prism-128",
        data_hash="",
        split="val",
        images=200,
        seed=0,
        similarity=stages,
        probes=report,
    )


def photo_report(checkpoint_id: str, n: int = 400, classes: int = 8) -> PhotoReport:
    """Colour helps the intact network and without tower A, but not without tower B, which alone carries it."""
    rng = np.random.default_rng(0)
    labels = np.arange(n, dtype=np.int64) % classes

    def answers(shares: list[float]) -> NDArray[np.float64]:
        right = rng.random((len(shares), 1, n)) < np.array(shares)[:, None, None]
        return np.concatenate([right, right, np.where(right, -0.5, -3.0)], axis=1)

    shares = {
        stimulus: [0.8, 0.7, 0.4] if stimulus in ("colour", "low-pass") else [0.5, 0.35, 0.4] for stimulus in STIMULI
    }
    found = {stimulus: answers(three) for stimulus, three in shares.items()}
    table = photo_table(found, rng, resamples=200)
    many = {stimulus: answers(shares[stimulus] + [0.5] * 80) for stimulus in ("colour", "grey")}
    halves = (random_halves(many, {"relu1": 0.004, "relu2": 0.009}, {"relu1": 0.5, "relu2": 0.52}),)
    return PhotoReport(
        checkpoint=checkpoint_id,
        checkpoint_id=checkpoint_id,
        dataset="prism-128",
        data_hash="",
        split="val",
        images=n,
        scope="conv1-conv2",
        mode="zero",
        resamples=200,
        seed=0,
        verdict=verdict_of(table, halves),
        rows=table.rows,
        contrasts=table.contrasts,
        halves=halves,
        classes=colour_classes(found, labels, rng, resamples=200),
    )
