"""Secondary comparisons of the towers on kernels with planted differences, on noise, and under the null."""

import json

import numpy as np
import pytest

from analysis.kernels.indices import measure_kernels
from analysis.stats import area_under_curve, holm
from analysis.towers.comparison import tower_labels
from analysis.towers.secondary import (
    GREY_FREQUENCY,
    MEASURED,
    Secondary,
    compare,
    compare_indices,
    measure_secondary,
    neighbours,
)

LABELS = tower_labels(96, 2)
NAMES = (*MEASURED, "gabor_fit")


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def kernels_like(chroma, frequency, seed: int = 0) -> np.ndarray:
    """Noisy gratings of any orientation with about these chroma energies and frequencies, (96, 3, 11, 11)."""
    draws = rng(seed)
    row, column = np.mgrid[:11, :11]
    angle, phase = draws.uniform(0, np.pi, (2, 96, 1, 1))
    place = column * np.cos(angle) - row * np.sin(angle)
    wave = np.cos(2 * np.pi * np.asarray(frequency, float)[:, None, None] * place + phase)[:, None]
    share = np.asarray(chroma, float)[:, None, None, None]
    grey, colour = np.ones((3, 1, 1)) / np.sqrt(3), np.array([2.0, -1, -1])[:, None, None] / np.sqrt(6)
    return np.sqrt(1 - share) * grey * wave + np.sqrt(share) * colour * wave + 0.05 * draws.normal(size=(96, 3, 11, 11))


@pytest.fixture(scope="module")
def alike() -> np.ndarray:
    draws = rng(1)
    return kernels_like(draws.choice([0.05, 0.9], 96), draws.uniform(0.08, 0.35, 96))


@pytest.fixture(scope="module")
def split() -> np.ndarray:
    """Tower B has 29 colour kernels of low frequency and fine grey ones, tower A 3 and coarse grey ones."""
    place = np.arange(48)
    chroma = np.concatenate([np.where(place < count, 0.9, 0.05) for count in (3, 29)])
    grey = np.repeat([0.15, 0.32], 48) + rng(2).normal(0, 0.03, 96)
    return kernels_like(chroma, np.where(chroma > 0.5, 0.1, grey))


@pytest.fixture(scope="module")
def nothing(alike) -> Secondary:
    return measure_secondary(alike, LABELS, rng(), n_permutations=1000)


def test_a_planted_split_by_frequency_among_grey_kernels_is_found(split):
    found = measure_secondary(split, LABELS, rng(), n_permutations=1000)
    row = found.row(GREY_FREQUENCY)
    assert row.n == (45, 19)
    assert row.difference == pytest.approx(0.17, abs=0.05)
    assert row.p_holm < 0.05
    assert found.readable.auc > 0.9
    assert found.sweep.p_value < 0.001
    assert found.neighbours.block_p < 0.01


def test_towers_drawn_from_the_same_kernels_show_nothing(nothing):
    assert min(row.p_holm for row in nothing.rows) > 0.05
    assert nothing.readable.p_value > 0.05
    assert nothing.sweep.p_value > 0.05


def test_every_index_has_its_row_with_means_and_adjusted_p_values(alike):
    extra = rng(3).random(96)
    found = measure_secondary(
        alike, LABELS, rng(), covariance=np.eye(363), more={"selectivity to colour": extra}, n_permutations=500
    )
    names = [row.index for row in found.rows]
    assert names == [*NAMES, "weighted_chroma", "selectivity to colour", GREY_FREQUENCY]
    row = found.row("selectivity to colour")
    assert row.means == pytest.approx((extra[:48].mean(), extra[48:].mean()))
    assert row.difference == pytest.approx(extra[48:].mean() - extra[:48].mean())
    assert row.cliffs_delta == pytest.approx(2 * area_under_curve(extra[:48], extra[48:]) - 1)
    adjusted = holm([*(each.p_value for each in found.rows), found.readable.p_value])
    assert [*(each.p_holm for each in found.rows), found.readable.p_holm] == pytest.approx(adjusted.tolist())
    assert found.row("nothing of that name") is None


def test_the_primary_difference_comes_with_every_kernel_too(alike):
    kernels = alike.copy()
    kernels[:8] = rng(4).normal(size=(8, 3, 11, 11))
    found = measure_secondary(kernels, LABELS, rng(), n_permutations=500)
    chroma = measure_kernels(kernels).chroma
    assert found.row("norm").n == (40, 48)
    assert found.unfiltered.n == (48, 48)
    assert found.unfiltered.difference == pytest.approx(chroma[48:].mean() - chroma[:48].mean())


