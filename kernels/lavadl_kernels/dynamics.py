"""Any family of spiking neurons run over time: forward, backward, and with feedback between neurons.

A family gives its scalar `step` in a file of its own, and two functions over the lanes of one
time step: `advance` runs `step`, `retreat` is its adjoint.  What is here is the same for all:
the walk over time and over lanes, the choice of number type, the history that backward needs,
and the feedback of recurrent layers::

    a[t] = x[t] + R s[t-1]                  with feedback weights R, else a[t] = x[t]
    s[t], state = step(state, a[t])
    g_s[t] = grad_spike[t] + R' g_a[t+1]    backward

Arrays are time-major (T, M), M lanes; with feedback a lane is one unit of one sample, samples
slowest.  Inputs are tuples of such arrays: one, or real and imaginary part.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba.extending import overload

from lavadl_kernels._jit import ALIGN, kernel, scalar
from lavadl_kernels.fixed_point import exact

CHUNK = 512  #: lanes per task: their states stay in the first-level cache
HISTORY = 1 << 17  #: values of history per task: they stay in the second-level cache

_ADVANCE: dict[type, Callable[..., Any]] = {}
_RETREAT: dict[type, Callable[..., Any]] = {}


def family(advance: Callable[..., Any], retreat: Callable[..., Any]) -> Callable[[type], type]:
    """Declare the lane functions of the family whose parameters a NamedTuple class holds."""

    def declare(parameters: type) -> type:
        # Numba tells named tuples apart by the name of the class and their fields alone
        assert parameters.__name__ not in {other.__name__ for other in _ADVANCE}
        _ADVANCE[parameters] = advance
        _RETREAT[parameters] = retreat
        return parameters

    return declare


def advance(neuron, state, decay, x, spike, trace, t, lo, graded, bound):
    """One time step of the lanes of a chunk; returns whether an input was out of bounds."""
    return _ADVANCE[type(neuron)](neuron, state, decay, x, spike, trace, t, lo, graded, bound)


@overload(advance, jit_options={"error_model": "numpy"})
def _advance(neuron, state, decay, x, spike, trace, t, lo, graded, bound):
    return _ADVANCE[neuron.instance_class]


def retreat(
    neuron, share, trace, spike, t, grad_spike, grad_trace, gt, glo, adjoint, grad_x, grad_decay, lo, tau, scale, graded
):
    """The adjoint of one time step of the lanes of a chunk."""
    _RETREAT[type(neuron)](
        neuron, share, trace, spike, t, grad_spike, grad_trace, gt, glo,
        adjoint, grad_x, grad_decay, lo, tau, scale, graded,
    )  # fmt: skip


@overload(retreat, jit_options={"error_model": "numpy"})
def _retreat(
    neuron, share, trace, spike, t, grad_spike, grad_trace, gt, glo, adjoint, grad_x, grad_decay, lo, tau, scale, graded
):
    return _RETREAT[neuron.instance_class]


class Run(NamedTuple):
    """What `forward` returns."""

    spike: np.ndarray  #: (T, M) float32
    trace: np.ndarray  #: (K, T, M) float32, the values compared with the threshold, units of 1; or (0, T, M)
    state: np.ndarray  #: (K, M) int64, the states after the last step
    x: tuple[np.ndarray, ...]  #: the inputs with the feedback in them


def forward(neuron, x, state, graded=False, traces=False, feedback=(), stages=2):
    """Run real inputs through neurons.

    Parameters
    ----------
    neuron : NamedTuple
        Parameters of a family: ``decay`` (P, M) int64 and its scalars, all integers of 1/4096;
        ``reach(state, steps)`` bounds what its states can come to without input.
    x : tuple of ndarray
        One or two (T, M) float32, units of 1.
    state : ndarray
        (K, M) int64, 1/4096.
    graded : bool
        Whether a spike carries its value instead of 1.
    traces : bool
        Whether to return the values that the threshold was compared with.
    feedback : tuple of ndarray
        For each input the transpose of R, (O, O) float32 and C-contiguous: row j holds the weights of what
        unit j sends.  Empty for none.  M is then N * O, lane n * O + o being unit o of sample n.  Nothing
        is fed back at the first step: what the spikes before it send is the caller's to add to ``x[k][0]``.

    Returns
    -------
    Run

    Raises
    ------
    ValueError
        If an input is not finite or has no exact fixed-point value.
    """
    steps, lanes = x[0].shape
    spike = np.empty((steps, lanes), np.float32)
    trace = np.empty((len(state) if traces else 0, steps, lanes), np.float32)
    after = np.empty_like(state)
    fed = tuple(np.empty_like(part) for part in x) if feedback else x
    weights = feedback or tuple(np.empty((0, 0), np.float32) for _ in x)

    def run(bound, zero):
        # a thread's share of lanes ends where a sample does, if its units hear each other
        return _forward(
            lanes, neuron, x, state, graded, bound, zero, weights, spike, trace, after, fed,
            align=len(weights[0]) or ALIGN,
        )  # fmt: skip

    exact(run, x, state, stages, neuron.reach(state, steps))
    return Run(spike, trace, after, fed)


@kernel
def _forward(begin, end, neuron, x, state, graded, bound, zero, feedback, spike, trace, after, fed):
    units = feedback[0].shape[0]
    width = units if units > 0 else CHUNK
    held = np.full((state.shape[0], width), zero)
    decay = np.full((neuron.decay.shape[0], width), zero)
    values = np.empty((state.shape[0], 1, width), np.float32)
    return _forward_lanes(
        begin, end, neuron, x, state, graded, bound, zero, feedback, held, decay, values, spike, trace, after, fed
    )


@scalar  # a function of its own: the loops do not vectorise over arrays allocated beside them
def _forward_lanes(
    begin, end, neuron, x, state, graded, bound, zero, feedback, held, decay, values, spike, trace, after, fed
):
    units, width, silent = feedback[0].shape[0], held.shape[1], trace.shape[0] == 0
    beyond = np.int32(0)
    for lo in range(begin, end, width):
        hi = min(lo + width, end)
        n = hi - lo
        for k in range(held.shape[0]):
            for i in range(n):
                held[k, i] = state[k, lo + i]
        for k in range(decay.shape[0]):
            for i in range(n):
                decay[k, i] = neuron.decay[k, lo + i]
        for t in range(x[0].shape[0]):
            if units > 0:
                for k in range(len(x)):
                    fed[k][t, lo:hi] = x[k][t, lo:hi]
                    if t > 0:
                        _spread(spike[t - 1, lo:hi], feedback[k], fed[k][t, lo:hi])
            beyond |= advance(
                neuron, held, decay, _rows(fed, t, lo, hi), spike[t, lo:hi],
                values if silent else trace, 0 if silent else t, 0 if silent else lo, graded, bound,
            )  # fmt: skip
        for k in range(held.shape[0]):
            for i in range(n):
                after[k, lo + i] = np.int64(held[k, i])
    return beyond == 0


@scalar
def _rows(parts, t, lo, hi):
    if len(parts) == 1:
        return (parts[0][t, lo:hi],)
    return (parts[0][t, lo:hi], parts[1][t, lo:hi])


@scalar
def _spread(spike, weights, total):
    """Add to `total` what each unit that fired sends."""
    for j in range(spike.size):
        if spike[j] != 0:
            size, row = spike[j], weights[j]
            for i in range(total.size):
                total[i] += size * row[i]


class Gradients(NamedTuple):
    """What `backward` returns."""

    x: tuple[np.ndarray, ...]  #: (T, M) float32 for each input
    decay: np.ndarray  #: (P, M) float64, per lane, per unit of the decay integers


def backward(neuron, x, state, tau, scale, grad_spike, grad_trace=None, graded=False, feedback=()):
    """Gradients of `forward`, recomputing its states from the inputs and the initial states.

    Parameters
    ----------
    neuron, state, graded
        What `forward` was given.
    x : tuple of ndarray
        The inputs with the feedback in them, `Run.x`.
    tau, scale : float
        Width and height of the surrogate gradient.
    grad_spike : ndarray
        (T, M) float32.
    grad_trace : ndarray, optional
        (K, T, M) float32.
    feedback : tuple of ndarray
        For each input R itself, not the transpose that `forward` takes: (O, O) float32 and C-contiguous, row o
        holding the weights of what unit o receives.

    Returns
    -------
    Gradients
        With feedback, the gradient to ``x`` holds what flows back through the feedback too; that to R is the
        sum over samples and steps of the outer products of the gradient to ``x[k][t]`` and the spikes ``t - 1``.
    """
    steps, lanes = grad_spike.shape
    weights = feedback or tuple(np.empty((0, 0), np.float32) for _ in x)
    traces = np.empty((0, 0, 0), np.float32) if grad_trace is None else grad_trace
    width = int(max(16, min(CHUNK, HISTORY // ((len(state) + 1) * (steps + 1))) // 16 * 16))
    grad_x = tuple(np.empty((steps, lanes), np.float32) for _ in x)
    grad_decay = np.zeros(neuron.decay.shape, np.float64)
    _backward(
        lanes, neuron, x, state, np.float32(tau), np.float32(scale), graded, weights,
        grad_spike, traces, width, grad_x, grad_decay, align=len(weights[0]) or ALIGN,
    )  # fmt: skip
    return Gradients(grad_x, grad_decay)


@kernel
def _backward(
    begin, end, neuron, x, state, tau, scale, graded, feedback, grad_spike, grad_trace, width, grad_x, grad_decay
):
    units = feedback[0].shape[0]
    if units > 0:
        width = units
    steps, count, size = x[0].shape[0], state.shape[0], neuron.decay.shape[0]
    _backward_lanes(
        begin, end, neuron, x, state, tau, scale, graded, feedback, grad_spike, grad_trace,
        np.empty((count, width)), np.empty((size, width)), np.empty((size, width), np.float32),
        np.empty((count, steps + 1, width), np.float32), np.zeros((steps + 1, width), np.float32),
        np.empty((count, width), np.float32), np.zeros((count, 1, width), np.float32), np.empty(width, np.float32),
        grad_x, grad_decay,
    )  # fmt: skip


@scalar  # a function of its own: the loops do not vectorise over arrays allocated beside them
def _backward_lanes(
    begin, end, neuron, x, state, tau, scale, graded, feedback, grad_spike, grad_trace,
    held, decay, share, trace, spike, adjoint, nothing, back, grad_x, grad_decay,
):  # fmt: skip
    units, width, steps, silent = feedback[0].shape[0], held.shape[1], x[0].shape[0], grad_trace.shape[0] == 0
    for lo in range(begin, end, width):
        hi = min(lo + width, end)
        n = hi - lo
        for k in range(held.shape[0]):
            for i in range(n):
                held[k, i] = state[k, lo + i]
                trace[k, 0, i] = held[k, i] * (1 / 4096)
                adjoint[k, i] = 0
        for k in range(decay.shape[0]):
            for i in range(n):
                decay[k, i] = neuron.decay[k, lo + i]
                share[k, i] = decay[k, i] * (1 / 4096)
        for t in range(steps):
            # spikes of size 1: a graded one may have the size 0, and still is a spike to the states
            advance(
                neuron, held, decay, _rows(x, t, lo, hi), spike[t + 1, :n], trace, t + 1, 0, False, np.float32(np.inf)
            )
        for t in range(steps - 1, -1, -1):
            gs = grad_spike[t, lo:hi]
            if units > 0:
                back[:n] = gs
                if t < steps - 1:
                    for k in range(len(x)):
                        _collect(grad_x[k][t + 1, lo:hi], feedback[k], back[:n])
                gs = back[:n]
            retreat(
                neuron, share, trace, spike, t + 1, gs,
                nothing if silent else grad_trace, 0 if silent else t, 0 if silent else lo,
                adjoint, _rows(grad_x, t, lo, hi), grad_decay, lo, tau, scale, graded,
            )  # fmt: skip


@scalar
def _collect(grad, weights, total):
    """Add to `total`, for each unit, what comes back from all that it sends to: weights (to, from)."""
    n, whole = total.size, grad.size // 4 * 4
    for j in range(0, whole, 4):
        g0, g1, g2, g3 = grad[j], grad[j + 1], grad[j + 2], grad[j + 3]
        r0, r1, r2, r3 = weights[j], weights[j + 1], weights[j + 2], weights[j + 3]
        for i in range(n):
            total[i] += (g0 * r0[i] + g1 * r1[i]) + (g2 * r2[i] + g3 * r3[i])
    for j in range(whole, grad.size):
        g, row = grad[j], weights[j]
        for i in range(n):
            total[i] += g * row[i]
