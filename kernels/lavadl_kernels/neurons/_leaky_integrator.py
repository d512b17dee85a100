"""The leaky integrator, of which current and voltage are made.

Recurrence, in integers of 1/4096, with decay in 1/4096 and input x::

    y[t] = leak(c[t-1], decay) + x[t]        leak rounds toward zero
    s[t] = y[t] > threshold
    c[t] = 0 if s[t] else y[t]

Backward is the gradient of the same recurrence in real numbers with rounding and reset
taken as identity (the surrogate model of SLAYER)::

    gx[t]   = (1 - decay / 4096) * gx[t+1] + gy[t]
    g_decay = -sum_t gx[t] * c[t-1] / 4096

`adjoint` is that of one integrator, or of two in a chain: the gradient to the second's value is part of that to the
first's.

Arrays are time-major: (T, M), where the M lanes are independent neurons.  Real values are
float32 in units of 1; states are int64 in 1/4096; decays are int64 in 1/4096, one per lane.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lavadl_kernels.engine._arguments import AdjointStep
from lavadl_kernels.engine._optional_rows import add, lane_value, maybe_row, param_row
from lavadl_kernels.fixed_point import NEVER, as_type_of, chain_gain, fixed, leak, run_in_float64_or_int64
from lavadl_kernels.neurons._surrogate import Through, to_value
from lavadl_kernels.runtime.array_types import Array, Bools, Floats, Integers
from lavadl_kernels.runtime.buffers import empty_like
from lavadl_kernels.runtime.hints import distinct_rows
from lavadl_kernels.runtime.jit import kernel, prefer_512_bit, scalar
from lavadl_kernels.runtime.simd import multiply_add

CHUNK = 512  #: lanes per task: their states stay in the first-level cache


@scalar
def step(state: Any, x: Any, decay: Any, threshold: Any) -> Any:
    """Take one step; return the carried state, the spike, and the value before the reset."""
    y = leak(state, decay) + x
    spike = y > threshold
    return (as_type_of(0, y) if spike else y), spike, y


def forward(x: Floats, state: Integers, decay: Integers, threshold: int = NEVER) -> tuple[Floats, Integers, bool]:
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
    y: Floats = empty_like(x)
    after = np.empty_like(state)
    rounded = np.zeros(state.size, np.bool_)

    def run(bound: Any, zero: Any) -> bool:
        return _forward(state.size, x, state, decay, threshold, bound, zero, y, after, rounded)

    run_in_float64_or_int64(run, (x,), state, chain_gain((decay,), x.shape[0]))
    return y, after, bool(rounded.any())


@kernel
def _forward(
    begin: int,
    end: int,
    x: Floats,
    state: Integers,
    decay: Integers,
    threshold: int,
    bound: np.float32,
    zero: Any,
    y: Floats,
    after: Integers,
    rounded: Bools,
) -> bool:
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
    return bool(beyond == 0)


def backward(
    grad_y: Floats, y: Floats, state: Integers, decay: Integers, threshold: int = NEVER
) -> tuple[Floats, Array]:
    """Gradients of `forward`.

    Parameters
    ----------
    grad_y, y : ndarray
        (T, M) float32, units of 1: the incoming gradient and what `forward` returned.
    state, decay, threshold
        What `forward` was given.

    Returns
    -------
    grad_x : ndarray
        (T, M) float32.
    grad_decay : ndarray
        (M,) float64, per unit of the decay integer.
    """
    grad_x: Floats = empty_like(grad_y)
    grad_decay = np.zeros(state.shape, np.float64)
    _backward(state.size, grad_y, y, state, decay, threshold, grad_x, grad_decay)
    return grad_x, grad_decay


@kernel
def _backward(
    begin: int,
    end: int,
    grad_y: Floats,
    y: Floats,
    state: Integers,
    decay: Integers,
    threshold: int,
    grad_x: Floats,
    grad_decay: Array,
) -> None:
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
def adjoint(step: AdjointStep, reset: bool) -> None:
    """Take the adjoint over lanes of one step of a single integrator, row 0 of all arrays.

    Parameters
    ----------
    step : AdjointStep
        ``leaving.x[0]`` holds the gradient to the integrator's value through the spike, and is replaced by the one to
        the input.
    reset : bool
        Whether the integrator goes on from 0 after a spike.
    """
    decay_fraction, (trace, spike), t, arriving, adjoint, leaving = step
    n = leaving.x[0].size
    _adjoint(
        param_row(decay_fraction, 0, n), (trace[0, t - 1, :n], spike[t - 1, :n]), reset,
        maybe_row(arriving.trace, 0, arriving.t, arriving.lo, n), adjoint[0, :n], leaving.x[0], leaving.decay[0, :n],
    )  # fmt: skip


@scalar
def kept(gradient: Any, decay_fraction: Any) -> Any:
    """A gradient one step earlier: times 1 - `decay_fraction`, rounded once."""
    return multiply_add(-decay_fraction, gradient, gradient)


@scalar
def chain_tangent(d_states: Any, d_inputs: Any, d_decays: Any, before: Any, decays: Any) -> tuple[Any, Any]:
    """The derivatives of two integrators in a chain after a step: `Family.tangent` of these two states."""
    du = kept(d_states[0], decays[0]) + (d_inputs[0] - before[0] * d_decays[0])
    dv = kept(d_states[1], decays[1]) + (du - before[1] * d_decays[1])
    return du, dv


@scalar
def _adjoint(
    decay: Any,
    before: tuple[Floats, Floats],
    reset: bool,
    grad_trace: Floats | None,
    gy: Floats,
    gx: Floats,
    g_decay: Floats,
) -> None:
    y_before, s_before = before
    prefer_512_bit()
    distinct_rows()
    for i in range(gx.size):
        to_y = add(kept(gy[i], lane_value(decay, i)), grad_trace, i) + gx[i]
        gy[i], gx[i] = to_y, to_y
        carried = np.float32(0) if reset and s_before[i] != 0 else y_before[i]
        g_decay[i] = multiply_add(-to_y, carried, g_decay[i])


@scalar
def chain_adjoint(way: Through | None, step: AdjointStep, reset: bool) -> None:
    """Take the adjoint over lanes of one step of two integrators in a chain, rows 0 and 1 of all arrays.

    Arguments as in `adjoint`: the second integrator spikes and is reset.  With a `way` the gradient through the spike
    is computed here, in the same loop.
    """
    decay_fraction, (trace, spike), t, arriving, adjoint, leaving = step
    n, now, lo = leaving.x[0].size, arriving.t, arriving.lo
    _chain_adjoint(
        (param_row(decay_fraction, 0, n), param_row(decay_fraction, 1, n)),
        (trace[0, t - 1, :n], trace[1, t - 1, :n], spike[t - 1, :n]), reset,
        (maybe_row(arriving.trace, 0, now, lo, n), maybe_row(arriving.trace, 1, now, lo, n)),
        (adjoint[0, :n], adjoint[1, :n]), way, leaving.x[0], (leaving.decay[0, :n], leaving.decay[1, :n]),
    )  # fmt: skip


@scalar
def _chain_adjoint(
    decays: Any, before: Any, reset: bool, grad_trace: Any, adjoint: Any, way: Any, gx: Floats, grad_decay: Any
) -> None:
    first_decay, second_decay = decays
    u_before, v_before, s_before = before
    grad_u, grad_v = grad_trace
    gu, gv = adjoint
    g_first, g_second = grad_decay
    prefer_512_bit()
    distinct_rows()
    for i in range(gx.size):
        to_v = add(kept(gv[i], lane_value(second_decay, i)), grad_v, i) + to_value(way, gx, i)
        to_u = add(kept(gu[i], lane_value(first_decay, i)), grad_u, i) + to_v
        gv[i], gu[i], gx[i] = to_v, to_u, to_u
        carried = np.float32(0) if reset and s_before[i] != 0 else v_before[i]
        g_first[i] = multiply_add(-to_u, u_before[i], g_first[i])
        g_second[i] = multiply_add(-to_v, carried, g_second[i])
