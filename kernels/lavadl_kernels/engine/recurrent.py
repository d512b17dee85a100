"""Any family of spiking neurons that hear each other, run over time: forward and backward.

Feedback weights R join the units of one sample; each family's step is that of `dynamics`::

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

from typing import NamedTuple

import numpy as np

from lavadl_kernels.engine._optional_rows import copied
from lavadl_kernels.engine.train import (
    Gradients,
    Run,
    advance,
    advance_adjoint,
    collect,
    fetch,
    lanes_of,
    largest_magnitude,
    per_lane,
    run_in_narrowest_type,
    within,
)
from lavadl_kernels.engine.train import rows as parts
from lavadl_kernels.fixed_point import real
from lavadl_kernels.ops.layout import time_first
from lavadl_kernels.runtime.buffers import empty
from lavadl_kernels.runtime.gemm import ROWS, TILE, add_product, packed
from lavadl_kernels.runtime.jit import kernel, scalar

SAMPLES = 16  #: at most as many go through a step together: their states stay in the second-level cache
GROUP = 64  #: units whose weights stay in the second-level cache while samples take turns
FRAMES = 128  #: samples and steps whose gradients stay there


class Weights(NamedTuple):
    """The feedback weights R of one input: a matrix, or one number on the diagonal and another beside it."""

    matrix: np.ndarray  #: (O, O) float32 and C-contiguous, row o what unit o receives; (0, 0) for two numbers
    own: float = 0.0  #: what a unit that fires sends to itself
    others: float = 0.0  #: what it sends to every other

    @property
    def uniform(self) -> bool:
        """Whether R is two numbers."""
        return self.matrix.size == 0


def uniform(own, others):
    """`Weights` with `own` on the diagonal and `others` beside it."""
    return Weights(np.empty((0, 0), np.float32), float(own), float(others))


def forward(neuron, x, state, units, feedback, graded=False, traces=False):
    """Run real inputs through neurons that hear each other.

    Parameters
    ----------
    neuron, x, state, graded, traces
        As `dynamics.forward` takes them.
    units : int
        O, how many units a sample has.
    feedback : tuple of Weights
        One for each input.  Nothing is fed back at the first step: what the spikes before it send is the
        caller's to add to ``x[k][0]``: `begun`.

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
    spike = empty((steps, lanes))
    trace = empty((len(state), steps, lanes)) if traces else None
    after = np.empty_like(state)
    fed = tuple(empty((steps, lanes)) for _ in x)
    rows = tuple(part.matrix if part.uniform else time_first(part.matrix) for part in feedback)

    kind: type = np.float64

    def run(bound, zero):
        nonlocal kind
        kind = np.float32 if isinstance(zero, np.float32) else np.float64
        each, values = neuron, trace
        if not isinstance(zero, np.float32):  # rare: one compiled function for all of it
            each = neuron._replace(decay=per_lane(neuron.decay, lanes))
            values = empty((len(state), steps, lanes)) if trace is None else trace
        return _forward(
            lanes // units, each, x, state, graded, bound, zero, units, rows, _numbers(feedback),
            spike, values, after, fed, align=1,
        )  # fmt: skip

    run_in_narrowest_type(run, neuron, x, state)
    nothing = np.empty((0, len(state), lanes), kind)
    return Run(spike, np.empty((0, steps, lanes), np.float32) if trace is None else trace, after, nothing, fed)


def _numbers(feedback):
    return np.array([(part.own, part.others) for part in feedback], np.float32)


