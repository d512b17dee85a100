"""Eligibility traces of blocks that run one step at a time: gradients of a step that know the steps before it.

States that persist between calls are constants of the next call, so that its gradients are those of one step. What is
missing is linear in what came before: the derivative of a voltage to a weight is a trace of the weight's input, that to
a decay one number a neuron (`lavadl_kernels.engine.eligibility`). It is added where a synapse hands its sums on, as a
term of value 0, since the state that is compared has unit slope to the sum of its own step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from lavadl_kernels.engine import eligibility
from lavadl_kernels.fixed_point import STATE_ONE
from lavadl_kernels.runtime.array_types import Floats, Integers
from torch import Tensor

from lavadl_ref.slayer.block.recurrent import FeedbackBlock
from lavadl_ref.slayer.neuron import spiking


@contextmanager
def carried(blocks: Iterable[Any]) -> Iterator[None]:
    """Let gradients of single steps contain the steps before, for blocks that are at rest or are reset next.

    Raises
    ------
    ValueError
        A block that is trained has no neurons whose traces are carried.
    """
    handles = []
    try:
        for number, block in enumerate(blocks):
            if any(parameter.requires_grad for parameter in block.parameters()):
                _check(block, f"block {number} of net")
                handles.append(block.synapse.register_forward_hook(_Traces(block.neuron)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _check(block: Any, name: str) -> None:
    """Refuse a block of whose parameters the derivatives are not carried on."""

    def must(holds: bool, what: str, got: Any) -> None:
        if not holds:
            raise ValueError(f"{name} must {what} for training_mode 'online', got {got}; 'batch' takes any")

    neuron, synapse = getattr(block, "neuron", None), getattr(block, "synapse", None)
    must(not isinstance(block, FeedbackBlock), "have no feedback", type(block).__name__)
    must(isinstance(neuron, spiking.Neuron), "have spiking neurons", type(neuron).__name__)
    must(isinstance(synapse, torch.nn.Module), "have a synapse", type(synapse).__name__)
    assert isinstance(neuron, spiking.Neuron) and isinstance(synapse, torch.nn.Module)
    must(neuron.persistent_state, "have neurons with persistent_state=True", neuron.persistent_state)
    must(neuron.shared_param, "have decays that all its neurons share (shared_param=True)", neuron.shared_param)
    norms = [type(norm).__name__ for norm in (neuron.norm, neuron.real_norm, neuron.imag_norm) if norm is not None]
    must(not norms, "have no norm", ", ".join(norms))
    biases = [key for key, value in synapse.named_parameters() if key.endswith("bias") and value.requires_grad]
    must(not biases, "have no trained bias", ", ".join(biases))
    trained = [key for key, _ in _trained_decays(neuron)]
    must(not (neuron.kernel.adaptive and trained), "train no decays of adaptive neurons", ", ".join(trained))


def _trained_decays(neuron: spiking.Neuron) -> list[tuple[str, int]]:
    """Names of the decays that are trained, and their rows."""
    return [(key, row) for row, key in enumerate(neuron.kernel.decays) if getattr(neuron, key).requires_grad]


class _Traces:
    """The traces of one block, as a hook of its synapse that carries them on."""

    def __init__(self, neuron: spiking.Neuron) -> None:
        self.neuron = neuron
        self.trained = _trained_decays(neuron)
        self.compared = neuron.kernel.states.index(neuron.kernel.carried)
        self.of_inputs: Floats | None = None  # (K, inputs)
        self.of_decays: Floats | None = None  # (D, K, neurons)

    def __call__(self, synapse: torch.nn.Module, arguments: tuple[Tensor, ...], sums: Any) -> Any:
        parameters = self._parameters()
        x = arguments[0]
        rows = _rows(x)
        if self.of_inputs is None:
            self.of_inputs = eligibility.at_rest(parameters, rows.shape[1])
        self.of_inputs, _ = eligibility.of_inputs(parameters, rows, self.of_inputs)
        parts = sums if isinstance(sums, tuple) else (sums,)
        # a run of several steps has its own derivatives, and those before it are of no step that is learnt from
        corrects = torch.is_grad_enabled() and x.shape[-1] == 1
        missing = self._missing_of_weights(synapse, x, rows) if corrects else []
        if self.trained:
            missing += self._missing_of_decays(parameters, parts, corrects)
        for terms in missing:
            parts = tuple(z + (term - term.detach()) for z, term in zip(parts, terms, strict=True))
        return parts if isinstance(sums, tuple) else parts[0]

    def _parameters(self) -> Any:
        neuron, family = self.neuron, self.neuron.kernel
        decay = [neuron.applied_decay(name).item() for name in family.decays]
        integers = np.array(decay + [0] * (len(family.rows) - len(decay)), np.int64)
        return family.parameters(integers, *(int(getattr(neuron, name) * neuron.s_scale) for name in family.constants))

    def _missing_of_weights(self, synapse: torch.nn.Module, x: Tensor, rows: Floats) -> list[tuple[Tensor, ...]]:
        """Sums of the traces without the input of this step, whose derivatives to the weights are there already."""
        assert self.of_inputs is not None
        if not self.neuron.kernel.complex:
            return [(synapse.forward(_shaped(self.of_inputs[self.compared] - rows[0], x)),)]
        real, imag = (_shaped(part, x) for part in (self.of_inputs[0] - rows[0], self.of_inputs[1]))
        # an imaginary weight turns the trace by a quarter
        (of_real, of_real_turned), (turned, of_imag) = synapse.forward(real), synapse.forward(imag)
        return [(of_real - of_imag, of_real_turned + turned)]

    def _missing_of_decays(self, parameters: Any, sums: tuple[Tensor, ...], corrects: bool) -> list[tuple[Tensor, ...]]:
        """The decays times the derivatives to them that are left of the steps before; carries these on."""
        ratio = self.neuron.s_scale / STATE_ONE
        inputs = tuple(_rows(z) * np.float32(ratio) for z in sums)
        steps, lanes = inputs[0].shape
        if self.of_decays is None:
            self.of_decays = eligibility.decays_at_rest(parameters, lanes)
        found = []
        states = range(2) if self.neuron.kernel.complex else [self.compared]
        for name, row in self.trained if corrects else ():
            silence = np.zeros((1, lanes), np.float32)
            left = eligibility.of_inputs(parameters, silence, self.of_decays[row])[0] / np.float32(STATE_ONE * ratio)
            decay = self.neuron.applied_decay(name)
            found.append(tuple(decay * _shaped(left[k], z) for k, z in zip(states, sums, strict=True)))
        slope = np.zeros((len(self.neuron.kernel.states), steps, lanes), np.float32)
        self.of_decays = eligibility.of_decays(parameters, inputs, self._states(sums[0]), self.of_decays, slope).trace
        return found

    def _states(self, z: Tensor) -> Integers:
        """The states before this call, (K, neurons) in 1 / s_scale; no trained family rests elsewhere than at 0."""
        held = []
        for name in self.neuron.kernel.states:
            state = getattr(self.neuron, f"{name}_state")
            fits = state.shape == z.shape[:-1]
            integers = (state.double() * self.neuron.s_scale).long() if fits else torch.zeros(z.shape[:-1]).long()
            held.append(integers.flatten().numpy())
        return np.stack(held)


def _rows(x: Tensor) -> Floats:
    """A tensor (N, ..., T) as (T, lanes)."""
    rows: Floats = x.detach().movedim(-1, 0).flatten(1).float().numpy()
    return np.ascontiguousarray(rows)


def _shaped(row: Floats, x: Tensor) -> Tensor:
    """Lanes as a tensor of the shape of `x`, which has one step."""
    return torch.from_numpy(np.ascontiguousarray(row)).reshape(x.shape)
