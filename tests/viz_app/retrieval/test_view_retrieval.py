"""The Retrieval page as visitors use it: neighbours, the trail, links, one's own photo, two lists, what is missing."""

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from alexnet_core.data import open_dataset
from analysis.retrieval.spaces import Space, open_space
from analysis.workspace import Workspace, find_workspace, open_features
from tests.viz_app.retrieval.world import STAGE, TRAIN, VAL
from viz_app.retrieval import choose

MAIN = Path(__file__).resolve().parents[3] / "viz_app" / "main.py"

pytestmark = pytest.mark.usefixtures("fresh_caches")


def opened(workspace: str = "mine", **query: Any) -> AppTest:
    app = AppTest.from_file(str(MAIN), default_timeout=120)
    for key, value in ({"workspace": workspace} | query).items():
        app.query_params[key] = value
    return alive(app.run().switch_page("views/retrieval.py").run())


def alive(app: AppTest) -> AppTest:
    assert not app.exception
    return app


def words(app: AppTest) -> str:
    kinds = (app.markdown, app.caption, app.info, app.warning, app.error)
    return "\n".join(element.value for kind in kinds for element in kind).replace("\\", "")


def grid(app: AppTest, key: str = "neighbours_found") -> list[dict[str, Any]]:
    """What a grid shows."""
    found = [each.proto for each in app.get("bidi_component") if each.proto.id.endswith(f"-{key}")]
    return json.loads(found[0].json or found[0].mixed.json)["items"] if found else []


def rows(app: AppTest, key: str = "neighbours_found") -> list[int]:
    return [item["position"] for item in grid(app, key)]


def trail(app: AppTest) -> list[str]:
    found = app.query_params.get("trail", [])
    return [found] if isinstance(found, str) else list(found)


def nearest(features: np.ndarray, row: int, among: range, k: int) -> list[int]:
    """Brute force, without any of the product's code."""
    distances = np.linalg.norm(features.astype(np.float64) - features[row].astype(np.float64), axis=1)
    return [int(found) for found in np.argsort(distances, kind="stable") if found in among and found != row][:k]


def test_the_neighbours_are_the_nearest_training_images_and_the_distances_are_shown(mine: Workspace) -> None:
    features, row = open_features(mine), TRAIN + 7
    app = opened(trail=[str(row)])
    expected = nearest(features, row, range(TRAIN), 6)
    assert rows(app) == expected
    distance = np.linalg.norm(features[expected[0]].astype(float) - features[row].astype(float))
    assert grid(app)[0]["lines"] == [f"1: distance {distance:.1f}"]


@pytest.mark.usefixtures("mine")
def test_the_first_held_out_image_is_asked_about_where_the_address_says_nothing() -> None:
    app = opened()
    assert trail(app) == []
    assert f"Image {TRAIN}" in words(app)


@pytest.mark.usefixtures("mine")
def test_another_image_is_added_to_the_trail_and_a_breadcrumb_leads_back() -> None:
    app = opened()
    first = rows(app)
    alive(app.number_input(key="asked_row").set_value(5).run())
    alive(app.number_input(key="asked_row").set_value(9).run())
    assert trail(app) == [str(TRAIN), "5", "9"]
    assert app.button(key="trail_1").label.replace("\\", "").startswith("5: class")
    alive(app.button(key="trail_0").click().run())
    assert trail(app) == [str(TRAIN)]
    assert rows(app) == first


@pytest.mark.usefixtures("mine")
def test_the_browsers_back_is_followed() -> None:
    app = opened()
    alive(app.number_input(key="asked_row").set_value(5).run())
    app.query_params["trail"] = [str(TRAIN)]
    assert "Image 30" in words(alive(app.run()))
    assert trail(app) == [str(TRAIN)]


@pytest.mark.usefixtures("mine")
def test_a_link_with_a_trail_opens_where_it_was() -> None:
    app = opened(trail=["3", "40", "7"], k="4", among="all")
    assert "Image 7" in words(app)
    assert len(rows(app)) == 4
    assert [app.button(key=f"trail_{place}").label.split("\\")[0] for place in range(2)] == ["3", "40"]


def test_a_training_image_does_not_find_itself(mine: Workspace) -> None:
    app = opened(trail=["4"])
    assert rows(app) == nearest(open_features(mine), 4, range(TRAIN), 6)
    assert "The image itself is left out" in words(app)


