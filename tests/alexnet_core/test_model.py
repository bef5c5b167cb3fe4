"""The network: towers that do not talk, parts that add up to the whole, and no hidden state."""

from concurrent.futures import ThreadPoolExecutor
from itertools import combinations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alexnet_core.config import MODES
from alexnet_core.lrn import local_response_norm, map_response_norm
from alexnet_core.model import AlexNet, build_model

pytestmark = pytest.mark.usefixtures("narrow")

BEFORE_CONV3 = ("norm1", "pool1", "relu1", "conv2", "relu2", "norm2", "cnorm2", "pool2")
AFTER_CONV3 = ("conv4", "relu4", "conv5", "relu5", "pool5")


def small(mode: str = "chm145", **changes: object) -> AlexNet:
    """Random weights, 63 px, 5 classes, eval mode."""
    model = build_model(mode, 5, generator=torch.Generator().manual_seed(0), **{"input_size": 63, **changes})
    return model.eval().requires_grad_(False)


def photos(n: int = 2, size: int = 63, *, seed: int = 1) -> Tensor:
    """Random input of the strength that raw pixels minus their mean have."""
    return 60 * torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def model(narrow: int) -> AlexNet:
    return small()


def only_own_tower_moves(model: AlexNet, start: str, tower: int, stage: str) -> bool:
    """Nothing outside the disturbed tower; inside it every convolution (a ReLU may stay silent either way)."""
    own, moved = set(model.units(stage, tower)), moved_units(model, start, tower, stage)
    return moved == own if stage.startswith("conv") else bool(moved) and moved <= own


def moved_units(model: AlexNet, start: str, tower: int, stage: str) -> set[int]:
    """Units of `stage` whose output changes at all when one tower's units of `start` are disturbed."""
    plain, _ = model.run(photos(), until=start)
    disturbed = plain.clone()
    disturbed[:, model.units(start, tower)] += torch.rand(plain[:, model.units(start, tower)].shape) * 30
    before, _ = model.run(plain, after=start, until=stage)
    after, _ = model.run(disturbed, after=start, until=stage)
    return set((before != after).flatten(2).any(2).any(0).nonzero().flatten().tolist())


@pytest.mark.parametrize("towers", [2, 4])
@pytest.mark.parametrize("mode", ["chm145", "paper"])
def test_towers_do_not_talk_before_conv3(mode: str, towers: int) -> None:
    model = small(mode, towers=towers)
    for stage in BEFORE_CONV3:
        if stage in model.stages:
            assert all(only_own_tower_moves(model, "conv1", tower, stage) for tower in range(towers)), stage


@pytest.mark.parametrize("towers", [2, 4])
def test_every_unit_of_conv3_sees_every_tower(towers: int) -> None:
    model = small(towers=towers)
    for tower in range(towers):
        assert moved_units(model, "conv1", tower, "conv3") == set(range(384))


@pytest.mark.parametrize("towers", [2, 4])
def test_towers_do_not_talk_between_conv3_and_fc6(towers: int) -> None:
    model = small(towers=towers)
    for stage in AFTER_CONV3:
        assert all(only_own_tower_moves(model, "conv3", tower, stage) for tower in range(towers)), stage


@pytest.mark.parametrize("tower", [0, 1])
def test_every_unit_of_fc6_sees_both_towers(model: AlexNet, tower: int) -> None:
    plain, _ = model.run(photos(), until="pool5")
    disturbed = plain.clone()
    disturbed[:, model.units("pool5", tower)] += 1
    change = model.run(disturbed, after="pool5", until="fc6")[0] - model.run(plain, after="pool5", until="fc6")[0]
    assert (change != 0).any(0).all()


def test_the_ungrouped_network_is_one_tower_that_talks_everywhere() -> None:
    model = small(towers=1)
    plain, _ = model.run(photos(), until="conv1")
    disturbed = plain.clone()
    disturbed[:, 0] += 1
    change = model.run(disturbed, after="conv1", until="conv2")[0] - model.run(plain, after="conv1", until="conv2")[0]
    assert (change != 0).flatten(2).any(2).any(0).all()
    assert model.units("conv2", 0) == range(256)


