"""The damped rotation: real and imaginary part of RF and RF-IZ."""

from __future__ import annotations

from typing import Any

import torch
from lavadl_kernels.neurons import rf, rf_iz
from torch import Tensor

from lavadl_ref.slayer._bridge import autograd as _autograd
from lavadl_ref.slayer.neuron.dynamics._grid import Grid
from lavadl_ref.slayer.utils import _validate


def dynamics(
    real_input: Tensor,
    imag_input: Tensor,
    sin_decay: Tensor,
    cos_decay: Tensor,
    real_state: Tensor,
    imag_state: Tensor,
    w_scale: float,
    threshold: float | None = None,
    debug: bool = False,
) -> tuple[Tensor, Tensor]:
    """Rotate and damp a state in each step, with the arithmetic of `lavadl_kernels.resonator`.

    Parameters
    ----------
    real_input, imag_input : Tensor
        (N, C, ..., T), (C, T) or (T,), floating, units of 1; truncated to 1 / w_scale.
    sin_decay, cos_decay : Tensor
        (1,) or (C,), -4096 to 4096, truncated to integers: sine and cosine of a step times what the
        decay leaves.
    real_state, imag_state : Tensor
        The state before the first step, one element or (N, C, ...).
    w_scale : int
        Integers per unit of the state, a power of two.
    threshold : float, optional
        Truncated to 1 / w_scale.  Where the imaginary part reaches it the next step starts from 0 and just below
        the threshold; never if it is negative.
    debug : bool
        Has no effect: there is one implementation.

    Returns
    -------
    real, imag : Tensor
        Shape and dtype of the inputs, before each reset.  The gradient takes a reset as constant.

    Raises
    ------
    TypeError, ValueError
        For arguments of other types, shapes or ranges, or values beyond the fixed-point range.
    """
    if threshold is not None:
        _validate.number(threshold, "threshold")
    grid = Grid(w_scale, real_input=real_input, imag_input=imag_input)
    states = grid.state("real_state", real_state), grid.state("imag_state", imag_state)
    decays = grid.decay("sin_decay", sin_decay, -4096), grid.decay("cos_decay", cos_decay, -4096)
    resets = threshold is not None and threshold >= 0
    level = grid.level("threshold", threshold) if resets else 0  # type: ignore[arg-type]
    # without a threshold the spikes of `rf` act on nothing
    setting = _autograd.Setting((rf_iz if resets else rf).FAMILY, (level,), 1, 1, False, True, inputs=2)
    values: Any = _autograd.neurons(setting, states, (grid.up("real_input"), grid.up("imag_input")), decays)
    return grid.down(values[1]), grid.down(values[2])


def persistent_real_state(real_state: Tensor, spike: Tensor) -> Tensor:
    """The real part (N, C, ...) after the last step's `spike`, of its shape: 0 where there was one."""
    return real_state.masked_fill(spike > 0, 0)


def persistent_imag_state(imag_state: Tensor, spike: Tensor, threshold: float, scale: float) -> Tensor:
    """The imaginary part (N, C, ...) after the last step's `spike`, of its shape: threshold - 1 / scale after one."""
    return torch.where(spike > 0, threshold - 1 / scale, imag_state)
