"""Figures with a row per thing: marks, intervals and ticks lie where their numbers say."""

import numpy as np
import pytest

from viz_app.figures import rows as figures

pytestmark = pytest.mark.usefixtures("checked_by_plotly")


def test_marks_have_their_intervals_and_rows_their_names():
    marks = figures.interval_marks([(1, 0.5, 2), (3, 2, 3.5)], [0, 1], "values", "#808080", "square")
    ticks = figures.tick_marks([0.1, 0.2], [0, 1], "chance")
    figure = figures.rows_figure([ticks, marks], ["first", "second"], "size", shapes=[figures.zero_line()])
    drawn = figure.data[1]
    np.testing.assert_allclose(drawn.x, [1, 3])
    np.testing.assert_allclose(drawn.error_x.arrayminus, [0.5, 1])
    np.testing.assert_allclose(drawn.error_x.array, [1, 0.5])
    assert figure.layout.yaxis.ticktext == ("first", "second")
    assert figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1]  # the first row is on top
    assert figure.layout.shapes[0].x0 == 0


def test_scattered_marks_stay_inside_their_height_and_are_always_the_same():
    shifts = figures.scattered(50, 0.4)
    assert np.abs(shifts).max() <= 0.2
    assert len(np.unique(shifts)) == 50
    np.testing.assert_array_equal(shifts, figures.scattered(50, 0.4))
