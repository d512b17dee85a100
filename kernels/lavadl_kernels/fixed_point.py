"""Fixed-point arithmetic of the Loihi neuron models.

States are integers in units of 1/4096 (`STATE_ONE`), weights, biases and thresholds in
units of 1/64 (`WEIGHT_ONE`), decays in units of 1/4096 (`DECAY_ONE`).  The functions below
are the only place where shifts, widths and roundings are written.  They take Python or
NumPy integers as well as compiled ones.

Source: the public fixed-point definitions of Lava's LIF process models and of Lava-DL's
leaky integrator.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import overload

from lavadl_kernels.runtime.jit import scalar

STATE_BITS = 12
STATE_ONE = 1 << STATE_BITS  #: one unit of current or voltage
WEIGHT_BITS = 6
WEIGHT_ONE = 1 << WEIGHT_BITS  #: one unit of weight, bias or threshold mantissa
DECAY_BITS = 12
DECAY_ONE = 1 << DECAY_BITS  #: a decay of 1: the state is forgotten at once
STATE_LIMIT = 1 << 23  #: width of the chip's signed 24-bit states
FLOAT32_BOUND = 1 << 22  #: states below this, and sums of four of them, are exact in float32
NEVER = (1 << 62) - 1  #: a threshold that no state reaches


def shift_to_zero(product):
    """`product` / 4096, rounded toward zero: sign(p) * (abs(p) >> 12).

    `product` may also be a float64 that holds an integer below 2**53, which vectorises on
    every processor; the result is then the same integer as float64.
    """
    if isinstance(product, float):
        return np.trunc(product * (1 / 4096))
    return -(-product >> 12) if product < 0 else product >> 12


@overload(shift_to_zero)
def _shift_to_zero(product):
    if isinstance(product, types.Float):
        return lambda product: np.trunc(product * (1 / 4096))
    # adding 4095 to a negative product turns the floor of >> into rounding toward zero
    return lambda product: (product + ((product >> 63) & 4095)) >> 12


def as_type_of(value, like):
    """The integer `value` as a number of the type of `like`, a number or an array of such."""
    return value


@overload(as_type_of)
def _as_type_of(value, like):
    kind = like.dtype if isinstance(like, types.Array) else like
    if kind == types.float32:
        return lambda value, like: np.float32(value)
    if kind == types.float64:
        return lambda value, like: np.float64(value)
    return lambda value, like: np.int64(value)


def fixed(value, like):
    """`value` in units of 1 as an integer of 1/4096, rounded toward zero, of the number type of `like`."""
    return int(value * 4096)


@overload(fixed)
def _fixed(value, like):
    if like == types.float32:
        return lambda value, like: np.trunc(value * np.float32(4096.0))
    if isinstance(like, types.Float):
        return lambda value, like: np.float64(np.trunc(value * np.float32(4096.0)))
    return lambda value, like: np.int64(value * np.float32(4096.0))


@scalar
def real(value):
    """An integer of 1/4096 in units of 1, float32."""
    return np.float32(value) * np.float32(1 / 4096)


def scale_to_zero(state, share):
    """`state` * `share` / 4096, rounded toward zero.

    `state` may be a float64 as in `shift_to_zero`, or a float32 that holds an integer below 2**24, with a
    `share` from 0 to 4096.
    """
    return _scale_to_zero_in_float32(state, share) if isinstance(state, np.float32) else shift_to_zero(state * share)


@scalar
def _scale_to_zero_in_float32(state, share):
    # of two parts of the same sign: whole multiples of 4096, which need no rounding, and the rest; each
    # product has 24 bits at most
    high = np.trunc(state * np.float32(1 / 4096))
    low = state - high * np.float32(4096)
    return high * share + np.trunc(low * (share * np.float32(1 / 4096)))


@overload(scale_to_zero)
def _scale_to_zero(state, share):
    if state == types.float32:
        return lambda state, share: _scale_to_zero_in_float32(state, share)
    if isinstance(state, types.Float):
        # a power of two scales exactly wherever it stands; here it leaves the loops over lanes that share it
        return lambda state, share: np.trunc(state * (share * (1 / 4096)))
    return lambda state, share: shift_to_zero(state * share)


@scalar
def leak(state, decay):
    """`state` after one step of exponential decay: state * (1 - decay / 4096), toward zero."""
    return scale_to_zero(state, as_type_of(4096, state) - decay)


def wrap32(value):
    """The signed 32-bit integer congruent to `value` modulo 2**32."""
    return ((value + 2147483648) & 4294967295) - 2147483648


@overload(wrap32)
def _wrap32(value):
    if value == types.float32:
        return lambda value: value  # an integer below 2**24
    if isinstance(value, types.Float):
        return lambda value: value - np.floor((value + 2147483648) / 4294967296) * 4294967296
    return lambda value: ((value + 2147483648) & 4294967295) - 2147483648


@scalar
def wrap(value, bits):
    """The signed integer of `bits` bits congruent to `value` modulo 2**bits."""
    half = 1 << (bits - 1)
    return ((value + half) & (2 * half - 1)) - half


@scalar
def scale_by_power_of_two(value, up):
    """`value` * 2**up, rounded toward zero."""
    if up >= 0:
        return value << up
    return -(-value >> -up) if value < 0 else value >> -up


@scalar
def wrap24(value):
    """Lava's width of the current: a 32-bit value folded once into (-2**23, 2**23].

    One fold only: values at or beyond 3 * 2**23 stay outside 24 bits, as they do in Lava.
    """
    value = wrap32(value)
    half, whole = as_type_of(8388608, value), as_type_of(16777216, value)
    value = value - whole if value > half else value
    return value + whole if value <= -half else value


@scalar
def clip24(value):
    """`value` clipped to [-(2**23 - 1), 2**23 - 1]."""
    most = as_type_of(8388607, value)
    return min(max(value, -most), most)


@scalar
def saturate24(value):
    """Lava's width of the voltage: a 32-bit value clipped to 24 bits."""
    return clip24(wrap32(value))


