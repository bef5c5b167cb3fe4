"""Statistics against brute force, closed forms and other implementations."""

from itertools import combinations, permutations, product

import numpy as np
import pytest
from scipy import stats as scipy_stats
from skimage.filters import threshold_otsu
from sklearn.metrics import mutual_info_score, roc_auc_score

from analysis.stats import (
    area_under_curve,
    block_permuted_differences,
    bootstrap_difference,
    fisher_p,
    holm,
    mean_interval,
    morans_i,
    mutual_information,
    otsu_threshold,
    permutation_p,
    permuted_differences,
    permuted_morans_i,
    purity_p,
    rate_lower_bound,
    sign_test,
    two_sided_p,
    wilson_interval,
)


def false_positives(p_values) -> float:
    """Share of p-values at or under 0.05."""
    return float(np.mean(np.array(p_values) <= 0.05))


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


def test_holm_lets_stand_what_his_step_down_rule_lets_stand():
    """Smallest p against alpha / m, the next against alpha / (m - 1), and so on until the first that fails."""
    rng = np.random.default_rng(9)
    for _ in range(50):
        p, alpha = rng.random(6) ** 3, rng.uniform(0.01, 0.2)
        stands = np.zeros(6, bool)
        for rank, place in enumerate(np.argsort(p)):
            if p[place] > alpha / (6 - rank):
                break
            stands[place] = True
        np.testing.assert_array_equal(holm(p) <= alpha, stands)


def test_holm_reads_a_worked_example():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])


def test_holm_calls_nothing_in_nineteen_of_twenty_families_without_an_effect():
    families = np.random.default_rng(10).random((2000, 9))
    assert false_positives([holm(family).min() for family in families]) == pytest.approx(0.05, abs=0.015)


def test_a_two_sided_p_is_twice_the_smaller_tail_and_at_most_one():
    null = np.arange(99.0)
    assert two_sided_p(97.5, null) == two_sided_p(0.5, null) == pytest.approx(2 * 2 / 100)
    assert two_sided_p(49.0, null) == 1.0


@pytest.mark.parametrize(
    ("fuller", "of", "published"),
    [
        (30, 30, 2.1e-12), (27, 30, 1.2e-7), (24, 30, 1.3e-4), (38, 40, 8.7e-15), (32, 40, 1.1e-6),
        (46, 48, 4e-22), (43, 48, 9.2e-16), (38, 48, 1.4e-8), (18, 20, 8.2e-5),
    ],
)  # fmt: skip
def test_the_chance_of_a_purity_is_the_published_one(fuller, of, published):
    assert purity_p((of - fuller, fuller), (48, 48)) == pytest.approx(published, rel=0.05)


def test_the_chance_of_a_purity_agrees_with_the_enumeration_of_all_ways_to_mark():
    for marked, sizes in ((3, (4, 4)), (4, (3, 6)), (2, (5, 2))):
        inside = [sum(item < sizes[0] for item in chosen) for chosen in combinations(range(sum(sizes)), marked)]
        fullest = np.maximum(inside, marked - np.array(inside))
        for first in range(max(0, marked - sizes[1]), min(marked, sizes[0]) + 1):
            exact = np.mean(fullest >= max(first, marked - first))
            assert purity_p((first, marked - first), sizes) == pytest.approx(exact)


def test_morans_i_is_the_sum_over_neighbours_that_its_definition_asks_for():
    values, groups = np.random.default_rng(11).random(14), np.repeat([0, 1], 7)
    positions = np.array([0, 1, 2, 4, 5, 8, 9, 10, 11, 12, 13, 15, 17, 18])
    z = values - np.where(groups == 0, values[:7].mean(), values[7:].mean())
    near = [
        (i, j)
        for i, j in permutations(range(14), 2)
        if groups[i] == groups[j] and abs(positions[i] - positions[j]) <= 2
    ]
    expected = 14 / len(near) * sum(z[i] * z[j] for i, j in near) / (z**2).sum()
    assert morans_i(values, positions, groups) == pytest.approx(expected)


def test_neighbours_that_alternate_are_opposed_and_those_that_drift_are_alike():
    place, one = np.arange(40), np.zeros(40)
    assert morans_i((-1.0) ** place, place, one, reach=1) == pytest.approx(-1)
    assert morans_i(place, place, one, reach=1) > 0.9


