"""Learning at every step on lava-dl's CUBA blocks, written with torch from the papers of the rules.

lava-dl has no such learning.  This is the loop that its user would write: the blocks are called for one step at a
time, their neurons keeping their states, and a trace of each layer's input is carried along.  With x the input of a
layer, a and b what is left of current and voltage after a step, the traces are::

    e[t] = a e[t-1] + x[t]
    f[t] = b f[t-1] + e[t]

and the gradient to a weight is the one to the voltage of its neuron at this step, times f of its input.

- ``"local"``: Kaiser, Mostafa and Neftci, "Synaptic Plasticity Dynamics for Deep Continuous Local Learning
  (DECOLLE)", 2020.  Each layer learns from the loss of a fixed random readout of its spikes.
- ``"spatial"``: Xiao et al., "Online Training Through Time for Spiking Neural Networks", 2022.  The gradient of the
  loss at a step passes down through the layers at that step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

PARTS = 4096  #: decays are so many parts of one


class Layer:
    """A Dense block of CUBA neurons without delay, shift and dropout, with the traces of its input."""

    def __init__(self, block: Any) -> None:
        self.block = block
        block.neuron.persistent_state = True
        self.left = tuple(1 - decay / PARTS for decay in (block.neuron.cx_current_decay, block.neuron.cx_voltage_decay))
        self._hook = block.synapse.pre_hook_fx
        block.synapse.pre_hook_fx = self._hooked
        self.reset()

    def _hooked(self, weight: Tensor, **options: Any) -> Tensor:
        # the weight as it is applied, with its graph: computed once, not again for the gradient
        self.weight: Tensor = self._hook(weight, **options)
        return self.weight

    def reset(self) -> None:
        """Bring the neurons and the traces to rest."""
        neuron = self.block.neuron
        neuron.current_state, neuron.voltage_state = torch.zeros(1), torch.zeros(1)
        self.traces: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """The spikes (N, O) of a step for its input (N, I); their graph begins at the voltage."""
        neuron = self.block.neuron
        before = self.traces or (torch.zeros_like(x), torch.zeros_like(x))
        first = before[0] * self.left[0] + x
        self.traces = first, before[1] * self.left[1] + first
        z = self.block.synapse(x[..., None])
        with torch.no_grad():
            _, voltage = neuron.dynamics(z)
        self.voltage = voltage.requires_grad_()
        self.spikes: Tensor = neuron.spike(self.voltage)[..., 0]
        return self.spikes.detach()

    def learn(self, loss: Tensor | None, gradient: Tensor | None, wanted: bool) -> Tensor | None:
        """Add to the gradients of the parameters, from a loss or from the gradient (N, O) to the spikes.

        Returns the gradient (N, I) to the input at the same step where it is `wanted`.
        """
        assert self.traces is not None
        (slope,) = torch.autograd.grad(self.spikes if loss is None else loss, self.voltage, gradient)
        slope = slope[..., 0]
        self.weight.backward((slope.t() @ self.traces[1]).view_as(self.weight))
        return slope @ self.weight.detach().flatten(1) if wanted else None


class Stepwise:
    """A network of such blocks that learns at every step.

    Parameters
    ----------
    blocks : sequence of Dense block of lava-dl
        Without delay, shift and dropout, with frozen decays.
    optimizer : torch.optim.Optimizer
    rule : str
        ``"local"`` or ``"spatial"``.
    matrices : sequence of Tensor, optional
        (classes, M), the readout of each layer for ``"local"``.
    """

    def __init__(
        self, blocks: Sequence[Any], optimizer: torch.optim.Optimizer, rule: str, matrices: Sequence[Tensor] = ()
    ) -> None:
        self.layers = [Layer(block) for block in blocks]
        self.optimizer, self.rule, self.matrices = optimizer, rule, matrices

    def learn(self, x: Tensor, labels: Tensor) -> Tensor:
        """Learn from samples (N, C, T) with their labels (N,), from rest; what the loss compared, (N, classes, T)."""
        for layer in self.layers:
            layer.reset()
        return torch.stack([self.step(x[..., t], labels) for t in range(x.shape[-1])], dim=-1)

    def step(self, x: Tensor, labels: Tensor) -> Tensor:
        """Go on by one step, (N, C), and learn from it."""
        self.optimizer.zero_grad()
        compared = self._local(x, labels) if self.rule == "local" else self._spatial(x, labels)
        self.optimizer.step()
        return compared.detach()

    def _local(self, x: Tensor, labels: Tensor) -> Tensor:
        for layer, matrix in zip(self.layers, self.matrices, strict=True):
            x = layer.forward(x)
            read = functional.linear(layer.spikes, matrix)
            layer.learn(functional.cross_entropy(read, labels), None, False)
        return read

    def _spatial(self, x: Tensor, labels: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer.forward(x)
        output, gradient = self.layers[-1].spikes, None
        loss: Tensor | None = functional.cross_entropy(output, labels)
        for layer in reversed(self.layers):
            gradient = layer.learn(loss, gradient, layer is not self.layers[0])
            loss = None
        return output
