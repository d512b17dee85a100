"""The neurons of a layer, for learning step by step: a run, and the slopes of what leaves them.

A cell has a `filter` between the weighted input and its states, a value that is read from these states, and where it
``encodes``, messages that are the changes of this value.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from lavadl_kernels.engine import eligibility
from lavadl_kernels.engine import train as dynamics
from numpy.typing import NDArray
from torch import Tensor

from lavadl_ref.online._filter import Filter, OfFamily, Sum
from lavadl_ref.online._gathered import Gathered
from lavadl_ref.online._line import Line, zeros
from lavadl_ref.slayer._bridge.autograd import Layout, integers, stacked, started
from lavadl_ref.slayer._bridge.sigma_delta import DeltaFunction
from lavadl_ref.slayer._persistent import Persistent
from lavadl_ref.slayer.axon import Delay, Delta
from lavadl_ref.slayer.neuron import sigma_delta, spiking
from lavadl_ref.slayer.neuron.norm import MeanOnlyBatchNorm, WgtScaleBatchNorm

Signal = Tensor | tuple[Tensor, Tensor]


def parts_of(z: Signal) -> tuple[Tensor, ...]:
    """A weighted input as a tuple of one or two tensors."""
    return tuple(z) if isinstance(z, (tuple, list)) else (z,)


class Slopes(NamedTuple):
    """The gradients to the states of a cell over a window."""

    own: list[Any]  #: to each state that the input moves, (N, C, ..., T), or None for 0
    at_once: list[Any]  #: the same, without what a message takes back of the value one step before


class Cell:
    """A cell whose value is its weighted input: without memory, state, or neurons."""

    encodes = False
    lead = 0  #: steps by which the window of its states begins before that of what leaves it
    part = 0  #: the part of a complex input that is read

    def __init__(self) -> None:
        self.filter: Filter = Filter()
        self.gathered: list[Gathered] = []  #: of its own parameters

    @property
    def norms(self) -> tuple[Any, ...]:
        """The norm of each part of the input; None where there is none."""
        return ()

    def run(self, z: Signal, feedback: Any, last: Tensor | None) -> Tensor:
        """The output of the neurons, (N, C, ..., T), for the weighted input of the steps that follow."""
        return parts_of(z)[self.part]

    def factor(self, part: int) -> float:
        """The factor between a part of the weighted input and the filter."""
        return 1.0

    def slopes(self, start: int, stop: int, g: Tensor) -> Slopes:
        """The gradients to the states of the window from that to what leaves it; gathers those to its parameters."""
        if not self.encodes:
            found = self._of_value(start, stop, g, True)
            return Slopes(found, found)
        later = torch.cat([g[..., 1:], torch.zeros_like(g[..., :1])], dim=-1)
        return Slopes(self._of_value(start, stop, g - later, True), self._of_value(start, stop, g, False))

    def _of_value(self, start: int, stop: int, g: Tensor, gathering: bool) -> list[Any]:
        """The gradients to the states from that to the value that is read of them."""
        return [None, g] if self.part else [g]

    def close(self, start: int) -> None:
        """Forget what lies before the step `start`, where the next window begins."""

    def gather_norms(self) -> None:
        """Let norms take in what they have seen since the last update."""

    def reset(self) -> None:
        """Forget all that a sample leaves behind."""

    def state(self) -> dict[str, Any]:
        """All that `restore` takes."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""


class _Seen:
    """The mean and the mean square of what a norm has seen since the last update, channel by channel."""

    def __init__(self, norm: MeanOnlyBatchNorm) -> None:
        self.norm = norm
        self.reset()

    def reset(self) -> None:
        """Forget it."""
        self.values = 0
        self.sums: Tensor | None = None

    def add(self, x: Tensor) -> None:
        """Take in (N, C, ..., T)."""
        axes = [0, *range(2, x.ndim)]
        sums = torch.stack([x.double().sum(axes), x.double().square().sum(axes)])
        self.sums = sums if self.sums is None else self.sums + sums
        self.values += x.numel() // x.shape[1]

    def gather(self) -> None:
        """Move the norm's running statistics on."""
        if self.sums is not None and self.values:
            mean, square = self.sums / self.values
            variance = square.mean() - mean.mean().square()
            self.norm.take_in(mean.float(), variance.float().reshape(1), self.values)
        self.reset()