def test_the_search_is_among_the_split_and_the_classes_that_were_chosen(mine: Workspace) -> None:
    features = open_features(mine)
    assert rows(opened(trail=["4"], among="val")) == nearest(features, 4, range(TRAIN, TRAIN + VAL), 6)
    assert rows(opened(trail=["4"], among="all")) == nearest(features, 4, range(TRAIN + VAL), 6)
    app = opened(trail=["4"], only=["class n02"])
    labels = np.tile([0, 1, 2], TRAIN // 3)
    of_class = [row for row in nearest(features, 4, range(TRAIN), TRAIN) if labels[row] == 1]
    assert rows(app) == of_class[:6]
    assert "0 share its class" in words(app) or "6 share its class" in words(app)


def test_one_tower_alone_is_compared_by_its_half_of_the_units(mine: Workspace) -> None:
    features = open_features(mine)
    half = features.shape[1] // 2
    for name, part in (("● Tower A", features[:, :half]), ("◆ Tower B", features[:, half:])):
        assert rows(opened(trail=["35"], half=name)) == nearest(part, 35, range(TRAIN), 6)


def test_cosine_distances_are_shown_to_three_digits(mine: Workspace) -> None:
    features = open_features(mine).astype(np.float64)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    distances = np.sort(1 - unit[:TRAIN] @ unit[35])[:6]
    shown = [item["lines"][0] for item in grid(opened(metric="Cosine", trail=["35"]))]
    assert shown == [f"{rank}: distance {distance:.3f}" for rank, distance in enumerate(distances, 1)]


@pytest.mark.usefixtures("mine")
def test_another_stage_can_be_compared() -> None:
    app = opened(compared_stage=STAGE)
    assert app.selectbox(key="compared_stage").value == STAGE
    assert len(rows(app)) == 6


@pytest.mark.usefixtures("mine")
def test_agreement_is_ticked_and_counted_against_chance() -> None:
    app = opened(trail=["31"], k="10")
    same = sum(item["title"].startswith("✓ ") for item in grid(app))
    assert {item["title"][:2] for item in grid(app)} <= {"✓ ", "✕ "}
    assert f"Of 10 neighbours {same} share" in words(app).replace("**", "")
    assert "(by chance 3.3)" in words(app)  # a third of 30 training images


def encoded(colour: str = "red") -> bytes:
    file = BytesIO()
    Image.new("RGB", (40, 30), colour).save(file, "PNG")
    return file.getvalue()


@pytest.mark.usefixtures("mine")
def test_an_upload_finds_neighbours_and_is_missed_in_another_session() -> None:
    app = opened()
    alive(app.file_uploader(key="upload").set_value(("own.png", encoded(), "image/png")).run())
    assert trail(app) == [str(TRAIN), "own.png"]
    assert len(rows(app)) == 6
    assert "class is not known" in words(app)
    assert not any(item["title"][0] in "✓✕" for item in grid(app))
    later = opened(trail=[str(TRAIN), "own.png"], metric="Cosine")
    assert later.selectbox(key="metric").value == "cosine"
    assert "Upload it again" in words(later)
    alive(later.button(key="trail_0").click().run())
    assert rows(later)


@pytest.mark.usefixtures("mine")
def test_an_image_that_is_uploaded_finds_itself_first() -> None:
    file = BytesIO()
    pixels = open_dataset("set").split("train").images[11].transpose(1, 2, 0)
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG")
    app = opened()
    alive(app.file_uploader(key="upload").set_value(("copy.png", file.getvalue(), "image/png")).run())
    assert rows(app)[0] == 11
    assert grid(app)[0]["lines"] == ["1: distance 0.0"]
    alive(app.toggle(key="no_duplicates").set_value(True).run())
    assert 11 not in rows(app)
    assert "Near duplicates left out: " in words(app)


@pytest.mark.usefixtures("mine")
def test_a_sample_photo_can_be_asked_about() -> None:
    app = opened()
    alive(app.selectbox(key="asked_photo").set_value("Coffee").run())
    assert trail(app)[-1] == "Coffee"
    assert len(rows(app)) == 6


@pytest.mark.usefixtures("mine")
def test_a_part_of_a_photo_is_a_query_of_its_own() -> None:
    whole, part = opened(trail=["Coffee"]), opened(trail=["Coffee@10,20,120,100"])
    assert "Coffee (crop 10,20 120x100)" in words(part)
    assert [item["lines"] for item in grid(part)] != [item["lines"] for item in grid(whole)]


@pytest.mark.usefixtures("mine")
def test_another_workspace_forgets_the_images_of_the_first_one_but_not_the_photos() -> None:
    app = opened(trail=["3", "Coffee", "80"], only=["class n02"])
    alive(app.selectbox(key="workspace").set_value("others").run())
    assert trail(app) == ["Coffee"]
    assert app.multiselect(key="only").value == []


@pytest.mark.usefixtures("mine")
def test_nonsense_in_a_link_is_said_or_ignored() -> None:
    app = opened(metric="odd", k="9999", retrieval="Roof", half="Tower Z", among="moon", only="nobody")
    assert app.selectbox(key="metric").value == "euclidean"
    assert len(rows(app)) == 6
    assert "There is no image 99999" in words(opened(trail=["99999"]))
    assert "Upload it again" in words(opened(trail=["@@1,2"]))


@pytest.mark.usefixtures("mine")
def test_where_fewer_images_may_be_found_fewer_are() -> None:
    app = opened("others", only=["class n08"], among="val", trail=["0"], k="60")
    assert len(rows(app)) == 6
    assert "Of 6 neighbours" in words(app)


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize("section", ["Neighbours", "Two lists", "Map", "Figure 4", "Quality"])
def test_every_section_opens(section: str) -> None:
    app = opened(retrieval=section)
    assert app.segmented_control(key="retrieval").value == section


@pytest.mark.usefixtures("mine")
def test_every_thumbnail_and_picture_has_a_text_alternative() -> None:
    app = opened(trail=["31"])
    assert all(item["alt"] for item in grid(app))
    assert all(image.alt for block in app.get("imgs") for image in block.proto.imgs)


def test_without_an_index_the_build_is_offered(mine: Workspace, started: list[tuple[str, ...]]) -> None:
    manifest = mine.folder / "manifest.json"
    content = manifest.read_bytes()
    try:
        manifest.write_bytes(content.replace(b'"index"', b'"undex"'))
        app = opened()
        app.button(key="build_missing").click().run()
    finally:
        manifest.write_bytes(content)
    assert ("mine",) in started


@pytest.mark.usefixtures("mine")
def test_a_network_without_images_has_no_neighbours() -> None:
    assert "choose a workspace" in words(opened("lonely (checkpoint only)"))


def test_an_index_that_takes_long_is_made_when_asked_and_says_what_was_measured(
    mine: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose, "APPROXIMATE_FROM", 1)
    app = opened(index="HNSW", trail=["35"])
    assert "is not there yet" in words(app)
    assert "Make this index" in [button.label for button in app.button]
    assert rows(app) == []
    open_space(mine, Space(kind="HNSW32_SQ8"))
    app = opened(index="HNSW", trail=["35"])
    assert rows(app) == nearest(open_features(mine), 35, range(TRAIN), 6)
    assert "HNSW32_SQ8" in words(app)
    assert "recall@10" in words(app)
    both = opened(retrieval="Two lists", lists="Indexes", second_kind="HNSW", trail=["35"])
    assert "share 6 of 6 neighbours" in words(both).replace("**", "")


# Two lists.


def test_the_halves_of_the_towers_stand_side_by_side_with_their_overlap(mine: Workspace) -> None:
    features = open_features(mine)
    half = features.shape[1] // 2
    app = opened(retrieval="Two lists", trail=["35"])
    first, second = (nearest(part, 35, range(TRAIN), 6) for part in (features[:, :half], features[:, half:]))
    assert (rows(app, "first_grid"), rows(app, "second_grid")) == (first, second)
    both = len({*first} & {*second})
    assert f"share {both} of 6 neighbours: overlap@6 is {both / 6:.2f}" in words(app).replace("**", "")
    assert "30 images would share 1.2" in words(app)
    only = [row for row, item in zip(first, grid(app, "first_grid"), strict=True) if item["lines"][1] == "only here"]
    assert only == [row for row in first if row not in second]


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(
    ("what", "titles"),
    [("Distances", ["Euclidean", "Cosine"]), ("Stages", ["fc7", STAGE]), ("Networks", ["mine", "theirs"])],
)
def test_two_stages_metrics_or_networks_can_be_compared(what: str, titles: list[str]) -> None:
    app = opened(retrieval="Two lists", lists=what)
    field = {"Distances": "metric", "Stages": "stage", "Networks": "network"}[what]
    assert [app.selectbox(key=f"{place}_{field}").value for place in ("first", "second")] == titles
    assert len(rows(app, "first_grid")) == len(rows(app, "second_grid")) == 6


def test_another_networks_list_is_by_its_own_features(mine: Workspace) -> None:
    app = opened(retrieval="Two lists", lists="Networks", trail=["35"])
    assert rows(app, "first_grid") == nearest(open_features(mine), 35, range(TRAIN), 6)
    assert rows(app, "second_grid") == nearest(open_features(find_workspace("theirs")), 35, range(TRAIN), 6)


@pytest.mark.usefixtures("mine")
def test_where_there_is_only_one_choice_that_is_said_with_the_command() -> None:
    assert "always compared exactly" in words(opened(retrieval="Two lists", lists="Indexes"))
    app = opened("others", retrieval="Two lists", lists="Stages")
    assert "python -m analysis.features tiny set-of-two --stage pool5" in words(app)
    assert "No other workspace has these images" in words(opened("others", retrieval="Two lists", lists="Networks"))
