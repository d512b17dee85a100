"""The sigma-delta kernels as torch autograd functions, and the state that Sigma and Delta keep.

As in `_bridge.autograd`, tensors have upstream's logical shapes.  States are float64 tensors
(N, C, *spatial) in units of 1, and carry no gradient.  Thresholds are float tensors (1,) or (C,).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from lavadl_kernels.neurons import sigma_delta
from lavadl_kernels.neurons import sigma_delta_fused as sigma_delta_neuron
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from lavadl_ref.slayer._bridge.autograd import Layout, follow_torch, layout_of
from lavadl_ref.slayer._bridge.centred import OutOfRange, through
from lavadl_ref.slayer._bridge.function import TypedFunction
from lavadl_ref.slayer._lazy import LazyShapes
from lavadl_ref.slayer._persistent import Persistent
from lavadl_ref.slayer.utils import _validate

if TYPE_CHECKING:
    from lavadl_ref.slayer.neuron.norm import MeanOnlyBatchNorm


def _initial(state: Tensor | None, layout: Layout) -> NDArray[np.float64]:
    if state is None:
        return np.zeros(int(np.prod(layout.state_shape)))
    lanes: NDArray[Any] = layout.state(state)  # whose dtype is the state's own
    return lanes


class SigmaFunction(TypedFunction):
    """`sigma_delta.sigma_forward` on tensors: returns the sums and the last one."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, state: Tensor | None) -> Any:
        follow_torch()
        layout = layout_of(x, "sigma input")
        y, after = sigma_delta.sigma_forward(layout.lanes(x), _initial(state, layout))
        result = layout.logical(y), layout.logical_state(after)
        ctx.layout = layout
        ctx.mark_non_differentiable(result[1])
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        follow_torch()
        return ctx.layout.logical(sigma_delta.sigma_backward(ctx.layout.lanes(grads[0]))), None


