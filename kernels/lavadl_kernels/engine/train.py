"""Any family of spiking neurons run over time: forward and backward.

A family gives its scalar `step` in a file of its own, and `advance_adjoint`, the adjoint of `step` over the lanes of
one time step.  The rest is here, the same for all: the walk over time and over lanes, the choice of number type, and
the states that backward needs again.

Arrays are time-major (T, M), M lanes.  Inputs are tuples of such arrays: one, or real and imaginary
part.  Backward recomputes the states (gradient checkpointing), a segment of time at a time from checkpoints that
forward left, so that their history stays in the second-level cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from lavadl_kernels.engine import _lane_functions
from lavadl_kernels.engine._arguments import (
    AdjointStep,
    Arriving,
    Given,
    History,
    Lanes,
    Leaving,
    Surrogate,
    Walk,
    surrogate_of,
)
from lavadl_kernels.engine._optional_rows import copied
from lavadl_kernels.fixed_point import FLOAT32_BOUND, NEVER, real, run_in_float64_or_int64
from lavadl_kernels.runtime.array_types import Array, Floats, Integers
from lavadl_kernels.runtime.buffers import empty
from lavadl_kernels.runtime.extending import jitable, overload
from lavadl_kernels.runtime.hints import distinct_rows, prefetch, prefetch_to_write
from lavadl_kernels.runtime.jit import HELPER, VIEW, kernel, prefer_512_bit, scalar

#: lanes that forward takes at a time: rows long enough for the memory, and states that share a second-level cache of
#: 256 KB with them. In one sweep 2048 took 7 % longer and 8192 2 %
CHUNK = 4096
#: steps from checkpoint to checkpoint: checkpoints then take half a byte an element for each two states, and the
#: history of a segment stays in the second-level cache
SEGMENT = 16
#: lanes that backward takes at a time, for the same reason: 209 KB of history for two states. In one sweep 512, whose
#: rows of memory are shorter, took 5 % longer, and so did 2048
PART = 1024

_ADVANCE: dict[type, Callable[..., Any]] = {}
_ADVANCE_ADJOINT: dict[type, Callable[..., Any]] = {}
_BOUNDS: dict[type, Bounds] = {}


class Bounds(NamedTuple):
    """Bounds of the states of a family; see `neurons.Family`."""

    gain: Callable[[Integers, int], float]  #: of the decays and a number of steps
    by_itself: Callable[[Any, Integers, int], int]  #: of parameters, states and a number of steps


def declare(
    parameters: type,
    step: Callable[..., Any],
    shape: _lane_functions.Shape,
    advance_adjoint: Callable[..., Any],
    bounds: Bounds,
) -> None:
    """Train the family whose parameters are of this NamedTuple class by its `step` and its adjoint.

    Raises
    ------
    ValueError
        If another class has the same name.
    """
    _lane_functions.check_class_name(parameters, _ADVANCE)
    _ADVANCE[parameters] = _lane_functions.trained(step, shape)
    _ADVANCE_ADJOINT[parameters] = advance_adjoint
    _BOUNDS[parameters] = bounds


def bounds(neuron: Any, state: Integers, steps: int) -> tuple[float, int]:
    """Bound the states of neurons within `steps` steps.

    Parameters
    ----------
    neuron : NamedTuple
        Parameters of a family.
    state : ndarray
        (K, M) int64, before the first step, 1/4096.
    steps : int
        Number of steps.

    Returns
    -------
    gain : float
        How many times inputs and initial states, whichever is larger, the states can come to.
    by_itself : int
        The magnitude to which they can come without input, 1/4096.
    """
    of = _BOUNDS[type(neuron)]
    return of.gain(neuron.decay, steps), of.by_itself(neuron, state, steps)


def advance(
    neuron: Any,
    state: Array,
    decay: Array,
    x: tuple[Floats, ...],
    spike: Floats,
    trace: Floats | None,
    t: int,
    lo: int,
    graded: bool,
    largest: Any,
) -> Any:
    """Take one time step of the lanes of a chunk.

    Parameters
    ----------
    neuron : NamedTuple
        Parameters of the family.
    state : ndarray
        (K, width) states of 1/4096, float32, float64 or int64; replaced by the new ones.
    decay : ndarray
        (P, width), or (P,) where all lanes share them, of the type of `state`, 1/4096.
    x : tuple of ndarray
        (n,) float32 each, units of 1.
    spike : ndarray
        (n,) float32, written.
    trace : ndarray or None
        (K, T, M) float32, units of 1: values before a spike acts on them, written at [:, t, lo : lo + n].
    t, lo : int
        The place in `trace`.
    graded : bool
        Whether a spike carries its value.
    largest : int32 or None
        The bits of the largest magnitude so far, in 1/4096; None where nobody asks.

    Returns
    -------
    int32 or None
        `largest` with the inputs of this step, and with its states before a spike acts on them if they are float32;
        for states of other types a bound to the inputs is enough.  `within` compares it with a bound.
    """
    return _ADVANCE[type(neuron)](neuron, state, decay, x, spike, trace, t, lo, graded, largest)


@overload(advance, jit_options=HELPER)
def _advance(
    neuron: Any, state: Any, decay: Any, x: Any, spike: Any, trace: Any, t: Any, lo: Any, graded: Any, largest: Any
) -> Callable[..., Any]:
    return _ADVANCE[neuron.instance_class]


def advance_adjoint(neuron: Any, at: AdjointStep, surrogate: Surrogate) -> None:
    """Take the adjoint of one time step of the lanes of a chunk.

    A family's own function has the same names of arguments: Numba compares them.

    Parameters
    ----------
    neuron : NamedTuple
        Parameters of the family.
    at : AdjointStep
        The step; its history is what `advance` wrote.
    surrogate : Surrogate
        Of the spikes.
    """
    _ADVANCE_ADJOINT[type(neuron)](neuron, at, surrogate)


@overload(advance_adjoint, jit_options=HELPER)
def _advance_adjoint(neuron: Any, at: Any, surrogate: Any) -> Callable[..., None]:
    return _ADVANCE_ADJOINT[neuron.instance_class]


class Run(NamedTuple):
    """The results of `forward`."""

    spike: Floats  #: (T, M)
    trace: Floats  #: (K, T, M), each state before a spike acts on it, units of 1; or (0, T, M)
    state: Integers  #: (K, M), the states after the last step
    checkpoints: Array  #: (S, K, M), the states before every `SEGMENT` steps, 1/4096; or (0, K, M)
    x: tuple[Floats, ...]  #: the inputs


class Written(NamedTuple):
    """The arrays that forward fills."""

    spike: Floats  #: (T, M)
    trace: Floats | None  #: (K, T, M)
    checkpoints: Array  #: (S, K, M), or (0, K, M)
    after: Integers  #: (K, M)


def forward(
    neuron: Any,
    x: tuple[Floats, ...],
    state: Integers,
    graded: bool = False,
    traces: bool = False,
    keep: bool = False,
    later: int = 0,
) -> Run:
    """Run real inputs through neurons.

    Parameters
    ----------
    neuron : NamedTuple
        Parameters of a family: ``decay`` (P, M) int64, (P, C) where lane i is of channel ``i % C``, or (P,) for all
        lanes, and its scalars, all integers of 1/4096.
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
    later : int
        Steps by which `Run.spike` is shifted, at least 0: no spike arrives in the first of them, and those of the last
        of them are not returned.

    Returns
    -------
    Run

    Raises
    ------
    ValueError
        If an input is not finite or has no exact fixed-point value.
    """
    steps, lanes = x[0].shape
    room = empty((steps + later, lanes))  # shifted by where the spikes are written
    room[:later] = 0
    spike = room[later:]
    trace = empty((len(state), steps, lanes)) if traces else None
    after = np.empty_like(state)
    given = Given(x, state, graded)
    checkpoints: Array = after

    def run(bound: Any, zero: Any) -> bool:
        nonlocal checkpoints
        narrow = isinstance(zero, np.float32)
        kind = np.float32 if narrow else np.float64
        checkpoints = empty((-(-steps // SEGMENT) if keep else 0, len(state), lanes), kind)
        if narrow:
            return _forward(lanes, neuron, given, bound, zero, Written(spike, trace, checkpoints, after))
        # wider types are rare: one compiled function for shared decays and others, with traces and without
        each = neuron._replace(decay=per_lane(neuron.decay, lanes))
        values = empty((len(state), steps, lanes)) if trace is None else trace
        return _forward(lanes, each, given, bound, zero, Written(spike, values, checkpoints, after))

    run_in_narrowest_type(run, neuron, x, state)
    traced = np.empty((0, steps, lanes), np.float32) if trace is None else trace
    return Run(room[:steps], traced, after, checkpoints, x)


def run_in_narrowest_type(run: Callable[[Any, Any], bool], neuron: Any, x: tuple[Floats, ...], state: Integers) -> None:
    """Call ``run(bound, zero)`` with float32 states, which suffice for most networks, else with wider ones.

    For float32 ``run`` returns whether every input and state stayed below `bound`, which `advance` tells.

    Parameters
    ----------
    run : callable
        ``run(bound, zero) -> bool``; `zero` gives the number type of the states.
    neuron : NamedTuple
        Parameters of a family.
    x : tuple of ndarray
        (T, M) float32 each, units of 1.
    state : ndarray
        (K, M) int64, before the first step, 1/4096.
    """
    if not (all(_is_small(part) for part in (state, *neuron)) and run(np.float32(FLOAT32_BOUND), np.float32(0))):
        run_in_float64_or_int64(run, x, state, *bounds(neuron, state, x[0].shape[0]))


def _is_small(part: Any) -> bool:
    """Tell whether float32 states can be computed with a number, or with the numbers of an array."""
    if isinstance(part, np.ndarray):
        if part.size <= 16:  # a reduction takes 2 us, a list of so few 0.5
            return all(-FLOAT32_BOUND < value < FLOAT32_BOUND for value in part.ravel().tolist())
        return bool(part.max() < FLOAT32_BOUND and part.min() > -FLOAT32_BOUND)
    # a threshold that is never reached is compared with, and needs no exact sum
    return bool(abs(part) < FLOAT32_BOUND or part == NEVER)


def per_lane(decay: Integers, lanes: int) -> Integers:
    """Spread decays that all lanes share.

    Parameters
    ----------
    decay : ndarray
        (P,), or as it is (P, M) or (P, C), int64, 1/4096.
    lanes : int
        M.

    Returns
    -------
    ndarray
        (P, M) int64.
    """
    return decay if decay.ndim == 2 else np.repeat(decay[:, None], lanes, axis=1)


@kernel
def _forward(begin: int, end: int, neuron: Any, given: Given, bound: np.float32, zero: Any, written: Written) -> bool:
    lanes = room_for_lanes(neuron.decay, given.state.shape[0], max(1, min(CHUNK, end - begin)), zero)
    return bool(_forward_lanes(begin, end, neuron, given, bound, lanes, written))


@jitable
def room_for_lanes(decay: Integers, count: int, width: int, zero: Any) -> Lanes:
    """Room for states and decays of lanes, in the number type of `zero`.

    Parameters
    ----------
    decay : ndarray
        (P,) or (P, M) int64, 1/4096.
    count : int
        K, the states of a lane.
    width : int
        Number of lanes.
    zero : number
        Of the type of the run.
    """
    return Lanes(np.full((count, width), zero), lanes_of(decay, width, zero))


def lanes_of(decay: Integers, width: int, zero: Any) -> Array:
    """Room for the decays of lanes.

    Parameters
    ----------
    decay : ndarray
        (P, M) int64, or (P,) where all lanes share them, 1/4096.
    width : int
        Number of lanes.
    zero : number
        Of the type of the run.

    Returns
    -------
    ndarray
        (P, width) or (P,).
    """
    return np.full(decay.shape[0], zero) if decay.ndim == 1 else np.full((decay.shape[0], width), zero)


@overload(lanes_of)
def _lanes_of(decay: Any, width: Any, zero: Any) -> Callable[..., Any]:
    if decay.ndim == 1:
        return lambda decay, width, zero: np.full(decay.shape[0], zero)
    return lambda decay, width, zero: np.full((decay.shape[0], width), zero)


def fetch(decay: Integers, lo: int, hi: int, factor: float, held: Array) -> None:
    """Write the decays of lanes `lo` to `hi`, times `factor`, to `held`.

    Parameters
    ----------
    decay : ndarray
        (P, M) or (P,) int64, 1/4096; of fewer columns, one for each channel where channels are innermost, lane i has
        column ``i % columns``.
    lo, hi : int
        The lanes.
    factor : float
        1, or 1 / 4096 for decays in units of 1.
    held : ndarray
        (P, width) or (P,), as `lanes_of` made it, in the unit that `factor` gives.
    """
    if decay.ndim == 1:
        held[:] = decay * factor
    else:
        held[:, : hi - lo] = decay[:, np.arange(lo, hi) % decay.shape[1]] * factor


@overload(fetch)
def _fetch(decay: Any, lo: Any, hi: Any, factor: Any, held: Any) -> Callable[..., None]:
    if decay.ndim == 1:

        def shared(decay: Any, lo: Any, hi: Any, factor: Any, held: Any) -> None:
            for k in range(decay.shape[0]):
                held[k] = decay[k] * factor

        return shared

    def each(decay: Any, lo: Any, hi: Any, factor: Any, held: Any) -> None:
        for k in range(decay.shape[0]):
            _repeat(decay[k], lo % decay.shape[1], factor, held[k, : hi - lo])

    return each


@scalar
def _repeat(values: Integers, first: int, factor: float, held: Array) -> None:
    done = 0
    while done < held.size:
        n = min(values.size - first, held.size - done)
        for i in range(n):
            held[done + i] = values[first + i] * factor
        done += n
        first = 0


@scalar
def begin_lanes(neuron: Any, state: Integers, lo: int, hi: int, lanes: Lanes) -> None:
    """Fetch states and decays of lanes `lo` to `hi` in the number type of the run.

    Parameters
    ----------
    neuron : NamedTuple
        Parameters of a family.
    state : ndarray
        (K, M) int64, 1/4096.
    lo, hi : int
        The lanes.
    lanes : Lanes
        Written.
    """
    held, decay = lanes
    for k in range(held.shape[0]):
        for i in range(hi - lo):
            held[k, i] = state[k, lo + i]
    fetch(neuron.decay, lo, hi, 1, decay)


@scalar
def end_lanes(lanes: Lanes, lo: int, hi: int, after: Integers) -> None:
    """Write the states of lanes `lo` to `hi` to `after`.

    Parameters
    ----------
    lanes : Lanes
        The states in the number type of the run.
    lo, hi : int
        The lanes.
    after : ndarray
        (K, M) int64, 1/4096.
    """
    held = lanes.state
    for k in range(held.shape[0]):
        for i in range(hi - lo):
            after[k, lo + i] = np.int64(held[k, i])


@scalar  # a function of its own: the loops do not vectorise over arrays allocated beside them
def _forward_lanes(
    begin: int, end: int, neuron: Any, given: Given, bound: np.float32, lanes: Lanes, written: Written
) -> bool:
    x, state, graded = given
    held, decay = lanes
    spike, trace, checkpoints, after = written
    width, largest = held.shape[1], np.int32(0)
    for lo in range(begin, end, width):
        hi = min(lo + width, end)
        n = hi - lo
        begin_lanes(neuron, state, lo, hi, lanes)
        for t in range(x[0].shape[0]):
            if t % SEGMENT == 0:
                if checkpoints.shape[0] > 0:
                    for k in range(held.shape[0]):
                        copied(held[k, :n], checkpoints[t // SEGMENT, k, lo:hi])
                if not within(largest, bound):
                    return False
            given_now = rows(x, t, lo, hi)
            largest = advance(neuron, held, decay, given_now, spike[t, lo:hi], trace, t, lo, graded, largest)
        end_lanes(lanes, lo, hi, after)
    return within(largest, bound)


@scalar
def within(bits: Any, bound: Any) -> bool:
    """Tell whether the float32 of these bits is less than `bound`."""
    return bool(np.int32(bits).view(np.float32) < bound)


def rows(parts: tuple[Floats, ...], t: int, lo: int, hi: int) -> tuple[Floats, ...]:
    """Lanes `lo` to `hi` at step `t` of each part of an input, (T, M) float32."""
    return tuple(part[t, lo:hi] for part in parts)


@overload(rows, **VIEW)
def _rows(parts: Any, t: Any, lo: Any, hi: Any) -> Callable[..., Any]:
    if len(parts) == 1:
        return lambda parts, t, lo, hi: (parts[0][t, lo:hi],)
    return lambda parts, t, lo, hi: (parts[0][t, lo:hi], parts[1][t, lo:hi])


class Gradients(NamedTuple):
    """The results of `backward`."""

    x: tuple[Floats, ...]  #: (T, M) for each input
    decay: Array  #: (P, M) float64, per lane, per unit of the decay integers


def backward(
    neuron: Any,
    x: tuple[Floats, ...],
    state: Integers,
    tau: float,
    scale: float,
    grad_spike: Floats,
    grad_trace: Floats | None = None,
    graded: bool = False,
    checkpoints: Array | None = None,
    later: int = 0,
) -> Gradients:
    """Gradients of `forward`, recomputing its states from the inputs and the initial states.

    Parameters
    ----------
    neuron, x, graded
        Arguments of `forward`.
    state : ndarray
        (K, M) int64, as `forward` took it, 1/4096.
    tau, scale : float
        Width and height of the surrogate gradient.
    grad_spike : ndarray
        (T, M) float32, units of 1, or (1, M) if it is the same at every step.
    grad_trace : ndarray, optional
        (K, T, M) float32, units of 1.
    checkpoints : ndarray, optional
        (S, K, M), 1/4096: `Run.checkpoints` of a run with ``keep``.
    later : int
        Argument of `forward`: `grad_spike` is that of the shifted spikes.

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
    if checkpoints.dtype != np.float32:  # wider types are rare: one compiled function for shared decays and others
        neuron = neuron._replace(decay=per_lane(neuron.decay, lanes))
    surrogate = surrogate_of(tau, scale, graded)
    out = Gradients(grad_x, grad_decay)
    _backward(lanes, neuron, x, checkpoints, zero, surrogate, (grad_spike, grad_trace, later), out)
    return out


