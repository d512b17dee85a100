"""Integer operations that round toward zero."""

from __future__ import annotations

from typing import Any

import torch

from lavadl_ref.slayer.utils import _validate

_WIDTH = {torch.int32: 32, torch.int64: 64}


def right_shift_to_zero(x: torch.Tensor, bits: int) -> torch.Tensor:
    """Divide integers by ``2**bits`` and round toward zero: ``sign(x) * (|x| >> bits)``.

    The result is exact over the whole range of the dtype, its most negative value included.

    Parameters
    ----------
    x : torch.Tensor
        int32 or int64, any shape.
    bits : int
        From 0 to one less than the width of the dtype.

    Returns
    -------
    torch.Tensor
        Shape and dtype of `x`.

    Raises
    ------
    TypeError
        `x` is no int32 or int64 tensor, or `bits` no integer.
    ValueError
        `bits` is out of range.

    Examples
    --------
    >>> right_shift_to_zero(torch.tensor([7, -7]), 1)
    tensor([ 3, -3])
    """
    _validate.tensor(x, "x of right_shift_to_zero", ndim=0)
    if x.dtype not in _WIDTH:
        raise TypeError(f"x of right_shift_to_zero must be torch.int32 or torch.int64, got {x.dtype}")
    shift = _validate.integer(bits, "bits of right_shift_to_zero", 0)
    if shift >= _WIDTH[x.dtype]:
        raise ValueError(f"bits of right_shift_to_zero must be below {_WIDTH[x.dtype]} for {x.dtype}, got {bits}")
    # An arithmetic shift rounds down, so 2**shift - 1 is added to a negative number first. That cannot overflow.
    return (x + (x < 0).to(x.dtype) * ((1 << shift) - 1)) >> shift


class Q2Zero(torch.autograd.Function):
    """Rounding toward zero, called as ``Q2Zero.apply(x)``; the gradient passes unchanged.

    >>> Q2Zero.apply(torch.tensor([1.7, -1.7]))
    tensor([ 1., -1.])
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return torch.trunc(x) if x.is_floating_point() else x.clone()

    @staticmethod
    def backward(ctx: Any, *grad_output: torch.Tensor) -> Any:
        return grad_output[0]
