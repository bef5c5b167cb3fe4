"""Intervals, nulls and verdicts on simulated answers whose truth is known, and results as files."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from alexnet_core import Checkpoint
from alexnet_core.files import sha256_of_values
from analysis.lesions import dissociation
from analysis.lesions.dissociation import (
    INTACT,
    Controls,
    Dissociation,
    Estimate,
    LesionReport,
    Off,
    compare,
    drops_of,
    lesions_file,
    load_lesions,
    metric_names,
    paired_estimate,
    rank_among,
    read_lesions,
    save_lesions,
    score,
    verdict_of,
)

FACTORS = {"shape": np.arange(12) // 4, "hue": np.arange(12) % 4}
NAMES = tuple(FACTORS)
A, B = (Off(tower, "conv1-conv2", "zero") for tower in (0, 1))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def answers(n: int, shares: dict[Off, tuple[float, float]], seed: int = 0) -> dict[Off, np.ndarray]:
    """Hits (metrics, n) where shape and hue are right with these chances, by condition."""
    source = rng(seed)
    hits = {}
    for off, chances in shares.items():
        shape, hue = (source.random(n) < chance for chance in chances)
        hits[off] = np.stack([shape & hue, shape | hue, shape, hue])
    return hits


def test_scores_are_those_of_a_count_by_hand():
    logits = torch.from_numpy(rng().normal(size=(3, 40, 12)))
    labels = rng(1).integers(12, size=40)
    hits = score(logits, labels, FACTORS)
    assert metric_names(FACTORS) == ("top1", "top5", "shape", "hue")
    assert hits.shape == (3, 4, 40)
    for lesion in range(3):
        for image in range(40):
            order = np.argsort(-logits[lesion, image].numpy())
            guess, truth = divmod(int(order[0]), 4), divmod(int(labels[image]), 4)
            wanted = [guess == truth, labels[image] in order[:5], guess[0] == truth[0], guess[1] == truth[1]]
            assert hits[lesion, :, image].tolist() == wanted
    assert (hits[:, 0] == hits[:, 2] & hits[:, 3]).all()
    assert score(logits, labels, {}).shape == (3, 2, 40)


def test_the_interval_is_that_of_drawing_images_one_by_one():
    values = rng().integers(-1, 2, size=150) * 1.0
    drawn = values[rng(1).integers(150, size=(40_000, 150))].mean(1)
    found = paired_estimate(values, rng(2), resamples=40_000)
    assert found.value == pytest.approx(values.mean(), abs=1e-12)
    assert (found.low, found.high) == pytest.approx(np.quantile(drawn, (0.025, 0.975)), abs=0.006)


def test_the_interval_of_values_that_all_differ_is_that_of_the_normal_law():
    values = rng().normal(3, 2, size=20_000)  # more draws than fit into one piece of memory
    found = paired_estimate(values, rng(1), resamples=3000)
    half = 1.96 * values.std() / np.sqrt(20_000)
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1 * half)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    """Differences -1, 0, 1 with chances .1, .5, .4, mean 0.3: 2,000 samples of 200 images."""
    source, covered = rng(3), 0
    for _ in range(2000):
        sample = source.choice([-1, 0, 1], p=[0.1, 0.5, 0.4], size=200)
        found = paired_estimate(sample, source, resamples=1000)
        covered += found.low <= 0.3 <= found.high
    assert 0.93 < covered / 2000 < 0.965


def test_the_same_values_have_an_interval_without_width_and_seeds_repeat():
    assert paired_estimate(np.ones(7), rng()) == Estimate(1.0, 1.0, 1.0)
    values = rng().random(50)
    assert paired_estimate(values, rng(4)) == paired_estimate(values, rng(4))
    assert paired_estimate(values, rng(4)) != paired_estimate(values, rng(5))


def test_pairing_on_the_same_images_is_used():
    """A drop that hits exactly one image in ten has the interval of a share of 0.1, however noisy both are."""
    intact = rng().random(1000) < 0.5
    lesioned = intact.copy()
    lost = np.flatnonzero(intact)[:100]
    lesioned[lost] = False
    hits = {INTACT: np.stack([intact] * 2), A: np.stack([lesioned] * 2)}
    drop = compare(hits, (), rng())[0][1].drop["top1"]
    half = 1.96 * np.sqrt(0.1 * 0.9 / 1000)
    assert (drop.value, drop.low, drop.high) == pytest.approx((0.1, 0.1 - half, 0.1 + half), abs=0.002)


def test_drops_and_interaction_are_those_of_the_accuracies():
    hits = answers(300, {INTACT: (0.9, 0.8), A: (0.7, 0.3), B: (0.2, 0.6)})
    conditions, (found,) = compare(hits, NAMES, rng(), resamples=200)
    share = {off: rows.mean(1) for off, rows in hits.items()}
    for row, off in zip(conditions, hits, strict=True):
        assert (row.tower, row.scope, row.mode) == off
        assert [row.accuracy[name].value for name in metric_names(FACTORS)] == pytest.approx(share[off].tolist())
        if off != INTACT:
            drops = (share[INTACT] - share[off]).tolist()
            assert [row.drop[name].value for name in metric_names(FACTORS)] == pytest.approx(drops)
    assert conditions[0].drop == {}
    shape, hue = ({off: share[INTACT][place] - share[off][place] for off in (A, B)} for place in (2, 3))
    assert found.interaction.value == pytest.approx((hue[A] - shape[A]) - (hue[B] - shape[B]))
    assert [each.value for each in found.specificity] == pytest.approx([hue[A] - shape[A], hue[B] - shape[B]])
    assert found.contrast["shape"].value == pytest.approx(shape[A] - shape[B])
    assert found.contrast["hue"].value == pytest.approx(hue[A] - hue[B])
    assert list(found.contrast) == ["shape", "hue"]


def test_every_scope_and_mode_is_compared_and_nothing_without_factors():
    offs = [Off(tower, scope, mode) for scope in ("conv1-conv2", "whole tower") for mode in ("zero", "mean")
            for tower in (0, 1)]  # fmt: skip
    hits = answers(50, dict.fromkeys([INTACT, *offs], (0.5, 0.5)))
    _, found = compare(hits, NAMES, rng(), resamples=20)
    assert [(row.scope, row.mode) for row in found] == [(off.scope, off.mode) for off in offs[::2]]
    assert compare({off: rows[:2] for off, rows in hits.items()}, (), rng(), resamples=20)[1] == ()


def test_drops_of_many_lesions_are_those_of_each():
    intact, lesioned = rng().random((4, 90)) < 0.8, rng(1).random((5, 4, 90)) < 0.5
    drops = drops_of(intact, lesioned, NAMES)
    for lesion in range(5):
        for place, name in enumerate(("top1", "top5", "shape", "hue")):
            assert drops[name][lesion] == pytest.approx(intact[place].mean() - lesioned[lesion, place].mean())
        assert drops["hue - shape"][lesion] == pytest.approx(drops["hue"][lesion] - drops["shape"][lesion])
    assert list(drops_of(intact[:2], lesioned[:, :2], ())) == ["top1", "top5"]


@pytest.mark.parametrize(
    ("observed", "rank", "p_value"),
    [(0.5, 19, 0.1), (-1.0, 0, 0.1), (0.095, 10, 1.0), (0.17, 17, 0.3), (0.18, 18, 0.2), (0.0, 0, 0.2)],
)
def test_ranks_and_p_values_of_a_case_counted_by_hand(observed, rank, p_value):
    controls = np.arange(19) / 100
    found = rank_among(observed, controls)
    assert (found.rank, found.p_value) == (rank, pytest.approx(p_value))
    assert found.controls == tuple(controls.tolist())


def test_p_values_of_a_lesion_like_the_others_are_uniform():
    source = rng(7)
    p_values = np.array([rank_among(*(lambda v: (v[0], v[1:]))(source.normal(size=200))).p_value for _ in range(4000)])
    for level in (0.05, 0.2, 0.5, 0.8):
        assert abs((p_values <= level + 1e-9).mean() - level) < 4 * np.sqrt(level * (1 - level) / 4000)


# The verdict.


def controls_of(tower: int, observed: float) -> Controls:
    """199 random lesions between -0.1 and 0.1."""
    ranks = {name: rank_among(observed, np.linspace(-0.1, 0.1, 199)) for name in ("top1", "hue - shape")}
    return Controls(
        tower=tower, scope="conv1-conv2", mode="zero", n=199, images=300, precision="float32", ranks=ranks,
        units={"relu1": 48, "relu2": 128}, norm_error={"relu1": 0.01, "relu2": 0.0}, overlap={"relu1": 0.5},
    )  # fmt: skip


def verdict(intact, a, b, controls=()) -> str:
    """The verdict on 2,000 images with these shares of shape and hue right."""
    conditions, found = compare(answers(2000, {INTACT: intact, A: a, B: b}), NAMES, rng(), resamples=1000)
    return verdict_of(conditions, found, controls)


def test_a_planted_double_dissociation_is_found_and_told_which_way_round():
    text = verdict((0.9, 0.9), (0.85, 0.3), (0.3, 0.8), [controls_of(0, 0.5), controls_of(1, -0.5)])
    assert text.startswith("Double dissociation: tower A off costs ")
    assert "points more hue than tower B off and tower B off costs " in text
    assert "points more shape than tower A off (interaction +1" in text
    assert text.endswith("both towers' lesions are beyond 199 random ones of the same size (p = 0.01 and 0.01).")
    other = verdict((0.9, 0.9), (0.3, 0.8), (0.85, 0.3))
    assert "tower B off costs" in other.split("hue")[0]
    assert "(interaction -1" in other
    assert other.endswith("random lesions were not measured.")


def test_one_factor_alone_is_called_one_sided():
    text = verdict((0.9, 0.9), (0.6, 0.3), (0.6, 0.8), [controls_of(0, 0.5), controls_of(1, 0.0)])
    assert text.startswith("One-sided dissociation: tower A off costs ")
    assert "more hue" in text
    assert "more shape" not in text
    assert "; only tower A's lesion is beyond" in text


def test_a_tower_that_costs_more_of_both_is_not_a_double_dissociation():
    text = verdict((0.9, 0.9), (0.6, 0.2), (0.8, 0.8))
    assert text.startswith("One-sided dissociation: tower A off costs ")
    assert "more shape" not in text


def test_an_interaction_without_clear_parts_names_neither():
    clear, unclear = Estimate(0.1, 0.05, 0.15), Estimate(0.05, -0.01, 0.11)
    found = Dissociation(
        scope="conv1-conv2", mode="zero", interaction=clear, specificity=(unclear, unclear),
        contrast={"shape": Estimate(-0.05, -0.11, 0.01), "hue": unclear},
    )  # fmt: skip
    text = verdict_of([], [found], [])
    assert text.startswith(
        "One-sided dissociation: tower A off costs hue more than shape, measured against tower B off"
    )


def test_equal_lesions_are_no_dissociation():
    text = verdict((0.9, 0.9), (0.5, 0.6), (0.5, 0.6))
    assert text.startswith("No dissociation")
    assert text.endswith("points, conv1-conv2, zero).")


def test_under_the_null_a_dissociation_is_seldom_claimed():
    claims, shares = 0, {INTACT: (0.8, 0.8), A: (0.6, 0.5), B: (0.6, 0.5)}
    for seed in range(200):
        found = compare(answers(300, shares, seed), NAMES, rng(seed), resamples=300)
        claims += not verdict_of(*found, []).startswith("No dissociation")
    assert 1 <= claims <= 22  # 5 % of 200, 4 standard deviations


def test_beyond_the_random_lesions_on_the_wrong_side_is_not_beyond():
    text = verdict((0.9, 0.9), (0.85, 0.3), (0.3, 0.8), [controls_of(0, -0.5), controls_of(1, 0.5)])
    assert "neither tower's lesion is beyond" in text


def test_without_factors_the_costs_are_told():
    hits = {off: rows[:2] for off, rows in answers(500, {INTACT: (0.9, 0.9), A: (0.5, 0.5), B: (0.8, 0.8)}).items()}
    text = verdict_of(*compare(hits, (), rng(), resamples=500), [controls_of(0, 0.5), controls_of(1, 0.05)])
    assert text.startswith("Top-1 falls by: tower A off +")
    assert "; only tower A's lesion is beyond" in text


# Files.


@pytest.fixture
def report() -> LesionReport:
    hits = answers(60, {INTACT: (0.9, 0.8), A: (0.7, 0.3), B: (0.2, 0.6)})
    conditions, found = compare(hits, NAMES, rng(), resamples=50)
    controls = (controls_of(0, 0.5), controls_of(1, 0.0))
    return LesionReport(
        checkpoint="tiny", checkpoint_id="abc", dataset="prism-128", data_hash="f00", split="val", images=60,
        factors=NAMES, resamples=50, seed=0, reference="none", verdict=verdict_of(conditions, found, controls),
        conditions=conditions, dissociations=found, controls=controls,
    )  # fmt: skip


def checkpoint(identity: str = "abc") -> Checkpoint:
    return Checkpoint(None, {"name": "tiny", "id": identity}, None)


def test_a_result_comes_back_as_it_was_written(report):
    save_lesions(report, lesions_file(checkpoint()))
    assert load_lesions(checkpoint()) == report
    assert [path.name for path in lesions_file(checkpoint()).parent.iterdir()] == ["abc.json"]


def test_rows_are_found_by_what_they_are(report):
    assert report.condition(None) == report.conditions[0]
    assert report.condition(1, "conv1-conv2", "zero").tower == 1
    assert report.dissociation() == report.dissociations[0]
    assert report.dissociation("whole tower", "mean") is None
    with pytest.raises(ValueError, match="no result for tower 0, whole tower"):
        report.condition(0, "whole tower", "zero")


def test_ones_own_result_comes_before_the_shipped_one_and_another_nets_counts_as_absent(report, tmp_path, monkeypatch):
    monkeypatch.setattr(dissociation, "SHIPPED", tmp_path)
    assert load_lesions(checkpoint()) is None
    shipped = replace(report, verdict="shipped")
    save_lesions(shipped, tmp_path / "tiny.lesions.json")
    assert load_lesions(checkpoint()) == shipped
    assert load_lesions(checkpoint("other")) is None
    save_lesions(replace(report, checkpoint_id="other"), lesions_file(checkpoint()))
    assert load_lesions(checkpoint()) == shipped
    save_lesions(report, lesions_file(checkpoint()))
    assert load_lesions(checkpoint()) == report


def _truncate(text: str) -> str:
    return text[: len(text) // 2]


def _alter(text: str) -> str:
    return text.replace('"images": 60', '"images": 61')


def _other_format(text: str) -> str:
    return text.replace('"format_version": 1', '"format_version": 9')


def _without_verdict(text: str) -> str:
    whole = json.loads(text)
    del whole["report"]["verdict"]
    return json.dumps(whole | {"sha256": sha256_of_values(whole["report"])})


@pytest.mark.parametrize("damage", [_truncate, _alter, _other_format, _without_verdict, lambda text: "[]"])
def test_a_damaged_result_is_refused_by_name(report, tmp_path, damage):
    path = tmp_path / "result.json"
    save_lesions(report, path)
    whole = path.read_text()
    path.write_text(damage(whole))
    assert path.read_text() != whole
    with pytest.raises(ValueError, match=r"result.json is not a readable lesion result .*measure again"):
        read_lesions(path)