@kernel
def _backward(
    begin: int, end: int, neuron: Any, x: Any, checkpoints: Array, zero: Any, surrogate: Surrogate, grads: Any, out: Any
) -> None:
    count, width = checkpoints.shape[1], max(1, min(PART, end - begin))
    lanes = room_for_lanes(neuron.decay, count, width, zero)
    walk = walk_of(neuron.decay, count, SEGMENT, width)
    nothing = np.zeros(width, np.float32)
    _backward_lanes(begin, end, neuron, x, checkpoints, surrogate, grads, nothing, lanes, walk, out)


@jitable
def walk_of(decay: Integers, count: int, steps: int, width: int) -> Walk:
    """Room for what backward needs of lanes over a segment.

    Parameters
    ----------
    decay : ndarray
        (P,) or (P, M) int64, 1/4096.
    count : int
        K, the states of a lane.
    steps : int
        Steps of a segment.
    width : int
        Number of lanes.
    """
    return Walk(
        lanes_of(decay, width, np.float32(0)),
        History(np.empty((count, steps + 1, width), np.float32), np.zeros((steps + 1, width), np.float32)),
        np.empty((count, width), np.float32),
        np.empty((decay.shape[0], width), np.float32),
    )


@scalar  # a function of its own: the loops do not vectorise over arrays allocated beside them
def _backward_lanes(
    begin: int, end: int, neuron: Any, x: Any, checkpoints: Array, surrogate: Surrogate,
    grads: Any, nothing: Floats, lanes: Lanes, walk: Walk, out: Any,
) -> None:  # fmt: skip
    grad_x, grad_decay = out
    held, decay = lanes
    decay_fraction, history, adjoint, gathered = walk
    trace, spike = history
    grad_spike, grad_trace, later = grads
    width, steps, single = held.shape[1], x[0].shape[0], grad_spike.shape[0] == 1
    for lo in range(begin, end, width):
        hi = min(lo + width, end)
        n = hi - lo
        adjoint[:] = 0
        fetch(neuron.decay, lo, hi, 1, decay)
        fetch(neuron.decay, lo, hi, 1 / 4096, decay_fraction)
        for segment in range(checkpoints.shape[0] - 1, -1, -1):
            first = segment * SEGMENT
            last = min(first + SEGMENT, steps)
            for k in range(held.shape[0]):
                _resume(checkpoints[segment, k, lo:hi], held[k, :n], trace[k, 0, :n])
            for t in range(first, last):
                # spikes of size 1: a graded one may have the size 0, and still is a spike to the states
                row = t - first + 1
                # what the way back needs, while this way is bound by its arithmetic; and there the inputs of the next
                prefetch(grad_spike[0 if single else min(t + later, steps - 1), lo:hi])
                for k in range(len(x)):
                    prefetch_to_write(grad_x[k][t, lo:hi])
                advance(neuron, held, decay, rows(x, t, lo, hi), spike[row, :n], trace, row, 0, False, None)
            gathered[:] = 0
            for t in range(last - 1, first - 1, -1):
                if t >= SEGMENT:
                    for k in range(len(x)):
                        prefetch(x[k][t - SEGMENT, lo:hi])
                # the spike of a step arrives `later`, if at all
                arrives = nothing[:n] if t + later >= steps else grad_spike[0 if single else t + later, lo:hi]
                arriving = Arriving(arrives, grad_trace, t, lo)
                leaving = Leaving(rows(grad_x, t, lo, hi), gathered)
                at = AdjointStep(decay_fraction, history, t - first + 1, arriving, adjoint, leaving)
                advance_adjoint(neuron, at, surrogate)
            collect(gathered, n, grad_decay, lo)


@scalar
def _resume(checkpoint: Array, held: Array, trace: Floats) -> None:
    prefer_512_bit()
    distinct_rows()
    for i in range(held.size):
        held[i] = checkpoint[i]
        trace[i] = real(checkpoint[i])


@scalar
def collect(gathered: Floats, n: int, grad_decay: Array, lo: int) -> None:
    """Add what `advance_adjoint` gathered over some steps, in units of 1, to the gradients of `n` lanes from `lo`.

    Over the steps of a segment float32 suffices, over all of them it would lose what is small.

    Parameters
    ----------
    gathered : ndarray
        (P, width) float32, units of 1.
    n : int
        Lanes that count.
    grad_decay : ndarray
        (P, M) float64, per unit of the decay integers.
    lo : int
        The first of the lanes.
    """
    for k in range(gathered.shape[0]):
        _collect_row(gathered[k, :n], grad_decay[k, lo : lo + n])


@scalar
def _collect_row(gathered: Floats, total: Array) -> None:
    prefer_512_bit()
    for i in range(gathered.size):
        total[i] += np.float64(gathered[i]) * (1 / 4096)
