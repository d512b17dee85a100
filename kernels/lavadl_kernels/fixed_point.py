"""Fixed-point arithmetic of the Loihi neuron models.

States, weights and decays are integers:

=================================  ================================  =================================
Quantity                           One unit of the integer           Width
=================================  ================================  =================================
current, voltage, other states     1/4096 (`STATE_ONE` = 4096)       24 bit
input of a neuron                  1/4096                            32 bit
weight, bias, threshold mantissa   1/64 (`WEIGHT_ONE` = 64)          that of the file
weighted sum of spikes             1/64                              32 bit, 24 bit for a convolution
decay                              1/4096 (`DECAY_ONE` = 4096)       0 to 4096
=================================  ================================  =================================

The widths are those of the device; `wrap24`, `wrap32`, `clip24` and `saturate24` apply them. Training uses the same
integers without widths. Shifts, widths and roundings are defined only in the functions below. They accept Python and
NumPy integers as well as compiled ones; every rounding is toward zero.

Source: the public fixed-point definitions of Lava's LIF process models and of Lava-DL's leaky integrator.

Examples
--------
A voltage of 2.5 units, after one step with a decay of 1/4:

>>> from lavadl_kernels.fixed_point import DECAY_ONE, STATE_ONE, leak
>>> leak(int(2.5 * STATE_ONE), DECAY_ONE // 4) / STATE_ONE
1.875
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numba import types

from lavadl_kernels.runtime.array_types import Array
from lavadl_kernels.runtime.extending import overload
from lavadl_kernels.runtime.jit import scalar
from lavadl_kernels.runtime.rounding import CAN_ROUND_TOWARD_ZERO, round_as, round_toward_zero

STATE_BITS = 12
STATE_ONE = 1 << STATE_BITS  #: one unit of current or voltage
WEIGHT_BITS = 6
WEIGHT_ONE = 1 << WEIGHT_BITS  #: one unit of weight, bias or threshold mantissa
DECAY_BITS = 12
DECAY_ONE = 1 << DECAY_BITS  #: a decay of 1: the state is forgotten at once
STATE_LIMIT = 1 << 23  #: magnitude that the device's signed 24-bit states do not reach
#: The least and the largest number that a width of the device leaves as it is: `clip24`, `wrap24` (the current), and
#: `wrap32` where a magnitude is taken too.
CLIPPED24 = (1 - STATE_LIMIT, STATE_LIMIT - 1)
FOLDED24 = (1 - STATE_LIMIT, STATE_LIMIT)
WRAPPED32 = (1 - (1 << 31), (1 << 31) - 1)
#: float32 holds integers below 2**24: states below this bound, and sums of four of them within a step, are exact
FLOAT32_BOUND = 1 << 22
NEVER = (1 << 62) - 1  #: a threshold that no state reaches


def shift_to_zero(product: Any) -> Any:
    """`product` / 4096, rounded toward zero: sign(p) * (abs(p) >> 12).

    `product` may also be a float64 that holds an integer below 2**53, which vectorises on
    every processor; the result is then the same integer as float64.
    """
    if isinstance(product, float):
        return np.trunc(product * (1 / 4096))
    return -(-product >> 12) if product < 0 else product >> 12


@overload(shift_to_zero)
def _shift_to_zero(product: Any) -> Any:
    if isinstance(product, types.Float):
        return lambda product: np.trunc(product * (1 / 4096))
    # adding 4095 to a negative product turns the floor of >> into rounding toward zero
    return lambda product: (product + ((product >> 63) & 4095)) >> 12


def as_type_of(value: Any, like: Any) -> Any:
    """The integer `value` as a number of the type of `like`, a number or an array of such."""
    return value


@overload(as_type_of)
def _as_type_of(value: Any, like: Any) -> Any:
    kind = like.dtype if isinstance(like, types.Array) else like
    if kind == types.float32:
        return lambda value, like: np.float32(value)
    if kind == types.float64:
        return lambda value, like: np.float64(value)
    return lambda value, like: np.int64(value)


def fixed(value: Any, like: Any) -> Any:
    """`value` in units of 1 as an integer of 1/4096, rounded toward zero, of the number type of `like`."""
    return int(value * 4096)


@overload(fixed)
def _fixed(value: Any, like: Any) -> Any:
    if like == types.float32:
        return lambda value, like: np.trunc(value * np.float32(4096.0))
    if isinstance(like, types.Float):
        return lambda value, like: np.float64(np.trunc(value * np.float32(4096.0)))
    return lambda value, like: np.int64(value * np.float32(4096.0))


@scalar
def real(value: Any) -> Any:
    """An integer of 1/4096 in units of 1, float32."""
    return np.float32(value) * np.float32(1 / 4096)


def scale_to_zero(state: Any, decay_fraction: Any) -> Any:
    """`state` * `decay_fraction` / 4096, rounded toward zero.

    `state` may be a float64 as in `shift_to_zero`, or a float32 that holds an integer below 2**24, with a
    `decay_fraction` up to 4096 in magnitude.  Compiled for float32 it must run between `steps_begin` and `steps_end`.
    """
    if isinstance(state, np.float32):
        return _scale_to_zero_in_float32(state, decay_fraction)
    return shift_to_zero(state * decay_fraction)


@scalar
def _scale_to_zero_in_float32(state: Any, decay_fraction: Any) -> Any:
    # the product may need 36 bits and float32 has 24: it is the sum of two parts of the same sign, that of the whole
    # multiples of 4096, which needs no rounding, and that of the rest; each part has 24 bits at most
    high = np.trunc(state * np.float32(1 / 4096))
    low = state - high * np.float32(4096)
    return high * decay_fraction + np.trunc(low * (decay_fraction * np.float32(1 / 4096)))


@overload(scale_to_zero)
def _scale_to_zero(state: Any, decay_fraction: Any) -> Any:
    if state == types.float32 and not CAN_ROUND_TOWARD_ZERO:
        return lambda state, decay_fraction: _scale_to_zero_in_float32(state, decay_fraction)
    if state == types.float32:
        # rounded toward zero the product stays on the same side of every integer: what is cut off is the same
        return lambda state, decay_fraction: np.trunc(state * (decay_fraction * np.float32(1 / 4096)))
    if isinstance(state, types.Float):
        # a power of two scales exactly wherever it stands in the product; beside the decay fraction the compiler
        # takes the multiplication out of loops over lanes that have the same one
        return lambda state, decay_fraction: np.trunc(state * (decay_fraction * (1 / 4096)))
    return lambda state, decay_fraction: shift_to_zero(state * decay_fraction)


def steps_begin(state: Array) -> int:
    """Prepare steps of float32 states: their products are to be rounded toward zero. Other types need nothing.

    Parameters
    ----------
    state : ndarray
        Of any shape, float32, float64 or int64, 1/4096: the states, of which only the type counts.

    Returns
    -------
    int
        For `steps_end`.  What is computed in between must be in a function that calls `rounding.stay_apart`.
    """
    return 0


@overload(steps_begin)
def _steps_begin(state: Any) -> Any:
    if state.dtype == types.float32:
        return lambda state: round_toward_zero()
    return lambda state: 0


def steps_end(state: Array, mode: int) -> None:
    """Return to the rounding before `steps_begin`.

    Parameters
    ----------
    state : ndarray
        As `steps_begin` took it: of any shape, float32, float64 or int64, 1/4096.
    mode : int
        What it returned.
    """


@overload(steps_end)
def _steps_end(state: Any, mode: Any) -> Any:
    if state.dtype == types.float32:
        return lambda state, mode: round_as(mode)
    return lambda state, mode: None


@scalar
def leak(state: Any, decay: Any) -> Any:
    """`state` after one step of exponential decay: state * (1 - decay / 4096), toward zero."""
    return scale_to_zero(state, as_type_of(4096, state) - decay)


def wrap32(value: Any) -> Any:
    """The signed 32-bit integer congruent to `value` modulo 2**32."""
    return ((value + 2147483648) & 4294967295) - 2147483648


@overload(wrap32)
def _wrap32(value: Any) -> Any:
    if value == types.float32:
        return lambda value: value  # a float32 state is an integer below 2**24, which 32 bits hold
    if isinstance(value, types.Float):
        return lambda value: value - np.floor((value + 2147483648) / 4294967296) * 4294967296
    return lambda value: ((value + 2147483648) & 4294967295) - 2147483648


@scalar
def wrap(value: Any, bits: Any) -> Any:
    """The signed integer of `bits` bits congruent to `value` modulo 2**bits."""
    half = 1 << (bits - 1)
    return ((value + half) & (2 * half - 1)) - half


@scalar
def scale_by_power_of_two(value: Any, exponent: Any) -> Any:
    """`value` * 2**`exponent`, rounded toward zero."""
    if exponent >= 0:
        return value << exponent
    return -(-value >> -exponent) if value < 0 else value >> -exponent


@scalar
def wrap24(value: Any) -> Any:
    """Lava's width of the current: a 32-bit value folded once into (-2**23, 2**23].

    One fold only: values at or beyond 3 * 2**23 stay outside 24 bits, as they do in Lava.
    """
    value = wrap32(value)
    half, whole = as_type_of(8388608, value), as_type_of(16777216, value)
    value = value - whole if value > half else value
    return value + whole if value <= -half else value


@scalar
def clip24(value: Any) -> Any:
    """`value` clipped to [-(2**23 - 1), 2**23 - 1]."""
    most = as_type_of(8388607, value)
    return min(max(value, -most), most)


@scalar
def saturate24(value: Any) -> Any:
    """Lava's width of the voltage: a 32-bit value clipped to 24 bits."""
    return clip24(wrap32(value))


