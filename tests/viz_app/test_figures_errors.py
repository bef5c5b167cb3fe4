"""Figures, tables and sentences of the error browser: true to the predictions they are made from."""

import shlex
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from analysis import evaluate
from analysis.benchmarks.errors import simulate
from analysis.errors.calibration import calibration, risk_coverage
from analysis.errors.classes import class_rows
from analysis.errors.comparison import Comparison, compare
from analysis.errors.confusions import confused_pairs, confusion_counts
from analysis.errors.rates import rates
from analysis.stats import Interval, wilson_interval
from viz_app.figures import errors as figures

pytestmark = pytest.mark.usefixtures("checked_by_plotly")

NAMES = [f"thing {label}" for label in range(30)]


@pytest.fixture(scope="module")
def table():
    return simulate(3000, 30, np.random.default_rng(0))


@pytest.fixture(scope="module")
def answers(table) -> list[tuple[int, int]]:
    """(truth, guess) of every image."""
    return list(zip(table["label"].to_pylist(), table["guess"].to_pylist(), strict=True))


def with_column(table, name: str, values: np.ndarray):
    """The table with other values in one column."""
    return table.set_column(table.column_names.index(name), table.schema.field(name), pa.array(values))


def marks(figure) -> dict[tuple[int, int], tuple[str, str]]:
    """(row, column) of every mark, with the name of its kind and its hover text."""
    return {
        (int(y), int(x)): (trace.name, text)
        for trace in figure.data
        for x, y, text in zip(trace.x, trace.y, trace.hovertext, strict=True)
    }


@pytest.mark.parametrize("shares", [True, False])
@pytest.mark.parametrize("labels", [(3, 7, 8, 21), tuple(range(0, 30, 2))])
def test_every_cell_that_holds_images_has_one_mark_with_its_count(table, answers, labels, shares):
    counts = confusion_counts(table, labels)
    found = marks(figures.confusion_figure(counts, [NAMES[label] for label in labels], shares=shares))
    expected = Counter(
        (labels.index(true), labels.index(guess) if guess in labels else len(labels))
        for true, guess in answers
        if true in labels
    )
    assert set(found) == set(expected)
    rows = Counter(true for true, _ in answers)
    for (row, column), (name, text) in found.items():
        n = rows[labels[row]]
        assert text.endswith(f"<br>{expected[row, column]} of {n} ({expected[row, column] / n:.0%})")
        assert f"true: {NAMES[labels[row]]}<br>" in text
        kind = "right" if row == column else "other classes" if column == len(labels) else "wrong"
        assert name.startswith(kind)


@pytest.mark.parametrize("shares", [True, False])
def test_colours_are_the_numbers_and_more_images_make_bigger_marks(table, shares):
    labels = tuple(range(0, 30, 2))
    counts = confusion_counts(table, labels)
    wrong = figures.confusion_figure(counts, [NAMES[label] for label in labels], shares=shares).data[0]
    values = 100 * counts / counts.sum(1, keepdims=True) if shares else counts
    np.testing.assert_allclose(wrong.marker.color, values[wrong.y, wrong.x], rtol=1e-6)
    order = np.argsort(wrong.marker.color)
    assert (np.diff(np.array(wrong.marker.size)[order]) >= 0).all()
    assert wrong.marker.cmax == pytest.approx(max(wrong.marker.color))
    assert ("%" in wrong.marker.colorbar.title.text) == shares


def test_few_classes_have_their_numbers_in_the_cells(table):
    labels = tuple(range(figures.NUMBERED))
    counts = confusion_counts(table, labels)
    figure = figures.confusion_figure(counts, [NAMES[label] for label in labels], shares=False)
    for trace in figure.data:
        assert trace.text == tuple(str(counts[y, x]) for x, y in zip(trace.x, trace.y, strict=True))
    more = tuple(range(figures.NUMBERED + 1))
    plain = figures.confusion_figure(confusion_counts(table, more), [NAMES[label] for label in more], shares=False)
    assert all(trace.text is None for trace in plain.data)


