"""Neurons, memory layout and shifts as torch autograd functions: all that a spiking block passes on its way.

Every function takes and returns tensors of the logical shapes (N, C, T) and (N, C, *spatial, T), and saves them as
torch does, so that a change in place before backward raises an error.  Kernels see arrays (T, M).  A tensor whose
memory already has time slowest, as all blocks produce, is passed without a copy; any other is rearranged once.
States are int64 tensors (N, C, *spatial) in 1/4096, and carry no gradient.  Decays are float tensors (1,) or (C,) that
hold integers 0..4096, already quantised.

What a block needs at each call is in this one file, so that a reader follows a spike through few of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import lavadl_kernels
import numpy as np
import torch
from lavadl_kernels.engine import train as dynamics
from lavadl_kernels.neurons import Family
from lavadl_kernels.ops import delay
from lavadl_kernels.ops.layout import time_first as transposed
from lavadl_kernels.runtime import jit as _jit
from lavadl_kernels.runtime.buffers import empty
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from lavadl_ref.slayer._bridge.centred import Centre, Norm
from lavadl_ref.slayer._bridge.function import TypedFunction
from lavadl_ref.slayer._bridge.openmp import of_torch
from lavadl_ref.slayer._overflow import explanation

#: Elements below which torch or NumPy copies an array itself: to call a kernel takes longer than to copy so few, and
#: memory of this size is not returned to the system, so that nothing is gained by keeping it.
FEW = 1 << 13

#: Layouts that are remembered: a network has few shapes, and to work one out takes longer than to look it up.
_REMEMBERED = 512

_jit.set_team(of_torch())


def follow_torch() -> None:
    """Run the kernels that follow on as many threads as torch."""
    lavadl_kernels.set_num_threads(torch.get_num_threads())


@lru_cache(_REMEMBERED)
def _in_order(shape: tuple[int, ...], strides: tuple[int, ...], order: tuple[int, ...]) -> bool:
    """Tell whether a tensor, its axes permuted to `order`, is contiguous."""
    expected = 1
    for axis in reversed(order):
        if shape[axis] != 1 and strides[axis] != expected:
            return 0 in shape
        expected *= shape[axis]
    return True


@lru_cache(_REMEMBERED)
def _inverse(order: tuple[int, ...]) -> tuple[int, ...]:
    """The permutation that undoes `order`."""
    return tuple(order.index(axis) for axis in range(len(order)))


@lru_cache(_REMEMBERED)
def _layout(shape: tuple[int, ...], strides: tuple[int, ...]) -> Layout:
    last = len(shape) - 1
    layout = Layout.channels_last(shape)
    channels_first = (last, *range(last))
    if not _in_order(shape, strides, layout.order) and _in_order(shape, strides, channels_first):
        return Layout(tuple(shape), channels_first)
    return layout


class Layout(NamedTuple):
    """The map from the lanes of a (T, M) array to neurons."""

    shape: tuple[int, ...]  #: logical shape (N, C, *spatial, T)
    order: tuple[int, ...]  #: permutation from the logical axes to memory, time first

    @classmethod
    def channels_last(cls, shape: Sequence[int]) -> Layout:
        """Time slowest, channels innermost: the channels of one sample and place are beside each other."""
        last = len(shape) - 1
        return cls(tuple(shape), (last, 0, *range(2, last), 1))

    @classmethod
    def of_places(cls, x: Tensor, what: str) -> Layout:
        """The layout for uses that need no channels innermost: lanes in the order of `x`, if its time is innermost."""
        layout = layout_of(x, what)
        return cls(layout.shape, (x.ndim - 1, *range(x.ndim - 1))) if x.is_contiguous() else layout

    @property
    def state_shape(self) -> tuple[int, ...]:
        """Logical shape of one value per neuron: (N, C, *spatial)."""
        return self.shape[:-1]

    @property
    def beside(self) -> int:
        """Number of lanes of one channel that are beside each other."""
        return math.prod([self.shape[axis] for axis in self.order[self.order.index(1) + 1 :]])

    @property
    def neurons(self) -> int:
        """Number of lanes, M."""
        return math.prod(self.shape[:-1])

    def logical(self, lanes: NDArray[np.generic]) -> Tensor:
        """A (T, M) array as a tensor of the logical shape, sharing its memory."""
        memory = lanes.reshape([self.shape[i] for i in self.order])
        # permuted before torch sees it: torch forbids changing a view that a custom function returns
        return torch.from_numpy(memory.transpose(_inverse(self.order)))

    def gradient(self, lanes: NDArray[np.float32], contiguous: bool) -> Tensor:
        """A (T, M) array as the gradient of a tensor, with time innermost if that is `contiguous`.

        torch copies a gradient that is ordered otherwise than its leaf, in several times the time.
        """
        if contiguous and self._plain and self.shape[-1] > 1:
            if lanes.T.flags.c_contiguous:
                return torch.from_numpy(lanes.T).view(self.shape)
            if lanes.size < FEW:
                return self.logical(lanes).contiguous()
            return torch.from_numpy(transposed(lanes)).view(self.shape)
        return self.logical(lanes)

    @property
    def _plain(self) -> bool:
        """Tell whether lanes are in the order of a contiguous tensor."""
        return self.order[1:] == tuple(range(len(self.shape) - 1))

    def is_view(self, x: Tensor) -> bool:
        """Tell whether `lanes` of `x` would be a view of its memory and not a copy."""
        return _in_order(x.shape, x.stride(), self.order)

    def lanes(self, x: Tensor) -> NDArray[np.float32]:
        """A tensor of the logical shape as a (T, M) array, copied only if its memory is ordered otherwise."""
        x = x.detach()
        steps, lanes = self.shape[-1], self.neurons
        if self.is_view(x):
            seen: NDArray[np.float32] = x.numpy().transpose(self.order).reshape(steps, lanes)
            return seen
        memory = x.permute(self.order)
        if x.is_contiguous() and self._plain and x.numel() >= FEW:
            turned: NDArray[np.float32] = transposed(x.view(lanes, steps).numpy())
            return turned
        return memory.contiguous().view(steps, lanes).numpy()

    def turns(self, x: Tensor) -> bool:
        """Tell whether `lanes` of `x` would be the transpose of its memory, of which `either` is a view."""
        return self._plain and x.is_contiguous() and x.numel() >= FEW and not self.is_view(x)

    def either(self, x: Tensor) -> NDArray[np.float32]:
        """As `lanes`, with time innermost in memory where `x` has it so, in the order of lanes."""
        if self.turns(x):
            return x.detach().view(self.neurons, self.shape[-1]).numpy().T
        return self.lanes(x)

    def lanes_or_one(self, x: Tensor, either: bool = False) -> NDArray[np.float32]:
        """As `lanes`, or `either`; (1, M) of a tensor that is expanded over time, as the gradient of a sum is."""
        if x.stride(-1) != 0 or x.shape[-1] <= 1:
            return self.either(x) if either else self.lanes(x)
        step = x.detach()[..., 0].permute(self.order[1:])
        return step.reshape(1, -1).contiguous().numpy()

    def state(self, x: Tensor) -> NDArray[np.int64]:
        """A state (N, C, *spatial) as a (M,) array in lane order."""
        return x.permute(self.order[1:]).reshape(-1).numpy()

    def logical_state(self, lanes: NDArray[np.int64]) -> Tensor:
        """A (M,) array in lane order as a contiguous state (N, C, *spatial)."""
        order = self.order[1:]
        memory = torch.from_numpy(lanes).view([self.shape[i] for i in order])
        return memory.permute([order.index(i) for i in range(len(order))]).contiguous()

    def per_lane(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """One value for all or one per channel, (1,) or (C,), spread over the lanes, (M,)."""
        if values.size == 1:
            return np.full(self.neurons, values.item())
        shape = [1] * (len(self.shape) - 1)
        shape[1] = values.size
        full = np.broadcast_to(values.reshape(shape), self.state_shape)
        # a copy even where none is needed: kernels are compiled anew for read-only arrays
        return full.transpose(self.order[1:]).copy().reshape(-1)

    def per_channel(self, lanes: NDArray[np.float64], size: int) -> Tensor:
        """Sum a (M,) array over everything (`size` 1) or all but the channels: float32 (size,)."""
        order = self.order[1:]
        full = lanes.reshape([self.shape[i] for i in order])
        if size == 1:
            return torch.from_numpy(np.array([full.sum()], np.float32))
        axes = tuple(i for i in range(full.ndim) if i != order.index(1))
        return torch.from_numpy(full.sum(axis=axes).astype(np.float32))


def empty_like(x: Tensor) -> Tensor:
    """As ``torch.empty_like``, in memory that is used again: torch's own is returned to the system in between."""
    order = sorted(range(x.ndim), key=x.stride, reverse=True)
    if x.dtype != torch.float32 or x.device.type != "cpu" or not x.permute(order).is_contiguous():
        return torch.empty_like(x)
    memory = torch.from_numpy(empty(tuple(x.shape[axis] for axis in order)))
    return memory.permute([order.index(axis) for axis in range(x.ndim)])


