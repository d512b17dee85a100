"""Arguments of the functions here as kernels take them."""

from __future__ import annotations

import functools
import math

import torch
from lavadl_kernels.fixed_point import STATE_ONE
from torch import Tensor

from lavadl_ref.slayer._bridge.autograd import layout_of
from lavadl_ref.slayer.neuron._units import Units, power_of_two
from lavadl_ref.slayer.utils import _validate


def _straight(x: Tensor, values: Tensor) -> Tensor:
    """`values`, which are within one unit of `x`, with the gradient of `x`."""
    rounded = x.float()
    return rounded + (values - rounded).detach()


class Grid:
    """The integers that inputs of one shape become.

    Kernels count in 1/4096.  Where ``w_scale`` is another power of two, values are multiplied on the way in and
    out, which is exact.  Kernels take float32 (N, C, ..., T): fewer axes get leading ones of length 1, which
    results lose again, and other floating dtypes are truncated to the integers they stand for before they are cast.

    Parameters
    ----------
    w_scale : int
        Integers per unit of a state.
    **inputs : Tensor
        By name; all of one shape (..., T).

    Raises
    ------
    TypeError
        If an input is not a floating tensor on the CPU.
    ValueError
        If `w_scale` is not a power of two, the shapes differ, or float32 does not hold an input of another dtype.
    """

    def __init__(self, w_scale: float, **inputs: Tensor) -> None:
        if not power_of_two(_validate.real(w_scale, "w_scale")):
            raise ValueError(f"w_scale must be a power of two, got {w_scale}")
        self.w_scale = w_scale
        self._units = Units(w_scale)
        shapes = {
            name: tuple(_validate.with_fractions(_validate.tensor(x, name), name).shape) for name, x in inputs.items()
        }
        if len(set(shapes.values())) > 1:
            raise ValueError(f"inputs must have one shape, got {shapes}")
        self._given = next(iter(shapes.values()))
        self._dtype = functools.reduce(torch.promote_types, (x.dtype for x in inputs.values()))
        self._inputs = {name: self._with_three_axes(name, x) for name, x in inputs.items()}
        self._shape = next(iter(self._inputs.values())).shape

    def _with_three_axes(self, name: str, x: Tensor) -> Tensor:
        if x.dtype != torch.float32:
            integers = (x.detach().double() * self.w_scale).trunc()
            values = (integers / self.w_scale).float()
            if not (values.isfinite().all() and torch.equal(values.double() * self.w_scale, integers)):
                raise ValueError(
                    f"{name} must be finite and, in steps of 1/{self.w_scale:g}, a float32 number, got {x.dtype} "
                    f"values up to {x.detach().abs().max().item():g}"
                )
            x = _straight(x, values)
        raised = x if x.ndim >= 3 else x[(None,) * (3 - x.ndim)]
        layout_of(raised, name)
        return raised

    def up(self, name: str) -> Tensor:
        """The input of this name in the kernel's units."""
        return self._units.up(self._inputs[name])

    def down(self, x: Tensor) -> Tensor:
        """A result of the kernel in the caller's units, shape and dtype."""
        x = self._units.down(x)
        x = x if x.ndim == len(self._given) else x.reshape(self._given)
        return x.to(self._dtype)

    def state(self, name: str, value: Tensor) -> Tensor:
        """A state as int64 (N, C, ...), truncated to 1 / w_scale."""
        value = _validate.tensor(value, name, 0).detach()
        wanted = self._given[:-1]
        try:
            value = (value.reshape(()) if value.numel() == 1 else value).expand(wanted)
        except RuntimeError:
            raise ValueError(
                f"{name} must have one element or a shape that expands to {wanted}, got {tuple(value.shape)}"
            ) from None
        if not value.isfinite().all():
            raise ValueError(f"{name} must be finite")
        return (value.double() * self.w_scale).to(torch.int64).reshape(self._shape[:-1])

    def level(self, name: str, value: float) -> int:
        """A threshold as an integer, truncated to 1 / w_scale."""
        if not math.isfinite(_validate.real(value, name)):
            raise ValueError(f"{name} must be finite, got {value}")
        return int(float(value) * self.w_scale)

    def decay(self, name: str, value: Tensor, low: int = 0) -> Tensor:
        """Decays as float32, (1,) or (C,); kernels ignore their fractions."""
        _validate.tensor(value, name, 0)
        if value.numel() not in (1, self._shape[1]):
            raise ValueError(
                f"{name} must have one element or one for each of {self._shape[1]} channels, got {tuple(value.shape)}"
            )
        plain = value.detach().double()  # the bounds are beyond the smallest dtypes
        if not ((plain >= low) & (plain <= STATE_ONE)).all():
            raise ValueError(f"{name} must be from {low} to {STATE_ONE}, got {plain.flatten().tolist()}")
        if value.dtype != torch.float32:
            value = _straight(value, plain.trunc().float())
        return value.reshape(-1)
