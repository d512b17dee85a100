"""RF: a resonate-and-fire neuron that spikes at a phase of its oscillation.

Recurrence, in integers of 1/4096, with sine and cosine of the rotation, times what the decay leaves, in 1/4096::

    re[t], im[t] = rotate(re[t-1], im[t-1]) + a[t]               see `lavadl_kernels.resonator`
    s[t] = re[t] >= threshold and im[t] >= 0 and im[t-1] < 0     nothing is reset

The `slayer` integers have no width limit.  The `loihi` integers clip both parts to 24 bits, as Lava's
process model does; inside that width the two are the same.

Backward is the gradient of the surrogate model: the slopes of `lavadl_kernels.spike.phase_surrogate`
to re[t] and im[t], carried back as `resonator` says.  Source: Lava's RF process model, Lava-DL's RF neuron.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from lavadl_kernels.engine import train as dynamics
from lavadl_kernels.neurons import _resonator as resonator
from lavadl_kernels.neurons._family import Family, register
from lavadl_kernels.neurons._surrogate import phase_surrogate
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
    re, im, spike
        The new state, which nothing resets, and the spike.
    """
    new_re, new_im = resonator.rotate(re, im, a_re, a_im, sin_decay, cos_decay, loihi)
    return new_re, new_im, new_re >= threshold and new_im >= 0 and im < 0


def forward(neuron, x, state, graded=False, traces=False, keep=False):
    """Run inputs (real, imag), each (T, M), through neurons; see `dynamics.forward`.

    A graded spike has the size of the real part.
    """
    return dynamics.forward(neuron, x, state, graded, traces, keep)


def backward(neuron, x, state, tau, scale, grad_spike, grad_trace=None, graded=False, checkpoints=None):
    """Gradients of `forward`; see `dynamics.backward`."""
    return dynamics.backward(neuron, x, state, tau, scale, grad_spike, grad_trace, graded, checkpoints)


@scalar
def _step(re, im, a_re, a_im, sin_decay, cos_decay, threshold, loihi):
    """`step`, and both parts again as they were compared."""
    re, im, spike = step(re, im, a_re, a_im, sin_decay, cos_decay, threshold, loihi)
    return re, im, spike, re, im


def _advance_adjoint(
    neuron, share, trace, spike, t, grad_spike, grad_trace, gt, glo, adjoint, grad_x, grad_decay, tau, scale, graded
):
    n = grad_spike.size
    _slopes(
        grad_spike, trace[0, t, :n], trace[1, t, :n], np.float32(neuron.threshold / 4096),
        grad_x[0], grad_x[1], tau, scale, graded,
    )  # fmt: skip
    resonator.adjoint(share, trace, spike, t, np.float32(np.nan), grad_trace, gt, glo, adjoint, grad_x, grad_decay)


@scalar
def _slopes(grad_spike, re, im, level, grad_re, grad_im, tau, scale, graded):
    prefer_512_bit()
    for i in range(grad_spike.size):
        to_re, to_im = phase_surrogate(re[i], im[i], level, tau, scale, graded)
        grad_re[i], grad_im[i] = grad_spike[i] * to_re, grad_spike[i] * to_im


class Rf(NamedTuple):
    """Parameters of a layer, integers of 1/4096."""

    decay: np.ndarray[Any, Any]  #: (2, M) int64, in the order of `DECAYS`
    threshold: int

    def gain(self, steps: int) -> float:
        """How many times inputs and initial states, whichever is larger, the states can come to."""
        return float(resonator.gain(self.decay, steps))

    def state_bound(self, state: np.ndarray[Any, Any], steps: int) -> int:
        """No state moves away from rest without input."""
        return 0


Parameters = Rf
FAMILY = register(
    Family(
        "RF_PHASE",
        Rf,
        step,
        resonator.deploying(_step, 0),
        STATES,
        DECAYS,
        advance=resonator.advancing(_step, 0),
        advance_adjoint=_advance_adjoint,
        inputs=("real_input", "imag_input"),
        by_phase=True,
        carried="real",
    )
)
