"""Arguments of the functions here as kernels take them."""

from __future__ import annotations

import math

import torch
from lavadl_kernels.fixed_point import STATE_ONE
from torch import Tensor

from lavadl_ref.slayer._layout import layout_of
from lavadl_ref.slayer.neuron._units import Units, power_of_two


class Grid(Units):
    """The integers that inputs of one shape become.

    Where ``w_scale`` is another power of two than the kernel's, values are multiplied on the way in and out.

    Parameters
    ----------
    w_scale : int
        Integers per unit of a state.
    **inputs : Tensor
        By name; all of one shape.

    Raises
    ------
    TypeError
        If an input is not a float32 tensor on the CPU.
    ValueError
        If `w_scale` is not a power of two, or the shapes differ.
    """

    def __init__(self, w_scale: float, **inputs: Tensor) -> None:
        if not power_of_two(w_scale):
            raise ValueError(f"w_scale must be a power of two, got {w_scale}")
        self.w_scale = w_scale
        super().__init__(w_scale)
        for name, x in inputs.items():
            layout_of(x, name)
        shapes = {name: tuple(x.shape) for name, x in inputs.items()}
        if len(set(shapes.values())) > 1:
            raise ValueError(f"inputs must have one shape, got {shapes}")
        self._shape = next(iter(inputs.values())).shape

    def state(self, name: str, value: Tensor) -> Tensor:
        """A state as int64 (N, C, ...), truncated to 1 / w_scale."""
        value = torch.as_tensor(value).detach()
        if value.numel() != 1 and value.shape != self._shape[:-1]:
            raise ValueError(
                f"{name} must have one element or shape {tuple(self._shape[:-1])}, got {tuple(value.shape)}"
            )
        if not value.isfinite().all():
            raise ValueError(f"{name} must be finite")
        integers = (value.double() * self.w_scale).to(torch.int64)
        return integers.reshape(()).expand(self._shape[:-1]) if value.numel() == 1 else integers

    def level(self, name: str, value: float) -> int:
        """A threshold as an integer, truncated to 1 / w_scale."""
        if not math.isfinite(value):
            raise ValueError(f"{name} must be finite, got {value}")
        return int(float(value) * self.w_scale)

    def decay(self, name: str, value: Tensor, low: int = 0) -> Tensor:
        """Decays, (1,) or (C,); kernels ignore their fractions."""
        if not (isinstance(value, Tensor) and value.dtype == torch.float32):
            raise TypeError(f"{name} must be a float32 tensor, got {getattr(value, 'dtype', type(value).__name__)}")
        if value.numel() not in (1, self._shape[1]):
            raise ValueError(
                f"{name} must have one element or one for each of {self._shape[1]} channels, got {tuple(value.shape)}"
            )
        plain = value.detach()
        if not ((plain >= low) & (plain <= STATE_ONE)).all():
            raise ValueError(f"{name} must be from {low} to {STATE_ONE}, got {plain.flatten().tolist()}")
        return value.reshape(-1)
