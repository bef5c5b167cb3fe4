"""Maps: every image has one point, told apart by more than colour, and the sentences say what was measured."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import pytest

from alexnet_core.prism import CLASS_NAMES, HUES, SHAPES
from analysis.projection import Agreement, Faithfulness, ImageMap, MapPlan
from viz_app.figures import maps as figures

pytestmark = pytest.mark.usefixtures("checked_by_plotly")

RNG = np.random.default_rng(0)
N = 120
LABELS = np.arange(N) % 100
NAMES = [f"class {label}" for label in range(100)]
ROWS = np.sort(RNG.choice(5000, N, replace=False))
SHARES = RNG.uniform(0.4, 0.6, N).astype(np.float32)
TRUST = Faithfulness(trustworthiness=0.971, shared=0.378, chance=0.002, k=10, asked=500)
SHOWN = ImageMap(
    rows=ROWS,
    positions=RNG.normal(size=(N, 2)).astype(np.float32),
    variance=np.array([0.155, 0.097], np.float32),
    tower_b=SHARES,
    faithfulness=TRUST,
    seconds=12.3,
)
TEXTS = np.array([f"image {row}" for row in ROWS])


def drawn(groups: Sequence[figures.Group], method: str = "t-SNE", **options) -> go.Figure:
    return figures.map_figure(SHOWN, MapPlan(method=method), groups, TEXTS, **options)


GROUPINGS = {
    "few classes": figures.class_groups(LABELS % 9, NAMES),
    "many classes": figures.class_groups(LABELS, NAMES),
    "chosen classes": figures.class_groups(LABELS, NAMES, [3, 50]),
    "hues": figures.hue_groups(LABELS),
    "shapes": figures.shape_groups(LABELS),
    "answers": figures.answer_groups(LABELS % 3 == 0),
    "towers": figures.tower_groups(SHARES),
}


@pytest.mark.parametrize("name", GROUPINGS)
def test_every_image_has_one_point_at_its_place_with_its_row_and_its_text(name):
    figure = drawn(GROUPINGS[name])
    found = {
        int(row): (x, y, text)
        for trace in figure.data
        for row, x, y, text in zip(trace.customdata, trace.x, trace.y, trace.text, strict=True)
    }
    assert sum(len(trace.x) for trace in figure.data) == N
    expected = zip(ROWS.tolist(), SHOWN.positions, TEXTS, strict=True)
    assert found == {row: (x, y, text) for row, (x, y), text in expected}


@pytest.mark.parametrize("name", [name for name in GROUPINGS if name != "many classes"])
def test_groups_differ_in_colour_and_shape_together_and_are_named(name):
    looks = [(group.colour, group.symbol) for group in GROUPINGS[name]]
    assert len(set(looks)) == len(looks)
    shapes = [group.symbol for group in GROUPINGS[name]]
    assert len(set(shapes)) == len(shapes)  # without any colour
    assert drawn(GROUPINGS[name]).layout.showlegend


def test_of_many_classes_sixty_look_different_and_there_is_no_legend():
    (group,) = GROUPINGS["many classes"]
    looks = set(zip(LABELS.tolist(), group.colour.tolist(), group.symbol.tolist(), strict=True))
    assert len(looks) == 100  # a class has one look
    assert len({look[1:] for look in looks}) == 60
    assert not drawn([group]).layout.showlegend


def test_chosen_classes_stand_before_the_others():
    rest, *chosen = GROUPINGS["chosen classes"]
    assert rest.colour == figures.LINE
    assert [group.name for group in chosen] == ["class 3", "class 50"]
    assert [LABELS[group.places].tolist() for group in chosen] == [[3, 3], [50]]


def test_hues_have_their_own_colour_and_shapes_their_own_images():
    for label in (0, 37, 99):
        hue, shape = CLASS_NAMES[label].split(" ", 1)
        (of_hue,) = (group for group in GROUPINGS["hues"] if label in group.places)
        (of_shape,) = (group for group in GROUPINGS["shapes"] if label in group.places)
        assert (of_hue.name, of_shape.name) == (hue, shape)
        assert of_hue.colour == next(one.hex for one in HUES if one.name == hue)
    assert [group.name for group in GROUPINGS["shapes"]] == list(SHAPES)


def test_the_scale_of_the_balance_has_half_and_half_in_its_middle():
    figure = drawn(GROUPINGS["towers"], shares=SHARES)
    scale = figure.layout.coloraxis
    assert scale.cmin + scale.cmax == pytest.approx(100)
    colours = np.concatenate([trace.marker.color for trace in figure.data])
    assert np.allclose(np.sort(colours), np.sort(100 * SHARES))
    assert "tower B" in scale.colorbar.title.text


def test_the_query_has_a_ring_where_it_is_on_the_map_and_none_elsewhere():
    groups = GROUPINGS["answers"]
    ring = drawn(groups, query=int(ROWS[7])).data[-1]
    assert (ring.name, ring.x[0], ring.y[0]) == ("the query", *SHOWN.positions[7])
    absent = next(row for row in range(5000) if row not in ROWS)
    assert len(drawn(groups, query=absent).data) == len(drawn(groups).data) == 2


def test_only_principal_components_have_axes():
    figure = drawn(GROUPINGS["answers"], "PCA")
    assert figure.layout.xaxis.title.text == "component 1 (15.5% of the variance)"
    assert drawn(GROUPINGS["answers"]).layout.xaxis.showticklabels is False
    assert figure.layout.yaxis.scaleanchor == "x"


def test_the_sentences_hold_the_numbers():
    assert "120 of 5,000 images" in figures.shown_text(SHOWN, MapPlan("UMAP"), 5000)
    assert "25.2% of the variance" in figures.shown_text(SHOWN, MapPlan(), N)
    trust = figures.trust_text(TRUST)
    assert all(number in trust for number in ("0.971", "38%", "0.2%"))
    assert "45% are of its hue (by chance 10.0%)" in figures.kinds_text("are of its hue", Agreement(0.45, 0.1), 10)
    balance = figures.balance_text(np.linspace(0.4, 0.6, 101), 0.83, 10)
    assert all(number in balance for number in ("50%", "41% to 59%", "r = 0.83"))


def test_no_map_that_bends_claims_that_distances_mean_something():
    assert figures.READING["t-SNE"] == figures.READING["UMAP"]
    assert "mean nothing" in figures.READING["UMAP"]


def test_the_alternative_is_plain_words():
    text = figures.map_alt(MapPlan("UMAP"), "hue", figures.trust_text(TRUST))
    assert text.startswith("Map of images by UMAP, a point each, coloured by hue.")
    assert "0.97" in text
    assert "*" not in text
