"""The sigma-delta neuron of training in one walk over time, where its activation is the identity or max(., 0).

What `sigma_delta.sigma_forward`, an offset, the activation and `sigma_delta.delta_forward` give one after the other,
bit for bit, with nothing between them in memory::

    value[t]   = f(float32(sigma[t]) + shift + bias)
    message[t] = floor(m[t] * scale) / scale           m[t] what `sigma_delta.encode` makes of the values

The same source is compiled for float64 and for float32 states.  float32 is as exact while all values are small
multiples of 2**-18, which is what messages and weights of a deployable network give; the kernel checks each input
on the way, and the run is repeated with float64 where one is not.  Which of the two ran cannot be seen in the result.

Backward is that of `sigma_delta`.  Of the walk it needs, for each step, the factor of a message's gradient in that of
the threshold, and whether the activation passes a gradient: one float32, whose last bit is the latter.

Arrays are time-major (T, M) as in `sigma_delta`.  What channels have in common comes as (1,) or (C,); the channel of
a lane is ``lane // inner % C``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from lavadl_kernels._jit import kernel, scalar
from lavadl_kernels._memory import empty_like
from lavadl_kernels.sigma_delta import CHUNK, LIMIT, encode
from lavadl_kernels.spike import exp_negative

GRID = np.float32(48)  #: adding and subtracting it rounds what is below 16 to a multiple of 2**-18
SMALL = np.float32(64)  #: below it float32 holds the multiples of 2**-18 exactly
NONE = np.zeros(1, np.float32)  #: no offset


def forward(x, state, shift, bias, threshold, inner, scale, relu, cum_error, surrogate=None, sums=True):
    """Run real inputs through neurons.

    Parameters
    ----------
    x : ndarray
        (T, M) float32, units of 1.
    state : ndarray or None
        (4, M) float64, the states in the order of `sigma_delta.STATES`; None for neurons at rest, whose states
        are not wanted afterwards.
    shift, bias : ndarray
        (1,) or (C,) float32, added to the sum one after the other.
    threshold : ndarray
        (1,) or (C,) float64.
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
    message = empty_like(x)
    kept = empty_like(x) if surrogate is not None else np.empty((0, 0), np.float32)
    tau, height = (1.0, 1.0) if surrogate is None else surrogate
    given: Any = shift, bias, threshold, inner, np.float32(0 if relu else -np.inf), cum_error
    out: Any = np.float32(1 / tau), np.float32(height), message, kept
    done = False
    if state is None and _narrow(shift, bias, threshold, scale):
        # of two values and a residue below 16, the change stays below 64
        bound = np.float32(48 if relu else 24)
        done = _forward(
            lanes,
            x,
            np.empty((4, 0), np.float32),
            *given,
            np.float32(sums),
            np.float32(scale),
            np.float32(1 / scale),
            bound,
            *out,
        )
    after = np.empty((4, 0)) if state is None else state.copy()
    if not done:
        bound = _bound(after, steps)
        if not (bound > 0 and all(bool((np.abs(v) < LIMIT / 4).all()) for v in (shift, bias))):
            return None
        if not _forward(
            lanes, x, after, *given, np.float64(sums), np.float64(scale), np.float64(1 / scale), bound, *out
        ):
            return None
    return message, None if state is None else after, None if surrogate is None else kept


def _narrow(shift, bias, threshold, scale):
    """Whether float32 holds offsets, thresholds and messages exactly."""
    fits = all(bool(((np.abs(v) < 16) & ((v + GRID) - GRID == v)).all()) for v in (shift, bias))
    return fits and bool((threshold <= 16).all()) and scale <= 1 << 18 and float(np.frexp(scale)[0]) == 0.5


@kernel
def _forward(
    begin, end, x, state, shift, bias, threshold, inner, floor, cum_error, hold, scale, unit, bound,
    inverse_tau, height, message, kept,
):  # fmt: skip
    states = np.empty((6, CHUNK), state.dtype)  # and the threshold, as it is and as backward has it
    rows = np.empty((5, CHUNK), np.float32)
    return _forward_lanes(
        begin, end, x, state, shift, bias, threshold, inner, floor, cum_error, hold, scale, unit, bound,
        inverse_tau, height, message, kept, states, rows,
    )  # fmt: skip


