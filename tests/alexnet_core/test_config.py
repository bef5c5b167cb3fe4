"""The named modes against the tables of alexnet_facts 1.1 and 2.1, and the guards of the configuration."""

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from alexnet_core.config import MODES, AlexNetConfig, named_config

UPPER = "conv3 relu3 conv4 relu4 conv5 relu5 pool5 fc6 relu6 drop6 fc7 relu7 drop7 fc8"
ORDERS = {
    "chm145": "conv1 norm1 pool1 relu1 conv2 relu2 norm2 cnorm2 pool2",
    "paper": "conv1 relu1 norm1 pool1 conv2 relu2 norm2 pool2",
    "caffe": "conv1 relu1 norm1 pool1 conv2 relu2 norm2 pool2",
    "caffenet": "conv1 relu1 pool1 norm1 conv2 relu2 pool2 norm2",
    "onnx224": "conv1 relu1 norm1 pool1 conv2 relu2 norm2 pool2",
}
CONSTANTS = {  # input size, torch alpha, k, across towers, std of conv3, std of fc6, bias, dropout
    "chm145": (224, 1e-4, 2.0, False, 0.03, 0.01, 1.0, "halve at test"),
    "paper": (224, 5e-4, 2.0, False, 0.01, 0.01, 1.0, "halve at test"),
    "caffe": (227, 1e-4, 1.0, True, 0.01, 0.005, 0.1, "inverted"),
    "caffenet": (227, 1e-4, 1.0, True, 0.01, 0.005, 1.0, "inverted"),
    "onnx224": (224, 1e-4, 1.0, True, 0.01, 0.005, 0.1, "inverted"),
}


@pytest.mark.parametrize("mode", MODES)
def test_operations_run_in_the_order_of_the_source(mode: str) -> None:
    assert " ".join(named_config(mode).stages) == f"{ORDERS[mode]} {UPPER}"


@pytest.mark.parametrize("mode", MODES)
def test_constants_are_those_of_the_source(mode: str) -> None:
    config = named_config(mode)
    found = (
        config.input_size,
        config.lrn_alpha,
        config.lrn_k,
        config.lrn_across_towers,
        config.conv_std[2],
        config.fc_std[0],
        config.bias_one,
        config.dropout,
    )
    assert found == CONSTANTS[mode]


def test_five_modes_are_named_and_each_knows_its_name() -> None:
    assert {mode: config.mode for mode, config in MODES.items()} == {mode: mode for mode in ORDERS}


def test_the_default_is_the_net_that_scored_the_published_error() -> None:
    assert AlexNetConfig() == named_config("chm145")


@pytest.mark.parametrize(("towers", "groups"), [(1, 1), (2, 2), (4, 4)])
def test_convolutions_that_stay_in_a_tower_have_one_group_per_tower(towers: int, groups: int) -> None:
    config = AlexNetConfig(towers=towers)
    found = [config.groups(f"conv{i}") for i in range(1, 6)]
    assert found == [1, groups, 1, groups, groups]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("towers", 0),
        ("towers", 3),
        ("num_classes", 0),
        ("input_size", 62),
        ("geometry", "caffe"),
        ("dropout", "none"),
        ("dropout_rate", 1.0),
        ("dropout_rate", -0.1),
        ("grouped", ("conv1",)),
        ("layer1", ("relu1", "conv1")),
        ("layer2", ()),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=field):
        named_config("chm145", **{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [("layer1", ("conv1", "tanh1", "pool1")), ("layer2", ("conv2", "relu2", "relu2", "pool2"))],
)
def test_an_order_with_an_unknown_or_repeated_operation_is_refused(field: str, value: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=field):
        named_config("chm145", **{field: value})


def test_an_unknown_mode_is_refused_with_the_choices() -> None:
    with pytest.raises(ValueError, match=r"'vgg'.*chm145.*onnx224"):
        named_config("vgg")


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(TypeError, match="colour"):
        named_config("paper", colour="blue")


def test_a_configuration_cannot_be_changed_in_place() -> None:
    with pytest.raises(FrozenInstanceError):
        AlexNetConfig().towers = 1  # type: ignore[misc]
