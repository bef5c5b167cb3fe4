"""The Inspect page as visitors use it: it opens, follows its widgets, takes any file and lives on."""

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from streamlit.testing.v1 import AppTest

from alexnet_core import Checkpoint, build_model
from alexnet_core.predict import probabilities
from alexnet_core.preprocess import Preprocess
from viz_app import inputs, resources
from viz_app.samples import sample, sample_names
from viz_app.uploads import read_picture

MAIN = Path(__file__).resolve().parents[2] / "viz_app" / "main.py"
CLASSES = [{"id": f"n{n}", "name": f"thing {n}, object {n}"} for n in range(9)] + [{"id": "n9", "name": "tabby cat"}]


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    """A two-tower network whose last layer is loud enough for clear guesses."""
    model = build_model("chm145", 10, input_size=127, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for name in ("fc6", "fc7", "fc8"):
            model.stages[name].weight.mul_(3)
    preprocess = Preprocess(64, 144, 127, torch.full((3, 144, 144), 110.0), torch.eye(3), torch.ones(3))
    return Checkpoint(
        model.eval().requires_grad_(False), {"name": "tiny", "id": "tiny", "classes": CLASSES}, preprocess
    )


pytestmark = pytest.mark.usefixtures("fresh_caches")


@pytest.fixture(autouse=True)
def _in_memory(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "load_checkpoint", lambda name: checkpoint)
    monkeypatch.setattr(resources, "list_checkpoints", lambda: ["tiny"])


def opened(**query: str) -> AppTest:
    app = AppTest.from_file(str(MAIN), default_timeout=120)
    for key, value in ({"workspace": "tiny (checkpoint only)"} | query).items():
        app.query_params[key] = value
    return alive(app.run())


def alive(app: AppTest) -> AppTest:
    assert not app.exception
    assert app.title[0].value == "Inspect a photo"
    return app


def encoded(colour: str = "teal", kind: str = "PNG", **options: Any) -> bytes:
    file = BytesIO()
    Image.new("RGB", (200, 150), colour).save(file, kind, **options)
    return file.getvalue()


def charts(app: AppTest) -> list[dict[str, Any]]:
    return [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]


def titles(app: AppTest) -> list[str]:
    return [str(chart["layout"].get("title", {}).get("text", "")) for chart in charts(app)]


def captions_of(app: AppTest) -> list[str]:
    return [picture.caption for element in app.image for picture in element.proto.imgs]


def test_the_page_opens_with_a_sample_and_shows_every_stage(checkpoint: Checkpoint) -> None:
    app = opened()
    stages = [text for text in captions_of(app) if text.startswith("**")]
    assert [text.split("**")[1] for text in stages] == list(checkpoint.model.stages)
    assert len(charts(app)) == 11
    assert not app.error


def test_every_picture_and_chart_has_a_text_alternative() -> None:
    app = opened()
    assert all(chart.proto.alt for chart in app.get("plotly_chart"))
    assert all(picture.alt for element in app.image for picture in element.proto.imgs)


def test_a_link_opens_the_page_as_it_was_left() -> None:
    app = opened(
        photo="Coffee",
        second="Flower",
        stage="conv3",
        unit="300",
        scale="Each map its own",
        hue="90",
        views="Ten views",
    )
    assert app.selectbox(key="photo").value == "Coffee"
    assert app.selectbox(key="stage").value == "conv3"
    assert app.number_input(key="unit").value == 300
    assert sum(text.endswith("own scales") for text in captions_of(app)) == 2 * 16
    assert "Hues +90°" in captions_of(app)
    assert sum("Unit 300 of conv3 (tower B)" in title for title in titles(app)) == 2


def test_values_in_a_link_that_make_no_sense_are_passed_over() -> None:
    app = opened(photo="Unicorn", stage="conv9", unit="5000", hue="17", views="7")
    assert app.selectbox(key="photo").value == sample_names()[0]
    assert app.selectbox(key="stage").value == "relu1"
    assert app.number_input(key="unit").value == 0


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_an_upload_becomes_the_photo_whatever_its_name_says(kind: str) -> None:
    app = opened()
    alive(app.file_uploader(key="upload").set_value(("mine.jpg", encoded(kind=kind), "image/jpeg")).run())
    assert app.selectbox(key="photo").value == "mine.jpg"
    assert not app.error


def test_an_upload_is_still_there_after_a_visit_to_another_page() -> None:
    app = opened()
    app.file_uploader(key="upload").set_value(("mine.jpg", encoded(), "image/jpeg")).run()
    app.switch_page("views/kernels.py").run()
    assert app.title[0].value == "Kernels"
    alive(app.switch_page("views/image.py").run())
    assert app.selectbox(key="photo").value == "mine.jpg"


def test_of_several_files_two_stand_side_by_side_and_the_others_wait_in_the_list() -> None:
    app = opened()
    files = [(f"{colour}.png", encoded(colour), "image/png") for colour in ("red", "lime", "blue")]
    alive(app.file_uploader(key="upload").set_value(files).run())
    assert (app.selectbox(key="photo").value, app.selectbox(key="second").value) == ("red.png", "lime.png")
    assert len(charts(app)) == 22
    assert "blue.png" in app.selectbox(key="photo").options


def test_the_same_photo_twice_is_shown_once() -> None:
    app = opened()
    files = [(name, encoded(), "image/png") for name in ("one.png", "two.png")]
    alive(app.file_uploader(key="upload").set_value(files).run())
    assert len(charts(app)) == 11


def test_a_shot_of_the_camera_becomes_the_photo_and_stays_beside_uploads() -> None:
    app = opened()
    alive(app.toggle(key="camera_on").set_value(True).run())
    alive(app.camera_input(key="shot").set_value(("shot.jpg", encoded(kind="JPEG"), "image/jpeg")).run())
    assert app.selectbox(key="photo").value == "Camera shot"
    alive(app.file_uploader(key="upload").set_value(("mine.png", encoded("red"), "image/png")).run())
    assert "Camera shot" in app.selectbox(key="photo").options


def test_a_removed_upload_makes_way_for_a_sample() -> None:
    app = opened()
    app.file_uploader(key="upload").set_value(("mine.jpg", encoded(), "image/jpeg")).run()
    alive(app.file_uploader(key="upload").set_value([]).run())
    assert app.selectbox(key="photo").value in sample_names()


def test_a_file_named_like_a_sample_is_numbered() -> None:
    app = opened()
    alive(app.file_uploader(key="upload").set_value((sample_names()[0], encoded(), "image/png")).run())
    assert app.selectbox(key="photo").value == f"{sample_names()[0]} (2)"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "The file is empty"),
        (b"not a picture", "not a picture"),
        (encoded(kind="JPEG")[:400], "damaged or cut short"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (encoded() + bytes(50_000_000), "at most 20 MB"),
    ],
    ids=["empty", "text", "cut", "svg", "50 MB"],
)
def test_a_bad_upload_gets_one_sentence_and_the_page_lives_on(data: bytes, sentence: str) -> None:
    app = opened(photo="Coffee")
    alive(app.file_uploader(key="upload").set_value(("bad_*file*.jpg", data, "image/jpeg")).run())
    (error,) = app.error
    assert sentence in error.value.replace("\\", "")
    assert "bad\\_\\*file" in error.value  # its name is not read as markup
    assert app.selectbox(key="photo").value == "Coffee"
    assert len(charts(app)) == 11


