"""The Errors page as visitors use it: counts, filters, links, the card of an image, and what is missing."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from alexnet_core import load_checkpoint
from alexnet_core.colour import to_grey
from alexnet_core.data import open_dataset
from analysis.lesions.lesion import Lesion, run_under, tower_lesion
from analysis.workspace import Workspace, find_workspace, open_features
from tests.viz_app.errors.world import TRAIN, VAL

MAIN = Path(__file__).resolve().parents[3] / "viz_app" / "main.py"

pytestmark = pytest.mark.usefixtures("fresh_caches")


def opened(workspace: str = "mine", **query: Any) -> AppTest:
    app = AppTest.from_file(str(MAIN), default_timeout=120)
    for key, value in ({"workspace": workspace} | query).items():
        app.query_params[key] = value
    return alive(app.run().switch_page("views/errors.py").run())


def alive(app: AppTest) -> AppTest:
    assert not app.exception
    return app


def words(app: AppTest) -> str:
    found = "\n".join(element.value for element in (*app.markdown, *app.caption, *app.info, *app.error))
    return found.replace("\\", "")


def grid(app: AppTest, key: str = "thumbnails") -> list[dict[str, Any]]:
    """What a grid shows."""
    found = [each.proto for each in app.get("bidi_component") if each.proto.id.endswith(f"-{key}")]
    return json.loads(found[0].json or found[0].mixed.json)["items"] if found else []


def bars(app: AppTest, key: str) -> list[str]:
    """The texts on a chart's bars."""
    chart = next(chart for chart in app.get("plotly_chart") if chart.proto.id.endswith(f"-{key}"))
    return [note["text"] for note in json.loads(chart.proto.spec)["layout"]["annotations"]]


def named(text: str) -> str:
    """The class that a bar is about, without its probability and tick."""
    return text.partition("</b>  ")[2].removeprefix("✓ ")


def probabilities(images: torch.Tensor) -> np.ndarray:
    """What the network says, without any of the page's or the artefacts' code."""
    checkpoint = load_checkpoint("tiny")
    return checkpoint.model(checkpoint.preprocess.centre(images)).softmax(1).numpy()


def val() -> tuple[torch.Tensor, np.ndarray]:
    split = open_dataset("set").split("val")
    return torch.from_numpy(np.array(split.images)), np.array(split.labels)


@pytest.mark.usefixtures("mine")
def test_the_rates_and_the_images_are_those_of_an_independent_count() -> None:
    images, labels = val()
    guessed = probabilities(images)
    wrong = guessed.argmax(1) != labels
    app = opened(criterion="top-1 wrong")
    assert f"{wrong.sum():,} of {VAL} are wrong at top-1" in words(app)
    truth = guessed[np.arange(VAL), labels]
    expected = [place for place in np.argsort(truth, kind="stable") if wrong[place]]
    assert [item["position"] - TRAIN for item in grid(app)] == expected[:48]


@pytest.mark.usefixtures("mine")
def test_pages_hold_48_images_and_a_link_opens_any_of_them() -> None:
    app = opened(criterion="all", order="as stored")
    assert len(grid(app)) == 48
    assert "1 to 48 of 60" in words(app)
    app = opened(criterion="all", order="as stored", page="2")
    assert [item["position"] for item in grid(app)] == list(range(TRAIN + 48, TRAIN + VAL))


@pytest.mark.usefixtures("mine")
def test_the_next_page_is_reached_by_its_button() -> None:
    app = opened(criterion="all", order="as stored")
    alive(app.button(key="page_1").click().run())
    assert [item["position"] for item in grid(app)] == list(range(TRAIN + 48, TRAIN + VAL))
    assert app.button(key="page_1").disabled
    shortcuts = {key: app.button(key=key).proto.shortcut for key in ("page_-1", "page_1", "image_-1", "image_1")}
    assert shortcuts == {"page_-1": "shift+left", "page_1": "shift+right", "image_-1": "left", "image_1": "right"}


