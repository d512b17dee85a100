"""Eligibility traces: derivatives of the states of neurons, carried forward in time.

As in the backward pass, a neuron treats its own past spikes as constants.  The derivative of a state with respect to a
weight therefore obeys a linear recurrence, the family's `tangent`, which is driven by the input of the weight.  If all
neurons of a layer share their decays, one trace per input suffices instead of one per weight.  The derivative with
respect to a decay is one number per neuron; it obeys the same recurrence, driven by the states.  Neither depends on
later steps, so online learning carries both forward and needs no history.

Arrays are (T, M) for M lanes, with time as the slowest axis in memory; traces are float32 in units of 1.  The results
have the same bits however a run is divided into calls, and on any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from lavadl_kernels.engine import _lane_functions, train
from lavadl_kernels.engine._optional_rows import copied
from lavadl_kernels.runtime.array_types import Array, Floats, Integers
from lavadl_kernels.runtime.buffers import empty
from lavadl_kernels.runtime.extending import overload
from lavadl_kernels.runtime.jit import HELPER, kernel, scalar

CHUNK = 512  #: lanes processed at a time: their traces and states stay in the L1 cache

_ADVANCE: dict[type, Callable[..., Any]] = {}
_ADVANCE_DECAYS: dict[type, Callable[..., Any]] = {}
_AFTER_SPIKES: dict[type, Callable[..., Any]] = {}
_COUNTS: dict[type, tuple[int, int]] = {}


def declare(
    parameters: type,
    tangent: Callable[..., Any],
    spike_tangent: Callable[..., Any] | None,
    shape: _lane_functions.Shape,
    decays: tuple[str, ...],
    rests: tuple[str, ...],
) -> None:
    """Register a family: traces of neurons whose parameters are of this NamedTuple class follow its `tangent`.

    Parameters
    ----------
    parameters : type
        The NamedTuple class.
    tangent, spike_tangent : callable
        The functions of these names in the family's record.
    shape : Shape
        The arguments and results of the family's `step`.
    decays : tuple of str
        Names of the decays that have derivatives.
    rests : tuple of str
        For each state the name of the parameter that it equals at rest; "" if the state is 0 at rest.
    """
    _ADVANCE[parameters] = _lane_functions.traced(tangent, shape, len(decays))
    _ADVANCE_DECAYS[parameters], _AFTER_SPIKES[parameters] = _lane_functions.traced_decays(
        tangent, spike_tangent, shape, len(decays), rests
    )
    _COUNTS[parameters] = shape.states, len(decays)


def advance(neuron: Any, decay_fraction: Array, trace: Floats, x: Floats) -> bool:
    """Carry the derivatives with respect to a weight through one time step of the lanes of a chunk.

    Parameters
    ----------
    neuron : NamedTuple
        Parameters of the family.
    decay_fraction : ndarray
        (P, width), or (P,) if all lanes share the decays: the decays in units of 1.
    trace : ndarray
        (K, width) float32, units of 1: the traces before the step; replaced by those after it.
    x : ndarray
        (n,) float32, units of 1: the input of the weight.

    Returns
    -------
    bool
        Whether any trace is not zero after the step.
    """
    return bool(_ADVANCE[type(neuron)](neuron, decay_fraction, trace, x))


@overload(advance, jit_options=HELPER)
def _advance(neuron: Any, decay_fraction: Any, trace: Any, x: Any) -> Callable[..., Any]:
    return _ADVANCE[neuron.instance_class]


def advance_decays(
    neuron: Any, decay_fraction: Array, state: Array, trace: Floats, slope: Floats, t: int, lo: int, total: Array
) -> None:
    """Carry the derivatives with respect to the decays through one time step of the lanes of a chunk.

    The step also adds the resulting gradients to `total`.

    Parameters
    ----------
    neuron : NamedTuple
        Parameters of the family.
    decay_fraction : ndarray
        (P, width), or (P,) if all lanes share the decays: the decays in units of 1.
    state : ndarray
        (K, width), the states before the step, in units of 1/4096.
    trace : ndarray
        (D, K, width) float32, units of 1: the derivative of each state with respect to each decay; replaced by that
        after the step, before a spike changes the states.
    slope : ndarray
        (K, T, M) float32, the gradients with respect to the states before a spike changes them, read at
        [:, t, lo : lo + n].
    t, lo : int
        The time step and the first lane in `slope`.
    total : ndarray
        (D, n) float64, the gradients with respect to the decays in units of 1; the step adds to them.
    """
    _ADVANCE_DECAYS[type(neuron)](neuron, decay_fraction, state, trace, slope, t, lo, total)


@overload(advance_decays, jit_options=HELPER)
def _advance_decays(
    neuron: Any, decay_fraction: Any, state: Any, trace: Any, slope: Any, t: Any, lo: Any, total: Any
) -> Callable[..., None]:
    return _ADVANCE_DECAYS[neuron.instance_class]


def after_spikes(neuron: Any, trace: Floats, spike: Floats) -> None:
    """Apply the effect of spikes to the derivatives with respect to the decays.

    Parameters
    ----------
    neuron : NamedTuple
        Parameters of the family.
    trace : ndarray
        (D, K, width) float32, units of 1, as `advance_decays` left it; replaced.
    spike : ndarray
        (n,) float32, 0 for lanes that do not spike.
    """
    _AFTER_SPIKES[type(neuron)](neuron, trace, spike)


@overload(after_spikes, jit_options=HELPER)
def _after_spikes(neuron: Any, trace: Any, spike: Any) -> Callable[..., None]:
    return _AFTER_SPIKES[neuron.instance_class]


def at_rest(neuron: Any, lanes: int) -> Floats:
    """The traces (K, M) float32 of `of_inputs` before the first step, all 0, for M = `lanes`."""
    return np.zeros((_COUNTS[type(neuron)][0], lanes), np.float32)


def decays_at_rest(neuron: Any, lanes: int) -> Floats:
    """The traces (D, K, M) float32 of `of_decays` before the first step, all 0, for M = `lanes`."""
    states, decays = _COUNTS[type(neuron)]
    return np.zeros((decays, states, lanes), np.float32)


def of_inputs(neuron: Any, x: Floats, trace: Floats, every: bool = False) -> tuple[Floats, Floats]:
    """Carry the derivatives of the states with respect to a weight forward over the input of that weight.

    Parameters
    ----------
    neuron : NamedTuple
        Parameters of a family: ``decay`` (P, M) int64, or (P,) if all lanes share it, in units of 1/4096.  Each lane
        is one input.
    x : ndarray
        (T, M) float32, the input of the weight, units of 1.  If the weight is complex, the derivatives are those with
        respect to its real part.
    trace : ndarray
        (K, M) float32, units of 1: the derivative of each state of the family before the first step, see `at_rest`.
    every : bool
        Whether to return the derivatives after every step.

    Returns
    -------
    trace : ndarray
        (K, M) float32, after the last step.
    traces : ndarray
        (K, T, M) float32 after each step if `every`, else (K, 0, M).

    Notes
    -----
    Derivatives below 2**-100 in magnitude count as 0.  A step is skipped for a chunk in which every input and every
    trace is 0.

    Examples
    --------
    >>> from lavadl_kernels.neurons import cuba
    >>> layer = cuba.Cuba(np.array([2048, 1024, 0]), 4096)
    >>> x = np.array([[1], [0], [0]], np.float32)
    >>> of_inputs(layer, x, at_rest(layer, 1), every=True)[1][1].ravel().tolist()  # of the voltage
    [1.0, 1.25, 1.1875]
    """
    steps, lanes = x.shape
    after = trace.copy()
    values = empty((len(trace), steps if every else 0, lanes))
    _of_inputs(lanes, neuron, np.ascontiguousarray(x), after, values)
    return after, values


@kernel
def _of_inputs(begin: int, end: int, neuron: Any, x: Floats, after: Floats, values: Floats) -> None:
    width = max(1, min(CHUNK, end - begin))
    trace = np.empty((after.shape[0], width), np.float32)
    decay = train.lanes_of(neuron.decay, width, np.float32(0))
    for lo in range(begin, end, width):
        hi = min(lo + width, end)
        n = hi - lo
        train.fetch(neuron.decay, lo, hi, 1 / 4096, decay)
        alive = False
        for k in range(trace.shape[0]):
            copied(after[k, lo:hi], trace[k, :n])
            alive = alive or not _silent(after[k, lo:hi])
        for t in range(x.shape[0]):
            if alive or not _silent(x[t, lo:hi]):
                alive = advance(neuron, decay, trace, x[t, lo:hi])
            if values.shape[1] > 0:
                for k in range(trace.shape[0]):
                    copied(trace[k, :n], values[k, t, lo:hi])
        for k in range(trace.shape[0]):
            copied(trace[k, :n], after[k, lo:hi])


@scalar
def _silent(row: Floats) -> bool:
    bits = np.int32(0)
    for i in range(row.size):
        bits |= np.int32(row[i] != 0)
    return bits == 0


class OfDecays(NamedTuple):
    """The results of `of_decays`."""

    grad: Array  #: (D, M) float64, per lane, per unit of the decay integers
    trace: Floats  #: (D, K, M) float32, units of 1, after the last step


class _Walked(NamedTuple):
    """The arrays that `of_decays` reads and writes; the last two are written."""

    x: tuple[Floats, ...]  #: (T, M) each
    slope: Floats  #: (K, T, M)
    trace: Floats  #: (D, K, M)
    grad: Array  #: (D, M)


def of_decays(neuron: Any, x: tuple[Floats, ...], state: Integers, trace: Floats, slope: Floats) -> OfDecays:
    """Gradients with respect to the decays, from the gradients with respect to the states of each step.

    The traces carry the effect of all past steps, so the gradients are not truncated in time.

    Parameters
    ----------
    neuron : NamedTuple
        Parameters of a family: ``decay`` (P, M) int64, or (P,) if all lanes share it, and its scalars, in units of
        1/4096.
    x : tuple of ndarray
        One or two (T, M) float32, units of 1: the inputs that `train.forward` was given.
    state : ndarray
        (K, M) int64, the states before the first step, in units of 1/4096.
    trace : ndarray
        (D, K, M) float32, units of 1: the derivative of each state with respect to each decay before the first step,
        see `decays_at_rest`.
    slope : ndarray
        (K, T, M) float32, units of 1: gradients with respect to the states before a spike changes them.

    Returns
    -------
    OfDecays

    Raises
    ------
    ValueError
        If an input is not finite or has no exact fixed-point value.
    """
    lanes = x[0].shape[1]
    inputs = tuple([np.ascontiguousarray(part) for part in x])
    found = OfDecays(np.empty((len(trace), lanes), np.float64), np.empty_like(trace))

    def run(bound: Any, zero: Any) -> bool:
        found.grad[:] = 0
        found.trace[:] = trace
        layer = neuron
        # Wider types are rare, so one compiled function serves shared and per-lane decays.
        if not isinstance(zero, np.float32):
            layer = neuron._replace(decay=train.per_lane(neuron.decay, lanes))
        walked = _Walked(inputs, slope, found.trace, found.grad)
        return _of_decays(lanes, layer, walked, state, bound, zero)

    train.run_in_narrowest_type(run, neuron, inputs, state)
    return found


@kernel
def _of_decays(
    begin: int, end: int, neuron: Any, walked: _Walked, state: Integers, bound: np.float32, zero: Any
) -> bool:
    count, width = state.shape[0], max(1, min(CHUNK, end - begin))
    lanes = train.room_for_lanes(neuron.decay, count, width, zero)
    fraction = train.lanes_of(neuron.decay, width, np.float32(0))
    trace = np.empty((walked.trace.shape[0], count, width), np.float32)
    spike = np.empty(width, np.float32)
    return bool(_of_decays_lanes(begin, end, neuron, walked, state, bound, lanes, (fraction, trace, spike)))


@scalar  # a separate function: the loops do not vectorise if the arrays are allocated in the same function
def _of_decays_lanes(
    begin: int, end: int, neuron: Any, walked: _Walked, state: Integers, bound: np.float32, lanes: Any, room: Any
) -> bool:
    x, slope, carried, grad = walked
    held, decay = lanes
    fraction, trace, spike = room
    width, largest = held.shape[1], np.int32(0)
    for lo in range(begin, end, width):
        hi = min(lo + width, end)
        n = hi - lo
        train.begin_lanes(neuron, state, lo, hi, lanes)
        train.fetch(neuron.decay, lo, hi, 1 / 4096, fraction)
        for p in range(trace.shape[0]):
            for k in range(trace.shape[1]):
                copied(carried[p, k, lo:hi], trace[p, k, :n])
        for t in range(x[0].shape[0]):
            advance_decays(neuron, fraction, held, trace, slope, t, lo, grad[:, lo:hi])
            given = train.rows(x, t, lo, hi)
            largest = train.advance(neuron, held, decay, given, spike[:n], None, t, lo, False, largest)
            after_spikes(neuron, trace, spike[:n])
        for p in range(trace.shape[0]):
            for k in range(trace.shape[1]):
                copied(trace[p, k, :n], carried[p, k, lo:hi])
        if not train.within(largest, bound):
            return False
    for p in range(grad.shape[0]):
        for i in range(begin, end):
            grad[p, i] *= 1 / 4096
    return True
