"""The ONNX model zoo's bvlc_alexnet graph, run by onnxruntime, against our network with the same weights.

The file as it comes proves almost nothing: its weights are constant, so every class gets 0.001 whatever the
network does (alexnet_facts 6.3). With seeded random weights it tells every wrong reading apart.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
import onnx.backend.test
import onnxruntime
import pytest
import torch

from alexnet_core.config import LAYER1_LRN_FIRST, LAYER1_RELU_POOL_NORM, LAYER2_RELU_POOL_NORM, named_config
from alexnet_core.model import AlexNet

LIGHT_MODEL = Path(onnx.backend.test.__file__).parent / "data" / "light" / "light_bvlc_alexnet.onnx"

Array = npt.NDArray[np.float32]


class Oracle(NamedTuple):
    """What onnxruntime makes of an image with seeded weights, which carry the file's names."""

    weights: dict[str, Array]
    image: Array
    logits: Array


def weights_as_inputs(model: onnx.ModelProto) -> tuple[onnx.ModelProto, dict[str, tuple[int, ...]]]:
    """The same graph without its constant weights and its softmax, and the shapes of the weights it wants."""
    graph = model.graph
    constant = {node.output[0] for node in graph.node if node.op_type == "ConstantOfShape"}
    sizes = {tensor.name.removesuffix("__SHAPE"): tensor for tensor in graph.initializer}
    shapes = {name: tuple(onnx.numpy_helper.to_array(sizes[name]).tolist()) for name in constant}
    nodes = [node for node in graph.node if node.op_type not in ("ConstantOfShape", "Softmax")]
    value = onnx.helper.make_tensor_value_info
    inputs = {"data_0": (1, 3, 224, 224)} | shapes
    seeded = onnx.helper.make_graph(
        nodes,
        "seeded",
        [value(name, onnx.TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [value(nodes[-1].output[0], onnx.TensorProto.FLOAT, (1, 1000))],
        [tensor for tensor in graph.initializer if not tensor.name.endswith("__SHAPE")],
    )
    # IR version 4 lets the one constant that is left, a shape, be no graph input.
    return onnx.helper.make_model(seeded, ir_version=4, opset_imports=model.opset_import), shapes


@pytest.fixture(scope="module")
def oracle() -> Oracle:
    model, shapes = weights_as_inputs(onnx.load(LIGHT_MODEL))
    rng = np.random.default_rng(2012)
    scale = {name: np.sqrt(2 / np.prod(shape[1:])) if len(shape) > 1 else 0.1 for name, shape in shapes.items()}
    weights = {name: rng.standard_normal(shapes[name], np.float32) * np.float32(scale[name]) for name in sorted(shapes)}
    image = 60 * rng.standard_normal((1, 3, 224, 224), np.float32)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"data_0": image} | weights)
    return Oracle(weights, image, logits)


def difference(oracle: Oracle, *, swap_towers: bool = False, **changes: Any) -> float:
    """Relative distance of our logits from the oracle's, for a network with some fields changed."""
    state = {
        f"stages.{name[:-4]}.{'weight' if name[-3] == 'w' else 'bias'}": torch.from_numpy(values)
        for name, values in oracle.weights.items()  # conv1_w_0, conv1_b_0, ...
    }
    if swap_towers:
        state |= {name: w.roll(48, 0) for name, w in state.items() if name.startswith("stages.conv1.")}
    with torch.device("meta"):
        model = AlexNet(named_config("onnx224", **changes))
    model.load_state_dict(state, assign=True)
    with torch.no_grad():
        logits = model.eval()(torch.from_numpy(oracle.image)).numpy()
    return float(np.linalg.norm(logits - oracle.logits) / np.linalg.norm(oracle.logits))


def test_the_file_has_the_weights_of_the_original_shape() -> None:
    _, shapes = weights_as_inputs(onnx.load(LIGHT_MODEL))
    assert len(shapes) == 16
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == 60_965_224


def test_logits_are_those_of_onnxruntime_with_the_same_random_weights(oracle: Oracle) -> None:
    assert difference(oracle) < 1e-5


@pytest.mark.parametrize(
    ("mutant", "changes", "least"),
    [
        ("alpha not divided by the window", {"lrn_alpha": 5e-4}, 0.3),
        ("k = 2", {"lrn_k": 2.0}, 0.2),
        ("CaffeNet's order", {"layer1": LAYER1_RELU_POOL_NORM, "layer2": LAYER2_RELU_POOL_NORM}, 0.1),
        ("towers swapped", {"swap_towers": True}, 0.1),
        ("LRN before ReLU", {"layer1": LAYER1_LRN_FIRST}, 0.04),
        ("LRN inside each tower", {"lrn_across_towers": False}, 0.008),
    ],
)
def test_a_wrong_reading_does_not_pass(oracle: Oracle, mutant: str, changes: dict[str, Any], least: float) -> None:
    assert difference(oracle, **changes) > least, mutant
