"""Checks of arguments, shared: each returns the value in the form the caller computes with."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch


def tensor(value: Any, name: str, ndim: int = 1, axes: str = "(..., T)") -> torch.Tensor:
    """A real tensor with at least `ndim` axes.

    Raises
    ------
    TypeError
        `value` is no tensor, or is complex.
    ValueError
        It has fewer axes than `ndim`.
    """
    if not isinstance(value, torch.Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, but got {type(value).__name__}")
    if value.is_complex():
        raise TypeError(f"{name} must be real, but got dtype {value.dtype}")
    if value.layout is not torch.strided:
        raise TypeError(f"{name} must be a dense tensor, but got {value.layout}: call .to_dense() first")
    if value.ndim < ndim:
        raise ValueError(f"{name} must have at least {ndim} axes {axes}, but got shape {tuple(value.shape)}")
    return value


def floating(value: Any, name: str, ndim: int = 1, axes: str = "(..., T)") -> torch.Tensor:
    """Like `tensor`; integers and booleans (spikes) become the default float dtype."""
    checked = tensor(value, name, ndim, axes)
    return checked if checked.is_floating_point() else checked.to(torch.get_default_dtype())


def with_fractions(value: torch.Tensor, name: str) -> torch.Tensor:
    """`value`, whose dtype has to hold the fractions of what becomes of it; `TypeError` if it is a whole one."""
    if not value.is_floating_point():
        raise TypeError(f"{name} must have a floating dtype, which holds fractions, but got {value.dtype}")
    return value


def of_dtype(value: torch.Tensor, dtype: torch.dtype, name: str) -> torch.Tensor:
    """`value`, which has to have the `dtype` of the weights that it meets; `TypeError` if not, but for autocast."""
    if value.dtype != dtype and not torch.is_autocast_enabled("cpu"):
        raise TypeError(f"{name} must have the dtype of the weights, {dtype}, but got {value.dtype}")
    return value


def _alone(value: Any) -> Any:
    """What a tensor or array of one element holds; anything else as it is."""
    single = isinstance(value, (torch.Tensor, np.ndarray)) and math.prod(value.shape) == 1
    return value.item() if single else value


def real(value: Any, name: str) -> Any:
    """A real number, finite or not, also from a tensor or array of one element; `TypeError` if it is none."""
    value = _alone(value)
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, but got {shown(value)}")
    return value


def shown(value: Any) -> str:
    """`value` in one line of an error."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."


def numbers_of(value: Any, name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """One real number or more, as float64 with at least one axis.

    Raises
    ------
    TypeError
        `value` holds something else.
    ValueError
        It holds nothing, or rows of different lengths.
    """
    try:
        given = np.asarray(value.detach() if isinstance(value, torch.Tensor) else value)
    except ValueError:
        raise ValueError(f"{name} must be a number or one row of numbers, got {shown(value)}") from None
    if given.dtype.kind not in "iuf":
        raise TypeError(f"{name} must be a number or one row of numbers, got {shown(value)}")
    if not given.size:
        raise ValueError(f"{name} must hold a number, got {shown(value)}")
    return np.atleast_1d(given.astype(np.float64))


def flag(value: Any, name: str) -> bool:
    """True or False, also as 1 or 0; `TypeError` for anything else."""
    if not isinstance(value, (bool, np.bool_)) and not (isinstance(value, numbers.Integral) and value in (0, 1)):
        raise TypeError(f"{name} must be True or False, got {shown(value)}")
    return bool(value)


def function(value: Any, name: str) -> Any:
    """A callable or None; `TypeError` for anything else."""
    if value is not None and not callable(value):
        raise TypeError(f"{name} must be callable or None, got {shown(value)}")
    return value


def mapping(value: Any, name: str) -> Any:
    """A mapping or None; `TypeError` for anything else."""
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
        raise ValueError(f"{name} must be finite, but got {value!r}")
    return float(value)


def scalar(value: Any, name: str) -> Any:
    """A finite number; a tensor of one element is itself, so that its dtype and gradient remain. As `number`."""
    checked = number(value, name)
    if not isinstance(value, torch.Tensor):
        return checked
    return value if value.ndim < 2 else value.reshape(1)


def positive(value: Any, name: str) -> float:
    """A finite number above zero; `ValueError` if not."""
    checked = number(value, name)
    if checked <= 0:
        raise ValueError(f"{name} must be greater than 0, but got {value!r}")
    return checked


def integer(value: Any, name: str, minimum: int) -> int:
    """An integer of at least `minimum`, also from a tensor or array of one element.

    Raises
    ------
    TypeError
        `value` is no integer (a whole float is none either).
    ValueError
        It is below `minimum`.
    """
    value = _alone(value)
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer, but got {shown(value)}")
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, but got {value!r}")
    return int(value)


def choice(value: Any, name: str, allowed: Sequence[str]) -> str:
    """One of the `allowed` words; `ValueError` names them all if not."""
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, but got {shown(value)}")
    return value
