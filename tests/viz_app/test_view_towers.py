"""The Towers page as visitors use it: switches, images, the search for a change, and what was measured or not."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from alexnet_core import Checkpoint, build_model
from alexnet_core.data import open_dataset
from alexnet_core.preprocess import Preprocess
from alexnet_core.prism import CLASS_NAMES
from analysis.dissociation import lesions_file, save_lesions
from analysis.lesion import MODES, Lesion, run_under, tower_lesion
from viz_app import resources, switches
from viz_app.samples import gallery, sample_names
from viz_app.switches import donor_of

MAIN = Path(__file__).resolve().parents[2] / "viz_app" / "main.py"


def network(classes: int, names: list[str], towers: int = 2) -> Checkpoint:
    """A network whose last layers are loud enough for answers that change; small images, so that Prism is quick."""
    model = build_model("chm145", classes, input_size=127, towers=towers, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for name in ("conv3", "fc6", "fc7", "fc8"):
            model.stages[name].weight.mul_(3)
    preprocess = Preprocess(128, 136, 127, torch.full((3, 136, 136), 110.0), torch.eye(3), torch.ones(3))
    card = {"name": f"net-{classes}-{towers}", "id": f"net-{classes}-{towers}"}
    card["classes"] = [{"id": f"n{place}", "name": name} for place, name in enumerate(names)]
    return Checkpoint(model.eval().requires_grad_(False), card, preprocess)


@pytest.fixture(scope="module")
def networks() -> dict[str, Checkpoint]:
    things = [f"thing {place}" for place in range(10)]
    return {
        "prism-127": network(100, list(CLASS_NAMES)),
        "tiny-imagenet-127": network(10, things),
        "photos": network(10, things),
        "single": network(10, things, towers=1),
        "four": network(10, things, towers=4),
    }


pytestmark = pytest.mark.usefixtures("fresh_caches")


@pytest.fixture(autouse=True)
def _in_memory(networks: dict[str, Checkpoint], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "load_checkpoint", networks.__getitem__)
    monkeypatch.setattr(resources, "list_checkpoints", lambda: list(networks))
    monkeypatch.setattr(switches, "REFERENCE", 4)


def opened(workspace: str = "prism", **query: str) -> AppTest:
    app = AppTest.from_file(str(MAIN), default_timeout=120)
    for key, value in ({"workspace": workspace} | query).items():
        app.query_params[key] = value
    return alive(app.run().switch_page("views/towers.py").run())


def alive(app: AppTest) -> AppTest:
    assert not app.exception
    return app


def words(app: AppTest) -> str:
    return "\n".join(element.value for element in (*app.markdown, *app.caption, *app.info, *app.warning, *app.code))


def figure(app: AppTest, key: str) -> dict:
    chart = next(chart for chart in app.get("plotly_chart") if chart.proto.id.endswith(f"-{key}"))
    return json.loads(chart.proto.spec)


def keys(app: AppTest) -> list[str]:
    return [chart.proto.id for chart in app.get("plotly_chart")]


def answers(checkpoint: Checkpoint, row: int, lesion: Lesion) -> list[str]:
    """Best guesses for an image of Prism, intact and lesioned, without the page's own code."""
    image = torch.from_numpy(open_dataset("prism-128").split("val").images[row : row + 1])
    logits = run_under(checkpoint.model, checkpoint.preprocess.centre(image), [Lesion(), lesion])
    return [CLASS_NAMES[int(best)] for best in logits[:, 0].argmax(1)]


def test_the_page_says_what_the_network_says_with_and_without_the_tower(networks):
    app = opened(tower_image="7")
    before, after = answers(networks["prism-127"], 7, tower_lesion(networks["prism-127"].model, 0))
    text = next(element.value for element in app.markdown if "Intact:" in element.value)
    truth = CLASS_NAMES[int(open_dataset("prism-128").split("val").labels[7])]
    assert text.index(truth) < text.index(before, text.index("Intact:")) < text.index(after, text.index("Tower A off"))


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


def test_shapes_and_hues_sum_to_one_and_tick_the_truth():
    app = opened(tower_image="7")
    truth = CLASS_NAMES[int(open_dataset("prism-128").split("val").labels[7])]
    for key, name in (("shapes_bars", truth.split()[1]), ("hues_bars", truth.split()[0])):
        assert f"✓ {name}" in figure(app, key)["layout"]["yaxis"]["ticktext"]


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


def test_nonsense_in_a_link_is_ignored():
    app = opened(tower_image="99999", off_how="explode", off_layers="roof", tower_a="perhaps")
    assert app.number_input(key="tower_image").value == 0
    assert "Tower A off" in words(app)


def test_without_images_of_the_workspace_samples_are_shown_and_factors_are_not():
    app = opened("photos (checkpoint only)")
    assert "these are sample photos" in words(app)
    assert sample_names()[0] in app.image[0].captions[0]
    assert not [key for key in keys(app) if "shapes" in key or "hues" in key]


def test_photographs_that_are_not_there_are_offered_and_the_samples_shown_meanwhile():
    app = opened("tiny-imagenet")
    assert "nothing is downloaded unasked" in app.info[0].value
    assert app.button(key="fetch_tiny-imagenet").label.startswith("Fetch Tiny ImageNet")
    assert "these are sample photos" in words(app)


def test_a_number_that_the_next_workspace_lacks_is_left_behind():
    app = opened(tower_image="4000")
    app.selectbox(key="workspace").set_value("photos (checkpoint only)")
    alive(app.run())
    assert app.number_input(key="tower_image").value == 0


def test_one_tower_cannot_be_switched_off_and_four_can():
    assert "this network has one" in words(opened("single (checkpoint only)"))
    four = opened("four (checkpoint only)", tower_c="false")
    assert "Tower" in words(four)
    assert "Towers A and C off" in words(four)


def test_without_a_measurement_the_command_for_it_is_shown():
    text = words(opened())
    assert "Not measured yet" in text
    assert "python -m analysis.lesion net-100-2" in text


def test_a_measurement_is_shown_with_its_verdict_figures_and_table(networks, make_report):
    report = make_report(networks["prism-127"].id)
    save_lesions(report, lesions_file(networks["prism-127"]))
    app = opened()
    text = words(app)
    assert "Double dissociation" in text.replace("\\", "")
    assert "above all 200 random lesions" in text
    assert len(figure(app, "drops")["data"]) == 4
    assert len(figure(app, "random")["data"]) == 4
    assert len(app.dataframe) == 2


def test_a_measurement_without_random_lesions_and_factors_is_shown_too(networks, make_report):
    report = make_report(networks["photos"].id, factors=False, controls=0)
    save_lesions(report, lesions_file(networks["photos"]))
    app = opened("photos (checkpoint only)")
    assert "random lesions were not measured" in words(app).replace("\\", "")
    assert not [key for key in keys(app) if key.endswith("-random")]


def test_a_damaged_measurement_gets_one_sentence_and_the_switches_work(networks):
    path = lesions_file(networks["prism-127"])
    path.parent.mkdir(parents=True)
    path.write_text("{")
    app = opened()
    assert "The measurement cannot be shown" in app.warning[0].value
    assert "Tower A off" in words(app)


def test_the_kernels_verdict_is_told_in_a_line():
    assert "First-layer kernels of this network, mean chroma: tower A" in words(opened())


def test_every_chart_and_image_has_a_text_alternative(networks, make_report):
    save_lesions(make_report(networks["prism-127"].id), lesions_file(networks["prism-127"]))
    charts = opened(off_how="resample").get("plotly_chart")
    assert len(charts) == 5
    assert all(len(chart.proto.alt) > 40 for chart in charts)
