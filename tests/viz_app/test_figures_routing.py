"""Routing in figures and words: the numbers of every block, stage and probe, without colour as the only code."""

import numpy as np
import pytest

from analysis.between.routing import AxesReport, Axis, BlockMass
from tests.viz_app.lab.world import between
from viz_app.figures import routing as figures

pytestmark = pytest.mark.usefixtures("checked_by_plotly")
BLOCKS = BlockMass("conv3", ((0.4, 0.1), (0.05, 0.45)), ((0.3, 0.2), (0.1, 0.4)), (0.1, 0.2, 0.3, 0.4), 0.15)


def axes(p: float) -> AxesReport:
    axis = Axis(0.3, 0.25, 0.8, -0.4, 0.1, 0.7, -0.1, 0.001, p)
    return AxesReport(tower=1, sources=48, axes=(axis, axis, axis), gap=1.5, p_first=0.002, null_95=0.1, shuffles=99)


def test_block_maps_have_sources_as_rows_and_readers_as_columns():
    weights, drive = figures.blocks_figure(BLOCKS).data
    np.testing.assert_allclose(weights.z, BLOCKS.weights, rtol=1e-6)
    np.testing.assert_allclose(drive.z, BLOCKS.drive, rtol=1e-6)
    row = figures.blocks_table(BLOCKS).set_index(["From", "Read by"]).loc[("A", "B")]
    assert list(row) == ["10.00%", "20.00%"]


def test_without_images_there_is_no_map_of_drive():
    alone = BlockMass("conv3", BLOCKS.weights, (), BLOCKS.cross_talk, 0.15)
    assert len(figures.blocks_figure(alone).data) == 1
    assert "drive" not in figures.blocks_text(alone)


def test_what_crosses_is_told_beside_what_chance_gives():
    text = figures.blocks_text(BLOCKS)
    assert "15.0%" in text
    assert "50% would" in text
    assert "30.0% does" in text


def test_cross_talk_counts_every_unit_of_its_tower():
    figure = figures.cross_talk_figure(BLOCKS)
    assert [int(np.sum(trace.y)) for trace in figure.data] == [2, 2]
    assert len({trace.line.dash for trace in figure.data}) == 2
    assert "tower A's units 10% to 20%" in figures.cross_talk_text(BLOCKS)


def test_an_axis_is_about_colour_only_where_the_partial_test_says_so():
    assert "orders the kernels by colour" in figures.axes_text([axes(0.01)])
    assert "not clearly about colour" in figures.axes_text([axes(0.2)])
    table = figures.axes_table([axes(0.01)])
    assert list(table["Connections"]) == ["inside tower B"] * 3
    assert table["partial rho"][0] == "+0.70"


def test_every_stage_has_its_similarity_null_and_halves():
    stages = between("tiny").similarity
    halves, null, towers = figures.similarity_figure(stages).data
    np.testing.assert_allclose(towers.x, [0.9, 0.7, 0.5], rtol=1e-6)
    np.testing.assert_allclose(null.x, [0.02] * 3, rtol=1e-6)
    assert np.round(halves.y).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert figures.similarity_table(stages)["CKA of the towers"][1] == "0.700 [0.650, 0.750]"
    assert "relu2 0.70 (halves 0.92)" in figures.similarity_alt(stages)


def test_probes_show_both_towers_and_chance():
    probes = between("tiny").probes
    chance, a, b = figures.probes_figure(probes).data
    np.testing.assert_allclose(chance.x, [0.125] * 4)
    np.testing.assert_allclose(a.x, [0.9, 0.8, 0.5, 0.8], rtol=1e-6)
    assert (a.marker.symbol, b.marker.symbol) == ("circle", "diamond")
    assert "pool2 +30.0 [+25.0, +35.0]" in figures.probes_text(probes)
    assert figures.probes_table(probes)["B - A, points"][2] == "+40.0% [+35.0, +45.0]"
