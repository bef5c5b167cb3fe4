"""Figures and sentences of the Towers page: true to their numbers, valid for plotly, readable without colour."""

import re
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import pytest

from alexnet_core.prism import CLASS_NAMES, HUES, SHAPES, hue_of, shape_of
from analysis.lesions.dissociation import points
from analysis.lesions.lesion import MODES, SCOPES
from viz_app.figures import lesions as figures
from viz_app.figures.theme import TOWER_MARKS
from viz_app.switches import Switches

A_OFF = Switches((0,), "conv1-conv2", "zero")
NOTHING = Switches((), "conv1-conv2", "zero")


pytestmark = pytest.mark.usefixtures("checked_by_plotly")


@pytest.fixture(scope="module")
def guesses() -> np.ndarray:
    values = np.random.default_rng(0).random((2, 100)) ** 8
    return values / values.sum(1, keepdims=True)


@pytest.fixture(scope="module")
def report(make_report):
    return make_report()


def answers(before: str, after: str) -> np.ndarray:
    """Probabilities under which the two best guesses are these, at 81 % and 44 %."""
    found = np.full((2, 100), 0.001)
    found[0, CLASS_NAMES.index(before)], found[1, CLASS_NAMES.index(after)] = 0.81, 0.44
    return found


def plain(text: str) -> str:
    """A sentence without its swatches and emphasis."""
    return re.sub(r"!\[\]\(\S*\)\s|\*\*|\\", "", text)


def real_bars(figure: go.Figure) -> list:
    return [trace for trace in figure.data if trace.x[0] is not None]


def test_sums_over_shapes_and_hues_are_those_of_the_labels_one_by_one(guesses):
    shapes, hues = figures.by_factor(guesses)
    labels = np.arange(100)
    for place in range(10):
        np.testing.assert_allclose(shapes[:, place], guesses[:, shape_of(labels) == place].sum(1))
        np.testing.assert_allclose(hues[:, place], guesses[:, hue_of(labels) == place].sum(1))


def test_factors_are_known_for_prism_s_classes_alone():
    assert figures.knows_factors(list(CLASS_NAMES))
    assert not figures.knows_factors(list(CLASS_NAMES[::-1]))
    assert not figures.knows_factors(SHAPES)


@pytest.mark.parametrize(
    ("after", "change"),
    [
        ("lime star", "the hue changed, the shape stayed"),
        ("teal ring", "the hue stayed, the shape changed"),
        ("lime ring", "hue and shape both changed"),
        ("teal star", "the answer stayed"),
    ],
)
def test_the_answer_says_what_changed(after, change):
    text = figures.answer_text("teal star", CLASS_NAMES, answers("teal star", after), A_OFF)
    assert plain(text) == f"Truth: teal star. Intact: teal star (81%). Tower A off: {after} (44%): {change}."


def test_the_answer_names_what_came_from_the_donor():
    text = figures.answer_text("", CLASS_NAMES, answers("teal star", "lime ring"), A_OFF, donor="lime cross")
    assert plain(text).endswith("the hue changed to the donor's, the shape changed.")


def test_the_answer_with_nothing_off_is_the_intact_one():
    text = plain(figures.answer_text("teal star", CLASS_NAMES, answers("teal star", "lime ring"), NOTHING))
    assert text == "Truth: teal star. Intact: teal star (81%)."


def test_classes_without_factors_only_change_or_stay():
    assert figures.change_text("tabby cat", "hot dog", "", factors=False) == "the answer changed"


def test_listed_are_the_first_top_five_and_the_best_three_of_each_other_row_once(guesses):
    four = np.concatenate([guesses, guesses[:, ::-1]])
    listed = figures.listed_classes(four)
    tops = [set(np.argsort(-row)[: 5 if place == 0 else 3]) for place, row in enumerate(four)]
    assert set(listed) == set.union(*tops)
    assert len(set(listed)) == len(listed)
    assert set(listed[:5]) == tops[0]