@scalar
def _together(samples):
    """How many of `samples` samples go through a step at a time: their shares are about equal."""
    return max(1, -(-samples // max(1, -(-samples // SAMPLES))))


@kernel
def _forward(begin, end, neuron, x, state, graded, bound, zero, units, rows, numbers, spike, trace, after, fed):
    count = _together(end - begin)
    width = count * units
    return _forward_lanes(
        begin, end, neuron, x, state, graded, bound, units, rows, numbers,
        np.full((state.shape[0], width), zero), lanes_of(neuron.decay, width, zero),
        np.empty((count, units), np.int32), np.empty(count, np.int64), np.empty(count, np.int64),
        spike, trace, after, fed,
    )  # fmt: skip


@scalar  # a function of its own: the loops do not vectorise over arrays allocated beside them
def _forward_lanes(
    begin, end, neuron, x, state, graded, bound, units, rows, numbers,
    held, decay, fired, many, at, spike, trace, after, fed,
):  # fmt: skip
    together, largest = many.size, np.int32(0)
    for first in range(begin, end, together):
        lo, hi = first * units, min(first + together, end) * units
        n = hi - lo
        for k in range(held.shape[0]):
            for i in range(n):
                held[k, i] = state[k, lo + i]
        fetch(neuron.decay, lo, hi, 1, decay)
        for t in range(x[0].shape[0]):
            for k in range(len(x)):
                copied(x[k][t, lo:hi], fed[k][t, lo:hi])
            if t > 0 and _list(spike[t - 1, lo:hi], units, fired, many):
                for k in range(len(x)):
                    if rows[k].shape[0] > 0:
                        _send(spike[t - 1, lo:hi], units, rows[k], fired, many, at, fed[k][t, lo:hi])
                    else:
                        own, others = numbers[k, 0], numbers[k, 1]
                        _send_uniform(spike[t - 1, lo:hi], units, own, others, fired, many, graded, fed[k][t, lo:hi])
            inputs = parts(fed, t, lo, hi)
            advance(neuron, held, decay, inputs, spike[t, lo:hi], trace, t, lo, graded)
            largest = largest_magnitude(inputs, held, n, largest)
            if not within(largest, bound):
                return False
        for k in range(held.shape[0]):
            for i in range(n):
                after[k, lo + i] = np.int64(held[k, i])
    return within(largest, bound)


def begun(x, last, units, weights, graded):
    """The input of a first step with what the spikes before it send, summed as `forward` does within a run.

    Parameters
    ----------
    x, last : ndarray
        (M,) float32: the input of the step, and the spikes.
    units, graded
        As `forward` takes them.
    weights : Weights
        Those of this input.

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
def _begun(begin, end, last, units, rows, numbers, graded, total):
    samples, lo, hi = end - begin, begin * units, end * units
    fired, many = np.empty((samples, units), np.int32), np.empty(samples, np.int64)
    if _list(last[lo:hi], units, fired, many):
        if rows.shape[0] > 0:
            _send(last[lo:hi], units, rows, fired, many, np.empty(samples, np.int64), total[lo:hi])
        else:
            _send_uniform(last[lo:hi], units, numbers[0, 0], numbers[0, 1], fired, many, graded, total[lo:hi])


@scalar
def _copied_all(states, to):
    for k in range(states.shape[0]):
        copied(states[k], to[k])


@scalar
def _list(spike, units, fired, many):
    """Note for each sample which units fired; returns whether any did."""
    some = False
    for s in range(spike.size // units):
        row, into, count = spike[s * units : (s + 1) * units], fired[s], 0
        for j in range(units):
            into[count] = j
            count += row[j] != 0
        many[s] = count
        some |= count > 0
    return some


@scalar
def _send(spike, units, rows, fired, many, at, total):
    """Add to `total` what each unit that fired sends."""
    samples = spike.size // units
    for s in range(samples):
        at[s] = 0
    for last in range(GROUP, units + GROUP, GROUP):
        for s in range(samples):
            sent, into, who = spike[s * units : (s + 1) * units], total[s * units : (s + 1) * units], fired[s]
            k, count = at[s], many[s]
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
def _add_eight(sent, rows, who, total):
    a, b, c, d, e, f, g, h = who[0], who[1], who[2], who[3], who[4], who[5], who[6], who[7]
    sa, sb, sc, sd, se, sf, sg, sh = sent[a], sent[b], sent[c], sent[d], sent[e], sent[f], sent[g], sent[h]
    ra, rb, rc, rd, re, rf, rg, rh = rows[a], rows[b], rows[c], rows[d], rows[e], rows[f], rows[g], rows[h]
    for i in range(total.size):
        value = (((total[i] + sa * ra[i]) + sb * rb[i]) + sc * rc[i]) + sd * rd[i]
        total[i] = (((value + se * re[i]) + sf * rf[i]) + sg * rg[i]) + sh * rh[i]


@scalar
def _send_uniform(spike, units, own, others, fired, many, graded, total):
    """As `_send`, to itself `own` and to the others `others`: at once if that changes no bit, or one by one."""
    for s in range(spike.size // units):
        count, who = many[s], fired[s]
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
def _any_order(total, own, others, count):
    """Whether `count` weights and `total` are multiples of 1/4096, and all their sums exact in float32."""
    limit = np.float32(4096) - np.float32(2 * count) * max(abs(own), abs(others))
    if not (_on_grid(own) and _on_grid(others) and limit > 0):
        return False
    off = np.int32(0)
    for i in range(total.size):
        off |= np.int32(not (abs(total[i]) <= limit)) | np.int32(not _on_grid(total[i]))
    return off == 0


@scalar
def _on_grid(value):
    units = value * np.float32(4096)
    return np.trunc(units) == units


def backward(
    neuron, x, state, tau, scale, grad_spike, units, feedback, grad_trace=None, graded=False, kind=np.float64
):  # fmt: skip
    """Gradients of `forward`, recomputing its states from the inputs and the initial states.

    Parameters
    ----------
    neuron, state, units, feedback, graded
        What `forward` was given.
    x : tuple of ndarray
        The inputs with the feedback in them, `Run.x`.
    tau, scale : float
        Width and height of the surrogate gradient.
    grad_spike : ndarray
        (T, M) float32, or (1, M) if it is the same at every step.
    grad_trace : ndarray, optional
        (K, T, M) float32.
    kind : dtype
        That of `Run.checkpoints`, of which there are none: what states were exact in.

    Returns
    -------
    Gradients
        The gradient to ``x`` holds what flows back through the feedback too; `weight_gradient` and
        `own_gradient` make that to R of it.
    """
    steps, lanes = x[0].shape
    grad_x = tuple(empty((steps, lanes)) for _ in x)
    grad_decay = np.zeros((len(neuron.decay), lanes))
    # states are kept at every so many steps; those between are found again while they are walked back
    stride = max(1, round((2 * steps) ** 0.5))
    zero = np.dtype(kind).type(0)
    if not isinstance(zero, np.float32):  # rare: one compiled function for all of it
        neuron = neuron._replace(decay=per_lane(neuron.decay, lanes))
    _backward(
        lanes // units, neuron, x, state, zero, np.float32(tau), np.float32(scale), graded, units,
        tuple(packed(part.matrix) for part in feedback), _numbers(feedback), grad_spike, grad_trace, stride,
        grad_x, grad_decay, align=1,
    )  # fmt: skip
    return Gradients(grad_x, grad_decay)


@kernel
def _backward(
    begin, end, neuron, x, state, zero, tau, scale, graded, units, rows, numbers, grad_spike, grad_trace, stride,
    grad_x, grad_decay,
):  # fmt: skip
    width = _together(end - begin) * units
    steps, count, size = x[0].shape[0], state.shape[0], neuron.decay.shape[0]
    _backward_lanes(
        begin, end, neuron, x, state, tau, scale, graded, units, rows, numbers, grad_spike, grad_trace, stride,
        np.full((count, width), zero), lanes_of(neuron.decay, width, zero),
        lanes_of(neuron.decay, width, np.float32(0)), np.full((-(-steps // stride), count, width), zero),
        np.empty((count, stride + 1, width), np.float32), np.zeros((stride + 1, width), np.float32),
        np.empty((count, width), np.float32), np.empty((size, width), np.float32), np.empty(width, np.float32),
        np.empty(ROWS * TILE, np.float32), grad_x, grad_decay,
    )  # fmt: skip


@scalar  # a function of its own: the loops do not vectorise over arrays allocated beside them
def _backward_lanes(
    begin, end, neuron, x, state, tau, scale, graded, units, rows, numbers, grad_spike, grad_trace, stride,
    held, decay, share, kept, trace, spike, adjoint, gathered, back, edge, grad_x, grad_decay,
):  # fmt: skip
    steps, single = x[0].shape[0], grad_spike.shape[0] == 1
    together = back.size // units
    for begun in range(begin, end, together):
        lo, hi = begun * units, min(begun + together, end) * units
        n = hi - lo
        for k in range(held.shape[0]):
            for i in range(n):
                held[k, i] = state[k, lo + i]
                adjoint[k, i] = 0
        fetch(neuron.decay, lo, hi, 1, decay)
        fetch(neuron.decay, lo, hi, 1 / 4096, share)
        for t in range(steps - 1):
            if t == 0:
                _copied_all(held, kept[0])
            if (t + 1) % stride == 0:
                # one step early: a section needs the trace of the step before it
                _copied_all(held, kept[(t + 1) // stride])
            advance(neuron, held, decay, parts(x, t, lo, hi), spike[1, :n], trace, 1, 0, False)
        for section in range(kept.shape[0] - 1, -1, -1):
            first = section * stride
            last = min(first + stride, steps)
            if steps > 1:
                _copied_all(kept[section], held)
            for k in range(held.shape[0]):
                for i in range(n):
                    trace[k, 0, i] = real(held[k, i])
            spike[0, :n] = 0
            for t in range(max(first - 1, 0), last):
                # spikes of size 1: a graded one may have the size 0, and still is a spike to the states
                row = t - first + 1
                advance(neuron, held, decay, parts(x, t, lo, hi), spike[row, :n], trace, row, 0, False)
            gathered[:] = 0
            for t in range(last - 1, first - 1, -1):
                copied(grad_spike[0 if single else t, lo:hi], back[:n])
                if t < steps - 1:
                    for k in range(len(x)):
                        if rows[k].shape[0] > 0:
                            add_product(grad_x[k][t + 1, lo:hi], units, rows[k], edge, back[:n], units)
                        else:
                            own, others = numbers[k, 0], numbers[k, 1]
                            _collect_uniform(grad_x[k][t + 1, lo:hi], units, own, others, back[:n])
                advance_adjoint(
                    neuron, share, trace, spike, t - first + 1, back[:n], grad_trace, t, lo,
                    adjoint, parts(grad_x, t, lo, hi), gathered, tau, scale, graded,
                )  # fmt: skip
            collect(gathered, n, grad_decay, lo)


@scalar
def _collect_uniform(grad, units, own, others, total):
    """Add to `total`, for each unit, what comes back from all that it sends to, if R is two numbers."""
    for lo in range(0, grad.size, units):
        row, into = grad[lo : lo + units], total[lo : lo + units]
        shared, more = others * np.float32(_sum(row)), own - others
        for i in range(units):
            into[i] += shared + more * row[i]


@scalar
def _sum(row):
    a = b = c = d = 0.0
    whole = row.size // 4 * 4
    for i in range(0, whole, 4):
        a, b, c, d = a + row[i], b + row[i + 1], c + row[i + 2], d + row[i + 3]
    for i in range(whole, row.size):
        a += row[i]
    return (a + b) + (c + d)


def weight_gradient(grad, spike, units):
    """The gradient to R, following the spikes.

    Parameters
    ----------
    grad : ndarray
        (T, M) float32, the gradient to an input from `backward`.
    spike : ndarray
        (T, M) float32, as they were sent.
    units : int
        O, how many units a sample has.

    Returns
    -------
    ndarray
        (O, O) float32, C-contiguous, row o that of what unit o receives.
    """
    total = np.zeros((units, units), np.float32)
    _gather(units, grad[1:].reshape(-1, units), spike[:-1].reshape(-1, units), total, align=16)
    return time_first(total)


@kernel
def _gather(begin, end, grad, spike, total):
    _gather_frames(
        begin, end, grad, spike, np.empty((end - begin, FRAMES), np.int32), np.empty(end - begin, np.int64), total
    )


@scalar
def _gather_frames(begin, end, grad, spike, when, many, total):
    n = end - begin
    for first in range(0, len(spike), FRAMES):
        many[:] = 0
        for frame in range(first, min(first + FRAMES, len(spike))):
            row = spike[frame, begin:end]
            for j in range(n):
                when[j, many[j]] = frame
                many[j] += row[j] != 0
        for j in range(n):
            whole = many[j] // 8 * 8
            for k in range(0, whole, 8):
                _gather_eight(spike, begin + j, grad, when[j, k : k + 8], total[begin + j])
            for k in range(whole, many[j]):
                size, row, into = spike[when[j, k], begin + j], grad[when[j, k]], total[begin + j]
                for i in range(into.size):
                    into[i] += size * row[i]


@scalar
def _gather_eight(spike, j, grad, when, total):
    a, b, c, d, e, f, g, h = when[0], when[1], when[2], when[3], when[4], when[5], when[6], when[7]
    sa, sb, sc, sd = spike[a, j], spike[b, j], spike[c, j], spike[d, j]
    se, sf, sg, sh = spike[e, j], spike[f, j], spike[g, j], spike[h, j]
    ra, rb, rc, rd, re, rf, rg, rh = grad[a], grad[b], grad[c], grad[d], grad[e], grad[f], grad[g], grad[h]
    for i in range(total.size):
        total[i] += ((sa * ra[i] + sb * rb[i]) + (sc * rc[i] + sd * rd[i])) + (
            (se * re[i] + sf * rf[i]) + (sg * rg[i] + sh * rh[i])
        )


def own_gradient(grad, spike):
    """The gradient to the diagonal of R as one number: the trace of `weight_gradient`, of its arguments.

    Returns
    -------
    float
    """
    sums = np.zeros(len(grad))
    _meet(len(grad) - 1, grad[1:], spike[:-1], sums, align=1)
    return float(sums.sum())


@kernel
def _meet(begin, end, grad, spike, sums):
    for t in range(begin, end):
        g, s = grad[t], spike[t]
        total = 0.0
        for i in range(s.size):
            if s[i] != 0:
                total += np.float64(g[i]) * s[i]
        sums[t] = total
