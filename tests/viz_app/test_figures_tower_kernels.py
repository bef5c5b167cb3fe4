"""Kernels at the place of their numbers: where every picture lies, and that figures and sentences tell the numbers."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from analysis.kernels.indices import measure_kernels
from analysis.stats import Interval
from analysis.towers.comparison import colour_kernels, measure, tower_labels
from analysis.towers.references import REFERENCES
from analysis.towers.secondary import measure_secondary
from tests.viz_app.lab.world import split_kernels
from viz_app.figures import tower_kernels as figures
from viz_app.figures.kernels import rgb_tiles

pytestmark = pytest.mark.usefixtures("checked_by_plotly")
TOWERS = tower_labels(96, 2)


@pytest.fixture(scope="module")
def kernels():
    return split_kernels()


@pytest.fixture(scope="module")
def indices(kernels):
    return measure_kernels(kernels)


@pytest.fixture(scope="module")
def result(kernels):
    return measure(kernels, TOWERS, np.random.default_rng(0), 2000)


@pytest.fixture(scope="module")
def secondary(kernels):
    return measure_secondary(kernels, TOWERS, np.random.default_rng(0), n_permutations=500)


def picture_in(figure):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(figure.data[0].source.split(",")[1]))))


def at(picture, x, y):
    """The tile of 11 x 11 pixels around a place."""
    left, top = round(x - 5.5), round(y - 5.5)
    return picture[top : top + 11, left : left + 11]


def test_in_the_swarm_every_kernel_is_seen_whole_at_its_chroma_on_its_tower_s_side(kernels, indices):
    spots = figures.swarm(kernels, indices)
    tiles = rgb_tiles(kernels, shared=False)
    line = figures.between_towers(spots, 96)
    for kernel, x, y in zip(spots.shown, spots.x, spots.y, strict=True):
        np.testing.assert_array_equal(at(spots.picture, x, y), tiles[kernel])
        assert x - 0.5 == pytest.approx(figures.across_chroma(indices.chroma[kernel]))
        assert (y < line) == (kernel < 48)
    assert len(spots.shown) == 96
    assert np.count_nonzero(spots.picture[..., 3]) == 96 * 121


def test_a_kernel_without_chroma_has_no_place(kernels):
    broken = kernels.copy()
    broken[7] = 0
    assert 7 not in figures.swarm(broken, measure_kernels(broken)).shown


def test_things_are_piled_as_low_as_they_can_lie():
    rows = figures.piled(np.array([0.0, 5, 10, 11, 12, 30]), 10)
    assert rows.tolist() == [0, 1, 0, 2, 3, 0]


@pytest.mark.parametrize("seed", range(3))
def test_piled_things_never_overlap(seed):
    x = np.random.default_rng(seed).uniform(0, 100, 60)
    rows = figures.piled(x, 7)
    for row in np.unique(rows):
        assert np.diff(np.sort(x[rows == row])).min(initial=7) >= 7


def test_the_map_shows_every_kernel_at_its_chroma_and_frequency(kernels, indices):
    spots, top = figures.chroma_map(kernels, indices)
    assert top > indices.frequency.max()
    for kernel, x, y in zip(spots.shown, spots.x, spots.y, strict=True):
        assert x - 0.5 == pytest.approx(figures.across_chroma(indices.chroma[kernel]))
        assert y - 0.5 == pytest.approx(figures.up_frequency(indices.frequency[kernel], top))
    finest, coarsest = indices.frequency.argmax(), indices.frequency.argmin()
    assert spots.y[finest] < spots.y[coarsest]


def test_frames_tell_towers_apart_without_colour():
    tiles = np.full((2, 11, 11, 4), 255, np.uint8)
    a, b = figures.framed(tiles, np.array([0, 1]))
    assert (a[[0, -1], :, 3] == 255).all()
    assert (a[:, [0, -1], 3] == 255).all()
    assert 0.3 < (b[0, :, 3] == 255).mean() < 0.7
    np.testing.assert_array_equal(b[1:-1, 1:-1], tiles[1])


def test_figures_carry_the_picture_and_the_numbers(kernels, indices, result):
    colour = colour_kernels(indices, result.threshold)
    swarm = figures.swarm_figure(kernels, indices, colour, result)
    np.testing.assert_array_equal(picture_in(swarm), figures.swarm(kernels, indices).picture)
    texts = " ".join(note.text for note in swarm.layout.annotations)
    for mean, name in zip(result.mean_chroma, ("tower A", "tower B"), strict=True):
        assert f"mean {mean:.2f}" in texts
        assert name in texts
    assert swarm.data[1].text[0].startswith("Kernel 0,")
    board = figures.chroma_map_figure(kernels, indices, colour)
    assert board.layout.yaxis.visible
    assert len(board.data[1].x) == 96


def test_noise_is_crossed(indices, kernels, result):
    dead = indices._replace(live=np.arange(96) >= 3)
    figure = figures.swarm_figure(kernels, dead, np.zeros(96, bool), result)
    assert len(figure.data[2].x) == 3
    assert figure.data[2].marker.symbol == "x"


def test_the_sweep_draws_purity_and_bands(secondary, result):
    figure = figures.sweep_figure(secondary.sweep, result.threshold)
    names = [trace.name for trace in figure.data]
    assert names == ["expected of shuffled towers", "95% band", "99.9% band", "this network"]
    np.testing.assert_allclose(figure.data[3].y, secondary.sweep.purity, rtol=1e-6)
    assert len({trace.line.dash for trace in figure.data[:3]}) == 3
    table = figures.sweep_table(secondary.sweep)
    assert len(table) == len(secondary.sweep.thresholds)
    assert table["In one tower"][0] == f"{secondary.sweep.purity[0]:.1%}"


def test_the_verdict_is_told_with_interval_and_p_value(result):
    text = figures.verdict_text(result)
    assert "Specialised" in text
    assert f"[{result.interval.low:+.3f}, {result.interval.high:+.3f}]" in text
    assert result.p_text in text


def test_what_cannot_be_measured_is_said_everywhere(kernels):
    noise = np.random.default_rng(1).normal(size=kernels.shape)
    nothing = measure(noise, TOWERS, np.random.default_rng(0), 100)
    indices = measure_kernels(noise)
    assert "Not measurable" in figures.verdict_text(nothing)
    assert figures.shares_text(nothing) == ""
    assert figures.references_table({"as trained": nothing})["Difference"][0] == "not measurable"
    assert len(figures.measured_rows({"as trained": nothing})) == len(REFERENCES)
    assert figures.swarm_figure(noise, indices, np.zeros(96, bool), nothing).layout.shapes


def test_published_networks_stand_beside_whichever_tower_is_the_colourful_one(kernels):
    swapped = measure(kernels[::-1], TOWERS, np.random.default_rng(0), 500)
    row, *published = figures.measured_rows({"as trained": swapped})
    assert swapped.difference < 0
    assert row.difference == -swapped.difference
    assert row.interval == Interval(-swapped.interval.high, -swapped.interval.low)
    assert [each.name for each in published] == [each.name for each in REFERENCES]
    figure = figures.references_figure({"as trained": swapped})
    assert figure.layout.yaxis.ticktext[0] == "this network, as trained"
    np.testing.assert_allclose(figure.data[2].x[1:], [each.difference for each in REFERENCES], rtol=1e-6)


def test_the_table_of_all_else_holds_every_comparison(secondary):
    table = figures.secondary_table(secondary)
    assert len(table) == len(secondary.rows)
    for shown, row in zip(table.to_dict("records"), secondary.rows, strict=True):
        assert shown["p (Holm)"] == f"{row.p_holm:.2g}"
        assert shown["Tower B"] == f"{row.means[1]:.3f}"
    text = figures.secondary_text(secondary)
    for value in (secondary.readable.auc, secondary.neighbours.morans_i, secondary.unfiltered.difference):
        assert f"{value:.2f}"[-3:] in text


def test_words_stand_for_every_figure(indices, result, secondary):
    for text in (
        figures.swarm_text(indices, result),
        figures.chroma_map_text(indices),
        figures.sweep_text(secondary.sweep),
        figures.references_alt({"as trained": result}),
    ):
        assert len(text) > 60
