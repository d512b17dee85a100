"""Conversion of float64 values to the dtype of a tensor or array."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray


def float64(values: Any) -> NDArray[Any]:
    """`values`, a tensor or array of any shape and real dtype, as a float64 array."""
    return np.asarray(values.detach().cpu().double() if isinstance(values, torch.Tensor) else values).astype(np.float64)


def held(values: NDArray[Any], grid: Any) -> Any:
    """`values`, float64 of any shape, as a tensor or array like `grid`, of its dtype.

    A floating dtype may round a value; any other dtype must hold it exactly.

    Raises
    ------
    ValueError
        An integer or boolean dtype would change a value, or a value overflows a floating dtype.
    """
    if isinstance(grid, torch.Tensor):
        cast: Any = torch.from_numpy(values).to(device=grid.device, dtype=grid.dtype)
        rounds = grid.is_floating_point()
    else:
        with np.errstate(over="ignore", invalid="ignore"):
            cast = values.astype(grid.dtype)
        rounds = grid.dtype.kind == "f"
    back = float64(cast)
    bad = ~np.isfinite(back) if rounds else back != values
    if bad.any():
        raise ValueError(f"empty_tensor must have a dtype that holds the value {values[bad][0]}, got {grid.dtype}")
    return cast