def test_a_good_file_is_used_although_another_is_bad() -> None:
    app = opened()
    files = [("bad.jpg", b"", "image/jpeg"), ("good.png", encoded(), "image/png")]
    alive(app.file_uploader(key="upload").set_value(files).run())
    assert len(app.error) == 1
    assert app.selectbox(key="photo").value == "good.png"


def test_the_first_picture_of_an_animation_is_used_and_the_page_says_so() -> None:
    frames = [Image.new("RGB", (90, 90), colour) for colour in ("red", "blue")]
    file = BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    app = opened()
    alive(app.file_uploader(key="upload").set_value(("moving.gif", file.getvalue(), "image/gif")).run())
    assert "Only the first of 2 pictures" in captions_of(app)[0]


@pytest.mark.parametrize(("choice", "views"), [("Central crop", 1), ("Ten views", 10)])
def test_the_guesses_are_the_network_s_from_one_view_or_ten(checkpoint: Checkpoint, choice: str, views: int) -> None:
    app = opened(views=choice)
    stored = read_picture(sample(sample_names()[0]).data, 64).stored
    expected = probabilities(checkpoint.model, checkpoint.preprocess, stored, views=views)[0].numpy()
    first = charts(app)[0]["layout"]["annotations"][0]["text"]
    assert first.startswith(f"<b>{expected.max():.1%}</b>")
    assert CLASSES[int(expected.argmax())]["name"].split(",")[0] in first


def test_another_stage_with_fewer_units_keeps_the_unit_in_range() -> None:
    app = opened(stage="fc6", unit="4000")
    alive(app.selectbox(key="stage").set_value("conv1").run())
    assert app.number_input(key="unit").value == 95
    assert "Unit 95 of conv1 (tower B)" in titles(app)


def test_evidence_is_shown_for_the_class_that_is_asked_for() -> None:
    app = opened()
    alive(app.selectbox(key="class").set_value("tabby cat").run())
    assert any(title.startswith("Evidence for tabby cat (") for title in titles(app))


def test_the_search_finds_classes_and_admits_what_is_unknown() -> None:
    app = opened()
    alive(app.text_input(key="class_query").set_value("cat").run())
    assert any("1 of 10 classes match" in text.value for text in app.markdown)
    assert app.dataframe[0].value["class"].tolist() == ["tabby cat"]
    alive(app.text_input(key="class_query").set_value("rose").run())
    assert any("the name of something else" in text.value for text in app.markdown)


def test_turning_the_hues_redraws_the_comparison() -> None:
    app = opened()
    before = charts(app)[-1]["data"][0]["y"]
    alive(app.slider(key="hue").set_value(45).run())
    assert "Hues +45°" in captions_of(app)
    assert charts(app)[-1]["data"][0]["y"] != before


def test_a_grey_photo_does_not_change_when_its_colour_is_taken_away() -> None:
    app = opened(photo="Photographer (grey)")
    assert any("tower A by 0% when colour is taken away" in text.value for text in app.markdown)


def test_without_samples_the_page_asks_for_a_photo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "sample_names", tuple)
    app = opened()
    assert "Upload a photo" in app.info[0].value
    alive(app.file_uploader(key="upload").set_value(("mine.png", encoded(), "image/png")).run())
    assert len(charts(app)) == 11


def test_a_network_with_one_tower_is_shown_as_well(monkeypatch: pytest.MonkeyPatch, checkpoint: Checkpoint) -> None:
    single = build_model("chm145", 10, input_size=127, towers=1, generator=torch.Generator().manual_seed(0)).eval()
    other = checkpoint._replace(model=single.requires_grad_(False), card=checkpoint.card | {"id": "single"})
    monkeypatch.setattr(resources, "load_checkpoint", lambda name: other)
    monkeypatch.setattr(resources, "list_checkpoints", lambda: ["single"])
    app = opened(workspace="single (checkpoint only)")
    assert len(charts(app)) == 11
    assert not any("tower B" in title for title in titles(app))