@pytest.mark.parametrize("towers", [1, 2, 4])
def test_tower_of_and_units_are_two_views_of_one_partition(towers: int) -> None:
    with torch.device("meta"):
        model = build_model("chm145", towers=towers)
    for stage in model.config.stages[:-1]:
        units = [(unit, tower) for tower in range(towers) for unit in model.units(stage, tower)]
        assert [unit for unit, _ in units] == list(range(len(units)))
        assert [model.tower_of(stage, unit) for unit, _ in units] == [tower for _, tower in units]
        assert {len(model.units(stage, tower)) for tower in range(towers)} == {len(units) // towers}


def test_classes_belong_to_no_tower(model: AlexNet) -> None:
    assert model.tower_of("fc8", 0) is None
    with pytest.raises(ValueError, match="both towers"):
        model.units("fc8", 0)


def test_a_unit_or_tower_that_does_not_exist_is_refused(model: AlexNet) -> None:
    with pytest.raises(ValueError, match="0 to 95, got 96"):
        model.tower_of("conv1", 96)
    with pytest.raises(ValueError, match="0 to 95, got -1"):
        model.tower_of("conv1", -1)
    with pytest.raises(ValueError, match="0 to 1, got 2"):
        model.units("conv1", 2)
    with pytest.raises(ValueError, match="'conv6'"):
        model.tower_of("conv6", 0)


class Half(nn.Module):
    """One tower of net #145 up to pool5, with weights of its own; only conv3 reads the other tower."""

    def __init__(self, whole: AlexNet, tower: int) -> None:
        super().__init__()
        self.own = {name: weights.chunk(2)[tower].clone() for name, weights in whole.state_dict().items()}

    def conv(self, name: str, x: Tensor, *, stride: int = 1, padding: int = 0) -> Tensor:
        return F.conv2d(x, self.own[f"stages.{name}.weight"], self.own[f"stages.{name}.bias"], stride, padding)

    def lower(self, images: Tensor) -> Tensor:
        x = local_response_norm(self.conv("conv1", images, stride=4))
        x = F.relu(F.max_pool2d(x, 3, 2, ceil_mode=True))
        x = local_response_norm(F.relu(self.conv("conv2", x, padding=2)))
        return F.max_pool2d(map_response_norm(x), 3, 2, ceil_mode=True)

    def upper(self, own: Tensor, other: Tensor, *, first: bool) -> Tensor:
        x = F.relu(self.conv("conv3", torch.cat([own, other] if first else [other, own], 1), padding=1))
        x = F.relu(self.conv("conv4", x, padding=1))
        x = F.relu(self.conv("conv5", x, padding=1))
        return F.max_pool2d(x, 3, 2, ceil_mode=True).flatten(1)

    def full(self, name: str, both: Tensor) -> Tensor:
        return 0.5 * F.relu(F.linear(both, self.own[f"stages.{name}.weight"], self.own[f"stages.{name}.bias"]))


@pytest.mark.parametrize("size", [63, 127])
def test_grouped_network_equals_two_separate_halves_bit_for_bit(size: int) -> None:
    whole, images = small(input_size=size), photos(2, size)
    a, b = Half(whole, 0), Half(whole, 1)
    low_a, low_b = a.lower(images), b.lower(images)
    both = torch.cat([a.upper(low_a, low_b, first=True), b.upper(low_b, low_a, first=False)], 1)
    for name in ("fc6", "fc7"):
        both = torch.cat([half.full(name, both) for half in (a, b)], 1)
    assert torch.equal(whole.stages["fc8"](both), whole(images))


@pytest.mark.parametrize("mode", MODES)
def test_network_can_be_left_and_entered_at_every_stage(mode: str) -> None:
    model, images = small(mode), photos()
    whole = model(images)
    for stage in model.config.stages:
        part, _ = model.run(images, until=stage)
        rest, _ = model.run(part, after=stage)
        assert torch.equal(rest, whole), stage


def test_taps_are_what_a_run_that_stops_there_returns(model: AlexNet) -> None:
    images = photos()
    output, taps = model.run(images, taps=model.config.stages)
    assert list(taps) == list(model.config.stages)
    assert torch.equal(output, model(images))
    for stage, tap in taps.items():
        assert torch.equal(tap, model.run(images, until=stage)[0]), stage


def test_only_the_tapped_stages_are_kept(model: AlexNet) -> None:
    assert list(model.run(photos(1), taps=("relu7", "conv2"))[1]) == ["conv2", "relu7"]


def test_a_tap_before_the_relu_still_has_negative_values(model: AlexNet) -> None:
    _, taps = model.run(photos(), taps=("conv1", "norm1", "conv3", "fc6"))
    assert all(tap.min() < 0 for tap in taps.values())


def test_a_silenced_unit_equals_a_zeroed_filter(model: AlexNet) -> None:
    images, silent = photos(), [3, 60, 95]
    responses, _ = model.run(images, until="conv1")
    responses[:, silent] = 0
    lesioned, _ = model.run(responses, after="conv1")
    copy = small()
    for name in ("weight", "bias"):
        copy.get_parameter(f"stages.conv1.{name}")[silent] = 0
    assert torch.equal(lesioned, copy(images))
    assert not torch.equal(lesioned, model(images))


@pytest.mark.parametrize("argument", ["after", "until"])
def test_an_unknown_stage_is_refused_with_the_choices(model: AlexNet, argument: str) -> None:
    with pytest.raises(ValueError, match=r"'conv6'.*choose from.*'conv1'"):
        model.run(photos(1), **{argument: "conv6"})


def test_an_unknown_tap_is_refused_with_the_choices(model: AlexNet) -> None:
    with pytest.raises(ValueError, match=r"'norm3'.*choose from.*'conv1'"):
        model.run(photos(1), taps=("norm3",))


def test_a_tap_that_the_run_does_not_reach_is_refused(model: AlexNet) -> None:
    with pytest.raises(ValueError, match=r"'conv4'.*do not run"):
        model.run(photos(1), until="conv3", taps=("conv4",))
    with pytest.raises(ValueError, match=r"'conv1'.*do not run"):
        model.run(model.run(photos(1), until="conv2")[0], after="conv2", taps=("conv1",))


@pytest.mark.parametrize("shape", [(3, 63, 63), (1, 1, 63, 63), (1, 3, 64, 63), (1, 63, 63, 3)])
def test_images_of_another_shape_are_refused(model: AlexNet, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\(N, 3, 63, 63\)"):
        model(torch.zeros(shape))


def test_four_threads_share_a_model_and_get_their_own_answers(model: AlexNet) -> None:
    batches = [photos(1, seed=seed) for seed in range(24)]
    expected = [model.run(batch, taps=("conv1", "relu5")) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda batch: model.run(batch, taps=("conv1", "relu5")), batches))
    for (logits, taps), (other_logits, other_taps) in zip(expected, found, strict=True):
        assert torch.equal(logits, other_logits)
        assert all(torch.equal(taps[name], other_taps[name]) for name in taps)


def test_running_leaves_no_trace_on_the_model() -> None:
    model = small()
    before = {name: weights.clone() for name, weights in model.state_dict().items()}
    images = photos().requires_grad_()
    model.run(images, taps=("conv1",))[0].sum().backward()
    assert all(torch.equal(weights, before[name]) for name, weights in model.state_dict().items())
    assert all(p.grad is None and not p.requires_grad for p in model.parameters())
    assert not model.training
    assert not any(m._forward_hooks or m._backward_hooks for m in model.modules())


@pytest.mark.parametrize("mode", MODES)
def test_every_parameter_receives_a_gradient(mode: str) -> None:
    torch.manual_seed(0)  # dropout
    model = small(mode).requires_grad_(True).train()
    F.cross_entropy(model(photos()), torch.tensor([0, 1])).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_gradients_flow_after_a_first_use_in_inference_mode() -> None:
    """A constant that is cached inside inference mode could not be saved for a backward pass."""
    model = small(towers=4).double()  # no other test may have filled the caches
    images = photos(1).double()
    with torch.inference_mode():
        model(images)
    images.requires_grad_()
    model(images).sum().backward()
    assert images.grad is not None
    assert images.grad.any()


def test_kernels_are_the_weights_and_only_convolutions_have_them(model: AlexNet) -> None:
    assert torch.equal(model.kernels("conv2"), model.state_dict()["stages.conv2.weight"])
    assert model.kernels("conv2").shape == (256, 48, 5, 5)
    for stage in ("fc6", "relu1", "conv6"):
        with pytest.raises(ValueError, match="not a convolution"):
            model.kernels(stage)


def test_the_same_seed_builds_the_same_network_and_another_seed_another() -> None:
    first, second, third = (
        build_model("chm145", 5, input_size=63, generator=torch.Generator().manual_seed(seed)).kernels("conv1")
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


def test_bf16_and_channels_last_give_the_same_answer_up_to_rounding(model: AlexNet) -> None:
    images = photos()
    with torch.autocast("cpu", torch.bfloat16):
        rough = model(images.contiguous(memory_format=torch.channels_last)).float()
    exact = model(images)
    assert (rough - exact).norm() < 0.03 * exact.norm()


def test_modes_with_the_same_weights_compute_different_functions() -> None:
    weights, images = small().state_dict(), photos()
    outputs = []
    for mode in MODES:
        network = small(mode)
        network.load_state_dict(weights)
        outputs.append(network.run(images, until=network.config.layer2[-1])[0])
    for one, other in combinations(outputs, 2):
        assert one.shape != other.shape or (one - other).norm() > 0.01 * one.norm()