def test_the_table_of_guesses_holds_colour_and_grey_intact_and_without(guesses):
    table = figures.guess_table(list(CLASS_NAMES), guesses, "Tower A off", guesses[::-1])
    assert list(table) == ["class", "intact", "Tower A off", "intact, in grey", "Tower A off, in grey"]
    np.testing.assert_array_equal(table["intact, in grey"], guesses[1])
    assert list(figures.guess_table(list(CLASS_NAMES), guesses, "", guesses)) == ["class", "intact", "intact, in grey"]


def test_pairs_of_bars_carry_the_numbers_and_differ_in_more_than_colour(guesses):
    _, hues = figures.by_factor(guesses)
    names = [hue.name for hue in HUES]
    figure = figures.guess_pairs(names, hues, [hue.hex for hue in HUES], "Tower A off", "teal")
    bars = real_bars(figure)
    for bar, values in zip(bars, hues, strict=True):
        np.testing.assert_allclose(bar.x, values, rtol=1e-6)
        assert bar.text == tuple(f"{value:.0%}" for value in values)
        assert bar.marker.color == tuple(hue.hex for hue in HUES)
    assert [bar.marker.pattern.shape for bar in bars] == [None, "/"]
    ticks = figure.layout.yaxis.ticktext
    assert [tick.removeprefix("✓ ") for tick in ticks] == names
    assert [tick for tick in ticks if tick.startswith("✓")] == ["✓ teal"]
    assert [trace.name for trace in figure.data if trace.showlegend is not False] == ["intact", "Tower A off"]


def test_with_nothing_off_there_is_one_bar_a_row(guesses):
    figure = figures.guess_pairs(SHAPES, figures.by_factor(guesses)[0], [""] * 10, "")
    assert len(real_bars(figure)) == 1
    assert "then" not in figures.pairs_text("shapes", SHAPES, figures.by_factor(guesses)[0], "")


def test_a_class_name_cannot_bring_markup_into_a_figure(guesses):
    figure = figures.guess_pairs(["<b>a</b> & b"], guesses[:, :1], [""], "")
    assert figure.layout.yaxis.ticktext == ("&lt;b>a&lt;/b> &amp; b",)


def test_the_bars_in_words_name_every_number(guesses):
    shapes, _ = figures.by_factor(guesses)
    text = figures.pairs_text("shapes", SHAPES, shapes, "Tower A off")
    for name, before, after in zip(SHAPES, *shapes, strict=True):
        assert f"{name} {before:.0%} then {after:.0%}" in text


def test_every_measured_drop_is_a_dot_with_its_interval_in_the_row_of_its_name(report):
    figure = figures.drops_figure(report)
    assert len(figure.data) == 2 * len(SCOPES)
    for place, scope in enumerate(SCOPES):
        rows = [(tower, mode) for tower in (0, 1) for mode in MODES]
        axis = figure.layout[f"yaxis{place + 1 if place else ''}"]
        assert axis.ticktext == tuple(f"{TOWER_MARKS[t].glyph} {'AB'[t]} off, {mode}" for t, mode in rows)
        for trace, factor in zip(figure.data[2 * place :], ("shape", "hue"), strict=False):
            assert trace.name == factor
            drops = [report.condition(tower, scope, mode).drop[factor] for tower, mode in rows]
            np.testing.assert_allclose(trace.x, [100 * drop.value for drop in drops], rtol=1e-5)
            np.testing.assert_allclose(trace.x + trace.error_x.array, [100 * d.high for d in drops], rtol=1e-4)
            np.testing.assert_allclose(trace.x - trace.error_x.arrayminus, [100 * d.low for d in drops], rtol=1e-4)
            np.testing.assert_array_equal(np.round(trace.y), range(6))


def test_the_two_measures_differ_in_their_markers(report):
    shape, hue = figures.drops_figure(report).data[:2]
    assert shape.marker.symbol != hue.marker.symbol
    assert (shape.showlegend, hue.showlegend) == (True, True)


