"""Why an image was taken for another class: head and towers against what is computed by hand."""

import numpy as np
import pytest
import torch

from alexnet_core import geometry
from alexnet_core.model import AlexNet, build_model
from analysis.attribution import grad_cam
from analysis.why import tower_contributions, with_head
from analysis.workspace.head import Head


@pytest.fixture(autouse=True)
def _few_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geometry, "FC_UNITS", 64)
    monkeypatch.setattr(geometry, "CONV_CHANNELS", (16, 32, 48, 48, 32))


def network(mode: str = "chm145", **changes: int) -> AlexNet:
    model = build_model(mode, 10, input_size=63, generator=torch.Generator().manual_seed(0), **changes)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight *= 8 if name.endswith("weight") else 1
    return model.eval().requires_grad_(False)


def image() -> torch.Tensor:
    return torch.randn(1, 3, 63, 63, generator=torch.Generator().manual_seed(1)) * 60


def a_head() -> Head:
    rng = np.random.default_rng(2)
    return Head(rng.normal(size=(3, 64)).astype(np.float32), rng.normal(size=3).astype(np.float32))


@pytest.mark.parametrize("mode", ["chm145", "caffenet"])
def test_a_network_with_a_head_says_what_the_head_says_of_fc7(mode: str) -> None:
    model, head = network(mode), a_head()
    _, taps = model.run(image(), taps=["relu7"])
    expected = head.log_probabilities(taps["relu7"].numpy())
    found = with_head(model, head)(image()).log_softmax(1).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_head_leaves_the_network_as_it_was_and_shares_its_weights() -> None:
    model = network()
    before = model(image())
    judge = with_head(model, a_head())
    assert judge.config.num_classes == 3
    assert judge.stages["fc6"] is model.stages["fc6"]
    assert not any(weight.requires_grad for weight in judge.parameters())
    assert torch.equal(model(image()), before)
    assert grad_cam(judge, image(), 2).shape == grad_cam(model, image(), 2).shape


def test_the_towers_contributions_are_those_of_units_set_to_zero_by_hand() -> None:
    model = network()
    expected = [model(image()).softmax(1)]
    for tower in range(2):
        x, after = image(), None
        for stage in ("relu1", "relu2"):
            x, _ = model.run(x, after=after, until=stage)
            x, after = x.clone(), stage
            x[:, list(model.units(stage, tower))] = 0
        expected.append(model.run(x, after=after)[0].softmax(1))
    found = tower_contributions(model, image())
    np.testing.assert_allclose(found, torch.cat(expected).numpy(), atol=1e-6)
    assert np.abs(found[1:] - found[0]).max() > 1e-3


def test_a_network_of_one_tower_has_no_tower_to_lose() -> None:
    assert tower_contributions(network(towers=1), image()).shape == (1, 10)
