"""The sigma-delta kernels as torch autograd functions, and the state that Sigma and Delta keep.

As in `_autograd`, tensors have upstream's logical shapes.  States are float64 tensors
(N, C, *spatial) in units of 1, and carry no gradient.  Thresholds are float tensors (1,) or (C,).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from lavadl_kernels import sigma_delta
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from lavadl_ref.slayer._autograd import _follow_torch
from lavadl_ref.slayer._layout import Layout, layout_of
from lavadl_ref.slayer._lazy import LazyShapes


def _initial(state: Tensor | None, layout: Layout) -> NDArray[np.float64]:
    if state is None:
        return np.zeros(int(np.prod(layout.state_shape)))
    lanes: Any = layout.state(state)
    return lanes


class SigmaFunction(torch.autograd.Function):
    """`sigma_delta.sigma_forward` on tensors: returns the sums and the last one."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, state: Tensor | None) -> Any:
        _follow_torch()
        layout = layout_of(x, "sigma input")
        y, after = sigma_delta.sigma_forward(layout.lanes(x), _initial(state, layout))
        result = layout.logical(y), layout.logical_state(after)
        ctx.layout = layout
        ctx.mark_non_differentiable(result[1])
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        _follow_torch()
        return ctx.layout.logical(sigma_delta.sigma_backward(ctx.layout.lanes(grads[0]))), None


class DeltaFunction(torch.autograd.Function):
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
        _follow_torch()
        layout = layout_of(x, "delta input")
        thresholds: Any = threshold.detach().to(torch.float64).numpy()
        states = [_initial(state, layout) for state in (before, residue, error)]
        kernel = *states, layout.per_lane(thresholds), scale, cum_error
        message, *after = sigma_delta.delta_forward(layout.lanes(x), *kernel)
        ctx.save_for_backward(x, threshold)
        ctx.kernel = layout, kernel, (tau_grad, scale_grad)
        result = layout.logical(message), *(layout.logical_state(state) for state in after)
        ctx.mark_non_differentiable(*result[1:])
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        _follow_torch()
        x, threshold = ctx.saved_tensors
        layout, kernel, surrogate = ctx.kernel
        grad = layout.lanes(grads[0])
        to_threshold = None
        if ctx.needs_input_grad[1]:
            arguments: Any = layout.lanes(x), *kernel, *surrogate, grad
            lanes = sigma_delta.threshold_backward(*arguments)
            to_threshold = layout.per_channel(lanes, threshold.numel())
        return layout.logical(sigma_delta.delta_backward(grad)), to_threshold, *[None] * 7


class Stateful(LazyShapes):
    """A module that may start a call from the state after the last one.

    Parameters
    ----------
    persistent_state : bool
        Whether it does.
    """

    _states: tuple[str, ...] = ()  #: buffers of the persistent state
    _what: str  #: its name in errors

    def __init__(self, persistent_state: bool) -> None:
        super().__init__()
        self.persistent_state = persistent_state
        self.shape: torch.Size | None = None
        for name in self._states:
            self.register_buffer(name, None, persistent=False)

    def reset(self) -> None:
        """Forget the persistent state."""
        for name in self._states:
            setattr(self, name, None)

    def _held(self, input: Tensor) -> list[Tensor | None]:
        """The states to start `input` from, None for rest; notes the shape of the first input."""
        layout_of(input, f"{self._what} input")  # an unusable input must not fix the shape
        shape = input.shape[1:-1]
        if self.shape is None:
            self.shape = shape
        elif self.shape != shape:
            raise ValueError(
                f"{self._what} was built for inputs of shape (N, {', '.join(map(str, self.shape))}, T), "
                f"got {tuple(input.shape)}"
            )
        held = [getattr(self, name) for name in self._states]
        fits = self.persistent_state and all(h is not None and h.shape == input.shape[:-1] for h in held)
        return held if fits else [None] * len(held)

    def _hold(self, states: list[Tensor]) -> None:
        if self.persistent_state:
            for name, state in zip(self._states, states, strict=True):
                setattr(self, name, state)
