"""The inputs of a layer, their traces, and what they are weighted by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lavadl_ref.online._filter import Filter, Floats, Group
from lavadl_ref.online._gathered import Gathered
from lavadl_ref.online._line import Line, joined
from lavadl_ref.slayer._bridge.autograd import Layout
from lavadl_ref.slayer.synapse import GenericLayer

#: The most bytes that the traces of one input may take.
MOST_BYTES = 1 << 30


class Weighted:
    """A factor of an input: a parameter, or a value that is made of some.

    Parameters
    ----------
    part : int
        The part of the neurons' complex input that it leads to; 0 for neurons that have but one.
    gathered : Gathered
        The gradient to it.
    gradient : callable
        Returns that gradient for an input (N, C, ..., T) and the gradient to the weighted input (N, O, ..., T).
    """

    def __init__(self, part: int, gathered: Gathered, gradient: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.part, self.gathered, self.gradient = part, gathered, gradient


def of_synapse(synapse: Any) -> list[Weighted]:
    """The weights of a synapse: one, or a real and an imaginary one."""
    parts: list[GenericLayer] = [synapse.real, synapse.imag] if synapse.complex else [synapse]

    def weighted(part: int, one: GenericLayer) -> Weighted:
        return Weighted(part, Gathered(lambda: one.hooked_weight), one.weight_gradient)

    return [weighted(part, one) for part, one in enumerate(parts)]


def biases_of(synapse: Any) -> list[Weighted]:
    """The biases of a synapse, which weigh an input that is always 1."""
    parts: list[GenericLayer] = [synapse.real, synapse.imag] if synapse.complex else [synapse]

    def bias(part: int, one: GenericLayer) -> Weighted:
        return constant(part, lambda: one.hooked_bias)

    return [bias(part, one) for part, one in enumerate(parts) if one.bias is not None]


def constant(part: int, value: Callable[[], Any]) -> Weighted:
    """A summand of each step, one number or one for each channel: the weight of an input that is always 1."""

    def gradient(ones: Tensor, g: Tensor) -> Tensor:
        # in double: sums of float32 would depend on the number of threads
        channels = (g.double() * ones.reshape(*[1] * (g.ndim - 1), -1)).sum([0, *range(2, g.ndim)])
        return (channels if value().numel() > 1 else channels.sum().reshape(1)).float()

    return Weighted(part, Gathered(lambda: value().reshape(-1)), gradient)


def factor(part: int, value: Callable[[], Tensor]) -> Weighted:
    """One number that every input is multiplied by."""
    return Weighted(part, Gathered(value), lambda x, g: (x.double() * g).sum().reshape(1).float())


def input_gradient(synapse: Any, parts: list[Any], shape: torch.Size) -> Tensor:
    """The gradient (N, C, ..., T) to the input of a synapse from those to its sums, None for 0."""
    own: list[GenericLayer] = [synapse.real, synapse.imag] if synapse.complex else [synapse]
    some = [one.input_gradient(g, shape) for one, g in zip(own, parts, strict=True) if g is not None]
    return sum(some[1:], some[0])


class Source:
    """An input of a layer over the last steps, with a trace for each group of neurons that share their decays.

    Parameters
    ----------
    filter : Filter
        Between the weighted input and the states of the layer.
    weights : list of Weighted
    """

    def __init__(self, filter: Filter, weights: list[Weighted]) -> None:
        self.filter = filter
        self.weights = [weight for weight in weights if weight.gathered.wanted]
        self.reset()

    def reset(self) -> None:
        """Forget the steps and the traces."""
        self.line = Line()
        self.traces: list[Floats] | None = None
        self._ahead: tuple[int, list[Floats]] | None = None  #: a step and the traces before it, where they are known

    def append(self, x: Tensor) -> None:
        """Add the steps that follow."""
        if self.weights:
            self.line.append(x)

    def learn(self, start: int, stop: int, slopes: list[Any], at_input: tuple[Any, ...], factors: Any) -> None:
        """Gather the gradients of a window.

        Parameters
        ----------
        start, stop : int
            Its steps; the traces are those before `start`.
        slopes : list
            The gradients (N, O, ..., T) to the states of the layer, None for 0.
        at_input : tuple of Tensor
            The same to each part of the weighted input, as far as this window goes; None for 0.
        factors : callable
            The factor of each part.
        """
        if not self.weights:
            return
        x = self.line.between(start, stop)
        short = stop - start == 1 and self.filter.states > 0
        if not short:
            for weight in self.weights:
                g = at_input[weight.part]
                if g is not None:
                    weight.gathered.add(weight.gradient(x, g * factors(weight.part)))
        if not self.filter.states:
            return
        out = next(slope.shape for slope in slopes if slope is not None)
        layout = Layout.channels_last(out)
        lanes = [None if slope is None else np.ascontiguousarray(layout.lanes(slope)) for slope in slopes]
        groups = self.filter.groups(out[1])
        traces = self._traces(groups, x.shape)
        if short:
            # one step: that the trace has gone on through it is less work than the step and the trace apart
            traces = [self._advanced(group, x, trace) for group, trace in zip(groups, traces, strict=True)]
            self._ahead = stop, traces
        for group, trace in zip(groups, traces, strict=True):
            if short:
                seen = trace
                to_trace = [None if row is None else row[0] for row in lanes]
            elif trace.any():
                seen, to_trace = trace, list(self.filter.carried(group, lanes))
            else:
                continue
            before = Layout.channels_last((*x.shape[:-1], 1))
            after = Layout.channels_last((*out[:-1], 1))
            e = [before.logical(row[None]) for row in seen]
            g = [None if row is None else _of_group(after.logical(row[None]), group) for row in to_trace]
            for weight in self.weights:
                self._add(weight, e, g, factors(weight.part))

    def _add(self, weight: Weighted, e: list[Tensor], g: list[Any], factor: float) -> None:
        """Gather what traces `e` contribute, whose elements have the gradients `g`."""
        if weight.part == 1:  # of an imaginary weight: the trace turned by a quarter
            e, g = [e[1], e[0]], [None if g[0] is None else -g[0], g[1]]
        pairs = [(x, y) for x, y in zip(e, g, strict=True) if y is not None]
        x, y = _beside([x for x, _ in pairs]), _beside([y for _, y in pairs])
        weight.gathered.add(weight.gradient(x, y * factor))

    def _traces(self, groups: list[Group], shape: torch.Size) -> list[Floats]:
        lanes = int(np.prod(shape[:-1]))
        if self.traces is None or len(self.traces) != len(groups):
            needed = len(groups) * self.filter.states * lanes * 4
            if needed > MOST_BYTES:
                raise ValueError(
                    f"decays must have few distinct values, so that the traces of {lanes} inputs take at most "
                    f"{MOST_BYTES >> 20} MB, got {len(groups)}, with which they take {needed >> 20} MB: give the "
                    "neurons shared_param=True, or freeze the weights of the layer"
                )
            self.traces = [np.zeros((self.filter.states, lanes), np.float32) for _ in groups]
        return self.traces

    def _advanced(self, group: Group, x: Tensor, trace: Floats) -> Floats:
        lanes: NDArray[np.float32] = np.ascontiguousarray(Layout.channels_last(x.shape).lanes(x))
        return self.filter.advance(group, lanes, trace)

    def close(self, start: int, channels: int) -> None:
        """Move on to the window that begins at the step `start`, with its traces."""
        ahead, self._ahead = self._ahead, None  # once: an update that follows may change decays
        if not self.weights or self.line.values is None or start <= self.line.begin:
            return
        if ahead is not None and ahead[0] == start:
            self.traces = ahead[1]
        elif self.filter.states:
            x = self.line.between(self.line.begin, start)
            groups = self.filter.groups(channels)
            traces = self._traces(groups, x.shape)
            self.traces = [self._advanced(group, x, trace) for group, trace in zip(groups, traces, strict=True)]
        self.line.forget(start)

    def state(self) -> dict[str, Any]:
        """All that `restore` takes."""
        traces = None if self.traces is None else [torch.from_numpy(trace.copy()) for trace in self.traces]
        return {"line": self.line.state(), "traces": traces}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.line.restore(state["line"])
        self._ahead = None
        self.traces = None if state["traces"] is None else [trace.numpy().copy() for trace in state["traces"]]


def _of_group(g: Tensor, group: Group) -> Tensor:
    """`g` (N, O, ..., 1) where the neurons of the group are, else 0."""
    if group.channels is None:
        return g
    return g * torch.from_numpy(group.channels).float().reshape(-1, *[1] * (g.ndim - 2))


def _beside(steps: list[Tensor]) -> Tensor:
    """Signals of one step as one of so many."""
    found = steps[0]
    for step in steps[1:]:
        found = joined(found, step)
    return found
