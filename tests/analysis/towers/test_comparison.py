"""Comparison of towers on kernels with planted chroma, on noise, and against the published reference rows."""

import json

import numpy as np
import pytest

from analysis.kernels.indices import Snapshots, chroma_energy, measure_kernels
from analysis.towers.comparison import (
    blind_threshold,
    chroma_course,
    colour_shares,
    comparison_text,
    measure,
    measure_indices,
    summary_table,
    tower_labels,
)

LABELS = tower_labels(96, 2)


def kernels_with(chroma) -> np.ndarray:
    """Smooth kernels (n, 3, 11, 11) with exactly these chroma energies."""
    row, column = np.mgrid[:11, :11]
    wave = np.cos(0.6 * column + 0.3 * row)
    grey = np.ones((3, 1, 1)) * wave / np.sqrt(3)
    colour = np.array([2.0, -1, -1])[:, None, None] / np.sqrt(6) * wave
    share = np.asarray(chroma, float)[:, None, None, None]
    return np.sqrt(1 - share) * grey + np.sqrt(share) * colour


def planted(colour_a: int, colour_b: int, seed: int = 0) -> np.ndarray:
    """Two towers of 48 with so many colour kernels (C about 0.9), the rest grey (C about 0.05)."""
    jitter = np.random.default_rng(seed).uniform(-0.04, 0.04, 96)
    place = np.arange(48)
    return kernels_with(np.concatenate([np.where(place < n, 0.9, 0.05) for n in (colour_a, colour_b)]) + jitter)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize(
    ("colour", "of_colour", "of_tower", "bits", "chance"),
    [((3, 29), 0.91, 0.60, 0.265, 1.4e-8), ((1, 37), 0.97, 0.77, 0.507, 2.7e-15)],
    ids=["figure of 2012", "CaffeNet"],
)
def test_the_shares_of_the_reference_nets_come_out_of_their_counts(colour, of_colour, of_tower, bits, chance):
    result = measure(planted(*colour), LABELS, rng(), 2000)
    assert result.colour == colour
    assert result.share_of_colour == pytest.approx(of_colour, abs=0.005)
    assert result.share_of_tower == pytest.approx(of_tower, abs=0.006)
    assert result.mutual_information == pytest.approx(bits, abs=0.0006)
    assert result.purity_p == pytest.approx(chance, rel=0.05)


def test_a_planted_split_is_called_specialised_with_the_smallest_p_that_can_be_shown():
    result = measure(planted(3, 29), LABELS, rng())
    assert result.verdict.startswith("Specialised: difference of mean chroma +0.4")
    assert result.p_text == "p ≤ 1e-5"
    assert result.difference == pytest.approx(0.85 * 26 / 48, abs=0.02)
    assert result.interval.low < result.difference < result.interval.high
    assert result.null_95 < result.null_999 <= result.null_largest < result.difference


def test_a_small_shift_is_called_weak():
    chroma = [*np.linspace(0, 0.8, 48), *np.linspace(0.13, 0.93, 48)]
    result = measure(kernels_with(chroma), LABELS, rng(), 20_000)
    assert result.verdict.startswith("Weak")
    assert 0.001 < result.p_value < 0.05


def test_equal_towers_are_called_no_evidence():
    result = measure(planted(20, 20), LABELS, rng(), 5000)
    assert result.verdict.startswith("No evidence")
    assert result.p_value > 0.5


def test_the_mean_chroma_and_the_difference_are_those_that_were_planted():
    chroma = np.random.default_rng(1).uniform(0, 1, 96)
    result = measure(kernels_with(chroma), LABELS, rng(), 500)
    assert result.mean_chroma == pytest.approx((chroma[:48].mean(), chroma[48:].mean()))
    assert result.difference == pytest.approx(chroma[48:].mean() - chroma[:48].mean())


def test_renaming_the_towers_turns_the_difference_and_leaves_the_p_value():
    kernels = planted(15, 26)
    once, turned = (measure(kernels, labels, rng(), 20_000) for labels in (LABELS, 1 - LABELS))
    assert turned.difference == pytest.approx(-once.difference)
    assert turned.cliffs_delta == pytest.approx(-once.cliffs_delta)
    assert turned.p_value == pytest.approx(once.p_value, rel=0.25)
    assert (turned.share_of_colour, turned.share_of_tower) == (once.share_of_colour, once.share_of_tower)


def test_untrained_kernels_are_not_measurable():
    result = measure(np.random.default_rng(0).normal(size=(96, 3, 11, 11)), LABELS, rng())
    assert result.verdict.startswith("Not measurable")
    assert (result.p_value, result.difference, result.p_text) == (None, None, "p not measurable")


def test_nineteen_live_kernels_in_a_tower_are_too_few_and_twenty_are_enough():
    kernels = planted(10, 30)
    kernels[20:48] = np.random.default_rng(0).normal(size=(28, 3, 11, 11)) * 0.1
    assert not measure(kernels, LABELS, rng(), 500).verdict.startswith("Not")
    kernels[19] = kernels[20]
    assert measure(kernels, LABELS, rng(), 500).verdict.startswith("Not measurable: 19 live kernels in tower A and 48")


def test_noise_does_not_enter_the_means():
    kernels = planted(4, 30)
    kernels[40:48] = np.random.default_rng(0).normal(size=(8, 3, 11, 11)) * 0.1
    result = measure(kernels, LABELS, rng(), 500)
    assert result.live == (40, 48)
    assert result.mean_chroma[0] == pytest.approx(chroma_energy(kernels[:40]).mean())


