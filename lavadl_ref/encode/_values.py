"""Arrays, tensors and seeds that users give."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lavadl_ref._arguments import brief, is_tensor, numbers, whole

Array = NDArray[Any]


def finite(name: str, values: Any) -> Array:
    """`values`, an array, a tensor or sequences of numbers, as an array of finite numbers.

    Raises
    ------
    TypeError
        If they are something else.
    ValueError
        If one is NaN or infinite.
    """
    found = numbers(name, values)
    if not np.isfinite(found).all():
        raise ValueError(f"{name} must be finite, got {found[~np.isfinite(found)][0]}")
    return found


def within(name: str, values: Any, low: float, high: float) -> Array:
    """As `finite`, float64 within [low, high]."""
    found = finite(name, values).astype(np.float64)
    if found.size and not (low <= found.min() and found.max() <= high):
        wanted = f"at least {low:g}" if high == np.inf else f"within [{low:g}, {high:g}]"
        raise ValueError(f"{name} must be {wanted}, got {found.min():g} to {found.max():g}")
    return found


def like(values: Any, made: Array) -> Any:
    """`made` as a tensor where `values` is one."""
    return sys.modules["torch"].from_numpy(np.ascontiguousarray(made)) if is_tensor(values) else made


def generator(seed: Any) -> np.random.Generator:
    """The generator that a seed stands for: a number, or a generator of NumPy or torch, which goes on.

    Raises
    ------
    TypeError
        If it is something else.
    """
    if isinstance(seed, np.random.Generator):
        return seed
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(seed, torch.Generator):
        return np.random.default_rng(int(torch.randint(1 << 62, (1,), generator=seed).item()))
    if isinstance(seed, (int, np.integer)) and not isinstance(seed, bool):
        return np.random.default_rng(whole("seed", seed, 0))
    raise TypeError(f"seed must be an integer or a generator of NumPy or torch, got {brief(seed)}")
