"""Grad-CAM against autograd through the whole graph and against numbers worked out by hand."""

from copy import deepcopy

import pytest
import torch

from alexnet_core.model import AlexNet, build_model
from analysis.attribution import class_evidence, grad_cam


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(2, 3, 127, 127, generator=torch.Generator().manual_seed(1)) * 60


@pytest.mark.parametrize("stage", ["conv1", "relu1", "pool2", "relu5", "pool5"])
def test_cutting_the_graph_gives_the_map_of_autograd_through_the_whole_network(
    tiny_model: AlexNet, images: torch.Tensor, stage: str
) -> None:
    model = deepcopy(tiny_model).requires_grad_(True)
    logits, taps = model.run(images, taps=(stage,))
    (gradient,) = torch.autograd.grad(logits[:, 3].sum(), taps[stage])
    weights = gradient.sum((2, 3)) / gradient[0, 0].numel()
    expected = torch.einsum("nc,nchw->nhw", weights, taps[stage]).clamp(min=0).detach()
    found = grad_cam(tiny_model, images, 3, stage=stage)
    assert expected.max() > 0
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6 * float(expected.max()))


def test_evidence_is_the_hand_computed_sum_where_one_path_leads_to_the_class() -> None:
    model = build_model("chm145", 2, input_size=127).eval()
    for name in ("fc6", "fc7", "fc8"):
        torch.nn.init.zeros_(model.stages[name].weight)
        torch.nn.init.zeros_(model.stages[name].bias)
    # pool5 position (0, 0) of maps 5 and 9 -> unit 0 -> unit 0 -> class 1, with weights 2 and -1, then 1, then 3;
    # dropout halves both hidden stages at test.
    model.stages["fc6"].weight.data[0, 5 * 9] = 2.0
    model.stages["fc6"].weight.data[0, 9 * 9] = -1.0
    model.stages["fc7"].weight.data[0, 0] = 1.0
    model.stages["fc8"].weight.data[1, 0] = 3.0
    maps = torch.zeros(1, 256, 7, 7)
    maps[0, 5, 1, 1] = 4.0  # the largest value of the first pooling window
    maps[0, 5, 6, 6] = 1.0
    maps[0, 9, 2, 0] = 1.0
    found = class_evidence(model.requires_grad_(False), maps, 1)
    # gradient of map 5: 2 * 1 * 3 / 4 at one of 49 positions, of map 9: -1 * 1 * 3 / 4
    expected = torch.zeros(1, 7, 7)
    expected[0, 1, 1], expected[0, 6, 6] = 4.0 * 1.5 / 49, 1.0 * 1.5 / 49
    torch.testing.assert_close(found, expected)
    assert not class_evidence(model, maps, 0).any()  # no path leads to class 0


def test_evidence_leaves_no_trace_on_the_model_or_the_maps(tiny_model: AlexNet, images: torch.Tensor) -> None:
    before = {name: value.clone() for name, value in tiny_model.state_dict().items()}
    maps = tiny_model.run(images, until="relu5")[0]
    kept = maps.clone()
    class_evidence(tiny_model, maps, 0)
    assert torch.equal(maps, kept)
    assert not maps.requires_grad
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in tiny_model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in tiny_model.state_dict().items())


def test_the_maps_of_different_classes_differ(tiny_model: AlexNet, images: torch.Tensor) -> None:
    assert not torch.allclose(grad_cam(tiny_model, images, 0), grad_cam(tiny_model, images, 1))


@pytest.mark.parametrize(("target", "stage"), [(10, "relu5"), (-1, "relu5"), (0, "fc6"), (0, "conv9")])
def test_unknown_classes_and_stages_without_positions_are_refused(
    tiny_model: AlexNet, images: torch.Tensor, target: int, stage: str
) -> None:
    with pytest.raises(ValueError, match=r"target must be|Grad-CAM needs maps|Unknown stage"):
        grad_cam(tiny_model, images, target, stage=stage)
