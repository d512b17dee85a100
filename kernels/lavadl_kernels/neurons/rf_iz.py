"""RF-IZ: a resonate-and-fire neuron in the way of Izhikevich: it spikes on its imaginary part and is reset.

Recurrence, in integers of 1/4096, with sine and cosine of the rotation, times what the decay leaves, in 1/4096::

    re[t], im[t] = rotate(re[t-1], im[t-1]) + a[t]               see `lavadl_kernels.resonator`
    s[t] = im[t] >= threshold                                    equality spikes
    re[t], im[t] = 0, threshold - 1 if s[t]

The `slayer` integers have no width limit.  The `loihi` integers clip both parts to 24 bits, as Lava's
process model does; inside that width the two are the same.

Backward is the gradient of the surrogate model: the slope `lavadl_kernels.spike.surrogate` to im[t] before
its reset, the reset itself as identity, carried back as `resonator` says.  Source: Lava's RF_IZ process
model, Lava-DL's RF-IZ neuron.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from lavadl_kernels.engine import train as dynamics
from lavadl_kernels.fixed_point import as_type_of
from lavadl_kernels.neurons import _resonator as resonator
from lavadl_kernels.neurons._family import Family, register
from lavadl_kernels.neurons._surrogate import surrogate
from lavadl_kernels.runtime.jit import prefer_512_bit, scalar

STATES = ("real", "imag")
DECAYS = ("sin_decay", "cos_decay")


@scalar
def step(re, im, a_re, a_im, sin_decay, cos_decay, threshold, loihi):
    """One step of one neuron.

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


def forward(neuron, x, state, graded=False, traces=False, keep=False):
    """Run inputs (real, imag), each (T, M), through neurons; see `dynamics.forward`.

    A graded spike has the size of the imaginary part.
    """
    return dynamics.forward(neuron, x, state, graded, traces, keep)


def backward(neuron, x, state, tau, scale, grad_spike, grad_trace=None, graded=False, checkpoints=None):
    """Gradients of `forward`; see `dynamics.backward`."""
    return dynamics.backward(neuron, x, state, tau, scale, grad_spike, grad_trace, graded, checkpoints)


def _advance_adjoint(
    neuron, share, trace, spike, t, grad_spike, grad_trace, gt, glo, adjoint, grad_x, grad_decay, tau, scale, graded
):
    n = grad_spike.size
    level = np.float32(neuron.threshold / 4096)
    _slopes(grad_spike, trace[1, t, :n], level, grad_x[0], grad_x[1], tau, scale, graded)
    rest = np.float32((neuron.threshold - 1) / 4096)
    resonator.adjoint(share, trace, spike, t, rest, grad_trace, gt, glo, adjoint, grad_x, grad_decay)


@scalar
def _slopes(grad_spike, im, level, grad_re, grad_im, tau, scale, graded):
    prefer_512_bit()
    for i in range(grad_spike.size):
        grad_re[i] = 0
        grad_im[i] = grad_spike[i] * surrogate(im[i] - level, tau, scale, graded)


class RfIz(NamedTuple):
    """Parameters of a layer, integers of 1/4096."""

    decay: np.ndarray[Any, Any]  #: (2, M) int64, in the order of `DECAYS`
    threshold: int

    def gain(self, steps: int) -> float:
        """How many times inputs and initial states, whichever is larger, the states can come to."""
        return float(resonator.gain(self.decay, steps))

    def state_bound(self, state: np.ndarray[Any, Any], steps: int) -> int:
        """No state moves away from rest without input."""
        return 0


Parameters = RfIz
FAMILY = register(
    Family(
        "RF_IZHIKEVICH",
        RfIz,
        step,
        resonator.deploying(step, 1),
        STATES,
        DECAYS,
        advance=resonator.advancing(step, 1),
        advance_adjoint=_advance_adjoint,
        inputs=("real_input", "imag_input"),
        spikes_at_equality=True,
        carried="imag",
        resets=("real", "imag"),
    )
)