def test_a_class_without_images_leaves_an_empty_row():
    counts = np.array([[5, 2, 1], [0, 0, 0]])
    found = marks(figures.confusion_figure(counts, ["a", "b"], shares=True))
    assert set(found) == {(0, 0), (0, 1), (0, 2)}


def test_a_class_name_cannot_bring_markup_into_the_matrix():
    figure = figures.confusion_figure(np.array([[1, 2, 0], [3, 1, 0]]), ["<b>a</b>", "b & c"], shares=False)
    assert figure.layout.yaxis.ticktext == ("&lt;b>a&lt;/b>", "b &amp; c")
    assert not any("<b>" in text for _, text in marks(figure).values())


def test_the_matrix_in_words_names_its_largest_confusion():
    counts = np.array([[40, 2, 8], [11, 30, 9]])
    text = figures.confusion_text(counts, ["cat", "dog"])
    assert "Right: 70 of 100 (70%)" in text
    assert "Largest confusions: dog called cat 11 of 50 (22%); cat called dog 2 of 50 (4%)." in text


def test_the_matrix_as_a_table_adds_up_to_the_images_of_each_class(table, answers):
    labels = (3, 7, 8)
    frame = figures.confusion_table(confusion_counts(table, labels), [NAMES[label] for label in labels])
    assert list(frame["true class"]) == ["thing 3", "thing 7", "thing 8"]
    assert list(frame["n"]) == [sum(true == label for true, _ in answers) for label in labels]
    inside = frame[["thing 3", "thing 7", "thing 8", "other classes"]]
    assert (inside.to_numpy().sum(1) == frame["n"]).all()


def test_pairs_have_the_counts_of_both_ways(table, answers):
    seen, rows = Counter(answers), Counter(true for true, _ in answers)
    pairs = confused_pairs(table, limit=20)
    frame = figures.pairs_table(pairs, NAMES)
    for pair, row in zip(pairs, frame.to_dict("records"), strict=True):
        first, second = NAMES.index(row["class"]), NAMES.index(row["other"])
        assert (first, second) == (pair.first, pair.second)
        assert (row["class_as_other"], row["other_as_class"]) == (seen[first, second], seen[second, first])
        assert (row["n_class"], row["n_other"]) == (rows[first], rows[second])
        assert row["both_ways"] == seen[first, second] + seen[second, first]
    assert f"{pairs[0].there} of {pairs[0].n_first} (" in figures.pair_text(pairs[0], NAMES)


def test_classes_are_told_as_they_are_in_the_predictions(table):
    rows = figures.by_top1(class_rows(table, NAMES))
    reading, numbers = figures.classes_table(rows, NAMES), figures.classes_csv(rows, NAMES)
    labels, ranks = table["label"].to_numpy(), table["rank"].to_numpy()
    for place, label in enumerate(numbers["label"]):
        mine = ranks[labels == label]
        assert numbers["n"][place] == reading["n"][place] == len(mine)
        assert numbers["top1"][place] == pytest.approx((mine == 0).mean())
        assert reading["top5"][place] == pytest.approx(100 * (mine < 5).mean())
        low, high = wilson_interval(int((mine == 0).sum()), len(mine))
        assert (numbers["top1_low"][place], numbers["top1_high"][place]) == (low, high)
        assert reading["top1_interval"][place] == f"[{100 * low:.1f}, {100 * high:.1f}]"
    assert numbers["top1"].is_monotonic_increasing
    worst, best = numbers["class"].iloc[[0, -1]]
    assert figures.classes_text(rows, NAMES) == (
        f"Top-1 of 30 classes goes from **{worst}** {numbers['top1'].min():.0%} to **{best}** "
        f"{numbers['top1'].max():.0%}."
    )


def test_a_class_without_images_comes_last_and_has_no_rate(table):
    rows = figures.by_top1(class_rows(table, [*NAMES, "nothing"]))
    frame = figures.classes_table(rows, [*NAMES, "nothing"])
    last = frame.iloc[-1]
    assert (last["class"], last["n"], last["top1_interval"], last["wrong_guess"]) == ("nothing", 0, "", "")
    assert np.isnan(last["top1"])
    assert figures.classes_text(rows, [*NAMES, "nothing"]).startswith("Top-1 of 30 classes")
    assert figures.classes_text(rows[-1:], [*NAMES, "nothing"]) == "No class has images here."


