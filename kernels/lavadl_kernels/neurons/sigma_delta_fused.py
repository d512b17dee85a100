"""The sigma-delta neuron of training in one pass over time, if its activation is the identity or max(., 0).

It gives bit for bit the result of `sigma_delta.sigma_forward`, an offset, the activation and
`sigma_delta.delta_forward` in sequence, without intermediate arrays::

    value[t]   = f(float32(sigma[t]) + shift + bias)
    message[t] = floor(m[t] * scale) / scale           m[t] what `sigma_delta.encode` makes of the values

The same source is compiled for float64 and for float32 states. float32 is equally exact while all values are small
multiples of 2**-18, which holds for the messages and weights of a deployable network; the kernel checks each input, and
the run is repeated with float64 if one does not fit. The result does not depend on which of the two ran.

Backward is that of `sigma_delta`.  Of the walk it needs, for each step, the factor of a message's gradient in that of
the threshold, and whether the activation passes a gradient: one float32, whose last bit is the latter.

Arrays are time-major (T, M) as in `sigma_delta`.  Values of channels come as (1,) or (C,); the channel of
a lane is ``lane // inner % C``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import types

from lavadl_kernels.engine._optional_rows import add, lane_value, store
from lavadl_kernels.neurons._sigma_delta_rows import (
    factor,
    magnitude,
    passes,
    row,
    spread,
    surrogate_heights,
    with_bit,
)
from lavadl_kernels.neurons._surrogate import exp_negative
from lavadl_kernels.neurons.sigma_delta import LIMIT, encode
from lavadl_kernels.runtime.array_types import Array, Floats
from lavadl_kernels.runtime.buffers import empty, empty_like
from lavadl_kernels.runtime.extending import overload
from lavadl_kernels.runtime.jit import kernel, prefer_512_bit, scalar

CHUNK = 2048  #: lanes per task: their states stay in the second-level cache, their rows are long enough to stream
BLOCK = 16  #: steps over which gradients to thresholds are gathered in float32; the sum over all steps is float64
#: Adding and subtracting it rounds what is below 16 to a multiple of 2**-18: between 32 and 64 that is the spacing of
#: float32.
GRID = np.float32(48)
NONE = np.zeros(1, np.float32)  #: no offset


class Offsets(NamedTuple):
    """Parameters of lanes: a scalar that all channels share, or (C,) of the number type of the run."""

    threshold: Any
    shift: Any  #: float32
    bias: Any  #: float32
    inner: int  #: lanes of one channel that are beside each other


class Rule(NamedTuple):
    """The numbers of a run that all lanes share, in its number type."""

    floor: np.float32  #: 0 where the activation is max(., 0), else minus infinity
    cum_error: bool | None  #: True, or None where the error is not used
    hold: Any  #: 1 where the input is summed, 0 where it is the sum
    scale: Any
    unit: Any  #: 1 / scale
    bound: np.float32  #: magnitude that inputs, or float32 states, must stay below


class Slope(NamedTuple):
    """The surrogate gradient of a message to its threshold."""

    inverse_tau: np.float32
    height: np.float32


def forward(
    x: Floats,
    state: Array | None,
    shift: Floats,
    bias: Floats,
    threshold: Array,
    inner: int,
    scale: float,
    relu: bool,
    cum_error: bool,
    surrogate: tuple[float, float] | None = None,
    sums: bool = True,
) -> tuple[Floats, Array | None, Floats | None] | None:
    """Run real inputs through neurons.

    Parameters
    ----------
    x : ndarray
        (T, M) float32, units of 1.
    state : ndarray or None
        (4, M) float64, units of 1, the states in the order of `sigma_delta.STATES`; None for neurons at rest, whose
        states are not wanted afterwards.
    shift, bias : ndarray
        (1,) or (C,) float32, units of 1, added to the sum one after the other.
    threshold : ndarray
        (1,) or (C,) float64, units of 1.
    inner : int
        Lanes of one channel that are beside each other.
    scale : float
        Messages are rounded down to multiples of 1 / scale.
    relu : bool
        Whether the activation is max(., 0) instead of the identity.
    cum_error : bool
        As in `sigma_delta.delta_forward`.
    surrogate : (float, float), optional
        Width and height of the surrogate; without it nothing is kept for backward.
    sums : bool
        Whether `x` holds changes to be summed, or the sum itself, as for a Delta alone.

    Returns
    -------
    message : ndarray
        (T, M) float32.
    state : ndarray or None
        (4, M) float64 after the last step, where it was given.
    kept : ndarray or None
        (T, M) float32, for `backward`.

    Notes
    -----
    None instead of the three where something is not finite or so large that `sigma_forward` or `delta_forward`
    might refuse it: they decide.
    """
    steps, lanes = x.shape
    message: Floats = empty_like(x)
    kept: Floats | None = None if surrogate is None else empty_like(x)
    tau, height = (1.0, 1.0) if surrogate is None else surrogate
    shifts = _shared(shift, np.float32), _shared(bias, np.float32)
    slope = Slope(np.float32(1 / tau), np.float32(height))
    floor, errors = np.float32(0 if relu else -np.inf), True if cum_error else None

    def run(dtype: Any, after: Array, bound: float) -> bool:
        real = np.float32 if dtype is np.float32 else np.float64
        offsets = Offsets(_shared(threshold, real), *shifts, inner)
        rule = Rule(floor, errors, real(sums), real(scale), real(1 / scale), np.float32(bound))
        return _forward(lanes, x, after, offsets, rule, slope, message, kept)

    if state is None and _narrow(shift, bias, threshold, scale):
        # float32 holds multiples of 2**-18 below 64: two values from 0 to 48, or up to 24 in magnitude, and a
        # residue below 16 make a change below 64
        bound = (48 if relu else 24) - sum(float(np.abs(v).max()) for v in (shift, bias) if v is not NONE)
        if run(np.float32, np.empty((4, 0), np.float32), bound):
            return message, None, kept
    after = np.empty((4, 0)) if state is None else state.copy()
    bound = _bound(after, steps)
    if not (bound > 0 and all(bool((np.abs(v) < LIMIT / 4).all()) for v in (shift, bias))):
        return None
    if not run(np.float64, after, bound):
        return None
    return message, None if state is None else after, kept


def _shared(values: Array, dtype: Any) -> Any:
    """One value as the scalar that it is: it costs nothing then."""
    return dtype(values[0]) if values.size == 1 else values.astype(dtype)


def _narrow(shift: Floats, bias: Floats, threshold: Array, scale: float) -> bool:
    """Tell whether float32 holds offsets, thresholds and messages exactly."""
    power = math.frexp(scale)[0] == 0.5 and scale <= 1 << 18
    return power and bool(threshold.max() <= 16) and _fits(shift) and _fits(bias)


def _fits(values: Floats) -> bool:
    return values is NONE or bool(np.abs(values).max() < 8 and ((values + GRID) - GRID == values).all())


@kernel
def _forward(
    begin: int,
    end: int,
    x: Floats,
    state: Array,
    offsets: Offsets,
    rule: Rule,
    slope: Slope,
    message: Floats,
    kept: Floats | None,
) -> bool:
    prefer_512_bit()
    size = min(CHUNK, end - begin)
    buffers = np.empty((5, size), state.dtype), np.empty((5, size), np.float32)
    return _forward_lanes(begin, end, x, state, offsets, rule, slope, message, kept, buffers)


@scalar  # a function of its own: the loops do not vectorise over arrays allocated beside them
def _forward_lanes(
    begin: int,
    end: int,
    x: Floats,
    state: Array,
    offsets: Offsets,
    rule: Rule,
    slope: Slope,
    message: Floats,
    kept: Floats | None,
    buffers: tuple[Array, Floats],
) -> bool:
    threshold, shift, bias, inner = offsets
    unit, cum_error = rule.unit, rule.cum_error
    inverse_tau, height = slope
    states, rows = buffers
    prefer_512_bit()
    carried = state.shape[1] > 0
    for lo in range(begin, end, CHUNK):
        hi = min(lo + CHUNK, end)
        n = hi - lo
        for k in range(4):
            for i in range(n):
                states[k, i] = state[k, lo + i] if carried else 0
        level = spread(threshold, inner, lo, states[4, :n])
        first = spread(shift, inner, lo, rows[0, :n])
        second = spread(bias, inner, lo, rows[1, :n])
        least, ratio = surrogate_heights(level, unit, height, rows[3, :n], rows[4, :n])
        held = states[0, :n], states[1, :n], states[2, :n], states[3, :n]
        for t in range(x.shape[0]):
            out = message[t, lo:hi], row(kept, t, lo, hi), rows[2, :n]
            if _advance(x[t, lo:hi], held, level, first, second, rule, out):
                return False
            _factors(row(kept, t, lo, hi), rows[2, :n], least, ratio, inverse_tau, cum_error)
        if carried:
            for k in range(4):
                for i in range(n):
                    state[k, lo + i] = states[k, i]
    return True


def _strays(x: Any, sigma: Any) -> Any:
    """Not 0 where a step may be inexact, by the type of the states."""
    raise NotImplementedError("compiled only")


@overload(_strays, jit_options={"error_model": "numpy"})
def _strays_by_type(x: Any, sigma: Any) -> Callable[..., Any]:
    if sigma == types.float32:
        return lambda x, sigma: magnitude((x + GRID) - GRID - x)
    return lambda x, sigma: np.int32(0)


def _size(x: Any, sigma: Any) -> Any:
    """The magnitude that has to stay below the bound, by the type of the states."""
    raise NotImplementedError("compiled only")


@overload(_size, jit_options={"error_model": "numpy"})
def _size_by_type(x: Any, sigma: Any) -> Callable[..., Any]:
    if sigma == types.float32:
        return lambda x, sigma: magnitude(sigma)
    return lambda x, sigma: magnitude(x)


@scalar
def _value(sigma: Any, shift: Any, bias: Any, floor: Any) -> Any:
    """The activation of the sum, rounded as between the unfused functions."""
    return max(np.float32(sigma) + shift + bias, floor)


@scalar
def _advance(
    x: Floats,
    states: tuple[Array, Array, Array, Array],
    threshold: Any,
    shift: Any,
    bias: Any,
    rule: Rule,
    out: tuple[Floats, Any, Floats],
) -> bool:
    """Take one step of a row of lanes; return whether something was too large, or may be inexact."""
    sigma, before, residue, error = states
    floor, cum_error, hold, scale, unit, bound = rule
    message, kept, compare = out
    prefer_512_bit()
    summed = cum_error is not None
    strays, largest = np.int32(0), np.int32(0)
    for i in range(x.size):
        sigma[i] = hold * sigma[i] + x[i]
        value = _value(sigma[i], lane_value(shift, i), lane_value(bias, i), floor)
        strays = np.int32(strays | _strays(x[i], sigma[i]))
        largest = max(largest, _size(x[i], sigma[i]))
        residue[i], after, sent, change, compared = encode(
            value, before[i], residue[i], error[i], lane_value(threshold, i), summed, False
        )
        before[i] = value
        message[i] = np.floor(sent * scale) * unit
        store(kept, i, with_bit(change, value > 0))
        if summed:
            error[i] = after
            store(compare, i, np.float32(abs(compared)))
    return bool(strays != 0 or largest >= magnitude(bound))


def _factors(kept: Any, compare: Floats, least: Any, ratio: Any, inverse_tau: Any, cum_error: Any) -> None:
    """Replace the change of each lane, in `kept`, by the factor that `backward` needs."""
    raise NotImplementedError("compiled only")


@overload(_factors, jit_options={"error_model": "numpy"})
def _factors_by_type(
    kept: Any, compare: Any, least: Any, ratio: Any, inverse_tau: Any, cum_error: Any
) -> Callable[..., Any]:
    if isinstance(kept, types.NoneType):
        return lambda kept, compare, least, ratio, inverse_tau, cum_error: None
    return lambda kept, compare, least, ratio, inverse_tau, cum_error: _factors_row(
        kept, compare, least, ratio, inverse_tau, cum_error
    )


@scalar
def _factors_row(kept: Floats, compare: Floats, least: Any, ratio: Any, inverse_tau: Any, cum_error: Any) -> None:
    prefer_512_bit()
    for i in range(kept.size):
        change = factor(kept[i])
        size = abs(change) if cum_error is None else compare[i]
        distance = size - lane_value(least, i)
        slope = change * (_near(distance, inverse_tau) * lane_value(ratio, i))
        side = np.float32(change > 0) - np.float32(change < 0)
        kept[i] = with_bit(slope if distance > 0 else side, passes(kept[i]))


@scalar
def _near(distance: Any, inverse_tau: Any) -> Any:
    # values below exp(-60) count as that: denormal numbers are slow
    return exp_negative(max(-abs(distance) * inverse_tau, np.float32(-60)))


def mean_of_sums(x: Floats, sigma: Array | None, inner: int, channels: int) -> Array | None:
    """The mean over time and lanes of the sums of each channel.

    Parameters
    ----------
    x : ndarray
        (T, M) float32, units of 1.
    sigma : ndarray or None
        (M,) float64, units of 1, the sums so far; None for rest.
    inner, channels : int
        Lane i belongs to channel ``i // inner % channels``.

    Returns
    -------
    ndarray or None
        (C,) float64; None where `forward` gives None for `x`.
    """
    total, start = empty(x.shape[1], np.float64), np.empty(0) if sigma is None else sigma
    bound = _bound(start, len(x))
    if not bound > 0 or not _totals(total.size, x, start, bound, total):
        return None
    mean: Array = by_channel(total, inner, channels) * (channels / x.size)
    return mean


def by_channel(values: Array, inner: int, channels: int) -> Array:
    """The sum over the lanes of each channel.

    Parameters
    ----------
    values : ndarray
        (M,) float64, units of 1.
    inner, channels : int
        Lane i belongs to channel ``i // inner % channels``.

    Returns
    -------
    ndarray
        (C,) float64.
    """
    if inner == 1:  # several samples at a time: NumPy is slow over short rows
        beside = math.gcd(values.size // channels, 16) if channels < 128 else 1
        values = values.reshape(-1, beside * channels).sum(axis=0).reshape(beside, channels)
        return np.asarray(values.sum(axis=0))
    return np.asarray(values.reshape(-1, channels, inner).sum(axis=(0, 2)))


def _bound(states: Array, steps: int) -> Any:
    """The magnitude below which inputs keep sums from `states` far from `LIMIT`."""
    return np.float32((LIMIT / 4 - np.abs(states).max(initial=0)) / (steps + 1))


@kernel
def _totals(begin: int, end: int, x: Floats, sigma: Array, bound: np.float32, total: Array) -> bool:
    prefer_512_bit()
    steps = x.shape[0]
    for lo in range(begin, end, CHUNK):
        hi = min(lo + CHUNK, end)
        for i in range(lo, hi):
            total[i] = steps * sigma[i] if sigma.size else 0
        for t in range(steps):
            if _totals_row(x[t, lo:hi], np.float64(steps - t), bound, total[lo:hi]):
                return False
    return True


@scalar
def _totals_row(x: Floats, weight: Any, bound: Any, total: Array) -> bool:
    prefer_512_bit()
    largest = np.int32(0)
    for i in range(x.size):
        largest = max(largest, magnitude(x[i]))
        total[i] += weight * x[i]
    return bool(largest >= magnitude(bound))


def backward(
    grad_message: Floats,
    kept: Floats,
    relu: bool,
    inner: int,
    lift: Callable[[Array], Array] | None = None,
    sums: bool = True,
) -> tuple[Floats, Array, Array]:
    """Gradients of `forward`.

    Parameters
    ----------
    grad_message, kept : ndarray
        (T, M) float32, units of 1: the incoming gradient and what `forward` kept.
    relu, inner, sums
        Arguments of `forward`.
    lift : callable, optional
        Gives for `grad_offset` (M,) a gradient that every sum of a channel has besides, (C,) float64.

    Returns
    -------
    grad_x : ndarray
        (T, M) float32.
    grad_threshold, grad_offset : ndarray
        (M,) float64, per lane; the latter is that of `shift` and of `bias`, where there are sums.
    """
    grad_x: Floats = empty_like(grad_message)
    lanes = grad_message.shape[1]
    always, shared = np.int32(not relu), None
    grad_threshold, total, grad_offset = empty((3, lanes), np.float64)
    if lift is not None:
        _gather(lanes, grad_message, kept, always, grad_offset)
        shared = lift(grad_offset)
    rule = Backward(always, float(sums), shared, inner)
    _backward(lanes, grad_message, kept, rule, grad_x, grad_threshold, total)
    return grad_x, grad_threshold, total if lift is None else grad_offset


@kernel
def _gather(begin: int, end: int, grad_message: Floats, kept: Floats, always: np.int32, grad_offset: Array) -> None:
    prefer_512_bit()
    _gather_lanes(begin, end, grad_message, kept, always, np.zeros(CHUNK, np.float32), grad_offset)


@scalar
def _gather_lanes(
    begin: int, end: int, grad_message: Floats, kept: Floats, always: Any, zeros: Floats, grad_offset: Array
) -> None:
    prefer_512_bit()
    last = kept.shape[0] - 1
    for lo in range(begin, end, CHUNK):
        hi = min(lo + CHUNK, end)
        grad_offset[lo:hi] = 0
        for t in range(last, -1, -1):
            later = grad_message[t + 1, lo:hi] if t < last else zeros[: hi - lo]
            _gather_row(grad_message[t, lo:hi], later, kept[t, lo:hi], always, grad_offset[lo:hi])


@scalar
def _passed(grad: Any, later: Any, kept: Any, always: Any) -> Any:
    """The gradient to the value before the activation."""
    return grad - later if np.int32(passes(kept) | always) != 0 else np.float32(0)


@scalar
def _gather_row(grad: Floats, later: Floats, kept: Floats, always: Any, offset: Array) -> None:
    prefer_512_bit()
    for i in range(grad.size):
        offset[i] += _passed(grad[i], later[i], kept[i], always)


class Backward(NamedTuple):
    """The numbers of a backward pass that all lanes share."""

    always: np.int32  #: not 0 where the activation passes every gradient
    hold: float  #: 1 where the input was summed, else 0
    lift: Array | None  #: (C,) float64, a gradient that every sum of a channel has besides
    inner: int  #: lanes of one channel that are beside each other


@kernel
def _backward(
    begin: int,
    end: int,
    grad_message: Floats,
    kept: Floats,
    rule: Backward,
    grad_x: Floats,
    grad_threshold: Array,
    total: Array,
) -> None:
    prefer_512_bit()
    size = min(CHUNK, end - begin)
    buffers = np.zeros((2, size), np.float32), np.empty(size)
    _backward_lanes(begin, end, grad_message, kept, rule, grad_x, grad_threshold, total, buffers)


@scalar
def _backward_lanes(
    begin: int,
    end: int,
    grad_message: Floats,
    kept: Floats,
    rule: Backward,
    grad_x: Floats,
    grad_threshold: Array,
    total: Array,
    buffers: tuple[Floats, Array],
) -> None:
    always, hold, lift, inner = rule
    rows, lifts = buffers
    prefer_512_bit()
    last = kept.shape[0] - 1
    for lo in range(begin, end, CHUNK):
        hi = min(lo + CHUNK, end)
        n = hi - lo
        more = spread(lift, inner, lo, lifts[:n])
        total[lo:hi] = 0
        grad_threshold[lo:hi] = 0
        for t in range(last, -1, -1):
            later = grad_message[t + 1, lo:hi] if t < last else rows[0, :n]
            _advance_adjoint(
                grad_message[t, lo:hi], later, kept[t, lo:hi], always, hold, more, total[lo:hi], rows[1, :n],
                grad_x[t, lo:hi],
            )  # fmt: skip
            if t % BLOCK == 0:
                _settle(rows[1, :n], grad_threshold[lo:hi])


@scalar
def _advance_adjoint(
    grad: Floats,
    later: Floats,
    kept: Floats,
    always: Any,
    hold: Any,
    lift: Any,
    total: Array,
    to_threshold: Floats,
    grad_x: Floats,
) -> None:
    prefer_512_bit()
    for i in range(grad.size):
        now = hold * total[i] + np.float64(_passed(grad[i], later[i], kept[i], always))
        total[i] = add(now, lift, i)
        to_threshold[i] -= grad[i] * factor(kept[i])
        grad_x[i] = total[i]


@scalar
def _settle(gathered: Floats, total: Array) -> None:
    prefer_512_bit()
    for i in range(total.size):
        total[i] += gathered[i]
        gathered[i] = 0
