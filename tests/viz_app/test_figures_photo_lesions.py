"""Photographs under lesions: every drop, what colour is worth, halves and classes, in figures and words."""

import numpy as np
import pytest

from analysis.lesions.photo_dissociation import CONTRASTS, METRICS
from analysis.stimuli import STIMULI
from tests.viz_app.lab.world import photo_report
from viz_app.figures import photo_lesions as figures

pytestmark = pytest.mark.usefixtures("checked_by_plotly")


@pytest.fixture(scope="module")
def report():
    return photo_report("tiny")


@pytest.mark.parametrize(("metric", "scale"), [("top1", 100), ("log p", 1)])
def test_every_kind_of_photograph_has_both_towers_drops(report, metric, scale):
    figure = figures.drops_figure(report, metric)
    for tower, trace in enumerate(figure.data):
        wanted = [scale * row.drop[metric][tower].value for row in report.rows]
        np.testing.assert_allclose(trace.x, wanted, rtol=1e-5)
    assert [trace.marker.symbol for trace in figure.data] == ["circle", "diamond"]
    assert [name.split(" (")[0] for name in figure.layout.yaxis.ticktext] == list(STIMULI)


def test_every_contrast_has_its_interaction(report):
    (trace,) = figures.worth_figure(report, "top1").data
    np.testing.assert_allclose(trace.x, [100 * row.interaction["top1"].value for row in report.contrasts], rtol=1e-5)
    assert len(trace.x) == len(CONTRASTS)
    assert "colour over grey" in figures.worth_alt(report, "top1")


def test_tables_hold_every_measure(report):
    assert len(figures.score_table(report)) == len(STIMULI) * len(METRICS)
    assert len(figures.worth_table(report)) == len(CONTRASTS) * len(METRICS)
    numbers = figures.csv_table(report)
    assert len(numbers) == len(STIMULI) * len(METRICS) * 3
    first = numbers.iloc[0]
    assert (first["stimulus"], first["off"], first["value"]) == (
        "colour",
        "nothing",
        report.rows[0].score["top1"][0].value,
    )


def test_random_halves_are_told_with_their_place(report):
    text = figures.halves_text(report.halves[0], "top1")
    assert "40 random halves" in text
    assert f"p = {report.halves[0].interaction['top1'].p_value:.2g}" in text
    rings, towers = figures.halves_figure(report.halves[0], "top1").data
    assert len(rings.x) == 40
    assert towers.x[0] == pytest.approx(100 * report.halves[0].interaction["top1"].observed)


def test_classes_that_need_colour_are_named(report):
    names = [f"class {place}" for place in range(8)]
    text = figures.classes_text(report.classes[0], names)
    assert all(names[label] in text for label in report.classes[0].chosen)


def test_words_tell_every_drop(report):
    text = figures.drops_alt(report, "top1")
    assert all(f"{stimulus}: intact" in text for stimulus in STIMULI)
    assert f"{report.images:,} images of prism-128" in figures.about_text(report)