def test_one_net_in_twenty_is_called_weak_or_better_when_labels_mean_nothing():
    draws = np.random.default_rng(2)
    indices = measure_kernels(kernels_with(draws.beta(0.4, 0.8, 96)))
    found = [measure_indices(indices, draws.permutation(LABELS), draws, 400) for _ in range(200)]
    assert np.mean([result.p_value <= 0.05 for result in found]) == pytest.approx(0.05, abs=0.045)
    calls = [not result.verdict.startswith("No evidence") for result in found]
    assert np.mean(calls) == pytest.approx(0.05, abs=0.045)


def test_a_difference_of_a_quarter_is_found_nearly_always():
    draws = np.random.default_rng(3)
    hits = 0
    for _ in range(40):
        chroma = np.concatenate([draws.beta(0.5, 1.5, 48), draws.beta(1.0, 1.0, 48)])
        hits += measure(kernels_with(chroma), LABELS, draws, 400).p_value <= 0.05
    assert hits >= 36


def test_the_threshold_does_not_look_at_the_towers():
    kernels = planted(3, 29)
    shuffled = np.random.default_rng(4).permutation(kernels)
    thresholds = [blind_threshold(measure_kernels(values)) for values in (kernels, shuffled)]
    assert thresholds[0] == pytest.approx(thresholds[1])
    assert 0.1 < thresholds[0] < 0.85


def test_the_result_is_plain_json_whether_measurable_or_not():
    noise = np.random.default_rng(0).normal(size=(96, 3, 11, 11))
    for kernels in (planted(3, 29), noise):
        result = measure(kernels, LABELS, rng(), 200)
        read = json.loads(json.dumps(result.to_json(), allow_nan=False))
        assert read["verdict"] == result.verdict
        assert read["interval"] == (result.interval and list(result.interval))


def test_the_same_generator_gives_the_same_result():
    assert measure(planted(9, 20), LABELS, rng(), 500) == measure(planted(9, 20), LABELS, rng(), 500)


@pytest.mark.parametrize("labels", [LABELS[:50], LABELS + 1, np.full(96, 0.5)])
def test_labels_other_than_a_0_or_1_per_kernel_are_refused(labels):
    with pytest.raises(ValueError, match="96 labels, each 0 or 1"):
        measure(planted(3, 29), labels, rng())


def test_the_sentence_counts_both_ways():
    shares = colour_shares(measure_kernels(planted(3, 29)), LABELS, 0.5)
    assert shares.sentence() == "29 of 32 colour kernels are in one tower (tower B); 29 of its 48 are colour."
    assert shares.left_out() == ""


def test_the_sentence_says_which_kernels_were_left_out():
    kernels = planted(29, 3)
    kernels[46:48] = 0
    shares = colour_shares(measure_kernels(kernels), LABELS, 0.5)
    assert shares.sentence() == "29 of 32 colour kernels are in one tower (tower A); 29 of its 46 live ones are colour."
    assert shares.left_out().endswith("2 in tower A, 0 in tower B.")


def test_a_threshold_that_nothing_reaches_gives_a_sentence_too():
    shares = colour_shares(measure_kernels(planted(3, 29)), LABELS, 1.0)
    assert shares.sentence() == "No live kernel reaches the colour threshold."
    assert (shares.of_colour, shares.of_tower) == (None, 0.0)


def test_the_text_of_the_page_names_every_number_once():
    kernels = planted(3, 29)
    result = measure(kernels, LABELS, rng())
    shares = colour_shares(measure_kernels(kernels), LABELS, 0.5)
    assert comparison_text(shares, {"as trained": result}).split("  \n") == [
        f"**{shares.sentence()}** Permutation p ≤ 1e-5 (of the difference of mean chroma).",
        f"Mean chroma of live kernels, as trained: tower A {result.mean_chroma[0]:.2f}, "
        f"tower B {result.mean_chroma[1]:.2f}.",
        f"{result.verdict} ",
    ]


def test_the_summary_has_a_row_for_what_can_and_what_cannot_be_measured():
    noise = np.random.default_rng(0).normal(size=(96, 3, 11, 11))
    table = summary_table(
        {"trained": measure(planted(3, 29), LABELS, rng(), 500), "noise": measure(noise, LABELS, rng())}
    )
    assert table["Kernels"].tolist() == ["trained", "noise"]
    assert table["Verdict"].tolist() == ["Specialised", "Not measurable"]
    assert table["95 % interval"][1] == "–"


def test_the_course_of_chroma_is_the_mean_of_each_tower_at_each_step():
    draws = np.random.default_rng(5)
    kernels = draws.normal(size=(3, 8, 3, 11, 11)).astype(np.float16)
    course = chroma_course(Snapshots(kernels, (0, 5, 9), (1.0, 0.9, 0.8)), 2)
    values = kernels.astype(np.float32)
    assert course.steps == (0, 5, 9)
    assert course.trained[1, 1] == pytest.approx(chroma_energy(values[1, 4:]).mean())
    assert course.learned[2, 0] == pytest.approx(chroma_energy(values[2, :4] - np.float32(0.8) * values[0, :4]).mean())
    assert np.isnan(course.learned[0]).all()
