"""Deployed neurons of any family: integer weighted sums over time, with or without the device's bit widths.

For each neuron and step n, where `total` is the weighted sum of incoming messages, and R f[n-1] the sum of what the
units of the same sample sent one step before::

    sum[n] = wrap(total[n] + R f[n-1])          to the width of the synapse
    a[n]   = (sum[n] + bias) * 2**up            rounded toward zero, to the scale of the neuron's input
    state, value, spike = step(state, a[n])
    message[n] = value if graded, else 1        where it spikes, else 0

Each family defines its own `step` in its file; `_lane_functions.deployed` generates from it the function that runs
here.  In the `slayer` integers nothing has a width.  In the `loihi` integers, sums have 24 or 32 bits, inputs have 32,
and states have the widths that their family defines.  With either kind, the run records the first step at which the
two would differ if both started that step from the same state.

Most steps of most lanes stay within the widths, where the two kinds are equal.  The lanes of a chunk therefore take a
step together, in a loop over 32-bit states that computes in 64 bits and vectorises.  If a number of any lane leaves
its range, the results of this loop are discarded, and each lane takes the step individually.

Source: Lava's fixed-point process models for the families that Lava has; Lava-DL's for the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from lavadl_kernels.engine import _lane_functions
from lavadl_kernels.engine._lane_functions import narrowed
from lavadl_kernels.engine._optional_rows import copied
from lavadl_kernels.fixed_point import scale_by_power_of_two, wrap, wrap32
from lavadl_kernels.runtime.array_types import Array, Bools, Integers
from lavadl_kernels.runtime.extending import overload
from lavadl_kernels.runtime.jit import ALIGN, HELPER, kernel, prefer_512_bit, scalar

CHUNK = 512  #: lanes per chunk: their states stay in the L1 cache

#: Whether the lanes of a chunk take a step together where possible; the results are the same either way.
TOGETHER = True

_ADVANCE: dict[type, Callable[..., Any]] = {}
_FETCH_ROWS: dict[type, Callable[..., Any]] = {}
_ADVANCE_WITHIN: dict[type, Callable[..., Any]] = {}
_TOGETHER: dict[type, Callable[[Any], bool]] = {}


def declare(
    parameters: type,
    step: Callable[..., Any],
    shape: _lane_functions.Shape,
    together: Callable[[Any], bool] | None = None,
) -> None:
    """Register a family: neurons whose parameters are of this NamedTuple class run by its `step`.

    Parameters
    ----------
    parameters : type
        The NamedTuple class of the family's parameters.
    step : callable
        One step of one neuron.
    shape : Shape
        The arguments and results of `step`.
    together : callable, optional
        A function of the parameters that tells whether the width `shape.room` holds for them; by default it always
        does.

    Raises
    ------
    ValueError
        If another class has the same name.
    """
    _lane_functions.check_class_name(parameters, _ADVANCE)
    _ADVANCE[parameters] = _lane_functions.deployed(step, shape)
    _FETCH_ROWS[parameters], _ADVANCE_WITHIN[parameters] = _lane_functions.deployed_within(step, shape)
    _TOGETHER[parameters] = (lambda neuron: shape.room > 0) if together is None else together


def advance(neuron: Any, state: Integers, i: int, a: Any, b: Any, loihi: bool) -> tuple[bool, Any, bool]:
    """Advance lane i of `state` (K, M) int64, in units of 1/4096, by one step.

    Parameters
    ----------
    neuron : NamedTuple
        Parameters of a family.
    state : ndarray
        (K, M) int64, on the scale of the neuron; updated in place.
    i : int
        The lane.
    a, b : int
        Real and imaginary input, on the scale of the neuron.
    loihi : bool
        Whether to keep the results computed with the device's widths.

    Returns
    -------
    spike, value, differs
        Whether the neuron spikes, the value that a graded spike carries, and whether the results with and without the
        device's widths differ.
    """
    result: tuple[bool, Any, bool] = _ADVANCE[type(neuron)](neuron, state, i, a, b, loihi)
    return result


@overload(advance, jit_options={"error_model": "numpy"})
def _advance(neuron: Any, state: Any, i: Any, a: Any, b: Any, loihi: Any) -> Callable[..., Any]:
    return _ADVANCE[neuron.instance_class]


def fetch_rows(neuron: Any, lo: int, hi: int, decay: Array) -> bool:
    """Copy the decays of lanes `lo` to `hi` to `decay` (P, width) int32; return False if they do not fit 32 bits."""
    return bool(_FETCH_ROWS[type(neuron)](neuron, lo, hi, decay))


@overload(fetch_rows, jit_options=HELPER)
def _fetch_rows(neuron: Any, lo: Any, hi: Any, decay: Any) -> Callable[..., Any]:
    return _FETCH_ROWS[neuron.instance_class]


def advance_within(
    neuron: Any, decay: Array, state: Array, after: Array, x: Array, message: Array, lo: int, graded: bool
) -> bool:
    """Advance the lanes of a chunk by one step, provided that no number in it exceeds its width.

    Parameters
    ----------
    neuron : NamedTuple
        Parameters of a family.
    decay : ndarray
        (P, width) int32, as written by `fetch_rows`.
    state : ndarray
        (K, width) int32, on the scale of the neuron.
    after : ndarray
        (K, width) int32, the states after the step; written.
    x : ndarray
        (2, width) int32, real and imaginary input, on the scale of the neuron.
    message : ndarray
        (n,) integers, written: 1 for a spike, or the value of a graded spike; 0 without a spike.
    lo : int
        The first lane.
    graded : bool
        Whether a spike carries the neuron's value instead of 1.

    Returns
    -------
    bool
        False if a number may have exceeded its width; `after` and `message` are then not valid.
    """
    return bool(_ADVANCE_WITHIN[type(neuron)](neuron, decay, state, after, x, message, lo, graded))


@overload(advance_within, jit_options=HELPER)
def _advance_within(
    neuron: Any, decay: Any, state: Any, after: Any, x: Any, message: Any, lo: Any, graded: Any
) -> Callable[..., Any]:
    return _ADVANCE_WITHIN[neuron.instance_class]


class Synapses(NamedTuple):
    """The input of a layer's neurons: weighted sums of M lanes over T steps.

    It has P parts: one, or two for a real and an imaginary part.
    """

    total: tuple[Array, ...]  #: (T, M) int64 or int32 for each part: weighted sums, and their imaginary part
    bias: Integers  #: (P, M), or (P, 1) if all lanes share it, on the scale of `total`
    #: (P,) number of bits by which the sum plus bias is shifted left to the scale of the neuron's input; a negative
    #: number shifts right and rounds toward zero
    up: Integers
    #: for each part the transpose of R, (O, O) and C-contiguous, on the scale of `total`: row j holds the weights of
    #: unit j's message; M is then N * O, and lane n * O + o is unit o of sample n.  (0, 0) without feedback
    feedback: tuple[Integers, ...]


class Profile(NamedTuple):
    """The kind of integers in a run, the step at which it starts, and the kind of messages that its neurons send."""

    start: int  #: before this step the states do not change and the neurons send nothing
    loihi: bool  #: whether sums, inputs and states have the device's widths
    graded: bool  #: whether a spike carries the neuron's value instead of 1; sigma-delta messages are always values
    bits: int  #: width of the weighted sums, 24 or 32


class Filled(NamedTuple):
    """The output arrays of a run, allocated by the caller."""

    #: (T, M), the messages: int32, or int64 without widths; spikes of size 1 may also be uint8
    message: Array
    record: Array  #: (K, T, M) int32, or int64 without widths, the states after each step; (K, 0, M) to record nothing
    exceeded: Integers  #: (M,), the first step at which the device's widths change a number, or -1


def run(
    neuron: Any, synapses: Synapses, state: Integers, rest: Integers, reset: Bools, profile: Profile, filled: Filled
) -> None:
    """Run weighted sums through neurons.

    Parameters
    ----------
    neuron : NamedTuple
        Parameters of a family; per-lane arrays have M lanes, and decays may be (P, 1) if all lanes share them.
    synapses : Synapses
        The input of the neurons.
    state : ndarray
        (K, M) int64, on the scale of the neurons; updated in place.
    rest : ndarray
        (K, M) int64, or (K, 1) if all lanes share it, on the scale of the neurons: the states after a reset.
    reset : ndarray
        (T,) bool, without unit: the steps at which the states are set to `rest` before the update.
    profile : Profile
        The kind of integers and messages.
    filled : Filled
        The output arrays; written.
    """
    together = TOGETHER and _TOGETHER[type(neuron)](neuron)
    units, rows = len(synapses.feedback[0]), len(getattr(neuron, "decay", ()))
    _run(state.shape[1], neuron, synapses, state, rest, reset, profile, together, rows, filled, align=units or ALIGN)


class Together(NamedTuple):
    """The buffers of a chunk of lanes that take each step together."""

    state: Array  #: (2, K, width) int32, the states before and after a step; the two halves swap roles at each step
    decay: Array  #: (R, width) int32, rows of decays
    bias: Array  #: (2, width) int32
    x: Array  #: (2, width) int32, inputs on the scale of the neurons


@kernel
def _run(
    begin: int,
    end: int,
    neuron: Any,
    synapses: Synapses,
    state: Integers,
    rest: Integers,
    reset: Bools,
    profile: Profile,
    together: bool,
    rows: int,
    filled: Filled,
) -> None:
    units = synapses.feedback[0].shape[0]
    width = units if units > 0 else max(1, min(CHUNK, end - begin))
    sums = np.zeros((2, width), np.int64)
    held = Together(
        np.empty((2, state.shape[0], width), np.int32),
        np.empty((rows, width), np.int32),
        np.empty((2, width), np.int32),
        np.empty((2, width), np.int32),
    )
    for lo in range(begin, end, width):
        hi = min(lo + width, end)
        _run_lanes(lo, hi, neuron, synapses, state, rest, reset, profile, together, held, sums, filled)


@scalar  # a separate function: the loops do not vectorise if the arrays are allocated in the same function
def _run_lanes(
    lo: int, hi: int, neuron: Any, synapses: Synapses, state: Integers, rest: Integers, reset: Bools, profile: Profile,
    together: bool, held: Together, sums: Integers, filled: Filled,
) -> None:  # fmt: skip
    total, bias, up, feedback = synapses
    start, _, graded, bits = profile
    both, decay, offset, x = held
    message, record, exceeded = filled
    units, parts, now = feedback[0].shape[0], len(total), 0
    exceeded[lo:hi] = -1
    together = together and fetch_rows(neuron, lo, hi, decay) and narrowed(bias, lo, hi, offset)
    current = together and narrowed(state, lo, hi, both[now])  # whether `both[now]` holds the current states
    for t in range(message.shape[0]):
        row = message[t, lo:hi]
        if reset[t]:
            _reset(rest, lo, hi, state)
            current = together and narrowed(state, lo, hi, both[now])
        if t < start:
            row[:] = 0
        else:
            moved = current
            for p in range(parts):
                if units > 0:
                    copied(total[p][t, lo:hi], sums[p])
                    if t > 0:
                        _spread(message[t - 1, lo:hi], feedback[p], sums[p])
                    moved = moved and _scaled(sums[p, : hi - lo], offset[p], up[p], bits, x[p])
                else:
                    moved = moved and _scaled(total[p][t, lo:hi], offset[p], up[p], bits, x[p])
            if moved and advance_within(neuron, decay, both[now], both[1 - now], x, row, lo, graded):
                now = 1 - now
            else:
                if current:
                    _widened(both[now], lo, hi, state)
                if units == 0:
                    for p in range(parts):
                        copied(total[p][t, lo:hi], sums[p, : hi - lo])
                _lanes(neuron, sums, parts, bias, up, state, profile, row, t, lo, exceeded)
                current = together and narrowed(state, lo, hi, both[now])
        if record.shape[1] > 0:
            for k in range(state.shape[0]):
                if current:
                    copied(both[now, k, : hi - lo], record[k, t, lo:hi])
                else:
                    copied(state[k, lo:hi], record[k, t, lo:hi])
    if current:
        _widened(both[now], lo, hi, state)


@scalar
def _widened(held: Array, lo: int, hi: int, state: Integers) -> None:
    for k in range(state.shape[0]):
        copied(held[k, : hi - lo], state[k, lo:hi])


@scalar
def _reset(rest: Integers, lo: int, hi: int, state: Integers) -> None:
    last = rest.shape[1] - 1
    for k in range(state.shape[0]):
        for i in range(lo, hi):
            state[k, i] = rest[k, min(i, last)]


@scalar
def _scaled(total: Array, bias: Array, up: int, bits: int, x: Array) -> bool:
    """Write the inputs `x`, on the scale of the neurons, in 32 bits; return False if a width may matter."""
    prefer_512_bit()
    signs, most, widest = np.int64(0), np.int64((1 << (bits - 1)) - 1), np.int64(2**31 - 1)
    for i in range(total.size):
        free = np.int64(total[i])
        value = scale_by_power_of_two(free + bias[i], up)
        signs |= (most + free) | (most - free) | (widest + value) | (widest - value)
        x[i] = value
    return bool(signs >= 0)


@scalar
def _spread(sent: Array, weights: Integers, total: Integers) -> None:
    """Add the weighted messages of all units that sent one to `total`."""
    for j in range(sent.size):
        if sent[j] != 0:
            size, row = np.int64(sent[j]), weights[j]
            for i in range(total.size):
                total[i] += size * row[i]


@scalar
def _lanes(
    neuron: Any,
    sums: Integers,
    parts: int,
    bias: Integers,
    up: Integers,
    state: Integers,
    profile: Profile,
    row: Array,
    t: int,
    lo: int,
    exceeded: Integers,
) -> None:
    _, loihi, graded, bits = profile
    last = bias.shape[1] - 1
    for i in range(lo, lo + row.size):
        free = sums[0, i - lo]
        narrow = wrap(free, bits)
        beyond = narrow != free
        a = scale_by_power_of_two((narrow if loihi else free) + bias[0, min(i, last)], up[0])
        beyond |= wrap32(a) != a
        b = np.int64(0)
        if parts > 1:
            free = sums[1, i - lo]
            narrow = wrap(free, bits)
            beyond |= narrow != free
            b = scale_by_power_of_two((narrow if loihi else free) + bias[1, min(i, last)], up[1])
            beyond |= wrap32(b) != b
        spike, value, differs = advance(neuron, state, i, a, b, loihi)
        row[i - lo] = (value if graded else np.int64(1)) if spike else np.int64(0)
        if (beyond or differs) and exceeded[i] < 0:
            exceeded[i] = t