@pytest.mark.usefixtures("mine")
def test_another_filter_begins_with_page_one() -> None:
    app = opened(criterion="all", page="2")
    alive(app.selectbox(key="order").set_value("loss").run())
    assert app.number_input(key="page").value == 1


@pytest.mark.usefixtures("mine")
def test_a_shuffle_is_the_same_for_the_same_seed() -> None:
    orders = [
        [item["position"] for item in grid(opened(criterion="all", order="random", seed=seed))] for seed in (1, 1, 2)
    ]
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.usefixtures("mine")
def test_filters_are_taken_from_a_link_and_reset() -> None:
    labels = val()[1]
    app = opened(criterion="all", truth=["class n02"], split="val")
    shown = grid(app)
    assert len(shown) == (labels == 1).sum()
    assert {item["title"] for item in shown} == {"class n02"}
    assert "that pass the filters" in words(app)
    alive(app.button(key="reset").click().run())
    assert app.multiselect(key="truth").value == []
    assert app.selectbox(key="criterion").value == "top-1 wrong"
    assert "that pass the filters" not in words(app)


@pytest.mark.usefixtures("mine")
def test_a_selection_that_is_empty_says_so_and_can_be_reset() -> None:
    app = opened(find="zebra")
    assert "No image is like this" in words(app)
    assert grid(app) == []
    alive(app.button(key="reset").click().run())
    assert grid(app)


@pytest.mark.usefixtures("mine")
def test_all_splits_can_be_looked_at_and_the_held_out_one_comes_first() -> None:
    assert f"of {VAL} are wrong" in words(opened())
    assert f"of {TRAIN + VAL} are wrong" in words(opened(split="all"))


@pytest.mark.usefixtures("mine")
def test_the_card_says_what_the_network_says_intact_without_a_tower_and_in_grey() -> None:
    place = 7
    image = val()[0][place : place + 1]
    checkpoint = load_checkpoint("tiny")
    model, names = checkpoint.model, ["class n01", "class n02", "class n03"]
    lesions = [Lesion(), tower_lesion(model, 0), tower_lesion(model, 1)]
    expected = [row[0].softmax(0).numpy() for row in run_under(model, checkpoint.preprocess.centre(image), lesions)]
    expected.append(probabilities(to_grey(image.float()).round().to(torch.uint8))[0])
    app = opened(picture=str(TRAIN + place))
    keys = ("why_intact", "why_● Tower A off", "why_◆ Tower B off", "why_In grey")
    for key, row in zip(keys, expected, strict=True):
        best = [named(text) for text in bars(app, key)]
        assert best == [names[label] for label in np.argsort(-row)]
        assert f"<b>{row.max():.1%}</b>" in bars(app, key)[0]
    assert [text for text in bars(app, "why_answer") if "✓" in text]


@pytest.mark.usefixtures("mine")
def test_both_maps_of_evidence_share_one_scale() -> None:
    app = opened(picture=str(TRAIN + 7))
    charts = {chart.proto.id: json.loads(chart.proto.spec)["data"][0] for chart in app.get("plotly_chart")}
    tops = {data["zmax"] for key, data in charts.items() if "why_evidence" in key}
    assert len([key for key in charts if "why_evidence" in key]) == 2
    assert len(tops) == 1


def test_neighbours_are_the_nearest_training_images(mine: Workspace) -> None:
    features = open_features(mine).astype(np.float64)
    for row in (TRAIN + 7, 4):
        distances = np.linalg.norm(features[:TRAIN] - features[row], axis=1)
        expected = [place for place in np.argsort(distances) if place != row][:6]
        shown = grid(opened(picture=str(row)), "neighbours")
        assert [item["position"] for item in shown] == expected


@pytest.mark.usefixtures("mine")
def test_a_training_image_comes_with_the_warning_that_its_label_was_learnt() -> None:
    assert "learnt the label, right or wrong" in words(opened(picture="4"))
    assert "learnt the label, right or wrong" not in words(opened(picture=str(TRAIN + 4)))


