"""The two-tower AlexNet as an ordered table of named stages that can be entered, left and tapped anywhere."""

from collections.abc import Collection
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alexnet_core import geometry
from alexnet_core.config import AlexNetConfig, named_config
from alexnet_core.lrn import local_response_norm, map_response_norm

BIAS_ONE_LAYERS = ("conv2", "conv4", "conv5", "fc6", "fc7")  # paper section 5


class Conv(nn.Conv2d):
    """Convolution with zeros past the right and bottom edge where cuda-convnet reads them."""

    def __init__(self, inputs: int, outputs: int, view: geometry.Window, groups: int) -> None:
        super().__init__(inputs, outputs, view.kernel, view.stride, view.pad_before, groups=groups)
        extra = view.pad_after - view.pad_before
        self.extra_padding = (0, extra, 0, extra)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, self.extra_padding) if any(self.extra_padding) else x)


class MaxPool(nn.Module):
    """Overlapping max-pooling, 3 x 3 windows 2 apart (paper section 3.4)."""

    def __init__(self, view: geometry.Window, *, round_up: bool) -> None:
        super().__init__()
        self.view, self.round_up = view, round_up

    def forward(self, x: Tensor) -> Tensor:
        if self.view.pad_after:
            x = F.pad(x, (0, self.view.pad_after) * 2, value=-torch.inf)
        return F.max_pool2d(x, self.view.kernel, self.view.stride, ceil_mode=self.round_up)


class LocalResponseNorm(nn.Module):
    """Response normalisation across channels, inside each tower or across them (paper section 3.3)."""

    def __init__(self, alpha: float, k: float, towers: int) -> None:
        super().__init__()
        self.alpha, self.k, self.towers = alpha, k, towers

    def forward(self, x: Tensor) -> Tensor:
        return local_response_norm(x, alpha=self.alpha, k=self.k, towers=self.towers)


class MapResponseNorm(nn.Module):
    """Response normalisation inside each map: the authors' cnorm2, which the paper does not mention."""

    def forward(self, x: Tensor) -> Tensor:
        return map_response_norm(x)


class Linear(nn.Linear):
    """Fully connected layer that flattens maps in (channel, row, column) order."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(1))


class Dropout2012(nn.Module):
    """Dropout as the authors wrote it: an unscaled mask in training, times (1 - rate) at test.

    Not the same training as ``nn.Dropout``: there the next layer's gradient is 1 / (1 - rate) larger
    (alexnet_facts 2.4).
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return x * (torch.rand_like(x, dtype=torch.float32) >= self.rate)
        return x * (1 - self.rate)


