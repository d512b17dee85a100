"""Arguments of public functions: numbers, arrays of integers and networks, or one line that says what was given."""

from __future__ import annotations

import math
import operator
import os
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from lavadl_ref.exchange import Network


def whole(name: str, value: Any, low: int, high: int | None = None) -> int:
    """`value` as an int.

    Raises
    ------
    TypeError
        If it is no integer; a truth value is none.
    ValueError
        If it is not within [low, high].
    """
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {brief(value)}") from None
    if number < low or (high is not None and number > high):
        wanted = f"at least {low}" if high is None else f"in {low}..{high}"
        raise ValueError(f"{name} must be {wanted}, got {number}")
    return number


def real(name: str, value: Any, low: float, high: float = math.inf) -> float:
    """`value` as a float.

    Raises
    ------
    TypeError
        If it is no number.
    ValueError
        If it is NaN or not within [low, high].
    """
    _check_number(name, value)
    if not low <= value <= high:
        wanted = f"at least {low:g}" if high == math.inf else f"within [{low:g}, {high:g}]"
        raise ValueError(f"{name} must be {wanted}, got {value:g}")
    return float(value)


def positive(name: str, value: Any) -> float:
    """`value` as a float above 0; raises as `real`."""
    _check_number(name, value)
    if not value > 0:
        raise ValueError(f"{name} must be positive, got {value:g}")
    return float(value)


def _check_number(name: str, value: Any) -> None:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be a number, got {brief(value)}")


def integers(name: str, values: Any) -> NDArray[Any]:
    """`values` as an array of integers or truth values.

    Raises
    ------
    TypeError
        If they are no array, or of another type.
    """
    array = _array(name, values, "integers")
    if array.dtype.kind not in "bui":
        found = str(array.dtype) if array.dtype.kind != "O" else f"{type(values).__name__} of objects"
        raise TypeError(f"{name} must have an integer type, got {found}")
    return array


def numbers(name: str, values: Any) -> NDArray[Any]:
    """`values`, an array, a tensor or sequences of numbers, as an array of numbers; a tensor may have a gradient.

    Raises
    ------
    TypeError
        If they are something else.
    """
    array = _array(name, values.detach().cpu() if is_tensor(values) else values, "numbers")
    if array.dtype.kind not in "buif":
        raise TypeError(f"{name} must be an array of numbers, got {type(values).__name__} of {array.dtype}")
    return array


def is_tensor(value: Any) -> bool:
    """Tell whether `value` is a tensor of torch."""
    # who has a tensor has loaded torch, which arrays do without
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _array(name: str, values: Any, of: str) -> NDArray[Any]:
    try:
        return np.asarray(values)
    except Exception:  # what has rows of several lengths, or an __array__ of its own
        raise TypeError(f"{name} must be an array of {of}, got {type(values).__name__}") from None


def described(net_config: Any) -> Network:
    """The description itself, or the one that a file holds.

    Raises
    ------
    TypeError
        If `net_config` is neither a description nor a path.
    exchange.ExchangeError
        If the file is not a legal network.
    """
    from lavadl_ref import exchange

    if isinstance(net_config, exchange.Network):
        return net_config
    if not isinstance(net_config, (str, os.PathLike)):
        raise TypeError(f"net_config must be a path or an exchange.Network, got {brief(net_config)}")
    return exchange.read(net_config)


def brief(value: Any) -> str:
    """A value as it may stand in a message: one line, not long."""
    text = ascii(value) if isinstance(value, (str, bytes, int, float, bool, type(None))) else type(value).__name__
    return text if len(text) <= 60 else f"{text[:57]}..."