class _Normed(Cell):
    """A cell with norms."""

    def __init__(self, norms: tuple[Any, ...]) -> None:
        super().__init__()
        self._norms = norms
        self._seen = [_Seen(norm) for norm in norms if norm is not None]

    @property
    def norms(self) -> tuple[Any, ...]:
        return self._norms

    @property
    def _gathers(self) -> bool:
        return any(norm is not None and norm.training and norm.update for norm in self._norms)

    def gather_norms(self) -> None:
        for seen in self._seen:
            seen.gather()

    def reset(self) -> None:
        for seen in self._seen:
            seen.reset()

    def state(self) -> dict[str, Any]:
        return {"seen": [(seen.values, seen.sums) for seen in self._seen]}

    def restore(self, state: dict[str, Any]) -> None:
        for seen, (values, sums) in zip(self._seen, state["seen"], strict=True):
            seen.values, seen.sums = values, sums


class Spiking(_Normed):
    """The neurons of a spiking family.

    Parameters
    ----------
    neuron : slayer neuron
    read : bool
        Whether what leaves it is its state and not its spikes.
    """

    def __init__(self, neuron: spiking.Neuron, read: bool = False) -> None:
        super().__init__(neuron._norms())
        self.neuron, self.read = neuron, read
        self.filter = OfFamily(neuron)
        self.lines = [Line() for _ in self.filter._family.states]
        self.decays = Decays(neuron) if _trained(neuron) else None
        if self.decays is not None:
            self.gathered = self.decays.gathered
            if neuron.kernel.bias_at_state and type(neuron.norm) is WgtScaleBatchNorm:
                raise ValueError(
                    "decays must not be trained behind a WgtScaleBatchNorm that stands between two states, got "
                    f"requires_grad=True for {neuron.family} neurons: use MeanOnlyBatchNorm, or freeze the decays"
                )

    def run(self, z: Signal, feedback: Any, last: Tensor | None) -> Tensor:
        neuron = self.neuron
        if self.decays is not None:
            self.decays.begin(parts_of(z)[0].shape)
        if self.read:
            with torch.no_grad(), spiking._evaluating(neuron._norms()):
                values = neuron.dynamics(z)
            spikes = values[neuron.read_at]
        else:
            spikes, values = neuron.run_with_states(z, feedback, last)
        seen = self._received(z, feedback, last, spikes) if self._gathers or self.decays is not None else ()
        if self._gathers:
            self._look(seen, values)
        if self.decays is not None:
            self.decays.append(seen)
        if not self.read:
            for line, value in zip(self.lines, values, strict=False):
                line.append(value)
        return spikes

    def _received(self, z: Signal, feedback: Any, last: Tensor | None, spikes: Tensor) -> tuple[Tensor, ...]:
        """The weighted input with what was fed back."""
        parts = parts_of(z)
        if feedback is None:
            return parts
        first = torch.zeros_like(spikes[..., :1]) if last is None else last[..., None]
        before = torch.cat([first, spikes[..., :-1]], dim=-1)
        weights = feedback if isinstance(feedback, tuple) else (feedback,)
        return tuple(
            part + spiking._feedback.sent(weight, before.flatten(1, -2)).reshape(part.shape)
            for part, weight in zip(parts, weights, strict=True)
        )

    def _look(self, received: tuple[Tensor, ...], values: tuple[Tensor, ...]) -> None:
        """Show the norms what they stand behind."""
        behind_state = self.neuron.kernel.bias_at_state
        seen = (self.norms[0].undone(values[0]),) if behind_state else received
        shown = [part for part, norm in zip(seen, self.norms, strict=True) if norm is not None]
        for one, part in zip(self._seen, shown, strict=True):
            one.add(part)

    def factor(self, part: int) -> float:
        norm = self.norms[part]
        return 1.0 if norm is None else 1 / norm.divisor

    def _of_value(self, start: int, stop: int, g: Tensor, gathering: bool) -> list[Any]:
        if self.read:
            found: list[Any] = [None] * len(self.lines)
            found[self.neuron.read_at] = g
        else:
            values = [line.between(start, stop).detach() for line in self.lines]
            count = len(values) if self.decays is not None else self.filter.states
            leaves = [value.requires_grad_() for value in values[:count]]
            with torch.enable_grad():
                left_out = [None] * (len(self.neuron.kernel.states) - len(values))
                spikes = self.neuron.compared(*leaves, *values[count:], *left_out)
            found = list(torch.autograd.grad(spikes, leaves, g, allow_unused=True))
            found += [None] * (len(values) - count)
        if self.decays is not None:
            self.decays.add(start, stop, found, g.shape)
        return found[: self.filter.states]

    def close(self, start: int) -> None:
        for line in self.lines:
            line.forget(start)
        if self.decays is not None:
            self.decays.close(start)

    def reset(self) -> None:
        super().reset()
        self.lines = [Line() for _ in self.lines]
        if self.decays is not None:
            self.decays.reset()

    def state(self) -> dict[str, Any]:
        decays = {} if self.decays is None else self.decays.state()
        return {**super().state(), "lines": [line.state() for line in self.lines], "decays": decays}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        for line, held in zip(self.lines, state["lines"], strict=True):
            line.restore(held)
        if self.decays is not None:
            self.decays.restore(state["decays"])


