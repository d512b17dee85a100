"""The range that each number of a neuron can take, for every input of a stated range.

All is about the integers without widths: as long as a bound lies within the device's width, the device's integers are
the same.  Ranges are rounded outwards, hold 0, from which every state and message starts, and are `UNBOUNDED` where a
number can grow without end or beyond what is worth telling.

**Leaky integrators.**  ``x' = x (4096 - d) / 4096 + a``, rounded toward zero, is monotone in x and a.  So no input up
to A brings x beyond what the constant input A reaches from rest.  That trajectory rises to the least x with
``ceil(x d / 4096) = A``, which is ``floor(4096 (A - 1) / d) + 1``: the bound is reached.

**Resonators.**  A step multiplies (re, im) by the stored rotation h and adds an input; the four products are cut, so
each part errs by less than 2 units.  Hence re after t steps is at most the sum over k of the largest
``Re(h**k) a_re - Im(h**k) a_im`` that the input allows, plus ``2 (abs(Re h**k) + abs(Im h**k))``; im likewise.

**Adaptive thresholds.**  A neuron spikes only where its value reaches th + r, both at least 0. So a threshold rises to
at most the largest value plus one rise, and a refractory state to at most twice the largest value, even where their
decays are 0. Beside this they are leaky integrators whose largest input is a spike at every step.

**Sigma-delta.**  What a neuron has sent, added up, is its activation less its residue. So the sum of its messages
has the range of these two, however many they are, but for what the cut to the scale of messages loses: up to one unit
less the granularity of the activation a message.

Source: the families' recurrences.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from lavadl_kernels.fixed_point import DECAY_ONE, STATE_BITS, leak
from lavadl_kernels.runtime.array_types import Integers
from lavadl_kernels.runtime.jit import kernel

#: Magnitude from which on a range is not told from one without end. It leaves 22 bits in 64 for weights.
UNBOUNDED = 1 << 40
#: Powers of a rotation that are summed one by one; those behind them are bounded by a geometric series.
POWERS = 1 << 20
ROUNDED = 2  #: units by which a part errs at most in a step: two products of it are cut, each by less than one
_SMALL = 1e-9  #: float64 sums of at most `POWERS` terms are exact to this share of them, many times over


class Range(NamedTuple):
    """Least and largest integer of each lane, both (M,) or (1,) int64; they hold 0, but for a bias."""

    low: Integers
    high: Integers

    @property
    def largest(self) -> Integers:
        """(M,) int64: the largest magnitude."""
        return np.maximum(-self.low, self.high)


def within(low: Any, high: Any) -> Range:
    """The range from `low` to `high`, and 0, both of any integers; at most `UNBOUNDED` in magnitude.

    Parameters
    ----------
    low, high : array_like of int or float
        (M,) or numbers; floats are rounded outwards.
    """
    low = np.minimum(np.floor(np.maximum(low, -float(UNBOUNDED))), 0).astype(np.int64)
    high = np.maximum(np.ceil(np.minimum(high, float(UNBOUNDED))), 0).astype(np.int64)
    low, high = np.broadcast_arrays(np.atleast_1d(low), np.atleast_1d(high))
    return Range(low, high)


def _endless(x: Any) -> Any:
    """Tell which ends of ranges have no bound."""
    return np.abs(x) >= UNBOUNDED


def scaled(x: Range, exponent: int) -> Range:
    """The range of ``fixed_point.scale_by_power_of_two(x, exponent)``."""
    if exponent >= 0:
        return within(x.low * 2.0**exponent, x.high * 2.0**exponent)
    low, high = -(-x.low >> -exponent), x.high >> -exponent
    return within(np.where(_endless(x.low), x.low, low), np.where(_endless(x.high), x.high, high))


def floored(x: Range, cut: int) -> Range:
    """The range of ``x >> cut``."""
    low, high = x.low >> cut, x.high >> cut
    return within(np.where(_endless(x.low), x.low, low), np.where(_endless(x.high), x.high, high))


def plus(x: Range, y: Range) -> Range:
    """The range of the sum of two numbers, and 0."""
    low = np.where(_endless(x.low) | _endless(y.low), -UNBOUNDED, x.low + y.low)
    return within(low, np.where(_endless(x.high) | _endless(y.high), UNBOUNDED, x.high + y.high))


class Drive(NamedTuple):
    """All that acts on a layer's neurons, on the scale of their input; M lanes."""

    inputs: tuple[Range, ...]  #: the input of a step: one, or real and imaginary part
    total: Range  #: the sum of the real input over any number of steps since a reset
    bias: Range  #: of families whose bias acts on a state; need not hold 0, since it is there at every step
    steps: int | None  #: most steps since the start or a reset; None for any number
    granularity: int = 1  #: a power of two of which every input, and every bias, is a multiple


