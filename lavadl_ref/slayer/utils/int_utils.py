"""Integer operations that round toward zero."""

from __future__ import annotations

from typing import Any

import torch

from lavadl_ref.slayer.utils import _validate

_WIDTH = {torch.int32: 32, torch.int64: 64}


def right_shift_to_zero(x: torch.Tensor, bits: int) -> torch.Tensor:
    """``sign(x) * (|x| >> bits)``: divide by ``2**bits`` and drop the fraction.

    Exact over the whole range of the dtype, its most negative value included.

    Parameters
    ----------
    x : torch.Tensor
        int32 or int64, any shape.
    bits : int
        From 0 to one less than the width of the dtype.

    Returns
    -------
    torch.Tensor
        Same shape and dtype.

    Raises
    ------
    TypeError
        `x` is no int32 or int64 tensor, or `bits` no integer.
    ValueError
        `bits` is out of range.
    """
    _validate.tensor(x, "x of right_shift_to_zero", ndim=0)
    if x.dtype not in _WIDTH:
        raise TypeError(f"x of right_shift_to_zero must be torch.int32 or torch.int64, but got {x.dtype}")
    shift = _validate.integer(bits, "bits of right_shift_to_zero", 0)
    if shift >= _WIDTH[x.dtype]:
        raise ValueError(f"bits must be below {_WIDTH[x.dtype]} for {x.dtype}, but got {bits}")
    # An arithmetic shift rounds down, so a negative number is raised first; that cannot overflow.
    return (x + (x < 0).to(x.dtype) * ((1 << shift) - 1)) >> shift


class Q2Zero(torch.autograd.Function):
    """``Q2Zero.apply(x)``: drop the fraction (round toward zero); the gradient passes unchanged."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return torch.trunc(x) if x.is_floating_point() else x.clone()

    @staticmethod
    def backward(ctx: Any, *grad_output: torch.Tensor) -> Any:
        return grad_output[0]