def test_the_reliability_diagram_draws_each_bin_with_its_interval(table):
    figure = figures.calibration_figure(calibration(table))
    confidence, right = table["confidence"].to_numpy(), table["rank"].to_numpy() == 0
    bins = np.ceil(confidence.astype(np.float64) * 15).astype(int)  # a bin holds its upper edge
    _, points, bars = figure.data
    for place, number in enumerate(np.unique(bins)):
        inside, hits = bins == number, int(right[bins == number].sum())
        assert points.x[place] == pytest.approx(100 * confidence[inside].mean(), rel=1e-5)
        assert points.y[place] == pytest.approx(100 * right[inside].mean(), rel=1e-5)
        low, high = wilson_interval(hits, int(inside.sum()))
        assert points.y[place] + points.error_y.array[place] == pytest.approx(100 * high, rel=1e-4)
        assert points.y[place] - points.error_y.arrayminus[place] == pytest.approx(100 * low, rel=1e-4, abs=1e-3)
        assert bars.y[place] == inside.sum()
        assert bars.x[place] == pytest.approx(100 * (number - 0.5) / 15)
    assert len(points.x) == len(np.unique(bins))
    assert len(figures.calibration_table(calibration(table))) == len(points.x)


def test_calibration_says_which_way_a_network_errs(table):
    sure = with_column(table, "confidence", np.full(3000, 0.99, np.float32))
    found = calibration(sure)
    wrong = float((table["rank"].to_numpy() > 0).mean())
    text = figures.calibration_text(found)
    assert f"**{100 * (0.99 - (1 - wrong)):.1f} points**" in text
    assert text.endswith(f"All in all this one is {100 * (0.99 - (1 - wrong)):.1f} points surer than it is right.")
    assert "over 3,000 images in 15 bins" in text
    assert f"reaches {100 * found.ece_by_chance:.1f} in one of 20" in text


def test_the_best_possible_order_answers_all_right_images_first(table):
    wrong = np.sort(table["rank"].to_numpy() > 0)
    n = len(wrong)
    coverage = np.arange(1, n + 1) / n
    np.testing.assert_allclose(
        figures.best_risk(coverage, wrong.mean()), wrong.cumsum() / np.arange(1, n + 1), atol=1e-12
    )


def test_the_risk_curve_starts_with_the_surest_and_ends_with_all(table):
    found = risk_coverage(table)
    figure = figures.risk_figure(found, rates(table.slice(0, 600)), 3000)
    curve, best, chance, chosen = figure.data
    wrong = (table["rank"].to_numpy() > 0)[np.argsort(-table["confidence"].to_numpy(), kind="stable")]
    for share, risk in list(zip(curve.x, curve.y, strict=True))[50::100]:
        assert risk == pytest.approx(100 * wrong[: round(30 * share)].mean(), abs=0.2)  # ties in any order
    assert curve.y[-1] == best.y[-1] == pytest.approx(100 * wrong.mean(), rel=1e-5)
    assert set(chance.y) == {100 * float(found.risk[-1])}
    assert chosen.x[0] == 20
    assert chosen.y[0] == pytest.approx(100 * (table["rank"].to_numpy()[:600] > 0).mean())
    assert len({line.line.dash for line in (curve, best, chance)}) == 3
    assert len(figures.risk_figure(found, None, 3000).data) == 3
    assert f"100% {wrong.mean():.1%}" in figures.risk_alt(found)
    assert f"**{found.aurc:.3f}**" in figures.risk_text(found)


def test_a_threshold_is_told_with_both_denominators(table):
    found = rates(table.slice(0, 600))
    text = figures.answered_text(0.8, found, 3000)
    assert text.startswith("Answering only when at least **80% sure**, the network answers **600 of 3,000 (20%)**")
    assert f"**{found.top1_wrong.hits / 600:.1%} [" in text
    assert "of 600** are wrong" in text
    assert figures.answered_text(0.8, None, 3000).endswith("would answer none of 3,000 images.")


