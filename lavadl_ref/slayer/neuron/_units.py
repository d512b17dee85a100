"""Between units of 1 and the units of kernels, for scales that are powers of two."""

from __future__ import annotations

import math

from lavadl_kernels.fixed_point import STATE_ONE
from torch import Tensor

from lavadl_ref.slayer.utils import _validate

LARGEST_SCALE = 1 << 24  #: beyond, float32 has no multiples of 1 / scale beside 1


def power_of_two(scale: float) -> bool:
    """Tell whether multiplying by `scale` is exact."""
    return math.isfinite(scale) and scale > 0 and math.frexp(scale)[0] == 0.5


def check_scale(scale: int) -> int:
    """`scale`, where neurons are exact with it.

    Raises
    ------
    ValueError
        If it is not a power of two from 1 to `LARGEST_SCALE`.
    """
    if not (power_of_two(_validate.real(scale, "scale")) and 1 <= scale <= LARGEST_SCALE):
        raise ValueError(
            f"scale must be a power of two from 1 to {LARGEST_SCALE}, with which float32 is exact, got {scale}"
        )
    return int(scale)


class Units:
    """Kernels count states in 1/4096.  For other counts values are multiplied on the way in and out.

    Parameters
    ----------
    states : float
        Integers per unit of a state, a power of two: the product is exact.
    """

    def __init__(self, states: float) -> None:
        self._ratio = states / STATE_ONE

    @property
    def same(self) -> bool:
        """Tell whether both are the same, and nothing is multiplied."""
        return self._ratio == 1

    def up(self, x: Tensor) -> Tensor:
        """A value in the kernel's units."""
        return x if self._ratio == 1 else x * self._ratio

    def down(self, x: Tensor) -> Tensor:
        """A value of the kernel in the caller's units."""
        return x if self._ratio == 1 else x / self._ratio

    def surrogate(self, tau: float, scale: float, by_phase: bool) -> tuple[float, float]:
        """Width and height of a surrogate gradient in the kernel's units.

        The slope is a density, whose unit `up` undoes as gradients go back through it; that of a phase is the
        product of two.
        """
        return tau * self._ratio, scale * self._ratio if by_phase else scale
