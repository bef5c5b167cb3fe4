"""Calibration and selective risk against sums by hand, literal resampling and planted errors."""

import math

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from analysis.benchmarks.errors import simulate
from analysis.errors.calibration import calibration, risk_coverage
from analysis.errors.rates import share
from tests.analysis.errors.tables import outcomes


def plain_ece(confidence: np.ndarray, right: np.ndarray) -> float:
    """In 15 bins, by the definition."""
    which = np.ceil(confidence * 15)
    inside = [which == i for i in range(1, 16)]
    return sum(abs(confidence[i].sum() - right[i].sum()) for i in inside) / len(right)


def test_the_error_is_the_one_computed_by_hand() -> None:
    """Four bins: (0, 0.25] holds nothing, then 0.375 and 0.5, then 0.75, then 0.875 and 1 twice."""
    found = calibration(outcomes([0.375, 0.5, 0.75, 0.875, 1, 1], [0, 1, 0, 1, 1, 0]), bins=4)
    assert [(b.low, b.high, b.n) for b in found.bins] == [(0, 0.25, 0), (0.25, 0.5, 2), (0.5, 0.75, 1), (0.75, 1, 3)]
    assert [b.confidence for b in found.bins[1:]] == pytest.approx([0.4375, 0.75, 2.875 / 3])
    assert [b.right for b in found.bins] == [share(0, 0), share(1, 2), share(0, 1), share(2, 3)]
    assert math.isnan(found.bins[0].confidence)
    assert found.ece == pytest.approx((2 * 0.0625 + 1 * 0.75 + 3 * (2.875 / 3 - 2 / 3)) / 6)
    assert found.mce == pytest.approx(0.75)


def test_bins_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.1, 1, 3000).astype(np.float32)
    right = rng.random(3000) < confidence**2
    theirs = calibration_curve(right, confidence, n_bins=15)
    filled = [b for b in calibration(outcomes(confidence, right)).bins if b.n]
    assert [b.right.value for b in filled] == pytest.approx(theirs[0])
    assert [b.confidence for b in filled] == pytest.approx(theirs[1])


@pytest.mark.parametrize("planted", [0.02, 0.1, 0.25])
def test_planted_overconfidence_is_found(planted: float) -> None:
    rng = np.random.default_rng(1)
    confidence = rng.uniform(0.3, 1, 60_000)
    found = calibration(outcomes(confidence, rng.random(60_000) < confidence - planted), rng=rng)
    assert found.ece_interval.low <= planted <= found.ece_interval.high
    assert found.ece_interval.high - found.ece_interval.low < 0.01
    assert found.ece > found.ece_by_chance


@pytest.mark.parametrize("n", [300, 20_000])
def test_a_calibrated_network_may_have_no_error_at_all(n: int) -> None:
    found = [calibration(simulate(n, 100, np.random.default_rng(seed)), n_resamples=300) for seed in range(40)]
    excused = [result.ece_interval.low == 0 for result in found]
    assert sum(excused) >= 34  # 38 are expected
    assert np.mean([result.ece for result in found]) < np.mean([result.ece_by_chance for result in found])


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng, hits = np.random.default_rng(2), 0
    for _ in range(200):
        confidence = rng.uniform(0.3, 1, 3000)
        interval = calibration(outcomes(confidence, rng.random(3000) < confidence - 0.1), rng=rng, n_resamples=300)[2]
        hits += interval.low <= 0.1 <= interval.high
    assert hits >= 176  # 190 are expected; 176 lies 4.5 standard errors below


def test_resampled_counts_are_as_good_as_resampled_images() -> None:
    rng = np.random.default_rng(3)
    confidence = rng.beta(4, 2, 800)
    right = rng.random(800) < confidence - 0.05
    found = calibration(outcomes(confidence, right), rng=rng, n_resamples=4000)
    draws = [plain_ece(confidence[i], right[i]) for i in rng.integers(800, size=(3000, 800))]
    low, high = 2 * found.ece - np.quantile(draws, (0.975, 0.025))
    assert found.ece_interval == pytest.approx((low, high), abs=0.004)  # of a width of 0.06


def test_the_error_by_chance_is_that_of_outcomes_drawn_from_the_confidences() -> None:
    rng = np.random.default_rng(4)
    confidence = rng.beta(4, 2, 800)
    draws = [plain_ece(confidence, rng.random(800) < confidence) for _ in range(3000)]
    found = calibration(outcomes(confidence, rng.random(800) < confidence), n_resamples=4000).ece_by_chance
    assert found == pytest.approx(np.quantile(draws, 0.95), rel=0.04)


def test_without_a_generator_two_calls_agree() -> None:
    table = simulate(500, 10, np.random.default_rng(5))
    assert calibration(table).ece_interval == calibration(table).ece_interval


def test_an_edge_belongs_to_the_bin_below_and_zero_to_the_first() -> None:
    found = calibration(outcomes([0, 0.25, 0.5, 1], [1, 1, 1, 1]), bins=4)
    assert [b.n for b in found.bins] == [2, 1, 0, 1]


@pytest.mark.parametrize("levels", [3, 1000])
def test_risk_and_its_area_equal_a_loop(levels: int) -> None:
    """Where confidences tie, the loop averages over many random orders of the tied images."""
    rng = np.random.default_rng(6)
    confidence = (rng.integers(1, levels + 1, 60) / levels).astype(np.float32)
    wrong = rng.random(60) > confidence
    risks = []
    for _ in range(1500 if levels == 3 else 1):
        order = sorted(range(60), key=lambda i: (-confidence[i], rng.random()))
        risks.append([sum(wrong[i] for i in order[: n + 1]) / (n + 1) for n in range(60)])
    found = risk_coverage(outcomes(confidence, ~wrong))
    assert found.coverage == pytest.approx([(n + 1) / 60 for n in range(60)])
    assert found.risk == pytest.approx(np.mean(risks, axis=0), abs=0.03 if levels == 3 else 1e-12)
    assert found.aurc == pytest.approx(np.mean(risks), abs=0.003 if levels == 3 else 1e-12)


def test_the_oracles_area_is_the_published_one() -> None:
    """Geifman et al. 2019, equation 5: r + (1 - r) ln(1 - r) for a risk r at full coverage."""
    table = simulate(50_000, 20, np.random.default_rng(7))
    found, r = risk_coverage(table), np.mean(table["rank"].to_numpy() > 0)
    assert found.best_aurc == pytest.approx(r + (1 - r) * math.log(1 - r), abs=1e-3)
    assert found.risk[-1] == pytest.approx(r)
    assert found.best_aurc < found.aurc < r


def test_a_perfect_order_is_the_oracles() -> None:
    found = risk_coverage(outcomes([0.9, 0.8, 0.7, 0.6], [1, 1, 0, 0]))
    assert found.aurc == found.best_aurc == pytest.approx((0 + 0 + 1 / 3 + 1 / 2) / 4)


def test_a_curve_of_few_points_has_the_area_of_all() -> None:
    table = simulate(3000, 20, np.random.default_rng(8))
    short, full = risk_coverage(table, 50), risk_coverage(table, 3000)
    assert len(short.risk) == 50
    assert (short.coverage[0], short.coverage[-1]) == (1 / 3000, 1)
    assert short.aurc == full.aurc == pytest.approx(full.risk.mean())
    assert set(short.risk) <= set(full.risk)


def test_without_images_nothing_can_be_said() -> None:
    for judge in (calibration, risk_coverage):
        with pytest.raises(ValueError, match="no rows"):
            judge(outcomes([], np.empty(0, bool)))
