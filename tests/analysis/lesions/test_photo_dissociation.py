"""Intervals, nulls, class tests and verdicts on simulated answers whose truth is known."""

import numpy as np
import pytest
import torch

from analysis.lesions.photo_dissociation import (
    METRICS,
    answers_of,
    colour_classes,
    estimates,
    photo_table,
    random_halves,
    resampled_means,
    verdict_of,
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def draw(n: int, chances: dict[str, tuple[float, float, float]], seed: int = 0) -> dict[str, np.ndarray]:
    """Answers (3, metrics, n) by stimulus; right with these chances under the three lesions."""
    source = rng(seed)
    found = {}
    for stimulus, row in chances.items():
        right = source.random((3, n)) < np.array(row)[:, None]
        found[stimulus] = np.stack([right, right | (source.random((3, n)) < 0.3), np.where(right, -0.5, -3.0)], 1)
    return {stimulus: values.astype(float) for stimulus, values in found.items()}


CARRIED_BY_B = {"colour": (0.6, 0.45, 0.2), "grey": (0.4, 0.1, 0.25)}
"""Tower A is good for grey: without it colour is worth 35 points; without tower B it costs 5."""


def test_answers_are_those_of_a_count_by_hand():
    logits = torch.from_numpy(rng().normal(size=(3, 20, 12)))
    labels = torch.from_numpy(rng(1).integers(12, size=20))
    answers = answers_of(logits, labels)
    assert answers.shape == (3, len(METRICS), 20)
    for lesion in range(3):
        for image in range(20):
            row, truth = logits[lesion, image].numpy(), int(labels[image])
            order = np.argsort(-row).tolist()
            log_p = np.log(np.exp(row[truth]) / np.exp(row).sum())
            wanted = [float(order[0] == truth), float(truth in order[:5]), log_p]
            assert answers[lesion, :, image] == pytest.approx(wanted)


def test_the_table_holds_the_means_and_their_differences():
    answers = draw(400, CARRIED_BY_B)
    table = photo_table(answers, rng(), resamples=50)
    assert [row.stimulus for row in table.rows] == ["colour", "grey"]
    (contrast,) = table.contrasts
    for place, metric in enumerate(METRICS):
        colour, grey = (answers[name][:, place].mean(1) for name in ("colour", "grey"))
        assert [each.value for each in table.rows[1].score[metric]] == pytest.approx(grey)
        assert [each.value for each in table.rows[0].drop[metric]] == pytest.approx(colour[0] - colour[1:])
        assert table.rows[0].difference[metric].value == pytest.approx(colour[1] - colour[2])
        assert [each.value for each in contrast.advantage[metric]] == pytest.approx(colour - grey)
        wanted = (colour[1] - grey[1]) - (colour[2] - grey[2])
        assert contrast.interaction[metric].value == pytest.approx(wanted)
    assert list(contrast.relative) == list(contrast.relative_interaction) == ["top1", "top5"]
    colour, grey = (answers[name][:, 0].mean(1) for name in ("colour", "grey"))
    assert [each.value for each in contrast.relative["top1"]] == pytest.approx(1 - grey / colour)
    share = contrast.relative["top1"]
    assert contrast.relative_interaction["top1"].value == pytest.approx(share[1].value - share[2].value)


def test_a_lesion_that_halves_everything_has_no_relative_interaction_though_differences_shrink():
    table = photo_table(draw(10_000, {"colour": (0.6, 0.6, 0.3), "grey": (0.4, 0.4, 0.2)}), rng(), resamples=300)
    (contrast,) = table.contrasts
    assert contrast.interaction["top1"].low > 0.05
    assert contrast.relative_interaction["top1"].sign == 0
    assert contrast.relative["top1"][0].value == pytest.approx(1 / 3, abs=0.03)


def test_a_score_of_nothing_has_a_relative_advantage_of_nothing():
    table = photo_table(draw(20, {"colour": (0.5, 0, 0.5), "grey": (0.5, 0, 0.5)}), rng(), resamples=20)
    share = table.contrasts[0].relative["top1"][1]
    assert (share.value, share.low, share.high) == (0, 0, 0)


def test_all_resamples_are_means_of_the_same_images_drawn_with_replacement():
    values = rng().normal(size=(2, 3, 7))
    values[1] = 2 * values[0] + 1
    means = resampled_means(values, rng(1), resamples=500)
    assert means.shape == (501, 2, 3)
    assert means[0] == pytest.approx(values.mean(2))
    assert means[:, 1] == pytest.approx(2 * means[:, 0] + 1)
    assert means[1:].std(0) == pytest.approx(values.std(2) / np.sqrt(7), rel=0.15)


def test_resamples_do_not_depend_on_how_they_are_cut_for_memory(monkeypatch):
    values = rng().normal(size=(2, 30))
    whole = resampled_means(values, rng(1), resamples=10)
    monkeypatch.setattr("analysis.lesions.photo_dissociation._DRAWN", 90)
    assert resampled_means(values, rng(1), resamples=10) == pytest.approx(whole)


def test_intervals_cover_the_truth_as_often_as_they_say():
    truth, covered = 0.1, 0
    for seed in range(100):
        answers = draw(150, {"colour": (0.6, 0.5, 0.4), "grey": (0.4, 0.3, 0.3)}, seed)
        (contrast,) = photo_table(answers, rng(seed), resamples=200).contrasts
        covered += contrast.interaction["top1"].low <= truth <= contrast.interaction["top1"].high
    assert 0.88 <= covered / 100 <= 0.99


def test_pairing_makes_intervals_narrow_where_images_differ_more_than_lesions():
    hard = rng().normal(0, 5, 300)
    answers = np.stack([np.stack([hard > 0, hard > -1, hard - lesion / 10]) for lesion in range(3)]).astype(float)
    row = photo_table({"colour": answers}, rng(), resamples=200).rows[0]
    assert row.drop["log p"][0].high - row.drop["log p"][0].low < 1e-9
    assert row.score["log p"][0].high - row.score["log p"][0].low > 0.5


def test_the_carrier_of_colour_is_named_and_the_crossing_makes_it_double():
    table = photo_table(draw(3000, CARRIED_BY_B), rng())
    assert verdict_of(table).startswith("Double dissociation: tower B carries colour.")
    swapped = {name: (row[0], row[2], row[1]) for name, row in CARRIED_BY_B.items()}
    assert "tower A carries colour" in verdict_of(photo_table(draw(3000, swapped), rng()))


def test_without_a_crossing_the_dissociation_is_one_sided():
    one_sided = {"colour": (0.6, 0.45, 0.2), "grey": (0.4, 0.25, 0.15)}
    text = verdict_of(photo_table(draw(4000, one_sided), rng()))
    assert text.startswith("One-sided dissociation: tower B carries colour. Colour is worth +")


def test_equal_towers_give_no_evidence_in_about_95_of_100():
    claims = 0
    for seed in range(100):
        table = photo_table(
            draw(200, {"colour": (0.6, 0.4, 0.4), "grey": (0.4, 0.3, 0.3)}, seed), rng(seed), resamples=200
        )
        claims += not verdict_of(table).startswith("No evidence")
    assert 1 <= claims <= 12


def test_other_contrasts_are_told_apart_from_the_declared_one():
    answers = draw(4000, CARRIED_BY_B | {"low-pass": (0.5, 0.4, 0.2), "high-pass": (0.5, 0.2, 0.4)})
    table = photo_table(answers, rng(), resamples=200)
    assert [(each.more, each.less) for each in table.contrasts] == [("colour", "grey"), ("low-pass", "high-pass")]
    assert (list(table.contrasts[0].relative), table.contrasts[1].relative) == (["top1", "top5"], {})
    assert table.contrasts[1].relative_interaction == {}
    text = verdict_of(table)
    assert "besides, not adjusted for looking at several: low-pass over high-pass +" in text
    assert text.startswith("Double dissociation")


def halved(n: int, shift: float, seed: int = 0, images: int = 400) -> dict[str, np.ndarray]:
    """Answers of the towers and n random halves; the towers' interaction is 2 `shift` of top-1, the halves' 0."""
    source = rng(seed)
    chance = np.full(3 + 2 * n, 0.4)
    chance[1:3] += shift, -shift
    found = {}
    for stimulus, level in (("colour", chance), ("grey", np.full(3 + 2 * n, 0.3))):
        right = source.random((3 + 2 * n, images)) < level[:, None]
        found[stimulus] = np.stack([right, right, np.where(right, -1.0, -2.0)], 1).astype(float)
    return found


def test_the_towers_are_ranked_among_the_halves_on_the_same_images():
    answers = halved(19, 0.2)
    found = random_halves(answers, {"relu1": 0.01}, {"relu1": 0.5})
    assert (found.n, found.images, found.norm_error, found.overlap) == (19, 400, {"relu1": 0.01}, {"relu1": 0.5})
    colour, grey = (answers[name][:, 0].mean(1) for name in ("colour", "grey"))
    first, second = found.drop["top1"]
    assert (first.observed, second.observed) == pytest.approx((colour[0] - colour[1], colour[0] - colour[2]))
    assert first.controls == pytest.approx(colour[0] - colour[3::2])
    assert second.controls == pytest.approx(colour[0] - colour[4::2])
    interaction = found.interaction["top1"]
    worth = colour - grey
    assert interaction.observed == pytest.approx(worth[1] - worth[2])
    assert interaction.controls == pytest.approx(worth[3::2] - worth[4::2])
    assert interaction.rank == 19
    assert interaction.p_value == pytest.approx(2 / 20)


def test_towers_that_are_random_halves_themselves_are_rarely_beyond_the_others():
    p_values = [random_halves(halved(39, 0, seed, 100), {}, {}).interaction["log p"].p_value for seed in range(200)]
    assert 0.01 <= np.mean(np.array(p_values) <= 0.1) <= 0.18


def test_a_difference_that_random_halves_have_too_is_weak():
    table = photo_table(draw(3000, CARRIED_BY_B), rng(), resamples=200)
    assert verdict_of(table, [random_halves(halved(59, 0), {}, {})]).startswith("Weak: ")
    assert verdict_of(table, [random_halves(halved(59, -0.2), {}, {})]).startswith(
        "Weak: "
    )  # beyond, on the other side
    beyond = verdict_of(table, [random_halves(halved(59, 0.2), {}, {})])
    assert beyond.startswith("Double dissociation")
    assert "among 59 random halves p = 0.033" in beyond


def of_classes(classes: int, each: int, need: np.ndarray, seed: int = 0) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Log p falls by `need` of its class in grey, in the intact network and with A off; with B off it is low anyway."""
    source, labels = rng(seed), np.tile(np.arange(classes), each)
    noise = source.normal(0, 1, (2, 3, 3, len(labels)))
    colour, grey = noise
    for lesion in (0, 1):
        colour[lesion] += need[labels]
    return {"colour": colour, "grey": grey}, labels


def test_classes_that_need_colour_are_found_on_one_half_and_hold_on_the_other():
    need = np.where(np.arange(20) % 4 == 0, 3.0, 0.0)
    answers, labels = of_classes(20, 40, need)
    (found,) = colour_classes(answers, labels, rng(), resamples=200)
    assert sorted(found.chosen) == [0, 4, 8, 12, 16]
    assert found.images == (100, 300)
    for values in (found.benefit["log p"], found.interaction["log p"]):
        chosen, others, difference = values
        assert chosen.low < 3 < chosen.high
        assert others.low < 0 < others.high
        assert difference.value == pytest.approx(chosen.value - others.value)
        assert difference.low > 2


def test_choosing_and_testing_use_different_images():
    answers, labels = of_classes(20, 40, np.zeros(20))
    whole = colour_classes(answers, labels, rng(), resamples=50)
    order = np.argsort(labels, kind="stable").reshape(20, 40)  # images of each class, first, second, ...
    chosen_on, tested_on = order[:, ::2].ravel(), order[:, 1::2].ravel()
    for spoiled, same in ((tested_on, True), (chosen_on, False)):
        changed = {name: values.copy() for name, values in answers.items()}
        changed["colour"][0, 2, spoiled] += rng(1).normal(0, 9, len(spoiled))
        assert (colour_classes(changed, labels, rng(), resamples=50)[0].chosen == whole[0].chosen) == same


def test_classes_chosen_by_chance_do_not_hold():
    covered = 0
    for seed in range(100):
        answers, labels = of_classes(12, 20, np.zeros(12), seed)
        (found,) = colour_classes(answers, labels, rng(seed), resamples=100)
        covered += found.benefit["log p"][2].sign == 0
    assert covered >= 85


def test_classes_of_one_image_are_left_out_and_few_classes_are_not_compared():
    answers, labels = of_classes(20, 40, np.zeros(20))
    labels[0] = 99
    (found,) = colour_classes(answers, labels, rng(), resamples=20)
    assert 99 not in found.chosen
    assert sum(found.images) == 399  # class 0 has 39 left, of which 19 test; the lone image does nothing
    assert colour_classes(answers, np.arange(800) % 3, rng()) == ()


def test_estimates_are_quantiles_of_the_resamples():
    means = np.concatenate([[[5.0]], np.linspace(0, 1, 201)[:, None]])
    (found,) = estimates(means)
    assert (found.value, found.low, found.high) == pytest.approx((5.0, 0.025, 0.975))
