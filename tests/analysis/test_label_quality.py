"""Label quality against cleanlab's own functions for arrays in memory, a formula by hand, and planted label errors."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from cleanlab.count import get_confident_thresholds
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from numpy.typing import NDArray

from analysis.label_quality import Judged, label_quality

CLASSES, N, WRONG = 6, 1200, 60


class World:
    """Images of which a fair network knows the true class, and labels of which the first `WRONG` are wrong."""

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        truth = rng.integers(0, CLASSES, N)
        surer = np.linspace(1.5, 4, CLASSES)[truth]  # of some classes the network is surer than of others
        logits = rng.normal(0, 1, (N, CLASSES))
        logits[np.arange(N), truth] += surer
        self.p: NDArray[np.float64] = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        self.labels = truth.copy()
        self.labels[:WRONG] = (truth[:WRONG] + rng.integers(1, CLASSES, WRONG)) % CLASSES

    def blocks(self, size: int = 97, split: str = "val") -> Callable[[], Iterator[Judged]]:
        return lambda: (Judged(split, self.labels[i : i + size], self.p[i : i + size]) for i in range(0, N, size))


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def test_quality_is_the_excess_over_the_usual_confidence_by_hand(world: World) -> None:
    found = label_quality(world.blocks())["val"].quality
    usual = [world.p[world.labels == c, c].mean() for c in range(CLASSES)]
    for i in range(0, N, 7):
        label = world.labels[i]
        excess = [world.p[i, c] - usual[c] for c in range(CLASSES)]
        best_other = max(excess[c] for c in range(CLASSES) if c != label)
        assert found[i] == pytest.approx(0.5 + (excess[label] - best_other) / 4, abs=1e-6)


def test_quality_is_cleanlabs_score_stretched_back_to_the_same_order(world: World) -> None:
    expected = get_label_quality_scores(world.labels, world.p, method="normalized_margin", adjust_pred_probs=True)
    found = label_quality(world.blocks())["val"].quality.astype(float)
    usual = get_confident_thresholds(world.labels, world.p)
    stretch = (1 - usual + usual.max()).sum() - (CLASSES - 1)  # the sum of a row of adjusted probabilities
    assert found == pytest.approx(0.5 + (expected - 0.5) * stretch / 2, abs=1e-6)


@pytest.mark.parametrize("size", [1, 97, N])
def test_marks_are_those_of_confident_learning_however_the_images_come(world: World, size: int) -> None:
    found = label_quality(world.blocks(size))["val"]
    usual = [world.p[world.labels == c, c].mean() for c in range(CLASSES)]
    guess = world.p.argmax(1)
    sure = world.p.max(1) >= np.array(usual)[guess]
    count = int((sure & (guess != world.labels)).sum())  # off the diagonal of the confident joint
    lowest = np.argsort(found.quality, kind="stable")[:count]
    assert set(np.flatnonzero(found.issue)) == {i for i in lowest if guess[i] != world.labels[i]}


def test_planted_label_errors_are_found(world: World) -> None:
    found = label_quality(world.blocks())["val"]
    assert found.issue[:WRONG].mean() > 0.75
    assert found.issue[WRONG:].mean() < 0.05
    assert found.quality[:WRONG].mean() < found.quality[WRONG:].mean() - 0.2
    in_memory = find_label_issues(world.labels, world.p, filter_by="low_normalized_margin", n_jobs=1)
    assert (in_memory == found.issue).mean() > 0.97  # cleanlab scores the unadjusted margin there


def test_each_split_is_judged_by_itself(world: World) -> None:
    sure = World(1)
    sure.p = np.eye(CLASSES)[sure.labels] * 0.99 + 0.01 / CLASSES  # what it has learnt by heart

    def both() -> Iterator[Judged]:
        yield from sure.blocks(split="train")()
        yield from world.blocks()()

    found, alone = label_quality(both), label_quality(world.blocks())
    assert not found["train"].issue.any()
    assert (found["val"].quality == alone["val"].quality).all()
    assert (found["val"].issue == alone["val"].issue).all()


def test_a_part_is_that_of_consecutive_images(world: World) -> None:
    whole = label_quality(world.blocks())["val"]
    part = whole.part(40, 15)
    assert (part.quality == whole.quality[40:55]).all()
    assert (part.issue == whole.issue[40:55]).all()


def test_readers_do_not_wait_for_cleanlab() -> None:
    script = "import sys, analysis.evaluate, analysis.workspace; sys.exit('cleanlab' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[2], check=False).returncode == 0
