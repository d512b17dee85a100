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
from collections.abc import Callable
from typing import Any

import numpy as np

from lavadl_kernels.engine._arguments import AdjointStep
from lavadl_kernels.engine._optional_rows import add, lane_value, maybe_row, param_row
from lavadl_kernels.fixed_point import CLIPPED24, clip24, scale_to_zero, wrap32
from lavadl_kernels.neurons._family import Family
from lavadl_kernels.neurons._reach import Drive, Range, rotating
from lavadl_kernels.neurons._surrogate import to_parts
from lavadl_kernels.runtime.array_types import Integers
from lavadl_kernels.runtime.hints import distinct_rows
from lavadl_kernels.runtime.jit import prefer_512_bit, scalar
from lavadl_kernels.runtime.simd import multiply_add

#: States and decays of a resonator without adaptation, in the order of their rows, and the inputs of all resonators.
STATES = ("real", "imag")
DECAYS = ("sin_decay", "cos_decay")
INPUTS = ("real_input", "imag_input")

NO_RESET = np.float32(np.nan)  #: for `adjoint`: a spike leaves the state as it is


def resonating(
    name: str, parameters: type, step: Callable[..., Any], advance_adjoint: Callable[..., Any], **rows: Any
) -> Family:
    """Describe a resonator without adaptation, with these further `rows` of its record."""
    return Family(
        name,
        parameters,
        step,
        states=STATES,
        decays=DECAYS,
        inputs=INPUTS,
        advance_adjoint=advance_adjoint,
        tangent=tangent,
        gain=gain,
        width=24,
        limits=dict.fromkeys(STATES, CLIPPED24),
        **rows,
    )


@scalar
def rotate(re: Any, im: Any, a_re: Any, a_im: Any, sin_decay: Any, cos_decay: Any, loihi: bool) -> Any:
    """Take one step of one resonator; `loihi` clips both parts to the chip's 24 bits."""
    if loihi:
        a_re, a_im = wrap32(a_re), wrap32(a_im)
    new_re = scale_to_zero(re, cos_decay) - scale_to_zero(im, sin_decay) + a_re
    new_im = scale_to_zero(re, sin_decay) + scale_to_zero(im, cos_decay) + a_im
    if loihi:
        return clip24(new_re), clip24(new_im)
    return new_re, new_im


def gain(decay: Integers, steps: int) -> float:
    """Bound how many times inputs and initial states, whichever is larger, a resonator can come to in `steps` steps.

    A step takes the length z of (re, im) to at most rho z + sqrt(2) X + 4: rho is the root of the squares of sine and
    cosine, X the largest part of an input, and 4 is more than four roundings and a reset to a unit below the threshold
    add. From z of sqrt(2) B, with X up to B, no part passes sqrt(2) B (rho**steps + S) + 4 S, where S is
    1 + rho + ... of `steps` terms. Up to the largest S taken here the second term is smaller than what
    `fixed_point.input_bound` leaves beside the first.

    Parameters
    ----------
    decay : ndarray
        (P, M) or (P,) int64, sine and cosine in rows 0 and 1, 1/4096.
    steps : int
        Number of steps.

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


def parts_reach(neuron: Any, drive: Drive, reset: int | None = None) -> dict[str, Range]:
    """The ranges of both parts, by their names; `reset` as `_reach.rotating` takes it."""
    real, imag = drive.inputs
    re, im = rotating(neuron.decay, real, imag, drive.steps, reset)
    return dict(zip(STATES, (re, im), strict=True))


@scalar
def tangent(d_states: Any, d_inputs: Any, d_decays: Any, before: Any, decays: Any) -> tuple[Any, Any]:
    """The derivatives of both parts after a step of `rotate`: `Family.tangent` of these two states."""
    (re, im), (sin, cos), (d_sin, d_cos) = before[:2], decays[:2], d_decays[:2]
    to_re, to_im = d_inputs[0] + (d_cos * re - d_sin * im), d_inputs[1] + (d_sin * re + d_cos * im)
    return (
        multiply_add(cos, d_states[0], multiply_add(-sin, d_states[1], to_re)),
        multiply_add(cos, d_states[1], multiply_add(sin, d_states[0], to_im)),
    )


@scalar
def adjoint(way: Any, step: AdjointStep, reset: np.float32) -> None:
    """Take the adjoint over lanes of one step of `rotate`, rows 0 and 1 of all arrays being real and imaginary part.

    Parameters
    ----------
    way : ThroughPhase or ThroughImaginary or None
        The way of the gradients through the spike, which are then computed here, in the same loop.
    step : AdjointStep
        Rows 0 and 1 of its decays are sine and cosine.  ``leaving.x`` holds the gradients to the two parts through the
        spike, and is replaced by those to the inputs.
    reset : float32
        After a spike the next step sees re = 0 and im = `reset` in units of 1, if that is not `NO_RESET`.
    """
    decay_fraction, (trace, spike), t, arriving, adjoint, leaving = step
    n, now, lo = leaving.x[0].size, arriving.t, arriving.lo
    _adjoint(
        (param_row(decay_fraction, 0, n), param_row(decay_fraction, 1, n)),
        (trace[0, t - 1, :n], trace[1, t - 1, :n], spike[t - 1, :n]), reset,
        (maybe_row(arriving.trace, 0, now, lo, n), maybe_row(arriving.trace, 1, now, lo, n)),
        (adjoint[0, :n], adjoint[1, :n]), way, leaving.x, (leaving.decay[0, :n], leaving.decay[1, :n]),
    )  # fmt: skip


@scalar
def _adjoint(
    decays: Any, before: Any, reset: np.float32, grad_trace: Any, adjoint: Any, way: Any, grad_x: Any, grad_decay: Any
) -> None:
    sin_decay, cos_decay = decays
    re_before, im_before, s_before = before
    grad_re, grad_im = grad_trace
    gre, gim = adjoint
    gx_re, gx_im = grad_x
    g_sin, g_cos = grad_decay
    prefer_512_bit()
    distinct_rows()
    resets = not np.isnan(reset)
    for i in range(gx_re.size):
        sin, cos = lane_value(sin_decay, i), lane_value(cos_decay, i)
        to_re, to_im = to_parts(way, grad_x, i)
        re = add(multiply_add(cos, gre[i], multiply_add(sin, gim[i], to_re)), grad_re, i)
        im = add(multiply_add(cos, gim[i], multiply_add(-sin, gre[i], to_im)), grad_im, i)
        gre[i], gim[i] = re, im
        gx_re[i], gx_im[i] = re, im
        gone = resets and s_before[i] != 0
        was_re = np.float32(0) if gone else re_before[i]
        was_im = reset if gone else im_before[i]
        g_sin[i] = multiply_add(-re, was_im, multiply_add(im, was_re, g_sin[i]))
        g_cos[i] = multiply_add(im, was_im, multiply_add(re, was_re, g_cos[i]))