@scalar  # a function of its own: the loops do not vectorise over arrays allocated beside them
def _forward_lanes(
    begin, end, x, state, shift, bias, threshold, inner, floor, cum_error, hold, scale, unit, bound,
    inverse_tau, height, message, kept, states, rows,
):  # fmt: skip
    carried, keeps = state.shape[1] > 0, kept.shape[1] > 0
    for lo in range(begin, end, CHUNK):
        hi = min(lo + CHUNK, end)
        n = hi - lo
        for k in range(4):
            for i in range(n):
                states[k, i] = state[k, lo + i] if carried else 0
        spread(threshold, inner, lo, states[4, :n])
        spread(shift, inner, lo, rows[0, :n])
        spread(bias, inner, lo, rows[1, :n])
        for i in range(n):
            states[5, i] = max(states[4, i], unit)
            rows[2, i] = height / states[5, i]
        for t in range(x.shape[0]):
            if cum_error:
                far = _advance_summed(
                    hold, x[t, lo:hi], states[0, :n], states[1, :n], states[2, :n], states[3, :n], states[4, :n],
                    states[5, :n], rows[0, :n], rows[1, :n], floor, scale, unit, bound, message[t, lo:hi],
                    rows[3, :n], rows[4, :n],
                )  # fmt: skip
            else:
                far = _advance(
                    hold, x[t, lo:hi], states[0, :n], states[1, :n], states[2, :n], states[4, :n],
                    states[5, :n], rows[0, :n], rows[1, :n], floor, scale, unit, bound, message[t, lo:hi],
                    rows[3, :n], rows[4, :n],
                )  # fmt: skip
            if far:
                return False
            if keeps:
                _factors(states[1, :n], rows[3, :n], rows[4, :n], rows[2, :n], inverse_tau, kept[t, lo:hi])
        if carried:
            for k in range(4):
                for i in range(n):
                    state[k, lo + i] = states[k, i]
    return True


@scalar
def spread(values, inner, lo, out):
    """Set out[i] to the value of the channel of lane lo + i."""
    if values.size == 1:
        for i in range(out.size):
            out[i] = values[0]
        return
    channel, beside = lo // inner % values.size, lo % inner
    for i in range(out.size):
        out[i] = values[channel]
        beside += 1
        if beside == inner:
            beside = 0
            channel += 1
            if channel == values.size:
                channel = 0


@scalar
def _value(sigma, shift, bias, floor):
    """What the sum becomes before it is sent, rounded as between the unfused functions."""
    return max(np.float32(sigma) + shift + bias, floor)


def _far(x, sigma, value, bound):
    """Whether a step may be inexact, or beyond what the unfused functions take; by the type of the states."""
    raise NotImplementedError("compiled only")


def _far_narrow(x, sigma, value, bound):
    off = np.int32((x + GRID) - GRID != x)
    off = np.int32(off | np.int32(not abs(sigma) <= SMALL))
    return np.int32(off | np.int32(not abs(value) <= bound))


def _far_wide(x, sigma, value, bound):
    return np.int32(not abs(x) < bound)


@overload(_far, jit_options={"error_model": "numpy"})
def _far_by_type(x, sigma, value, bound):
    return _far_narrow if sigma == types.float32 else _far_wide


@scalar
def _advance(
    hold, x, sigma, before, residue, threshold, level, shift, bias, floor, scale, unit, bound, message,
    changes, distances,
):  # fmt: skip
    far = np.int32(0)
    for i in range(x.size):
        sigma[i] = hold * sigma[i] + x[i]
        value = _value(sigma[i], shift[i], bias[i], floor)
        far = np.int32(far | _far(x[i], sigma[i], value, bound))
        residue[i], _, sent, change, compared = encode(
            value, before[i], residue[i], residue[i], threshold[i], False, False
        )
        before[i] = value
        message[i] = np.floor(sent * scale) * unit
        changes[i], distances[i] = change, abs(compared) - level[i]
    return far != 0


@scalar
def _advance_summed(
    hold, x, sigma, before, residue, error, threshold, level, shift, bias, floor, scale, unit, bound, message,
    changes, distances,
):  # fmt: skip
    far = np.int32(0)
    for i in range(x.size):
        sigma[i] = hold * sigma[i] + x[i]
        value = _value(sigma[i], shift[i], bias[i], floor)
        far = np.int32(far | _far(x[i], sigma[i], value, bound))
        residue[i], error[i], sent, change, compared = encode(
            value, before[i], residue[i], error[i], threshold[i], True, False
        )
        before[i] = value
        message[i] = np.floor(sent * scale) * unit
        changes[i], distances[i] = change, abs(compared) - level[i]
    return far != 0


@scalar
def _factors(before, change, distance, share, inverse_tau, kept):
    for i in range(change.size):
        near = _near(distance[i], inverse_tau) * share[i]
        side = np.float32(change[i] > 0) - np.float32(change[i] < 0)
        factor = change[i] * near if distance[i] > 0 else side
        kept[i] = _marked(factor, before[i] > 0)


@scalar
def _near(distance, inverse_tau):
    # what is smaller than exp(-60) counts as that: denormal numbers are slow
    return exp_negative(max(-abs(distance) * inverse_tau, np.float32(-60)))


@scalar
def _marked(factor, mark):
    """`factor` with `mark` for its last bit."""
    bits = np.float32(factor).view(np.int32) & np.int32(-2)
    return np.int32(bits | np.int32(mark)).view(np.float32)


def mean_of_sums(x, sigma, inner, channels):
    """The mean over time and lanes of the sums of each channel.

    Parameters
    ----------
    x : ndarray
        (T, M) float32.
    sigma : ndarray or None
        (M,) float64, the sums so far; None for rest.
    inner, channels : int
        How lanes belong to channels.

    Returns
    -------
    ndarray or None
        (C,) float64; None where `forward` gives None for `x`.
    """
    total, start = np.zeros(x.shape[1]), np.empty(0) if sigma is None else sigma
    bound = _bound(start, len(x))
    if not bound > 0 or not _totals(total.size, x, start, bound, total):
        return None
    mean: Any = total.reshape(-1, channels, inner).sum(axis=(0, 2)) * (channels / x.size)
    return mean


