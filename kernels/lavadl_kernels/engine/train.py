"""Spiking neurons of any family, run over time: forward and backward.

Each family defines in its own file the scalar `step` and `advance_adjoint`, the adjoint of `step` over the lanes of
one time step.  This module contains what all families share: the loops over time and lanes, the choice of the number
type, and the checkpoints from which the backward pass recomputes the states.

Arrays are (T, M) for M lanes, with time as the slowest axis in memory.  Inputs and gradients may have time as the
innermost axis instead; the engine then transposes them in tiles while it runs (`_tiles`).  Inputs are tuples of such
arrays: one, or a real and an imaginary part.  The backward pass uses gradient checkpointing: it recomputes the states
of one segment of time after another from checkpoints that the forward pass stored, so that the history of a segment
stays in the L2 cache.
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

#: Lanes that the forward pass processes at a time: the rows are long enough to stream from memory, and the states fit
#: an L2 cache of 256 KB together with them. In one sweep 2048 lanes took 7 % longer and 8192 lanes 2 %.
CHUNK = 4096
#: Steps between checkpoints, as many as a tile holds: checkpoints of two states then take half a byte per element, and
#: the history of a segment stays in the L2 cache.
SEGMENT = 16
#: Lanes that the backward pass processes at a time, so that the history stays in the L2 cache: 209 KB for two states.
#: In one sweep 512 lanes, whose rows in memory are shorter, took 5 % longer, and so did 2048.
PART = 1024

_ADVANCE: dict[type, Callable[..., Any]] = {}
_ADVANCE_ADJOINT: dict[type, Callable[..., Any]] = {}
_BOUNDS: dict[type, Bounds] = {}


class Bounds(NamedTuple):
    """Bounds of the states of a family; see `neurons.Family`."""

    gain: Callable[[Integers, int], float]  #: a function of the decays and the number of steps; see `bounds`
    by_itself: Callable[[Any, Integers, int], int]  #: a function of parameters, states and the number of steps


def declare(
    parameters: type,
    step: Callable[..., Any],
    shape: _lane_functions.Shape,
    advance_adjoint: Callable[..., Any],
    bounds: Bounds,
) -> None:
    """Register a family: training of neurons whose parameters are of this class uses its `step` and its adjoint.

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
    """Bound the magnitudes that the states of neurons can reach within `steps` steps.

    Parameters
    ----------
    neuron : NamedTuple
        Parameters of a family.
    state : ndarray
        (K, M) int64, the states before the first step, in units of 1/4096.
    steps : int
        Number of steps.

    Returns
    -------
    gain : float
        A bound on the ratio of the states to the largest input or initial state.
    by_itself : int
        A bound on the magnitude that the states reach without input, in units of 1/4096.
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
        (K, width) float32, float64 or int64, in units of 1/4096: the states; replaced by those after the step.
    decay : ndarray
        (P, width), or (P,) if all lanes share the decays, of the dtype of `state`, in units of 1/4096.
    x : tuple of ndarray
        (n,) float32 each, units of 1: the inputs.
    spike : ndarray
        (n,) float32, written.
    trace : ndarray or None
        (K, T, M) float32, units of 1: the states before a spike changes them, written at [:, t, lo : lo + n].
    t, lo : int
        The time step and the first lane in `trace`.
    graded : bool
        Whether a spike carries the neuron's value instead of 1.
    largest : int32 or None
        The float32 bits of the largest magnitude so far, in units of 1/4096; None if the caller does not need it.

    Returns
    -------
    int32 or None
        `largest`, updated with the inputs of this step and, if the states are float32, with the states before a spike
        changes them.  For states of other types, a bound on the inputs is enough.  `within` compares the result with a
        bound.
    """
    return _ADVANCE[type(neuron)](neuron, state, decay, x, spike, trace, t, lo, graded, largest)


@overload(advance, jit_options=HELPER)
def _advance(
    neuron: Any, state: Any, decay: Any, x: Any, spike: Any, trace: Any, t: Any, lo: Any, graded: Any, largest: Any
) -> Callable[..., Any]:
    return _ADVANCE[neuron.instance_class]


def advance_adjoint(neuron: Any, at: AdjointStep, surrogate: Surrogate) -> None:
    """Take the adjoint of one time step of the lanes of a chunk.

    The function of each family must have the same argument names as this one, because Numba compares them.

    Parameters
    ----------
    neuron : NamedTuple
        Parameters of the family.
    at : AdjointStep
        The step; its history was written by `advance`.
    surrogate : Surrogate
        The surrogate gradient of the spikes.
    """
    _ADVANCE_ADJOINT[type(neuron)](neuron, at, surrogate)


@overload(advance_adjoint, jit_options=HELPER)
def _advance_adjoint(neuron: Any, at: Any, surrogate: Any) -> Callable[..., None]:
    return _ADVANCE_ADJOINT[neuron.instance_class]


