"""Checks of the columns of an event list. Each returns a new array and leaves that of the caller as it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

#: Largest magnitude up to which float64 holds every integer, so that int64 and float64 columns agree.
EXACT = 2**53


def real(values: Any, name: str) -> NDArray[Any]:
    """`values`, which must be M finite real numbers, as float64 (M,).

    Raises
    ------
    TypeError
        They are no real numbers.
    ValueError
        They have another number of axes than one, or one is infinite, NaN, or an integer beyond 2^53.
    """
    array = np.asarray(values.detach().cpu() if isinstance(values, torch.Tensor) else values)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, got {values!r}")
    if array.ndim != 1:
        raise ValueError(f"{name} must have one axis, got shape {array.shape}")
    column = array.astype(np.float64)
    bad = ~np.isfinite(column) if array.dtype.kind == "f" else (array > EXACT) | (array < -EXACT)
    if bad.any():
        raise ValueError(f"{name} must be finite and not exceed 2^53, got {array[bad][0]}")
    return column


def whole(values: Any, name: str) -> NDArray[Any]:
    """`values`, which must be M integers, also of a floating dtype, as int64 (M,).

    Raises
    ------
    TypeError, ValueError
        As `real`; ValueError also for a fraction.
    """
    column = real(values, name)
    bad = (column != np.round(column)) | (np.abs(column) > EXACT)
    if bad.any():
        raise ValueError(f"{name} must hold integers of at most 2^53, got {column[bad][0]}")
    return column.astype(np.int64)


def nearest(values: Any, name: str) -> NDArray[Any]:
    """`values`, M real numbers, rounded to the nearest integers, ties to even: int64 (M,).

    They are clipped at 2^53, which no tensor has as an index.
    """
    return np.round(real(values, name)).clip(-EXACT, EXACT).astype(np.int64)


def within(values: Any, name: str, maximum: int) -> NDArray[Any]:
    """`values`, which must be M integers in [0, maximum], as int64 (M,); errors as those of `whole`."""
    column = whole(values, name)
    bad = (column < 0) | (column > maximum)
    if bad.any():
        raise ValueError(f"{name} must be in [0, {maximum}] in this format, got {column[bad][0]}")
    return column