def leaky_gain(decay, steps):
    """How many times its largest input a leaky integrator at rest can come to within `steps` steps.

    With rounding toward zero a step leaves at most the share 1 - d / 4096 of a state, so that inputs up to X sum to
    X (1 + (1 - d / 4096) + ...), which no number of steps brings beyond X 4096 / d.

    Parameters
    ----------
    decay : int or ndarray of int
        0 to 4096; the least of an array counts.
    steps : int
        How long.

    Returns
    -------
    float
    """
    least = int(np.min(decay, initial=DECAY_ONE))
    return float(steps) if least == 0 else min(float(steps), DECAY_ONE / least)


def chain_gain(decays, steps):
    """How many times inputs and initial states, whichever is larger, integrators in a chain can come to.

    From a state up to B and with inputs up to B an integrator stays below B (1 + `leaky_gain`); that is the
    input of the next.
    """
    gain = 1.0
    for decay in decays:
        gain *= 1 + leaky_gain(decay, steps)
    return gain


def input_bound(gain, wide):
    """Largest magnitude of inputs and initial states that keeps states of `gain` times it exact, in 1/4096.

    float64 states are exact while their product with a decay stays below 2**53, int64 ones below 2**63. Half of
    that is left to what states come to by themselves.
    """
    return (2.0**50 if wide else 2.0**40) / gain


def run_in_float64_or_int64(run, x, state, gain, extra=0):
    """Call `run(bound, zero)` with the fastest number type that holds every state exactly.

    `run` returns whether all inputs stayed within `bound`; `zero` gives the type of the states.

    Parameters
    ----------
    run : callable
        ``run(bound, zero) -> bool``.
    x : tuple of ndarray
        Inputs (T, M), units of 1.
    state : ndarray
        Initial states in 1/4096.
    gain : float
        How many times inputs and initial states, whichever is larger, a state can come to.
    extra : int
        Largest magnitude, in 1/4096, that a state reaches by itself.

    Raises
    ------
    ValueError
        If an input is NaN, infinite, or too large for any fixed-point type, or a state can become so.
    """
    steps = x[0].shape[0]
    largest = float(np.abs(state).max(initial=0))
    for zero in (np.float64(0), np.int64(0)):
        wide = isinstance(zero, np.int64)
        bound = input_bound(gain, wide)
        if largest < bound and extra < input_bound(1, wide) and run(np.float32(bound), zero):
            return
    if extra >= input_bound(1, True):
        raise ValueError(f"thresholds can grow to {extra / 4096:.3g} over {steps} steps, beyond any fixed-point type")
    if largest >= bound:
        raise ValueError(f"states must start below {bound / 4096:.3g} in magnitude, found {largest / 4096:.3g}")
    with np.errstate(invalid="ignore"):
        worst = max(float(np.abs(part).max(initial=0)) for part in x)
    raise ValueError(
        f"neuron input must be finite and below {bound / 4096:.3g} in magnitude over {steps} steps, found {worst}"
    )
