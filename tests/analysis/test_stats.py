"""Statistics against brute force, closed forms and other implementations."""

from itertools import combinations

import numpy as np
import pytest
from scipy import stats as scipy_stats
from skimage.filters import threshold_otsu
from sklearn.metrics import mutual_info_score, roc_auc_score

from analysis.stats import (
    area_under_curve,
    bootstrap_difference,
    mutual_information,
    otsu_threshold,
    permutation_p,
    permuted_differences,
    wilson_interval,
)


def test_wilson_interval_solves_its_own_equation():
    """Its ends are the shares p at which the observed share lies 1.96 standard errors of p away."""
    for hits, n in ((0, 10), (7, 20), (171, 200), (10, 10)):
        for end in wilson_interval(hits, n):
            assert (hits / n - end) ** 2 == pytest.approx(1.959964**2 * end * (1 - end) / n, abs=1e-6)


def test_permutation_p_agrees_with_the_enumeration_of_all_splits():
    values = np.array([0.1, 0.9, 0.4, 1.3, 0.2, 2.0, 0.7, 1.1])
    observed = abs(values[3:].mean() - values[:3].mean())
    splits = [list(chosen) for chosen in combinations(range(8), 3)]
    every = [abs(np.delete(values, chosen).mean() - values[chosen].mean()) for chosen in splits]
    exact = np.mean(np.array(every) >= observed - 1e-12)
    null = permuted_differences(values, 3, np.random.default_rng(0), n_permutations=40_000)
    assert permutation_p(observed, null) == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 40_000))


def test_permutation_p_agrees_with_scipy():
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=30), rng.normal(0.4, 1, size=40)
    theirs = scipy_stats.permutation_test(
        (first, second),
        lambda a, b, axis: np.abs(a.mean(axis) - b.mean(axis)),
        vectorized=True,
        alternative="greater",
        n_resamples=20_000,
        rng=rng,
    ).pvalue
    null = permuted_differences(np.concatenate([first, second]), 30, rng, n_permutations=20_000)
    assert permutation_p(abs(second.mean() - first.mean()), null) == pytest.approx(theirs, abs=0.02)


def test_a_permutation_that_repeats_the_observed_split_counts_although_rounding_differs():
    assert permutation_p(0.1 + 0.2, np.array([0.3, 0.0, 0.0])) == 0.5


def test_the_smallest_possible_p_is_one_in_the_number_of_draws_plus_one():
    assert permutation_p(5.0, np.zeros(99)) == 0.01


def test_permutations_are_drawn_in_full_whatever_the_number():
    assert permuted_differences(np.arange(6), 3, np.random.default_rng(0), n_permutations=12_345).shape == (12_345,)


def test_p_values_are_uniform_when_there_is_no_difference():
    rng = np.random.default_rng(2)
    p = []
    for _ in range(400):
        values = rng.beta(0.5, 1.0, size=96)
        null = permuted_differences(values, 48, rng, n_permutations=400)
        p.append(permutation_p(abs(values[48:].mean() - values[:48].mean()), null))
    assert 0.025 < np.mean(np.array(p) <= 0.05) < 0.08  # 0.05 within 2.5 standard errors
    assert scipy_stats.kstest(p, "uniform").pvalue > 0.01


def test_the_bootstrap_interval_matches_the_normal_one_for_large_samples():
    rng = np.random.default_rng(3)
    first, second = rng.normal(0, 1, 2000), rng.normal(0.5, 1, 2000)
    interval = bootstrap_difference(first, second, rng, n_resamples=4000)
    centre = second.mean() - first.mean()
    half = 1.96 * np.sqrt(first.var(ddof=1) / 2000 + second.var(ddof=1) / 2000)
    assert interval.low == pytest.approx(centre - half, abs=0.006)
    assert interval.high == pytest.approx(centre + half, abs=0.006)


def test_the_bootstrap_interval_covers_the_truth_about_nineteen_times_in_twenty():
    rng = np.random.default_rng(4)
    hits = 0
    for _ in range(300):
        low, high = bootstrap_difference(rng.random(48), rng.random(48) + 0.2, rng, n_resamples=400)
        hits += low <= 0.2 <= high
    assert 0.90 <= hits / 300 <= 0.98


def test_otsu_finds_the_cut_with_the_least_variance_inside_the_classes():
    rng = np.random.default_rng(5)
    for _ in range(20):
        values = rng.random(30) ** 2
        ordered = np.sort(values)
        inside = [ordered[:cut].var() * cut + ordered[cut:].var() * (30 - cut) for cut in range(1, 30)]
        best = int(np.argmin(inside)) + 1
        assert otsu_threshold(values) == pytest.approx((ordered[best - 1] + ordered[best]) / 2)


def test_otsu_parts_the_values_as_scikit_image_does():
    rng = np.random.default_rng(6)
    values = np.concatenate([rng.normal(0.1, 0.05, 60), rng.normal(0.7, 0.1, 36)])
    theirs = threshold_otsu(values, nbins=20_000)
    np.testing.assert_array_equal(values > otsu_threshold(values), values > theirs)


def test_otsu_refuses_values_that_are_all_equal():
    with pytest.raises(ValueError, match="two different values"):
        otsu_threshold([0.3, 0.3, 0.3])


def test_area_under_curve_agrees_with_scikit_learn_with_ties():
    rng = np.random.default_rng(7)
    first, second = rng.integers(0, 8, 25), rng.integers(2, 10, 40)
    labels = np.repeat([0, 1], [25, 40])
    assert area_under_curve(first, second) == pytest.approx(roc_auc_score(labels, np.concatenate([first, second])))


def test_mutual_information_agrees_with_scikit_learn():
    rng = np.random.default_rng(8)
    first = rng.random(200) < 0.5
    second = first ^ (rng.random(200) < 0.3)
    assert mutual_information(first, second) == pytest.approx(mutual_info_score(first, second) / np.log(2))


def test_mutual_information_is_one_bit_for_equal_halves_and_nothing_for_a_constant():
    halves = np.repeat([0, 1], 48)
    assert mutual_information(halves, halves) == pytest.approx(1)
    assert mutual_information(halves, np.zeros(96, bool)) == pytest.approx(0)
