"""The kernels as torch autograd functions: the only bridge between the two.

Every function takes and returns tensors of upstream's logical shapes (time last), and saves
them as torch does, so that a change in place before backward raises an error.  States
are int64 tensors (N, C, *spatial) in 1/4096, and carry no gradient.  Decays are float
tensors (1,) or (C,) that hold integers 0..4096, already quantised.
"""

from __future__ import annotations

from typing import Any

import lavadl_kernels
import numpy as np
import torch
from lavadl_kernels import cuba, delay, leaky_integrator, spike
from lavadl_kernels.fixed_point import NEVER
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from lavadl_ref.slayer._layout import Layout, layout_of


def _follow_torch() -> None:
    """Kernels run on as many threads as torch."""
    lavadl_kernels.set_num_threads(torch.get_num_threads())


def _integers(parameter: Tensor) -> NDArray[np.int64]:
    return parameter.detach().to(torch.int64).numpy()


def _initial(state: Tensor | None, layout: Layout) -> NDArray[np.int64]:
    if state is None:
        return np.zeros(int(np.prod(layout.state_shape)), np.int64)
    return layout.state(state)


class LeakyIntegrator(torch.autograd.Function):
    """`lavadl_kernels.leaky_integrator` on tensors: returns y and the state after the last step."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, decay: Tensor, state: Tensor | None, threshold: int | None) -> Any:
        _follow_torch()
        layout = layout_of(x)
        lanes, initial = layout.lanes(x), _initial(state, layout)
        decays = layout.per_lane(_integers(decay))
        limit = NEVER if threshold is None else threshold
        y, after = leaky_integrator.forward(lanes, initial, decays, limit)
        result = layout.logical(y), layout.logical_state(after)
        ctx.save_for_backward(result[0], decay)
        ctx.kernel = layout, initial, decays, limit
        ctx.mark_non_differentiable(result[1])
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        _follow_torch()
        y, decay = ctx.saved_tensors
        layout, initial, decays, limit = ctx.kernel
        gx, gd = leaky_integrator.backward(layout.lanes(grads[0]), layout.lanes(y), initial, decays, limit)
        return layout.logical(gx), layout.per_channel(gd, decay.numel()), None, None


class Cuba(torch.autograd.Function):
    """`lavadl_kernels.cuba` on tensors: returns spikes and the states u, v after the last step."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        current_decay: Tensor,
        voltage_decay: Tensor,
        u: Tensor | None,
        v: Tensor | None,
        threshold: int,
        tau: float,
        scale: float,
        graded: bool,
    ) -> Any:
        _follow_torch()
        layout = layout_of(x)
        u0, v0 = _initial(u, layout), _initial(v, layout)
        decays = layout.per_lane(_integers(current_decay)), layout.per_lane(_integers(voltage_decay))
        spikes, ua, va = cuba.forward(layout.lanes(x), u0, v0, *decays, threshold, graded)
        ctx.save_for_backward(x, current_decay, voltage_decay)
        ctx.kernel = layout, u0, v0, decays, (threshold, tau, scale, graded)
        result = layout.logical(spikes), layout.logical_state(ua), layout.logical_state(va)
        ctx.mark_non_differentiable(*result[1:])
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        _follow_torch()
        x, current_decay, voltage_decay = ctx.saved_tensors
        layout, u0, v0, decays, constants = ctx.kernel
        arguments: Any = layout.lanes(x), u0, v0, *decays, *constants, layout.lanes(grads[0])
        gx, gcd, gvd = cuba.backward(*arguments)
        return (
            layout.logical(gx),
            layout.per_channel(gcd, current_decay.numel()),
            layout.per_channel(gvd, voltage_decay.numel()),
            *[None] * 6,
        )


class Delay(torch.autograd.Function):
    """`lavadl_kernels.delay` on tensors; the gradient to the delay is multiplied by `grad_scale`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, steps: Tensor, grad_scale: float) -> Any:
        _follow_torch()
        layout = layout_of(x, "delay input")
        lanes = layout.per_lane(_integers(steps))
        y = layout.logical(delay.forward(layout.lanes(x), lanes))
        ctx.save_for_backward(y, steps)
        ctx.kernel = layout, lanes, grad_scale
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        _follow_torch()
        y, steps = ctx.saved_tensors
        layout, lanes, grad_scale = ctx.kernel
        gx, gd = delay.backward(layout.lanes(grads[0]), layout.lanes(y), lanes)
        return layout.logical(gx), layout.per_channel(gd, steps.numel()) * grad_scale, None


class TimeFirst(torch.autograd.Function):
    """The same tensor in memory with time slowest; the gradient is passed as it comes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        _follow_torch()
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


class Shift(torch.autograd.Function):
    """Every neuron's signal later by the same number of steps, zero-filled; earlier if negative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, steps: int) -> Tensor:
        ctx.steps = steps
        layout = layout_of(x, "shift input")
        return layout.logical(_rows_later(layout.lanes(x), steps))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        layout = layout_of(grads[0], "shift gradient")
        return layout.logical(_rows_later(layout.lanes(grads[0]), -ctx.steps)), None


def _rows_later(x: NDArray[np.float32], steps: int) -> NDArray[np.float32]:
    """The rows of (T, M) moved down by `steps`."""
    total = len(x)
    y = np.empty_like(x)
    kept = max(total - abs(steps), 0)
    if steps >= 0:
        y[: total - kept] = 0
        y[total - kept :] = x[:kept]
    else:
        y[:kept] = x[total - kept :]
        y[kept:] = 0
    return y


class Spike(torch.autograd.Function):
    """1 (or the voltage, if graded) where voltage >= threshold; the surrogate gradient to the voltage."""

    @staticmethod
    def forward(
        ctx: Any, voltage: Tensor, threshold: Tensor, tau: float, scale: float, graded: bool, size: float
    ) -> Tensor:
        ctx.save_for_backward(voltage, threshold)
        ctx.constants = tau, scale, graded, size
        fired = voltage >= threshold
        return torch.where(fired, voltage / size, torch.zeros_like(voltage)) if graded else fired.to(voltage.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        _follow_torch()
        voltage, threshold = ctx.saved_tensors
        tau, scale, graded, _ = ctx.constants
        layout = layout_of(voltage, "voltage")
        levels = threshold.reshape(1) if threshold.numel() == 1 else threshold.expand_as(voltage)
        flat = levels.numpy() if threshold.numel() == 1 else layout.lanes(levels).reshape(-1)
        v, g = layout.lanes(voltage), layout.lanes(grads[0])
        out = spike.backward(v.reshape(-1), flat, tau, scale, graded, g.reshape(-1))
        return layout.logical(out.reshape(v.shape)), *[None] * 5
