"""The sweep of purity over thresholds: its counts by hand, its band and p-value under the null and with an effect."""

import json

import numpy as np
import pytest

from analysis.towers.sweep import purity_sweep

LABELS = np.repeat([0, 1], 48)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_every_threshold_counts_the_kernels_above_it_by_tower():
    values = rng().random(96)
    sweep = purity_sweep(values, LABELS, rng(), n_permutations=200)
    assert sweep.colour.sum(1).tolist() == list(range(10, 49))
    for threshold, colour, purity in zip(sweep.thresholds, sweep.colour, sweep.purity, strict=True):
        above = [int((values[tower == LABELS] >= threshold).sum()) for tower in (0, 1)]
        assert colour.tolist() == above
        assert purity == max(above) / sum(above)


def test_equal_values_are_not_parted():
    values = np.repeat(np.arange(8.0), 12)
    sweep = purity_sweep(values, LABELS, rng(), n_permutations=200)
    assert sweep.thresholds.tolist() == [6.5, 5.5, 4.5, 3.5]
    assert purity_sweep(np.ones(96), LABELS, rng()) is None


def test_the_best_purity_of_towers_that_mean_nothing_is_as_high_as_published():
    draws = rng(1)
    best = [purity_sweep(draws.random(96), LABELS, draws, n_permutations=50).purity.max() for _ in range(2000)]
    assert np.mean(best) == pytest.approx(0.67, abs=0.015)
    assert np.quantile(best, 0.95) == pytest.approx(0.82, abs=0.025)
    assert np.quantile(best, 0.99) == pytest.approx(0.90, abs=0.025)


def test_one_in_twenty_curves_leaves_the_band_when_towers_mean_nothing():
    draws, p, outside = rng(2), [], []
    for _ in range(300):
        sweep = purity_sweep(draws.beta(0.4, 0.8, 96), LABELS, draws, n_permutations=400)
        p.append(sweep.p_value)
        outside.append((sweep.purity > sweep.band_95).any())
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(0.05, abs=0.035)
    assert np.mean(outside) == pytest.approx(0.05, abs=0.035)


def test_a_planted_split_leaves_the_band_where_it_was_planted():
    colour = np.where(np.arange(48) < 29, 0.9, 0.1)
    grey = np.where(np.arange(48) < 3, 0.9, 0.1)
    values = np.concatenate([grey, colour]) + rng(3).uniform(-0.05, 0.05, 96)
    sweep = purity_sweep(values, LABELS, rng())
    at_32 = sweep.colour.sum(1).tolist().index(32)
    assert sweep.purity[at_32] == pytest.approx(29 / 32)
    assert sweep.purity[at_32] > sweep.band_999[at_32] > sweep.band_95[at_32] > sweep.expected[at_32]
    assert sweep.p_value < 0.001


def test_the_null_of_a_threshold_is_the_hypergeometric_one():
    """30 colour kernels of 96: mean of the folded hypergeometric distribution, by drawing without replacement."""
    draws = rng(4)
    inside = draws.hypergeometric(48, 48, 30, size=200_000)
    sweep = purity_sweep(draws.random(96), LABELS, draws, n_permutations=20_000)
    assert sweep.expected[20] == pytest.approx(np.maximum(inside, 30 - inside).mean() / 30, abs=0.002)


def test_renaming_the_towers_changes_no_purity():
    values = rng(5).random(96)
    once, turned = (purity_sweep(values, labels, rng(), n_permutations=300) for labels in (LABELS, 1 - LABELS))
    np.testing.assert_array_equal(once.purity, turned.purity)
    np.testing.assert_array_equal(once.colour, turned.colour[:, ::-1])


def test_the_sweep_is_plain_json():
    sweep = purity_sweep(rng().random(96), LABELS, rng(), n_permutations=100)
    read = json.loads(json.dumps(sweep.to_json(), allow_nan=False))
    assert read["purity"] == sweep.purity.tolist()
    assert read["p_value"] == sweep.p_value