def test_a_kernel_without_a_value_is_left_out_of_that_index_alone(alike):
    gaps = np.where(np.arange(96) < 5, np.nan, rng(5).random(96))
    found = measure_secondary(alike, LABELS, rng(), more={"gaps": gaps}, n_permutations=200)
    assert found.row("gaps").n == (43, 48)
    assert found.row("norm").n == (48, 48)


def test_kernels_without_any_colour_are_compared_in_all_that_they_have(alike):
    grey = alike.mean(1, keepdims=True).repeat(3, axis=1)
    found = measure_secondary(grey, LABELS, rng(), n_permutations=200)
    assert found.sweep is None
    assert found.unfiltered.difference == pytest.approx(0, abs=1e-9)
    assert [row.index for row in found.rows] == [*NAMES, GREY_FREQUENCY]
    assert json.dumps(found.to_json(), allow_nan=False)


def test_an_index_that_a_tower_hardly_has_is_not_compared(alike):
    rare = np.where((LABELS == 0) | (np.arange(96) < 52), rng(5).random(96), np.nan)
    assert measure_secondary(alike, LABELS, rng(), more={"rare": rare}, n_permutations=200).row("rare") is None


def test_too_few_live_kernels_give_no_comparison():
    assert measure_secondary(rng().normal(size=(96, 3, 11, 11)), LABELS, rng()) is None


def test_grey_kernels_are_compared_where_each_tower_has_five(split):
    for few, compared in ((5, True), (4, False)):
        kernels = split.copy()
        kernels[48:] = kernels_like(np.full(96, 0.9), np.full(96, 0.1))[48:]
        kernels[48 : 48 + few] = split[-few:]
        found = measure_secondary(kernels, LABELS, rng(), n_permutations=200)
        assert (found.row(GREY_FREQUENCY) is not None) == compared


def test_one_in_twenty_families_of_indices_has_a_finding_when_labels_mean_nothing(alike):
    draws, indices = rng(6), measure_kernels(alike)
    values = {name: getattr(indices, name) for name in ("frequency", "norm", "smoothness")}
    least = []
    for _ in range(120):
        labels = draws.permutation(LABELS)
        rows = [compare(name, each, labels, draws, 200) for name, each in values.items()]
        least.append(holm([row.p_value for row in rows]).min())
    assert np.mean(np.array(least) <= 0.05) == pytest.approx(0.05, abs=0.05)


def test_a_comparison_finds_a_shift_of_a_standard_deviation_nearly_always():
    draws = rng(7)
    shifted = [draws.normal(size=96) + LABELS for _ in range(40)]
    assert np.mean([compare("shift", values, LABELS, draws, 200).p_value <= 0.05 for values in shifted]) > 0.9


def test_neighbours_that_share_their_colour_are_seen_and_weigh_as_one(alike):
    indices = measure_kernels(alike)
    live = np.ones(96, bool)
    runs = np.concatenate([np.repeat(rng(seed).random(10), 5)[:48] for seed in (8, 9)])
    found = neighbours(runs, LABELS, live, rng(), 1000)
    assert found.morans_i > 0.5
    assert found.p_value < 0.01
    assert neighbours(rng(10).permutation(indices.chroma), LABELS, live, rng(), 1000).p_value > 0.05


def test_renaming_the_towers_turns_every_difference(split):
    indices = measure_kernels(split)
    values = {"frequency": indices.frequency}
    once, turned = (compare_indices(indices, values, labels, rng(), 400) for labels in (LABELS, 1 - LABELS))
    for a, b in zip(once.rows, turned.rows, strict=True):
        assert b.difference == pytest.approx(-a.difference)
        assert b.p_value == pytest.approx(a.p_value, abs=0.06)
    assert turned.readable.auc == pytest.approx(once.readable.auc)


def test_the_result_is_plain_json(nothing):
    read = json.loads(json.dumps(nothing.to_json(), allow_nan=False))
    assert read["rows"][0]["index"] == "frequency"
    assert read["neighbours"]["block_p"] == nothing.neighbours.block_p
    assert read["sweep"]["purity"] == nothing.sweep.purity.tolist()


def test_other_labels_are_refused(alike):
    with pytest.raises(ValueError, match="96 labels, each 0 or 1"):
        measure_secondary(alike, LABELS + 1, rng())
