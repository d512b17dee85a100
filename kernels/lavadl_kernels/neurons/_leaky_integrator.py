"""The leaky integrator, of which current and voltage are made.

Recurrence, in integers of 1/4096, with decay in 1/4096 and input x::

    y[t] = leak(c[t-1], decay) + x[t]        leak rounds toward zero
    s[t] = y[t] > threshold
    c[t] = 0 if s[t] else y[t]

Backward is the gradient of the same recurrence in real numbers with rounding and reset
taken as identity (the surrogate model of SLAYER)::

    gx[t]   = (1 - decay / 4096) * gx[t+1] + gy[t]
    g_decay = -sum_t gx[t] * c[t-1] / 4096

Arrays are time-major: (T, M), where the M lanes are independent neurons.  Real values are
float32 in units of 1; states are int64 in 1/4096; decays are int64 in 1/4096, one per lane.
"""

from __future__ import annotations

import numpy as np

from lavadl_kernels.engine._optional_rows import add, lane_value, maybe_row, param_row
from lavadl_kernels.fixed_point import NEVER, as_type_of, chain_gain, fixed, leak, run_in_float64_or_int64
from lavadl_kernels.runtime.buffers import empty_like
from lavadl_kernels.runtime.jit import kernel, prefer_512_bit, scalar

CHUNK = 512  # lanes per task: their states stay in the first-level cache


@scalar
def step(state, x, decay, threshold):
    """One step: returns the carried state, the spike, and the value before the reset."""
    y = leak(state, decay) + x
    spike = y > threshold
    return (as_type_of(0, y) if spike else y), spike, y


def forward(x, state, decay, threshold=NEVER):
    """Integrate real inputs.

    Parameters
    ----------
    x : ndarray
        (T, M) float32, units of 1.
    state, decay : ndarray
        (M,) int64, 1/4096.
    threshold : int
        1/4096; by default the state is never reset.

    Returns
    -------
    y : ndarray
        (T, M) float32, the value before each reset.
    state : ndarray
        (M,) int64, the state after the last step.
    rounded : bool
        Whether a value passed 2**24 units of 1/4096, beyond which `y` has the nearest float32.
    """
    y = empty_like(x)
    after = np.empty_like(state)
    rounded = np.zeros(state.size, np.bool_)

    def run(bound, zero):
        return _forward(state.size, x, state, decay, threshold, bound, zero, y, after, rounded)

    run_in_float64_or_int64(run, (x,), state, chain_gain((decay,), x.shape[0]))
    return y, after, bool(rounded.any())


@kernel
def _forward(begin, end, x, state, decay, threshold, bound, zero, y, after, rounded):
    steps = x.shape[0]
    beyond, large = np.int32(0), np.int32(0)
    for lo in range(begin, end, CHUNK):
        hi = min(lo + CHUNK, end)
        n = hi - lo
        c, d = np.full(n, zero), np.full(n, zero)
        for i in range(n):
            c[i], d[i] = state[lo + i], decay[lo + i]
        for t in range(steps):
            xr, yr = x[t, lo:hi], y[t, lo:hi]
            for i in range(n):
                beyond |= np.int32(not (abs(xr[i] * np.float32(4096.0)) < bound))
                carried, _, value = step(c[i], fixed(xr[i], zero), d[i], threshold)
                c[i] = carried
                large |= np.int32(abs(value) > 16777216)
                yr[i] = value * (1 / 4096)
        for i in range(n):
            after[lo + i] = np.int64(c[i])
        rounded[lo] = large != 0
    return beyond == 0


def backward(grad_y, y, state, decay, threshold=NEVER):
    """Gradients of `forward`.

    Parameters
    ----------
    grad_y, y : ndarray
        (T, M) float32: the incoming gradient and what `forward` returned.
    state, decay, threshold
        What `forward` was given.

    Returns
    -------
    grad_x : ndarray
        (T, M) float32.
    grad_decay : ndarray
        (M,) float64, per unit of the decay integer.
    """
    grad_x = empty_like(grad_y)
    grad_decay = np.zeros(state.shape, np.float64)
    _backward(state.size, grad_y, y, state, decay, threshold, grad_x, grad_decay)
    return grad_x, grad_decay


@kernel
def _backward(begin, end, grad_y, y, state, decay, threshold, grad_x, grad_decay):
    steps = grad_y.shape[0]
    level = np.float32(threshold / 4096)
    for lo in range(begin, end, CHUNK):
        hi = min(lo + CHUNK, end)
        n = hi - lo
        gd = grad_decay[lo:hi]
        keep = np.empty(n, np.float32)
        g = np.zeros(n, np.float32)
        first = np.empty(n, np.float32)
        for i in range(n):
            keep[i] = np.float32(1) - np.float32(decay[lo + i]) * np.float32(1 / 4096)
            first[i] = state[lo + i] * (1 / 4096)
        for t in range(steps - 1, -1, -1):
            gyr, gxr = grad_y[t, lo:hi], grad_x[t, lo:hi]
            before = y[t - 1, lo:hi] if t > 0 else first
            for i in range(n):
                g[i] = keep[i] * g[i] + gyr[i]
                gxr[i] = g[i]
                carried = np.float32(0) if before[i] > level and t > 0 else before[i]
                gd[i] -= np.float64(g[i] * carried) * (1 / 4096)


@scalar
def adjoint(share, trace, spike, t, reset, grad_trace, gt, glo, state, grad_x, grad_decay):
    """Adjoint over lanes of one step of two integrators in a chain: `grad_x` holds the gradient to the second's
    value through the spike, and is replaced by the one to the input.

    Rows 0 and 1 of all arrays are the first and the second integrator, in units of 1; with `reset` the second
    goes on from 0 after a spike.
    """
    n = grad_x.size
    _adjoint(
        param_row(share, 0, n), param_row(share, 1, n), trace[0, t - 1, :n], trace[1, t - 1, :n], spike[t - 1, :n],
        reset, maybe_row(grad_trace, 0, gt, glo, n), maybe_row(grad_trace, 1, gt, glo, n), state[0, :n], state[1, :n],
        grad_x, grad_decay[0, :n], grad_decay[1, :n],
    )  # fmt: skip


@scalar
def _adjoint(
    first_decay, second_decay, u_before, v_before, s_before, reset, grad_u, grad_v, gu, gv, gx, g_first, g_second
):
    prefer_512_bit()
    for i in range(gx.size):
        to_v = add((np.float32(1) - lane_value(second_decay, i)) * gv[i], grad_v, i) + gx[i]
        to_u = add((np.float32(1) - lane_value(first_decay, i)) * gu[i], grad_u, i) + to_v
        gv[i], gu[i], gx[i] = to_v, to_u, to_u
        carried = np.float32(0) if reset and s_before[i] != 0 else v_before[i]
        g_first[i] -= to_u * u_before[i]
        g_second[i] -= to_v * carried
