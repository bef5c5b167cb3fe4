"""Retrieval quality on the page: every mark is a number of a report, and the sentences pick the right ones."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest

from analysis.retrieval.quality import PAPER, WHOLE, Difference, Estimate, Hubs, Kind, Row
from analysis.retrieval.reports import Factor, Report
from analysis.stats import Interval
from viz_app.figures import retrieval as figures

pytestmark = pytest.mark.usefixtures("checked_by_plotly")

PARTS = (WHOLE, "tower A", "tower B")
SCALINGS = ("raw", "L2", "whitened", "whitened + L2")
KINDS = tuple(Kind(part, scaling) for scaling, part in product(SCALINGS, PARTS))
MEASURES = ("P@1", "P@10", "MAP@R")


def estimate(value: float) -> Estimate:
    return Estimate(value, Interval(value - 0.01, value + 0.02))


def planted(stage: str, seed: int, kinds: Sequence[Kind] = KINDS, factors: Sequence[str] = ("class", "hue")) -> Report:
    """Numbers by chance, all different."""
    rng = np.random.default_rng(seed)

    def means() -> tuple[Estimate, ...]:
        return tuple(estimate(value) for value in rng.uniform(0.1, 0.8, len(MEASURES)))

    pairs = [pair for pair in figures.PAIRS.values() if {*pair} <= {*kinds}]
    return Report(
        workspace="mine",
        checkpoint="tiny",
        stage=stage,
        queries=50,
        gallery=200,
        left_out=0,
        measures=MEASURES,
        factors=tuple(Factor(name, 50, 0.1) for name in factors),
        rows=tuple(Row(factor, kind, means()) for factor in factors for kind in kinds),
        differences=tuple(Difference(factor, *pair, means()) for factor in factors for pair in pairs),
        chance_skewness=0.3,
        hubs=tuple(Hubs(kind, estimate(rng.uniform(0, 9)), 12, 0.25) for kind in kinds),
        whitenings=(),
    )


FC7, POOL5 = planted("fc7", 0), planted("pool5", 1)
FC8 = planted("fc8", 2, [kind for kind in KINDS if kind.part == WHOLE])  # classes belong to no tower


def means_of(report: Report, factor: str, kind: Kind) -> tuple[Estimate, ...]:
    (found,) = [row.means for row in report.rows if (row.factor, row.kind) == (factor, kind)]
    return found


@pytest.mark.parametrize(("factor", "measure"), [("class", "P@1"), ("hue", "MAP@R")])
@pytest.mark.parametrize("reports", [[FC7], [POOL5, FC7], [FC7, FC8]])
def test_every_number_is_a_mark_with_its_interval_on_the_line_of_its_stage_and_scaling(
    reports: list[Report], factor: str, measure: str
) -> None:
    figure = figures.quality_figure(reports, factor, measure)
    titles, marks = figure.layout.yaxis.ticktext, 0
    for part, trace in zip(PARTS, figure.data, strict=True):
        for x, y, above, below in zip(trace.x, trace.y, trace.error_x.array, trace.error_x.arrayminus, strict=True):
            *stage, scaling = titles[round(float(y))].split(", ")
            (report,) = [one for one in reports if one.stage == (stage[0] if stage else "fc7")]
            value, (low, high) = means_of(report, factor, Kind(part, scaling))[MEASURES.index(measure)]
            assert (x, x + above, x - below) == pytest.approx((100 * value, 100 * high, 100 * low), rel=1e-4)
            marks += 1
    assert marks == sum(row.factor == factor for report in reports for row in report.rows)


def test_parts_differ_by_more_than_colour_and_do_not_lie_on_each_other() -> None:
    figure = figures.quality_figure([POOL5, FC7], "class", "P@1")
    assert len({trace.marker.symbol for trace in figure.data}) == len({trace.name for trace in figure.data}) == 3
    heights = np.concatenate([trace.y for trace in figure.data])
    assert len(np.unique(heights.round(3))) == len(heights)


def test_chance_is_drawn_where_it_is_known() -> None:
    (line,) = figures.quality_figure([FC7], "class", "P@1").layout.shapes
    assert line.x0 == line.x1 == pytest.approx(10)
    assert not figures.quality_figure([FC7], "class", "MAP@R").layout.shapes


@pytest.mark.parametrize("measure", MEASURES)
def test_the_sentence_names_the_best_features_and_the_papers(measure: str) -> None:
    place = MEASURES.index(measure)
    text = figures.quality_text([POOL5, FC7], "class", measure)
    every = {
        (report.stage, row.kind): row.means[place].value
        for report in (POOL5, FC7)
        for row in report.rows
        if row.factor == "class"
    }
    stage, kind = max(every, key=lambda one: every[one])
    assert text.startswith(
        f"**{figures.features_name(stage, kind)}** finds the most alike: {measure} **{every[stage, kind]:.1%}"
    )
    assert f"(fc7, both towers, raw) reach {means_of(FC7, 'class', PAPER)[place].value:.1%}" in text
    assert ("by chance it would be 10.0%" in text) == measure.startswith("P@")


def test_where_the_papers_features_are_the_best_that_is_said() -> None:
    only = planted("fc7", 0, [PAPER])
    assert figures.quality_text([only], "hue", "P@1").endswith(
        "These are the paper's features; by chance it would be 10.0%."
    )


def test_features_that_are_about_as_good_as_the_best_are_counted() -> None:
    values = (0.5, 0.491, 0.489, 0.2)  # the interval of the best begins at 0.49
    rows = tuple(Row("class", kind, (estimate(value),) * 3) for kind, value in zip(KINDS, values, strict=False))
    close = planted("fc7", 0, factors=["class"])._replace(rows=rows)
    assert "; 1 of 3 others lie within this interval." in figures.quality_text([close], "class", "P@1")
    far = close._replace(rows=(rows[0], *rows[2:]))
    assert "others" not in figures.quality_text([far], "class", "P@1")


def test_differences_are_told_for_every_stage_that_has_them() -> None:
    text = figures.differences_text([POOL5, FC7], "hue", "MAP@R")
    for report in (POOL5, FC7):
        for value, (low, high) in (one.means[2] for one in report.differences if one.factor == "hue"):
            wanted = f"{report.stage} {100 * value:+.2f} points [{100 * low:+.2f}, {100 * high:+.2f}]"
            assert wanted.replace("-", "−") in text
    assert text.count("points") == 4
    assert "Tower B" not in figures.differences_text([FC8], "hue", "MAP@R")


def test_falling_short_has_a_minus_sign() -> None:
    assert figures.points(Estimate(-0.012, Interval(-0.02, 0.001))) == "−1.20 points [−2.00, +0.10]"


def test_the_table_and_the_file_hold_every_number_of_every_row() -> None:
    table, csv = figures.quality_table([POOL5, FC7], "hue"), figures.quality_csv([POOL5, FC7])
    assert len(table) == 24
    assert len(csv) == 48
    for _, row in csv.iterrows():
        report = {"pool5": POOL5, "fc7": FC7}[row["stage"]]
        part = {"both towers": WHOLE}.get(row["units"], row["units"])
        means, kind = means_of(report, row["factor"], Kind(part, row["scaling"])), Kind(part, row["scaling"])
        assert [row[measure] for measure in MEASURES] == [one.value for one in means]
        assert (row["P@10_low"], row["P@10_high"]) == means[1].interval
        (hub,) = [one for one in report.hubs if one.kind == kind]
        assert (row["hubness"], row["largest_hub"], row["never_found"]) == (hub.skewness.value, 12, 0.25)
    first = means_of(POOL5, "hue", PAPER)
    assert table.loc[0, "MAP@R"] == figures.share(first[2])
    assert list(table.columns[:3]) == ["stage", "units", "scaling"]


def test_the_least_and_the_most_hubs_are_told() -> None:
    values = {one.skewness.value for report in (POOL5, FC7) for one in report.hubs}
    text = figures.hubs_text([POOL5, FC7])
    assert text.startswith(f"Hubness goes from {min(values):.2f} for ")
    assert f" to {max(values):.2f} for " in text
    assert "by chance alone it would be 0.30" in text


def test_the_text_alternative_tells_every_mark() -> None:
    text = figures.quality_alt([POOL5, FC7], "class", "P@10")
    assert text.count("[") == 24
    assert f"fc7, tower A, L2 {figures.share(means_of(FC7, 'class', Kind('tower A', 'L2'))[1])}" in text


def test_only_measures_that_all_reports_have_can_be_compared() -> None:
    assert figures.shared_measures([FC7, POOL5._replace(measures=("P@1", "P@5", "MAP@R"))]) == ["P@1", "MAP@R"]


def test_the_command_names_the_stages() -> None:
    assert figures.quality_command("my photos", ["fc6", "fc7"]) == (
        "python -m analysis.retrieval quality 'my photos' --stage fc6 fc7"
    )
