"""Any family of recurrent spiking neurons, run over time: forward and backward.

Feedback weights R join the units of one sample; each family's step is that of `engine.train`::

    a[t] = x[t] + R s[t-1]
    s[t], state = step(state, a[t])
    g_s[t] = grad_spike[t] + R' g_a[t+1]    backward
    g_R = sum over samples and t of g_a[t+1] s[t]'

Arrays are time-major (T, M); of N samples with O units each, lane n * O + o is unit o of sample n.
Inputs are tuples of such arrays: one, or real and imaginary part.

Time is walked outside of samples: a thread takes some samples at a time through one step, so that each
row of R that it reads serves them all.  Forward follows the spikes; a sum is taken in the order of the
units that sent, which no number of samples or threads changes.
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

SAMPLES = 16  #: samples that go through a step together, at most: their states stay in the second-level cache
GROUP = 64  #: units whose weights stay in the second-level cache while one sample after the other reads them


class Weights(NamedTuple):
    """The feedback weights R of one input: a matrix, or one number on the diagonal and another beside it."""

    matrix: Floats  #: (O, O) and C-contiguous, row o holds what unit o receives; (0, 0) for two numbers
    own: float = 0.0  #: from a unit that fires to itself
    others: float = 0.0  #: from it to every other

    @property
    def uniform(self) -> bool:
        """True if R is two numbers."""
        return self.matrix.size == 0


class Feedback(NamedTuple):
    """The feedback of a layer, as kernels take it."""

    units: int  #: O
    #: R of each input: transposed to follow spikes, (0, 0) for two numbers; for backward as `engine._returned` takes it
    rows: tuple[Array, ...]
    numbers: Floats  #: (parts, 2), R as two numbers: on the diagonal and beside it


class Recorded(NamedTuple):
    """The arrays that forward fills."""

    spike: Floats  #: (T, M)
    trace: Floats | None  #: (K, T, M)
    checkpoints: Array  #: (S, K, M), or (0, K, M)
    after: Integers  #: (K, M)
    fed: tuple[Floats, ...]  #: (T, M) each, the inputs with the feedback in them


class Firing(NamedTuple):
    """The units that fired at the last step, of the samples that go through a step together."""

    fired: Array  #: (samples, O + STRETCH) int32, the first ``counts`` of each row in rising order
    counts: Integers  #: (samples,)
    at: Integers  #: (samples,), how far each sample's list has been read


def uniform(own: float, others: float) -> Weights:
    """`Weights` with `own` on the diagonal and `others` beside it."""
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
    """Run real inputs through recurrent neurons.

    Parameters
    ----------
    neuron, x, graded, traces
        Arguments of `train.forward`.
    keep : bool
        Whether to return the checkpoints, which `backward` needs.
    later : int
        Steps by which `Run.spike` is shifted, 0 or 1: feedback takes one step, whether what leaves is shifted or not.
    state : ndarray
        (K, M) int64, before the first step, 1/4096.
    units : int
        O, the units of a sample.
    feedback : tuple of Weights
        One for each input.  Nothing is fed back at the first step: the caller adds to ``x[k][0]``, by `begun`, what
        the spikes before it send.

    Returns
    -------
    Run
        Its ``x`` are the inputs with the feedback in them.

    Raises
    ------
    ValueError
        If an input, or a sum with what is fed back, is not finite or has no exact fixed-point value.
    """
    steps, lanes = x[0].shape
    room = empty((steps + later, lanes))  # shifted by where the spikes are written
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
        if not narrow:  # wider types are rare: one compiled function for shared decays and others, traces or none
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
    """The number of samples that go through a step at a time: `SAMPLES` at most, in groups of about equal size."""
    return max(1, -(-samples // max(1, -(-samples // SAMPLES))))


@jitable
def _firing_of(samples: int, units: int) -> Firing:
    """Room for the units that fired in so many samples."""
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


@scalar  # a function of its own: the loops do not vectorise over arrays allocated beside them
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
    """Add to the input of a first step what the spikes before it send, summed as `forward` does within a run.

    Parameters
    ----------
    x, last : ndarray
        (M,) float32, units of 1: the input of the step, and the spikes.
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
    """List the units of each sample that fired; return whether any did."""
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
    """Add to `total` what each unit that fired sends."""
    if rows.shape[0] > 0:
        _send_rows(spike, units, rows, firing, total)
    else:
        _send_uniform(spike, units, numbers, firing, graded, total)


