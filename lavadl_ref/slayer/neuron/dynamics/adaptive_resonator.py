"""All states of ADRF-IZ: real and imaginary part, threshold, refractory state."""

from __future__ import annotations

from typing import Any

from lavadl_kernels.neurons import adrf_iz
from torch import Tensor

from lavadl_ref.slayer._bridge import autograd as _autograd
from lavadl_ref.slayer.neuron.dynamics._grid import Grid
from lavadl_ref.slayer.neuron.dynamics._levels import persistent_ref_state, persistent_th_state

__all__ = ["dynamics", "persistent_ref_state", "persistent_th_state"]


def dynamics(
    real_input: Tensor,
    imag_input: Tensor,
    sin_decay: Tensor,
    cos_decay: Tensor,
    ref_decay: Tensor,
    th_decay: Tensor,
    real_state: Tensor,
    imag_state: Tensor,
    ref_state: Tensor,
    th_state: Tensor,
    th_scale: float,
    th0: float,
    w_scale: float,
    debug: bool = False,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Rotate and damp a state that spikes on its imaginary part, with the arithmetic of `lavadl_kernels.adrf_iz`.

    Parameters
    ----------
    real_input, imag_input : Tensor
        (N, C, ..., T), (C, T) or (T,), floating, units of 1; truncated to 1 / w_scale.
    sin_decay, cos_decay : Tensor
        (1,) or (C,), -4096 to 4096, truncated to integers: sine and cosine of a step times what the
        decay leaves.
    ref_decay, th_decay : Tensor
        (1,) or (C,), 0 to 4096, truncated to integers.
    real_state, imag_state, ref_state, th_state : Tensor
        The states before the first step, one element or (N, C, ...).
    th_scale, th0, w_scale, debug
        As in `adaptive_threshold.dynamics`.

    Returns
    -------
    real, imag, threshold, refractory : Tensor
        Shape and dtype of the inputs, as the imaginary part is compared with the last two.  The gradient takes the
        spikes as constants.

    Raises
    ------
    TypeError, ValueError
        For arguments of other types, shapes or ranges, or values beyond the fixed-point range.
    """
    grid = Grid(w_scale, real_input=real_input, imag_input=imag_input)
    states = tuple(
        grid.state(name, value)
        for name, value in (
            ("real_state", real_state),
            ("imag_state", imag_state),
            ("th_state", th_state),
            ("ref_state", ref_state),
        )
    )
    decays = (
        grid.decay("sin_decay", sin_decay, -4096),
        grid.decay("cos_decay", cos_decay, -4096),
        grid.decay("th_decay", th_decay),
        grid.decay("ref_decay", ref_decay),
    )
    constants = grid.level("th0", th0), grid.level("th_scale", th_scale)
    setting = _autograd.Setting(adrf_iz.FAMILY, constants, 1, 1, False, True, inputs=2)
    values: Any = _autograd.neurons(setting, states, (grid.up("real_input"), grid.up("imag_input")), decays)
    real, imag, threshold, refractory = (grid.down(value) for value in values[1:5])
    return real, imag, threshold, refractory
