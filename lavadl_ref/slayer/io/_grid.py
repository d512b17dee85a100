"""Values on their way into a tensor or array of any real dtype."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


def float64(values: Any) -> np.ndarray:
    """A tensor or array as a float64 array."""
    return np.asarray(values.detach().cpu().double() if isinstance(values, torch.Tensor) else values).astype(np.float64)


def held(values: np.ndarray, grid: Any) -> Any:
    """`values`, float64, in the kind and dtype of `grid`.

    Raises
    ------
    ValueError
        An integer or boolean dtype changes one, or a floating one overflows.
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
        raise ValueError(f"empty_tensor of dtype {grid.dtype} cannot hold the value {values[bad][0]}")
    return cast