def _bound(states, steps):
    """Below which inputs keep sums from `states` far from what is refused."""
    return np.float32((LIMIT / 4 - np.abs(states).max(initial=0)) / (steps + 1))


@kernel
def _totals(begin, end, x, sigma, bound, total):
    return _totals_lanes(begin, end, x, sigma, bound, total, np.empty(CHUNK))


@scalar
def _totals_lanes(begin, end, x, sigma, bound, total, sums):
    for lo in range(begin, end, CHUNK):
        hi = min(lo + CHUNK, end)
        for i in range(hi - lo):
            sums[i] = sigma[lo + i] if sigma.size else 0
        for t in range(x.shape[0]):
            if _totals_row(x[t, lo:hi], bound, sums[: hi - lo], total[lo:hi]):
                return False
    return True


@scalar
def _totals_row(x, bound, sums, total):
    far = np.int32(0)
    for i in range(x.size):
        far |= np.int32(not abs(x[i]) < bound)
        sums[i] += x[i]
        total[i] += sums[i]
    return far != 0


def backward(grad_message, kept, relu, inner, lift=None, sums=True):
    """Gradients of `forward`.

    Parameters
    ----------
    grad_message, kept : ndarray
        (T, M) float32: the incoming gradient and what `forward` kept.
    relu, inner, sums
        What `forward` was given.
    lift : callable, optional
        Gives for `grad_offset` (M,) a gradient that every sum of a channel has besides, (C,) float64.

    Returns
    -------
    grad_x : ndarray
        (T, M) float32.
    grad_threshold, grad_offset : ndarray
        (M,) float64, per lane; the latter is that of `shift` and of `bias`, where there are sums.
    """
    grad_x = empty_like(grad_message)
    lanes = grad_message.shape[1]
    grad_threshold, total, grad_offset = np.zeros((3, lanes))
    always, more = np.int32(not relu), np.zeros(1)
    if lift is not None:
        _gather(lanes, grad_message, kept, always, grad_offset)
        more = lift(grad_offset)
    _backward(lanes, grad_message, kept, always, float(sums), more, inner, grad_x, grad_threshold, total)
    return grad_x, grad_threshold, total if lift is None else grad_offset


@kernel
def _gather(begin, end, grad_message, kept, always, grad_offset):
    _gather_lanes(begin, end, grad_message, kept, always, np.zeros(CHUNK, np.float32), grad_offset)


@scalar
def _gather_lanes(begin, end, grad_message, kept, always, zeros, grad_offset):
    last = kept.shape[0] - 1
    for lo in range(begin, end, CHUNK):
        hi = min(lo + CHUNK, end)
        for t in range(last, -1, -1):
            later = grad_message[t + 1, lo:hi] if t < last else zeros[: hi - lo]
            _gather_row(grad_message[t, lo:hi], later, kept[t, lo:hi], always, grad_offset[lo:hi])


@scalar
def _passed(grad, later, kept, always):
    """The gradient to the value before the activation."""
    bits = np.float32(kept).view(np.int32)
    return grad - later if np.int32((bits | always) & np.int32(1)) != 0 else np.float32(0)


@scalar
def _factor(kept):
    return np.int32(np.float32(kept).view(np.int32) & np.int32(-2)).view(np.float32)


@scalar
def _gather_row(grad, later, kept, always, offset):
    for i in range(grad.size):
        offset[i] += _passed(grad[i], later[i], kept[i], always)


@kernel
def _backward(begin, end, grad_message, kept, always, hold, lift, inner, grad_x, grad_threshold, total):
    _backward_lanes(
        begin, end, grad_message, kept, always, hold, lift, inner, grad_x, grad_threshold, total,
        np.zeros(CHUNK, np.float32), np.empty(CHUNK),
    )  # fmt: skip


@scalar
def _backward_lanes(
    begin, end, grad_message, kept, always, hold, lift, inner, grad_x, grad_threshold, total, zeros, lifts
):  # fmt: skip
    last = kept.shape[0] - 1
    for lo in range(begin, end, CHUNK):
        hi = min(lo + CHUNK, end)
        n = hi - lo
        spread(lift, inner, lo, lifts[:n])
        for t in range(last, -1, -1):
            later = grad_message[t + 1, lo:hi] if t < last else zeros[:n]
            _retreat(
                grad_message[t, lo:hi], later, kept[t, lo:hi], always, hold, lifts[:n], total[lo:hi],
                grad_threshold[lo:hi], grad_x[t, lo:hi],
            )  # fmt: skip


@scalar
def _retreat(grad, later, kept, always, hold, lift, total, grad_threshold, grad_x):
    for i in range(grad.size):
        total[i] = hold * total[i] + np.float64(_passed(grad[i], later[i], kept[i], always)) + lift[i]
        grad_threshold[i] -= np.float64(grad[i]) * np.float64(_factor(kept[i]))
        grad_x[i] = total[i]
