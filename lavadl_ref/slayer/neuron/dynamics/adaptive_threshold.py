"""Threshold and refractory state of ALIF."""

from __future__ import annotations

from torch import Tensor

from lavadl_ref.slayer.neuron.dynamics import _levels
from lavadl_ref.slayer.neuron.dynamics._grid import Grid
from lavadl_ref.slayer.neuron.dynamics._levels import persistent_ref_state, persistent_th_state

__all__ = ["dynamics", "persistent_ref_state", "persistent_th_state"]


def dynamics(
    input: Tensor,
    ref_state: Tensor,
    ref_decay: Tensor,
    th_state: Tensor,
    th_decay: Tensor,
    th_scale: float,
    th0: float,
    w_scale: float,
    debug: bool = False,
) -> tuple[Tensor, Tensor]:
    """The threshold that follows a voltage's spikes, with the arithmetic of `lavadl_kernels.adaptation`.

    Parameters
    ----------
    input : Tensor
        The voltage, (N, C, ..., T), (C, T) or (T,), floating, units of 1; truncated to 1 / w_scale.  It spikes where
        it reaches the sum of threshold and refractory state.
    ref_state, th_state : Tensor
        Refractory state and threshold before the first step, one element or (N, C, ...).
    ref_decay, th_decay : Tensor
        (1,) or (C,), 0 to 4096, truncated to integers.
    th_scale : float
        Rise of the threshold by a spike, truncated to 1 / w_scale.
    th0 : float
        Threshold at rest, truncated to 1 / w_scale.
    w_scale : int
        Integers per unit of the state, a power of two.
    debug : bool
        Has no effect: there is one implementation.

    Returns
    -------
    threshold, refractory : Tensor
        Shape and dtype of `input`, as the voltage is compared with them.  The gradient takes the spikes as
        constants: it goes to the decays, not to `input`.

    Raises
    ------
    TypeError, ValueError
        For arguments of other types, shapes or ranges, or values beyond the fixed-point range.
    """
    grid = Grid(w_scale, input=input)
    return _levels.run(grid, "input", None, (th_state, ref_state), (th_decay, ref_decay), (th0, th_scale))
