"""The whole measurement on a network whose tower A sees hue alone and whose tower B sees luma alone."""

import json
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from alexnet_core import Checkpoint, geometry
from alexnet_core.colour import LUMA
from alexnet_core.model import build_model
from analysis.lesions import photographs as photo_lesions
from analysis.lesions.lesion import Lesion, matched_lesion, run_under, tower_lesion, unit_means
from analysis.lesions.photo_dissociation import answers_of
from analysis.lesions.photographs import (
    Plan,
    complement,
    discard_unfinished,
    load_photos,
    main,
    measure_network,
    photo_file,
    report_text,
    study,
    tower_lesions,
)
from analysis.sealed import read_sealed, save_sealed
from analysis.stimuli import STIMULI, photo_stimulus
from tests.analysis.planted_world import IMAGES, LABELS, N, memory_store, planted_checkpoint

PLAN = Plan(limit=100, stimuli=("colour", "grey"), halves=0, resamples=100)


@pytest.fixture(scope="module")
def planted() -> Iterator[Checkpoint]:
    """With 512 units in fc6 and fc7, which are enough for 200 images."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(geometry, "FC_UNITS", 512)
        yield planted_checkpoint(LUMA)


def test_colour_is_worth_nothing_where_only_the_tower_that_sees_luma_is_left(planted):
    report = study(planted, memory_store(), replace(PLAN, limit=None, stimuli=STIMULI, resamples=500))
    for contrast in report.contrasts:
        if contrast.more == "colour":  # the same luma either way: tower B cannot tell
            assert contrast.advantage["top1"][1].value == 0
            assert contrast.advantage["log p"][1].value == pytest.approx(0, abs=1e-4)
    colour = report.contrasts[0]
    assert colour.advantage["top1"][0].low > 0.7
    assert colour.advantage["log p"][2].low > 0.2
    assert colour.interaction["log p"].high < -0.2  # below zero: tower A carries it
    assert report.row("chroma only").difference["log p"].high < 0
    assert report.row("grey").difference["log p"].low > 0
    assert [row.stimulus for row in report.rows] == list(STIMULI)
    assert (report.images, report.scope, report.mode) == (200, "conv1-conv2", "zero")


def test_the_tower_that_carries_colour_is_beyond_random_halves(planted):
    report = study(planted, memory_store(), replace(PLAN, limit=20, halves=20, halves_images=40))
    (half,) = report.halves
    assert (half.n, half.images) == (20, 40)
    assert max(half.norm_error.values()) < 0.02
    assert all(0.3 < share < 0.7 for share in half.overlap.values())
    assert half.interaction["log p"].rank in (0, 20)
    assert half.interaction["log p"].p_value == pytest.approx(2 / 21)


def test_the_answers_behind_the_table_are_those_of_a_run_image_by_image(planted):
    report = study(planted, memory_store(), replace(PLAN, limit=7, scope="whole tower"))
    rows = [0, 33, 66, 99, 132, 165, 199]
    lesions = [Lesion(), *(tower_lesion(planted.model, tower, "whole tower") for tower in (0, 1))]
    for stimulus in PLAN.stimuli:
        found = []
        for row in rows:
            shown = photo_stimulus(torch.from_numpy(IMAGES[row : row + 1]), stimulus)
            logits = run_under(planted.model, planted.preprocess.centre(shown), lesions)
            found.append(answers_of(logits, torch.tensor([int(LABELS[row])]))[:, :, 0])
        means = np.mean(found, 0)
        for place, metric in enumerate(("top1", "top5", "log p")):
            assert [each.value for each in report.row(stimulus).score[metric]] == pytest.approx(
                means[:, place], rel=1e-3
            )


def test_the_cheap_measurement_gives_the_same_numbers(planted):
    report = study(planted, memory_store(), replace(PLAN, limit=None))
    table = measure_network(planted.model, planted.preprocess, IMAGES, LABELS, np.random.default_rng(0), resamples=50)
    for one, two in zip(table.rows, report.rows, strict=True):
        assert one.stimulus == two.stimulus
        for metric in ("top1", "log p"):
            values = ([each.value for each in row.score[metric]] for row in (one, two))
            assert next(values) == pytest.approx(next(values), rel=1e-4)


def test_silenced_towers_can_give_their_means(planted):
    report = study(planted, memory_store(), replace(PLAN, limit=30, mode="mean", reference=50))
    means_lost = report.row("colour").drop["log p"][0].value
    zeros = study(planted, memory_store(), replace(PLAN, limit=30)).row("colour").drop["log p"][0].value
    assert means_lost > 0
    assert means_lost != pytest.approx(zeros, rel=1e-3)


def test_a_killed_run_goes_on_where_it_stopped_and_ends_the_same(planted, monkeypatch):
    plan = replace(PLAN, limit=None, halves=1, halves_images=100)
    whole = study(planted, memory_store(), plan)
    discard_unfinished(planted)
    calls = []

    def counting(*arguments, **more):
        calls.append(1)
        if len(calls) == stop:
            raise KeyboardInterrupt
        return run_under(*arguments, **more)

    monkeypatch.setattr(photo_lesions, "run_under", counting)
    for stop in (4, 13, None):  # in the second of four blocks of two stimuli; in the halves; never
        if stop:
            with pytest.raises(KeyboardInterrupt):
                study(planted, memory_store(), plan)
        else:
            assert study(planted, memory_store(), plan) == whole
    # Four blocks and two blocks of two stimuli; of the two broken blocks what had come of them comes twice.
    assert len(calls) == 12 + 2 + 1
    discard_unfinished(planted)
    assert list(photo_file(planted).parent.iterdir()) == []


def test_other_plans_do_not_take_up_what_was_left(planted):
    first, second = (study(planted, memory_store(), replace(PLAN, limit=limit)) for limit in (10, 15))
    assert (first.images, second.images) == (10, 15)
    whole_tower = study(planted, memory_store(), replace(PLAN, limit=10, scope="whole tower"))
    assert whole_tower.row("colour").score["log p"][1] != first.row("colour").score["log p"][1]
    assert whole_tower.row("colour").score["log p"][0].value == first.row("colour").score["log p"][0].value


def test_the_halves_are_those_that_the_seed_draws_and_go_with_their_complements(planted):
    report = study(planted, memory_store(), replace(PLAN, limit=10, halves=2, halves_images=20, mode="mean"))
    model, rows = planted.model, np.arange(20) * 199 // 19
    lesion = tower_lesion(model, 0, mode="mean")
    shown = planted.preprocess.centre(torch.from_numpy(IMAGES))
    means = unit_means(model, [shown], list(lesion.units))
    halves_rng = np.random.default_rng(PLAN.seed).spawn(1)[0]
    for place in range(2):
        half = matched_lesion(model, lesion, halves_rng).lesion
        rest = complement(model, half)
        for stage, units in half.units.items():
            assert sorted([*units, *rest.units[stage]]) == list(range(2 * len(units)))
        logits = run_under(model, shown[rows], [Lesion(), half, rest], means=means)
        log_p = answers_of(logits, torch.from_numpy(LABELS[rows]))[:, 2].mean(1)
        for side, rank in enumerate(report.halves[0].drop["log p"]):
            assert rank.controls[place] == pytest.approx(log_p[0] - log_p[1 + side], rel=1e-3)


def test_the_network_is_left_as_it_was(planted):
    before = {name: value.clone() for name, value in planted.model.state_dict().items()}
    study(planted, memory_store(), replace(PLAN, limit=10))
    assert all(torch.equal(value, before[name]) for name, value in planted.model.state_dict().items())
    assert planted.model.stages["conv2"].weight.is_contiguous()


def test_what_cannot_be_measured_is_refused(planted):
    one = build_model("chm145", 100, input_size=63, towers=1, generator=torch.Generator().manual_seed(0)).eval()
    with pytest.raises(ValueError, match="must have 2, this one has 1"):
        study(planted._replace(model=one), memory_store(), PLAN)
    with pytest.raises(ValueError, match="must have 2, this one has 1"):
        tower_lesions(one)
    with pytest.raises(ValueError, match="in order"):
        study(planted, memory_store(tuple(memory_store().classes)[::-1]), PLAN)
    for wrong in ({"limit": 1}, {"halves_images": 0}, {"halves": -1}, {"stimuli": ("colour",)}):
        with pytest.raises(ValueError, match="must be"):
            replace(PLAN, **wrong)
    with pytest.raises(ValueError, match="'low-pass' was not shown"):
        study(planted, memory_store(), replace(PLAN, limit=4)).row("low-pass")


def test_ones_own_result_comes_before_the_shipped_one_and_another_nets_counts_as_absent(planted, tmp_path, monkeypatch):
    monkeypatch.setattr(photo_lesions, "SHIPPED", tmp_path)
    report = study(planted, memory_store(), replace(PLAN, limit=10))
    assert load_photos(planted) is None
    save_sealed(replace(report, verdict="shipped"), tmp_path / "planted.photos.lesions.json")
    assert load_photos(planted).verdict == "shipped"
    save_sealed(replace(report, checkpoint_id="other"), photo_file(planted))
    assert load_photos(planted).verdict == "shipped"
    save_sealed(report, photo_file(planted))
    assert load_photos(planted) == report


@pytest.fixture
def command(planted, monkeypatch):
    monkeypatch.setattr(photo_lesions, "load_checkpoint", lambda name: planted)
    monkeypatch.setattr(photo_lesions, "open_dataset", lambda name: memory_store())
    return main


OPTIONS = ["planted", "--limit", "200", "--stimuli", "colour", "grey", "--halves", "2", "--halves-images", "10",
           "--resamples", "50"]  # fmt: skip


def test_the_command_prints_a_table_and_keeps_the_result(command, planted, capsys):
    command(OPTIONS)
    text = capsys.readouterr().out
    report = load_photos(planted)
    assert text == report_text(report) + "\n"
    assert report.verdict in text
    assert [path.name for path in photo_file(planted).parent.iterdir()] == ["0123.photos.lesions.json"]
    interaction = report.contrasts[0].interaction["top1"]
    assert f"{100 * interaction.value:+.1f} [{100 * interaction.low:+.1f}, {100 * interaction.high:+.1f}]" in text
    for words in ("colour - grey", "2 random halves and their complements", "25 colour-dependent classes"):
        assert words in text


def test_the_command_writes_json_where_it_is_told_to(command, planted, capsys, tmp_path):
    command([*OPTIONS, "--json", "--to", str(tmp_path / "sub" / "result.json")])
    report = read_sealed(tmp_path / "sub" / "result.json", type(study(planted, memory_store(), replace(PLAN, limit=4))))
    assert json.loads(capsys.readouterr().out) == report.to_json()
    assert load_photos(planted) is None


def test_the_command_says_what_is_wrong_in_one_line(command, capsys):
    with pytest.raises(SystemExit):
        command(["planted", "--halves", "-3"])
    assert "0 or more halves" in capsys.readouterr().err


def test_all_images_are_used_once():
    assert sum(block.stop - block.start for block in photo_lesions._blocks(N)) == N
