"""The Towers page as visitors use it: switches and images; what was measured, section by section, or not."""

import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from streamlit.testing.v1 import AppTest

from alexnet_core import Checkpoint
from alexnet_core.colour import to_grey
from alexnet_core.data import open_dataset
from alexnet_core.prism import CLASS_NAMES
from analysis.between.report import between_file
from analysis.experiments.matrix import Matrix
from analysis.experiments.nets import Net
from analysis.lesions.dissociation import lesions_file, save_lesions
from analysis.lesions.lesion import MODES, Lesion, run_under, tower_lesion
from analysis.lesions.photographs import photo_file
from analysis.sealed import save_sealed
from tests.viz_app.lab.world import MATRIX, NETS, between, network, photo_report, split_kernels
from viz_app import resources, switches
from viz_app.lab import networks as networks_section
from viz_app.lab import study
from viz_app.samples import gallery, sample_names
from viz_app.switches import donor_of

MAIN = Path(__file__).resolve().parents[2] / "viz_app" / "main.py"
THINGS = [f"thing {place}" for place in range(10)]


@pytest.fixture(scope="module")
def networks() -> dict[str, Checkpoint]:
    return {
        "prism-127": network("net-prism", list(CLASS_NAMES), kernels=split_kernels()),
        "tiny-imagenet-127": network("net-tiny", THINGS),
        "photos": network("net-photos", THINGS),
        "single": network("net-single", THINGS, towers=1),
        "four": network("net-four", THINGS, towers=4),
    }


pytestmark = pytest.mark.usefixtures("fresh_caches")


@pytest.fixture(autouse=True)
def _in_memory(networks: dict[str, Checkpoint], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "load_checkpoint", networks.__getitem__)
    monkeypatch.setattr(resources, "list_checkpoints", lambda: list(networks))
    monkeypatch.setattr(switches, "REFERENCE", 4)
    monkeypatch.setattr(study, "PHOTOGRAPHS", 8)


@pytest.fixture
def small_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page knows one small matrix whose networks are known."""

    def nets_of(matrix: Matrix) -> list[Net]:
        return NETS if matrix == MATRIX else []

    monkeypatch.setattr(networks_section, "list_matrices", lambda: ["small"])
    monkeypatch.setattr(networks_section, "load_matrix", {"small": MATRIX}.__getitem__)
    monkeypatch.setattr(networks_section, "matrix_nets", nets_of)


@pytest.fixture(scope="module")
def own_photo() -> bytes:
    """A picture as a visitor would hand it over."""
    file = BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


def opened(workspace: str = "prism", **query: str) -> AppTest:
    app = AppTest.from_file(str(MAIN), default_timeout=120)
    for key, value in ({"workspace": workspace} | query).items():
        app.query_params[key] = value
    return alive(app.run().switch_page("views/towers.py").run())


def alive(app: AppTest) -> AppTest:
    assert not app.exception
    return app


def words(app: AppTest) -> str:
    elements = (*app.markdown, *app.caption, *app.info, *app.warning, *app.code)
    return "\n".join(element.value for element in elements).replace("\\", "")


def figure(app: AppTest, key: str) -> dict:
    chart = next(chart for chart in app.get("plotly_chart") if chart.proto.id.endswith(f"-{key}"))
    return json.loads(chart.proto.spec)


def keys(app: AppTest) -> list[str]:
    return [chart.proto.id for chart in app.get("plotly_chart")]


def sentences(app: AppTest) -> list[str]:
    """What the network says, in colour and in grey."""
    return [element.value for element in app.markdown if "Intact:" in element.value]


def answers(checkpoint: Checkpoint, row: int, lesion: Lesion, *, grey: bool = False) -> list[str]:
    """Best guesses for an image of Prism, intact and lesioned, without the page's own code."""
    image = torch.from_numpy(open_dataset("prism-128").split("val").images[row : row + 1])
    shown = to_grey(image.float()) if grey else image
    logits = run_under(checkpoint.model, checkpoint.preprocess.centre(shown), [Lesion(), lesion])
    return [CLASS_NAMES[int(best)] for best in logits[:, 0].argmax(1)]


def test_the_page_says_what_the_network_says_with_and_without_the_tower_in_colour_and_in_grey(networks):
    app = opened(tower_image="7")
    truth = CLASS_NAMES[int(open_dataset("prism-128").split("val").labels[7])]
    for text, grey in zip(sentences(app), (False, True), strict=True):
        before, after = answers(networks["prism-127"], 7, tower_lesion(networks["prism-127"].model, 0), grey=grey)
        assert text.index(truth) < text.index(before, text.index("Intact:")) < text.index(after, text.index("Tower A"))