def test_without_factors_the_measures_are_top_1_and_top_5(make_report):
    report = make_report(factors=False)
    assert [trace.name for trace in figures.drops_figure(report).data[:2]] == ["top-1", "top-5"]
    assert figures.statistic_name(report) == "top-1 drop"
    assert figures.random_figure(report)
    assert "shape" not in figures.drops_text(report)


def test_a_mode_that_was_not_measured_has_no_row(make_report):
    whole = make_report()
    part = replace(whole, conditions=tuple(row for row in whole.conditions if row.mode in (None, "mean")))
    figure = figures.drops_figure(part)
    assert figure.layout.yaxis.ticktext == ("● A off, mean", "◆ B off, mean")


def test_the_table_and_the_csv_hold_every_number(report):
    table, csv = figures.drops_table(report), figures.drops_csv(report)
    assert len(table) == 1 + 2 * 6
    assert len(csv) == 4 * len(table)
    row = report.condition(1, "whole tower", "mean")
    shown = table[(table.off == "◆ B") & (table.layers == "whole tower") & (table.how == "mean")].iloc[0]
    assert shown["hue drop"] == points(row.drop["hue"])
    assert shown["images"] == 500
    kept = csv[
        (csv.tower_off == "B") & (csv.layers == "whole tower") & (csv["mode"] == "mean") & (csv.measure == "hue")
    ]
    assert kept.iloc[0][["drop", "drop_low", "drop_high"]].tolist() == [
        row.drop["hue"].value,
        row.drop["hue"].low,
        row.drop["hue"].high,
    ]


def test_the_interaction_is_said_with_its_interval_and_direction(report):
    row = report.dissociation("conv1-conv2", "zero")
    text = figures.interaction_text(row, report.factors)
    assert points(row.interaction) in text
    assert "tower A off costs hue (rather than shape) more than tower B off does" in text
    assert figures.interaction_table(report)["interaction"][0] == points(row.interaction)


def test_every_random_lesion_is_a_ring_in_the_row_of_the_tower_it_stands_in_for(report):
    figure = figures.random_figure(report)
    for place, control in enumerate(report.controls):
        rings, own = figure.data[2 * place : 2 * place + 2]
        rank = control.ranks["hue - shape"]
        np.testing.assert_allclose(rings.x, 100 * np.array(rank.controls), rtol=1e-4)
        assert np.abs(rings.y - place).max() <= 0.25
        assert (own.x, own.y) == ((100 * rank.observed,), (place,))
        assert own.marker.symbol == TOWER_MARKS[place].symbol
        assert f"{100 * rank.observed:+.1f}" in figure.layout.annotations[place].text


def test_a_lesion_beyond_all_random_ones_is_said_to_be_and_one_among_them_is_not(report):
    above, below = (figures.random_text(control, "hue - shape") for control in report.controls)
    assert "above all 200 random lesions" in above
    assert "below all 200 random lesions" in below
    assert "very unlikely to be chance" in above
    rank = replace(report.controls[0].ranks["hue"], rank=120, p_value=0.8)
    among = figures.random_text(replace(report.controls[0], ranks={"hue": rank}), "hue")
    assert "above 120 of 200 random lesions (p = 0.8, two-sided: no more than chance may do)" in among


def test_how_well_random_lesions_match_is_stated(report):
    text = figures.matching_text(report.controls)
    assert "48 units of conv1 and 128 units of conv2" in text
    assert "within 0.9%" in text
    assert "50% in conv1 and 52% in conv2" in text
    assert "same 100 images" in text


def test_random_lesions_can_be_taken_along(report):
    table = figures.random_csv(report)
    assert len(table) == 2 * 201
    own = table[table.lesion == "tower"]["hue - shape drop"].tolist()
    assert own == [control.ranks["hue - shape"].observed for control in report.controls]


def test_each_mode_is_said_in_one_sentence_with_what_it_needs():
    assert "64 images" in figures.mode_text("mean", 64, "")
    assert "pink disc" in figures.mode_text("resample", 64, "12: pink disc")
