"""Sizes, receptive fields and costs of the network: pure arithmetic, no tensors."""

from typing import NamedTuple

from alexnet_core.config import CONV_CHANNELS, AlexNetConfig

FC_UNITS = 4096


class Window(NamedTuple):
    """A sliding window: kernel and stride in pixels of its input, padding before and after it."""

    kernel: int
    stride: int
    pad_before: int = 0
    pad_after: int = 0

    def output(self, size: int, *, round_up: bool = False) -> int:
        """Number of windows along an axis of `size` pixels."""
        span = size + self.pad_before + self.pad_after - self.kernel
        return 1 + (-(-span // self.stride) if round_up else span // self.stride)


class ReceptiveField(NamedTuple):
    """What one unit sees along one axis, in input pixels: window length, step between units, first centre."""

    size: int
    step: int
    first_centre: float

    def span(self, index: int) -> tuple[float, float]:
        """Left and right edge (pixels, may lie outside the image) of the field of the unit at `index`."""
        centre = self.first_centre + index * self.step
        return centre - self.size / 2, centre + self.size / 2


_CONV = {
    "conv1": Window(11, 4),
    "conv2": Window(5, 1, 2, 2),
    "conv3": Window(3, 1, 1, 1),
    "conv4": Window(3, 1, 1, 1),
    "conv5": Window(3, 1, 1, 1),
}
_POOL = Window(3, 2)


def window(config: AlexNetConfig, stage: str) -> Window | None:
    """The sliding window of a convolution or pooling stage, ``None`` for pointwise stages.

    cuda-convnet rounds the number of windows up and reads zeros past the edge, in convolutions too
    (layer.py:1004), so conv1 on 224 pixels is padded by 3 on the right and bottom: 55 x 55.
    The ONNX file rounds down and pads pool5 by 1 at the end: 54-26-12-6.
    """
    if stage == "conv1" and config.geometry == "cuda-convnet":
        return Window(11, 4, 0, -(config.input_size - 11) % 4)
    if stage == "pool5" and config.geometry == "onnx":
        return Window(3, 2, 0, 1)
    return _POOL if stage.startswith("pool") else _CONV.get(stage)


def rounds_up(config: AlexNetConfig) -> bool:
    """Whether pooling counts the last, incomplete window (cuda-convnet, Caffe) or drops it (ONNX)."""
    return config.geometry == "cuda-convnet"


def channels(config: AlexNetConfig, stage: str) -> int:
    """Number of units (feature maps or fully connected units) of a stage."""
    layer = int(stage[-1])
    if stage == "fc8":
        return config.num_classes
    return CONV_CHANNELS[layer - 1] if layer <= 5 else FC_UNITS


def sizes(config: AlexNetConfig) -> dict[str, int]:
    """Side length in pixels of every stage's maps, in order; 1 for the fully connected stages."""
    side, table = config.input_size, {}
    for stage in config.stages:
        if view := window(config, stage):
            side = view.output(side, round_up=stage.startswith("pool") and rounds_up(config))
        elif stage == "fc6":
            side = 1
        table[stage] = side
    return table


def receptive_field(config: AlexNetConfig, stage: str) -> ReceptiveField:
    """Receptive field of a unit of a convolutional stage; LRN and cnorm2 neighbours are not counted.

    Raises ``ValueError`` for an unknown stage; fully connected stages see the whole image.
    """
    if stage not in config.stages:
        raise ValueError(f"Unknown stage {stage!r}; choose from {list(config.stages)}.")
    size, step, centre = 1, 1, 0.5
    for name in config.stages:
        if name == "fc6":
            return ReceptiveField(config.input_size, config.input_size, config.input_size / 2)
        if view := window(config, name):
            centre += ((view.kernel - 1) / 2 - view.pad_before) * step
            size += (view.kernel - 1) * step
            step *= view.stride
        if name == stage:
            break
    return ReceptiveField(size, step, centre)


class LayerCost(NamedTuple):
    """Size of one learned layer: weights, biases, output units and multiply-accumulates per image."""

    weights: int
    biases: int
    neurons: int
    macs: int


def layer_costs(config: AlexNetConfig) -> dict[str, LayerCost]:
    """Parameters, neurons and multiply-accumulates of conv1 ... fc8 (alexnet_facts 1.3)."""
    table: dict[str, LayerCost] = {}
    side, inputs = sizes(config), 3
    for name in (stage for stage in config.stages if stage.startswith(("conv", "fc"))):
        outputs = channels(config, name)
        if name == "fc6":
            inputs *= side["pool5"] ** 2
        area = _CONV[name].kernel ** 2 if name in _CONV else 1
        weights = outputs * inputs // config.groups(name) * area
        positions = side[name] ** 2
        table[name] = LayerCost(weights, outputs, outputs * positions, weights * positions)
        inputs = outputs
    return table