def layout_of(x: Tensor, what: str = "neuron input") -> Layout:
    """The cheapest layout of `x`; channels innermost where it has to be rearranged.

    Raises
    ------
    TypeError
        If `x` is not a float32 tensor on the CPU.
    ValueError
        If `x` has fewer than three axes.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"{what} must be a torch.Tensor, got {type(x).__name__}")
    if x.layout is not torch.strided:
        raise TypeError(f"{what} must be a dense tensor, got {x.layout}: call .to_dense() first")
    if x.device.type != "cpu":
        raise TypeError(f"{what} is on {x.device}; this package computes on the CPU: call .cpu() first")
    if x.dtype != torch.float32:
        raise TypeError(f"{what} must be float32, got {x.dtype}")
    if x.ndim < 3:
        raise ValueError(f"{what} must have shape (N, C, T) or (N, C, ..., T), got {tuple(x.shape)}")
    return _layout(x.shape, x.stride())


class Setting(NamedTuple):
    """The arguments of `neurons` besides tensors."""

    family: Family
    constants: tuple[int, ...]  #: the scalars of its parameters, 1/4096
    tau: float
    scale: float
    graded: bool
    traces: bool  #: whether to return the values of each state over time, before a spike acts on them
    inputs: int = 1  #: how many of the tensors are inputs
    after: bool = True  #: whether to return the states after the last step
    keep: bool = True  #: whether gradients may be asked for; a function cannot see that they are switched off
    layout: Layout | None = None  #: of the inputs, where it was asked for before
    later: int = 0  #: steps by which spikes are shifted
    #: whose batch mean is subtracted behind the first integrator, in place of the bias, and its integers per unit
    norm: tuple[Norm, int] | None = None
    rows: tuple[NDArray[np.int64], ...] = ()  #: of the family's parameters, (1,) or (C,) each


class _Walk(NamedTuple):
    """A walk of neurons, with what backward needs of it."""

    setting: Setting
    layout: Layout
    neuron: Any  #: the parameters of the layer
    initial: NDArray[np.int64]
    run: dynamics.Run
    centre: Centre | None

    def results(self) -> tuple[Tensor, ...]:
        """Spikes, traces if wanted, and the states after the last step if wanted."""
        logical, run = self.layout.logical, self.run
        traces = [logical(trace) for trace in run.trace] if self.setting.traces else []
        after = [self.layout.logical_state(state) for state in run.state] if self.setting.after else []
        return logical(run.spike), *traces, *after


def _walked(
    setting: Setting, states: tuple[Tensor | int, ...], inputs: tuple[Tensor, ...], keep: bool, slopes: bool
) -> _Walk:
    follow_torch()
    layout = layout_of(inputs[0]) if setting.layout is None else setting.layout
    initial = started(states, layout)
    # a norm looks at all lanes of a step
    seen = layout.either if setting.norm is None else layout.lanes
    x = tuple([seen(part) for part in inputs])
    rows, centre = setting.rows, None
    if setting.norm is not None:
        decay = stacked(rows[:1], layout)
        centre = Centre(*setting.norm, layout.shape[1], layout.beside, x[0], initial[0], decay, keep, slopes)
        rows = *rows[:-1], centre.bias
    neuron = setting.family.parameters(stacked(rows, layout), *setting.constants)
    try:
        run = dynamics.forward(
            neuron, x, initial, setting.graded, setting.traces, keep, setting.later, largest_of(states)
        )
    except ValueError as error:
        raise ValueError(explanation(str(error), x)) from None
    return _Walk(setting, layout, neuron, initial, run, centre)


def neurons(
    setting: Setting, states: tuple[Tensor | int, ...], inputs: tuple[Tensor, ...], trained: Sequence[Tensor]
) -> tuple[Tensor, ...]:
    """Run a family of `lavadl_kernels.neurons` on tensors.

    Takes the states to start from, the inputs, and the tensors that the first of ``setting.rows`` were rounded from,
    to which their gradients go; without such rows they hold the integers.  Returns spikes, traces if wanted, and the
    states after the last step if wanted.
    """
    if not setting.rows:
        setting = setting._replace(rows=tuple(integers(tensor) for tensor in trained))
    # without what autograd costs, which for few neurons is most
    if not (setting.keep and any(part.requires_grad for part in (*inputs, *trained))):
        return _walked(setting, states, inputs, False, False).results()
    found: tuple[Tensor, ...] = Neurons.apply(setting, states, *inputs, *trained)
    return found


class Neurons(TypedFunction):
    """`neurons` with gradients."""

    @staticmethod
    def forward(ctx: Any, setting: Setting, states: tuple[Tensor | int, ...], *tensors: Tensor) -> Any:
        ctx.set_materialize_grads(False)
        inputs = tensors[: setting.inputs]
        wanted = ctx.needs_input_grad[2 + setting.inputs :]
        walk = _walked(setting, states, inputs, True, any(wanted[:1]))
        # what had to be rearranged is kept as kernels have it
        views = [
            walk.layout.is_view(part) or not lanes.flags.c_contiguous
            for part, lanes in zip(inputs, walk.run.x, strict=True)
        ]
        ctx.save_for_backward(*[part for part, same in zip(inputs, views, strict=True) if same])
        ctx.own = [None if same else lanes for lanes, same in zip(walk.run.x, views, strict=True)]
        ctx.contiguous = [part.is_contiguous() for part in inputs]
        ctx.sizes = [part.numel() for part in tensors[setting.inputs :]]
        results = walk.results()
        # neither the spikes, which the next layer holds, nor the inputs, which torch does
        ctx.setting, ctx.centre = setting, walk.centre
        ctx.run = walk.layout, walk.neuron, walk.initial, walk.run.checkpoints
        if setting.after:
            ctx.mark_non_differentiable(*results[-len(states) :])
        return results

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        follow_torch()
        setting: Setting = ctx.setting
        centre: Centre | None = ctx.centre
        layout, neuron, initial, checkpoints = ctx.run
        saved = list(ctx.saved_tensors)
        x = tuple([layout.either(saved.pop(0)) if lanes is None else lanes for lanes in ctx.own])
        shape = x[0].shape
        grad_spike = np.zeros((1, shape[1]), np.float32) if grads[0] is None else layout.lanes_or_one(grads[0], True)
        trace_grads = grads[1 : 1 + len(initial)] if setting.traces else ()
        grad_trace = None
        if any(grad is not None for grad in trace_grads):
            grad_trace = np.zeros((len(initial), *shape), np.float32)
            for row, grad in zip(grad_trace, trace_grads, strict=True):
                if grad is not None:
                    row[:] = layout.lanes(grad)
        result = dynamics.backward(
            neuron,
            x,
            initial,
            setting.tau,
            setting.scale,
            grad_spike,
            grad_trace,
            setting.graded,
            checkpoints=checkpoints,
            later=setting.later,
        )
        through_mean = None if centre is None else centre.add_gradient(result.x[0])
        to_trained = [
            layout.per_channel(result.decay[row], size) if want else None
            for row, (size, want) in enumerate(zip(ctx.sizes, ctx.needs_input_grad[2 + setting.inputs :], strict=True))
        ]
        if through_mean is not None and to_trained[0] is not None:
            to_trained[0] += torch.from_numpy(through_mean).float().sum_to_size(to_trained[0].shape)
        to_inputs = [layout.gradient(part, last) for part, last in zip(result.x, ctx.contiguous, strict=True)]
        return None, None, *to_inputs, *to_trained


def integers(parameter: Tensor) -> NDArray[np.int64]:
    """Decays (1,) or (C,) as int64."""
    return parameter.detach().to(torch.int64).numpy()


def parameter_rows(decays: Sequence[Tensor], layout: Layout) -> NDArray[np.int64]:
    """Decays as kernels take them: one number each that all lanes share, (P,), or rows of lanes, (P, M)."""
    return stacked([integers(decay) for decay in decays], layout, whole=True)


def stacked(values: Sequence[NDArray[np.int64]], layout: Layout, whole: bool = False) -> NDArray[np.int64]:
    """Parameters (1,) or (C,) as kernels take them: (P,), rows of lanes (P, M), or unless `whole` of channels (P, C).

    Rows of channels are for lanes whose channels are innermost.
    """
    if all(value.size == 1 for value in values):
        return np.concatenate(values)
    channels = layout.shape[1]
    if whole or layout.beside != 1:
        return np.stack([layout.per_lane(value) for value in values])
    rows = np.empty((len(values), channels), np.int64)
    for row, value in zip(rows, values, strict=True):
        row[:] = value
    return rows


def started(states: tuple[Tensor | int, ...], layout: Layout) -> NDArray[np.int64]:
    """The states to start from in lane order, (K, M); integers are those of neurons at rest."""
    initial = np.zeros((len(states), layout.neurons), np.int64)
    for row, state in zip(initial, states, strict=True):
        if not isinstance(state, int):
            row[:] = layout.state(state)
        elif state:
            row[:] = state
    return initial


def largest_of(states: tuple[Tensor | int, ...]) -> int | None:
    """The largest magnitude in the states of neurons at rest; None of others."""
    sizes = [abs(state) for state in states if isinstance(state, int)]
    return max(sizes, default=0) if len(sizes) == len(states) else None


def start_of(state: Tensor | int, layout: Layout) -> NDArray[np.int64]:
    """A state in lane order, (M,); an integer is that of neurons at rest."""
    if isinstance(state, int):
        return np.full(layout.neurons, state, np.int64)
    return layout.state(state)


class TimeFirst(TypedFunction):
    """The same tensor in memory with time slowest; the gradient is passed as it comes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        follow_torch()
        layout = Layout(tuple(x.shape), (x.ndim - 1, *range(x.ndim - 1)))
        return layout.logical(layout.lanes(x))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0]