@pytest.mark.usefixtures("mine")
def test_the_card_leads_to_inspect_with_the_workspace_kept() -> None:
    (link,) = [each.proto for each in opened(picture="35").get("page_link") if "Inspect" in each.proto.label]
    assert "workspace=mine" in link.query_string
    assert "image=35" in link.query_string


@pytest.mark.usefixtures("mine")
def test_keys_go_to_the_next_image_and_close_it() -> None:
    app = opened(criterion="all", order="as stored")
    alive(app.button(key="image_1").click().run())
    assert f"Image {TRAIN}:" in words(app)
    alive(app.button(key="image_1").click().run())
    assert f"Image {TRAIN + 1}:" in words(app)
    alive(app.button(key="close").click().run())
    assert "Open in Inspect" not in words(app)
    assert app.number_input(key="picture").value is None


def evaluation(app: AppTest, part: str) -> str:
    return next(title for title in app.selectbox(key="predictions").options if part in title)


@pytest.mark.usefixtures("mine")
def test_an_evaluation_says_where_the_cards_own_numbers_differ() -> None:
    title = evaluation(opened(), "tower A off")
    app = opened(predictions=title, picture=str(TRAIN + 7))
    assert "All else on this card is computed for the central crop with both towers of tiny on" in words(app)
    assert "tower A off" in words(app)
    assert bars(app, "why_answer")[0] == bars(app, "why_● Tower A off")[0]


@pytest.mark.usefixtures("mine")
def test_an_image_that_an_evaluation_does_not_cover_is_no_failure() -> None:
    app = opened(predictions=evaluation(opened(), "tower A off"), picture="3")
    assert "do not cover image 3" in words(app)


def test_a_linear_head_is_the_judge_of_towers_and_grey_too(mine: Workspace) -> None:
    app = opened("others", picture="30")
    others = find_workspace("others")
    assert others.dataset == "set-of-two"
    assert bars(app, "why_intact")[0] == bars(app, "why_answer")[0]
    assert {named(text) for text in bars(app, "why_In grey")} == {"class n08", "class n09"}


@pytest.mark.usefixtures("mine")
def test_another_workspace_begins_anew() -> None:
    app = opened(predictions=evaluation(opened(), "tower A off"), picture=str(TRAIN + 3), truth=["class n02"])
    assert "Open in Inspect" in str([each.proto.label for each in app.get("page_link")])
    alive(app.selectbox(key="workspace").set_value("others").run())
    assert app.multiselect(key="truth").value == []
    assert app.number_input(key="picture").value is None
    assert {item["title"] for item in grid(app)} <= {"class n08", "class n09"}


@pytest.mark.usefixtures("mine")
def test_nonsense_in_a_link_is_ignored() -> None:
    app = opened(criterion="odd", order="odd", page="99", picture="9999", truth="nobody", section="Roof", split="moon")
    assert grid(app)
    assert app.selectbox(key="criterion").value == "top-1 wrong"


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize("section", ["Browse", "Confusions", "Classes", "Confidence", "Compare", "Figure 4"])
def test_every_section_opens_under_the_same_headline(section: str) -> None:
    app = opened(section=section)
    assert f"of {VAL} are wrong at top-1" in words(app)
    assert bool(grid(app)) == (section == "Browse")


@pytest.mark.usefixtures("mine")
def test_every_image_and_chart_has_a_text_alternative() -> None:
    app = opened(picture="35")
    assert all(item["alt"] for item in (*grid(app), *grid(app, "neighbours")))
    assert all(chart.proto.alt for chart in app.get("plotly_chart"))


def test_without_predictions_the_build_is_offered(mine: Workspace, started: list[tuple[str, ...]]) -> None:
    file = mine.folder / "predictions.parquet"
    content = file.read_bytes()
    try:
        file.write_bytes(content[:-50])
        app = opened()
        assert "predictions of workspace 'mine' do not belong" in words(app)
        app.button(key="build_missing").click().run()
    finally:
        file.write_bytes(content)
    assert ("mine",) in started


@pytest.mark.usefixtures("mine")
def test_a_network_without_images_has_no_errors_to_show() -> None:
    assert "choose a workspace" in words(opened("second (checkpoint only)"))
