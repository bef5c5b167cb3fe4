"""Sizes, receptive fields and costs against published tables, brute force and PyTorch's own counter."""

from typing import NamedTuple

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from alexnet_core.config import AlexNetConfig, named_config
from alexnet_core.geometry import LayerCost, Window, layer_costs, receptive_field, rounds_up, sizes, window
from alexnet_core.model import AlexNet, build_model

PUBLISHED = {  # alexnet_facts 1.3
    "conv1": LayerCost(34_848, 96, 290_400, 105_415_200),
    "conv2": LayerCost(307_200, 256, 186_624, 223_948_800),
    "conv3": LayerCost(884_736, 384, 64_896, 149_520_384),
    "conv4": LayerCost(663_552, 384, 64_896, 112_140_288),
    "conv5": LayerCost(442_368, 256, 43_264, 74_760_192),
    "fc6": LayerCost(37_748_736, 4_096, 4_096, 37_748_736),
    "fc7": LayerCost(16_777_216, 4_096, 4_096, 16_777_216),
    "fc8": LayerCost(4_096_000, 1_000, 1_000, 4_096_000),
}
VARIANTS = {
    "chm145": named_config("chm145"),
    "caffe": named_config("caffe"),
    "onnx224": named_config("onnx224"),
    "ungrouped": named_config("chm145", towers=1),
    "all grouped": named_config("chm145", grouped=("conv2", "conv3", "conv4", "conv5")),
    "starter with four towers": named_config("chm145", towers=4, input_size=127, num_classes=200),
}


class Count(NamedTuple):
    parameters: int
    neurons: int
    macs: int


