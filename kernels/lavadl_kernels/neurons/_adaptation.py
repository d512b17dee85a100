"""The adaptive threshold and the refractory state that ALIF and ADRF neurons share.

Recurrence, in integers of 1/4096, with the decays in 1/4096::

    th[t] = leak(thc[t-1] - threshold, threshold_decay) + threshold
    r[t]  = leak(rc[t-1], refractory_decay)
    s[t]  = value >= th[t] + r[t]                  equality spikes
    thc[t] = th[t] + threshold_step * s[t]
    rc[t]  = r[t] + 2 th[t] s[t]

Backward takes the spikes in this recurrence as constants, as it does with a reset; the
surrogate model's spike depends on value - (th + r) alone, so with g[t] the gradient to the value
that comes through the spike::

    g_r[t]  = -g[t] + (1 - refractory_decay / 4096) g_r[t+1]
    g_th[t] = -g[t] + (1 - threshold_decay / 4096) g_th[t+1] + 2 s[t] (1 - refractory_decay / 4096) g_r[t+1]
    g_refractory_decay = -sum_t g_r[t] rc[t-1] / 4096
    g_threshold_decay  = -sum_t g_th[t] (thc[t-1] - threshold) / 4096

Source: Lava-DL's adaptive neurons, for the recurrence; they have no gradient to these decays.
"""

from __future__ import annotations

import math

import numpy as np

from lavadl_kernels.engine._optional_rows import add, lane_value, maybe_row, param_row
from lavadl_kernels.fixed_point import as_type_of, fixed, leak, leaky_gain, run_in_float64_or_int64, wrap32
from lavadl_kernels.neurons._leaky_integrator import CHUNK
from lavadl_kernels.runtime.jit import kernel, prefer_512_bit, scalar


@scalar
def relax(th, r, threshold_decay, refractory_decay, threshold):
    """Threshold and refractory state that this step's value is compared with."""
    return leak(th - threshold, threshold_decay) + threshold, leak(r, refractory_decay)


@scalar
def fire(th, r, spike, threshold_step, loihi):
    """Threshold and refractory state after the spike, if there was one; `loihi` gives them 32 bits."""
    none = as_type_of(0, th)
    new_th, new_r = th + (threshold_step if spike else none), r + (th + th if spike else none)
    if loihi:
        return wrap32(new_th), wrap32(new_r)
    return new_th, new_r


def state_bound(neuron, state, steps):
    """The largest magnitude that threshold and refractory state can have within `steps` steps, 1/4096."""
    return _growth(state[2:], neuron.decay[2:], int(neuron.threshold), int(neuron.threshold_step), steps)


def _growth(state, decay, threshold, threshold_step, steps):
    # a spike at every step: th - threshold sums up threshold_step as `leaky_gain` has it, beside what it began with,
    # and th itself cannot rise by more than that a step; r sums up twice the threshold
    start = int(np.abs(state).max(initial=0))
    rest, rise, held = abs(threshold), abs(threshold_step), math.ceil(leaky_gain(decay[0], steps))
    level = min(max(start, rest) + steps * rise, 2 * rest + start + held * rise)
    return start + level * (2 * math.ceil(leaky_gain(decay[1], steps)) + 1)


@scalar
def adjoint(slope, share, base, threshold_step, trace, spike, t, first, grad_trace, gt, glo, state, grad_decay):
    """Adjoint of one step of `relax` and `fire` over lanes.

    `slope` is the gradient to the value through the spike; decays are rows `first`, `first + 1` of
    `share` and `grad_decay`, states rows `first`, `first + 1` of `trace` and `state`; `base` and
    `threshold_step` are in units of 1.
    """
    n = slope.size
    _adjoint(
        slope, param_row(share, first, n), param_row(share, first + 1, n), base, threshold_step,
        trace[first, t - 1, :n], trace[first + 1, t - 1, :n], spike[t - 1, :n], trace[first, t, :n], spike[t, :n],
        maybe_row(grad_trace, first, gt, glo, n), maybe_row(grad_trace, first + 1, gt, glo, n),
        state[first, :n], state[first + 1, :n], grad_decay[first, :n], grad_decay[first + 1, :n],
    )  # fmt: skip


@scalar
def _adjoint(
    slope, threshold_decay, refractory_decay, base, threshold_step, th_before, r_before, s_before, th, s,
    grad_th, grad_r, gth, gr, g_threshold_decay, g_refractory_decay,
):  # fmt: skip
    prefer_512_bit()
    for i in range(slope.size):
        later = (np.float32(1) - lane_value(refractory_decay, i)) * gr[i]
        fired = np.float32(2) * later if s[i] != 0 else np.float32(0)
        to_th = add((np.float32(1) - lane_value(threshold_decay, i)) * gth[i] + fired, grad_th, i) - slope[i]
        to_r = add(later, grad_r, i) - slope[i]
        gth[i], gr[i] = to_th, to_r
        raised = threshold_step if s_before[i] != 0 else np.float32(0)
        rested = np.float32(2) * th_before[i] if s_before[i] != 0 else np.float32(0)
        g_threshold_decay[i] -= to_th * (th_before[i] + raised - base)
        g_refractory_decay[i] -= to_r * (r_before[i] + rested)


