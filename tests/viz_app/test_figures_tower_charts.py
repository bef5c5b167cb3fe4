"""Charts of the towers' report: small SVG without script or address, other inks for light and dark, true places."""

from collections.abc import Callable
from xml.etree import ElementTree

import numpy as np
import pytest

from analysis.experiments.nets import rows_of
from analysis.kernels.indices import measure_kernels
from analysis.towers.comparison import measure, tower_labels
from analysis.towers.sweep import purity_sweep
from tests.viz_app.lab.world import MATRIX, NETS, split_kernels
from viz_app.figures import tower_charts as charts
from viz_app.figures.report import Chart
from viz_app.figures.tower_charts import Marks

KERNELS, TOWERS = split_kernels(), tower_labels(96, 2)
INDICES = measure_kernels(KERNELS)
RESULT = measure(KERNELS, TOWERS, np.random.default_rng(0), 200)
ROWS = rows_of(MATRIX, NETS)
MAKERS: dict[str, Callable[[], Chart]] = {
    "swarm": lambda: charts.swarm_chart(KERNELS, INDICES, RESULT),
    "map": lambda: charts.map_chart(KERNELS, INDICES),
    "sweep": lambda: charts.sweep_chart(
        purity_sweep(INDICES.chroma + 0.001 * np.arange(96), TOWERS, np.random.default_rng(0), n_permutations=200), 0.5
    ),
    "rows": lambda: charts.rows_chart(["a", "b"], [Marks("A", [(1, 0, 2), (2, 1, 3)], 0)], "size", ticks=[1, 1]),
    "nets": lambda: charts.nets_chart(ROWS),
    "courses": lambda: charts.courses_chart(ROWS[0]),
}


@pytest.mark.parametrize("name", MAKERS)
def test_a_chart_is_two_small_images_without_script_or_address(name: str) -> None:
    chart = MAKERS[name]()
    assert chart.light != chart.dark
    for file in chart:
        tags = list(ElementTree.fromstring(file).iter())
        links = [value for tag in tags for key, value in tag.attrib.items() if key.endswith("href")]
        assert all(link.startswith(("#", "data:image/png;base64,")) for link in links)
        assert not [tag for tag in tags if tag.tag.endswith("script")]
        assert len(file) < 600_000


def test_the_same_numbers_give_the_same_bytes() -> None:
    assert MAKERS["nets"]() == MAKERS["nets"]()


def test_a_network_more_or_an_interval_wider_is_another_chart() -> None:
    assert charts.nets_chart(ROWS[:1]) != charts.nets_chart(ROWS[1:2])
    wide, narrow = (charts.rows_chart(["a"], [Marks("A", [(1, 1 - reach, 1 + reach)])], "size") for reach in (0.5, 0.1))
    assert wide != narrow