@scalar
def _send_rows(spike: Floats, units: int, rows: Floats, firing: Firing, total: Floats) -> None:
    """Send by the transpose of R: row j holds the weights of what unit j sends.

    Eight rows are added at a time, so that `total` is read and written an eighth as often; what is left of a sample's
    list, less than eight, is added one by one.
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
    """Send one number to a unit itself and one to the others: at once if that changes no bit, or one by one."""
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
    """Tell whether `count` weights and `total` are multiples of 1/4096, and all their sums exact in float32."""
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
    """Gradients of `forward`, recomputing its states from the inputs and its checkpoints.

    Parameters
    ----------
    neuron, units, feedback, graded
        Arguments of `forward`.
    x : tuple of ndarray
        (T, M) float32 each, units of 1: the inputs with the feedback in them, `Run.x`.
    checkpoints : ndarray
        (S, K, M), 1/4096: `Run.checkpoints` of a run with ``keep``.
    tau, scale : float
        Width and height of the surrogate gradient.
    grad_spike : ndarray
        (T, M) float32, units of 1, or (1, M) if it is the same at every step.
    grad_trace : ndarray, optional
        (K, T, M) float32, units of 1.
    later : int
        Argument of `forward`: `grad_spike` is that of the shifted spikes.
    tiled : bool
        Whether to multiply by R on matrix tiles (`ops.tiles`), where its numbers fit them; as accurate as without.

    Returns
    -------
    Gradients
        The gradient to ``x`` holds what flows back through the feedback too; `weight_gradient` and
        `own_gradient` make that to R of it.
    """
    steps, lanes = x[0].shape
    grad_x = tuple(empty((steps, lanes)) for _ in x)
    grad_decay = np.zeros((len(neuron.decay), lanes))
    zero = checkpoints.dtype.type(0)
    if not isinstance(zero, np.float32):  # wider types are rare: one compiled function for shared decays and others
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
        grad_decay[:] = 0  # tiles may have refused a gradient half-way
        run(_backward, packed)
    return out


class Kept(NamedTuple):
    """The buffers of backward for the samples that it walks at a time, beside `Walk`."""

    back: Floats  #: (width,), the gradients to the spikes of a step
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


@scalar  # a function of its own: the loops do not vectorise over arrays allocated beside them
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
                # spikes of size 1: a graded one may have the size 0, and still is a spike to the states
                row = t - first + 1
                advance(neuron, held, decay, parts(x, t, lo, hi), spike[row, :n], trace, row, 0, False, None)
            gathered[:] = 0
            for t in range(last - 1, first - 1, -1):
                if t + later < steps:  # the spike of a step arrives `later`, if at all
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
    """The gradient to R, following the spikes.

    Parameters
    ----------
    grad : ndarray
        (T, M) float32, units of 1: the gradient to an input from `backward`.
    spike : ndarray
        (T, M) float32, units of 1, as they were sent: `Run.spike`.
    units : int
        O, the units of a sample.
    later : int
        Argument of `forward`: steps by which `spike` is shifted.

    Returns
    -------
    ndarray or None
        (O, O) float32, C-contiguous, row o belonging to what unit o receives. None where events do not tell it: if
        `grad` is not finite, or there are too many units.
    """
    samples = max(len(grad) - 1, 0) * (grad.shape[1] // units)
    if not events.fits(samples, units, 1):
        return None
    found = events.of_rows(heard(spike, later).reshape(-1, units))
    return events.weight_gradient(found, grad[1:].reshape(-1, units))


def heard(spike: Floats, later: int) -> Floats:
    """The spikes (T - 1, M) that reach the second step and those behind it, of `Run.spike` of `forward`."""
    return spike[later : max(len(spike) - 1 + later, 0)]


def own_gradient(grad: Floats, spike: Floats, later: int = 0) -> float:
    """The gradient to the diagonal of R as one number: the trace of `weight_gradient`.

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
