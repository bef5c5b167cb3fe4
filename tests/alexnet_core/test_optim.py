"""The update rule against a plain two-line transcription of the paper's section 5, in float64."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from alexnet_core.optim import PaperSGD

WEIGHT, BIAS = ("layer", "weight"), ("layer", "bias")
DROP = [0.01] * 5 + [0.001] * 8  # the rate divided by ten
Rates = dict[tuple[str, str], float]


def gradients(steps: int, *shape: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(*shape, generator=generator, dtype=torch.float64) for _ in range(steps)]


def by_the_paper(start: Tensor, grads: Sequence[Tensor], rates: Sequence[float], *, decay: float) -> list[Tensor]:
    """v <- 0.9 v - decay rate w - rate g;  w <- w + v; a rate of 0 leaves w alone and forgets v (weights.cu)."""
    w, v, path = start.clone(), torch.zeros_like(start), []
    for gradient, rate in zip(grads, rates, strict=True):
        v = 0.9 * v - decay * rate * w - rate * gradient if rate else torch.zeros_like(v)
        w = w + v
        path.append(w)
    return path


class Trained:
    """A linear layer in float64 that is given its gradients, and its path."""

    def __init__(self) -> None:
        self.layer = nn.Linear(5, 4, dtype=torch.float64)
        generator = torch.Generator().manual_seed(1)
        nn.init.normal_(self.layer.weight, generator=generator)
        nn.init.normal_(self.layer.bias, generator=generator)
        self.optimiser = PaperSGD([("layer", self.layer)])
        self.weights: list[Tensor] = []
        self.biases: list[Tensor] = []

    def step(self, weight_gradient: Tensor, bias_gradient: Tensor, rates: Rates) -> None:
        self.layer.weight.grad, self.layer.bias.grad = weight_gradient.clone(), bias_gradient.clone()
        self.optimiser.step(rates)
        self.weights.append(self.layer.weight.detach().clone())
        self.biases.append(self.layer.bias.detach().clone())


def same(found: Sequence[Tensor], expected: Sequence[Tensor]) -> None:
    torch.testing.assert_close(torch.stack(list(found)), torch.stack(list(expected)), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    "rates",
    [
        pytest.param([0.01] * 10, id="constant"),
        pytest.param(DROP, id="drop"),
        pytest.param([0.001] * 4 + [0.02] * 4, id="rise"),
        pytest.param([0.01 * 0.8**i for i in range(15)], id="changing every step"),
        pytest.param([0.01] * 4 + [0.0] * 3 + [0.01] * 4, id="frozen for a while"),
        pytest.param([0.0] * 2 + [0.01] * 4, id="frozen at first"),
        pytest.param([0.01] * 4 + [0.0] * 2 + [0.001] * 4, id="lower after being frozen"),
    ],
)
def test_weights_and_biases_go_the_way_of_the_paper(rates: list[float]) -> None:
    trained = Trained()
    weights, biases = trained.layer.weight.detach().clone(), trained.layer.bias.detach().clone()
    weight_gradients, bias_gradients = gradients(len(rates), 4, 5), gradients(len(rates), 4)
    for weight_gradient, bias_gradient, rate in zip(weight_gradients, bias_gradients, rates, strict=True):
        trained.step(weight_gradient, bias_gradient, {WEIGHT: rate, BIAS: 2 * rate})
    same(trained.weights, by_the_paper(weights, weight_gradients, rates, decay=5e-4))
    same(trained.biases, by_the_paper(biases, bias_gradients, [2 * rate for rate in rates], decay=0))


def test_velocity_outlives_a_drop_of_the_rate_as_torch_s_would_not() -> None:
    """alexnet_facts 2.2: after a division by ten PyTorch's own rule moves very differently for some steps."""
    trained, weight_gradients = Trained(), gradients(len(DROP), 4, 5)
    other = nn.Linear(5, 4, dtype=torch.float64)
    other.load_state_dict(trained.layer.state_dict())
    torch_sgd = torch.optim.SGD([other.weight], lr=0.01, momentum=0.9, weight_decay=5e-4)
    for gradient, rate in zip(weight_gradients, DROP, strict=True):
        trained.step(gradient, torch.zeros(4, dtype=torch.float64), {WEIGHT: rate, BIAS: rate})
        other.weight.grad, torch_sgd.param_groups[0]["lr"] = gradient.clone(), rate
        torch_sgd.step()
        if rate == DROP[0]:
            torch.testing.assert_close(trained.layer.weight, other.weight, rtol=1e-12, atol=1e-14)
    moved, other_moved = (path - trained.weights[4] for path in (trained.weights[-1], other.weight.detach()))
    assert (moved - other_moved).norm() > 0.5 * moved.norm()


