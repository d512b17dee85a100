"""Quantisation to multiples of a step, with a straight-through gradient."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextvars import ContextVar
from enum import IntEnum, unique
from typing import Any, TypeVar

import torch
from lavadl_kernels.ops import layout

from lavadl_ref.slayer._bridge.autograd import follow_torch
from lavadl_ref.slayer.utils import _validate


@unique
class MODE(IntEnum):
    """The rounding of `quantize`: to the nearest multiple (ties to even), or down to the next one below."""

    ROUND = 0
    FLOOR = 1


F = TypeVar("F", bound=Callable[..., Any])
Bounds = tuple[float, float] | None
Grid = tuple[float, float, float]  #: step, least and largest value

#: Masks of the values that quantisers called meanwhile have clipped; None while `clipped` does not ask for them.
_clipping: ContextVar[list[torch.Tensor] | None] = ContextVar("clipping", default=None)


#: Fewest values that the kernel takes: it passes over them once, where torch passes over them several times, but its
#: call costs more than torch's.
FEWEST = 1 << 14


def _on_grid(input: torch.Tensor, step: float, mode: MODE, bounds: Bounds) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The grid values, and the mask of those within the bounds; None if all are."""
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
    # weights are mostly within the bounds: then there is nothing to clamp, and no mask to keep for the gradient
    if good:
        return grid, None
    inside = (grid >= low) & (grid <= high)
    return grid.clamp_(low, high), inside


def _in_one_pass(input: torch.Tensor, step: float, mode: MODE, bounds: Bounds) -> bool:
    """Tell whether the kernel takes `input` and gives the same values as torch.

    The kernel multiplies by the inverse of `step`. That equals a division only for a power of two; the bounds of
    `step` keep products and inverse away from float32's overflow and denormal numbers.
    """
    plain = input.dtype == torch.float32 and input.device.type == "cpu" and input.is_contiguous()
    exact = math.frexp(step)[0] == 0.5 and 2.0**-64 < step < 2.0**64
    return plain and exact and mode is MODE.ROUND and bounds is not None and input.numel() >= FEWEST


class _StraightThrough(torch.autograd.Function):
    """Forward the grid values; backward the identity, and 0 outside the bounds."""

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


_straight_through: Callable[[torch.Tensor, float, MODE, Bounds], torch.Tensor] = _StraightThrough.apply


def quantize(input: torch.Tensor, step: float = 1, mode: MODE = MODE.ROUND) -> torch.Tensor:
    """Round `input` to multiples of `step`; the gradient passes unchanged.

    Parameters
    ----------
    input : torch.Tensor
        Any shape and real dtype. Integers and booleans become the default floating dtype.
    step : float
        Distance of neighbouring multiples, in the unit of `input`, greater than 0.
    mode : QUANTIZE_MODE
        ``ROUND``: ``round(input / step) * step``, ties to even. ``FLOOR``: ``floor(input / step) * step``.

    Returns
    -------
    torch.Tensor
        Shape of `input`, and its dtype if that is a floating one.

    Raises
    ------
    TypeError
        `input` is no real tensor, or `step` no number.
    ValueError
        `step` is not positive and finite, or `mode` is no ``QUANTIZE_MODE``.

    Examples
    --------
    >>> quantize(torch.tensor([0.2, 0.3, -0.3]), step=0.25)
    tensor([ 0.2500,  0.2500, -0.2500])
    >>> quantize(torch.tensor([0.2, 0.3, -0.3]), step=0.25, mode=MODE.FLOOR)
    tensor([ 0.0000,  0.2500, -0.5000])
    """
    return _quantized(input, step, mode, None)


def quantize_within(input: torch.Tensor, step: float, low: float, high: float) -> torch.Tensor:
    """Round `input` to the nearest multiple of `step` within [low, high].

    The gradient passes where the nearest multiple is within these bounds, and is 0 elsewhere.

    Parameters
    ----------
    input : torch.Tensor
        Any shape and real dtype, as for `quantize`.
    step : float
        As for `quantize`.
    low, high : float
        Multiples of `step`.

    Result and errors are those of `quantize`.

    Examples
    --------
    >>> quantize_within(torch.tensor([-3.0, 0.3, 0.6]), 0.25, low=-1, high=0.5)
    tensor([-1.0000,  0.2500,  0.5000])
    """
    return _quantized(input, step, MODE.ROUND, (low, high))


