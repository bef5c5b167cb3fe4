"""Many networks in figures: every one is a dot, what is missing is named, the film has a frame for every step."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from analysis.experiments.nets import Course, rows_of
from analysis.kernels.indices import Snapshots, chroma_energy
from tests.viz_app.lab.world import MATRIX, NETS, STEPS, split_kernels
from viz_app.figures import networks as figures

pytestmark = pytest.mark.usefixtures("checked_by_plotly")


@pytest.fixture(scope="module")
def rows():
    return rows_of(MATRIX, NETS)


@pytest.fixture(scope="module")
def snapshots():
    noise = np.random.default_rng(0).normal(size=(96, 3, 11, 11))
    return Snapshots(np.stack([noise, split_kernels()]).astype(np.float16), (0, 500), (1.0, 0.9))


def test_every_network_that_counts_is_a_dot_filled_where_it_is_beyond_its_null(rows):
    figure = figures.nets_figure(rows)
    case, mean, control, _, cut, _ = figure.data
    np.testing.assert_allclose(case.x, [size - 0.05 for size in (0.45, 0.5, 0.55)], rtol=1e-5)
    assert list(case.marker.symbol) == ["circle"] * 3
    assert list(control.marker.symbol) == ["circle-open"] * 2
    assert list(cut.marker.symbol) == ["circle"] * 2
    assert mean.x[0] == pytest.approx(0.45)
    assert mean.error_x.array[0] > 0
    assert np.abs(np.array(case.y)).max() < 0.5
    assert figure.layout.yaxis.ticktext == (
        "case (3)",
        "one-tower (2)",
        "one-tower, blind cut (2)",
        "weak (0)",
        "never (0)",
    )


def test_bands_reach_from_no_difference_to_the_null(rows):
    bands = [shape for shape in figures.nets_figure(rows).layout.shapes if shape.type == "rect"]
    assert len(bands) == 6
    assert {round(band.x0, 6) for band in bands} == {-0.05}
    assert sorted({round(band.x1, 6) for band in bands}) == [0.05, 0.15]


def test_the_table_has_a_row_per_condition_also_without_networks(rows):
    table = figures.rows_table(rows).set_index("Condition")
    assert table["Networks"].to_dict() == {
        "case": "3",
        "one-tower": "2",
        "one-tower, blind cut": "2",
        "weak": "none that counts",
        "never": "not trained yet",
    }
    assert table.loc["case", "Beyond the 99.9% null"] == "3 of 3"
    assert table.loc["case", "True share at least"] == "37%"  # 0.05 ** (1 / 3)
    assert table.loc["one-tower", "Beyond the 99.9% null"] == "0 of 2"
    assert "[" not in table.loc["one-tower", "Beyond chance, 95% interval"]  # two networks have no interval


@pytest.mark.parametrize(("kind", "words"), [("function", "what is lost"), ("probes", "what is known")])
def test_what_towers_are_for_and_know_is_told_on_an_axis_of_its_own(kind, words):
    rows = rows_of(MATRIX, NETS, kind)
    figure = figures.nets_figure(rows)
    assert words in figure.layout.xaxis.title.text
    assert words in figures.nets_alt(rows)[:40]
    assert list(figure.data[0].marker.symbol) == ["circle"] * 3
    assert list(figure.data[2].marker.symbol) == ["square-open" if kind == "function" else "circle-open"] * 2
    table = figures.rows_table(rows).set_index("Condition")
    assert table.get("Double dissociation", {}).get("case") == ("3 of 3" if kind == "function" else None)
    np.testing.assert_allclose(figure.data[0].x, [size / 2 - 0.05 for size in (0.45, 0.5, 0.55)], rtol=1e-5)


def test_what_is_missing_is_named_with_its_reason(rows):
    text = figures.missing_text(MATRIX, rows)
    assert "Not trained yet: never." in text
    assert "one-tower (2 of 3), weak (1 of 3)" in text
    assert "weak, seed 1: 2.0% of the held-out images are right" in text
    assert figures.missing_text(MATRIX, [rows[0]]) == ""


def test_a_course_leaves_out_step_zero_and_opens_what_is_inside_the_null(rows):
    figure = figures.courses_figure(rows[0])
    first, second, *lines = figure.data
    assert [first.name, second.name] == ["99.9% null", "95% null"]
    assert [line.name for line in lines] == ["seed 1", "seed 2", "seed 3"]
    assert list(lines[0].x) == list(STEPS[1:])
    assert list(lines[0].marker.symbol) == ["circle-open", "circle", "circle"]
    assert len({line.line.dash for line in lines}) == 3
    assert "seed 1: step 100" in figures.courses_text(rows[0])
    assert "seed 2: never" in figures.courses_text(rows[1])


def test_a_network_s_kernels_stand_in_a_block_for_each_half(rows):
    cut = rows[2].nets[0]
    figure = figures.kernels_figure(cut)
    board = np.asarray(Image.open(io.BytesIO(base64.b64decode(figure.data[0].source.split(",")[1]))).convert("RGB"))
    first, second = np.array_split(board.astype(int), 2, axis=1)
    coloured = [float(np.ptp(half, axis=2).astype(bool).mean()) for half in (first, second)]
    assert coloured[0] < 0.2 < 0.5 < coloured[1]  # 4 and 40 of 48 kernels, and what lies between them
    assert [note.text for note in figure.layout.annotations] == [
        "<b>● mean chroma 0.30</b>",
        "<b>◆ mean chroma 0.60</b>",
    ]
    assert (
        figures.kernels_text(cut)
        == "one-tower, blind cut, seed 1: mean chroma of live kernels ● 0.30, ◆ 0.60 (p = 0.001)."
    )


def test_kernels_without_enough_live_ones_are_shown_without_a_mean(rows):
    unmeasured = rows[0].nets[0]._replace(courses={"as trained": Course(STEPS[:1], (None,))})
    first, _ = figures.kernels_figure(unmeasured).layout.annotations
    assert first.text == "<b>● mean chroma not measurable</b>"
    assert "(p" not in figures.kernels_text(unmeasured)


def test_every_kept_step_is_a_frame_of_the_film(snapshots):
    figure = figures.film_figure(snapshots, 2)
    assert [frame.name for frame in figure.frames] == ["0", "500"]
    assert [step.args[0][0] for step in figure.layout.sliders[0].steps] == ["0", "500"]
    pictures = [frame.data[0].source for frame in figure.frames]
    assert pictures[0] != pictures[1] == figure.data[0].source  # it starts with the finished kernels
    assert Image.open(io.BytesIO(base64.b64decode(pictures[0].split(",")[1]))).mode == "RGBA"


def test_titles_of_the_film_tell_each_tower_s_mean_chroma(snapshots):
    start, end = figures.film_titles(snapshots, 2)
    means = chroma_energy(snapshots.kernels[1].astype(np.float32)).reshape(2, -1).mean(1)
    assert end == f"step 500: mean chroma ● {means[0]:.2f}, ◆ {means[1]:.2f}"
    assert "0.6" in start  # noise


def test_words_stand_for_the_conditions(rows):
    text = figures.nets_alt(rows)
    assert "case +0.45 [" in text
    assert "3 of 3 beyond" in text
    assert figures.nets_alt([rows[3]]).endswith("no network yet.")
