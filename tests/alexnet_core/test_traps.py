"""The 29 known traps of reimplementing AlexNet (alexnet_facts section 7), a test each, named for its number.

Tested elsewhere, or not at all, and why:

=====  =====================================================================================================
2      that the towers do not talk: test_model.py, ``test_towers_do_not_talk_before_conv3``
14     velocity at a drop of the rate: test_optim.py
16     BGR weights: nothing is imported from other frameworks, so there is nothing to test
23     order of the ten views and their mirrors: test_preprocess.py; mean of softmax: test_predict.py
24     devkit label order: nothing is imported; a store's classes are the sorted folder names (test_sources.py)
25     CMYK, PNG named .JPEG, grey, EXIF: test_images.py
29     the ONNX light model passes anything: test_onnx.py uses it with seeded weights and mutants
=====  =====================================================================================================
"""

from collections.abc import Callable
from itertools import accumulate
from types import ModuleType

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from sklearn.datasets import load_sample_images
from torch import Tensor, nn

from alexnet_core.config import MODES, AlexNetConfig, named_config
from alexnet_core.geometry import Window, layer_costs, window
from alexnet_core.images import short_side_resize
from alexnet_core.model import AlexNet, Conv, build_model
from alexnet_core.optim import PaperSGD
from alexnet_core.preprocess import Preprocess, fit_preprocess
from alexnet_core.schedule import PlateauSchedule

# Cuda-convnet2's input_meta for ILSVRC-2012: principal colours as columns, standard deviations in grey levels.
CC2_VECTORS = [
    [0.41795513, -0.71257945, -0.56351045],
    [-0.81698062, -0.02354167, -0.5761844],
    [0.39731118, 0.70119634, -0.59200296],
]
CC2_STDEVS = [19.7208, 37.0939, 121.7801]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def on_meta(mode: str = "chm145") -> AlexNet:
    with torch.device("meta"):
        return build_model(mode)


def preprocess_256(mean: Tensor | None = None) -> Preprocess:
    """The sizes of 2012: 256 px stored, 224 px read."""
    return Preprocess(
        source_size=256,
        full_size=256,
        input_size=224,
        mean=torch.zeros(3, 256, 256) if mean is None else mean,
        pca_vectors=torch.tensor(CC2_VECTORS),
        pca_stdevs=torch.tensor(CC2_STDEVS),
    )


def one_hot_response(mode: str, value: float) -> float:
    """Answer of the first normalisation to one channel of a given strength among silent ones."""
    maps = torch.zeros(1, 96, 1, 1)
    maps[0, 20] = value
    return float(on_meta(mode).stages["norm1"](maps)[0, 20])


def test_trap_01_this_is_not_the_one_weird_trick_network_of_torchvision(torchvision: ModuleType) -> None:
    with torch.device("meta"):
        other = torchvision.models.alexnet()
    assert sum(p.numel() for p in other.parameters()) == 61_100_840
    assert sum(p.numel() for p in on_meta().parameters()) == 60_965_224


def test_trap_02_the_groups_are_not_dropped() -> None:
    shapes = {name: tuple(p.shape) for name, p in on_meta().named_parameters() if name.endswith("weight")}
    assert [shapes[f"stages.conv{i}.weight"] for i in (2, 3, 4, 5)] == [
        (256, 48, 5, 5),
        (384, 256, 3, 3),
        (384, 192, 3, 3),
        (256, 192, 3, 3),
    ]


@pytest.mark.parametrize(("mode", "answer"), [("chm145", 55.358), ("paper", 43.869), ("caffe", 87.220)])
def test_trap_03_lrn_alpha_follows_the_convention_of_each_source(mode: str, answer: float) -> None:
    assert one_hot_response(mode, 100.0) == pytest.approx(answer, abs=5e-4)


@pytest.mark.parametrize(("mode", "gain"), [("chm145", 0.59460), ("paper", 0.59460), ("caffe", 1.0)])
def test_trap_04_lrn_constant_k_is_2_except_in_caffe(mode: str, gain: float) -> None:
    assert one_hot_response(mode, 1e-3) / 1e-3 == pytest.approx(gain, abs=5e-6)


@pytest.mark.parametrize(("mode", "crosses"), [("chm145", False), ("paper", False), ("caffe", True)])
def test_trap_05_lrn_crosses_the_towers_only_in_caffe(mode: str, crosses: bool) -> None:
    norm, maps = on_meta(mode).stages["norm1"], 50 * torch.ones(1, 96, 1, 1)
    disturbed = maps.clone()
    disturbed[0, 48] += 50
    moved = (norm(maps) != norm(disturbed)).flatten().nonzero().flatten().tolist()
    assert moved == list(range(46 if crosses else 48, 51))


