"""Recurrent neurons as a torch autograd function: `lavadl_kernels.engine.recurrent` on tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lavadl_kernels.engine import recurrent as feedback
from lavadl_kernels.engine import train as dynamics
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from lavadl_ref.slayer._bridge import autograd as _autograd
from lavadl_ref.slayer._bridge import tiles
from lavadl_ref.slayer._bridge.autograd import Layout
from lavadl_ref.slayer._bridge.function import TypedFunction
from lavadl_ref.slayer._bridge.paths import pinned
from lavadl_ref.slayer._overflow import explanation


@dataclass(frozen=True)
class Uniform:
    """Feedback weights that are one number on the diagonal and another beside it.

    Takes time and memory of the order of the units instead of their square.
    """

    own: Tensor  #: (1,) what a unit that fires sends to itself
    others: float  #: what it sends to every other; gets no gradient


#: R of one input: (O, O), row o what unit o receives, or two numbers.
Weight = Tensor | Uniform


def sent(weight: Weight, spikes: Tensor) -> Tensor:
    """The sums that `spikes`, (N, O) or (N, O, T), send to each unit through `weight`, in their shape."""
    if isinstance(weight, Uniform):
        return weight.others * spikes.sum(1, keepdim=True) + (weight.own - weight.others) * spikes
    return spikes @ weight.t() if spikes.ndim == 2 else torch.einsum("oi,nit->not", weight, spikes)


def scaled(weight: Weight, by: Callable[[Any], Any]) -> Weight:
    """`weight` with `by` applied to its numbers."""
    return Uniform(by(weight.own), by(weight.others)) if isinstance(weight, Uniform) else by(weight)


def run(
    setting: _autograd.Setting,
    states: tuple[Tensor | int, ...],
    inputs: tuple[Tensor, ...],
    weights: tuple[Weight, ...],
    decays: list[Tensor],
) -> Any:
    """Spikes, traces if wanted, and the states after the last step, as `_autograd.Neurons` returns them."""
    others = tuple(weight.others if isinstance(weight, Uniform) else None for weight in weights)
    tensors = [weight.own if isinstance(weight, Uniform) else weight for weight in weights]
    return FeedbackNeurons.apply(setting, states, others, *inputs, *tensors, *decays)


def with_last(x: Tensor, weight: Weight, last: Tensor, graded: bool) -> Tensor:
    """`x`, (N, O, ..., T), with what `last`, (N, O, ...), sends to its first step, to the bit as within a run."""
    others = weight.others if isinstance(weight, Uniform) else None
    given = weight.own if isinstance(weight, Uniform) else weight
    first = FirstStep.apply(x[..., 0].flatten(1), last.flatten(1), given, others, graded)
    return torch.cat([first.reshape(x[..., :1].shape), x[..., 1:]], dim=-1)


class FirstStep(TypedFunction):
    """The first step of an input with what the spikes before it send, on tensors (N, O)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, last: Tensor, weight: Tensor, others: float | None, graded: bool) -> Tensor:
        _autograd.follow_torch()
        ctx.save_for_backward(last, weight)
        ctx.others = others
        step, spikes = (part.detach().contiguous().flatten().numpy() for part in (x, last))
        sums = feedback.begun(step, spikes, x.shape[1], _weights(weight, others), graded)
        return torch.from_numpy(sums).reshape(x.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        last, weight = ctx.saved_tensors
        to_last = to_weight = None
        if ctx.needs_input_grad[1]:
            back: Weight = weight.t() if ctx.others is None else Uniform(weight, ctx.others)
            to_last = sent(back, grads[0])
        if ctx.needs_input_grad[2]:
            to_weight = grads[0].t() @ last if ctx.others is None else (grads[0] * last).sum().reshape(1)
        return grads[0], to_last, to_weight, None, None


class FeedbackNeurons(TypedFunction):
    """A family of `lavadl_kernels.neurons` with feedback between the neurons of a layer, on tensors.

    Takes the states to start from, for each input the ``others`` of `Uniform` weights or None, then the inputs,
    the weights, and the decays.
    """

    @staticmethod
    def forward(
        ctx: Any,
        setting: _autograd.Setting,
        states: tuple[Tensor | int, ...],
        others: tuple[float | None, ...],
        *tensors: Tensor,
    ) -> Any:
        _autograd.follow_torch()
        ctx.set_materialize_grads(False)
        count = setting.inputs
        inputs, weights, decays = tensors[:count], tensors[count : 2 * count], tensors[2 * count :]
        # lanes of one sample beside each other
        layout = Layout.channels_last(inputs[0].shape)
        initial = np.stack([_autograd.start_of(state, layout) for state in states])
        neuron = setting.family.parameters(_autograd.parameter_rows(decays, layout), *setting.constants)
        x = tuple(layout.lanes(part) for part in inputs)
        fed = tuple(_weights(weight, other) for weight, other in zip(weights, others, strict=True))
        units = layout.shape[1]
        try:
            result = feedback.forward(
                neuron, x, initial, units, fed, setting.graded, setting.traces, setting.keep, setting.later
            )
        except ValueError as error:

            def alone() -> None:
                dynamics.forward(neuron, x, initial, setting.graded, False, False)

            raise ValueError(explanation(str(error), x, alone)) from None
        spikes = layout.logical(result.spike)
        ctx.save_for_backward(*weights, *decays, spikes)
        ctx.run = layout, neuron, fed, result.x, result.checkpoints
        ctx.setting = setting
        after = tuple(layout.logical_state(state) for state in result.state) if setting.after else ()
        ctx.mark_non_differentiable(*after)
        return spikes, *(layout.logical(trace) for trace in result.trace), *after

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        _autograd.follow_torch()
        setting: _autograd.Setting = ctx.setting
        layout, neuron, fed, x, checkpoints = ctx.run
        *tensors, spikes = ctx.saved_tensors
        count, units = setting.inputs, layout.shape[1]
        decays = tensors[count:]
        grad_spike = np.zeros((1, x[0].shape[1]), np.float32) if grads[0] is None else layout.lanes_or_one(grads[0])
        result = feedback.backward(
            neuron, x, checkpoints, setting.tau, setting.scale, grad_spike, units, fed,
            _stacked(grads[1 : 1 + checkpoints.shape[1]] if setting.traces else (), layout), setting.graded,
            setting.later, _on_tiles(layout.shape[0], tensors[:count]),
        )  # fmt: skip
        sent = layout.lanes(spikes)
        wanted = ctx.needs_input_grad[3 + count : 3 + 2 * count]
        to_weights = [
            _weight_gradient(part, gradient, sent, units, setting.later) if want else None
            for part, gradient, want in zip(fed, result.x, wanted, strict=True)
        ]
        to_decays = [
            layout.per_channel(lanes, decay.numel()) for lanes, decay in zip(result.decay, decays, strict=True)
        ]
        return None, None, None, *(layout.logical(part) for part in result.x), *to_weights, *to_decays


def _weights(weight: Tensor, others: float | None) -> feedback.Weights:
    if others is not None:
        uniform: feedback.Weights = feedback.uniform(weight.item(), others)
        return uniform
    return feedback.Weights(weight.detach().contiguous().numpy())


def _on_tiles(samples: int, weights: Sequence[Tensor]) -> bool:
    """Tell whether gradients go back through `weights` on matrix tiles, where `synapse.path` does not forbid it."""
    if pinned() == "amx":
        return tiles.verdict().exact
    return pinned() == "auto" and tiles.worth(samples, weights) and tiles.verdict().usable


def _stacked(grads: Sequence[Tensor | None], layout: Layout) -> NDArray[np.float32] | None:
    """Gradients to traces as one array (K, T, M), None where there are none."""
    if all(grad is None for grad in grads):
        return None
    shape = layout.shape[-1], math.prod(layout.state_shape)
    rows = [np.zeros(shape, np.float32) if grad is None else layout.lanes(grad) for grad in grads]
    return np.stack(rows)


def _weight_gradient(
    weight: feedback.Weights, gradient: NDArray[np.float32], sent: NDArray[np.float32], units: int, later: int
) -> Tensor:
    if weight.uniform:
        return torch.tensor([feedback.own_gradient(gradient, sent, later)], dtype=torch.float32)
    found = feedback.weight_gradient(gradient, sent, units, later)
    if found is None:
        to, by = (torch.from_numpy(part).view(-1, units) for part in (gradient[1:], feedback.heard(sent, later)))
        return to.t() @ by
    return torch.from_numpy(found)
