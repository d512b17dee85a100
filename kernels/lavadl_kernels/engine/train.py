"""Any family of spiking neurons run over time: forward and backward.

A family gives its scalar `step` in a file of its own, and `advance_adjoint`, the adjoint of `step` over the lanes of
one time step.  The rest is here, the same for all: the walk over time and over lanes, the choice of number type, and
the states that backward needs again.

Arrays are (T, M), M lanes, with time slowest in memory; inputs and gradients may have it innermost instead, and are
then transposed on the way (`_tiles`).  Inputs are tuples of such arrays: one, or real and imaginary part.  Backward
recomputes the states (gradient checkpointing), a segment of time at a time from checkpoints that forward left, so that
their history stays in the second-level cache.
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
from lavadl_kernels.engine._tiles import in_memory_order, room_for_tile, room_for_tiles, rows
from lavadl_kernels.fixed_point import FLOAT32_BOUND, NEVER, real, run_in_float64_or_int64
from lavadl_kernels.ops.layout import rows_of_steps, steps_of_rows
from lavadl_kernels.runtime.array_types import Array, Floats, Integers
from lavadl_kernels.runtime.buffers import empty
from lavadl_kernels.runtime.extending import jitable, overload
from lavadl_kernels.runtime.hints import distinct_rows, prefetch, prefetch_to_write
from lavadl_kernels.runtime.jit import HELPER, kernel, prefer_512_bit, scalar

#: lanes that forward takes at a time: rows long enough for the memory, and states that share a second-level cache of
#: 256 KB with them. In one sweep 2048 took 7 % longer and 8192 2 %
CHUNK = 4096
#: steps from checkpoint to checkpoint, as many as a tile holds: checkpoints then take half a byte an element for each
#: two states, and the history of a segment stays in the second-level cache
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
    largest: int | None = None,
) -> Run:
    """Run real inputs through neurons.

    Parameters
    ----------
    neuron : NamedTuple
        Parameters of a family: ``decay`` (P, M) int64, (P, C) where lane i is of channel ``i % C``, or (P,) for all
        lanes, and its scalars, all integers of 1/4096.
    x : tuple of ndarray
        One or two (T, M) float32, units of 1, C- or Fortran-contiguous.
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
    largest : int, optional
        The largest magnitude in `state`, 1/4096, where it is known, as of neurons at rest: to look for it takes up to
        a tenth of a short run.

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
    memory, lanes_first = in_memory_order(x)
    given = Given(memory, state, graded, lanes_first)
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

    run_in_narrowest_type(run, neuron, x, state, largest)
    traced = np.empty((0, steps, lanes), np.float32) if trace is None else trace
    return Run(room[:steps], traced, after, checkpoints, x)


