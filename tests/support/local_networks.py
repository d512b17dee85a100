"""Networks that learn locally, as users of DECOLLE write them, and an optimiser that only adds gradients up."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lavadl_ref import slayer
from tests.support.families import FAMILIES

LEAKY = {"current_decay": 0.3, "voltage_decay": 0.1}
ROTATING = {"period": 10, "decay": 0.05}
ADAPTING = {"threshold_step": 0.2, "threshold_decay": 0.1, "refractory_decay": 0.2}


def parameters(family: str, **options: Any) -> dict[str, Any]:
    """Arguments of neurons that often fire, and whose state persists."""
    own = FAMILIES[family].pick(LEAKY, ROTATING, ADAPTING)
    return {"threshold": 0.5, "persistent_state": True, **own, **options}


def dense(family: str, inputs: int, outputs: int, **options: Any) -> Any:
    """A dense block of these neurons."""
    return getattr(slayer.block, family).Dense(parameters(family, **options), inputs, outputs, weight_scale=2)


class Local(torch.nn.Module):
    """Blocks taken apart into synapse, dynamics and spikes, each with a fixed readout; states are reset in place."""

    def __init__(self, blocks: list[Any], neurons: list[int], classes: int = 3, burn_in: int = 0) -> None:
        super().__init__()
        self.blocks = torch.nn.ModuleList(blocks)
        self.readouts = torch.nn.ModuleList([torch.nn.Linear(n, classes).requires_grad_(False) for n in neurons])
        self.burn_in = burn_in

    def init_state(self, input: Tensor, burn_in: int | None = None) -> Tensor:
        for block in self.blocks:
            for name in block.neuron.kernel.states:
                getattr(block.neuron, f"{name}_state")[:] = block.neuron._rest_of(name)
        begin = self.burn_in if burn_in is None else burn_in
        if begin:
            self(input[..., :begin])
        return input[..., begin:]

    def forward(self, spike: Tensor) -> Any:
        spikes, readouts, voltages, counts = [], [], [], []
        for block, readout in zip(self.blocks, self.readouts, strict=True):
            neuron = block.neuron
            states = neuron.dynamics(block.synapse(spike))
            # of leaky integrators the current is none of what a spike depends on
            spike = neuron.spike(*(states if neuron.complex else states[1:]))
            spikes.append(spike)
            readouts.append(readout(spike.flatten(1, -2).transpose(1, 2)).transpose(1, 2))
            voltages.append(states[neuron.read_at])
            counts.append(torch.mean(spike).item())
            spike = spike.detach()
        return spikes, readouts, voltages, torch.tensor(counts).reshape(1, -1)


class Summing(torch.optim.Optimizer):
    """Gradients added up by parameter, in float64; nothing is changed."""

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__(list(net.parameters()), {})
        self.names = {parameter: name for name, parameter in net.named_parameters()}
        self.sums: dict[str, Tensor] = {}
        self.steps = 0

    def step(self, closure: Any = None) -> None:
        self.steps += 1
        for parameter, name in self.names.items():
            if parameter.grad is not None:
                self.sums[name] = self.sums.get(name, 0) + parameter.grad.double()
