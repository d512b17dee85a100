"""Golden cases of whole layers and networks: their integers as the deployed network computes them, step by step.

A case says everything that a port has to know as numbers: the synapses as matrices, the neurons' parameters and biases
on the scales of `step`, delays, resets and start steps.  ``docs/rtl.md`` has the rule by which they make a step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lavadl_ref import exchange
from lavadl_ref.deployed import deployment, reference
from lavadl_ref.deployed.families import family_of
from lavadl_ref.deployed.weighted_sums import weighted_sums
from lavadl_ref.exchange import Average, Dense, Flatten, Input, Kernel, Layer, Recurrent
from lavadl_ref.testing.vectors import stepping

Integers = NDArray[np.int64]
Rows = list[list[int]]  # (T, M)
Values = tuple[int | str, ...]


@dataclass(frozen=True, eq=False)
class NetworkCase:
    """One golden case of a network; level 2 has networks of one layer, level 3 of several.

    Everything else follows from the network and its inputs, by the rule of `stepping`.
    """

    level: int
    name: str
    widths: str  #: ``slayer``: unlimited integers; ``loihi``: the chip's widths
    shows: str  #: the property that the case is about
    network: exchange.Network
    inputs: Integers  #: (T, N), what enters at each step
    chunks: tuple[int, ...]  #: steps of each piece in which it is run, states handed on between them
    options: Mapping[str, Any] = field(default_factory=dict)  #: of `lavadl_ref.reference.Network`

    @property
    def label(self) -> str:
        """``layers/name-widths`` or ``networks/name-widths``."""
        return f"{'layers' if self.level == 2 else 'networks'}/{self.name}-{self.widths}"

    @property
    def families(self) -> tuple[str, ...]:
        """Families of the neurons in it."""
        return tuple(dict.fromkeys(layer.neuron.type for layer in self.network.layers if layer.neuron is not None))

    @property
    def steps(self) -> int:
        """T."""
        return len(self.inputs)

    @property
    def traces(self) -> dict[str, Rows]:
        """The messages of each layer that computes, before its delay, and its states after each, (T, M) by name."""
        return self._run[1]

    @cached_property
    def answer(self) -> dict[str, Rows]:
        """The answer of a port, (T, M) by name: the output, and in level 2 the states of the layer."""
        states = {} if self.level > 2 else {name.partition(".")[2]: rows for name, rows in self.traces.items()}
        states.pop("sent", None)
        return {"output": self._run[0], **states}

    @cached_property
    def records(self) -> list[tuple[str, Values]]:
        """The network as names with numbers, layer by layer."""
        found: list[tuple[str, Values]] = []
        shape = _input_shape(self._network, self.inputs.shape[1])
        for index, position in enumerate(self.positions):
            layer, size = self.network.layers[position], int(np.prod(shape))
            found += [("layer", (index, layer.kind)), ("neurons", (layer.size,)), ("sources", (size,))]
            found += _described(self._network, position, layer, shape)
            shape = layer.shape
        return found

    @property
    def layers(self) -> int:
        """Number of layers that compute."""
        return len(self.positions)

    @cached_property
    def positions(self) -> list[int]:
        """Positions in the network of the layers that compute: those that hand on what they receive are left out."""
        return [
            position
            for position, layer in enumerate(self.network.layers)
            if not isinstance(layer, Flatten) and (not isinstance(layer, Input) or layer.neuron is not None)
        ]

    @cached_property
    def _network(self) -> reference.Network:
        return reference.Network(self.network, profile=self.widths, **self.options)

    @cached_property
    def _run(self) -> tuple[Rows, dict[str, Rows]]:
        return stepping.run(stepping.split(self.records), self.inputs.tolist(), self.widths == "loihi")


def _input_shape(network: reference.Network, size: int) -> tuple[int, ...]:
    shape = network.description.input_shape
    return (size,) if shape is None else shape


def _described(
    network: reference.Network, position: int, layer: Layer, shape: tuple[int, ...]
) -> Iterator[tuple[str, Values]]:
    """A layer as names with numbers; `shape` is that of what it receives."""
    yield "wait", (int(isinstance(layer, (Dense, Kernel))),)
    yield "start", (network.starts[position],)
    if isinstance(layer, Average):
        yield "average", (int(np.prod(shape)) // layer.size,)
        return
    if isinstance(layer, (Dense, Kernel)):
        for name, matrix in zip(("matrix", "matrix_imag"), _matrices(layer, shape), strict=False):
            yield name, _flat(matrix)
    if isinstance(layer, Kernel):
        yield "kernel_shape", layer.weight.shape
        for name, kernel in (("kernel", layer.weight), ("kernel_imag", layer.weight_imag)):
            if kernel is not None:
                yield name, _flat(kernel)
        yield "source_shape", shape
        yield "shape", layer.shape
        yield "stride", layer.stride
        yield "padding", layer.padding
        yield "dilation", layer.dilation
        yield "groups", (layer.groups,)
    yield "sum_bits", (deployment.sum_bits(layer),)
    incoming = network.incoming[position]
    if layer.neuron is None:
        bias = getattr(layer, "bias", None)
        yield "bias", _per_neuron(0 if bias is None else bias << incoming, layer)
        return
    yield from _neurons(network, position, layer, deployment.deploy(layer, incoming, spike_exp=network.spike_exp))


def _neurons(
    network: reference.Network, position: int, layer: Layer, made: deployment.Deployment
) -> Iterator[tuple[str, Values]]:
    assert layer.neuron is not None
    record, family = deployment.record_of(layer), family_of(layer.neuron.type)
    assert record is not None
    parts = ("", "_imag")[: len(record.inputs)]
    yield "sum_shift", (made.sum_shift,)
    if isinstance(layer, Recurrent):
        for part, weights in zip(parts, made.feedback, strict=True):
            yield f"feedback{part}", _flat(weights.T)
    for part, bias, shift in zip(parts, made.bias, made.up, strict=True):
        yield f"bias{part}", _flat(bias)
        yield f"shift{part}", (int(shift),)
    kind = {id(family.as_input): "INPUT", id(family.as_output): "OUTPUT"}.get(id(record))
    yield "family", (layer.neuron.type, *([kind] if kind else []))
    for name in record.step_parameters:
        row = record.rows.index(name) if name in record.rows else None
        values = getattr(made.neuron, name) if row is None else made.neuron.decay[row]
        yield f"parameter.{name}", _per_neuron(np.asarray(values, np.int64).reshape(-1), layer)
    for state, rest in zip(made.states, made.rest, strict=True):
        yield f"state.{state}", _flat(rest)
    yield "graded", (int(made.graded),)
    yield "delay", _per_neuron(0 if layer.delay is None else layer.delay, layer)
    phase = network.reset_phases[position]
    yield "reset", (0, 0) if phase is None else (int(network.reset_interval or 0), phase)


def _matrices(layer: Layer, shape: tuple[int, ...]) -> tuple[Integers, ...]:
    """Real, and where there is one imaginary, weights of a synapse, (M, N): the sums of one message after the other."""
    if isinstance(layer, Dense):
        return tuple(weight for weight in (layer.weight, layer.weight_imag) if weight is not None)
    size = int(np.prod(shape))
    messages = np.zeros((size + 1, 1, *shape), np.int64)  # a step more, as sums come one step later
    messages[:size].reshape(size, size)[...] = np.eye(size, dtype=np.int64)
    return tuple(sums[1:].reshape(size, layer.size).T for sums in weighted_sums(layer, messages))


def _per_neuron(values: Any, layer: Layer) -> Values:
    """One number, one a channel, or one a neuron, for every neuron."""
    array = np.asarray(values, np.int64)
    if array.size == layer.channels and array.ndim == 1:
        array = array.reshape(-1, *[1] * (len(layer.shape) - 1))
    elif array.size > 1:
        array = array.reshape(layer.shape)
    return _flat(np.broadcast_to(array if array.size > 1 else array.reshape(()), layer.shape))


def _flat(values: Sequence[int] | NDArray[Any]) -> Values:
    return tuple(np.asarray(values).reshape(-1).tolist())
