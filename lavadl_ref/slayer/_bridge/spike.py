"""The spike function and the leaky integrator on their own, as torch autograd functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from lavadl_kernels.fixed_point import NEVER
from lavadl_kernels.neurons import _leaky_integrator as leaky_integrator
from lavadl_kernels.neurons import _surrogate as spike
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from lavadl_ref.slayer._bridge.autograd import Layout, follow_torch, integers, layout_of
from lavadl_ref.slayer._bridge.function import Function
from lavadl_ref.slayer._overflow import explanation


def _initial(state: Tensor | None, layout: Layout) -> NDArray[np.int64]:
    if state is None:
        return np.zeros(layout.neurons, np.int64)
    return layout.state(state)


class LeakyIntegrator(Function):
    """`lavadl_kernels.leaky_integrator` on tensors: returns y, the last state, and whether y is rounded."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, decay: Tensor, state: Tensor | None, threshold: int | None) -> Any:
        follow_torch()
        layout = layout_of(x)
        lanes, initial = layout.lanes(x), _initial(state, layout)
        decays = layout.per_lane(integers(decay))
        limit = NEVER if threshold is None else threshold
        try:
            y, after, rounded = leaky_integrator.forward(lanes, initial, decays, limit)
        except ValueError as error:
            raise ValueError(explanation(str(error), (lanes,))) from None
        result = layout.logical(y), layout.logical_state(after), rounded
        ctx.save_for_backward(result[0], decay)
        ctx.kernel = layout, initial, decays, limit
        ctx.mark_non_differentiable(result[1])
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        follow_torch()
        y, decay = ctx.saved_tensors
        layout, initial, decays, limit = ctx.kernel
        gx, gd = leaky_integrator.backward(layout.lanes(grads[0]), layout.lanes(y), initial, decays, limit)
        return layout.logical(gx), layout.per_channel(gd, decay.numel()), None, None


class Spike(Function):
    """1 (or the voltage, if graded) where voltage >= threshold; the surrogate gradient to both."""

    @staticmethod
    def forward(
        ctx: Any, voltage: Tensor, threshold: Tensor, tau: float, scale: float, graded: bool, size: float
    ) -> Tensor:
        ctx.save_for_backward(voltage, threshold)
        ctx.constants = tau, scale, graded
        fired = voltage >= threshold
        return torch.where(fired, voltage / size, torch.zeros_like(voltage)) if graded else fired.to(voltage.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        follow_torch()
        voltage, threshold = ctx.saved_tensors
        tau, scale, graded = ctx.constants
        raised, grad = _with_three_axes(voltage), _with_three_axes(grads[0])
        layout = layout_of(raised, "voltage")
        v, g = layout.lanes(raised), layout.lanes(grad)
        levels = _levels(threshold, raised, layout)
        slopes = spike.backward(v.reshape(-1), levels, tau, scale, graded, g.reshape(-1))
        out = _as_given(layout.logical(slopes.reshape(v.shape)), voltage)
        to_threshold = (-out).sum_to_size(threshold.shape) if ctx.needs_input_grad[1] else None
        return out, to_threshold, *[None] * 4


class PhaseSpike(Function):
    """1 (or the real part, if graded) where the imaginary part comes from below zero while real >= threshold."""

    @staticmethod
    def forward(
        ctx: Any,
        real: Tensor,
        imag: Tensor,
        threshold: Tensor,
        tau: float,
        scale: float,
        graded: bool,
        imag_last: Tensor,
        size: float,
    ) -> Tensor:
        ctx.save_for_backward(real, imag, threshold)
        ctx.constants = tau, scale, graded
        before = torch.cat([imag_last.expand(imag.shape[:-1])[..., None], imag[..., :-1]], dim=-1)
        fired = (real >= threshold) & (imag >= 0) & (before < 0)
        return torch.where(fired, real / size, torch.zeros_like(real)) if graded else fired.to(real.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        follow_torch()
        real, imag, threshold = ctx.saved_tensors
        raised = _with_three_axes(real)
        layout = layout_of(raised, "real part")
        re, im, g = layout.lanes(raised), layout.lanes(_with_three_axes(imag)), layout.lanes(_with_three_axes(grads[0]))
        levels = _levels(threshold, raised, layout)
        tau, scale, graded = ctx.constants
        outs = spike.phase_backward(re.reshape(-1), im.reshape(-1), levels, tau, scale, graded, g.reshape(-1))
        to_real, to_imag = (_as_given(layout.logical(out.reshape(re.shape)), real) for out in outs)
        to_threshold = (-to_real).sum_to_size(threshold.shape) if ctx.needs_input_grad[2] else None
        return to_real, to_imag, to_threshold, *[None] * 5


def _with_three_axes(x: Tensor) -> Tensor:
    """A signal (..., T) as kernels take it: float32, with at least three axes."""
    x = x.float()
    return x if x.ndim >= 3 else x[(None,) * (3 - x.ndim)]


def _as_given(x: Tensor, like: Tensor) -> Tensor:
    """The inverse of `_with_three_axes`."""
    return x if x.ndim == like.ndim and x.dtype == like.dtype else x.reshape(like.shape).to(like.dtype)


def _levels(threshold: Tensor, like: Tensor, layout: Layout) -> NDArray[np.float32]:
    """One level, or one per element of `like` in the order of its lanes."""
    if threshold.numel() == 1:
        single: NDArray[np.float32] = threshold.detach().float().reshape(1).numpy()
        return single
    return layout.lanes(threshold.float().expand_as(like)).reshape(-1)