@pytest.mark.parametrize(("strength", "spread"), [(2, 5e-5), (60, 0.03), (300, 0.12)])
def test_trap_06_lrn_does_nothing_at_the_strength_of_normalised_input(strength: float, spread: float) -> None:
    maps = strength * torch.randn(1, 96, 40, 40, generator=seeded()).relu()
    active = maps > 0
    gain = (on_meta().stages["norm1"](maps) / maps)[active]
    assert 0.5 < float(gain.std()) / spread < 2


def test_trap_06_photographs_reach_the_network_as_raw_grey_levels() -> None:
    photos = [np.asarray(short_side_resize(Image.fromarray(p), 64)) for p in load_sample_images().images]
    images = torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2)
    preprocess = fit_preprocess([images], full_size=144, input_size=127)
    flat = torch.full_like(images, 128)
    assert 30 < float(preprocess.centre(images).std()) < 100
    assert 30 < float((preprocess.centre(images) - preprocess.centre(flat)).std()) < 100


def hand_made(order: str, maps: Tensor) -> Tensor:
    """Layer 1 behind conv1 in a given order, with PyTorch's own functions; one tower, k = 1."""
    steps: dict[str, Callable[[Tensor], Tensor]] = {
        "r": F.relu,
        "n": lambda x: F.local_response_norm(x, 5, alpha=1e-4, beta=0.75, k=1.0),
        "p": lambda x: F.max_pool2d(x, 3, 2, ceil_mode=True),
    }
    for step in order:
        maps = steps[step](maps)
    return maps


@pytest.mark.parametrize(("mode", "order", "other"), [("caffe", "rnp", "rpn"), ("caffenet", "rpn", "rnp")])
def test_trap_07_pooling_comes_before_the_norm_only_in_caffenet(mode: str, order: str, other: str) -> None:
    model, maps = on_meta(mode), 100 * torch.randn(1, 96, 15, 15, generator=seeded())
    found, _ = model.run(maps, after="conv1", until=model.config.layer1[-1])
    torch.testing.assert_close(found, hand_made(order, maps), rtol=1e-5, atol=1e-4)
    assert (found - hand_made(other, maps)).norm() > 0.05 * found.norm()


@pytest.mark.parametrize(
    ("layer1", "order", "other"), [("conv1 norm1 pool1 relu1", "npr", "rnp"), ("conv1 relu1 norm1 pool1", "rnp", "npr")]
)
def test_trap_08_the_norm_of_layer_1_sees_negative_responses_in_the_code_only(
    layer1: str, order: str, other: str
) -> None:
    config = named_config("caffe", layer1=tuple(layer1.split()))  # one tower's norm with k = 1, as hand_made
    assert config.layer1 in (named_config("chm145").layer1, named_config("paper").layer1)
    with torch.device("meta"):
        model = AlexNet(config)
    maps = 100 * torch.randn(1, 96, 15, 15, generator=seeded())
    found, _ = model.run(maps, after="conv1", until=config.layer1[-1])
    torch.testing.assert_close(found, hand_made(order, maps), rtol=1e-5, atol=1e-4)
    assert (found - hand_made(other, maps)).norm() > 0.05 * found.norm()
    assert not model.run(-maps.abs(), after="conv1", until=config.layer1[-1])[0].any()


