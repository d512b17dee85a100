"""Axonal delay: each lane's signal is shifted by its own whole number of steps.

    y[t] = x[t - d]        zero where x has no step t - d

The backward pass shifts the gradient in the opposite direction.  The gradient with respect to the delay is that of a
signal interpolated linearly in time: -(y[t] - y[t-1]) per step of delay.

Arrays are time-major (T, M); delays are int64 (M,) and may be negative.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lavadl_kernels.runtime.array_types import Array
from lavadl_kernels.runtime.buffers import empty, empty_like
from lavadl_kernels.runtime.jit import kernel, scalar

CHUNK = 1024  #: lanes at a time: 4 KB of each row, so that the window of rows that the delays span stays cached

_NOTHING = np.empty((0, 0), np.uint8)  #: passed as `kept` if nothing is to be kept


def forward(x: Array, delay: Array) -> Array:
    """Delay each lane by its own number of steps.

    Parameters
    ----------
    x : ndarray
        (T, M) float32.
    delay : ndarray
        (M,) int64, in steps; a negative delay shifts the lane to earlier steps.

    Returns
    -------
    ndarray
        (T, M) float32, a new array.

    Examples
    --------
    >>> x = np.array([[1, 5], [2, 6], [3, 7]], np.float32)
    >>> forward(x, np.array([1, 0])).tolist()
    [[0.0, 5.0], [1.0, 6.0], [2.0, 7.0]]
    """
    if delay.size and delay.min() == delay.max():
        return shift(x, int(delay[0]))
    y = empty_like(x)
    _shift(delay.size, x, delay, y, _NOTHING, np.float32(1))
    return y


def forward_kept(x: Array, delay: Array) -> tuple[Array, Array, float]:
    """Do the same as `forward`, and also return what `backward` needs of the result, in as little memory as possible.

    Parameters
    ----------
    x : ndarray
        (T, M) float32.
    delay : ndarray
        (M,) int64, in steps, or (1,) for all lanes.

    Returns
    -------
    y : ndarray
        (T, M) float32.
    kept : ndarray
        (T, M) uint8 if every value of `y` is 0 or one common value, as for spikes after a dropout; otherwise `y`
        itself.
    size : float
        The factor that turns `kept` into `y`: the common value, or 1.
    """
    y, kept = empty_like(x), empty(x.shape, np.uint8)
    size = np.zeros(1, np.float32)
    _first.compiled(0, x.size, x.reshape(-1), size)
    if delay.size == 1 or (delay.size and delay.min() == delay.max()):
        far = max(-len(x), min(int(delay[0]), len(x))) * x.shape[1]
        spikes = _move_kept(x.size, x.reshape(-1), far, y.reshape(-1), kept.reshape(-1), size[0])
    else:
        spikes = _shift(delay.size, x, delay, y, kept, size[0])
    if spikes and np.isfinite(size[0]):  # 0 times infinity would not be 0
        return y, kept, float(size[0])
    return y, y, 1.0


def backward(grad_y: Array, y: Array, delay: Array, size: float = 1) -> tuple[Array, Array]:
    """Gradients of `forward`.

    Parameters
    ----------
    grad_y : ndarray
        (T, M) float32, the incoming gradient.
    y : ndarray
        (T, M) float32, the result of `forward`; or `kept` of `forward_kept`.
    delay : ndarray
        (M,) int64, in steps.
    size : float
        The factor of `y`: 1, or `size` of `forward_kept`.

    Returns
    -------
    grad_x : ndarray
        (T, M) float32.
    grad_delay : ndarray
        (M,) float64, per step.
    """
    grad_x = empty_like(grad_y)
    grad_delay = np.zeros(delay.shape, np.float64)
    _backward(delay.size, grad_y, y, -delay, np.float32(size), grad_x, grad_delay)
    return grad_x, grad_delay


def shift(x: Array, steps: int) -> Array:
    """Delay all lanes of `x` (T, M) float32 by `steps`, or advance them if it is negative; return a new array."""
    y = empty_like(x)
    far = max(-len(x), min(steps, len(x))) * x.shape[1]
    _move(x.size, x.reshape(-1), far, y.reshape(-1))
    return y


@kernel
def _move(begin: int, end: int, x: Array, far: int, y: Array) -> None:
    first = max(begin, min(end, far))
    last = end if far >= 0 else max(begin, min(end, y.size + far))
    y[begin:first] = 0
    _copied(x[first - far : last - far], y[first:last])
    y[last:end] = 0


@kernel
def _first(begin: int, end: int, x: Array, found: Array) -> None:
    """Write the first value that is not 0, if there is one."""
    for i in range(begin, end):
        if x[i] != 0:
            found[0] = x[i]
            break


@kernel
def _move_kept(begin: int, end: int, x: Array, far: int, y: Array, kept: Array, size: Any) -> bool:
    odd = np.int32(0)
    for lo in range(begin, end, CHUNK):
        hi = min(lo + CHUNK, end)
        first = max(lo, min(hi, far))
        last = hi if far >= 0 else max(lo, min(hi, y.size + far))
        y[lo:first] = 0
        _copied(x[first - far : last - far], y[first:last])
        y[last:hi] = 0
        odd |= _keep(y[lo:hi], kept[lo:hi], size)
    return bool(odd == 0)


@scalar
def _keep(row: Array, kept: Array, size: Any) -> Any:
    """Write spikes as bytes; the result is not 0 if a value is neither 0 nor `size`."""
    odd = np.int32(0)
    for i in range(row.size):
        odd |= np.int32(not (row[i] == 0 or row[i] == size))
        kept[i] = np.uint8(row[i] == size)
    return odd


@kernel
def _shift(begin: int, end: int, x: Array, delay: Array, y: Array, kept: Array, size: Any) -> bool:
    start, odd = np.empty(CHUNK, np.int64), np.int32(0)
    for lo in range(begin, end, CHUNK):
        hi = min(lo + CHUNK, end)
        d = delay[lo:hi]
        least, most = d.min(), d.max()
        _starts(d, lo, x.shape[1], start)
        for t in range(len(y)):
            _gather(x, t, d, least, most, start, lo, hi, y[t, lo:hi])
            if kept.size > 0:
                odd |= _keep(y[t, lo:hi], kept[t, lo:hi], size)
    return bool(odd == 0)


@kernel
def _backward(
    begin: int, end: int, grad_y: Array, y: Array, delay: Array, size: Any, grad_x: Array, grad_delay: Array
) -> None:
    start = np.empty(CHUNK, np.int64)
    none = np.zeros(CHUNK, y.dtype)
    for lo in range(begin, end, CHUNK):
        hi = min(lo + CHUNK, end)
        d = delay[lo:hi]
        least, most = d.min(), d.max()
        _starts(d, lo, y.shape[1], start)
        before = none[: hi - lo]
        for t in range(len(y)):
            _slope(grad_y[t, lo:hi], y[t, lo:hi], before, size, grad_delay[lo:hi])
            before = y[t, lo:hi]
            _gather(grad_y, t, d, least, most, start, lo, hi, grad_x[t, lo:hi])


@scalar
def _slope(grad_row: Array, row: Array, before: Array, size: Any, total: Array) -> None:
    for i in range(row.size):
        change = np.float32(row[i]) * size - np.float32(before[i]) * size  # exact: each product is 0 or a signal value
        total[i] -= np.float64(grad_row[i] * change)


@scalar
def _copied(x: Array, y: Array) -> None:
    for i in range(y.size):  # a slice assignment would not vectorise
        y[i] = x[i]


@scalar
def _starts(delay: Array, lo: int, lanes: int, start: Array) -> None:
    """Write for each lane the index in the flat array from which step 0 of its delayed signal would be read."""
    for i in range(delay.size):
        start[i] = lo + i - delay[i] * lanes


@scalar
def _gather(x: Array, t: int, delay: Array, least: int, most: int, start: Array, lo: int, hi: int, row: Array) -> None:
    """Write step `t` of the delayed lanes `lo` to `hi` to `row`; each lane is read from its own row of `x`."""
    steps, lanes = x.shape
    if t < least or t - most >= steps:
        row[:] = 0
        return
    if least == most:
        _copied(x[t - least, lo:hi], row)
        return
    flat, here = x.reshape(-1), t * lanes
    # The indices are unsigned: a negative signed index counts from the end, so each signed one would cost a comparison.
    if t >= most and t - least < steps:
        for i in range(row.size):
            row[i] = flat[np.uint64(start[i] + here)]
    else:
        for i in range(row.size):
            inside = 0 <= t - delay[i] < steps
            row[i] = flat[np.uint64(start[i] + here)] if inside else 0
