"""The batch mean of a leaky integral: a first pass before the walk that subtracts it, and the way back through it.

A norm behind the first integrator of a family subtracts the mean of each channel from every value of it::

    u[t] = leak(u[t-1], decay) + x[t]
    w[t] = u[t] - m                        m the mean of u over time and the lanes of a channel

`integrals` sums u, from which m follows.  Backward is linear in the gradient that reaches u: the adjoint of the walk
gives that of w alone, and what m passes on is the same at every step, so that it can be added afterwards, without
another walk through the spikes::

    g[t] = gw[t] + (1 - decay / 4096) g[t+1]             what the walk's adjoint leaves at x[t]
    sum_t gw[t] = g[0] + decay / 4096 sum_{t>0} g[t]     `arrived`
    l[t] = c + (1 - decay / 4096) l[t+1]                 c the gradient to each u through m: `add_common` adds l to g

and the decay gets the derivative of the sums that `integrals` gathers on the way.

Arrays are time-major (T, M); the channel of a lane is ``lane // inner % C``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lavadl_kernels.engine._optional_rows import lane_value, param_row, widest
from lavadl_kernels.engine.train import fetch, lanes_of, within
from lavadl_kernels.fixed_point import FLOAT32_BOUND, fixed, leak, real, steps_begin, steps_end
from lavadl_kernels.neurons._sigma_delta_rows import spread
from lavadl_kernels.runtime.array_types import Array, Floats, Integers
from lavadl_kernels.runtime.buffers import empty
from lavadl_kernels.runtime.jit import kernel, prefer_512_bit, scalar
from lavadl_kernels.runtime.rounding import stay_apart

CHUNK = 2048  #: lanes at a time: their sums stay in the first-level cache, their rows are long enough to stream


def integrals(x: Floats, state: Integers, decay: Integers, slopes: bool) -> tuple[Array, Array] | None:
    """Sum the leaky integral of each lane over time.

    Parameters
    ----------
    x : ndarray
        (T, M) float32, units of 1.
    state : ndarray
        (M,) int64, before the first step, 1/4096.
    decay : ndarray
        (1, M) or (1, C) int64, or (1,) where all lanes share it, 1/4096.
    slopes : bool
        Whether to return derivatives too.

    Returns
    -------
    total : ndarray
        (M,) float64, units of 1; exact.
    slope : ndarray
        (M,) float64, the derivative of `total` to the decay, per unit of its integer; (0,) if not wanted.

    Notes
    -----
    None instead where an input is not finite, or a value is not below `FLOAT32_BOUND`.
    """
    lanes = x.shape[1]
    total, slope = empty(lanes, np.float64), empty(lanes if slopes else 0, np.float64)
    if not _integrals(lanes, x, state, decay, np.float32(FLOAT32_BOUND), total, slope):
        return None
    return total, slope


@kernel
def _integrals(
    begin: int, end: int, x: Floats, state: Integers, decay: Integers, bound: np.float32, total: Array, slope: Array
) -> bool:
    width = max(1, min(CHUNK, end - begin))
    rows = np.empty((2, width), np.float32)
    decays = lanes_of(decay, width, np.float32(0)), lanes_of(decay, width, np.float32(0))
    return _integrals_of_lanes(begin, end, x, state, decay, bound, total, slope, rows, decays)


@scalar  # a function of its own: the loops do not vectorise over arrays allocated beside them
def _integrals_of_lanes(
    begin: int, end: int, x: Floats, state: Integers, decay: Integers, bound: np.float32, total: Array, slope: Array,
    rows: Floats, decays: tuple[Floats, Floats],
) -> bool:  # fmt: skip
    whole, fraction = decays
    width, largest = rows.shape[1], np.int32(0)
    for lo in range(begin, end, width):
        hi = min(lo + width, end)
        n = hi - lo
        fetch(decay, lo, hi, 1, whole)
        fetch(decay, lo, hi, 1 / 4096, fraction)
        if not _begin(state[lo:hi], bound, rows[:, :n], total[lo:hi]):
            return False
        if slope.size > 0:
            slope[lo:hi] = 0
        for t in range(x.shape[0]):
            if slope.size > 0:
                _sensitivities(rows[0, :n], param_row(fraction, 0, n), rows[1, :n], slope[lo:hi])
            mode = steps_begin(rows)
            largest = _integrate(x[t, lo:hi], param_row(whole, 0, n), rows[0, :n], total[lo:hi], largest)
            steps_end(rows, mode)
        if not within(largest, bound):
            return False
        _to_units(total[lo:hi])
        if slope.size > 0:
            _to_units(slope[lo:hi])
    return True


@scalar
def _begin(state: Integers, bound: np.float32, rows: Floats, total: Array) -> bool:
    small = True
    for i in range(total.size):
        small &= abs(state[i]) < bound
        rows[0, i], rows[1, i], total[i] = state[i], 0, 0
    return small


@scalar
def _integrate(x: Floats, decay: Floats, value: Floats, total: Array, largest: Any) -> Any:
    prefer_512_bit()
    stay_apart()
    for i in range(x.size):
        value[i] = leak(value[i], lane_value(decay, i)) + fixed(x[i], value[i])
        largest = widest(widest(largest, x[i] * np.float32(4096)), value[i])
        total[i] += np.float64(value[i])  # integers: exact however they are rounded
    return largest


@scalar
def _sensitivities(value: Floats, fraction: Floats, sensitivity: Floats, slope: Array) -> None:
    """Take the derivative of the integral to the decay, rounding taken as identity, through one step."""
    prefer_512_bit()
    for i in range(value.size):
        kept = (np.float32(1) - lane_value(fraction, i)) * sensitivity[i]
        sensitivity[i] = kept - real(value[i])
        slope[i] += np.float64(sensitivity[i])


@scalar
def _to_units(total: Array) -> None:
    for i in range(total.size):
        total[i] *= 1 / 4096


def arrived(grad_x: Floats, decay: Integers) -> Array:
    """Sum over time the gradients that reached the integrals from behind.

    Parameters
    ----------
    grad_x : ndarray
        (T, M) float32, as the walk's adjoint left them at the inputs.
    decay : ndarray
        (1, M), (1, C) or (1,) int64, 1/4096.

    Returns
    -------
    ndarray
        (M,) float64.
    """
    total = empty(grad_x.shape[1], np.float64)
    _arrived(total.size, grad_x, decay, total)
    return total


@kernel
def _arrived(begin: int, end: int, grad_x: Floats, decay: Integers, total: Array) -> None:
    width = max(1, min(CHUNK, end - begin))
    _arrived_at_lanes(begin, end, grad_x, decay, total, lanes_of(decay, width, np.float32(0)))


@scalar
def _arrived_at_lanes(begin: int, end: int, grad_x: Floats, decay: Integers, total: Array, fraction: Floats) -> None:
    for lo in range(begin, end, CHUNK):
        hi = min(lo + CHUNK, end)
        n = hi - lo
        fetch(decay, lo, hi, 1 / 4096, fraction)
        total[lo:hi] = 0
        for t in range(len(grad_x) - 1, 0, -1):
            _add(grad_x[t, lo:hi], total[lo:hi])
        _arrive(grad_x[0, lo:hi], param_row(fraction, 0, n), total[lo:hi])


@scalar
def _add(row: Floats, total: Array) -> None:
    prefer_512_bit()
    for i in range(row.size):
        total[i] += np.float64(row[i])


@scalar
def _arrive(row: Floats, fraction: Floats, total: Array) -> None:
    for i in range(row.size):
        total[i] = np.float64(lane_value(fraction, i)) * total[i] + np.float64(row[i])


def add_common(grad_x: Floats, decay: Integers, common: Floats, inner: int) -> None:
    """Add to the gradients of inputs what comes of a gradient that every integral of a channel has besides.

    Parameters
    ----------
    grad_x : ndarray
        (T, M) float32, added to.
    decay : ndarray
        (1, M), (1, C) or (1,) int64, 1/4096.
    common : ndarray
        (C,) float32.
    inner : int
        Lanes of one channel that are beside each other.
    """
    _add_common(grad_x.shape[1], grad_x, decay, common, inner)


@kernel
def _add_common(begin: int, end: int, grad_x: Floats, decay: Integers, common: Floats, inner: int) -> None:
    width = max(1, min(CHUNK, end - begin))
    rows = np.empty((2, width), np.float32)
    _add_common_to_lanes(begin, end, grad_x, decay, common, inner, rows, lanes_of(decay, width, np.float32(0)))


@scalar
def _add_common_to_lanes(
    begin: int, end: int, grad_x: Floats, decay: Integers, common: Floats, inner: int, rows: Floats, fraction: Floats
) -> None:
    for lo in range(begin, end, CHUNK):
        hi = min(lo + CHUNK, end)
        n = hi - lo
        fetch(decay, lo, hi, 1 / 4096, fraction)
        given = spread(common, inner, lo, rows[0, :n])
        rows[1, :n] = 0
        for t in range(len(grad_x) - 1, -1, -1):
            _add_step(given, param_row(fraction, 0, n), rows[1, :n], grad_x[t, lo:hi])


@scalar
def _add_step(common: Floats, fraction: Floats, held: Floats, grad_x: Floats) -> None:
    prefer_512_bit()
    for i in range(held.size):
        held[i] = common[i] + (np.float32(1) - lane_value(fraction, i)) * held[i]
        grad_x[i] += held[i]
