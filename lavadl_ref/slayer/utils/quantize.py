"""Quantisation with a straight-through gradient."""

from __future__ import annotations

import math
from contextvars import ContextVar
from enum import IntEnum, unique
from typing import Any

import torch
from lavadl_kernels.ops import layout

from lavadl_ref.slayer._bridge.autograd import follow_torch
from lavadl_ref.slayer.utils import _validate


@unique
class MODE(IntEnum):
    """How `quantize` picks a grid point: the nearest (ties to even), or the next one below."""

    ROUND = 0
    FLOOR = 1


Bounds = tuple[float, float] | None

#: Where the values of calls are beyond their bounds, while someone asks.
_clipping: ContextVar[list[torch.Tensor] | None] = ContextVar("clipping", default=None)


FEWEST = 1 << 14  #: values for which one pass over them is worth the call of a kernel


def _on_grid(input: torch.Tensor, step: float, mode: MODE, bounds: Bounds) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The grid values, and where they are within the bounds; None for everywhere."""
    low, high = bounds or (-math.inf, math.inf)
    if _in_one_pass(input, step, mode, bounds):
        follow_torch()
        values, good = layout.quantised(input.detach().numpy(), step, low, high)
        grid = torch.from_numpy(values)
    else:
        grid = torch.div(input, step)
        (grid.round_() if mode is MODE.ROUND else grid.floor_()).mul_(step)
        good = bounds is None or not grid.numel()
        if not good:
            least, most = torch.aminmax(grid)
            good = low <= least.item() and most.item() <= high
    # most often there is nothing to clamp, and no mask to keep
    if good:
        return grid, None
    inside = (grid >= low) & (grid <= high)
    return grid.clamp_(low, high), inside


def _in_one_pass(input: torch.Tensor, step: float, mode: MODE, bounds: Bounds) -> bool:
    """Whether the kernel gives the same: to divide by `step` has to be to multiply by its inverse."""
    plain = input.dtype == torch.float32 and input.device.type == "cpu" and input.is_contiguous()
    exact = math.frexp(step)[0] == 0.5 and 2.0**-64 < step < 2.0**64
    return plain and exact and mode is MODE.ROUND and bounds is not None and input.numel() >= FEWEST


class _StraightThrough(torch.autograd.Function):
    """The grid value forward; backward the identity, 0 outside the bounds."""

    @staticmethod
    def forward(ctx: Any, input: torch.Tensor, step: float, mode: MODE, bounds: Bounds) -> torch.Tensor:
        grid, inside = _on_grid(input, step, mode, bounds)
        if inside is not None:
            ctx.save_for_backward(inside)
        return grid

    @staticmethod
    def backward(ctx: Any, *grad_output: torch.Tensor) -> Any:
        grad = grad_output[0]
        for inside in ctx.saved_tensors:
            grad = torch.where(inside, grad, torch.zeros_like(grad))
        return grad, None, None, None


def quantize(input: torch.Tensor, step: float = 1, mode: MODE = MODE.ROUND) -> torch.Tensor:
    """Put `input` on the grid of multiples of `step`; the gradient passes unchanged.

    Parameters
    ----------
    input : torch.Tensor
        Any shape. Integers and booleans become the default floating dtype.
    step : float
        Distance of the grid points, greater than 0.
    mode : QUANTIZE_MODE
        ``ROUND``: ``round(input / step) * step``, ties to even. ``FLOOR``: ``floor(input / step) * step``.

    Returns
    -------
    torch.Tensor
        Same shape, same dtype if that is floating.

    Raises
    ------
    TypeError
        `input` is no real tensor, or `step` no number.
    ValueError
        `step` is not positive and finite, or `mode` is no ``QUANTIZE_MODE``.
    """
    return _quantized(input, step, mode, None)


def quantize_within(input: torch.Tensor, step: float, low: float, high: float) -> torch.Tensor:
    """Put `input` on the nearest multiple of `step` that is not below `low` nor above `high`.

    The gradient passes where the nearest multiple is within the two, and is 0 elsewhere.

    Parameters
    ----------
    input, step
        As those of `quantize`.
    low, high : float
        Multiples of `step`.

    Returns
    -------
    torch.Tensor
        Same shape and dtype.

    Raises
    ------
    TypeError, ValueError
        As `quantize`.
    """
    return _quantized(input, step, MODE.ROUND, (low, high))


def _quantized(input: torch.Tensor, step: float, mode: MODE, bounds: Bounds) -> torch.Tensor:
    plain = isinstance(input, torch.Tensor) and input.is_floating_point() and input.layout is torch.strided
    x = input if plain else _validate.floating(input, "input of quantize", ndim=0)
    try:
        chosen = MODE(mode)
    except ValueError:
        raise ValueError(f"mode must be QUANTIZE_MODE.ROUND or .FLOOR, but got {mode!r}") from None
    known = type(step) is float and 0 < step < math.inf
    distance = step if known else _validate.positive(step, "step of quantize")
    heard = _clipping.get()
    if heard is not None and bounds is not None:
        nearest = (x.detach() / distance).round() * distance
        heard.append((nearest < bounds[0]) | (nearest > bounds[1]))
    if not (x.requires_grad and torch.is_grad_enabled()):
        return _on_grid(x, distance, chosen, bounds)[0]  # without what autograd costs, which for few values is most
    quantized: torch.Tensor = _StraightThrough.apply(x, distance, chosen, bounds)
    return quantized


def quantize_hook_fx(x: torch.Tensor, scale: int = 64, num_bits: int = 8, descale: bool = False) -> torch.Tensor:
    """Quantise weights as a synapse does: signed mantissas of `num_bits`, each worth ``2 / scale``.

    The result lies in ``[-2**num_bits, 2**num_bits - 2] / scale``, in steps of ``2 / scale``: for the
    defaults even 64ths in [-256, 254], what a file can hold. The gradient is that of the clamp:
    1 inside, 0 outside.

    Parameters
    ----------
    x : torch.Tensor
        Weights, any shape and dtype as `quantize`.
    scale : int
        Units per 1.0.
    num_bits : int
        Width of the mantissa, sign included.
    descale : bool
        Return integers in units of ``1 / scale`` (even, still of floating dtype) instead of weights.

    Raises
    ------
    TypeError, ValueError
        As `quantize`; `scale` not positive, `num_bits` not an integer of at least 1.
    """
    units = _validate.positive(scale, "scale of quantize_hook_fx")
    bits = _validate.integer(num_bits, "num_bits of quantize_hook_fx", 1)
    _validate.flag(descale, "descale of quantize_hook_fx")
    quantized = quantize_within(x, *held_weights(units, bits))
    return quantized * units if descale else quantized


def held_weights(scale: float, num_bits: int = 8) -> tuple[float, float, float]:
    """Step, least and largest of the weights that signed mantissas of `num_bits` hold, each worth ``2 / scale``."""
    limit = 2**num_bits
    return 2 / scale, -limit / scale, (limit - 2) / scale


def clipped(hook: Any, values: torch.Tensor) -> torch.Tensor:
    """Where `hook`, which may call quantisers of this package, gets a bound from them for what is beyond it."""
    clipping: list[torch.Tensor] = []
    token = _clipping.set(clipping)
    try:
        if hook is not None:
            hook(values.detach())
    finally:
        _clipping.reset(token)
    beyond = torch.zeros(values.shape, dtype=torch.bool)
    for each in clipping:
        beyond |= each if each.shape == values.shape else False
    return beyond
