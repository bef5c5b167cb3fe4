"""The network as a frozen value: five named modes, each a documented reading of the 2012 AlexNet."""

from dataclasses import dataclass, replace
from typing import Any, Literal

# Order of the operations in the first two layers: where the sources disagree (alexnet_facts 1.1).
LAYER1_LRN_FIRST = ("conv1", "norm1", "pool1", "relu1")  # the authors' code: LRN sees negative responses
LAYER1_RELU_NORM_POOL = ("conv1", "relu1", "norm1", "pool1")
LAYER1_RELU_POOL_NORM = ("conv1", "relu1", "pool1", "norm1")
LAYER2_WITH_CNORM = ("conv2", "relu2", "norm2", "cnorm2", "pool2")
LAYER2_RELU_NORM_POOL = ("conv2", "relu2", "norm2", "pool2")
LAYER2_RELU_POOL_NORM = ("conv2", "relu2", "pool2", "norm2")
# Max-pooling and ReLU commute exactly, so conv5-pool-ReLU of the authors' code is written ReLU-pool here:
# relu5 then is the last map before pooling, which Grad-CAM wants.
UPPER_LAYERS = (
    "conv3", "relu3", "conv4", "relu4", "conv5", "relu5", "pool5",
    "fc6", "relu6", "drop6", "fc7", "relu7", "drop7", "fc8",
)  # fmt: skip

CONV_CHANNELS = (96, 256, 384, 384, 256)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlexNetConfig:
    """Everything that fixes the function the network computes and how its weights start.

    Raises ``ValueError`` for a value outside what is stated beside each field.
    """

    mode: str = "chm145"
    num_classes: int = 1000
    input_size: int = 224  # pixels; 224 (paper), 227 (Caffe) and 127 (64-px photo sets) are the usual ones
    towers: int = 2  # 1, 2 or 4; 1 drops the groups
    grouped: tuple[str, ...] = ("conv2", "conv4", "conv5")  # convolutions that stay inside a tower
    geometry: Literal["cuda-convnet", "onnx"] = "cuda-convnet"  # windows rounded up, or the ONNX file's
    layer1: tuple[str, ...] = LAYER1_LRN_FIRST
    layer2: tuple[str, ...] = LAYER2_WITH_CNORM
    lrn_alpha: float = 1e-4  # torch's convention: divided by the window of 5
    lrn_k: float = 2.0
    lrn_across_towers: bool = False
    conv_std: tuple[float, ...] = (0.01, 0.01, 0.03, 0.03, 0.03)
    fc_std: tuple[float, ...] = (0.01, 0.01, 0.01)
    bias_one: float = 1.0  # initial bias of conv2, conv4, conv5, fc6, fc7; 0 elsewhere
    dropout: Literal["halve at test", "inverted"] = "halve at test"
    dropout_rate: float = 0.5

    def __post_init__(self) -> None:
        if self.towers not in (1, 2, 4):
            raise ValueError(f"towers must be 1, 2 or 4, got {self.towers}.")
        if self.num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, got {self.num_classes}.")
        if self.input_size < 63:
            raise ValueError(f"input_size must be at least 63 pixels (pool5 vanishes below), got {self.input_size}.")
        if self.geometry not in ("cuda-convnet", "onnx"):
            raise ValueError(f"geometry must be 'cuda-convnet' or 'onnx', got {self.geometry!r}.")
        if self.dropout not in ("halve at test", "inverted"):
            raise ValueError(f"dropout must be 'halve at test' or 'inverted', got {self.dropout!r}.")
        if not 0 <= self.dropout_rate < 1:
            raise ValueError(f"dropout_rate must lie in [0, 1), got {self.dropout_rate}.")
        if unknown := set(self.grouped) - {"conv2", "conv3", "conv4", "conv5"}:
            raise ValueError(f"grouped may name conv2, conv3, conv4 and conv5, got {sorted(unknown)}.")
        for name, known in (("layer1", LAYER1_LRN_FIRST), ("layer2", LAYER2_WITH_CNORM)):
            order = getattr(self, name)
            if order[:1] != known[:1] or len(set(order)) < len(order) or not set(order) <= set(known):
                raise ValueError(f"{name} must be {known[0]!r} and then any of {known[1:]} once, got {order}.")

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of all operations, in the order in which they run."""
        return self.layer1 + self.layer2 + UPPER_LAYERS

    def groups(self, conv: str) -> int:
        """Number of groups of a convolution: the number of towers where it stays inside its tower."""
        return self.towers if conv in self.grouped else 1


_PAPER = AlexNetConfig(
    mode="paper",
    layer1=LAYER1_RELU_NORM_POOL,
    layer2=LAYER2_RELU_NORM_POOL,
    lrn_alpha=5e-4,  # the printed formula does not divide by n
    conv_std=(0.01,) * 5,
)
_CAFFE = AlexNetConfig(
    mode="caffe",
    input_size=227,
    layer1=LAYER1_RELU_NORM_POOL,
    layer2=LAYER2_RELU_NORM_POOL,
    lrn_k=1.0,
    lrn_across_towers=True,
    conv_std=(0.01,) * 5,
    fc_std=(0.005, 0.005, 0.01),
    bias_one=0.1,
    dropout="inverted",
)
MODES: dict[str, AlexNetConfig] = {
    "chm145": AlexNetConfig(),  # the authors' net #145, which scored 37.5 / 17.0
    "paper": _PAPER,  # as printed in NIPS 2012
    "caffe": _CAFFE,  # bvlc_alexnet
    "caffenet": replace(
        _CAFFE, mode="caffenet", layer1=LAYER1_RELU_POOL_NORM, layer2=LAYER2_RELU_POOL_NORM, bias_one=1.0
    ),
    "onnx224": replace(_CAFFE, mode="onnx224", input_size=224, geometry="onnx"),  # onnx bvlcalexnet
}


def named_config(mode: str, **changes: Any) -> AlexNetConfig:
    """The configuration of a named mode with some fields replaced; lists, as files hold them, become tuples.

    Raises ``ValueError`` for an unknown mode, ``TypeError`` for an unknown field.
    """
    if mode not in MODES:
        raise ValueError(f"Unknown mode {mode!r}; choose from {list(MODES)}.")
    fixed: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in changes.items()
    }
    return replace(MODES[mode], **fixed)