class DeltaFunction(TypedFunction):
    """`sigma_delta.delta_forward` on tensors: returns messages and the states before, residue and error."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        threshold: Tensor,
        before: Tensor | None,
        residue: Tensor | None,
        error: Tensor | None,
        scale: float,
        cum_error: bool,
        tau_grad: float,
        scale_grad: float,
    ) -> Any:
        follow_torch()
        layout = layout_of(x, "delta input")
        thresholds: Any = threshold.detach().to(torch.float64).numpy()
        states = [_initial(state, layout) for state in (before, residue, error)]
        kernel: tuple[Any, ...] = (*states, layout.per_lane(thresholds), scale, cum_error)
        message, *after = sigma_delta.delta_forward(layout.lanes(x), *kernel)
        ctx.save_for_backward(x, threshold)
        ctx.kernel = layout, kernel, (tau_grad, scale_grad)
        result = layout.logical(message), *(layout.logical_state(state) for state in after)
        ctx.mark_non_differentiable(*result[1:])
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        follow_torch()
        x, threshold = ctx.saved_tensors
        layout, kernel, surrogate = ctx.kernel
        grad = layout.lanes(grads[0])
        to_threshold = None
        if ctx.needs_input_grad[1]:
            arguments: Any = layout.lanes(x), *kernel, *surrogate, grad
            lanes = sigma_delta.threshold_backward(*arguments)
            to_threshold = layout.per_channel(lanes, threshold.numel())
        return layout.logical(sigma_delta.delta_backward(grad)), to_threshold, *[None] * 7


class Setting(NamedTuple):
    """The arguments of `messages` besides tensors."""

    relu: bool  #: whether the activation is max(., 0) instead of the identity
    scale: float  #: messages per unit
    cum_error: bool
    tau_grad: float
    scale_grad: float
    keep: bool  #: whether there will be a backward
    shift: Tensor | None = None  #: (1,) or (C,), added to the sum
    norm: MeanOnlyBatchNorm | None = None  #: whose batch mean is subtracted
    sums: bool = True  #: whether the input holds changes to be summed, or the sum itself


class _Run(NamedTuple):
    """The results of a run of `sigma_delta_neuron`."""

    layout: Layout
    inner: int
    message: Tensor
    ends: list[Tensor]  #: the four states after the last step, where states were given
    kept: NDArray[np.float32] | None
    norm: tuple[Tensor, Tensor] | None  #: the mean of the sums and what is subtracted, which depends on it


def _run(
    setting: Setting, states: list[Tensor | None] | None, x: Tensor, threshold: Tensor, bias: Tensor | None
) -> _Run:
    follow_torch()
    layout = layout_of(x)
    lanes = layout.lanes(x)
    inner = math.prod(x.shape[i] for i in layout.order[layout.order.index(1) + 1 :])
    initial = None if states is None else np.stack([_initial(state, layout) for state in states])
    shift, norm = sigma_delta_neuron.NONE, None
    if setting.norm is not None:
        mean = sigma_delta_neuron.mean_of_sums(lanes, None if initial is None else initial[0], inner, x.shape[1])
        if mean is None:
            raise OutOfRange
        leaf = torch.from_numpy(mean.astype(np.float32)).requires_grad_(setting.keep)
        with torch.set_grad_enabled(setting.keep):
            hooked = setting.norm.subtracted(leaf)
        shift = -hooked.detach().numpy()
        norm = (leaf, hooked) if hooked.requires_grad else None
    elif setting.shift is not None:
        shift = setting.shift.detach().numpy()
    offset: Any = sigma_delta_neuron.NONE if bias is None else bias.detach().numpy()
    level: Any = threshold.detach().to(torch.float64).numpy()
    surrogate = (setting.tau_grad, setting.scale_grad) if setting.keep else None
    result = sigma_delta_neuron.forward(
        lanes, initial, shift, offset, level, inner, setting.scale, setting.relu, setting.cum_error, surrogate,
        setting.sums,
    )  # fmt: skip
    if result is None:
        raise OutOfRange
    message, after, kept = result
    ends = [] if after is None else [layout.logical_state(state) for state in after]
    return _Run(layout, inner, layout.logical(message), ends, kept, norm)


def messages(
    setting: Setting, states: list[Tensor | None] | None, x: Tensor, threshold: Tensor, bias: Tensor | None
) -> tuple[Tensor, ...]:
    """Messages, and where states are given the four after the last step.

    Raises
    ------
    OutOfRange
        Where the kernel cannot tell.
    """
    if not setting.keep:  # without what autograd costs, which for few neurons is most
        run = _run(setting, states, x, threshold, bias)
        return run.message, *run.ends
    found: tuple[Tensor, ...] = _NeuronFunction.apply(setting, states, x, threshold, bias)
    return found


class _NeuronFunction(TypedFunction):
    """`messages` with gradients."""

    @staticmethod
    def forward(
        ctx: Any,
        setting: Setting,
        states: list[Tensor | None] | None,
        x: Tensor,
        threshold: Tensor,
        bias: Tensor | None,
    ) -> Any:
        run = _run(setting, states, x, threshold, bias)
        ctx.kernel = run.layout, run.kept, setting.relu, run.inner, setting.sums
        ctx.norm = run.norm
        ctx.sizes = threshold.numel(), 0 if bias is None else bias.numel()
        ctx.mark_non_differentiable(*run.ends)
        return run.message, *run.ends

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        follow_torch()
        layout, kept, relu, inner, sums = ctx.kernel
        channels = layout.shape[1]
        norm: Any = ctx.norm

        def by_channel(values: NDArray[np.float64], size: int) -> Tensor:
            sums = values.sum(keepdims=True) if size == 1 else sigma_delta_neuron.by_channel(values, inner, size)
            return torch.from_numpy(sums.astype(np.float32))

        def lift(offset: NDArray[np.float64]) -> NDArray[np.float64]:
            leaf, hooked = norm
            to_mean = through(leaf, hooked, -by_channel(offset, channels))
            per_value: NDArray[np.float64] = to_mean.double().numpy() * (channels / math.prod(layout.shape))
            return per_value

        to_x, to_threshold, to_bias = sigma_delta_neuron.backward(
            layout.lanes(grads[0]), kept, relu, inner, None if norm is None else lift, sums
        )
        thresholds, biases = ctx.sizes
        return (
            None,
            None,
            layout.logical(to_x),
            by_channel(to_threshold, thresholds) if ctx.needs_input_grad[3] else None,
            by_channel(to_bias, biases) if ctx.needs_input_grad[4] else None,
        )


def _spread(state: Tensor | None, shape: torch.Size) -> Tensor | None:
    """A state for `shape`, of which one element may have been written before there was one; None at rest."""
    if state is None or state.shape != (1,):
        return state
    return state.double().expand(shape).clone() if state.item() else None


class Stateful(Persistent, LazyShapes):
    """A module that may start a call from the state after the last one.

    Parameters
    ----------
    persistent_state : bool
        Whether it does.
    """

    _what: str  #: its name in errors

    def __init__(self, persistent_state: bool) -> None:
        super().__init__()
        self.persistent_state = _validate.flag(persistent_state, "persistent_state")
        self.shape: torch.Size | None = None
        for name in self._states:
            setattr(self, name, torch.zeros(1))

    def _rest_of_state(self, name: str) -> Tensor:
        return torch.zeros(1)

    def reset(self) -> None:
        """Forget the persistent state; one element stands for the state of all neurons at rest."""
        for name in self._states:
            setattr(self, name, torch.zeros(1))

    def _held(self, input: Tensor) -> list[Tensor | None]:
        """The states to start `input` from, None for rest; notes the shape of the first input."""
        layout_of(input, f"{self._what} input")  # an unusable input must not fix the shape
        return self._started(input)

    def _started(self, input: Tensor) -> list[Tensor | None]:
        """As `_held`, of an input that was looked at."""
        shape = input.shape[1:-1]
        if self.shape is None:
            self.shape = shape
        elif self.shape != shape:
            raise ValueError(
                f"{self._what} was built for inputs of shape (N, {', '.join(map(str, self.shape))}, T), "
                f"got {tuple(input.shape)}"
            )
        if not self.persistent_state:
            return [None] * len(self._states)
        held = [_spread(getattr(self, name), input.shape[:-1]) for name in self._states]
        # states of another batch go together
        fits = all(h is None or h.shape == input.shape[:-1] for h in held)
        return held if fits else [None] * len(held)

    def _hold(self, states: list[Tensor]) -> None:
        if self.persistent_state:
            for name, state in zip(self._states, states, strict=True):
                setattr(self, name, state)
