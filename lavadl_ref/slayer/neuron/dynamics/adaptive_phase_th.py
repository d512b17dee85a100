"""Threshold and refractory state of ADRF."""

from __future__ import annotations

from torch import Tensor

from lavadl_ref.slayer.neuron.dynamics import _levels
from lavadl_ref.slayer.neuron.dynamics._grid import Grid
from lavadl_ref.slayer.neuron.dynamics._levels import persistent_ref_state, persistent_th_state

__all__ = ["dynamics", "persistent_ref_state", "persistent_th_state"]


def dynamics(
    re_input: Tensor,
    im_input: Tensor,
    im_state: Tensor,
    ref_state: Tensor,
    ref_decay: Tensor,
    th_state: Tensor,
    th_decay: Tensor,
    th_scale: float,
    th0: float,
    w_scale: float,
    debug: bool = False,
) -> tuple[Tensor, Tensor]:
    """The threshold that follows an oscillation's spikes, with the arithmetic of `lavadl_kernels.adaptation`.

    Parameters
    ----------
    re_input, im_input : Tensor
        The oscillation, (N, C, ..., T), (C, T) or (T,), floating, units of 1; truncated to 1 / w_scale.  It spikes
        where the imaginary part comes from below zero while the real part reaches threshold and refractory state.
    im_state, ref_state, th_state : Tensor
        Imaginary part, refractory state and threshold before the first step, one element or (N, C, ...).
    ref_decay, th_decay : Tensor
        (1,) or (C,), 0 to 4096, truncated to integers.
    th_scale, th0, w_scale, debug
        As in `adaptive_threshold.dynamics`.

    Returns
    -------
    threshold, refractory : Tensor
        Shape and dtype of the inputs, as the real part is compared with them; gradients as there.

    Raises
    ------
    TypeError, ValueError
        For arguments of other types, shapes or ranges, or values beyond the fixed-point range.
    """
    grid = Grid(w_scale, re_input=re_input, im_input=im_input)
    phase = "im_input", im_state
    return _levels.run(grid, "re_input", phase, (th_state, ref_state), (th_decay, ref_decay), (th0, th_scale))
