"""Shift a tensor along time."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import torch
from lavadl_kernels.ops import delay

from lavadl_ref.slayer._bridge.autograd import follow_torch
from lavadl_ref.slayer.utils import _validate
from lavadl_ref.slayer.utils.filter.conv import time_major


def _moved(x: torch.Tensor, steps: int) -> torch.Tensor:
    """``out[..., t] = x[..., t - steps]``, and 0 where there is no such element; |steps| <= T."""
    out = torch.zeros_like(x)
    length = x.shape[-1] - abs(steps)
    out.narrow(-1, max(steps, 0), length).copy_(x.narrow(-1, max(-steps, 0), length))
    return out


def _moved_each(x: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
    """As `_moved`, with one entry of `steps` for each element of the axes between the first and the last."""
    if x.dtype == torch.float32 and x.device.type == "cpu":
        follow_torch()
        layout = time_major(x)
        lanes = layout.state(steps.reshape(1, *x.shape[1:-1]).expand(x.shape[:-1]))
        return layout.logical(delay.forward(layout.lanes(x), np.ascontiguousarray(lanes)))
    flat = x.reshape(x.shape[0], steps.numel(), x.shape[-1])
    source = torch.arange(x.shape[-1], device=x.device) - steps[:, None]
    inside = (source >= 0) & (source < x.shape[-1])
    gathered = flat.gather(2, source.clamp(0, x.shape[-1] - 1).expand(flat.shape))
    return gathered.masked_fill(~inside, 0).reshape(x.shape)


class _Shift(torch.autograd.Function):
    """A shift as an autograd function: its adjoint is the opposite shift."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, steps: int | torch.Tensor) -> torch.Tensor:
        ctx.steps = steps
        return _moved(x, steps) if isinstance(steps, int) else _moved_each(x, steps)

    @staticmethod
    def backward(ctx: Any, *grad_output: torch.Tensor) -> Any:
        return _shifted(grad_output[0], -ctx.steps), None


_shifted: Callable[[torch.Tensor, int | torch.Tensor], torch.Tensor] = _Shift.apply


def shift(input: torch.Tensor, shift_val: Any, sampling_time: float = 1) -> torch.Tensor:
    """Shift along time by ``n = trunc(shift_val / sampling_time)`` steps, and fill with zeros.

    ``out[..., t] = input[..., t - n]``: a positive `shift_val` delays, a negative one advances.

    Parameters
    ----------
    input : torch.Tensor
        (..., T) for one common shift; (N, ..., T) for a shift of each element by itself. Any real dtype.
    shift_val : float or array
        One number, or one for each element of the axes between batch and time, flattened in the order of memory:
        C values for (N, C, T), C*H*W for (N, C, H, W, T). A tensor, an array or a sequence.
    sampling_time : float
        Duration of a time step in the unit of `shift_val`, greater than 0. The quotient is computed in float64 and
        rounded toward zero, so a value just below a whole number of steps loses nearly a step.

    Returns
    -------
    torch.Tensor
        Shape and dtype of `input`. The gradient of `input` is the opposite shift; `shift_val` receives none.

    Raises
    ------
    TypeError, ValueError
        `input` is no tensor with a time axis; `shift_val` is not numeric or not finite, or its length is
        neither 1 nor the number of elements; `sampling_time` is not positive.

    Examples
    --------
    >>> shift(torch.tensor([[[1, 2, 3, 4], [5, 6, 7, 8]]]), [1, -2])
    tensor([[[0, 1, 2, 3],
             [7, 8, 0, 0]]])
    """
    return shifted(input, shift_val, sampling_time, "shift", "shift_val")


def shifted(input: torch.Tensor, shift_val: Any, sampling_time: float, function: str, argument: str) -> torch.Tensor:
    """The result of `shift`, for a public `function` whose second argument is called `argument` in errors.

    `input` (..., T), `shift_val` and `sampling_time` are as those of `shift`.
    """
    x = _validate.tensor(input, f"input of {function}")
    step = _validate.positive(sampling_time, f"sampling_time of {function}")
    values = shift_val.detach().cpu() if isinstance(shift_val, torch.Tensor) else shift_val
    try:
        values = np.asarray(values, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError):
        raise TypeError(f"{argument} must be a number or an array of numbers, got {shift_val!r}") from None
    if not np.isfinite(values).all():
        raise ValueError(f"{argument} must be finite, got {values[~np.isfinite(values)][0]}")
    steps = np.trunc(values / step).clip(-x.shape[-1], x.shape[-1]).astype(np.int64)
    if steps.size == 1:
        return _shifted(x, int(steps[0]))
    elements = prod(x.shape[1:-1])
    if x.ndim < 3 or steps.size != elements:
        raise ValueError(
            f"{argument} must hold one value, or one for each element between batch and time of input "
            f"{tuple(x.shape)}, got {steps.size} values"
        )
    return _shifted(x, torch.from_numpy(steps).to(x.device))