def test_a_difference_between_the_groups_is_no_likeness_of_neighbours():
    values, groups = np.random.default_rng(12).random(96), np.repeat([0, 1], 48)
    once, apart = (morans_i(v, np.arange(96), groups) for v in (values, values + 10 * groups))
    assert apart == pytest.approx(once)


def test_morans_i_needs_neighbours_and_differences():
    for values, positions in ((np.ones(5), np.arange(5)), (np.arange(5), np.arange(5) * 10)):
        with pytest.raises(ValueError, match="neighbours whose values differ"):
            morans_i(values, positions, np.zeros(5))


def moran_p(values, rng) -> float:
    place, groups = np.arange(96), np.repeat([0, 1], 48)
    null = permuted_morans_i(values, place, groups, rng, n_permutations=300)
    return two_sided_p(morans_i(values, place, groups), null)


def test_one_in_twenty_unrelated_rows_of_channels_is_called_related():
    rng = np.random.default_rng(13)
    assert false_positives([moran_p(rng.beta(0.4, 0.8, 96), rng) for _ in range(400)]) == pytest.approx(0.05, abs=0.03)


def test_channels_that_share_half_their_variance_with_their_neighbours_are_found():
    rng = np.random.default_rng(14)
    smooth = [np.convolve(rng.normal(size=98), [1, 1, 1], "valid") for _ in range(40)]
    assert false_positives([moran_p(values, rng) for values in smooth]) > 0.9


def test_blocks_of_one_give_the_plain_permutation():
    rng, labels = np.random.default_rng(15), np.repeat([0, 1], 8)
    values, everything = rng.random(16), np.ones(16, bool)
    blocks = block_permuted_differences(values, labels, everything, rng, block=1, n_permutations=40_000)
    plain = permuted_differences(values, 8, rng, n_permutations=40_000)
    for share in (0.5, 0.9, 0.99):
        assert np.quantile(blocks, share) == pytest.approx(np.quantile(plain, share), abs=0.01)


def test_whole_blocks_change_towers_and_rests_only_with_rests():
    """Two towers of 2 blocks of 2 and a rest of 1: every way to deal the 4 blocks and the 2 rests, and no other."""
    values, labels = 2.0 ** np.arange(10), np.repeat([0, 1], 5)
    units = [[0, 1], [2, 3], [5, 6], [7, 8]], [[4], [9]]
    possible = set()
    for two, (rest,) in product(combinations(units[0], 2), combinations(units[1], 1)):
        first = [*two[0], *two[1], *rest]
        possible.add(round(abs(np.delete(values, first).mean() - values[first].mean()), 9))
    drawn = block_permuted_differences(
        values, labels, np.ones(10, bool), np.random.default_rng(16), block=2, n_permutations=2000
    )
    assert set(drawn.round(9).tolist()) == possible


def test_what_is_not_counted_enters_no_mean():
    rng, labels = np.random.default_rng(17), np.repeat([0, 1], 10)
    values, counted = rng.random(20), np.arange(20) % 3 > 0
    spoiled = np.where(counted, values, np.nan)
    once, again = (
        block_permuted_differences(v, labels, counted, np.random.default_rng(0), n_permutations=500)
        for v in (values, spoiled)
    )
    np.testing.assert_array_equal(once, again)
    assert np.isfinite(once).all()


def test_a_deal_that_leaves_a_tower_empty_counts_as_far_out():
    labels, counted = np.repeat([0, 1], 10), np.arange(20) >= 15
    drawn = block_permuted_differences(np.ones(20), labels, counted, np.random.default_rng(0), n_permutations=50)
    assert np.isinf(drawn).all()


def block_and_plain_p(values, rng) -> tuple[float, float]:
    labels = np.repeat([0, 1], 48)
    observed = abs(values[48:].mean() - values[:48].mean())
    blocks = block_permuted_differences(values, labels, np.ones(96, bool), rng, n_permutations=400)
    return permutation_p(observed, blocks), permutation_p(
        observed, permuted_differences(values, 48, rng, n_permutations=400)
    )