# The adaptation by itself, of values that are given: a family's `step` has its own way to them.


def levels(value, allowed, th, r, threshold_decay, refractory_decay, threshold, threshold_step):
    """Threshold and refractory state over time of neurons whose values are given.

    Parameters
    ----------
    value : ndarray
        (T, M) float32, units of 1; truncated to 1/4096.
    allowed : ndarray
        (T, M) bool, where a spike is possible at all; (0, 0) for everywhere.
    th, r, threshold_decay, refractory_decay : ndarray
        (M,) int64, 1/4096.
    threshold, threshold_step : int
        1/4096.

    Returns
    -------
    th, r : ndarray
        (T, M) float32, units of 1, as the value is compared with them.
    spike : ndarray
        (T, M) bool.

    Raises
    ------
    ValueError
        If a value is not finite or has no exact fixed-point value.
    """
    th_trace, r_trace = np.empty_like(value), np.empty_like(value)
    spike = np.empty(value.shape, np.bool_)

    def run(bound, zero):
        return _levels(
            th.size, value, allowed, th, r, threshold_decay, refractory_decay, threshold, threshold_step,
            bound, zero, th_trace, r_trace, spike,
        )  # fmt: skip

    state = np.concatenate([th, r])
    decay = threshold_decay, refractory_decay
    run_in_float64_or_int64(run, (value,), state, 1, _growth(state, decay, threshold, threshold_step, len(value)))
    return th_trace, r_trace, spike


@kernel
def _levels(
    begin, end, value, allowed, th, r, threshold_decay, refractory_decay, threshold, threshold_step,
    bound, zero, th_trace, r_trace, spike,
):  # fmt: skip
    beyond = np.int32(0)
    for lo in range(begin, end, CHUNK):
        hi = min(lo + CHUNK, end)
        n = hi - lo
        thc, rc, td, rd = np.full(n, zero), np.full(n, zero), np.full(n, zero), np.full(n, zero)
        for i in range(n):
            thc[i], rc[i], td[i], rd[i] = th[lo + i], r[lo + i], threshold_decay[lo + i], refractory_decay[lo + i]
        for t in range(value.shape[0]):
            row, th_row, r_row, s_row = value[t, lo:hi], th_trace[t, lo:hi], r_trace[t, lo:hi], spike[t, lo:hi]
            for i in range(n):
                beyond |= np.int32(not (abs(row[i] * np.float32(4096.0)) < bound))
                level_th, level_r = relax(thc[i], rc[i], td[i], rd[i], threshold)
                th_row[i], r_row[i] = level_th * (1 / 4096), level_r * (1 / 4096)
                s_row[i] = fixed(row[i], zero) >= level_th + level_r and (allowed.shape[0] == 0 or allowed[t, lo + i])
                thc[i], rc[i] = fire(level_th, level_r, s_row[i], threshold_step, False)
    return beyond == 0


def levels_backward(grad_th, grad_r, traces, state, threshold_decay, refractory_decay, threshold, threshold_step):
    """Gradients of `levels` to the two decays; the values have none, they only decide which spikes there are.

    Parameters
    ----------
    grad_th, grad_r : ndarray
        (T, M) float32.
    traces : tuple of ndarray
        What `levels` returned.
    state : tuple of ndarray
        th and r that it was given.
    threshold_decay, refractory_decay, threshold, threshold_step
        As it was given.

    Returns
    -------
    grad_threshold_decay, grad_refractory_decay : ndarray
        (M,) float64, per unit of the decay integers.
    """
    th, r, spike = traces
    share = np.stack([threshold_decay, refractory_decay]).astype(np.float32) * np.float32(1 / 4096)
    first = np.stack(state).astype(np.float64) / 4096
    grad_decay = np.zeros(share.shape, np.float64)
    _levels_backward(
        share.shape[1], grad_th, grad_r, th, r, spike, first.astype(np.float32), share,
        np.float32(threshold / 4096), np.float32(threshold_step / 4096), grad_decay,
    )  # fmt: skip
    grad_decay *= 1 / 4096
    return grad_decay[0], grad_decay[1]


@kernel
def _levels_backward(begin, end, grad_th, grad_r, th, r, spike, first, share, base, threshold_step, grad_decay):
    n = end - begin
    none, silent = np.zeros(n, np.float32), np.zeros(n, np.bool_)
    gth, gr = np.zeros(n, np.float32), np.zeros(n, np.float32)
    for t in range(th.shape[0] - 1, -1, -1):
        _adjoint(
            none, share[0, begin:end], share[1, begin:end], base, threshold_step,
            th[t - 1, begin:end] if t > 0 else first[0, begin:end],
            r[t - 1, begin:end] if t > 0 else first[1, begin:end],
            spike[t - 1, begin:end] if t > 0 else silent,
            th[t, begin:end], spike[t, begin:end], grad_th[t, begin:end], grad_r[t, begin:end], gth, gr,
            grad_decay[0, begin:end], grad_decay[1, begin:end],
        )  # fmt: skip
