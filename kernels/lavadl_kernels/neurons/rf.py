"""RF: a resonate-and-fire neuron that spikes at a phase of its oscillation.

Recurrence, in integers of 1/4096, with sine and cosine of the rotation, times what the decay leaves, in 1/4096::

    re[t], im[t] = rotate(re[t-1], im[t-1]) + a[t]               see `neurons._resonator`
    s[t] = re[t] >= threshold and im[t] >= 0 and im[t-1] < 0     nothing is reset

The `slayer` integers have no width limit.  The `loihi` integers clip both parts to 24 bits, as Lava's
process model does; inside that width the two are the same.

Backward is the gradient of the surrogate model: the slopes of `neurons._surrogate.phase_surrogate`
to re[t] and im[t], carried back as `neurons._resonator` says.  Source: Lava's RF process model, Lava-DL's RF neuron.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from lavadl_kernels.engine._arguments import AdjointStep, Surrogate
from lavadl_kernels.neurons import _resonator as resonator
from lavadl_kernels.neurons._family import register
from lavadl_kernels.neurons._reach import Drive, Reach, within
from lavadl_kernels.neurons._surrogate import ThroughPhase
from lavadl_kernels.runtime.array_types import Array
from lavadl_kernels.runtime.jit import scalar


@scalar
def step(re: Any, im: Any, a_re: Any, a_im: Any, sin_decay: Any, cos_decay: Any, threshold: Any, loihi: bool) -> Any:
    """Take one step of one neuron.

    Parameters
    ----------
    re, im : int
        Real and imaginary state, 1/4096.
    a_re, a_im : int
        Synaptic input to the two, bias included, 1/4096.
    sin_decay, cos_decay : int
        Sine and cosine of the angle of a step times what the decay leaves, 1/4096.
    threshold : int
        1/4096.
    loihi : bool
        Whether the states have the chip's 24 bits.

    Returns
    -------
    re, im, spike
        The new state, which nothing resets, and the spike.
    """
    new_re, new_im = resonator.rotate(re, im, a_re, a_im, sin_decay, cos_decay, loihi)
    return new_re, new_im, new_re >= threshold and new_im >= 0 and im < 0


def _advance_adjoint(neuron: Rf, at: AdjointStep, surrogate: Surrogate) -> None:
    trace, t, spike = at.history.trace, at.t, at.arriving.spike
    n, level = spike.size, np.float32(neuron.threshold / 4096)
    way = ThroughPhase(spike, (trace[0, t, :n], trace[1, t, :n]), level, None, surrogate)
    resonator.adjoint(way, at, resonator.NO_RESET)


class Rf(NamedTuple):
    """Parameters of a layer, integers of 1/4096."""

    decay: Array  #: (2, M) int64, in the order of ``FAMILY.decays``
    threshold: int


def _reach(neuron: Rf, drive: Drive) -> Reach:
    """The ranges of both parts: `Family.reach`."""
    states = resonator.parts_reach(neuron, drive)
    high = states["real"].high
    return Reach(states, {}, within(0, high), high >= neuron.threshold)


Parameters = Rf
FAMILY = register(
    resonator.resonating("RF_PHASE", Rf, step, _advance_adjoint, reach=_reach, by_phase=True, carried="real")
)