class Reach(NamedTuple):
    """The ranges of a layer's neurons."""

    states: dict[str, Range]  #: after each step, and before a spike resets them
    between: dict[str, Range]  #: further numbers of a step that have a width on the device
    value: Range  #: what a graded spike carries, or a message; (M,) zeros in both where none is sent
    fires: Any  #: (M,) bool: whether a neuron can spike or send at all
    total: Range | None = (
        None  #: the sum of all messages since a reset, where it is less than their number times `value`
    )


@kernel
def _rise(begin: int, end: int, decay: Integers, a: Integers, steps: int, found: Integers) -> None:
    for i in range(begin, end):
        d, x, input_ = decay[i], np.int64(0), a[i]
        for _ in range(steps):
            new = leak(x, d) + input_
            if new == x or new >= UNBOUNDED:
                x = new
                break
            x = new
        found[i] = x


def top(decay: Integers, a: Integers, steps: int | None) -> Integers:
    """The largest state of a leaky integrator, from rest, under inputs from 0 to `a`.

    Parameters
    ----------
    decay, a : ndarray
        (M,) or (1,) int64, 1/4096; `a` not negative.
    steps : int or None
        Most steps; None for any number.

    Returns
    -------
    ndarray
        (M,) int64, 1/4096; it is reached, by the constant input `a`.
    """
    decay, a = np.broadcast_arrays(decay, a)
    with_end = np.maximum(decay, 1)
    ever = np.where(a > 0, (np.minimum(a, UNBOUNDED) - 1) * DECAY_ONE // with_end + 1, 0)
    ever = np.where((decay > 0) | (a == 0), ever, UNBOUNDED)
    if steps is not None:
        if steps <= DECAY_ONE:
            pairs, inverse = np.unique(np.stack([decay, a]), axis=1, return_inverse=True)
            found = np.empty(pairs.shape[1], np.int64)
            _rise(found.size, pairs[0].copy(), pairs[1].copy(), steps, found)
            return np.minimum(found[inverse.reshape(-1)], UNBOUNDED)
        ever = np.where(decay > 0, ever, np.minimum(a, UNBOUNDED // steps + 1) * steps)
    return np.minimum(ever, UNBOUNDED)


def leaky(decay: Integers, x: Range, steps: int | None) -> Range:
    """The range of a leaky integrator, from rest, under inputs within `x`.

    Parameters
    ----------
    decay : ndarray
        (M,) or (1,) int64, 1/4096.
    x : Range
        Of its input.
    steps : int or None
        Most steps; None for any number.

    Examples
    --------
    >>> leaky(np.array([1024]), within(-3, 100), None)  # 4096 / 1024 (100 - 1) + 1
    Range(low=array([-9]), high=array([397]))
    """
    return Range(-top(decay, -x.low, steps), top(decay, x.high, steps))


def _kept(state: Integers, decay: Integers) -> Integers:
    """`fixed_point.leak` of states that are not negative."""
    return state * (DECAY_ONE - decay) >> STATE_BITS


def reset_above(free: Range, drive: Range, decay: Integers, threshold: int) -> tuple[Range, Any]:
    """The range of a leaky integrator that a value above `threshold` sets back to 0, before its reset.

    Parameters
    ----------
    free : Range
        Of the same integrator without a reset.
    drive : Range
        Of its input.
    decay : ndarray
        (M,) or (1,) int64, 1/4096.
    threshold : int
        Not negative, 1/4096.

    Returns
    -------
    value, fires : Range, (M,) bool
        Whether the value can pass the threshold.
    """
    held = np.minimum(free.high, threshold)
    fires = free.high > threshold
    high = np.minimum(_kept(held, decay) + drive.high, UNBOUNDED)
    return within(free.low, np.where(fires, np.minimum(high, free.high), free.high)), fires


def adaptive(value: Range, decays: Integers, threshold: int, rise: int, steps: int | None) -> tuple[Range, Range, Any]:
    """The ranges of an adaptive threshold and a refractory state, and whether the neuron can spike.

    Parameters
    ----------
    value : Range
        Of what is compared with their sum.
    decays : ndarray
        (2, M) or (2, 1) int64, of the two, 1/4096.
    threshold, rise : int
        At rest, and the rise by a spike; not negative, 1/4096.
    steps : int or None
        Most steps; None for any number.

    Returns
    -------
    threshold, refractory : Range
    fires : ndarray
        (M,) bool.
    """
    fires = value.high >= threshold
    above = top(decays[0], np.full(1, rise, np.int64), steps)
    level = np.minimum(threshold + _kept(above, decays[0]), value.high)
    th = np.minimum(threshold + above, value.high + rise)
    r = np.minimum(top(decays[1], 2 * np.maximum(level, 0), steps), 2 * value.high)
    return within(0, np.where(fires, th, threshold)), within(0, np.where(fires, r, 0)), fires


class _Powers(NamedTuple):
    """Sums over the powers h**k of a rotation, rounded outwards."""

    #: (B,) each: of the positive and the negative part of Re(h**k), and of Im(h**k), up to the end of each block
    sums: tuple[Any, Any, Any, Any]
    #: (B,) the largest magnitudes of Re(h**k) and Im(h**k) from the beginning of each block on
    re: Any
    im: Any


def _powers(sin: int, cos: int, steps: int | None) -> _Powers | None:
    """Sums over the powers of a stored rotation; None where they do not end."""
    rho, angle = math.hypot(sin, cos) / DECAY_ONE, math.atan2(sin, cos)
    endless = sin * sin + cos * cos >= DECAY_ONE * DECAY_ONE
    count = POWERS if steps is None else min(steps, POWERS)
    if not endless and rho > 0:
        count = max(1, min(count, math.ceil(math.log(_SMALL * (1 - rho)) / math.log(rho))))
    if endless and (steps is None or steps > POWERS or steps * math.log(max(rho, 1)) > math.log(UNBOUNDED)):
        return None
    k = np.arange(count if rho > 0 else 1)
    size = np.exp(k * math.log(rho)) if rho > 0 else np.ones(1)
    re, im = size * np.cos(k * angle), size * np.sin(k * angle)
    # one by one where a reset still counts, then in blocks that double
    ends = np.unique(np.minimum(np.concatenate([np.arange(1, 65), 64 * 2 ** np.arange(1, 15)]), k.size))
    rest = 0.0 if endless else float(size[-1]) * rho / (1 - rho)
    rest = 0.0 if steps is not None and k.size >= steps else rest
    sums = []
    for part in (re, im):
        for sign in (1, -1):
            total = np.cumsum(np.maximum(sign * part, 0) + _SMALL * size)[ends - 1] * (1 + _SMALL)
            total[-1] += rest
            sums.append(total)
    begins = np.concatenate([[0], ends[:-1]])
    largest = [
        np.maximum(np.maximum.accumulate(np.abs(part)[::-1])[::-1][begins], size[-1]) + _SMALL for part in (re, im)
    ]
    return _Powers((sums[0], sums[1], sums[2], sums[3]), largest[0], largest[1])


def rotating(decay: Integers, re: Range, im: Range, steps: int | None, reset: int | None = None) -> tuple[Range, Range]:
    """The ranges of real and imaginary part of a resonator, from rest.

    Parameters
    ----------
    decay : ndarray
        (2, M) or (2, 1) int64, sine and cosine, 1/4096.
    re, im : Range
        Of the inputs.
    steps : int or None
        Most steps; None for any number.
    reset : int, optional
        What a spike sets the imaginary part to, and the real part to 0; by default it leaves both.

    Returns
    -------
    re, im : Range
    """
    lanes = np.broadcast_shapes(decay[0].shape, re.low.shape, im.low.shape)
    rows = np.stack([np.broadcast_to(row, lanes) for row in (*decay[:2], *re, *im)])
    kinds, inverse = np.unique(rows, axis=1, return_inverse=True)
    found = np.empty((4, kinds.shape[1]))
    for sin, cos in np.unique(kinds[:2], axis=1).T:
        at = (kinds[0] == sin) & (kinds[1] == cos)
        low_re, high_re, low_im, high_im = kinds[2:, at].astype(np.float64)
        silent = (low_re == high_re) & (low_im == high_im)  # both 0: nothing moves, and nothing is rounded
        endless = _endless(kinds[2:, at]).any(axis=0)
        powers = _powers(int(sin), int(cos), steps)
        if powers is None:
            found[:, at] = np.where(silent, 0, UNBOUNDED)
            continue
        up_re, down_re, up_im, down_im = (part[:, None] for part in powers.sums)
        rounded = ROUNDED * (up_re + down_re + up_im + down_im)
        sides = (
            up_re * high_re - down_re * low_re - up_im * low_im + down_im * high_im,
            up_re * -low_re + down_re * high_re + up_im * high_im - down_im * low_im,
            up_im * high_re - down_im * low_re + up_re * high_im - down_re * low_im,
            up_im * -low_re + down_im * high_re - up_re * low_im + down_re * high_im,
        )
        away = 0.0 if reset is None else float(abs(reset))
        after = (powers.im[:, None] * away, powers.re[:, None] * away)
        for row, side in enumerate(sides):
            bound = side + rounded + 1
            # since a reset k steps ago, or since the start
            ever = np.maximum(bound[-1], (bound + after[row // 2]).max(axis=0) if away else 0)
            found[row, at] = np.where(silent, 0, np.where(endless, UNBOUNDED, ever))
    high_re, low_re, high_im, low_im = np.minimum(found, UNBOUNDED)[:, inverse.reshape(-1)]
    return within(-low_re, high_re), within(-low_im, high_im)


def encoded(
    activation: Range, threshold: Integers, cum_error: bool, cut: int, granularity: int, steps: int | None
) -> Reach:
    """The ranges of a neuron that sends the changes of its activation.

    Parameters
    ----------
    activation : Range
        As it is encoded.
    threshold : ndarray
        (M,) int64, not negative, in the unit of the activation.
    cum_error : bool
        Whether the sum of the changes since the last message is compared.
    cut : int
        Bits between the scale of the activation and that of messages.
    granularity : int
        A power of two of which every activation is a multiple.
    steps : int or None
        Most steps; None for any number.

    Returns
    -------
    Reach
        With the states ``residue`` and ``error``.
    """
    held = np.maximum(threshold - 1, 0)
    # with cum_error a change stays unsent while its sum is small: a single one is a difference of two such sums
    unsent = held * (2 if cum_error else 1)
    residue = within(-unsent, unsent)
    error = within(-held, held) if cum_error else within(0, 0)
    sent = plus(activation, residue)  # residues are as likely negative
    change = plus(activation, within(-sent.high, -sent.low))
    message = floored(change, cut)
    lost = (1 << cut) - min(granularity, 1 << cut)
    drift = 0.0 if lost == 0 else float(UNBOUNDED) if steps is None else float(lost) * steps
    # rounded up as the smaller magnitude is: the sum of floors is not below the sum less what is lost
    total = scaled(plus(sent, within(-drift, 0)), -cut)
    between = {"change": change}
    if cum_error:
        between["compared"] = plus(error, change)
    return Reach({"residue": residue, "error": error}, between, message, message.largest > 0, total)


__all__ = [
    "UNBOUNDED",
    "Drive",
    "Range",
    "Reach",
    "adaptive",
    "encoded",
    "floored",
    "leaky",
    "plus",
    "reset_above",
    "rotating",
    "scaled",
    "top",
    "within",
]