def leaky_gain(decay: int | Array, steps: int) -> float:
    """The gain of a leaky integrator: a bound on its state, from rest, in units of the largest input.

    With rounding toward zero a step leaves at most the decay fraction 1 - d / 4096 of a state, so that inputs up to X
    sum to X (1 + (1 - d / 4096) + ...), which no number of steps brings beyond X 4096 / d.

    Parameters
    ----------
    decay : int or ndarray of int
        d, 0 to 4096 in 1/4096, of any shape; the least of an array counts.
    steps : int
        The number of steps.

    Returns
    -------
    float

    Examples
    --------
    >>> leaky_gain(1024, steps=100)  # a quarter of the state is lost at each step
    4.0
    >>> leaky_gain(0, steps=100)  # an integrator without decay
    100.0
    """
    least = int(np.min(decay, initial=DECAY_ONE))
    return float(steps) if least == 0 else min(float(steps), DECAY_ONE / least)


def chain_gain(decays: Iterable[int | Array], steps: int) -> float:
    """The gain of leaky integrators in a chain, in units of the largest input or initial state.

    From a state up to B and with inputs up to B an integrator stays below B (1 + `leaky_gain`); that is the
    input of the next.

    Parameters
    ----------
    decays : iterable of int or ndarray of int
        One for each integrator of the chain, as `leaky_gain` takes them: each a number or of any shape.
    steps : int
        The number of steps.

    Returns
    -------
    float
    """
    gain = 1.0
    for decay in decays:
        gain *= 1 + leaky_gain(decay, steps)
    return gain