def time_first(x: Tensor) -> Tensor:
    """`x` with time slowest in memory, where it is contiguous float32 with time last; else `x` itself."""
    plain = x.dtype == torch.float32 and x.device.type == "cpu" and x.ndim >= 3 and x.shape[-1] > 1
    if not (plain and x.is_contiguous()):
        return x
    rearranged: Tensor = TimeFirst.apply(x)
    return rearranged


class Shift(TypedFunction):
    """Every neuron's signal later by the same number of steps, zero-filled; earlier if negative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, steps: int) -> Tensor:
        ctx.steps = steps
        layout = layout_of(x, "shift input")
        return layout.logical(shifted(layout.lanes(x), steps))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        layout = layout_of(grads[0], "shift gradient")
        return layout.logical(shifted(layout.lanes(grads[0]), -ctx.steps)), None


def shifted(lanes: NDArray[np.float32], steps: int) -> NDArray[np.float32]:
    """All lanes (T, M) later by `steps`, earlier if negative; a new array."""
    if lanes.size >= FEW:
        follow_torch()
        moved: NDArray[np.float32] = delay.shift(lanes, steps)
        return moved
    far = max(-len(lanes), min(steps, len(lanes)))
    later = np.zeros_like(lanes)
    if far >= 0:
        later[far:] = lanes[: len(lanes) - far]
    else:
        later[:far] = lanes[-far:]
    return later
