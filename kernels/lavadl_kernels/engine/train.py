"""Any family of spiking neurons run over time: forward and backward.

A family gives its scalar `step` in a file of its own, and two functions over the lanes of one
time step: `advance` runs `step`, `advance_adjoint` is its adjoint.  What is here is the same for all:
the walk over time and over lanes, the choice of number type, and what backward needs to know again.

Arrays are time-major (T, M), M lanes.  Inputs are tuples of such arrays: one, or real and imaginary
part.  Backward recomputes the states, a segment of time at a time from checkpoints that forward left, so
that their history stays in the second-level cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import overload

from lavadl_kernels.fixed_point import FLOAT32_BOUND, NEVER, real, run_in_float64_or_int64
from lavadl_kernels.runtime.buffers import empty
from lavadl_kernels.runtime.jit import HELPER, VIEW, kernel, prefer_512_bit, scalar

CHUNK = 2048  #: lanes that forward takes at a time: rows long enough for the memory, states in the first-level cache
SEGMENT = 16  #: steps from mark to mark
PART = 512  #: lanes that backward takes at a time: the history of a segment stays in the second-level cache

_ADVANCE: dict[type, Callable[..., Any]] = {}
_ADVANCE_ADJOINT: dict[type, Callable[..., Any]] = {}


def declare(parameters: type, advance: Callable[..., Any], advance_adjoint: Callable[..., Any]) -> None:
    """Give the lane functions of the family whose parameters are of this NamedTuple class.

    Raises
    ------
    ValueError
        If another class has the same name: Numba tells named tuples apart by the names of class and fields alone.
    """
    if parameters.__name__ in {other.__name__ for other in _ADVANCE if other is not parameters}:
        raise ValueError(f"the class of a family's parameters must have a name of its own, got {parameters.__name__}")
    _ADVANCE[parameters] = advance
    _ADVANCE_ADJOINT[parameters] = advance_adjoint


def advance(neuron, state, decay, x, spike, trace, t, lo, graded):
    """One time step of the lanes of a chunk.

    Parameters
    ----------
    neuron : NamedTuple
        Parameters of the family.
    state : ndarray
        (K, width) states of 1/4096, replaced by the new ones.
    decay : ndarray
        (P, width), or (P,) where all lanes share them, of the type of `state`.
    x : tuple of ndarray
        (n,) float32 each, units of 1.
    spike : ndarray
        (n,) float32, written.
    trace : ndarray or None
        (K, T, M) float32: values before a spike acts on them, written at [:, t, lo : lo + n].
    t, lo : int
        Where in `trace`.
    graded : bool
        Whether a spike carries its value.
    """
    _ADVANCE[type(neuron)](neuron, state, decay, x, spike, trace, t, lo, graded)


@overload(advance, jit_options=HELPER)
def _advance(neuron, state, decay, x, spike, trace, t, lo, graded):
    return _ADVANCE[neuron.instance_class]


def advance_adjoint(
    neuron, share, trace, spike, t, grad_spike, grad_trace, gt, glo, adjoint, grad_x, grad_decay, tau, scale, graded
):
    """The adjoint of one time step of the lanes of a chunk.

    Parameters
    ----------
    share : ndarray
        (P, width) or (P,) float32, the decays in units of 1.
    trace, spike : ndarray
        (K, S, width) and (S, width) float32: what `advance` wrote; row ``t - 1`` is the step before.
    t : int
        The step, as a row of the two.
    grad_spike : ndarray
        (n,) float32.
    grad_trace : ndarray or None
        (K, T, M) float32, read at [:, gt, glo : glo + n].
    adjoint : ndarray
        (K, width) float32: gradients to the states after this step, replaced by those before it.
    grad_x : tuple of ndarray
        (n,) float32 each, written.
    grad_decay : ndarray
        (P, width) float32, added to: the gradients to the decays in units of 1.
    """
    _ADVANCE_ADJOINT[type(neuron)](
        neuron, share, trace, spike, t, grad_spike, grad_trace, gt, glo,
        adjoint, grad_x, grad_decay, tau, scale, graded,
    )  # fmt: skip


@overload(advance_adjoint, jit_options=HELPER)
def _advance_adjoint(
    neuron, share, trace, spike, t, grad_spike, grad_trace, gt, glo, adjoint, grad_x, grad_decay, tau, scale, graded
):
    return _ADVANCE_ADJOINT[neuron.instance_class]


class Run(NamedTuple):
    """What `forward` returns."""

    spike: np.ndarray  #: (T, M) float32
    trace: np.ndarray  #: (K, T, M) float32, the values compared with the threshold, units of 1; or (0, T, M)
    state: np.ndarray  #: (K, M) int64, the states after the last step
    checkpoints: np.ndarray  #: (S, K, M), the states before every `SEGMENT` steps, 1/4096; or (0, K, M)
    x: tuple[np.ndarray, ...]  #: the inputs


def forward(neuron, x, state, graded=False, traces=False, keep=False):
    """Run real inputs through neurons.

    Parameters
    ----------
    neuron : NamedTuple
        Parameters of a family: ``decay`` (P, M) int64, or (P,) for all lanes, and its scalars, all integers
        of 1/4096; ``gain(steps)`` bounds how many times inputs and initial states its states can come to,
        ``state_bound(state, steps)`` what they can come to without input.
    x : tuple of ndarray
        One or two (T, M) float32, units of 1.
    state : ndarray
        (K, M) int64, 1/4096.
    graded : bool
        Whether a spike carries its value instead of 1.
    traces : bool
        Whether to return the values that the threshold was compared with.
    keep : bool
        Whether to return the checkpoints that `backward` would otherwise make itself.

    Returns
    -------
    Run

    Raises
    ------
    ValueError
        If an input is not finite or has no exact fixed-point value.
    """
    steps, lanes = x[0].shape
    spike = empty((steps, lanes))
    trace = empty((len(state), steps, lanes)) if traces else None
    checkpoints = empty((0, len(state), lanes))
    after = np.empty_like(state)

    def run(bound, zero):
        nonlocal checkpoints
        kind = np.float32 if isinstance(zero, np.float32) else np.float64
        checkpoints = empty((-(-steps // SEGMENT) if keep else 0, len(state), lanes), kind)
        if kind is np.float32:
            return _forward(lanes, neuron, x, state, graded, bound, zero, spike, trace, checkpoints, after)
        # rare: one compiled function for all of it
        each = neuron._replace(decay=per_lane(neuron.decay, lanes))
        values = empty((len(state), steps, lanes)) if trace is None else trace
        return _forward(lanes, each, x, state, graded, bound, zero, spike, values, checkpoints, after)

    run_in_narrowest_type(run, neuron, x, state)
    return Run(spike, np.empty((0, steps, lanes), np.float32) if trace is None else trace, after, checkpoints, x)


def run_in_narrowest_type(run, neuron, x, state):
    """Call ``run(bound, zero)`` with float32 states, which suffice for most networks, else with wider ones.

    For float32 ``run`` returns whether every input and state stayed below `bound`, which `largest_magnitude` tells.
    """
    # a threshold that is never reached is compared with, and needs no exact sum
    numbers = [part for part in neuron if np.ndim(part) or part != NEVER]
    small = all(np.abs(part).max(initial=0) < FLOAT32_BOUND for part in (state, *numbers))
    if not (small and run(np.float32(FLOAT32_BOUND), np.float32(0))):
        steps = x[0].shape[0]
        run_in_float64_or_int64(run, x, state, neuron.gain(steps), neuron.state_bound(state, steps))


def per_lane(decay, lanes):
    """Decays (P,) that all lanes share, or (P, M), as (P, M)."""
    return decay if decay.ndim == 2 else np.repeat(decay[:, None], lanes, axis=1)


@kernel
def _forward(begin, end, neuron, x, state, graded, bound, zero, spike, trace, checkpoints, after):
    width = max(1, min(CHUNK, end - begin))
    held = np.full((state.shape[0], width), zero)
    decay = lanes_of(neuron.decay, width, zero)
    return _forward_lanes(
        begin, end, neuron, x, state, graded, bound, zero, held, decay, spike, trace, checkpoints, after
    )


def lanes_of(decay, width, zero):
    """Room for decays (P, M) of `width` lanes, or for those (P,) that all lanes share."""
    return np.full(decay.shape[0], zero) if decay.ndim == 1 else np.full((decay.shape[0], width), zero)


@overload(lanes_of)
def _lanes_of(decay, width, zero):
    if decay.ndim == 1:
        return lambda decay, width, zero: np.full(decay.shape[0], zero)
    return lambda decay, width, zero: np.full((decay.shape[0], width), zero)


def fetch(decay, lo, hi, factor, held):
    """Write the decays of lanes `lo` to `hi`, times `factor`, to `held`, which is as `lanes_of` made it."""
    if decay.ndim == 1:
        held[:] = decay * factor
    else:
        held[:, : hi - lo] = decay[:, lo:hi] * factor


@overload(fetch)
def _fetch(decay, lo, hi, factor, held):
    if decay.ndim == 1:

        def shared(decay, lo, hi, factor, held):
            for k in range(decay.shape[0]):
                held[k] = decay[k] * factor

        return shared

    def each(decay, lo, hi, factor, held):
        for k in range(decay.shape[0]):
            for i in range(hi - lo):
                held[k, i] = decay[k, lo + i] * factor

    return each


@scalar  # a function of its own: the loops do not vectorise over arrays allocated beside them
def _forward_lanes(begin, end, neuron, x, state, graded, bound, zero, held, decay, spike, trace, checkpoints, after):
    width, largest = held.shape[1], np.int32(0)
    for lo in range(begin, end, width):
        hi = min(lo + width, end)
        n = hi - lo
        for k in range(held.shape[0]):
            for i in range(n):
                held[k, i] = state[k, lo + i]
        fetch(neuron.decay, lo, hi, 1, decay)
        for t in range(x[0].shape[0]):
            if t % SEGMENT == 0:
                if checkpoints.shape[0] > 0:
                    for k in range(held.shape[0]):
                        for i in range(n):
                            checkpoints[t // SEGMENT, k, lo + i] = held[k, i]
                if not within(largest, bound):
                    return False
            inputs = rows(x, t, lo, hi)
            advance(neuron, held, decay, inputs, spike[t, lo:hi], trace, t, lo, graded)
            largest = largest_magnitude(inputs, held, n, largest)  # now that they are in the cache
        for k in range(held.shape[0]):
            for i in range(n):
                after[k, lo + i] = np.int64(held[k, i])
    return within(largest, bound)


def largest_magnitude(x, state, n, largest):
    """The bits of the largest magnitude so far, in 1/4096: of inputs, and of states if they are float32.

    For states of other types a bound to the inputs is enough.
    """
    values = [part * np.float32(4096) for part in x]
    if state.dtype == np.float32:
        values += [row[:n] for row in state]
    return max(largest, *(magnitude(row) for row in values))


@overload(largest_magnitude, jit_options=HELPER)
def _largest_magnitude(x, state, n, largest):
    single = state.dtype == types.float32

    def look(x, state, n, largest):
        for k in range(len(x)):
            bits = np.int32(magnitude(x[k]))  # a power of two leaves their order as it is
            largest = np.int32(max(largest, np.float32(bits.view(np.float32) * np.float32(4096)).view(np.int32)))
        if single:
            for k in range(state.shape[0]):
                largest = np.int32(max(largest, magnitude(state[k, :n])))
        return largest

    return look


@scalar
def within(bits, bound):
    """Whether the float32 of these bits is less than `bound`."""
    return bool(np.int32(bits).view(np.float32) < bound)


@scalar
def magnitude(row):
    """The bits of the largest magnitude of float32 numbers: integers in the same order, NaN above all others."""
    prefer_512_bit()
    largest = np.int32(0)
    bits = row.view(np.int32)
    for i in range(bits.size):
        largest = max(largest, np.int32(bits[i] & np.int32(0x7FFFFFFF)))
    return largest


def rows(parts, t, lo, hi):
    """Lanes `lo` to `hi` at step `t` of each part of an input."""
    return tuple(part[t, lo:hi] for part in parts)


@overload(rows, **VIEW)
def _rows(parts, t, lo, hi):
    if len(parts) == 1:
        return lambda parts, t, lo, hi: (parts[0][t, lo:hi],)
    return lambda parts, t, lo, hi: (parts[0][t, lo:hi], parts[1][t, lo:hi])


class Gradients(NamedTuple):
    """What `backward` returns."""

    x: tuple[np.ndarray, ...]  #: (T, M) float32 for each input
    decay: np.ndarray  #: (P, M) float64, per lane, per unit of the decay integers


def backward(neuron, x, state, tau, scale, grad_spike, grad_trace=None, graded=False, checkpoints=None):
    """Gradients of `forward`, recomputing its states from the inputs and the initial states.

    Parameters
    ----------
    neuron, x, state, graded
        What `forward` was given.
    tau, scale : float
        Width and height of the surrogate gradient.
    grad_spike : ndarray
        (T, M) float32, or (1, M) if it is the same at every step.
    grad_trace : ndarray, optional
        (K, T, M) float32.
    checkpoints : ndarray, optional
        `Run.checkpoints` of a run with ``keep``.

    Returns
    -------
    Gradients
    """
    steps, lanes = x[0].shape
    if checkpoints is None:
        checkpoints = forward(neuron, x, state, graded, False, keep=True).checkpoints
    grad_x = tuple(empty((steps, lanes)) for _ in x)
    grad_decay = np.zeros((len(neuron.decay), lanes), np.float64)
    zero = checkpoints.dtype.type(0)
    if checkpoints.dtype != np.float32:  # rare: one compiled function for all of it
        neuron = neuron._replace(decay=per_lane(neuron.decay, lanes))
    _backward(
        lanes,
        neuron,
        x,
        checkpoints,
        zero,
        np.float32(tau),
        np.float32(scale),
        graded,
        grad_spike,
        grad_trace,
        grad_x,
        grad_decay,
    )
    return Gradients(grad_x, grad_decay)


@kernel
def _backward(begin, end, neuron, x, checkpoints, zero, tau, scale, graded, grad_spike, grad_trace, grad_x, grad_decay):
    count, size, width = checkpoints.shape[1], neuron.decay.shape[0], max(1, min(PART, end - begin))
    _backward_lanes(
        begin, end, neuron, x, checkpoints, tau, scale, graded, grad_spike, grad_trace,
        np.full((count, width), zero), lanes_of(neuron.decay, width, zero),
        lanes_of(neuron.decay, width, np.float32(0)),
        np.empty((count, SEGMENT + 1, width), np.float32), np.zeros((SEGMENT + 1, width), np.float32),
        np.empty((count, width), np.float32), np.empty((size, width), np.float32), grad_x, grad_decay,
    )  # fmt: skip


@scalar  # a function of its own: the loops do not vectorise over arrays allocated beside them
def _backward_lanes(
    begin, end, neuron, x, checkpoints, tau, scale, graded, grad_spike, grad_trace,
    held, decay, share, trace, spike, adjoint, gathered, grad_x, grad_decay,
):  # fmt: skip
    width, steps, single = held.shape[1], x[0].shape[0], grad_spike.shape[0] == 1
    for lo in range(begin, end, width):
        hi = min(lo + width, end)
        n = hi - lo
        adjoint[:] = 0
        fetch(neuron.decay, lo, hi, 1, decay)
        fetch(neuron.decay, lo, hi, 1 / 4096, share)
        for segment in range(checkpoints.shape[0] - 1, -1, -1):
            first = segment * SEGMENT
            last = min(first + SEGMENT, steps)
            for k in range(held.shape[0]):
                for i in range(n):
                    held[k, i] = checkpoints[segment, k, lo + i]
                    trace[k, 0, i] = real(held[k, i])
            for t in range(first, last):
                # spikes of size 1: a graded one may have the size 0, and still is a spike to the states
                row = t - first + 1
                advance(neuron, held, decay, rows(x, t, lo, hi), spike[row, :n], trace, row, 0, False)
            gathered[:] = 0
            for t in range(last - 1, first - 1, -1):
                gs = grad_spike[0 if single else t, lo:hi]
                advance_adjoint(
                    neuron, share, trace, spike, t - first + 1, gs, grad_trace, t, lo,
                    adjoint, rows(grad_x, t, lo, hi), gathered, tau, scale, graded,
                )  # fmt: skip
            collect(gathered, n, grad_decay, lo)


@scalar
def collect(gathered, n, grad_decay, lo):
    """Add what `advance_adjoint` gathered over some steps, in units of 1, to the gradients of `n` lanes from `lo`."""
    for k in range(gathered.shape[0]):
        _collect_row(gathered[k, :n], grad_decay[k, lo : lo + n])


@scalar
def _collect_row(gathered, total):
    prefer_512_bit()
    for i in range(gathered.size):
        total[i] += np.float64(gathered[i]) * (1 / 4096)
