"""Stochastic gradient descent as the paper writes it (section 5), on torch's fused kernel."""

from collections.abc import Iterable

import torch
from torch import nn


class PaperSGD:
    """v <- 0.9 v - wd * lr * w - lr * g;  w <- w + v, with bias rates of their own and no bias decay.

    torch keeps u = -v / lr, so a change of rate would rescale the velocity: the paper's velocity keeps the
    rate it was gathered at. Momentum times lr_old / lr_new at the step of the change makes the two equal
    (alexnet_facts 2.2). A rate of 0 freezes the parameters and drops their velocity (weights.cu:148).
    """

    def __init__(
        self,
        named_layers: Iterable[tuple[str, nn.Module]],
        *,
        momentum: float = 0.9,
        weight_decay: float = 5e-4,
    ) -> None:
        groups = [
            {
                "params": [parameter],
                "layer": name,
                "kind": kind,
                "weight_decay": weight_decay * (kind == "weight"),
            }
            for name, layer in named_layers
            for kind, parameter in layer.named_parameters(recurse=False)
        ]
        self.momentum = momentum
        self.sgd = torch.optim.SGD(groups, lr=0.0, momentum=momentum, fused=True)

    def step(self, rates: dict[tuple[str, str], float]) -> None:
        """One update; `rates` maps (layer, "weight" | "bias") to its learning rate."""
        for group in self.sgd.param_groups:
            old, new = group["lr"], rates[group["layer"], group["kind"]]
            parameter = group["params"][0]
            if new == 0:
                parameter.grad = None
                self.sgd.state.pop(parameter, None)
            group["lr"] = new
            group["momentum"] = self.momentum * (old / new if old and new else 1.0)
        self.sgd.step()
        self.sgd.zero_grad(set_to_none=True)

    def velocities(self) -> dict[str, torch.Tensor]:
        """Velocity buffers by "layer.kind", as the fused kernel keeps them (gradient units)."""
        return {
            f"{group['layer']}.{group['kind']}": buffer
            for group in self.sgd.param_groups
            if (buffer := self.sgd.state.get(group["params"][0], {}).get("momentum_buffer")) is not None
        }

    def restore(self, velocities: dict[str, torch.Tensor], rates: dict[str, float]) -> None:
        """Continue from saved `velocities` and the `rates` ("layer.kind") they were saved at."""
        for group in self.sgd.param_groups:
            name = f"{group['layer']}.{group['kind']}"
            group["lr"] = rates[name]
            if name in velocities:
                parameter = group["params"][0]  # the fused kernel needs both in one memory layout
                self.sgd.state[parameter]["momentum_buffer"] = torch.empty_like(parameter).copy_(velocities[name])

    def rates(self) -> dict[str, float]:
        """The learning rates of the last step by "layer.kind"."""
        return {f"{group['layer']}.{group['kind']}": group["lr"] for group in self.sgd.param_groups}
