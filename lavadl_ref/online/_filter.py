"""The linear filters between a weighted input and the value that it is compared or read as.

In the surrogate model a spike is a constant for its own neuron afterwards, so the states depend on the input through a
linear recurrence with constant decays, the family's `tangent` (`lavadl_kernels.engine.eligibility`).  A gradient to a
weight over a window of steps has two parts: of the input within the window, and of the input before it, of which all
that counts is the trace, one number an input and state.

Arrays are float32 (T, M), M lanes, and (K, M) for the K states that the input moves.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from lavadl_kernels.engine import eligibility
from lavadl_kernels.engine import train as dynamics
from lavadl_kernels.neurons import sigma_delta
from lavadl_kernels.ops.product import product
from numpy.typing import NDArray

from lavadl_ref.slayer._bridge.autograd import Layout, stacked
from lavadl_ref.slayer.neuron import spiking

Floats = NDArray[np.float32]


class Group(NamedTuple):
    """Neurons that share their decays, and so their trace."""

    neuron: Any  #: parameters of the family, or None
    channels: NDArray[np.bool_] | None  #: which they are, (C,); None for all


class Filter:
    """The filter of a layer without memory: what is read is the weighted input itself."""

    states = 0  #: how many states the input moves
    complex = False  #: whether these are a real and an imaginary part

    def groups(self, channels: int) -> list[Group]:
        """The groups of neurons with a trace of their own, of so many channels."""
        return []

    def advance(self, group: Group, x: Floats, trace: Floats) -> Floats:
        """The trace (K, M) after the steps of `x` (T, M)."""
        raise NotImplementedError

    def adjoint(self, slopes: list[Floats | None], layout: Layout) -> tuple[Floats | None, ...]:
        """The gradient to each part of the weighted input, (T, M) or None for 0, from those to the states."""
        return tuple(slopes)

    def carried(self, group: Group, slopes: list[Floats | None]) -> list[Floats]:
        """The gradient to each element of the trace before the window, (M,) for each state."""
        raise NotImplementedError

    def at_once(self, slopes: list[Any]) -> list[Any]:
        """The gradient to each part of the weighted input of the same step alone; None for 0."""
        return slopes


class Sum(Filter):
    """The sum over time of sigma-delta neurons."""

    states = 1

    def groups(self, channels: int) -> list[Group]:
        return [Group(None, None)]

    def advance(self, group: Group, x: Floats, trace: Floats) -> Floats:
        _, after = sigma_delta.sigma_forward(np.ascontiguousarray(x), trace[0].astype(np.float64))
        return after.astype(np.float32)[None]

    def adjoint(self, slopes: list[Floats | None], layout: Layout) -> tuple[Floats | None, ...]:
        assert slopes[0] is not None
        back: Floats = sigma_delta.sigma_backward(np.ascontiguousarray(slopes[0]))
        return (back,)

    def carried(self, group: Group, slopes: list[Floats | None]) -> list[Floats]:
        assert slopes[0] is not None
        return [product(np.ones((1, len(slopes[0])), np.float32), np.ascontiguousarray(slopes[0]))[0]]


class OfFamily(Filter):
    """The filter of a spiking family.

    Parameters
    ----------
    neuron : slayer neuron
        Asked for its decays at each use.
    """

    def __init__(self, neuron: spiking.Neuron) -> None:
        family = neuron.kernel
        self._neuron = neuron
        self._family = family.without_adaptation or family if not neuron.fires else family
        self.complex = family.complex
        self.states = 2 if family.complex else family.states.index(family.carried) + 1

    def rows(self) -> tuple[NDArray[np.int64], ...]:
        """The rows of the family's parameters, (1,) or (C,) each."""
        family = self._family
        rows = [self._neuron._integer_decay(name)[1] for name in family.decays]
        return tuple(rows + [np.zeros(1, np.int64)] * (len(family.rows) - len(family.decays)))

    def _layer(self, rows: NDArray[np.int64]) -> Any:
        return self._family.parameters(rows, *(self._neuron._scaled_constant(name) for name in self._family.constants))

    def groups(self, channels: int) -> list[Group]:
        rows = self.rows()
        if all(row.size == 1 for row in rows):
            return [Group(self._layer(np.concatenate(rows)), None)]
        spread = np.stack([np.broadcast_to(row, channels) for row in rows])
        values, which = np.unique(spread, axis=1, return_inverse=True)
        which = which.reshape(-1)
        return [Group(self._layer(values[:, i].copy()), which == i) for i in range(values.shape[1])]

    def advance(self, group: Group, x: Floats, trace: Floats) -> Floats:
        whole = np.zeros((len(self._family.states), trace.shape[1]), np.float32)
        whole[: self.states] = trace
        return eligibility.of_inputs(group.neuron, x, whole)[0][: self.states]

    def adjoint(self, slopes: list[Floats | None], layout: Layout) -> tuple[Floats | None, ...]:
        family = self._family
        shape = layout.shape[-1], layout.neurons
        states = np.zeros((len(family.states), shape[1]), np.int64)
        given = np.zeros((len(family.states), *shape), np.float32)
        for row, slope in zip(given, slopes, strict=False):
            if slope is not None:
                row[:] = slope
        # the recurrence is the same wherever the neurons are: silent ones at rest are the least work
        silent = tuple(np.zeros(shape, np.float32) for _ in family.inputs)
        neuron = self._layer(stacked(self.rows(), layout, whole=True))
        back = dynamics.backward(neuron, silent, states, 1.0, 0.5, np.zeros((1, shape[1]), np.float32), given)
        return tuple(back.x)

    def response(self, group: Group, steps: int) -> Floats:
        """The states (K, T, K) after each step where the state of the last axis was 1 before the first."""
        states = len(self._family.states)
        start = np.zeros((states, self.states), np.float32)
        start[: self.states] = np.eye(self.states, dtype=np.float32)
        silent = np.zeros((steps, self.states), np.float32)
        return eligibility.of_inputs(group.neuron, silent, start, every=True)[1][: self.states]

    def carried(self, group: Group, slopes: list[Floats | None]) -> list[Floats]:
        steps, lanes = next(slope.shape for slope in slopes if slope is not None)
        response, total = self.response(group, steps), np.zeros((self.states, lanes), np.float32)
        for values, slope in zip(response, slopes, strict=False):
            if slope is not None:
                total += product(np.ascontiguousarray(values.T), np.ascontiguousarray(slope))
        return list(total)

    def at_once(self, slopes: list[Any]) -> list[Any]:
        if self.complex:
            return slopes[:2]
        some = [slope for slope in slopes[: self.states] if slope is not None]
        return [sum(some[1:], some[0])]
