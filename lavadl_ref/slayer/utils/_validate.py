"""Checks of arguments: each function returns the value in the form that the caller computes with.

`name` is the subject of the error, such as ``"input of FIR"``.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch


def tensor(value: Any, name: str, ndim: int = 1, axes: str = "(..., T)") -> torch.Tensor:
    """`value`, which must be a dense real tensor of at least `ndim` axes, called `axes` in the error.

    Raises
    ------
    TypeError
        `value` is no tensor, is complex, or is sparse.
    ValueError
        It has fewer axes than `ndim`.
    """
    if not isinstance(value, torch.Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(value).__name__}")
    if value.is_complex():
        raise TypeError(f"{name} must be real, got dtype {value.dtype}")
    if value.layout is not torch.strided:
        raise TypeError(f"{name} must be a dense tensor, got layout {value.layout}: call .to_dense() first")
    if value.ndim < ndim:
        raise ValueError(f"{name} must have at least {ndim} axes {axes}, got shape {tuple(value.shape)}")
    return value


def floating(value: Any, name: str, ndim: int = 1, axes: str = "(..., T)") -> torch.Tensor:
    """The result of `tensor`, in the default floating dtype if `value` holds integers or booleans, such as spikes."""
    checked = tensor(value, name, ndim, axes)
    return checked if checked.is_floating_point() else checked.to(torch.get_default_dtype())


def with_fractions(value: torch.Tensor, name: str) -> torch.Tensor:
    """`value`, a tensor of any shape whose dtype must be a floating one, so that it holds fractions.

    Raises
    ------
    TypeError
        The dtype holds integers or booleans.
    """
    if not value.is_floating_point():
        raise TypeError(f"{name} must have a floating dtype, got {value.dtype}")
    return value


def of_dtype(value: torch.Tensor, dtype: torch.dtype, name: str) -> torch.Tensor:
    """`value`, a tensor of any shape that must have the `dtype` of the weights it is multiplied with.

    Raises
    ------
    TypeError
        It has another dtype, and autocast, which would convert it, is off.
    """
    if value.dtype != dtype and not torch.is_autocast_enabled("cpu"):
        raise TypeError(f"{name} must have the dtype of the weights, {dtype}, got {value.dtype}")
    return value


def _alone(value: Any) -> Any:
    """The element of a tensor or array that has only one; any other value as it is."""
    single = isinstance(value, (torch.Tensor, np.ndarray)) and math.prod(value.shape) == 1
    return value.item() if single else value


def real(value: Any, name: str) -> Any:
    """A real number, finite or not, also from a tensor or array of one element; TypeError if it is none."""
    value = _alone(value)
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {shown(value)}")
    return value


def shown(value: Any) -> str:
    """`value` as text of one line and at most 80 characters, for an error."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."


def numbers_of(value: Any, name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """One real number or more, as a float64 array with at least one axis.

    Raises
    ------
    TypeError
        `value` holds something other than real numbers.
    ValueError
        It is empty, or its rows differ in length.
    """
    try:
        given = np.asarray(value.detach() if isinstance(value, torch.Tensor) else value)
    except ValueError:
        raise ValueError(f"{name} must be a number or one row of numbers, got {shown(value)}") from None
    if given.dtype.kind not in "iuf":
        raise TypeError(f"{name} must be a number or one row of numbers, got {shown(value)}")
    if not given.size:
        raise ValueError(f"{name} must hold at least one number, got {shown(value)}")
    return np.atleast_1d(given.astype(np.float64))


def flag(value: Any, name: str) -> bool:
    """True or False, also given as 1 or 0; TypeError for anything else."""
    if not isinstance(value, (bool, np.bool_)) and not (isinstance(value, numbers.Integral) and value in (0, 1)):
        raise TypeError(f"{name} must be True or False, got {shown(value)}")
    return bool(value)


def function(value: Any, name: str) -> Any:
    """A callable or None; TypeError for anything else."""
    if value is not None and not callable(value):
        raise TypeError(f"{name} must be callable or None, got {shown(value)}")
    return value


def mapping(value: Any, name: str) -> Any:
    """A mapping or None; TypeError for anything else."""
    if value is not None and not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a dictionary of arguments, got {shown(value)}")
    return value


def number(value: Any, name: str) -> float:
    """A finite real number, also from a tensor or array of one element.

    Raises
    ------
    TypeError
        `value` is no number.
    ValueError
        It is infinite or NaN.
    """
    value = real(value, name)
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value!r}")
    return float(value)


def scalar(value: Any, name: str) -> Any:
    """A finite number. A tensor of one element remains a tensor, so that it keeps its dtype and receives a gradient.

    Raises
    ------
    TypeError, ValueError
        As `number`.
    """
    checked = number(value, name)
    if not isinstance(value, torch.Tensor):
        return checked
    return value if value.ndim < 2 else value.reshape(1)


def positive(value: Any, name: str) -> float:
    """A finite number greater than 0.

    Raises
    ------
    TypeError
        `value` is no number.
    ValueError
        It is not finite, or not greater than 0.
    """
    checked = number(value, name)
    if checked <= 0:
        raise ValueError(f"{name} must be greater than 0, got {value!r}")
    return checked


def integer(value: Any, name: str, minimum: int) -> int:
    """An integer of at least `minimum`, also from a tensor or array of one element.

    Raises
    ------
    TypeError
        `value` is no integer. A float such as 2.0 is not taken either.
    ValueError
        It is below `minimum`.
    """
    value = _alone(value)
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer, got {shown(value)}")
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {value!r}")
    return int(value)


def choice(value: Any, name: str, allowed: Sequence[str]) -> str:
    """One of the `allowed` words; ValueError, which lists them, if `value` is none."""
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {shown(value)}")
    return value