def test_both_sides_list_the_same_classes_in_the_same_order():
    app = opened(tower_image="7")
    ticks = [figure(app, f"guesses_{side}")["layout"]["yaxis"]["ticktext"] for side in ("original", "grey")]
    assert ticks[0] == ticks[1]


def test_a_switch_changes_the_name_of_what_is_off():
    app = opened()
    assert "Tower A off" in words(app)
    alive(app.toggle(key="tower_b").set_value(False).run())
    assert "Towers A and B off" in words(app)
    assert "All towers are off" in words(app)
    app.toggle(key="tower_a").set_value(True)
    alive(app.toggle(key="tower_b").set_value(True).run())
    assert "Both towers are on" in words(app)
    assert app.button(key="changing_image").disabled


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_works_for_the_whole_tower(mode):
    app = opened(off_how=mode, off_layers="whole tower", tower_image="3")
    assert "Tower A off" in words(app)
    if mode == "resample":
        shown = gallery(open_dataset("prism-128"), ("val",))
        assert shown.name(donor_of(3, 5000)).split(": ")[1] in words(app)


def test_shapes_and_hues_tick_the_truth_on_both_sides():
    app = opened(tower_image="7")
    hue, shape = CLASS_NAMES[int(open_dataset("prism-128").split("val").labels[7])].split()
    for key, name in (("shapes", shape), ("hues", hue)):
        for side in ("original", "grey"):
            assert f"✓ {name}" in figure(app, f"{key}_{side}")["layout"]["yaxis"]["ticktext"]


def test_the_search_goes_to_the_next_image_whose_answer_changes(networks):
    checkpoint = networks["prism-127"]
    lesion = tower_lesion(checkpoint.model, 0)
    app = opened(tower_image="7")
    alive(app.button(key="changing_image").click().run())
    row = app.number_input(key="tower_image").value
    changes = [len(set(answers(checkpoint, other, lesion))) > 1 for other in range(8, row + 1)]
    assert changes == [False] * (len(changes) - 1) + [True]


def test_another_image_is_drawn(monkeypatch):
    monkeypatch.setattr(np.random, "default_rng", lambda seed=None: np.random.Generator(np.random.PCG64(5)))
    app = opened(tower_image="7")
    alive(app.button(key="another_image").click().run())
    assert app.number_input(key="tower_image").value == np.random.Generator(np.random.PCG64(5)).integers(5000)


def test_a_sample_and_a_photo_of_one_s_own_can_be_tried(own_photo):
    app = opened(tower_photo=sample_names()[0])
    assert sample_names()[0] in app.image[0].captions[0]
    assert not [widget for widget in app.number_input if widget.key == "tower_image"]
    alive(app.file_uploader[0].set_value(("mine.png", own_photo, "image/png")).run())
    assert app.selectbox(key="tower_photo").value == "mine.png"
    assert "mine" in app.image[0].captions[0]
    assert len(sentences(app)) == 2
    alive(app.segmented_control(key="off_how").select("resample").run())
    assert "as if they saw another image, the donor" in words(app)


def test_nonsense_in_a_link_is_ignored():
    app = opened(tower_image="99999", off_how="explode", off_layers="roof", tower_a="perhaps", lab="Attic")
    assert app.number_input(key="tower_image").value == 0
    assert "Tower A off" in words(app)


def test_without_images_of_the_workspace_samples_are_shown_and_factors_are_not():
    app = opened("photos (checkpoint only)")
    assert app.selectbox(key="tower_photo").options[0] == sample_names()[0]
    assert sample_names()[0] in app.image[0].captions[0]
    assert not [key for key in keys(app) if "shapes" in key or "hues" in key]


def test_photographs_that_are_not_there_are_offered_and_the_samples_shown_meanwhile():
    app = opened("tiny-imagenet")
    assert "nothing is downloaded unasked" in app.info[0].value
    assert app.button(key="fetch_tiny-imagenet").label.startswith("Fetch Tiny ImageNet")
    assert sample_names()[0] in app.image[0].captions[0]


def test_sections_are_those_that_the_number_of_towers_allows(small_matrix):
    single, four = opened("single (checkpoint only)", lab="Kernels"), opened("four (checkpoint only)", tower_c="false")
    assert "this network has one" in words(single)
    assert "Does it happen?" in words(single)
    assert "Towers A and C off" in words(four)


def test_the_kernels_are_judged_beside_published_ones():
    app = opened(lab="Kernels")
    text = words(app)
    assert "Specialised: difference of mean chroma +0.7" in text
    assert "40 of 44 colour kernels are in one tower (tower B)" in text
    assert figure(app, "references")["layout"]["yaxis"]["ticktext"] == [
        "this network, as trained",
        "AlexNet, figure of 2012",
        "CaffeNet",
    ]
    assert {key.rsplit("-", 1)[1] for key in keys(app)} == {"references", "swarm", "chroma_map", "sweep"}
    table = app.dataframe[1].value
    assert "colour selectivity on images" in set(table["Index"])


