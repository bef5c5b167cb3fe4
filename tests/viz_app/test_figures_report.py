"""Charts of the reports: well-formed, without script or address, one for light and one for dark pages."""

from xml.etree import ElementTree

import numpy as np
import pytest

from analysis.benchmarks.errors import simulate
from analysis.errors.calibration import calibration, risk_coverage
from viz_app.figures import report
from viz_app.figures.report import Chart

TABLE = simulate(2000, 20, np.random.default_rng(0))


@pytest.fixture(scope="module", params=["calibration", "risk"])
def chart(request: pytest.FixtureRequest) -> Chart:
    """Either chart."""
    if request.param == "risk":
        return report.risk_chart(risk_coverage(TABLE))
    return report.calibration_chart(calibration(TABLE))


def test_a_chart_is_one_small_image_without_script_or_address(chart: Chart) -> None:
    for file in chart:
        tags = list(ElementTree.fromstring(file).iter())
        links = [value for tag in tags for name, value in tag.attrib.items() if name.endswith("href")]
        assert not [tag for tag in tags if tag.tag.endswith("script")]
        assert all(link.startswith("#") for link in links)
        assert len(file) < 100_000


def test_light_and_dark_differ_in_colours_alone(chart: Chart) -> None:
    light, dark = (file.decode() for file in chart)
    assert light != dark
    for one, other in zip(report.LIGHT, report.DARK, strict=True):
        assert one in light
        assert one not in dark
        dark = dark.replace(other, one)
    assert _shapes(dark) == _shapes(light)


def _shapes(svg: str) -> list[str]:
    """Outlines in their order; ids follow from content, and that from colours."""
    return [element.attrib["d"] for element in ElementTree.fromstring(svg).iter() if "d" in element.attrib]


def test_points_stand_where_confidence_and_share_right_are() -> None:
    found = calibration(TABLE)
    figure = report._calibration(found, report.LIGHT)
    above, below = figure.axes
    points = above.containers[0].lines[0].get_xydata()
    bins = [row for row in found.bins if row.n]
    assert points == pytest.approx(np.array([(row.confidence, row.right.hits / row.n) for row in bins]))
    assert [bar.get_height() for bar in below.patches] == [row.n for row in found.bins]
    ends = above.containers[0].lines[2][0].get_segments()
    assert np.array(ends)[:, :, 1] == pytest.approx(np.array([row.right.interval for row in bins]))


def test_the_best_curve_is_that_of_an_oracle() -> None:
    found = risk_coverage(TABLE)
    line = report._risk(found, report.LIGHT).axes[0].lines[1].get_ydata()
    wrong = np.sort(TABLE["rank"].to_numpy() > 0)
    oracle = np.cumsum(wrong) / np.arange(1, len(wrong) + 1)
    assert line == pytest.approx(oracle[np.round(found.coverage * len(wrong)).astype(int) - 1])
