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

from lavadl_kernels._jit import kernel, scalar
from lavadl_kernels.fixed_point import NEVER, fixed, input_bound, leak

CHUNK = 512  # lanes per task: their states stay in the first-level cache


@scalar
def step(state, x, decay, threshold):
    """One step: returns the carried state, the spike, and the value before the reset."""
    y = leak(state, decay) + x
    spike = y > threshold
    return (0 if spike else y), spike, y


def exact(run, x, states, stages):
    """Call `run(bound, zero)` with the fastest number type that holds every state exactly.

    `run` returns whether all inputs stayed within `bound`; `zero` gives the type of the states.

    Raises
    ------
    ValueError
        If an input is NaN, infinite, or too large for any fixed-point type.
    """
    steps = x.shape[0]
    largest = max((float(np.abs(s).max(initial=0)) for s in states), default=0.0)
    for zero in (np.float64(0), np.int64(0)):
        bound = input_bound(steps, stages, isinstance(zero, np.int64))
        if largest < bound and run(np.float32(bound), zero):
            return
    with np.errstate(invalid="ignore"):
        worst = float(np.abs(x).max(initial=0))
    raise ValueError(
        f"neuron input must be finite and below {bound / 4096:.3g} in magnitude over {steps} steps, found {worst}"
    )


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
    """
    y = np.empty_like(x)
    after = np.empty_like(state)

    def run(bound, zero):
        return _forward(state.size, x, state, decay, threshold, bound, zero, y, after)

    exact(run, x, [state], 1)
    return y, after


@kernel
def _forward(begin, end, x, state, decay, threshold, bound, zero, y, after):
    steps = x.shape[0]
    beyond = np.int32(0)
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
                yr[i] = value * (1 / 4096)
        for i in range(n):
            after[lo + i] = np.int64(c[i])
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
    grad_x = np.empty_like(grad_y)
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
