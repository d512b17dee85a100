"""RF-IZ: Izhikevich's resonate-and-fire neuron, which spikes on its imaginary part and is reset.

Recurrence, in integers of 1/4096, with sine and cosine of the rotation, times what the decay leaves, in 1/4096::

    re[t], im[t] = rotate(re[t-1], im[t-1]) + a[t]               see `neurons._resonator`
    s[t] = im[t] >= threshold                                    equality spikes
    re[t], im[t] = 0, threshold - 1 if s[t]

The `slayer` integers have no width limit.  The `loihi` integers clip both parts to 24 bits, as Lava's
process model does; inside that width the two are the same.

Backward is the gradient of the surrogate model: the slope `neurons._surrogate.surrogate` to im[t] before
its reset, the reset itself as identity, carried back as `neurons._resonator` says.  Source: Lava's RF_IZ process
model, Lava-DL's RF-IZ neuron.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from lavadl_kernels.engine._arguments import AdjointStep, Surrogate
from lavadl_kernels.fixed_point import as_type_of
from lavadl_kernels.neurons import _resonator as resonator
from lavadl_kernels.neurons._family import register
from lavadl_kernels.neurons._reach import Drive, Reach, within
from lavadl_kernels.neurons._surrogate import ThroughImaginary
from lavadl_kernels.runtime.array_types import Array
from lavadl_kernels.runtime.jit import scalar


@scalar
def step(re: Any, im: Any, a_re: Any, a_im: Any, sin_decay: Any, cos_decay: Any, threshold: Any, loihi: bool) -> Any:
    """Take one step of one neuron; arguments as in `rf.step`, all integers of 1/4096.

    Returns
    -------
    re, im, spike, real, imag
        The new state, the spike, and real and imaginary part before the reset.
    """
    real, imag = resonator.rotate(re, im, a_re, a_im, sin_decay, cos_decay, loihi)
    spike = imag >= threshold
    return (
        (as_type_of(0, real) if spike else real),
        (threshold - as_type_of(1, imag) if spike else imag),
        spike,
        real,
        imag,
    )


def _advance_adjoint(neuron: RfIz, at: AdjointStep, surrogate: Surrogate) -> None:
    spike, level = at.arriving.spike, np.float32(neuron.threshold / 4096)
    way = ThroughImaginary(spike, at.history.trace[1, at.t, : spike.size], level, None, surrogate)
    # a reset brings the imaginary part to one unit below the threshold
    resonator.adjoint(way, at, np.float32((neuron.threshold - 1) / 4096))


class RfIz(NamedTuple):
    """Parameters of a layer, integers of 1/4096."""

    decay: Array  #: (2, M) int64, in the order of ``FAMILY.decays``
    threshold: int


def _reach(neuron: RfIz, drive: Drive) -> Reach:
    """The ranges of both parts: `Family.reach`."""
    states = resonator.parts_reach(neuron, drive, neuron.threshold - 1)
    high = states["imag"].high
    return Reach(states, {}, within(0, high), high >= neuron.threshold)


Parameters = RfIz
FAMILY = register(
    resonator.resonating(
        "RF_IZHIKEVICH",
        RfIz,
        step,
        _advance_adjoint,
        reach=_reach,
        spikes_at_equality=True,
        carried="imag",
        resets=resonator.STATES,
    )
)
