"""The leaky integrator: current and voltage of CUBA and ALIF."""

from __future__ import annotations

import math

from torch import Tensor

from lavadl_ref.slayer._bridge.spike import LeakyIntegrator
from lavadl_ref.slayer.neuron.dynamics._grid import Grid
from lavadl_ref.slayer.utils import _validate


def dynamics(
    input: Tensor, decay: Tensor, state: Tensor, w_scale: float, threshold: float | None = None, debug: bool = False
) -> Tensor:
    """y[t] = (1 - decay / 4096) y[t-1] + input[t], with the arithmetic of `lavadl_kernels.leaky_integrator`.

    Parameters
    ----------
    input : Tensor
        (N, C, ..., T), (C, T) or (T,), floating, units of 1; truncated to 1 / w_scale.
    decay : Tensor
        (1,) or (C,), 0 to 4096, truncated to integers.
    state : Tensor
        y before the first step, one element or (N, C, ...).
    w_scale : int
        Integers per unit of the state, a power of two.
    threshold : float, optional
        Where y >= threshold the next step starts from 0; only if it is positive.
    debug : bool
        Has no effect: there is one implementation.

    Returns
    -------
    Tensor
        Shape and dtype of `input`: y before each reset.  The gradient takes a reset as constant.

    Raises
    ------
    TypeError, ValueError
        For arguments of other types, shapes or ranges, or values beyond the fixed-point range.
    """
    if threshold is not None:
        _validate.number(threshold, "threshold")
    grid = Grid(w_scale, input=input)
    # the kernel resets strictly above its threshold
    limit = math.ceil(threshold * w_scale) - 1 if threshold is not None and threshold > 0 else None
    start = grid.state("state", state)
    y, *_ = LeakyIntegrator.apply(grid.up("input"), grid.decay("decay", decay), start, limit)
    return grid.down(y)


def persistent_state(state: Tensor, spike: Tensor) -> Tensor:
    """`state` (N, C, ...) after the last step's `spike`, of its shape: 0 where there was one."""
    return state.masked_fill(spike > 0, 0)