def test_blocks_hold_their_level_where_neighbours_are_alike_and_single_kernels_do_not():
    rng = np.random.default_rng(18)
    places = np.concatenate([np.arange(48) // 5, 10 + np.arange(48) // 5])
    p = [block_and_plain_p(rng.normal(size=20)[places] + 0.3 * rng.normal(size=96), rng) for _ in range(400)]
    blocks, plain = (false_positives(each) for each in zip(*p, strict=True))
    assert blocks == pytest.approx(0.05, abs=0.03)
    assert plain > 0.2


def test_blocks_find_a_planted_split():
    rng = np.random.default_rng(19)
    split = np.repeat([0.2, 0.6], 48)
    assert false_positives([block_and_plain_p(split + 0.3 * rng.normal(size=96), rng)[0] for _ in range(40)]) > 0.9


@pytest.mark.parametrize(("n", "p"), [(5, 0.0625), (6, 0.03125), (10, 2 / 1024)])
def test_the_sign_test_of_networks_that_all_agree_is_two_to_the_one_less(n, p):
    assert sign_test(np.arange(1, n + 1)) == pytest.approx(p)
    assert sign_test(-np.ones(n)) == pytest.approx(p)


def test_the_sign_test_agrees_with_the_enumeration_of_all_signs():
    for positive in range(8):
        far = [abs(sum(signs)) >= abs(2 * positive - 7) for signs in product((-1, 1), repeat=7)]
        assert sign_test([1.0] * positive + [-1.0] * (7 - positive)) == pytest.approx(np.mean(far))


def test_zeros_say_nothing_about_the_sign():
    assert sign_test([0, 0, 1, 2, 3]) == sign_test([1, 2, 3])
    assert sign_test([0.0, 0.0]) == 1.0


@pytest.mark.parametrize(("n", "bound"), [(3, 0.37), (5, 0.55), (8, 0.69), (10, 0.74), (20, 0.86), (59, 0.95)])
def test_the_rate_when_all_networks_agree_is_bounded_as_published(n, bound):
    assert rate_lower_bound(n, n) == pytest.approx(0.05 ** (1 / n))
    assert round(rate_lower_bound(n, n), 2) == bound


def test_the_bound_of_a_rate_is_where_as_many_hits_become_a_one_in_twenty_event():
    for hits, n in ((7, 10), (1, 4), (18, 20)):
        assert scipy_stats.binom.sf(hits - 1, n, rate_lower_bound(hits, n)) == pytest.approx(0.05)
    assert rate_lower_bound(0, 6) == 0
    with pytest.raises(ValueError, match="7 of 6"):
        rate_lower_bound(7, 6)


@pytest.mark.parametrize("n", [2, 3, 10])
def test_the_interval_of_a_mean_covers_it_in_95_of_100_however_few_the_networks(n):
    rng = np.random.default_rng(20)
    found = [mean_interval(rng.normal(1, 1, n)) for _ in range(4000)]
    hits = np.mean([low <= 1 <= high for low, high in found])
    assert hits == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / 4000))


def test_the_interval_of_a_mean_is_that_of_the_t_table_and_one_network_has_none():
    reach = 4.303 * 0.1 / np.sqrt(3)  # t of two degrees of freedom, as tabulated
    assert mean_interval([0.1, 0.2, 0.3]) == pytest.approx((0.2 - reach, 0.2 + reach), abs=1e-4)
    with pytest.raises(ValueError, match="two values, got 1"):
        mean_interval([0.3])


def test_the_joint_p_value_is_the_single_one_and_of_two_the_area_under_a_hyperbola():
    assert fisher_p([0.03]) == pytest.approx(0.03)
    assert fisher_p([0.1, 0.2]) == pytest.approx(0.02 * (1 - np.log(0.02)))  # P(u v <= 0.02) of uniform u and v
    assert fisher_p([0.067, 0.075, 0.348]) == pytest.approx(scipy_stats.combine_pvalues([0.067, 0.075, 0.348]).pvalue)
    with pytest.raises(ValueError, match="got none"):
        fisher_p([])


def test_the_joint_p_value_of_permuted_networks_is_rarely_small_by_chance():
    rng, found = np.random.default_rng(21), []
    for _ in range(1000):
        alone = [permutation_p(*(lambda null: (null[0], null[1:]))(rng.normal(size=100))) for _ in range(3)]
        found.append(fisher_p(alone))
    assert np.mean(np.array(found) <= 0.05) == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / 1000))
