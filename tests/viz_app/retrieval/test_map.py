"""The map on the page: made at once or on demand, coloured by what was chosen, and its images lead to neighbours."""

import json
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from analysis.projection import MapPlan, make_map, map_file
from analysis.workspace import Workspace
from tests.viz_app.retrieval.world import TRAIN, VAL
from viz_app import jobs

MAIN = Path(__file__).resolve().parents[3] / "viz_app" / "main.py"
TSNE = MapPlan("t-SNE", neighbours=30, images=TRAIN + VAL)

pytestmark = pytest.mark.usefixtures("fresh_caches")


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What would have been run beside the app; nothing is."""
    calls: list[tuple[str, ...]] = []

    def record(key: str, module: str, *options: str) -> None:
        calls.append((key, module, *options))
        jobs._jobs[key] = jobs.Job(said="Placing 90 points with t-SNE ...")

    monkeypatch.setattr(jobs, "_jobs", {})
    monkeypatch.setattr(jobs, "start", record)
    return calls


@pytest.fixture
def tsne(mine: Workspace) -> MapPlan:
    """A map that is there."""
    make_map(mine, TSNE)
    return TSNE


def opened(workspace: str = "mine", **query: Any) -> AppTest:
    app = AppTest.from_file(str(MAIN), default_timeout=120)
    for key, value in ({"workspace": workspace, "retrieval": "Map"} | query).items():
        app.query_params[key] = value
    return alive(app.run().switch_page("views/retrieval.py").run())


def alive(app: AppTest) -> AppTest:
    assert not app.exception
    return app


def words(app: AppTest) -> str:
    kinds = (app.markdown, app.caption, app.info, app.warning, app.error)
    return "\n".join(element.value for kind in kinds for element in kind).replace("\\", "")


def figure(app: AppTest) -> dict[str, Any]:
    return dict(json.loads(app.get("plotly_chart")[0].proto.spec))


def names(app: AppTest) -> list[str]:
    return [trace["name"] for trace in figure(app)["data"]]


def picked(app: AppTest) -> list[dict[str, Any]]:
    found = [each.proto for each in app.get("bidi_component") if each.proto.id.endswith("-map_picked")]
    return list(json.loads(found[0].json or found[0].mixed.json)["items"]) if found else []


def test_principal_components_are_shown_at_once_with_what_they_keep(mine, asked):
    app = opened()
    assert f"PCA of {TRAIN + VAL} images" in words(app)
    assert "Trustworthiness" in words(app)
    assert "shadow" in words(app)
    assert asked == []
    assert figure(app)["layout"]["xaxis"]["title"]["text"].startswith("component 1")


def test_the_figure_has_its_numbers_as_an_alternative(mine):
    alt = opened().get("plotly_chart")[0].proto.alt
    assert "coloured by class" in alt
    assert "Trustworthiness" in alt


def test_another_method_is_made_on_demand_beside_the_app(mine, asked):
    app = opened(map_method="UMAP")
    assert "not there yet" in words(app)
    assert not app.get("plotly_chart")
    app.button(key="make_map").click().run()
    plan = MapPlan("UMAP", neighbours=15, images=TRAIN + VAL)
    assert asked == [
        (str(map_file(mine, plan)), "analysis.projection", "mine", *plan.options(), "--home", str(mine.home))
    ]


def test_while_it_is_made_the_phase_and_the_time_are_shown_and_it_can_be_cancelled(mine):
    app = opened(map_method="t-SNE", perplexity="20")
    app.button(key="make_map").click().run()
    assert "Placing 90 points with t-SNE ... 0 s since the start." in words(alive(app))
    assert not app.get("plotly_chart")
    app.button(key="cancel_map").click().run()
    assert jobs._jobs == {}
    assert "not there yet" in words(alive(app.run()))


def test_why_it_could_not_be_made_is_told(mine):
    plan = TSNE._replace(neighbours=21)
    jobs._jobs[str(map_file(mine, plan))] = jobs.Job(running=False, failed=True, said="The disk is full.")
    app = opened(map_method="t-SNE", perplexity="21")
    assert "The disk is full." in words(app)
    assert app.button(key="make_map")


def test_a_map_that_was_made_is_shown_without_asking(tsne, asked):
    app = opened(map_method="t-SNE")
    assert f"t-SNE of {TRAIN + VAL} images" in words(app)
    assert "mean nothing" in words(app)
    assert asked == []
    assert sum(len(trace.get("text", [])) for trace in figure(app)["data"]) == TRAIN + VAL


@pytest.mark.parametrize(
    ("colour", "expected", "sentence"),
    [
        ("class", {"class n01", "class n02", "class n03"}, "are of its class"),
        ("right or wrong", {"right", "wrong"}, "are right where it is right"),
        ("tower balance", {"more in tower A", "more in tower B"}, "of the energy in the middle image"),
    ],
)
def test_colours_are_named_and_measured(mine, colour, expected, sentence):
    app = opened(map_colour=colour)
    assert set(names(app)) & expected
    assert set(names(app)) <= expected | {"the query"}
    assert sentence in words(app)


def test_the_split_and_the_half_are_those_of_the_link(mine):
    app = opened(map_of="val", half="◆ Tower B")
    assert f"PCA of {VAL} images" in words(app)
    assert app.segmented_control(key="half").value == "◆ Tower B"


def test_the_query_has_a_ring(mine):
    assert names(opened(trail="12"))[-1] == "the query"
    assert "the query" not in names(opened(trail="12", map_of="val"))


def test_chosen_classes_stand_out_and_their_images_are_shown(mine):
    app = opened()
    app.multiselect(key="map_classes").select(1).run()
    assert names(alive(app))[:2] == ["other classes", "class n02"]
    assert {item["title"] for item in picked(app)} == {"class n02"}
    assert "picked" in words(app)


def test_a_product_is_no_distance_and_has_no_map(mine):
    assert "no distances" in words(opened(metric="Inner product"))
