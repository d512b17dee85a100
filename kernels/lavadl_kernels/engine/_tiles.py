"""Access to arrays of lanes over time in either memory order, for loops over time.

If time is the innermost axis, the engines transpose some steps of a chunk of lanes at a time into, or out of, a tile
that stays in the caches.  Transposing the whole array would write and read it once more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lavadl_kernels.runtime.array_types import Array, Floats
from lavadl_kernels.runtime.extending import jitable, overload
from lavadl_kernels.runtime.jit import VIEW
from lavadl_kernels.runtime.simd import SIDE


def in_memory_order(x: tuple[Array, ...]) -> tuple[tuple[Array, ...], bool]:
    """Arrays in the order of their memory, as kernels take them, and whether lanes are their first axis.

    Parameters
    ----------
    x : tuple of ndarray
        (T, M) each.

    Returns
    -------
    x : tuple of ndarray
        C-contiguous: (M, T) views if all inputs are Fortran-contiguous, otherwise (T, M) each.
    lanes_first : bool
        Whether the arrays are (M, T).
    """
    if all(part.flags.f_contiguous and not part.flags.c_contiguous for part in x):
        return tuple([part.T for part in x]), True
    return tuple([part if part.flags.c_contiguous else np.ascontiguousarray(part) for part in x]), False


def room_for_tiles(parts: tuple[Floats, ...], wanted: bool, width: int) -> tuple[Floats, ...]:
    """A tile for each part, (`SIDE`, width) float32: `SIDE` steps of lanes; without rows unless `wanted`."""
    return tuple([room_for_tile(wanted, width) for _ in parts])


@overload(room_for_tiles)
def _room_for_tiles(parts: Any, wanted: Any, width: Any) -> Callable[..., Any]:
    if len(parts) == 1:
        return lambda parts, wanted, width: (room_for_tile(wanted, width),)
    return lambda parts, wanted, width: (room_for_tile(wanted, width), room_for_tile(wanted, width))


@jitable
def room_for_tile(wanted: bool, width: int) -> Floats:
    """A tile, (`SIDE`, width) float32: `SIDE` steps of lanes; without rows unless `wanted`."""
    return np.empty((SIDE if wanted else 0, width), np.float32)


def rows(parts: tuple[Floats, ...], t: int, lo: int, hi: int) -> tuple[Floats, ...]:
    """Lanes `lo` to `hi` at step `t` of each part of an input, (T, M) float32."""
    return tuple(part[t, lo:hi] for part in parts)


@overload(rows, **VIEW)
def _rows(parts: Any, t: Any, lo: Any, hi: Any) -> Callable[..., Any]:
    if len(parts) == 1:
        return lambda parts, t, lo, hi: (parts[0][t, lo:hi],)
    return lambda parts, t, lo, hi: (parts[0][t, lo:hi], parts[1][t, lo:hi])