def run_in_narrowest_type(
    run: Callable[[Any, Any], bool], neuron: Any, x: tuple[Floats, ...], state: Integers, largest: int | None = None
) -> None:
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
    largest : int, optional
        The largest magnitude in `state`, where it is known.
    """
    small = _is_small(state) if largest is None or not state.size else largest < FLOAT32_BOUND
    if not (small and all(map(_is_small, neuron)) and run(np.float32(FLOAT32_BOUND), np.float32(0))):
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
    width = max(1, min(CHUNK, end - begin))
    lanes = room_for_lanes(neuron.decay, given.state.shape[0], width, zero)
    tiles = room_for_tiles(given.x, given.lanes_first, width)
    walked = tiles if given.lanes_first else given.x
    return bool(_forward_lanes(begin, end, neuron, given, bound, lanes, (tiles, walked), written))


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
    begin: int, end: int, neuron: Any, given: Given, bound: np.float32, lanes: Lanes, source: Any, written: Written
) -> bool:
    x, state, graded, lanes_first = given
    held, decay = lanes
    tiles, walked = source  # what is walked over are the tiles, or the inputs
    spike, trace, checkpoints, after = written
    width, largest, steps = held.shape[1], np.int32(0), x[0].shape[1 if lanes_first else 0]
    for lo in range(begin, end, width):
        hi = min(lo + width, end)
        n, at = hi - lo, 0 if lanes_first else lo
        begin_lanes(neuron, state, lo, hi, lanes)
        for t in range(steps):
            if t % SEGMENT == 0:
                if lanes_first:
                    for k in range(len(x)):
                        rows_of_steps(x[k], t, min(t + SEGMENT, steps), lo, hi, tiles[k])
                if checkpoints.shape[0] > 0:
                    for k in range(held.shape[0]):
                        copied(held[k, :n], checkpoints[t // SEGMENT, k, lo:hi])
                if not within(largest, bound):
                    return False
            now = t % SEGMENT if lanes_first else t
            given_now = rows(walked, now, at, at + n)
            largest = advance(neuron, held, decay, given_now, spike[t, lo:hi], trace, t, lo, graded, largest)
        end_lanes(lanes, lo, hi, after)
    return within(largest, bound)


@scalar
def within(bits: Any, bound: Any) -> bool:
    """Tell whether the float32 of these bits is less than `bound`."""
    return bool(np.int32(bits).view(np.float32) < bound)


class Gradients(NamedTuple):
    """The results of `backward`."""

    x: tuple[Floats, ...]  #: (T, M) for each input, in the order of its memory
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
        (T, M) float32, units of 1, C- or Fortran-contiguous, or (1, M) if it is the same at every step.
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
    lanes = x[0].shape[1]
    if checkpoints is None:
        checkpoints = forward(neuron, x, state, graded, False, keep=True).checkpoints
    x, x_turned = in_memory_order(x)
    (arriving,), turned = in_memory_order((grad_spike,))
    grad_x = tuple(empty(part.shape) for part in x)
    grad_decay = np.zeros((len(neuron.decay), lanes), np.float64)
    zero = checkpoints.dtype.type(0)
    if checkpoints.dtype != np.float32:  # wider types are rare: one compiled function for shared decays and others
        neuron = neuron._replace(decay=per_lane(neuron.decay, lanes))
    surrogate = surrogate_of(tau, scale, graded)
    grads = arriving, grad_trace, later, turned
    out = Gradients(grad_x, grad_decay)
    _backward(lanes, neuron, (x, x_turned), checkpoints, zero, surrogate, grads, out)
    return out._replace(x=tuple([part.T for part in grad_x])) if x_turned else out


@kernel
def _backward(
    begin: int, end: int, neuron: Any, given: Any, checkpoints: Array, zero: Any, surrogate: Surrogate, grads: Any,
    out: Any,
) -> None:  # fmt: skip
    x, turned = given
    count, width = checkpoints.shape[1], max(1, min(PART, end - begin))
    lanes = room_for_lanes(neuron.decay, count, width, zero)
    walk = walk_of(neuron.decay, count, SEGMENT, width)
    nothing = np.zeros(width, np.float32)
    spike_turned = grads[3]
    tiles = room_for_tiles(x, turned, width), room_for_tile(spike_turned, width), room_for_tiles(x, turned, width)
    walked = (
        tiles[0] if turned else x, tiles[1] if spike_turned else grads[0], tiles[2] if turned else out.x,
    )  # fmt: skip
    _backward_lanes(begin, end, neuron, x, checkpoints, surrogate, grads, nothing, lanes, walk, (tiles, walked), out)


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
    grads: Any, nothing: Floats, lanes: Lanes, walk: Walk, source: Any, out: Any,
) -> None:  # fmt: skip
    grad_x, grad_decay = out
    held, decay = lanes
    decay_fraction, history, adjoint, gathered = walk
    trace, spike = history
    grad_spike, grad_trace, later, spike_turned = grads
    (x_tiles, spike_tile, grad_tiles), (x_rows, spike_rows, grad_rows) = source  # rows of the tiles, or of the arrays
    turned = x_tiles[0].shape[0] > 0
    width, steps = held.shape[1], x[0].shape[1 if turned else 0]
    single = not spike_turned and grad_spike.shape[0] == 1
    for lo in range(begin, end, width):
        hi = min(lo + width, end)
        n, at_x, at_spike = hi - lo, 0 if turned else lo, 0 if spike_turned else lo
        adjoint[:] = 0
        fetch(neuron.decay, lo, hi, 1, decay)
        fetch(neuron.decay, lo, hi, 1 / 4096, decay_fraction)
        for segment in range(checkpoints.shape[0] - 1, -1, -1):
            first = segment * SEGMENT
            last = min(first + SEGMENT, steps)
            for k in range(held.shape[0]):
                _resume(checkpoints[segment, k, lo:hi], held[k, :n], trace[k, 0, :n])
            if turned:
                for k in range(len(x)):
                    rows_of_steps(x[k], first, last, lo, hi, x_tiles[k])
            if spike_turned:
                rows_of_steps(grad_spike, first + later, min(last + later, steps), lo, hi, spike_tile)
            for t in range(first, last):
                # spikes of size 1: a graded one may have the size 0, and still is a spike to the states
                now = t - first + 1
                # what the way back needs, while this way is bound by its arithmetic; and there the inputs of the next
                if not spike_turned:
                    prefetch(grad_spike[0 if single else min(t + later, steps - 1), lo:hi])
                if not turned:
                    for k in range(len(x)):
                        prefetch_to_write(grad_x[k][t, lo:hi])
                step = t - first if turned else t
                given_now = rows(x_rows, step, at_x, at_x + n)
                advance(neuron, held, decay, given_now, spike[now, :n], trace, now, 0, False, None)
            gathered[:] = 0
            for t in range(last - 1, first - 1, -1):
                if t >= SEGMENT and not turned:
                    for k in range(len(x)):
                        prefetch(x[k][t - SEGMENT, lo:hi])
                # the spike of a step arrives `later`, if at all
                # a tile begins at the step that arrives at the first one of the segment
                step = t - first if spike_turned else 0 if single else t + later
                arrives = nothing[:n] if t + later >= steps else spike_rows[step, at_spike : at_spike + n]
                arriving = Arriving(arrives, grad_trace, t, lo)
                now = t - first if turned else t
                leaving = Leaving(rows(grad_rows, now, at_x, at_x + n), gathered)
                at = AdjointStep(decay_fraction, history, t - first + 1, arriving, adjoint, leaving)
                advance_adjoint(neuron, at, surrogate)
            if turned:
                for k in range(len(x)):
                    steps_of_rows(grad_tiles[k], first, last, lo, hi, grad_x[k])
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