def _trained(neuron: spiking.Neuron) -> list[str]:
    """The decays whose gradients are wanted."""
    return [name for name in neuron.kernel.decays if getattr(neuron, name).requires_grad]


def _decay(neuron: spiking.Neuron, name: str) -> Gathered:
    return Gathered(lambda: neuron.applied_decay(name))


class Decays:
    """The gradients to the decays of a layer, whose traces are one number a neuron and state.

    The states from which a window begins are carried along with it, behind those of the run.
    """

    def __init__(self, neuron: Any) -> None:
        self.neuron = neuron
        self.family = OfFamily(neuron)._family
        self.rows = [_decay(neuron, name) for name in self.family.decays]
        trained = _trained(neuron)
        self.gathered = [row for row, name in zip(self.rows, self.family.decays, strict=True) if name in trained]
        self.reset()

    def reset(self) -> None:
        self.lines: list[Line] = [Line() for _ in self.family.inputs]
        self.states: NDArray[np.int64] | None = None
        self.trace: NDArray[np.float32] | None = None

    def begin(self, shape: torch.Size) -> None:
        """Note where the first window begins, from the neurons as they are."""
        if self.states is None:
            self.neuron.observe(zeros(shape))
            layout = Layout.channels_last(shape)
            self.states = started(self.neuron._starts(self.family), layout)
            self.trace = eligibility.decays_at_rest(self._layer(layout), layout.neurons)

    def append(self, received: tuple[Tensor, ...]) -> None:
        """Add the weighted input of the steps that follow, with what was fed back, before the norm."""
        neuron = self.neuron
        if neuron.kernel.bias_at_state:
            normed = received
        else:
            with torch.no_grad(), spiking._evaluating(neuron._norms()):
                normed = neuron._normed(received)
        for line, part in zip(self.lines, normed, strict=True):
            line.append(part * self._up)

    @property
    def _up(self) -> float:
        """Units of the kernel, 1/4096, per unit of the neurons."""
        return self.neuron.s_scale / 4096

    def _layer(self, layout: Layout) -> Any:
        neuron, family = self.neuron, self.family
        rows = [integers(neuron.applied_decay(name)) for name in family.decays]
        if len(family.rows) > len(rows):
            behind_state = neuron.kernel.bias_at_state
            bias = neuron._normed_bias(zeros((*layout.shape[:-1], 1))) if behind_state else None
            rows.append(np.zeros(1, np.int64) if bias is None else bias)
        constants = (neuron._scaled_constant(name) for name in family.constants)
        return family.parameters(stacked(rows, layout, whole=True), *constants)

    def _window(self, start: int, stop: int) -> tuple[Layout, Any, tuple[NDArray[np.float32], ...]]:
        x = [line.between(start, stop) for line in self.lines]
        layout = Layout.channels_last(x[0].shape)
        return layout, self._layer(layout), tuple(np.ascontiguousarray(layout.lanes(part)) for part in x)

    def add(self, start: int, stop: int, slopes: list[Any], shape: torch.Size) -> None:
        """Gather the gradients of a window."""
        layout, layer, x = self._window(start, stop)
        given = np.zeros((len(self.family.states), *x[0].shape), np.float32)
        for row, slope in zip(given, slopes, strict=False):
            if slope is not None:
                row[:] = layout.lanes(slope) / np.float32(self._up)
        assert self.states is not None and self.trace is not None
        found = eligibility.of_decays(layer, x, self.states, self.trace, given)
        for row, name, lanes in zip(self.rows, self.family.decays, found.grad, strict=True):
            if row in self.gathered:
                row.add(layout.per_channel(lanes, getattr(self.neuron, name).numel()))

    def close(self, start: int) -> None:
        """Move on to the window that begins at the step `start`."""
        begin = self.lines[0].begin
        if start > begin and self.states is not None and self.trace is not None:
            _, layer, x = self._window(begin, start)
            silent = np.zeros((len(self.states), *x[0].shape), np.float32)
            self.trace = eligibility.of_decays(layer, x, self.states, self.trace, silent).trace
            self.states = dynamics.forward(layer, x, self.states, self.neuron._surrogate[2], False, False).state
            for line in self.lines:
                line.forget(start)

    def state(self) -> dict[str, Any]:
        """All that `restore` takes."""
        arrays = [None if part is None else torch.from_numpy(part.copy()) for part in (self.states, self.trace)]
        return {"lines": [line.state() for line in self.lines], "arrays": arrays}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        for line, held in zip(self.lines, state["lines"], strict=True):
            line.restore(held)
        self.states, self.trace = [None if part is None else part.numpy().copy() for part in state["arrays"]]


