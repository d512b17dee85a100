"""Exponential filters and window sums of float32 signals, computed by a recurrence and differentiable by torch.

The kernels are those of `lavadl_kernels.ops.filter`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from lavadl_kernels.ops import filter
from torch.autograd.function import once_differentiable

from lavadl_ref.slayer._bridge.autograd import follow_torch
from lavadl_ref.slayer.utils.filter.conv import batched, conv, time_major


class Response(NamedTuple):
    """The taps ``C(i + order - 1, order - 1) * exp(-i / time_constant)``, ``i = 0 .. length - 1``."""

    time_constant: float  #: in steps; infinite for a window sum
    order: int
    length: int

    def fits(self, x: torch.Tensor) -> bool:
        """Tell whether the recurrence takes `x` (..., T) and is as exact as float32.

        With an order above 1, what the recurrence subtracts at the end of the response can be ``memory**order`` times
        as large as what remains. Its states are float64, of 53 bits: while less than 24 of them cancel, more than the
        24 bits of float32 remain.
        """
        memory = min(self.time_constant, x.shape[-1])
        plain = x.dtype == torch.float32 and x.device.type == "cpu" and x.numel() > 0
        return plain and (self.order == 1 or memory**self.order < 2**24)

    def run(self, x: Any, scale: float, adjoint: bool) -> Any:
        """The filtered `x` (T, M) float32 times `scale`, and its sum of squares (M,) float64.

        Time runs backward if `adjoint` is True.
        """
        return filter.exponential(x, math.exp(-1 / self.time_constant), self.order, self.length, scale, adjoint)


class Filtered(torch.autograd.Function):
    """A response applied to `x` (N, C, ..., T), times `scale`. The adjoint is the same filter backward in time."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, response: Response, scale: float, adjoint: bool) -> torch.Tensor:
        follow_torch()
        ctx.kernel = response, scale, adjoint
        layout = time_major(x)
        return layout.logical(response.run(layout.lanes(x), scale, adjoint)[0])

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        response, scale, adjoint = ctx.kernel
        return filtered(grads[0], response, scale, not adjoint), None, None, None


#: `Filtered` as a function of the signal, the response, the scale, and whether time runs backward.
filtered: Callable[[torch.Tensor, Response, float, bool], torch.Tensor] = Filtered.apply


class Distance(torch.autograd.Function):
    """The sum of squares of the filtered difference of `x` and `desired`, both (N, C, ..., T), times `weight`."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, desired: torch.Tensor, response: Response, scale: float, weight: float
    ) -> torch.Tensor:
        follow_torch()
        layout = time_major(x)
        error, energy = response.run(layout.lanes(x) - layout.lanes(desired), scale, False)
        ctx.kernel = layout, error, response, scale, weight
        return torch.tensor(energy.sum() * weight, dtype=torch.float32)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        follow_torch()
        layout, error, response, scale, weight = ctx.kernel
        grad = layout.logical(response.run(error, 2 * weight * scale * float(grads[0]), True)[0])
        to_desired = -grad if ctx.needs_input_grad[1] else None
        return grad, to_desired, None, None, None


#: `Distance` as a function of the two signals, the response, the factor of the filter, and the weight of the sum.
distance: Callable[[torch.Tensor, torch.Tensor, Response, float, float], torch.Tensor] = Distance.apply


def window_sum(x: torch.Tensor, length: int) -> torch.Tensor:
    """The sum of the last `length` steps at each step of `x` (..., T) of a floating dtype; the same shape and dtype."""
    window = Response(math.inf, 1, length)
    if not window.fits(x):
        return conv(x, x.new_ones(length))
    return filtered(batched(x), window, 1.0, False).reshape(x.shape)
