"""The Kernels page as visitors use it: it opens, follows its widgets and links, and says what it cannot show."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from streamlit.testing.v1 import AppTest

from alexnet_core import Checkpoint, build_model
from alexnet_core.paths import checkpoints_dir
from viz_app import resources

PAGE = Path(__file__).resolve().parents[2] / "viz_app" / "views" / "kernels.py"


def network(name: str, towers: int, planted: bool) -> Checkpoint:
    """A checkpoint in memory; `planted` puts grey gratings into tower A and coloured ones into tower B."""
    model = build_model("chm145", 10, input_size=127, towers=towers, generator=torch.Generator().manual_seed(0))
    if planted:
        row, column = np.mgrid[:11, :11]
        angle = np.linspace(0, np.pi, 96)[:, None, None]
        waves = np.cos(0.7 * (np.cos(angle) * column + np.sin(angle) * row))[:, None]
        colours = np.repeat([[1, 1, 1], [2, -1, -1]], 48, axis=0)[:, :, None, None]
        with torch.no_grad():
            model.stages["conv1"].weight.copy_(torch.from_numpy(0.1 * waves * colours))
    # the preprocessing is not read by this page
    return Checkpoint(model.eval().requires_grad_(False), {"name": name, "id": name}, preprocess=None)


@pytest.fixture(scope="module")
def networks() -> dict[str, Checkpoint]:
    kinds = {"split": (2, True), "untrained": (2, False), "single": (1, False), "four": (4, False)}
    return {name: network(name, *kind) for name, kind in kinds.items()}


pytestmark = pytest.mark.usefixtures("fresh_caches")


@pytest.fixture(autouse=True)
def _in_memory(networks: dict[str, Checkpoint], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "load_checkpoint", networks.__getitem__)
    monkeypatch.setattr(resources, "list_checkpoints", lambda: list(networks))


def opened(name: str = "split", **query: str) -> AppTest:
    app = AppTest.from_file(str(PAGE), default_timeout=60)
    app.session_state["workspace"] = f"{name} (checkpoint only)"
    for key, value in query.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception
    return app


def replayed(networks: dict[str, Checkpoint], steps: list[int], *, torn: bool = False) -> str:
    """Name of a copy of the split network with snapshots: noise, over which the finished kernels come in."""
    name = f"replayed {len(networks)}"  # of its own, so that no cache knows it
    networks[name] = networks["split"]._replace(card={"name": name, "id": name})
    end = networks[name].model.kernels("conv1").numpy()
    noise = np.random.default_rng(0).normal(size=end.shape) * 0.01
    kernels = np.stack([noise + end * step / steps[-1] for step in steps]).astype(np.float16)
    about = {"steps": json.dumps(steps), "noise_left": json.dumps([1.0] * len(steps))}
    path = checkpoints_dir() / f"{name}.conv1.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"kernels": kernels}, path, metadata=about)
    if torn:
        path.write_bytes(path.read_bytes()[:1000])
    return name


def words(app: AppTest) -> str:
    return "\n".join(element.value for element in (*app.markdown, *app.caption, *app.info, *app.warning))


def figure(app: AppTest, key: str) -> dict:
    chart = next(chart for chart in app.get("plotly_chart") if chart.proto.id.endswith(f"-{key}"))
    return json.loads(chart.proto.spec)


def test_a_planted_split_is_counted_and_called_specialised():
    text = words(opened())
    assert "48 of 48 colour kernels are in one tower (tower B); 48 of its 48 are colour." in text
    assert "Permutation p ≤ 1e-5" in text
    assert "Specialised" in text
    assert "tower A 0.00, tower B 1.00" in text


def test_an_untrained_network_is_called_not_measurable():
    assert "Not measurable" in words(opened("untrained"))


@pytest.mark.parametrize(("name", "count"), [("single", 1), ("four", 4)])
def test_networks_of_other_shapes_get_their_board_and_a_sentence(name, count):
    app = opened(name)
    assert f"this network has {count}." in words(app)
    assert len(figure(app, "board")["layout"]["annotations"]) == count


@pytest.mark.parametrize("name", ["split", "single", "four"])
def test_every_deeper_layer_shows_its_last_unit(name):
    app = opened(name)
    for layer, units in {"conv2": 256, "conv3": 384, "conv4": 384, "conv5": 256}.items():
        app.segmented_control(key="layer").set_value(layer).run()
        app.number_input(key=f"{layer}_unit").set_value(units - 1).run()
        assert not app.exception
        assert f"Unit {units - 1} of {layer}" in words(app)


def test_the_page_of_channels_can_be_turned():
    app = opened(layer="conv3", conv3_page="3")
    assert "64 input channels of ◆ tower B, 128 to 191" in words(app)


def test_a_link_opens_the_kernel_it_names():
    app = opened(kernel="60", sort="hue", contrast="each its own", swap="true")
    assert app.number_input(key="kernel").value == 60
    assert "Kernel 60, ◆ tower B: colour kernel" in words(app)
    assert "tower B" in figure(app, "board")["layout"]["annotations"][0]["text"]


def test_nonsense_in_a_link_is_ignored():
    app = opened(kernel="4000", sort="by smell", layer="conv9", threshold="high")
    assert app.number_input(key="kernel").value == 0
    assert app.selectbox(key="sort").value == "number"


def test_sorting_moves_the_kernels_and_keeps_them_all():
    app, seen = opened(), set()
    for order in ("number", "chroma", "hue", "frequency", "orientation", "norm"):
        app.selectbox(key="sort").set_value(order).run()
        assert not app.exception
        markers = figure(app, "board")["data"][1]
        assert len(markers["text"]) == 96
        seen.add(json.dumps([markers["x"], markers["y"]]))
    assert len(seen) > 3  # the planted kernels tie in some orders


def test_choosing_another_kernel_changes_its_numbers():
    app = opened()
    assert "Kernel 0, ● tower A: no colour kernel" in words(app)
    app.number_input(key="kernel").set_value(95).run()
    assert "Kernel 95, ◆ tower B: colour kernel" in words(app)
    assert "red, 0°" in words(app)


def test_an_own_threshold_changes_the_marks_but_not_the_test():
    app = opened(own_threshold="true", threshold="0")
    assert "48 of 96 colour kernels" in words(app)
    assert "Permutation p ≤ 1e-5" in words(app)


def test_without_snapshots_there_is_no_slider_for_training():
    assert not opened().select_slider


def test_snapshots_can_be_replayed_with_and_without_noise(networks):
    app = opened(replayed(networks, [0, 10, 100]))
    assert "learned part: tower A" in words(app)
    app.select_slider(key="step").set_value("0").run()
    assert "Not measurable" in words(app)
    app.select_slider(key="step").set_value("100")
    app.segmented_control(key="part").set_value("learned part").run()
    assert not app.exception
    assert "tower A 0.00, tower B 1.00" in words(app)


def test_at_step_0_nothing_is_learned_and_the_page_lives(networks):
    app = opened(replayed(networks, [0, 100]), step="0", part="learned part")
    assert "Not measurable: 0 live kernels" in words(app)
    assert "undefined" in words(app)


def test_snapshots_that_begin_late_are_replayed_as_trained_only(networks):
    app = opened(replayed(networks, [10, 100]))
    assert len(app.select_slider) == 1
    assert "learned part" not in words(app)


def test_damaged_snapshots_get_one_sentence_and_the_board_is_shown(networks):
    app = opened(replayed(networks, [0, 100], torn=True))
    assert "The course of training cannot be shown." in app.warning[0].value
    assert figure(app, "board")


def test_every_chart_has_a_text_alternative(networks):
    name = replayed(networks, [0, 100])
    charts = [*opened(name).get("plotly_chart"), *opened(name, layer="conv4").get("plotly_chart")]
    assert len(charts) == 7
    assert all(len(chart.proto.alt) > 40 for chart in charts)