def _quantized(input: torch.Tensor, step: float, mode: MODE, bounds: Bounds) -> torch.Tensor:
    plain = isinstance(input, torch.Tensor) and input.is_floating_point() and input.layout is torch.strided
    x = input if plain else _validate.floating(input, "input of quantize", ndim=0)
    try:
        chosen = MODE(mode)
    except ValueError:
        raise ValueError(f"mode must be QUANTIZE_MODE.ROUND or .FLOOR, got {mode!r}") from None
    known = type(step) is float and 0 < step < math.inf
    distance = step if known else _validate.positive(step, "step of quantize")
    masks = _clipping.get()
    if masks is not None and bounds is not None:
        nearest = (x.detach() / distance).round() * distance
        masks.append((nearest < bounds[0]) | (nearest > bounds[1]))
    if not (x.requires_grad and torch.is_grad_enabled()):
        # An autograd function costs more than the rounding itself where values are few.
        return _on_grid(x, distance, chosen, bounds)[0]
    return _straight_through(x, distance, chosen, bounds)


def quantize_hook_fx(x: torch.Tensor, scale: int = 64, num_bits: int = 8, descale: bool = False) -> torch.Tensor:
    """Quantise weights as a synapse does: to signed mantissas of `num_bits`, each worth ``2 / scale``.

    The result lies in ``[-2**num_bits, 2**num_bits - 2] / scale``, in steps of ``2 / scale``. With the defaults these
    are even multiples of 1/64 from -256/64 to 254/64, the weights that a file can hold. The gradient is 1 within
    these bounds and 0 outside.

    Parameters
    ----------
    x : torch.Tensor
        Weights in units of 1, any shape and dtype as for `quantize`.
    scale : int
        Number of weight units in 1.0, greater than 0.
    num_bits : int
        Width of the mantissa in bits, sign included, at least 1.
    descale : bool
        Return integers in units of ``1 / scale`` instead of weights. They are even, and of a floating dtype.

    Returns
    -------
    torch.Tensor
        Shape and dtype as from `quantize`.

    Raises
    ------
    TypeError, ValueError
        As `quantize`; `scale` not positive, `num_bits` not an integer of at least 1.

    Examples
    --------
    >>> quantize_hook_fx(torch.tensor([0.01, 0.1, 9.0]))  # 0, 6/64 and 254/64
    tensor([0.0000, 0.0938, 3.9688])
    >>> quantize_hook_fx(torch.tensor([0.01, 0.1, 9.0]), descale=True)
    tensor([  0.,   6., 254.])
    """
    units = _validate.positive(scale, "scale of quantize_hook_fx")
    bits = _validate.integer(num_bits, "num_bits of quantize_hook_fx", 1)
    _validate.flag(descale, "descale of quantize_hook_fx")
    quantized = quantize_within(x, *held_weights(units, bits))
    return quantized * units if descale else quantized


def held_weights(scale: float, num_bits: int = 8) -> Grid:
    """Step, least and largest weight of signed mantissas of `num_bits`, each worth ``2 / scale``.

    >>> held_weights(64)
    (0.03125, -4.0, 3.96875)
    """
    limit = 2**num_bits
    return 2 / scale, -limit / scale, (limit - 2) / scale


def rounds_to(grid: Callable[[Any], Grid]) -> Callable[[F], F]:
    """Declare of a method that it is `quantize_within` of its argument, on the grid that `grid` tells of the object."""

    def declared(method: F) -> F:
        vars(method)["rounds_to"] = grid
        return method

    return declared


def grid_of(hook: Any) -> Grid | None:
    """The grid that a function of weights rounds them to, and does nothing else; None where that is not known."""
    if hook is quantize_hook_fx:
        return held_weights(64)
    grid = getattr(getattr(hook, "__func__", None), "rounds_to", None)
    return None if grid is None else grid(hook.__self__)


def clipped(hook: Any, values: torch.Tensor) -> torch.Tensor:
    """The mask of `values` (any shape and floating dtype) that the quantisers called by `hook` have clipped.

    bool, of the shape of `values`: True where a value lies beyond the bounds of a quantiser of this package. `hook`
    is a function of weights, such as a synapse's ``pre_hook_fx``, or None.
    """
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
