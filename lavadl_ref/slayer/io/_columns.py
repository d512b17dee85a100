"""Checks of the columns of an event list: each returns a new array, the caller's is never touched."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

#: Integers of this size and below are the same in int64 and in float64.
EXACT = 2**53


def real(values: Any, name: str) -> np.ndarray:
    """Finite real numbers as float64 (M,).

    Raises
    ------
    TypeError
        They are no real numbers.
    ValueError
        They are not one-dimensional, one is infinite or NaN, or an integer beyond 2^53.
    """
    array = np.asarray(values.detach().cpu() if isinstance(values, torch.Tensor) else values)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, but got {values!r}")
    if array.ndim != 1:
        raise ValueError(f"{name} must have one axis, but has shape {array.shape}")
    column = array.astype(np.float64)
    bad = ~np.isfinite(column) if array.dtype.kind == "f" else (array > EXACT) | (array < -EXACT)
    if bad.any():
        raise ValueError(f"{name} must be finite and not exceed 2^53, but holds {array[bad][0]}")
    return column


def whole(values: Any, name: str) -> np.ndarray:
    """Integers as int64 (M,), also from whole floats; what `real` raises, and ValueError for a fraction."""
    column = real(values, name)
    bad = (column != np.round(column)) | (np.abs(column) > EXACT)
    if bad.any():
        raise ValueError(f"{name} must hold integers of at most 2^53, but holds {column[bad][0]}")
    return column.astype(np.int64)


def nearest(values: Any, name: str) -> np.ndarray:
    """Real numbers as the nearest integers, half to even: int64 (M,), cut off at 2^53, which no tensor reaches."""
    return np.round(real(values, name)).clip(-EXACT, EXACT).astype(np.int64)


def within(values: Any, name: str, maximum: int) -> np.ndarray:
    """Like `whole`, in [0, maximum]; ValueError if not."""
    column = whole(values, name)
    bad = (column < 0) | (column > maximum)
    if bad.any():
        raise ValueError(f"{name} must be in [0, {maximum}] in this format, but holds {column[bad][0]}")
    return column