class Thresholds:
    """The gradients to the thresholds of sigma-delta neurons.

    The states from which a window begins are carried along with it, behind those of the run.
    """

    def __init__(self, delta: Delta) -> None:
        self.delta = delta
        self.levels = Gathered(delta._levels)
        self.reset()

    def reset(self) -> None:
        """Forget all that a sample leaves behind."""
        self.line = Line()
        self.states: list[Tensor | None] = [None] * len(self.delta._states)

    def _messages(self, start: int, stop: int, levels: Tensor) -> tuple[Tensor, ...]:
        delta, values = self.delta, self.line.between(start, stop)
        constants = delta.scale, delta.cum_error, delta.tau_grad, delta.scale_grad
        found: tuple[Tensor, ...] = DeltaFunction.apply(values, levels, *self.states, *constants)
        return found

    def add(self, start: int, stop: int, g: Tensor) -> None:
        """Gather the gradients of a window from that to its messages."""
        levels = self.delta._levels().detach().requires_grad_()
        with torch.enable_grad():
            message = self._messages(start, stop, levels)[0]
        self.levels.add(torch.autograd.grad(message, levels, g)[0])

    def close(self, start: int) -> None:
        """Move on to the window that begins at the step `start`."""
        if start > self.line.begin:
            with torch.no_grad():
                self.states = list(self._messages(self.line.begin, start, self.delta._levels())[1:])
            self.line.forget(start)

    def state(self) -> dict[str, Any]:
        """All that `restore` takes."""
        return {"line": self.line.state(), "states": list(self.states)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.line.restore(state["line"])
        self.states = list(state["states"])


class _Encoding(_Normed):
    """A cell whose messages are the changes of a value, where it `encodes`."""

    def __init__(self, norms: tuple[Any, ...], delta: Delta, encodes: bool = True) -> None:
        super().__init__(norms)
        self.delta, self.encodes, self.lead = delta, encodes, int(encodes)
        self.thresholds = Thresholds(delta) if encodes and delta.threshold.requires_grad else None
        if self.thresholds is not None:
            self.gathered = [self.thresholds.levels]

    def _encoded(self, value: Tensor) -> Tensor:
        """The messages of a value (N, C, ..., T)."""
        if self.thresholds is not None:
            self.thresholds.line.append(value)
        messages: Tensor = self.delta(value)
        return messages

    def slopes(self, start: int, stop: int, g: Tensor) -> Slopes:
        if self.thresholds is not None:
            self.thresholds.add(start, stop, g)
        return super().slopes(start, stop, g)

    def close(self, start: int) -> None:
        if self.thresholds is not None:
            self.thresholds.close(start)

    def reset(self) -> None:
        super().reset()
        if self.thresholds is not None:
            self.thresholds.reset()

    def state(self) -> dict[str, Any]:
        thresholds = None if self.thresholds is None else self.thresholds.state()
        return {**super().state(), "thresholds": thresholds}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        if self.thresholds is not None:
            self.thresholds.restore(state["thresholds"])


class SigmaDelta(_Encoding):
    """Sigma-delta neurons: the changes of an activation of the sum of the changes that they receive.

    Parameters
    ----------
    neuron : slayer neuron
    read : bool
        Whether what leaves it is the activation and not its changes.
    """

    def __init__(self, neuron: sigma_delta.Neuron, read: bool = False) -> None:
        super().__init__((neuron.norm,), neuron.delta, not read)
        self.neuron = neuron
        self.filter = Sum()
        self.line = Line()
        self._bias = Gathered(lambda: neuron.quantised_bias)
        if neuron.bias_is_set and neuron.bias.requires_grad:
            self.gathered = [*self.gathered, self._bias]

    def run(self, z: Signal, feedback: Any, last: Tensor | None) -> Tensor:
        neuron = self.neuron
        with torch.no_grad(), spiking._evaluating(self.norms):
            sums, value = neuron.dynamics(parts_of(z)[0])
            if self._gathers:
                self._seen[0].add(sums)
            self.line.append(sums)
            return self._encoded(value) if self.encodes else value

    def _of_value(self, start: int, stop: int, g: Tensor, gathering: bool) -> list[Any]:
        neuron, sums = self.neuron, self.line.between(start, stop).detach().requires_grad_()
        with torch.enable_grad(), spiking._evaluating(self.norms):
            value = sums if neuron.norm is None else neuron.norm(sums)
            wanted = [sums]
            if neuron.bias_is_set:
                bias = neuron.quantised_bias.detach().requires_grad_()
                value = value + bias.reshape(-1, *[1] * (value.ndim - 2))
                wanted += [bias] if gathering and self._bias in self.gathered else []
            value = neuron.activation(value)
        found = torch.autograd.grad(value, wanted, g)
        for gradient in found[1:]:
            self._bias.add(gradient)
        return [found[0]]

    def close(self, start: int) -> None:
        super().close(start)
        self.line.forget(start)

    def reset(self) -> None:
        super().reset()
        self.line = Line()

    def state(self) -> dict[str, Any]:
        return {**super().state(), "line": self.line.state()}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self.line.restore(state["line"])


class Changes(_Encoding):
    """The changes of the network's own input, which sigma-delta neurons of an Input block send."""

    def __init__(self, neuron: sigma_delta.Neuron) -> None:
        super().__init__((), neuron.delta)
        self.neuron = neuron

    def run(self, z: Signal, feedback: Any, last: Tensor | None) -> Tensor:
        x = parts_of(z)[0]
        self.neuron.observe(x)
        with torch.no_grad():
            return self._encoded(x)


class Summed(Cell):
    """The sum over time of weighted messages, with which a sigma-delta network ends."""

    def __init__(self, sigma: Any) -> None:
        super().__init__()
        self.sigma = sigma
        self.filter = Sum()

    def run(self, z: Signal, feedback: Any, last: Tensor | None) -> Tensor:
        with torch.no_grad():
            sums: Tensor = self.sigma(parts_of(z)[0])
            return sums


@contextmanager
def persisting(block: torch.nn.Module, states: list[dict[str, Any]] | None) -> Iterator[list[dict[str, Any]]]:
    """Let the neurons of a block go on from `states`, None for rest, and leave the block as it was.

    Yields a list that holds the states after the last step when the context ends.
    """
    parts: list[Any] = [
        m for m in block.modules() if isinstance(m, Persistent) and m is not block and not isinstance(m, Delay)
    ]
    before = [(part.persistent_state, {name: getattr(part, name) for name in part._states}) for part in parts]
    after: list[dict[str, Any]] = []
    try:
        for part in parts:
            part.persistent_state = True
        for i, part in enumerate(parts):
            if states is None:
                for name in part._states:
                    setattr(part, name, part._rest_of_state(name))
            else:
                for name, value in states[i].items():
                    setattr(part, name, value)
        yield after
        after += [{name: getattr(part, name) for name in part._states} for part in parts]
    finally:
        for part, (persists, held) in zip(parts, before, strict=True):
            part.persistent_state = persists
            for name, value in held.items():
                setattr(part, name, value)
