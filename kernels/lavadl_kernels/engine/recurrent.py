"""Recurrent spiking neurons of any family, run over time: forward and backward.

Feedback weights R connect the units of one sample; each family's step is the same as in `engine.train`::

    a[t] = x[t] + R s[t-1]
    s[t], state = step(state, a[t])
    g_s[t] = grad_spike[t] + R' g_a[t+1]    backward
    g_R = sum over samples and t of g_a[t+1] s[t]'

Arrays are time-major (T, M); with N samples of O units each, lane n * O + o is unit o of sample n.
Inputs are tuples of such arrays: one, or a real and an imaginary part.

The loop over time is outside the loop over samples: a thread takes several samples through one step together, so that
each row of R that it reads serves all of them.  The forward pass adds only the weights of units that fired, in the
order of their numbers; this order does not depend on the number of samples or threads.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from lavadl_kernels.engine._arguments import AdjointStep, Arriving, Given, Lanes, Leaving, Surrogate, Walk, surrogate_of
from lavadl_kernels.engine._optional_rows import copied
from lavadl_kernels.engine._returned import add_returned, add_returned_uniform
from lavadl_kernels.engine.train import (
    SEGMENT,
    Gradients,
    Run,
    advance,
    advance_adjoint,
    begin_lanes,
    collect,
    end_lanes,
    fetch,
    per_lane,
    room_for_lanes,
    run_in_narrowest_type,
    walk_of,
    within,
)
from lavadl_kernels.engine.train import rows as parts
from lavadl_kernels.fixed_point import real
from lavadl_kernels.ops import events, tiles
from lavadl_kernels.ops.layout import time_first
from lavadl_kernels.runtime import amx
from lavadl_kernels.runtime.array_types import Array, Floats, Integers
from lavadl_kernels.runtime.buffers import empty
from lavadl_kernels.runtime.extending import jitable
from lavadl_kernels.runtime.gemm import ROWS, TILE, packed
from lavadl_kernels.runtime.jit import kernel, kernel_using, scalar
from lavadl_kernels.runtime.simd import STRETCH

SAMPLES = 16  #: the largest number of samples that take a step together: their states stay in the L2 cache
GROUP = 64  #: units whose weights stay in the L2 cache while one sample after another reads them


class Weights(NamedTuple):
    """The feedback weights R of one input: a full matrix, or two numbers.

    In a uniform R, which consists of two numbers, `own` is every diagonal entry and `others` is every other entry.
    """

    matrix: Floats  #: (O, O) and C-contiguous, row o holds the weights with which unit o receives; (0, 0) if uniform
    own: float = 0.0  #: the weight from a unit to itself, if R is uniform
    others: float = 0.0  #: the weight from a unit to every other unit, if R is uniform

    @property
    def uniform(self) -> bool:
        """True if R consists of two numbers instead of a matrix."""
        return self.matrix.size == 0


class Feedback(NamedTuple):
    """The feedback of a layer, in the form that kernels take."""

    units: int  #: O
    #: R of each input, (0, 0) if uniform: transposed for the forward pass, which adds the rows of units that fired;
    #: packed for `engine._returned` in the backward pass
    rows: tuple[Array, ...]
    numbers: Floats  #: (parts, 2), the two numbers of a uniform R: the diagonal entry and every other entry


class Recorded(NamedTuple):
    """The output arrays of the forward pass."""

    spike: Floats  #: (T, M)
    trace: Floats | None  #: (K, T, M)
    checkpoints: Array  #: (S, K, M), or (0, K, M)
    after: Integers  #: (K, M)
    fed: tuple[Floats, ...]  #: (T, M) each, the inputs plus the feedback


class Firing(NamedTuple):
    """The units that fired at the previous step, for the samples that take a step together."""

    #: (samples, O + STRETCH) int32: the first ``counts`` entries of a row are the numbers of the units that fired, in
    #: ascending order
    fired: Array
    counts: Integers  #: (samples,), the number of units that fired
    at: Integers  #: (samples,), how far each sample's list has been read


def uniform(own: float, others: float) -> Weights:
    """Uniform `Weights`: `own` on the diagonal and `others` everywhere else."""
    return Weights(np.empty((0, 0), np.float32), float(own), float(others))


def forward(
    neuron: Any,
    x: tuple[Floats, ...],
    state: Integers,
    units: int,
    feedback: tuple[Weights, ...],
    graded: bool = False,
    traces: bool = False,
    keep: bool = False,
    later: int = 0,
) -> Run:
    """Run real-valued inputs through recurrent neurons.

    Parameters
    ----------
    neuron, x, graded, traces
        Arguments of `train.forward`.
    keep : bool
        Whether to return the checkpoints, which `backward` needs.
    later : int
        The number of steps by which `Run.spike` is delayed, 0 or 1.  Feedback takes one step in either case.
    state : ndarray
        (K, M) int64, the states before the first step, in units of 1/4096.
    units : int
        O, the units of a sample.
    feedback : tuple of Weights
        One for each input.  At the first step nothing is fed back: the caller uses `begun` to add the feedback of
        earlier spikes to ``x[k][0]``.

    Returns
    -------
    Run
        Its ``x`` are the inputs plus the feedback.

    Raises
    ------
    ValueError
        If an input, or its sum with the feedback, is not finite or has no exact fixed-point value.
    """
    steps, lanes = x[0].shape
    room = empty((steps + later, lanes))  # writing the spikes `later` rows further down delays them
    room[:later] = 0
    spike = room[later:]
    trace = empty((len(state), steps, lanes)) if traces else None
    checkpoints: Array = np.empty((0, len(state), lanes), np.float32)
    after = np.empty_like(state)
    fed = tuple(empty((steps, lanes)) for _ in x)
    rows = tuple(part.matrix if part.uniform else time_first(part.matrix) for part in feedback)

    fed_back, given = Feedback(units, rows, _numbers(feedback)), Given(x, state, graded)

    def run(bound: Any, zero: Any) -> bool:
        nonlocal checkpoints
        narrow = isinstance(zero, np.float32)
        kind = np.float32 if narrow else np.float64
        checkpoints = empty((-(-steps // SEGMENT) if keep else 0, len(state), lanes), kind)
        each, values = neuron, trace
        # Wider types are rare, so one compiled function serves shared and per-lane decays, with and without traces.
        if not narrow:
            each = neuron._replace(decay=per_lane(neuron.decay, lanes))
            values = empty((len(state), steps, lanes)) if trace is None else trace
        recorded = Recorded(spike, values, checkpoints, after, fed)
        return _forward(lanes // units, each, given, bound, zero, fed_back, recorded, align=1)

    run_in_narrowest_type(run, neuron, x, state)
    traced = np.empty((0, steps, lanes), np.float32) if trace is None else trace
    return Run(room[:steps], traced, after, checkpoints, fed)


def _numbers(feedback: tuple[Weights, ...]) -> Floats:
    return np.array([(part.own, part.others) for part in feedback], np.float32)


@scalar
def _together(samples: int) -> int:
    """The number of samples that take a step together: at most `SAMPLES`, in groups of about equal size."""
    return max(1, -(-samples // max(1, -(-samples // SAMPLES))))


@jitable
def _firing_of(samples: int, units: int) -> Firing:
    """Uninitialised lists of the units that fired, for this number of samples."""
    return Firing(
        np.empty((samples, units + STRETCH), np.int32), np.empty(samples, np.int64), np.empty(samples, np.int64)
    )


@kernel
def _forward(
    begin: int,
    end: int,
    neuron: Any,
    given: Given,
    bound: np.float32,
    zero: Any,
    feedback: Feedback,
    recorded: Recorded,
) -> bool:
    count = _together(end - begin)
    lanes = room_for_lanes(neuron.decay, given.state.shape[0], count * feedback.units, zero)
    firing = _firing_of(count, feedback.units)
    return bool(_forward_lanes(begin, end, neuron, given, bound, feedback, lanes, firing, recorded))


@scalar  # a separate function: the loops do not vectorise if the arrays are allocated in the same function
def _forward_lanes(
    begin: int, end: int, neuron: Any, given: Given, bound: np.float32, feedback: Feedback,
    lanes: Lanes, firing: Firing, recorded: Recorded,
) -> bool:  # fmt: skip
    x, state, graded, _ = given
    units, rows, numbers = feedback
    held, decay = lanes
    spike, trace, checkpoints, after, fed = recorded
    together, largest = firing.counts.size, np.int32(0)
    for first in range(begin, end, together):
        lo, hi = first * units, min(first + together, end) * units
        begin_lanes(neuron, state, lo, hi, lanes)
        for t in range(x[0].shape[0]):
            if t % SEGMENT == 0 and checkpoints.shape[0] > 0:
                for k in range(held.shape[0]):
                    for i in range(hi - lo):
                        checkpoints[t // SEGMENT, k, lo + i] = held[k, i]
            for k in range(len(x)):
                copied(x[k][t, lo:hi], fed[k][t, lo:hi])
            if t > 0 and _list(spike[t - 1, lo:hi], units, firing):
                for k in range(len(x)):
                    _send(spike[t - 1, lo:hi], units, rows[k], numbers[k], firing, graded, fed[k][t, lo:hi])
            inputs = parts(fed, t, lo, hi)
            largest = advance(neuron, held, decay, inputs, spike[t, lo:hi], trace, t, lo, graded, largest)
            if not within(largest, bound):
                return False
        end_lanes(lanes, lo, hi, after)
    return within(largest, bound)


def begun(x: Floats, last: Floats, units: int, weights: Weights, graded: bool) -> Floats:
    """Add the feedback of earlier spikes to the input of the first step, in the same order as `forward` within a run.

    Parameters
    ----------
    x, last : ndarray
        (M,) float32, units of 1: the input of the first step, and the spikes of the step before it.
    units, graded
        Arguments of `forward`.
    weights : Weights
        R of this input.

    Returns
    -------
    ndarray
        (M,) float32.
    """
    total = x.copy()
    rows = weights.matrix if weights.uniform else time_first(weights.matrix)
    _begun(x.size // units, last, units, rows, _numbers((weights,)), graded, total, align=1)
    return total


@kernel
def _begun(
    begin: int, end: int, last: Floats, units: int, rows: Floats, numbers: Floats, graded: bool, total: Floats
) -> None:
    lo, hi = begin * units, end * units
    firing = _firing_of(end - begin, units)
    if _list(last[lo:hi], units, firing):
        _send(last[lo:hi], units, rows, numbers[0], firing, graded, total[lo:hi])


@scalar
def _list(spike: Floats, units: int, firing: Firing) -> bool:
    """List the units that fired in each sample; return whether any unit fired."""
    fired, counts, _ = firing
    some = False
    for s in range(spike.size // units):
        count, _ = events.list_row(spike, s * units, units, 0, np.float32(1), fired[s], np.uint64(0))
        counts[s] = count
        some |= count > 0
    return some


@scalar
def _send(
    spike: Floats, units: int, rows: Floats, numbers: Floats, firing: Firing, graded: bool, total: Floats
) -> None:
    """Add the feedback of the units that fired to `total`."""
    if rows.shape[0] > 0:
        _send_rows(spike, units, rows, firing, total)
    else:
        _send_uniform(spike, units, numbers, firing, graded, total)


@scalar
def _send_rows(spike: Floats, units: int, rows: Floats, firing: Firing, total: Floats) -> None:
    """Add the feedback by the transpose of R: row j holds the weights with which unit j sends.

    Eight rows are added at a time, so that `total` is read and written an eighth as often.  Fewer than eight units
    remain at the end of a sample's list; their rows are added one by one.
    """
    fired, counts, at = firing
    samples = spike.size // units
    for s in range(samples):
        at[s] = 0
    for last in range(GROUP, units + GROUP, GROUP):
        for s in range(samples):
            sent, into, who = spike[s * units : (s + 1) * units], total[s * units : (s + 1) * units], fired[s]
            k, count = at[s], counts[s]
            while k + 8 <= count and who[k] < last:
                _add_eight(sent, rows, who[k : k + 8], into)
                k += 8
            while k < count and count - k < 8 and who[k] < last:
                size, row = sent[who[k]], rows[who[k]]
                for i in range(units):
                    into[i] += size * row[i]
                k += 1
            at[s] = k


@scalar
def _add_eight(sent: Floats, rows: Floats, who: Array, total: Floats) -> None:
    a, b, c, d, e, f, g, h = who[0], who[1], who[2], who[3], who[4], who[5], who[6], who[7]
    sa, sb, sc, sd, se, sf, sg, sh = sent[a], sent[b], sent[c], sent[d], sent[e], sent[f], sent[g], sent[h]
    ra, rb, rc, rd, re, rf, rg, rh = rows[a], rows[b], rows[c], rows[d], rows[e], rows[f], rows[g], rows[h]
    for i in range(total.size):
        value = (((total[i] + sa * ra[i]) + sb * rb[i]) + sc * rc[i]) + sd * rd[i]
        total[i] = (((value + se * re[i]) + sf * rf[i]) + sg * rg[i]) + sh * rh[i]


@scalar
def _send_uniform(spike: Floats, units: int, numbers: Floats, firing: Firing, graded: bool, total: Floats) -> None:
    """Add the feedback of a uniform R: `own` to the unit that fired and `others` to every other unit of its sample.

    The contributions of all units are added in one pass if the order of the additions changes no bit, else one by one.
    """
    own, others = numbers[0], numbers[1]
    fired, counts, _ = firing
    for s in range(spike.size // units):
        count, who = counts[s], fired[s]
        sent, into = spike[s * units : (s + 1) * units], total[s * units : (s + 1) * units]
        if count > 0 and not graded and _any_order(into, own, others, count):
            everywhere, more = np.float32(count) * others, own - others
            for i in range(units):
                into[i] += everywhere
            for k in range(count):
                into[who[k]] += more
        else:
            for k in range(count):
                size, alone = sent[who[k]], into[who[k]]
                for i in range(units):
                    into[i] += size * others
                into[who[k]] = alone + size * own


@scalar
def _any_order(total: Floats, own: Any, others: Any, count: int) -> bool:
    """Tell whether all sums of `total` and up to `count` weights are exact in float32, so that their order is free.

    This holds if `total` and both weights are multiples of 1/4096 and the sums remain small enough.
    """
    limit = np.float32(4096) - np.float32(2 * count) * max(abs(own), abs(others))
    if not (_on_grid(own) and _on_grid(others) and limit > 0):
        return False
    off = np.int32(0)
    for i in range(total.size):
        off |= np.int32(not (abs(total[i]) <= limit)) | np.int32(not _on_grid(total[i]))
    return bool(off == 0)


@scalar
def _on_grid(value: Any) -> bool:
    units = value * np.float32(4096)
    return bool(np.trunc(units) == units)


def backward(
    neuron: Any,
    x: tuple[Floats, ...],
    checkpoints: Array,
    tau: float,
    scale: float,
    grad_spike: Floats,
    units: int,
    feedback: tuple[Weights, ...],
    grad_trace: Floats | None = None,
    graded: bool = False,
    later: int = 0,
    tiled: bool = False,
) -> Gradients:
    """Compute the gradients of `forward`; its states are recomputed from the inputs and the checkpoints.

    Parameters
    ----------
    neuron, units, feedback, graded
        Arguments of `forward`.
    x : tuple of ndarray
        (T, M) float32 each, units of 1: the inputs plus the feedback, `Run.x`.
    checkpoints : ndarray
        (S, K, M), in units of 1/4096: `Run.checkpoints` of a run with ``keep``.
    tau, scale : float
        Width and height of the surrogate gradient.
    grad_spike : ndarray
        (T, M) float32, units of 1: the gradient with respect to the spikes, or (1, M) if it is the same at every step.
    grad_trace : ndarray, optional
        (K, T, M) float32, units of 1: the gradient with respect to the traces.
    later : int
        Argument of `forward`: `grad_spike` is the gradient with respect to the delayed spikes.
    tiled : bool
        Whether to multiply by R on matrix tiles (`ops.tiles`) if its numbers fit them; this is as accurate as without.

    Returns
    -------
    Gradients
        The gradient with respect to ``x`` includes what flows back through the feedback; `weight_gradient` and
        `own_gradient` compute the gradient with respect to R from it.
    """
    steps, lanes = x[0].shape
    grad_x = tuple(empty((steps, lanes)) for _ in x)
    grad_decay = np.zeros((len(neuron.decay), lanes))
    zero = checkpoints.dtype.type(0)
    # Wider types are rare, so one compiled function serves shared and per-lane decays.
    if not isinstance(zero, np.float32):
        neuron = neuron._replace(decay=per_lane(neuron.decay, lanes))
    surrogate = surrogate_of(tau, scale, graded)
    grads, out = (grad_spike, grad_trace, later), Gradients(grad_x, grad_decay)

    def run(pass_back: Any, pack: Any) -> bool:
        rows = tuple(pack(part.matrix) for part in feedback)
        if any(part is None for part in rows):
            return False
        fed_back = Feedback(units, rows, _numbers(feedback))
        return bool(pass_back(lanes // units, neuron, x, checkpoints, zero, surrogate, fed_back, grads, out, align=1))

    if not (tiled and not any(part.uniform for part in feedback) and run(_backward_on_tiles, tiles.packed)):
        grad_decay[:] = 0  # the run on tiles may have stopped part-way, at a gradient that tiles cannot multiply
        run(_backward, packed)
    return out


class Kept(NamedTuple):
    """The buffers, in addition to `Walk`, that the backward pass uses for the samples that it processes together."""

    back: Floats  #: (width,), the gradients with respect to the spikes of a step
    edge: Floats  #: (ROWS * TILE,), for `runtime.gemm`
    space: tiles.Room  #: for `ops.tiles`


@kernel
def _backward(
    begin: int, end: int, neuron: Any, x: Any, checkpoints: Array, zero: Any, surrogate: Surrogate,
    feedback: Feedback, grads: Any, out: Any,
) -> bool:  # fmt: skip
    return bool(_backward_of_samples(begin, end, neuron, x, checkpoints, zero, surrogate, feedback, grads, out))


@kernel_using(*amx.FEATURES)
def _backward_on_tiles(
    begin: int, end: int, neuron: Any, x: Any, checkpoints: Array, zero: Any, surrogate: Surrogate,
    feedback: Feedback, grads: Any, out: Any,
) -> bool:  # fmt: skip
    return bool(_backward_of_samples(begin, end, neuron, x, checkpoints, zero, surrogate, feedback, grads, out))


@jitable
def _backward_of_samples(
    begin: int, end: int, neuron: Any, x: Any, checkpoints: Array, zero: Any, surrogate: Surrogate,
    feedback: Feedback, grads: Any, out: Any,
) -> bool:  # fmt: skip
    count, width = checkpoints.shape[1], _together(end - begin) * feedback.units
    lanes = room_for_lanes(neuron.decay, count, width, zero)
    walk = walk_of(neuron.decay, count, SEGMENT, width)
    kept = Kept(np.empty(width, np.float32), np.empty(ROWS * TILE, np.float32), tiles.room(feedback.units))
    return bool(_backward_lanes(begin, end, neuron, x, checkpoints, surrogate, feedback, grads, lanes, walk, kept, out))


@scalar  # a separate function: the loops do not vectorise if the arrays are allocated in the same function
def _backward_lanes(
    begin: int, end: int, neuron: Any, x: Any, checkpoints: Array, surrogate: Surrogate, feedback: Feedback,
    grads: Any, lanes: Lanes, walk: Walk, kept: Kept, out: Any,
) -> bool:  # fmt: skip
    units, rows, numbers = feedback
    held, decay = lanes
    decay_fraction, history, adjoint, gathered = walk
    trace, spike = history
    back, edge, space = kept
    good = True
    grad_spike, grad_trace, later = grads
    grad_x, grad_decay = out
    steps, single = x[0].shape[0], grad_spike.shape[0] == 1
    together = back.size // units
    for begun in range(begin, end, together):
        lo, hi = begun * units, min(begun + together, end) * units
        n = hi - lo
        adjoint[:] = 0
        fetch(neuron.decay, lo, hi, 1, decay)
        fetch(neuron.decay, lo, hi, 1 / 4096, decay_fraction)
        for segment in range(checkpoints.shape[0] - 1, -1, -1):
            first = segment * SEGMENT
            last = min(first + SEGMENT, steps)
            for k in range(held.shape[0]):
                for i in range(n):
                    held[k, i] = checkpoints[segment, k, lo + i]
                    trace[k, 0, i] = real(held[k, i])
            for t in range(first, last):
                # Recompute spikes with size 1: a graded spike may carry the value 0, and still changes the states.
                row = t - first + 1
                advance(neuron, held, decay, parts(x, t, lo, hi), spike[row, :n], trace, row, 0, False, None)
            gathered[:] = 0
            for t in range(last - 1, first - 1, -1):
                if t + later < steps:  # the spike leaves the layer `later` steps later; the last ones never leave
                    copied(grad_spike[0 if single else t + later, lo:hi], back[:n])
                else:
                    back[:n] = 0
                if t < steps - 1:
                    for k in range(len(x)):
                        row = grad_x[k][t + 1, lo:hi]
                        if rows[k].shape[0] > 0:
                            good &= add_returned(row, units, rows[k], edge, space, back[:n])
                        else:
                            add_returned_uniform(row, units, numbers[k], back[:n])
                arriving = Arriving(back[:n], grad_trace, t, lo)
                leaving = Leaving(parts(grad_x, t, lo, hi), gathered)
                at = AdjointStep(decay_fraction, history, t - first + 1, arriving, adjoint, leaving)
                advance_adjoint(neuron, at, surrogate)
            collect(gathered, n, grad_decay, lo)
    return good


def weight_gradient(grad: Floats, spike: Floats, units: int, later: int = 0) -> Floats | None:
    """The gradient with respect to R, summed over the spikes.

    Parameters
    ----------
    grad : ndarray
        (T, M) float32, units of 1: the gradient with respect to an input, from `backward`.
    spike : ndarray
        (T, M) float32, units of 1: the spikes as sent, `Run.spike`.
    units : int
        O, the units of a sample.
    later : int
        Argument of `forward`: the number of steps by which `spike` is delayed.

    Returns
    -------
    ndarray or None
        (O, O) float32, C-contiguous; row o is the gradient with respect to the weights with which unit o receives.
        None if `grad` is not finite, or if there are too many units to list their spikes as events.
    """
    samples = max(len(grad) - 1, 0) * (grad.shape[1] // units)
    if not events.fits(samples, units, 1):
        return None
    found = events.of_rows(heard(spike, later).reshape(-1, units))
    return events.weight_gradient(found, grad[1:].reshape(-1, units))


def heard(spike: Floats, later: int) -> Floats:
    """The spikes (T - 1, M) that are fed back to the second and all later steps, taken from `spike`.

    `spike` (T, M) is `Run.spike` of a `forward` with the same `later`.
    """
    return spike[later : max(len(spike) - 1 + later, 0)]


def own_gradient(grad: Floats, spike: Floats, later: int = 0) -> float:
    """The gradient with respect to the number on the diagonal of R: the trace of `weight_gradient`.

    Parameters
    ----------
    grad, spike, later
        Arguments of `weight_gradient`.

    Returns
    -------
    float
    """
    sums = np.zeros(len(grad))
    _meet(len(grad) - 1, grad[1:], heard(spike, later), sums, align=1)
    return float(sums.sum())


@kernel
def _meet(begin: int, end: int, grad: Floats, spike: Floats, sums: Array) -> None:
    for t in range(begin, end):
        g, s = grad[t], spike[t]
        total = 0.0
        for i in range(s.size):
            if s[i] != 0:
                total += np.float64(g[i]) * s[i]
        sums[t] = total