def test_one_step_without_gradient_shrinks_weights_only() -> None:
    trained = Trained()
    weights, biases = trained.layer.weight.detach().clone(), trained.layer.bias.detach().clone()
    trained.step(torch.zeros(4, 5).double(), torch.zeros(4).double(), {WEIGHT: 0.01, BIAS: 0.02})
    torch.testing.assert_close(trained.weights[0], weights * (1 - 0.01 * 5e-4), rtol=1e-14, atol=0)
    assert torch.equal(trained.biases[0], biases)


def test_frozen_layers_do_not_move_at_all() -> None:
    trained = Trained()
    rates, grads = [0.01, 0.01, 0.0, 0.0], gradients(4, 4, 5)
    for gradient, rate in zip(grads, rates, strict=True):
        trained.step(gradient, torch.ones(4).double(), {WEIGHT: rate, BIAS: 0.02})
    assert torch.equal(trained.weights[1], trained.weights[3])
    assert not torch.equal(trained.biases[1], trained.biases[3])


def test_each_layer_has_rates_of_its_own() -> None:
    layers = {name: nn.Linear(2, 2) for name in ("conv1", "fc8")}
    before = {name: layer.weight.detach().clone() for name, layer in layers.items()}
    optimiser = PaperSGD(layers.items(), weight_decay=0)
    for layer in layers.values():
        layer.weight.grad, layer.bias.grad = torch.ones(2, 2), torch.ones(2)
    rates = {"conv1": 0.5, "fc8": 0.125}
    optimiser.step({(name, kind): rates[name] for name in layers for kind in ("weight", "bias")})
    for name, layer in layers.items():
        assert torch.equal(layer.weight, before[name] - rates[name])


def test_gradients_are_used_once() -> None:
    trained = Trained()
    trained.step(torch.ones(4, 5).double(), torch.ones(4).double(), {WEIGHT: 0.01, BIAS: 0.02})
    assert trained.layer.weight.grad is None
    assert trained.layer.bias.grad is None


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("interruption", [2, 5, 6])
def test_a_restored_optimiser_continues_exactly(memory_format: torch.memory_format, interruption: int) -> None:
    """Also for convolutions stored channels last, of which a file keeps the values but not the layout."""

    def start() -> tuple[nn.Conv2d, PaperSGD]:
        layer = nn.Conv2d(3, 4, 5).requires_grad_(False)
        generator = torch.Generator().manual_seed(1)
        layer.weight.normal_(generator=generator)
        layer.bias.normal_(generator=generator)  # type: ignore[union-attr]
        layer.requires_grad_(True).to(memory_format=memory_format)  # type: ignore[call-overload]
        return layer, PaperSGD([("layer", layer)])

    def go_on(layer: nn.Conv2d, optimiser: PaperSGD, steps: range) -> None:
        for step in steps:
            draws = torch.Generator().manual_seed(step)
            layer(torch.randn(2, 3, 7, 7, generator=draws)).square().sum().backward()
            optimiser.step({WEIGHT: 1e-3 * DROP[step], BIAS: 2e-3})

    whole, optimiser = start()
    go_on(whole, optimiser, range(10))
    first, optimiser = start()
    go_on(first, optimiser, range(interruption))
    saved = {name: velocity.contiguous() for name, velocity in optimiser.velocities().items()}
    second, restored = start()
    second.load_state_dict(first.state_dict())
    restored.restore(saved, optimiser.rates())
    go_on(second, restored, range(interruption, 10))
    assert torch.equal(second.weight, whole.weight)
    assert second.bias is not None
    assert torch.equal(second.bias, whole.bias)  # type: ignore[arg-type]


def test_frozen_parameters_are_restored_without_a_velocity() -> None:
    trained = Trained()
    trained.step(torch.ones(4, 5).double(), torch.ones(4).double(), {WEIGHT: 0.0, BIAS: 0.02})
    assert list(trained.optimiser.velocities()) == ["layer.bias"]
    assert trained.optimiser.rates() == {"layer.weight": 0.0, "layer.bias": 0.02}
    again = Trained()
    again.optimiser.restore(trained.optimiser.velocities(), trained.optimiser.rates())
    assert list(again.optimiser.velocities()) == ["layer.bias"]