def counted(config: AlexNetConfig) -> dict[str, Count]:
    """What PyTorch itself says of every learned layer: numel, output size and its flop counter."""
    with torch.device("meta"):
        model = AlexNet(config).eval()
        x = torch.empty(1, 3, config.input_size, config.input_size)
    table = {}
    for name, stage in model.stages.items():
        with FlopCounterMode(display=False) as counter:
            x = stage(x)
        if weights := sum(p.numel() for p in stage.parameters()):
            table[name] = Count(weights, x.numel(), counter.get_total_flops() // 2)
    return table


def totals(table: dict[str, Count]) -> Count:
    return Count(*(sum(column) for column in zip(*table.values(), strict=True)))


def test_layer_table_is_the_published_one() -> None:
    assert layer_costs(named_config("chm145")) == PUBLISHED


@pytest.mark.parametrize("mode", ["chm145", "paper", "caffe", "caffenet"])
def test_totals_are_the_published_ones_in_every_mode_with_55_px_maps(mode: str) -> None:
    assert totals(counted(named_config(mode))) == (60_965_224, 659_272, 724_406_816)


def test_ungrouped_network_has_the_parameters_of_the_common_port() -> None:
    assert totals(counted(named_config("chm145", towers=1))) == (62_378_344, 659_272, 1_135_256_096)


def test_onnx_geometry_has_the_totals_of_the_onnx_file() -> None:
    assert totals(counted(named_config("onnx224"))) == (60_965_224, 609_640, 654_560_384)


@pytest.mark.parametrize("variant", VARIANTS)
def test_layer_costs_are_what_pytorch_counts(variant: str) -> None:
    costs = layer_costs(VARIANTS[variant])
    found = {name: Count(cost.weights + cost.biases, cost.neurons, cost.macs) for name, cost in costs.items()}
    assert found == counted(VARIANTS[variant])


@pytest.mark.parametrize(
    ("mode", "size", "sides"),
    [
        ("chm145", 224, (55, 27, 27, 13, 13, 6)),
        ("caffe", 227, (55, 27, 27, 13, 13, 6)),
        ("onnx224", 224, (54, 26, 26, 12, 12, 6)),
        ("chm145", 127, (30, 15, 15, 7, 7, 3)),
        ("chm145", 63, (14, 7, 7, 3, 3, 1)),
    ],
)
def test_map_sizes_are_the_published_ones(mode: str, size: int, sides: tuple[int, ...]) -> None:
    table = sizes(named_config(mode, input_size=size))
    assert tuple(table[name] for name in ("conv1", "pool1", "conv2", "pool2", "conv5", "pool5")) == sides


def test_compact_network_feeds_2304_numbers_to_fc6_and_pads_nothing_in_conv1() -> None:
    config = named_config("chm145", input_size=127)
    with torch.device("meta"):
        model = AlexNet(config)
    assert model.stages["fc6"].in_features == 256 * 3 * 3
    assert window(config, "conv1") == Window(11, 4, 0, 0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_sizes_are_those_of_the_tensors_at_every_stage(variant: str) -> None:
    config = VARIANTS[variant]
    with torch.device("meta"):
        x = torch.empty(1, 3, config.input_size, config.input_size)
        _, taps = AlexNet(config).eval().run(x, taps=config.stages)
    found = {name: tap.shape[-1] if tap.ndim == 4 else 1 for name, tap in taps.items()}
    assert found == sizes(config)


@pytest.mark.parametrize("round_up", [False, True])
def test_window_count_is_that_of_pytorch_pooling(round_up: bool) -> None:
    for size in range(5, 30):
        pooled = torch.nn.functional.max_pool1d(torch.zeros(1, 1, size), 3, 2, ceil_mode=round_up)
        assert Window(3, 2).output(size, round_up=round_up) == pooled.shape[-1]


@pytest.fixture(scope="module")
def reached() -> dict[str, torch.Tensor]:
    """For each stage, which unit column (second index) notices a NaN in which pixel column (first index).

    At 100 pixels conv1 reads past the edge and every pooling has an incomplete last window.
    """
    model = build_model("paper", 2, input_size=100, generator=torch.Generator().manual_seed(0)).eval()
    marked = torch.where(torch.eye(100, dtype=torch.bool)[:, None, None, :], torch.nan, torch.ones(100, 3, 100, 100))
    with torch.no_grad():
        _, taps = model.run(marked, until="pool5", taps=model.config.stages[: model.config.stages.index("fc6")])
    return {name: tap.isnan().any(dim=(1, 2)) for name, tap in taps.items()}


def test_receptive_field_is_where_a_marked_pixel_is_noticed(reached: dict[str, torch.Tensor]) -> None:
    config = named_config("paper", input_size=100)
    for stage, noticed in reached.items():
        field = receptive_field(config, stage)
        for unit in range(noticed.shape[1]):
            pixels = noticed[:, unit].nonzero().flatten()
            left, right = field.span(unit)
            assert (int(pixels.min()), int(pixels.max()) + 1) == (max(left, 0), min(right, 100)), (stage, unit)


def test_fully_connected_units_see_the_whole_image() -> None:
    assert receptive_field(named_config("chm145"), "fc7").span(0) == (0, 224)


@pytest.mark.parametrize(
    ("stage", "size", "step"),
    [("conv1", 11, 4), ("pool1", 19, 8), ("conv2", 51, 8), ("pool2", 67, 16), ("conv3", 99, 16), ("conv5", 163, 16)],
)
def test_receptive_field_sizes_are_those_known_of_alexnet(stage: str, size: int, step: int) -> None:
    assert receptive_field(named_config("caffe"), stage)[:2] == (size, step)


def test_receptive_field_of_an_unknown_stage_is_refused_with_the_choices() -> None:
    with pytest.raises(ValueError, match=r"'cnorm2'.*conv1"):
        receptive_field(named_config("paper"), "cnorm2")


def test_only_the_onnx_geometry_drops_incomplete_windows() -> None:
    assert [rounds_up(named_config(mode)) for mode in ("chm145", "paper", "caffe", "caffenet", "onnx224")] == [
        True, True, True, True, False,
    ]  # fmt: skip