class Run(NamedTuple):
    """The results of `forward`."""

    spike: Floats  #: (T, M)
    trace: Floats  #: (K, T, M), each state before a spike changes it, in units of 1; or (0, T, M)
    state: Integers  #: (K, M), the states after the last step
    checkpoints: Array  #: (S, K, M), the states before each segment of `SEGMENT` steps, in 1/4096; or (0, K, M)
    x: tuple[Floats, ...]  #: the inputs


class Written(NamedTuple):
    """The output arrays of the forward pass."""

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
    """Run real-valued inputs through neurons.

    Parameters
    ----------
    neuron : NamedTuple
        Parameters of a family: ``decay`` int64 and its scalars, all integers in units of 1/4096.  ``decay`` is (P, M);
        (P, C) if lane i belongs to channel ``i % C``; or (P,) if all lanes share it.
    x : tuple of ndarray
        One or two (T, M) float32, units of 1, C- or Fortran-contiguous.
    state : ndarray
        (K, M) int64, the states before the first step, in units of 1/4096.
    graded : bool
        Whether a spike carries the neuron's value instead of 1.
    traces : bool
        Whether to return the states before a spike changes them, with which the threshold is compared.
    keep : bool
        Whether to return the checkpoints, which `backward` would otherwise have to compute.
    later : int
        The number of steps, at least 0, by which `Run.spike` is delayed: its first `later` steps are 0, and the spikes
        of the last `later` steps are not returned.
    largest : int, optional
        The largest magnitude in `state`, in units of 1/4096, if the caller knows it, for example for neurons at rest.
        To search for it takes up to a tenth of a short run.

    Returns
    -------
    Run

    Raises
    ------
    ValueError
        If an input is not finite or has no exact fixed-point value.
    """
    steps, lanes = x[0].shape
    room = empty((steps + later, lanes))  # writing the spikes `later` rows further down delays them
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
        # Wider types are rare, so one compiled function serves shared and per-lane decays, with and without traces.
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

    For float32, ``run`` returns whether every input and state stayed below `bound`; `advance` collects their largest
    magnitude.  If one did not, `run` is called again with a wider type.

    Parameters
    ----------
    run : callable
        ``run(bound, zero) -> bool``; the type of `zero` is the number type of the states.
    neuron : NamedTuple
        Parameters of a family.
    x : tuple of ndarray
        (T, M) float32 each, units of 1.
    state : ndarray
        (K, M) int64, the states before the first step, in units of 1/4096.
    largest : int, optional
        The largest magnitude in `state`, in units of 1/4096, if it is known.
    """
    small = _is_small(state) if largest is None or not state.size else largest < FLOAT32_BOUND
    if not (small and all(map(_is_small, neuron)) and run(np.float32(FLOAT32_BOUND), np.float32(0))):
        run_in_float64_or_int64(run, x, state, *bounds(neuron, state, x[0].shape[0]))


def _is_small(part: Any) -> bool:
    """Tell whether a parameter, a number or an array, is small enough for exact computation with float32 states."""
    if isinstance(part, np.ndarray):
        if part.size <= 16:  # a NumPy reduction takes 2 us, a loop over a list this short 0.5 us
            return all(-FLOAT32_BOUND < value < FLOAT32_BOUND for value in part.ravel().tolist())
        return bool(part.max() < FLOAT32_BOUND and part.min() > -FLOAT32_BOUND)
    # NEVER is a threshold that no state reaches: it only takes part in comparisons, which need no exact sum.
    return bool(abs(part) < FLOAT32_BOUND or part == NEVER)


def per_lane(decay: Integers, lanes: int) -> Integers:
    """Repeat decays that all lanes share for each lane; other decays are returned unchanged.

    Parameters
    ----------
    decay : ndarray
        (P,) to repeat; (P, M) or (P, C) to return unchanged; int64, in units of 1/4096.
    lanes : int
        M.

    Returns
    -------
    ndarray
        (P, M) int64, or `decay` itself if it has two axes.
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
    """Buffers for the states and decays of a chunk of lanes, in the number type of `zero`.

    Parameters
    ----------
    decay : ndarray
        (P,) or (P, M) int64, in units of 1/4096.
    count : int
        K, the number of states of a lane.
    width : int
        Number of lanes.
    zero : number
        0 in the number type of the run.
    """
    return Lanes(np.full((count, width), zero), lanes_of(decay, width, zero))


