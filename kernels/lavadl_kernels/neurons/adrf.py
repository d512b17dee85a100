"""ADRF: a resonate-and-fire neuron whose threshold rises and which is held back after a spike.

Recurrence, in integers of 1/4096, with sine and cosine of the rotation, times what the decay leaves, and the
two decays in 1/4096; re and im are not reset::

    re[t], im[t] = rotate(re[t-1], im[t-1]) + a[t]                    see `lavadl_kernels.resonator`
    s[t] = re[t] >= th[t] + r[t] and im[t] >= 0 and im[t-1] < 0       th, r: see `lavadl_kernels.adaptation`

The `slayer` integers have no width limit.  The `loihi` integers clip re and im to 24 bits, as Lava's RF
process model does; inside that width the two are the same.

Backward is the gradient of the surrogate model, with the spikes in th and r as constants: the slopes of
`lavadl_kernels.spike.phase_surrogate` to re[t] and im[t], and minus the first of them to th[t] + r[t].
Source: Lava-DL's adaptive RF neuron.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from lavadl_kernels.engine import train as dynamics
from lavadl_kernels.engine._optional_rows import lane_value, maybe_row, param_row, store
from lavadl_kernels.fixed_point import as_type_of, fixed, real, wrap32
from lavadl_kernels.neurons import _adaptation as adaptation
from lavadl_kernels.neurons import _resonator as resonator
from lavadl_kernels.neurons import rf
from lavadl_kernels.neurons._family import Family, register
from lavadl_kernels.neurons._surrogate import phase_surrogate
from lavadl_kernels.runtime.jit import prefer_512_bit, scalar

STATES = ("real", "imag", "threshold", "refractory")
DECAYS = ("sin_decay", "cos_decay", "threshold_decay", "refractory_decay")


@scalar
def step(
    re, im, th, r, a_re, a_im, sin_decay, cos_decay, threshold_decay, refractory_decay, threshold, threshold_step, loihi
):
    """One step of one neuron.

    Parameters
    ----------
    re, im, th, r : int
        Real and imaginary part, threshold and refractory state, 1/4096.
    a_re, a_im : int
        Synaptic input to real and imaginary part, bias included, 1/4096.
    sin_decay, cos_decay : int
        Sine and cosine of the angle of a step times what the decay leaves, 1/4096.
    threshold_decay, refractory_decay : int
        0 (perfect memory) to 4096 (none).
    threshold, threshold_step : int
        Threshold at rest and its rise by a spike, 1/4096.
    loihi : bool
        Whether re and im have the chip's 24 bits, and th and r its 32.

    Returns
    -------
    re, im, th, r, spike, level_th, level_r
        The new state, the spike, and the threshold and refractory state that re was compared with.
    """
    new_re, new_im = resonator.rotate(re, im, a_re, a_im, sin_decay, cos_decay, loihi)
    level_th, level_r = adaptation.relax(th, r, threshold_decay, refractory_decay, threshold)
    spike = new_re >= level_th + level_r and new_im >= 0 and im < 0
    th, r = adaptation.fire(level_th, level_r, spike, threshold_step, loihi)
    return new_re, new_im, th, r, spike, level_th, level_r


def forward(neuron, x, state, graded=False, traces=False, keep=False):
    """Run inputs (real, imag), each (T, M), through neurons; see `dynamics.forward`.

    A graded spike has the size of the real part.
    """
    return dynamics.forward(neuron, x, state, graded, traces, keep)


def backward(neuron, x, state, tau, scale, grad_spike, grad_trace=None, graded=False, checkpoints=None):
    """Gradients of `forward`; see `dynamics.backward`."""
    return dynamics.backward(neuron, x, state, tau, scale, grad_spike, grad_trace, graded, checkpoints)


def advancing(step, part):
    """`advance` of an adaptive resonator with this `step`, graded spikes having the size of state `part`."""

    def advance(neuron, state, decay, x, spike, trace, t, lo, graded):
        n = spike.size
        lanes(
            state[0, :n], state[1, :n], state[2, :n], state[3, :n],
            param_row(decay, 0, n), param_row(decay, 1, n), param_row(decay, 2, n), param_row(decay, 3, n),
            neuron.threshold, neuron.threshold_step, x[0], x[1], spike, maybe_row(trace, 0, t, lo, n),
            maybe_row(trace, 1, t, lo, n), maybe_row(trace, 2, t, lo, n), maybe_row(trace, 3, t, lo, n), graded,
        )  # fmt: skip

    @scalar
    def lanes(
        re, im, th, r, sin, cos, td, rd, threshold, threshold_step,
        x_re, x_im, spike, re_row, im_row, th_row, r_row, graded,
    ):  # fmt: skip
        prefer_512_bit()
        base, rise = as_type_of(threshold, re), as_type_of(threshold_step, re)
        for i in range(spike.size):
            re[i], im[i], th[i], r[i], s, level_th, level_r = step(
                re[i], im[i], th[i], r[i], fixed(x_re[i], re[i]), fixed(x_im[i], re[i]),
                lane_value(sin, i), lane_value(cos, i), lane_value(td, i), lane_value(rd, i), base, rise, False,
            )  # fmt: skip
            store(re_row, i, real(re[i]))
            store(im_row, i, real(im[i]))
            store(th_row, i, real(level_th))
            store(r_row, i, real(level_r))
            size = real(im[i] if part else re[i]) if graded else np.float32(1)
            spike[i] = size if s else np.float32(0)

    return advance


def deploying(step, part):
    """The deployed `advance` of an adaptive resonator with this `step`; `part` as in `advancing`."""

    def deploy(neuron, state, i, a, b, loihi):
        re, im, th, r, d = state[0, i], state[1, i], state[2, i], state[3, i], neuron.decay
        rest, rise = neuron.threshold, neuron.threshold_step
        fre, fim, fth, fr, fs, _, _ = step(re, im, th, r, a, b, d[0, i], d[1, i], d[2, i], d[3, i], rest, rise, False)
        nre, nim, nth, nr, ns, _, _ = step(
            re, im, th, r, wrap32(a), wrap32(b), d[0, i], d[1, i], d[2, i], d[3, i], rest, rise, True
        )
        state[0, i], state[1, i], state[2, i], state[3, i] = (nre, nim, nth, nr) if loihi else (fre, fim, fth, fr)
        far = fre != nre or fim != nim or fth != nth or fr != nr
        return (ns if loihi else fs), state[part, i], far

    return deploy


def _advance_adjoint(
    neuron, share, trace, spike, t, grad_spike, grad_trace, gt, glo, adjoint, grad_x, grad_decay, tau, scale, graded
):
    n = grad_spike.size
    _slopes(
        grad_spike, trace[0, t, :n], trace[1, t, :n], trace[2, t, :n], trace[3, t, :n],
        grad_x[0], grad_x[1], tau, scale, graded,
    )  # fmt: skip
    adaptation.adjoint(
        grad_x[0], share, np.float32(neuron.threshold / 4096), np.float32(neuron.threshold_step / 4096),
        trace, spike, t, 2, grad_trace, gt, glo, adjoint, grad_decay,
    )  # fmt: skip
    resonator.adjoint(share, trace, spike, t, np.float32(np.nan), grad_trace, gt, glo, adjoint, grad_x, grad_decay)


@scalar
def _slopes(grad_spike, re, im, th, r, grad_re, grad_im, tau, scale, graded):
    prefer_512_bit()
    for i in range(grad_spike.size):
        to_re, to_im = phase_surrogate(re[i], im[i], th[i] + r[i], tau, scale, graded)
        grad_re[i], grad_im[i] = grad_spike[i] * to_re, grad_spike[i] * to_im


class Adrf(NamedTuple):
    """Parameters of a layer, integers of 1/4096."""

    decay: np.ndarray[Any, Any]  #: (4, M) int64, in the order of `DECAYS`
    threshold: int
    threshold_step: int

    def gain(self, steps: int) -> float:
        """How many times inputs and initial states, whichever is larger, the states can come to."""
        return float(resonator.gain(self.decay, steps))

    def state_bound(self, state: np.ndarray[Any, Any], steps: int) -> int:
        """What threshold and refractory state can come to, 1/4096."""
        return int(adaptation.state_bound(self, state, steps))


Parameters = Adrf
FAMILY = register(
    Family(
        "ADRF_PHASE",
        Adrf,
        step,
        deploying(step, 0),
        STATES,
        DECAYS,
        advance=advancing(step, 0),
        advance_adjoint=_advance_adjoint,
        constants=("threshold", "threshold_step"),
        inputs=("real_input", "imag_input"),
        by_phase=True,
        carried="real",
        rest={"threshold": "threshold"},
        without_adaptation=rf.FAMILY,
    )
)