@pytest.fixture(scope="module")
def second(table):
    """The same images and labels, other ranks."""
    return with_column(table, "rank", np.random.default_rng(1).permutation(table["rank"].to_numpy()))


@pytest.mark.parametrize("k", [1, 5])
def test_the_four_outcomes_are_counted_with_shares(table, second, k):
    found = compare(table, second, k)
    before, now = (each["rank"].to_numpy() < k for each in (table, second))
    lines = figures.two_by_two(found, "one", "other", k).splitlines()
    yes, no = lines[-2].split("|"), lines[-1].split("|")
    for cell, mask in (
        (yes[2], before & now),
        (yes[3], before & ~now),
        (no[2], ~before & now),
        (no[3], ~before & ~now),
    ):
        assert cell.strip().startswith(f"**{mask.sum():,}** ")
        assert f"({mask.mean():.1%})" in cell
    assert lines[0] == "Before: **one**. Now: **other**."
    assert {name: len(cell) for name, cell in figures.cells(found).items()} == {
        "fixed": (~before & now).sum(),
        "broken": (before & ~now).sum(),
        "wrong both times": (~before & ~now).sum(),
        "right both times": (before & now).sum(),
    }


def outcome(fixed: int, broken: int, p: float) -> Comparison:
    ends = np.cumsum([fixed, broken])
    parts = np.split(np.arange(100), ends)
    return Comparison(parts[2][:10], parts[0], parts[1], parts[2][10:], p, (fixed - broken) / 100, Interval(-0.2, 0.1))


def test_the_difference_is_told_with_its_interval_and_the_test_in_words():
    text = figures.difference_text(outcome(5, 20, 0.004077), 1)
    assert "changes by **−15.00 points** [−20.00, +10.00]" in text
    assert "Of the 25 images that only one of the two gets right, 5 were fixed and 20 broken." in text
    assert text.endswith("with p = 0.0041 (McNemar's exact test): very unlikely to be chance.")
    assert "unlikely to be chance" in figures.difference_text(outcome(5, 20, 0.03), 5)
    assert figures.difference_text(outcome(5, 6, 1.0), 5).endswith("no more than chance may do.")
    assert "p < 0.0001" in figures.difference_text(outcome(5, 6, 1e-12), 5)
    assert figures.difference_text(outcome(0, 0, 1.0), 1).endswith("there is nothing to test.")


def test_changes_of_classes_are_counted_and_the_largest_comes_first(table, second):
    frame = figures.changes_table(compare(table, second), table["label"].to_numpy(), NAMES)
    labels, before, now = (
        table["label"].to_numpy(),
        table["rank"].to_numpy() == 0,
        second["rank"].to_numpy() == 0,
    )
    assert sorted(frame["class"]) == sorted(NAMES)
    for row in frame.to_dict("records"):
        mine = labels == NAMES.index(row["class"])
        assert row["n"] == mine.sum()
        assert (row["right_before"], row["right_now"]) == ((before & mine).sum(), (now & mine).sum())
        assert (row["fixed"], row["broken"]) == ((now & ~before & mine).sum(), (before & ~now & mine).sum())
        assert row["change"] == row["right_now"] - row["right_before"]
    assert frame["change"].abs().is_monotonic_decreasing


def test_the_commands_are_ones_that_evaluate_understands(monkeypatch, capsys):
    def refuse(name: str) -> None:
        raise FileNotFoundError(f"no {name} here")

    monkeypatch.setattr(evaluate, "load_checkpoint", refuse)
    for line in figures.evaluate_commands("my net", "some-set", "val").splitlines():
        start, arguments = line.split("analysis.evaluate ")
        assert start == "python -m "
        with pytest.raises(SystemExit):
            evaluate.main(shlex.split(arguments))
        assert "no my net here" in capsys.readouterr().err
