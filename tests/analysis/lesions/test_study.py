"""The whole experiment on a network built so that tower A sees hue alone and tower B shape alone."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from alexnet_core import Checkpoint
from alexnet_core.model import AlexNet, build_model
from alexnet_core.prism import CLASS_NAMES
from analysis.lesions import study as lesion_study
from analysis.lesions.dissociation import INTACT, Off, lesions_file, load_lesions, read_lesions
from analysis.lesions.lesion import Lesion, matched_lesion, run_under, tower_lesion
from analysis.lesions.study import Bench, Journal, Plan, draw_donors, factors_of, main, spread, study
from tests.analysis.planted_world import IMAGES, LABELS, N, memory_store, planted_checkpoint

PLAN = Plan(controls=20, control_images=20, limit=40, reference=20, resamples=500, batch_size=20)


@pytest.fixture(scope="module")
def planted() -> Checkpoint:
    return planted_checkpoint()


def bench_of(planted: Checkpoint, **changes) -> Bench:
    bench = Bench(
        network=planted.model, preprocess=planted.preprocess, split=memory_store().split("val"),
        factors=factors_of(memory_store()), batch_size=50, device=torch.device("cpu"), progress=False,
    )  # fmt: skip
    return replace(bench, **changes)


def test_a_planted_double_dissociation_is_found_by_the_whole_experiment(planted):
    report = study(planted, memory_store(), replace(PLAN, controls=40, control_images=10))
    assert report.factors == ("shape", "hue")
    assert report.condition(None).accuracy["top1"].value > 0.95
    for mode in ("zero", "mean", "resample"):
        a, b = (report.condition(tower, "conv1-conv2", mode).drop for tower in (0, 1))
        assert min(a["hue"].value, b["shape"].value) > 0.8
        assert a["shape"].value < 0.05
        assert b["hue"].value < a["hue"].value - 0.3
        assert report.dissociation("conv1-conv2", mode).interaction.low > 0.5
    assert report.verdict.startswith("Double dissociation: tower A off costs ")
    assert "both towers' lesions are beyond 40 random ones of the same size" in report.verdict
    assert (report.images, report.resamples, report.checkpoint_id, report.split) == (40, 500, "0123", "val")
    assert len(report.conditions) == 13
    assert report.reference == "20 images of val"


def test_the_random_lesions_match_and_are_ranked_on_the_same_images(planted):
    report = study(planted, memory_store(), replace(PLAN, modes=("zero",), limit=20))
    for tower, control in enumerate(report.controls):
        observed = report.condition(tower, "conv1-conv2", "zero").drop  # of the same 20 images
        assert (control.tower, control.n, control.images, control.precision) == (tower, 20, 20, "float32")
        assert control.units == {"relu1": 48, "relu2": 128}
        assert max(control.norm_error.values()) < 0.05
        assert all(0.3 < share < 0.7 for share in control.overlap.values())
        assert list(control.ranks) == ["top1", "top5", "shape", "hue", "hue - shape"]
        for name in ("top1", "top5", "shape", "hue"):
            rank = control.ranks[name]
            assert rank.observed == pytest.approx(observed[name].value)
            assert rank.rank == sum(value < rank.observed for value in rank.controls)
            assert len(rank.controls) == 20
    extremes = [control.ranks["hue - shape"] for control in report.controls]
    assert [rank.rank for rank in extremes] == [20, 0]
    assert [rank.p_value for rank in extremes] == pytest.approx([2 / 21, 2 / 21])
    first, second = (control.ranks["shape"].controls for control in report.controls)
    assert first != second


def test_donors_and_random_lesions_are_those_that_the_seed_draws_for_each_tower(planted):
    report = study(planted, memory_store(), replace(PLAN, modes=("resample",), controls=3))
    donor_rng, _, *control_rngs = np.random.default_rng(PLAN.seed).spawn(4)
    bench, rows = bench_of(planted), spread(N, 40)
    donors = bench.batch(rows[draw_donors(40, donor_rng)])
    guess = run_under(
        planted.model, bench.batch(rows), [tower_lesion(planted.model, 0, mode="resample")], donors=donors
    )
    share = (guess[0].argmax(1).numpy() % 10 == LABELS[rows] % 10).mean()
    assert report.condition(0, "conv1-conv2", "resample").accuracy["hue"].value == pytest.approx(share)
    rows = spread(N, 20)
    for tower, rng in enumerate(control_rngs):
        drawn = [matched_lesion(planted.model, tower_lesion(planted.model, tower), rng).lesion for _ in range(3)]
        guess = run_under(planted.model, bench.batch(rows), [Lesion(), *drawn]).argmax(2).numpy()
        shares = (guess // 10 == LABELS[rows] // 10).mean(1)
        assert report.controls[tower].ranks["shape"].controls == pytest.approx(shares[0] - shares[1:])


def test_what_is_right_equals_a_run_image_by_image(planted, tmp_path):
    lesions = [Lesion(), tower_lesion(planted.model, 0), tower_lesion(planted.model, 1, "whole tower", "resample")]
    rows, donors = np.array([3, 50, 7, 111, 190]), np.array([50, 3, 111, 190, 7])
    journal = Journal(tmp_path / "journal.npz", "key")
    hits = bench_of(planted, batch_size=2).hits(lesions, rows, journal, label="", donors=donors)
    assert hits.shape == (3, 4, 5)
    for place, (row, donor) in enumerate(zip(rows, donors, strict=True)):
        image, other = (planted.preprocess.centre(torch.from_numpy(IMAGES[[i]])) for i in (row, donor))
        guesses = run_under(planted.model, image, lesions, donors=other).argmax(2)[:, 0].tolist()
        for lesion, guess in enumerate(guesses):
            truth = LABELS[row]
            wanted = [guess == truth, guess // 10 == truth // 10, guess % 10 == truth % 10]
            assert hits[lesion, [0, 2, 3], place].tolist() == wanted


def test_a_resampled_tower_a_gives_the_donors_hue_and_the_own_shape(planted):
    rows = np.arange(0, N, 5)
    batch = bench_of(planted).batch
    lesion = tower_lesion(planted.model, 0, mode="resample")
    guess = run_under(planted.model, batch(rows), [lesion], donors=batch(rows[::-1].copy()))[0].argmax(1).numpy()
    assert (guess // 10 == LABELS[rows] // 10).mean() > 0.9
    assert (guess % 10 == LABELS[rows[::-1]] % 10).mean() > 0.9


def test_a_killed_run_goes_on_where_it_stopped_and_ends_the_same(planted, monkeypatch):
    plan = replace(PLAN, controls=12, control_images=40)
    whole = study(planted, memory_store(), plan)
    lesion_study.discard_unfinished(planted)
    calls = []

    def counting(*arguments, **more):
        calls.append(len(arguments[2]))
        if len(calls) == stop:
            raise KeyboardInterrupt
        return run_under(*arguments, **more)

    monkeypatch.setattr(lesion_study, "run_under", counting)
    for stop in (2, 6, None):  # in the second block of the table; in the second block of the controls; never
        if stop:
            with pytest.raises(KeyboardInterrupt):
                study(planted, memory_store(), plan)
        else:
            assert study(planted, memory_store(), plan) == whole
    # 13 lesions on two blocks, then 27 lesions, at most 25 at once, on two blocks; what was broken off comes twice.
    assert calls == [13, 13, 13, 25, 2, 25, 25, 2]
    lesion_study.discard_unfinished(planted)
    assert list(lesions_file(planted).parent.iterdir()) == []


def test_a_journal_of_another_measurement_or_a_torn_one_counts_as_absent(tmp_path):
    journal, hits = Journal(tmp_path / "new" / "j.npz", "key"), np.array([[[True, False]]])
    assert journal.load() is None
    journal.save(hits)
    assert np.array_equal(journal.load(), hits)
    assert journal._replace(key="other").load() is None
    whole = journal.path.read_bytes()
    for torn in (whole[:-30], whole[:10], b""):
        journal.path.write_bytes(torn)
        assert journal.load() is None


def test_other_plans_do_not_take_up_what_was_left(planted):
    first = study(planted, memory_store(), replace(PLAN, controls=0, limit=10))
    second = study(planted, memory_store(), replace(PLAN, controls=0, limit=15))
    assert (first.images, second.images) == (10, 15)
    assert first.controls == second.controls == ()


def test_the_seed_decides_and_nothing_else(planted):
    plan = replace(PLAN, limit=10, controls=2, control_images=10)
    first = study(planted, memory_store(), plan)
    lesion_study.discard_unfinished(planted)
    assert study(planted, memory_store(), plan) == first
    other = study(planted, memory_store(), replace(plan, seed=1))
    assert other.controls[0].ranks != first.controls[0].ranks
    assert other.condition(0, "whole tower", "zero").accuracy["hue"].value == pytest.approx(
        first.condition(0, "whole tower", "zero").accuracy["hue"].value
    )


def test_bfloat16_controls_come_out_close_to_float32(planted):
    plan = replace(PLAN, modes=("zero",), controls=5, limit=10, control_images=40)
    exact, fast = (study(planted, memory_store(), replace(plan, bfloat16=choice)) for choice in (False, True))
    assert fast.conditions == exact.conditions
    for one, two in zip(exact.controls, fast.controls, strict=True):
        assert two.precision == "bfloat16"
        assert np.abs(np.subtract(one.ranks["hue"].controls, two.ranks["hue"].controls)).max() < 0.1


def test_the_network_is_left_as_it_was(planted):
    before = {name: value.clone() for name, value in planted.model.state_dict().items()}
    study(planted, memory_store(), replace(PLAN, limit=10, controls=1, control_images=10))
    assert all(torch.equal(value, before[name]) for name, value in planted.model.state_dict().items())
    assert planted.model.stages["conv2"].weight.is_contiguous()


def test_each_image_has_another_one_as_donor_and_each_gives_once():
    for n in (2, 3, 50):
        donors = draw_donors(n, np.random.default_rng(n))
        assert sorted(donors) == list(range(n))
        assert (donors != np.arange(n)).all()


def test_images_are_spread_over_the_whole_split():
    assert spread(11, 3).tolist() == [0, 5, 10]
    assert spread(5, None).tolist() == spread(5, 9).tolist() == [0, 1, 2, 3, 4]
    assert len(set(spread(5000, 4999))) == 4999


def test_a_data_set_without_factors_has_the_plain_table(planted):
    classes = tuple(f"class {i}" for i in range(100))
    own = planted._replace(card=planted.card | {"classes": [{"id": name, "name": name} for name in classes]})
    report = study(own, memory_store(classes), replace(PLAN, modes=("zero",), controls=3))
    assert (report.factors, report.dissociations) == ((), ())
    assert set(report.conditions[1].drop) == {"top1", "top5"}
    assert list(report.controls[0].ranks) == ["top1", "top5"]
    assert report.verdict.startswith("Top-1 falls by: tower A off +")
    assert "shape" not in lesion_study.report_text(report)


def test_the_factors_of_a_prism_are_those_its_class_names_tell():
    factors = factors_of(memory_store())
    for label, name in enumerate(CLASS_NAMES):
        same_hue, same_shape = (
            [other for other, values in enumerate(factor) if values == factor[label]]
            for factor in (factors["hue"], factors["shape"])
        )
        hue, shape = name.split()
        assert {CLASS_NAMES[i].split()[0] for i in same_hue} == {hue}
        assert {CLASS_NAMES[i].split()[1] for i in same_shape} == {shape}
        assert len(same_hue) == len(same_shape) == 10


def test_what_cannot_be_compared_is_refused(planted, tiny_model: AlexNet):
    with pytest.raises(ValueError, match="in order"):
        study(planted, memory_store(tuple(CLASS_NAMES)[::-1]), PLAN)
    one = build_model("chm145", 100, input_size=63, towers=1, generator=torch.Generator().manual_seed(0)).eval()
    with pytest.raises(ValueError, match="must have 2, this one has 1"):
        study(planted._replace(model=one), memory_store(), PLAN)
    for wrong in ({"limit": 1}, {"control_images": 0}, {"controls": -1}, {"modes": ()}):
        with pytest.raises(ValueError, match="must be"):
            replace(PLAN, **wrong)


OPTIONS = ["planted", "--limit", "20", "--controls", "3", "--control-images", "10", "--reference", "10",
           "--resamples", "100", "--modes", "zero", "mean"]  # fmt: skip


@pytest.fixture
def command(planted, monkeypatch):
    monkeypatch.setattr(lesion_study, "load_checkpoint", lambda name: planted)
    monkeypatch.setattr(lesion_study, "open_dataset", lambda name: memory_store())
    return main


def test_the_command_prints_a_table_and_keeps_the_result(command, planted, capsys):
    command(OPTIONS)
    text = capsys.readouterr().out
    report = load_lesions(planted)
    assert report.verdict in text
    assert [path.name for path in lesions_file(planted).parent.iterdir()] == ["0123.json"]
    for words in ("intact", "tower A off, conv1-conv2, zero", "tower B off, whole tower, mean", "3 random lesions"):
        assert words in text
    drop = report.condition(0, "conv1-conv2", "zero").drop["hue"]
    assert f"{100 * drop.value:+.1f} [{100 * drop.low:+.1f}, {100 * drop.high:+.1f}]" in text


def test_the_command_writes_json_where_it_is_told_to(command, planted, capsys, tmp_path):
    command([*OPTIONS, "--json", "--to", str(tmp_path / "sub" / "result.json")])
    report = read_lesions(tmp_path / "sub" / "result.json")
    assert json.loads(capsys.readouterr().out) == report.to_json()
    assert load_lesions(planted) is None
    assert report.condition(*INTACT) == report.conditions[0]
    assert report.condition(*Off(1, "whole tower", "mean")).tower == 1


def test_the_command_says_what_is_wrong_in_one_line(command, capsys):
    with pytest.raises(SystemExit):
        command(["planted", "--controls", "-3"])
    assert "0 or more controls" in capsys.readouterr().err