class AlexNet(nn.Module):
    """AlexNet (Krizhevsky, Sutskever, Hinton 2012) in the reading that `config` names.

    ``stages`` maps each operation's name to its module, in the order in which they run; `forward` takes
    images of shape (N, 3, s, s), raw 0-255 RGB minus the mean image, and returns logits (N, num_classes).
    Unit u of a stage with n units belongs to tower ``u * towers // n``; the towers meet at conv3 and in the
    fully connected layers.
    """

    def __init__(self, config: AlexNetConfig) -> None:
        super().__init__()
        self.config = config
        self.stages = nn.ModuleDict()
        inputs, side = 3, geometry.sizes(config)
        for name in config.stages:
            outputs = geometry.channels(config, name)
            if name == "fc6":
                inputs *= side["pool5"] ** 2
            self.stages[name] = _stage(config, name, inputs, outputs)
            inputs = outputs

    def forward(self, images: Tensor) -> Tensor:
        """Logits of shape (N, num_classes) for images of shape (N, 3, input_size, input_size)."""
        output, _ = self.run(images)
        return output

    def run(
        self,
        x: Tensor,
        *,
        after: str | None = None,
        until: str | None = None,
        taps: Collection[str] = (),
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Run part of the network and keep the outputs of the stages named in `taps`.

        `x` is an image batch, or the output of stage `after`, from where the rest is run: change it in
        between and you have a lesion; cut the graph there and you have Grad-CAM. Stops behind stage `until`.
        Returns the last output and a dict of the tapped tensors. Raises ``ValueError`` for unknown stages and
        for images of another size.
        """
        names = list(self.stages)
        if unknown := ({after, until, *taps} - {None}) - set(names):
            raise ValueError(f"Unknown stage(s) {sorted(map(str, unknown))}; choose from {names}.")
        first = 0 if after is None else names.index(after) + 1
        last = len(names) if until is None else names.index(until) + 1
        if missing := set(taps) - set(names[first:last]):
            raise ValueError(f"Stage(s) {sorted(missing)} do not run after {after!r} and until {until!r}.")
        if after is None:
            self._check_images(x)
        kept: dict[str, Tensor] = {}
        for name in names[first:last]:
            x = self.stages[name](x)
            if name in taps:
                kept[name] = x
        return x, kept

    def _check_images(self, x: Tensor) -> None:
        size = self.config.input_size
        if x.ndim != 4 or tuple(x.shape[1:]) != (3, size, size):
            raise ValueError(f"Images must have shape (N, 3, {size}, {size}), got {tuple(x.shape)}.")

    def kernels(self, layer: str) -> Tensor:
        """Weights of a convolution, shape (units, inputs / groups, height, width); read-only view."""
        if not layer.startswith("conv") or layer not in self.stages:
            raise ValueError(f"{layer!r} is not a convolution; choose from conv1 to conv5.")
        return self.stages[layer].weight.detach()  # type: ignore[operator]

    def tower_of(self, stage: str, unit: int) -> int | None:
        """Tower (0 = A, 1 = B, ...) of a unit; ``None`` for fc8, whose units belong to no tower.

        Raises ``ValueError`` for an unknown stage or a unit outside it.
        """
        count = self._unit_count(stage)
        if not 0 <= unit < count:
            raise ValueError(f"{stage} has units 0 to {count - 1}, got {unit}.")
        return None if stage == "fc8" else unit * self.config.towers // count

    def units(self, stage: str, tower: int) -> range:
        """Units of a stage that belong to a tower. Raises ``ValueError`` for fc8 and unknown towers."""
        count, towers = self._unit_count(stage), self.config.towers
        if stage == "fc8":
            raise ValueError("fc8 sees both towers and its units belong to neither.")
        if not 0 <= tower < towers:
            raise ValueError(f"This network has towers 0 to {towers - 1}, got {tower}.")
        return range(tower * count // towers, (tower + 1) * count // towers)

    def _unit_count(self, stage: str) -> int:
        if stage not in self.stages:
            raise ValueError(f"Unknown stage {stage!r}; choose from {list(self.stages)}.")
        return geometry.channels(self.config, stage)


def _stage(config: AlexNetConfig, name: str, inputs: int, outputs: int) -> nn.Module:
    kind = name.rstrip("0123456789")
    view = geometry.window(config, name)
    if kind == "conv" and view:
        return Conv(inputs, outputs, view, config.groups(name))
    if kind == "pool" and view:
        return MaxPool(view, round_up=geometry.rounds_up(config))
    if kind == "norm":
        return LocalResponseNorm(config.lrn_alpha, config.lrn_k, 1 if config.lrn_across_towers else config.towers)
    if kind == "cnorm":
        return MapResponseNorm()
    if kind == "fc":
        return Linear(inputs, outputs)
    if kind == "drop":
        inverted = config.dropout == "inverted"
        return nn.Dropout(config.dropout_rate) if inverted else Dropout2012(config.dropout_rate)
    return nn.ReLU()


@torch.no_grad()
def initialise(model: AlexNet, generator: torch.Generator | None = None) -> AlexNet:
    """Draw the weights from zero-mean Gaussians and set the biases (paper section 5; alexnet_facts 2.1)."""
    config = model.config
    stds = {f"conv{i}": std for i, std in enumerate(config.conv_std, 1)}
    stds |= {f"fc{i}": std for i, std in enumerate(config.fc_std, 6)}
    for name, std in stds.items():
        layer = model.stages[name]
        layer.weight.normal_(0.0, std, generator=generator)  # type: ignore[operator]
        layer.bias.fill_(config.bias_one if name in BIAS_ONE_LAYERS else 0.0)  # type: ignore[operator]
    return model


def build_model(
    mode: str = "chm145", num_classes: int = 1000, *, generator: torch.Generator | None = None, **changes: Any
) -> AlexNet:
    """A freshly initialised network in a named mode: chm145, paper, caffe, caffenet or onnx224.

    `changes` replace fields of `AlexNetConfig`, such as ``input_size=127`` or ``towers=1``.
    Raises ``ValueError`` for an unknown mode or a value out of range, ``TypeError`` for an unknown field.
    """
    return initialise(AlexNet(named_config(mode, num_classes=num_classes, **changes)), generator)
