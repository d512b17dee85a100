"""The damped rotation that the resonate-and-fire families share.

Recurrence, in integers of 1/4096; sine and cosine carry the decay, in 1/4096, and every product
is rounded toward zero by itself::

    re[t] = cos re[t-1] - sin im[t-1] + a_re[t]
    im[t] = sin re[t-1] + cos im[t-1] + a_im[t]

Backward, with g the gradients that arrive at re[t] and im[t] from elsewhere::

    g_re[t] =  cos g_re[t+1] + sin g_im[t+1] + g
    g_im[t] = -sin g_re[t+1] + cos g_im[t+1] + g
    g_sin = sum_t (g_im[t] re[t-1] - g_re[t] im[t-1]) / 4096
    g_cos = sum_t (g_re[t] re[t-1] + g_im[t] im[t-1]) / 4096

Source: the fixed-point resonators of Lava and Lava-DL.
"""

from __future__ import annotations

import math

import numpy as np

from lavadl_kernels.engine._optional_rows import add, lane_value, maybe_row, param_row, store
from lavadl_kernels.fixed_point import as_type_of, clip24, fixed, real, scale_to_zero, wrap32
from lavadl_kernels.runtime.jit import prefer_512_bit, scalar


@scalar
def rotate(re, im, a_re, a_im, sin_decay, cos_decay, loihi):
    """One step of one resonator; `loihi` clips both parts to the chip's 24 bits."""
    if loihi:
        a_re, a_im = wrap32(a_re), wrap32(a_im)
    new_re = scale_to_zero(re, cos_decay) - scale_to_zero(im, sin_decay) + a_re
    new_im = scale_to_zero(re, sin_decay) + scale_to_zero(im, cos_decay) + a_im
    if loihi:
        return clip24(new_re), clip24(new_im)
    return new_re, new_im


def advancing(step, part):
    """`advance` of a resonator; graded spikes have the size of the real part (`part` 0) or the imaginary (1).

    `step` takes both states, both inputs, both decays, the threshold and `loihi`; it returns the new states,
    the spike, and both parts as they were compared.
    """

    def advance(neuron, state, decay, x, spike, trace, t, lo, graded):
        n = spike.size
        lanes(
            state[0, :n], state[1, :n], param_row(decay, 0, n), param_row(decay, 1, n), neuron.threshold,
            x[0], x[1], spike, maybe_row(trace, 0, t, lo, n), maybe_row(trace, 1, t, lo, n), graded,
        )  # fmt: skip

    @scalar
    def lanes(re, im, sin, cos, threshold, x_re, x_im, spike, re_row, im_row, graded):
        prefer_512_bit()
        level = as_type_of(threshold, re)
        for i in range(spike.size):
            a_re, a_im = fixed(x_re[i], re[i]), fixed(x_im[i], re[i])
            re[i], im[i], s, before, after = step(
                re[i], im[i], a_re, a_im, lane_value(sin, i), lane_value(cos, i), level, False
            )
            store(re_row, i, real(before))
            store(im_row, i, real(after))
            size = real(after if part else before) if graded else np.float32(1)
            spike[i] = size if s else np.float32(0)

    return advance


def deploying(step, part):
    """The deployed `advance` of a resonator with this `step`; `part` as in `advancing`."""

    def deploy(neuron, state, i, a, b, loihi):
        re, im, sin, cos, threshold = state[0, i], state[1, i], neuron.decay[0, i], neuron.decay[1, i], neuron.threshold
        fre, fim, fs, freal, fimag = step(re, im, a, b, sin, cos, threshold, False)
        nre, nim, ns, nreal, nimag = step(re, im, wrap32(a), wrap32(b), sin, cos, threshold, True)
        state[0, i], state[1, i] = (nre, nim) if loihi else (fre, fim)
        real, imag = (nreal, nimag) if loihi else (freal, fimag)
        return (ns if loihi else fs), (imag if part else real), freal != nreal or fimag != nimag

    return deploy


def gain(decay, steps):
    """How many times inputs and initial states, whichever is larger, a resonator can come to within `steps` steps.

    A step takes the length z of (re, im) to at most rho z + sqrt(2) X + 4: rho is the root of the squares of sine and
    cosine, X the largest part of an input, and 4 is more than four roundings and a reset to a unit below the threshold
    add. From z of sqrt(2) B, with X up to B, no part passes sqrt(2) B (rho**steps + S) + 4 S, where S is
    1 + rho + ... of `steps` terms. Up to the largest S taken here the second term is smaller than what
    `fixed_point.input_bound` leaves beside the first.

    Parameters
    ----------
    decay : ndarray
        Sine and cosine in rows 0 and 1, 1/4096.
    steps : int
        How long.

    Returns
    -------
    float
        Infinite where nothing is bounded.
    """
    rho = float(np.max(np.hypot(decay[0], decay[1]), initial=0)) / 4096
    if rho < 1:
        return 1 + min(float(steps), 1 / (1 - rho))
    if rho == 1:
        return 1 + float(steps)
    grown = math.exp(min(steps * math.log(rho), 64))
    total = grown + (grown - 1) / (rho - 1)
    return total if total < 2.0**36 else math.inf


@scalar
def adjoint(share, trace, spike, t, reset, grad_trace, gt, glo, state, grad_x, grad_decay):
    """Adjoint of one step of `rotate` over lanes: `grad_x` holds the gradients through the spike, and is replaced.

    Rows 0 and 1 of `share` and `grad_decay` are sine and cosine, of `trace` and `state` the two parts.
    After a spike the next step sees re = 0 and im = `reset` in units of 1, if that is not NaN.
    """
    n = grad_x[0].size
    _adjoint(
        param_row(share, 0, n), param_row(share, 1, n), trace[0, t - 1, :n], trace[1, t - 1, :n], spike[t - 1, :n],
        reset, maybe_row(grad_trace, 0, gt, glo, n), maybe_row(grad_trace, 1, gt, glo, n), state[0, :n], state[1, :n],
        grad_x[0], grad_x[1], grad_decay[0, :n], grad_decay[1, :n],
    )  # fmt: skip


@scalar
def _adjoint(
    sin_decay, cos_decay, re_before, im_before, s_before, reset, grad_re, grad_im, gre, gim, gx_re, gx_im, g_sin, g_cos
):
    prefer_512_bit()
    resets = not np.isnan(reset)
    for i in range(gx_re.size):
        sin, cos = lane_value(sin_decay, i), lane_value(cos_decay, i)
        re = add(cos * gre[i] + sin * gim[i] + gx_re[i], grad_re, i)
        im = add(cos * gim[i] - sin * gre[i] + gx_im[i], grad_im, i)
        gre[i], gim[i] = re, im
        gx_re[i], gx_im[i] = re, im
        gone = resets and s_before[i] != 0
        was_re = np.float32(0) if gone else re_before[i]
        was_im = reset if gone else im_before[i]
        g_sin[i] += im * was_re - re * was_im
        g_cos[i] += re * was_re + im * was_im
