"""Whether numbers are whole and in range, arrays of the right type and shape."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from lavadl_ref.exchange.errors import ExchangeError, within


def check_integer(value: Any, low: int, high: int) -> None:
    """Raise unless `value` is a whole number within [low, high]."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise ExchangeError(f"expected an integer, found {value!r}")
    if not low <= value <= high:
        raise ExchangeError(f"expected {_range(low, high)}, found {value}")


def check_array(key: str, values: Any, shape: tuple[int | None, ...], low: int, high: int) -> None:
    """`check_values`, with `key` in front of the message."""
    with within(key):
        check_values(values, shape, low, high)


def check_values(values: Any, shape: tuple[int | None, ...], low: int, high: int) -> None:
    """Raise unless `values` is an int64 array of `shape` within [low, high].

    `shape` may hold None for an axis of any length but 0.
    """
    if not isinstance(values, np.ndarray) or values.dtype != np.int64:
        found = values.dtype if isinstance(values, np.ndarray) else type(values).__name__
        raise ExchangeError(f"expected an int64 array, found {found}")
    fits = values.ndim == len(shape) and all(
        found == wanted or (wanted is None and found > 0) for found, wanted in zip(values.shape, shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if extent is None else str(extent) for extent in shape)
        raise ExchangeError(f"expected shape ({wanted}{',' if len(shape) == 1 else ''}), found {values.shape}")
    for extreme in (values.min(), values.max()):
        if not low <= extreme <= high:
            raise ExchangeError(f"expected {_range(low, high)}, found {extreme}")


def listed(names: Iterable[str]) -> str:
    """`names` in alphabetical order, for a message."""
    return ", ".join(sorted(names))


def _range(low: int, high: int) -> str:
    return str(low) if low == high else f"integers in [{low}, {high}]"