def input_bound(gain: float, wide: bool) -> float:
    """Largest magnitude, in 1/4096, of inputs and initial states for which states stay exact.

    float64 states are exact while their product with a decay, up to 2**12, stays below 2**53, int64 ones below 2**63.
    The bound on states is another factor of 2 below that, which leaves as much again to what states come to by
    themselves, as thresholds that grow with each spike.

    Parameters
    ----------
    gain : float
        The largest magnitude of a state in units of the largest input or initial state.
    wide : bool
        Whether states are int64 instead of float64.

    Returns
    -------
    float
    """
    return (2.0**50 if wide else 2.0**40) / gain


def run_in_float64_or_int64(
    run: Callable[[np.float32, Any], bool], x: tuple[Array, ...], state: Array, gain: float, extra: int = 0
) -> None:
    """Call `run(bound, zero)` with the fastest number type that holds every state exactly.

    `run` returns whether all inputs stayed within `bound`; `zero` gives the type of the states.

    Parameters
    ----------
    run : callable
        ``run(bound, zero) -> bool``.
    x : tuple of ndarray
        Inputs (T, M), units of 1.
    state : ndarray
        Initial states in 1/4096, of any shape.
    gain : float
        The largest magnitude of a state in units of the largest input or initial state.
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
        raise ValueError(
            f"thresholds must stay below {input_bound(1, True) / 4096:.3g}, got parameters with which thresholds can "
            f"grow to {extra / 4096:.3g} over {steps} steps"
        )
    if largest >= bound:
        raise ValueError(f"states must start below {bound / 4096:.3g} in magnitude, got {largest / 4096:.3g}")
    with np.errstate(invalid="ignore"):
        worst = max(float(np.abs(part).max(initial=0)) for part in x)
    raise ValueError(
        f"neuron input must be finite and below {bound / 4096:.3g} in magnitude over {steps} steps, got {worst}"
    )