def test_trap_09_conv1_reads_224_pixels_and_three_zeros_past_the_right_and_bottom_edge() -> None:
    view = window(named_config("chm145"), "conv1")
    assert view is not None
    conv, images = Conv(3, 96, view, groups=1), 60 * torch.randn(1, 3, 224, 224, generator=seeded())
    padded = F.pad(images, (0, 3, 0, 3))
    with torch.no_grad():
        maps = conv(images)
        plain = F.conv2d(images, conv.weight, conv.bias, stride=4)
        last = F.conv2d(padded[:, :, 216:, 216:], conv.weight, conv.bias)
    assert maps.shape == (1, 96, 55, 55)
    assert plain.shape == (1, 96, 54, 54)
    torch.testing.assert_close(maps[:, :, :54, :54], plain, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(maps[:, :, 54:, 54:], last, rtol=1e-5, atol=1e-4)


def test_trap_10_incomplete_pooling_windows_count_except_in_the_onnx_geometry() -> None:
    maps = torch.zeros(1, 96, 54, 54)
    assert on_meta("chm145").stages["pool1"](maps).shape[-1] == 27
    assert on_meta("onnx224").stages["pool1"](maps).shape[-1] == 26


def test_trap_10_non_overlapping_pooling_of_net_147_gives_its_chain_of_sizes() -> None:
    views = (Window(2, 2), Window(5, 1, 1, 1), Window(2, 2), Window(3, 1), Window(2, 2))
    sizes = accumulate(views, lambda size, view: view.output(size, round_up=True), initial=55)
    assert list(sizes) == [55, 28, 26, 13, 11, 6]


@pytest.fixture
def training_taps(narrow: int) -> dict[str, Tensor]:
    """Outputs in training mode of a network with strong fully connected layers."""
    torch.manual_seed(0)
    model = build_model("chm145", 5, input_size=63, fc_std=(0.1, 0.1, 0.1), generator=seeded()).train()
    images = 60 * torch.randn(32, 3, 63, 63, generator=seeded(1))
    with torch.no_grad():
        _, taps = model.run(images, taps=("pool5", "fc6", "relu6", "drop6", "fc7", "relu7", "drop7", "fc8"))
        for name, source in (("fc6", "pool5"), ("fc7", "drop6"), ("fc8", "drop7")):
            taps[f"{name} by hand"] = nn.functional.linear(
                taps[source].flatten(1),
                model.get_parameter(f"stages.{name}.weight"),
                model.get_parameter(f"stages.{name}.bias"),
            )
    return taps


@pytest.mark.parametrize("layer", ["fc6", "fc7", "fc8"])
def test_trap_11_dropout_works_on_the_outputs_of_fc6_and_fc7(training_taps: dict[str, Tensor], layer: str) -> None:
    torch.testing.assert_close(training_taps[layer], training_taps[f"{layer} by hand"])


@pytest.mark.parametrize("layer", ["6", "7"])
def test_trap_12_dropout_of_2012_halves_at_test_and_leaves_survivors_unscaled(
    training_taps: dict[str, Tensor], layer: str
) -> None:
    before, after = training_taps[f"relu{layer}"], training_taps[f"drop{layer}"]
    kept = after != 0
    assert torch.equal(after[kept], before[kept])
    assert 0.4 < float(kept.sum() / (before != 0).sum()) < 0.6
    dropout = on_meta().eval().stages[f"drop{layer}"]
    assert torch.equal(dropout(before), 0.5 * before)


def test_trap_12_dropout_of_caffe_doubles_survivors_and_does_nothing_at_test() -> None:
    torch.manual_seed(0)
    dropout, before = on_meta("caffe").stages["drop6"], torch.ones(10_000)
    assert set(dropout.train()(before).unique().tolist()) == {0.0, 2.0}
    assert torch.equal(dropout.eval()(before), before)


def test_trap_13_biases_learn_twice_as_fast_and_do_not_decay() -> None:
    layer = nn.Linear(4, 3)
    weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    phase = PlateauSchedule(patience=4).phase(0.0)
    rates = {("fc8", kind): phase.rate("fc8", kind) for kind in ("weight", "bias")}
    assert rates[("fc8", "bias")] == 2 * rates[("fc8", "weight")] == 0.02
    layer.weight.grad, layer.bias.grad = torch.zeros_like(weight), torch.zeros_like(bias)
    PaperSGD([("fc8", layer)]).step(rates)
    torch.testing.assert_close(layer.weight.detach() - weight, -0.01 * 5e-4 * weight, rtol=1e-2, atol=1e-9)
    assert torch.equal(layer.bias.detach(), bias)


def test_trap_15_the_mean_image_itself_is_exactly_zero_to_the_network() -> None:
    mean = torch.randint(0, 256, (3, 256, 256), generator=seeded(), dtype=torch.uint8)
    assert not preprocess_256(mean.float()).centre(mean[None]).any()


def test_trap_17_the_central_mean_is_subtracted_whatever_the_offset_of_the_crop() -> None:
    image = torch.randint(0, 256, (1, 3, 256, 256), generator=seeded(), dtype=torch.uint8)
    mean = image[0].float()
    preprocess, corner = preprocess_256(mean), torch.tensor([0])
    found = preprocess.subtract_mean(preprocess.crops(image, corner, corner, corner.bool()))
    assert torch.equal(found[0], mean[:, :224, :224] - mean[:, 16:240, 16:240])


def test_trap_18_lighting_uses_standard_deviations_not_eigenvalues() -> None:
    noise = preprocess_256().lighting_noise(200_000, seeded())
    assert ((noise.std(0) > 7.1) & (noise.std(0) < 7.8)).all()
    vectors, variances = torch.tensor(CC2_VECTORS), (0.1 * torch.tensor(CC2_STDEVS)) ** 2
    expected = vectors @ variances.diag() @ vectors.T
    torch.testing.assert_close(torch.cov(noise.T), expected, rtol=0.02, atol=0.1)


def test_trap_19_lighting_is_one_colour_per_image_and_the_sum_is_divided_by_1_1() -> None:
    preprocess, images = preprocess_256(), torch.full((4, 3, 256, 256), 100, dtype=torch.uint8)
    noise = 1.1 * preprocess.training_batch(images, seeded(), lighting=0.1) - 100
    per_image = noise.mean((2, 3))
    torch.testing.assert_close(noise, per_image[:, :, None, None].expand_as(noise), rtol=0, atol=1e-3)
    assert len(per_image.round(decimals=2).unique(dim=0)) == 4
    assert per_image.abs().max() > 1
    quiet = preprocess.training_batch(images, seeded(), lighting=0.0)
    assert torch.equal(quiet, torch.full_like(quiet, 100))


def test_trap_20_a_circle_stays_round() -> None:
    card = Image.new("RGB", (512, 256))
    ImageDraw.Draw(card).ellipse((192, 64, 319, 191), fill="white")
    box = short_side_resize(card, 64).getchannel("R").point(lambda grey: 255 * (grey > 127)).getbbox()
    assert box == (16, 16, 48, 48)


@pytest.mark.parametrize(("full", "size", "count"), [(64, 32, 33), (144, 127, 18)])
def test_trap_21_every_crop_offset_occurs_border_included(full: int, size: int, count: int) -> None:
    ramp = torch.arange(full, dtype=torch.uint8)
    images = torch.stack([ramp.expand(full, full), ramp[:, None].expand(full, full), torch.zeros(full, full)]).byte()
    preprocess = Preprocess(full, full, size, torch.zeros(3, full, full), torch.eye(3), torch.ones(3))
    seen: set[tuple[int, int]] = set()
    for block in range(8):
        batch = preprocess.training_batch(images.expand(100, -1, -1, -1), seeded(block), lighting=0)
        lefts, tops = batch[:, 0, 0].amin(1), batch[:, 1, :, 0].amin(1)
        seen |= set(zip(lefts.int().tolist(), tops.int().tolist(), strict=True))
    for axis in (0, 1):
        assert {offsets[axis] for offsets in seen} == set(range(count))


def test_trap_22_images_of_a_batch_are_cropped_and_mirrored_each_by_itself() -> None:
    image = torch.randint(0, 256, (1, 3, 256, 256), generator=seeded(), dtype=torch.uint8)
    batch = preprocess_256().training_batch(image.expand(8, -1, -1, -1), seeded(1), lighting=0)
    assert len(batch.flatten(1).unique(dim=0)) == 8


def smooth_photos() -> Tensor:
    """Sixteen blurred noise images with a pixel deviation of 52, as in alexnet_facts 2.1."""
    coarse = torch.randn(16, 3, 12, 12, generator=seeded())
    images = F.interpolate(coarse, size=(127, 127), mode="bicubic")
    return 52 * images / images.std()


def response_spread(mode: str) -> float:
    """Standard deviation over images of the untrained network's logits."""
    model = build_model(mode, 200, input_size=127, generator=seeded()).eval()
    with torch.no_grad():
        return float(model(smooth_photos()).std(0).mean())


def test_trap_26_the_code_s_initialisation_lets_the_image_through_the_literal_paper_s_does_not() -> None:
    assert response_spread("chm145") > 0.01
    assert response_spread("paper") < 0.005


@pytest.mark.parametrize("mode", MODES)
def test_trap_26_every_layer_starts_with_the_deviation_and_bias_of_its_source(narrow: int, mode: str) -> None:
    model = build_model(mode, 100, input_size=63, generator=seeded()).requires_grad_(False)
    config = model.config
    learned = [f"conv{i}" for i in range(1, 6)] + ["fc6", "fc7", "fc8"]
    for name, std in zip(learned, config.conv_std + config.fc_std, strict=True):
        weight, bias = model.get_parameter(f"stages.{name}.weight"), model.get_parameter(f"stages.{name}.bias")
        assert float(weight.std()) == pytest.approx(std, rel=0.05), name
        assert abs(float(weight.mean())) < 0.05 * std, name
        expected = config.bias_one if name in ("conv2", "conv4", "conv5", "fc6", "fc7") else 0.0
        assert torch.equal(bias, torch.full_like(bias, expected)), name


@pytest.mark.parametrize("mode", MODES)
def test_trap_27_the_last_biases_start_at_zero(narrow: int, mode: str) -> None:
    model = build_model(mode, 20, input_size=63, generator=seeded())
    assert not model.get_parameter("stages.fc8.bias").any()


def test_trap_28_the_caption_of_figure_2_undercounts_the_first_layer() -> None:
    neurons = [cost.neurons for cost in layer_costs(AlexNetConfig()).values()]
    caption = [253_440, 186_624, 64_896, 64_896, 43_264, 4_096, 4_096, 1_000]
    assert neurons[1:] == caption[1:]
    assert neurons[0] == 55 * 55 * 96 == 290_400
    assert sum(neurons) == 659_272