def lanes_of(decay: Integers, width: int, zero: Any) -> Array:
    """A buffer for the decays of a chunk of lanes.

    Parameters
    ----------
    decay : ndarray
        (P, M) int64, or (P,) if all lanes share the decays, in units of 1/4096.
    width : int
        Number of lanes.
    zero : number
        0 in the number type of the run.

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
        (P, M) or (P,) int64, in units of 1/4096.  With fewer than M columns, one for each channel, lane i reads column
        ``i % columns``: channels are then the innermost axis of the lanes.
    lo, hi : int
        The first lane, and the end of the range.
    factor : float
        1, or 1 / 4096 to convert the decays to units of 1.
    held : ndarray
        (P, width) or (P,), as `lanes_of` allocated it, in the unit that `factor` gives.
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
    """Copy the states and decays of lanes `lo` to `hi` to `lanes`, converted to the number type of the run.

    Parameters
    ----------
    neuron : NamedTuple
        Parameters of a family.
    state : ndarray
        (K, M) int64, in units of 1/4096.
    lo, hi : int
        The first lane, and the end of the range.
    lanes : Lanes
        The buffers; written.
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
        The first lane, and the end of the range.
    after : ndarray
        (K, M) int64, in units of 1/4096; written.
    """
    held = lanes.state
    for k in range(held.shape[0]):
        for i in range(hi - lo):
            after[k, lo + i] = np.int64(held[k, i])


@scalar  # a separate function: the loops do not vectorise if the arrays are allocated in the same function
def _forward_lanes(
    begin: int, end: int, neuron: Any, given: Given, bound: np.float32, lanes: Lanes, source: Any, written: Written
) -> bool:
    x, state, graded, lanes_first = given
    held, decay = lanes
    tiles, walked = source  # the loop over time reads `walked`: the tiles if lanes come first, else the inputs
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
    """Tell whether the float32 number with the bit pattern `bits` is less than `bound`."""
    return bool(np.int32(bits).view(np.float32) < bound)


class Gradients(NamedTuple):
    """The results of `backward`."""

    x: tuple[Floats, ...]  #: (T, M) for each input, in the memory order of that input
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
    """Compute the gradients of `forward`; its states are recomputed from the inputs and checkpoints.

    Parameters
    ----------
    neuron, x, graded
        Arguments of `forward`.
    state : ndarray
        (K, M) int64, as `forward` took it, in units of 1/4096.
    tau, scale : float
        Width and height of the surrogate gradient.
    grad_spike : ndarray
        (T, M) float32, units of 1, C- or Fortran-contiguous: the gradient with respect to the spikes, or (1, M) if it
        is the same at every step.
    grad_trace : ndarray, optional
        (K, T, M) float32, units of 1: the gradient with respect to the traces.
    checkpoints : ndarray, optional
        (S, K, M), in units of 1/4096: `Run.checkpoints` of a run with ``keep``.  Without them, `forward` runs again
        from `state`.
    later : int
        Argument of `forward`: `grad_spike` is the gradient with respect to the delayed spikes.

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
    # Wider types are rare, so one compiled function serves shared and per-lane decays.
    if checkpoints.dtype != np.float32:
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
    """Buffers that the backward pass needs for a chunk of lanes over a segment.

    Parameters
    ----------
    decay : ndarray
        (P,) or (P, M) int64, in units of 1/4096.
    count : int
        K, the number of states of a lane.
    steps : int
        The number of steps in a segment.
    width : int
        Number of lanes.
    """
    return Walk(
        lanes_of(decay, width, np.float32(0)),
        History(np.empty((count, steps + 1, width), np.float32), np.zeros((steps + 1, width), np.float32)),
        np.empty((count, width), np.float32),
        np.empty((decay.shape[0], width), np.float32),
    )


@scalar  # a separate function: the loops do not vectorise if the arrays are allocated in the same function
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
                # Recompute spikes with size 1: a graded spike may carry the value 0, and still changes the states.
                now = t - first + 1
                # Recomputing is limited by arithmetic, so it prefetches the gradients that the loop back over the
                # segment needs.  That loop in turn prefetches the inputs of the next segment.
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
                # The spike of a step leaves the layer `later` steps later; the spikes of the last steps never leave.
                # Row 0 of a tile is the gradient with respect to the spike of the first step of the segment.
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
    """Add the gradients that `advance_adjoint` summed over a segment to those of the lanes `lo` to ``lo + n``.

    float32 is precise enough for sums over the steps of a segment; over all steps it would lose small contributions.

    Parameters
    ----------
    gathered : ndarray
        (P, width) float32, gradients with respect to the decays in units of 1.
    n : int
        The number of lanes in use.
    grad_decay : ndarray
        (P, M) float64, per unit of the decay integers; added to.
    lo : int
        The first lane.
    """
    for k in range(gathered.shape[0]):
        _collect_row(gathered[k, :n], grad_decay[k, lo : lo + n])


@scalar
def _collect_row(gathered: Floats, total: Array) -> None:
    prefer_512_bit()
    for i in range(gathered.size):
        total[i] += np.float64(gathered[i]) * (1 / 4096)