def test_kernels_that_are_noise_are_not_measurable_and_the_page_says_so():
    app = opened("photos (checkpoint only)", lab="Kernels")
    assert "Not measurable" in words(app)
    assert not [key for key in keys(app) if key.endswith("-sweep")]


def test_networks_show_every_condition_and_name_what_is_missing(small_matrix):
    app = opened(lab="Networks", condition="nonsense")
    text = words(app)
    assert "3 of 3 beyond the 99.9 % null" in text
    assert "Not trained yet: never." in text
    assert figure(app, "nets")["layout"]["yaxis"]["ticktext"][0] == "case (3)"
    assert "seed 1: step 100" in text
    alive(app.selectbox(key="condition").select("one-tower").run())
    assert "seed 1: never" in words(app)
    alive(app.segmented_control(key="network of one-tower").select("seed 2").run())
    assert "one-tower, seed 2: mean chroma of live kernels" in words(app)


def test_the_networks_that_come_with_the_code_can_be_shown():
    assert "One dot per network" in words(opened(lab="Networks"))


def test_routing_is_measured_at_once_and_the_rest_offered(networks):
    app = opened(lab="Routing")
    text = words(app)
    assert "conv3's squared weights run between the towers" in text
    assert "Inside tower A the strongest axis" in text
    assert "python -m analysis.between net-prism" in text
    save_sealed(between("net-prism"), between_file(networks["prism-127"]))
    app = opened(lab="Routing")
    assert len(figure(app, "similarity")["data"]) == 3
    assert "pool2 +30.0" in words(app)


def test_axes_need_live_kernels():
    assert "too few kernels of conv1 are live" in words(opened("photos (checkpoint only)", lab="Routing"))


def test_without_a_measurement_the_commands_for_it_are_shown():
    text = words(opened(lab="Lesions"))
    assert text.count("Not measured yet") == 2
    assert "python -m analysis.lesions net-prism" in text
    assert "python -m analysis.lesions.photographs net-prism" in text


def test_a_measurement_is_shown_with_its_verdict_figures_and_table(networks, make_report):
    save_lesions(make_report("net-prism"), lesions_file(networks["prism-127"]))
    app = opened(lab="Lesions")
    text = words(app)
    assert "Double dissociation" in text
    assert "above all 200 random lesions" in text
    assert len(figure(app, "drops")["data"]) == 4
    assert len(figure(app, "random")["data"]) == 4
    assert len(app.dataframe) == 2


def test_a_measurement_without_random_lesions_and_factors_is_shown_too(networks, make_report):
    report = make_report("net-photos", factors=False, controls=0)
    save_lesions(report, lesions_file(networks["photos"]))
    app = opened("photos (checkpoint only)", lab="Lesions")
    assert "random lesions were not measured" in words(app)
    assert not [key for key in keys(app) if key.endswith("-random")]


def test_photographs_are_shown_by_any_measure(networks):
    report = photo_report("net-prism")
    save_sealed(report, photo_file(networks["prism-127"]))
    app = opened(lab="Lesions")
    assert report.verdict in words(app)
    assert "random halves against their complements" in words(app)
    assert "percentage points" in figure(app, "photo_drops")["layout"]["xaxis"]["title"]["text"]
    app = opened(lab="Lesions", measure="log p")
    assert "nats" in figure(app, "photo_worth")["layout"]["xaxis"]["title"]["text"]


def test_damaged_measurements_get_one_sentence_each(networks):
    checkpoint = networks["prism-127"]
    for path in (lesions_file(checkpoint), photo_file(checkpoint), between_file(checkpoint)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{")
    assert len(opened(lab="Lesions").warning) == 2
    assert len(opened(lab="Routing").warning) == 1


def test_the_words_are_explained():
    text = words(opened(lab="How to read this"))
    assert "The question was declared before looking" in text
    assert "**A lesion** silences units" in text


@pytest.mark.parametrize("section", ["Try it", "Kernels", "Networks", "Routing", "Lesions"])
def test_every_chart_and_image_has_a_text_alternative(networks, make_report, small_matrix, section):
    save_lesions(make_report("net-prism"), lesions_file(networks["prism-127"]))
    save_sealed(between("net-prism"), between_file(networks["prism-127"]))
    save_sealed(photo_report("net-prism"), photo_file(networks["prism-127"]))
    charts = opened(lab=section).get("plotly_chart")
    assert len(charts) >= 2
    assert all(len(chart.proto.alt) > 40 for chart in charts)
