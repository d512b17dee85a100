"""The adaptive threshold and the refractory state that ALIF and ADRF neurons share.

Recurrence, in integers of 1/4096, with the decays in 1/4096::

    th[t] = leak(thc[t-1] - threshold, threshold_decay) + threshold
    r[t]  = leak(rc[t-1], refractory_decay)
    s[t]  = value >= th[t] + r[t]                  equality spikes
    thc[t] = th[t] + threshold_step * s[t]
    rc[t]  = r[t] + 2 th[t] s[t]

Backward takes the spikes in this recurrence as constants, as it does with a reset; the
surrogate model's spike depends on value - (th + r) alone, so with g[t] the gradient to the value
that comes through the spike::

    g_r[t]  = -g[t] + (1 - refractory_decay / 4096) g_r[t+1]
    g_th[t] = -g[t] + (1 - threshold_decay / 4096) g_th[t+1] + 2 s[t] (1 - refractory_decay / 4096) g_r[t+1]
    g_refractory_decay = -sum_t g_r[t] rc[t-1] / 4096
    g_threshold_decay  = -sum_t g_th[t] (thc[t-1] - threshold) / 4096

Source: Lava-DL's adaptive neurons, for the recurrence; they have no gradient to these decays.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from lavadl_kernels.engine._arguments import AdjointStep
from lavadl_kernels.engine._optional_rows import add, lane_value, maybe_row, param_row
from lavadl_kernels.fixed_point import as_type_of, fixed, leak, leaky_gain, run_in_float64_or_int64, wrap32
from lavadl_kernels.neurons._family import Family
from lavadl_kernels.neurons._leaky_integrator import CHUNK, kept
from lavadl_kernels.neurons._reach import Drive, Range, Reach, adaptive, within
from lavadl_kernels.neurons._surrogate import Through, to_value
from lavadl_kernels.runtime.array_types import Array, Bools, Floats, Integers
from lavadl_kernels.runtime.hints import distinct_rows
from lavadl_kernels.runtime.jit import kernel, prefer_512_bit, scalar


class Parameters(NamedTuple):
    """Parameters of a layer, integers of 1/4096.  Each family has a class of its own, by which Numba tells it apart."""

    decay: Array  #: (4, M) int64, in the order of ``FAMILY.decays``
    threshold: int
    threshold_step: int


def adapted(
    family: Family,
    name: str,
    parameters: type,
    step: Callable[..., Any],
    advance_adjoint: Callable[..., Any],
    tangent: Callable[..., Any],
    **changed: Any,
) -> Family:
    """Describe the neuron of `family` with an adaptive threshold, and without a reset.

    Parameters
    ----------
    family : Family
        The neuron without adaptation.
    name, parameters, step, advance_adjoint, tangent
        Rows of the record that the new family has of its own.
    **changed
        Other rows in which it differs.
    """
    return replace(
        family,
        name=name,
        parameters=parameters,
        step=step,
        advance_adjoint=advance_adjoint,
        tangent=tangent,
        spike_tangent=fire_tangent,
        states=(*family.states, "threshold", "refractory"),
        decays=(*family.decays, "threshold_decay", "refractory_decay"),
        constants=(*family.constants, "threshold_step"),
        state_bound=state_bound,
        resets=(),
        rest={"threshold": "threshold"},
        without_adaptation=family,
        **changed,
    )


@scalar
def relax(th: Any, r: Any, threshold_decay: Any, refractory_decay: Any, threshold: Any) -> Any:
    """Threshold and refractory state that this step's value is compared with."""
    return leak(th - threshold, threshold_decay) + threshold, leak(r, refractory_decay)


@scalar
def relax_tangent(d_states: Any, d_decays: Any, before: Any, decays: Any) -> tuple[Any, Any]:
    """The derivatives of threshold and refractory state after `relax`: what `Family.tangent` returns of them."""
    return (
        kept(d_states[2], decays[2]) - before[2] * d_decays[2],
        kept(d_states[3], decays[3]) - before[3] * d_decays[3],
    )


@scalar
def fire_tangent(d_states: Any) -> tuple[Any, Any, Any, Any]:
    """The derivatives of the states after a spike, for those before it: `Family.spike_tangent`."""
    da, db, dth, dr = d_states
    return da, db, dth, dr + (dth + dth)


@scalar
def fire(th: Any, r: Any, spike: Any, threshold_step: Any, loihi: bool) -> Any:
    """Threshold and refractory state after the spike, if there was one; `loihi` gives them 32 bits."""
    none = as_type_of(0, th)
    new_th, new_r = th + (threshold_step if spike else none), r + (th + th if spike else none)
    if loihi:
        return wrap32(new_th), wrap32(new_r)
    return new_th, new_r


@scalar
def compare(value: Any, th: Any, r: Any, decays: Any, constants: Any, loihi: bool) -> Any:
    """Take one step of both states: they relax, `value` is compared with their sum, and a spike raises them.

    `decays` are those of threshold and refractory state, `constants` the threshold at rest and its rise by a spike.

    Returns
    -------
    th, r, spike, level_th, level_r
        The new states, the spike, and the levels that `value` was compared with.
    """
    level_th, level_r = relax(th, r, decays[0], decays[1], constants[0])
    spike = value >= level_th + level_r
    th, r = fire(level_th, level_r, spike, constants[1], loihi)
    return th, r, spike, level_th, level_r


def state_bound(neuron: Any, state: Integers, steps: int) -> int:
    """The largest magnitude that threshold and refractory state can have within `steps` steps, 1/4096.

    Parameters
    ----------
    neuron : NamedTuple
        Parameters of a family whose last two decays and states are those of the adaptation.
    state : ndarray
        (K, M) int64, before the first step, 1/4096.
    steps : int
        Number of steps.
    """
    return _growth(state[-2:], neuron.decay[-2:], (int(neuron.threshold), int(neuron.threshold_step)), steps)


def reach(states: dict[str, Range], compared: str, neuron: Any, drive: Drive) -> Reach:
    """The ranges of a neuron with an adaptive threshold, given those of its other states.

    Parameters
    ----------
    states : dict
        The ranges of the other states by their names, in the order of the record.
    compared : str
        The one of them that is compared with the threshold.
    neuron : NamedTuple
        Parameters of the family.
    drive : Drive
        What acts on the neurons.
    """
    levels = int(neuron.threshold), int(neuron.threshold_step)
    th, r, fires = adaptive(states[compared], neuron.decay[-2:], *levels, drive.steps)
    value = within(0, states[compared].high)
    return Reach({**states, "threshold": th, "refractory": r}, {}, value, fires)


def _growth(state: Integers, decay: Any, constants: tuple[int, int], steps: int) -> int:
    # a spike at every step: th - threshold sums up threshold_step as `leaky_gain` has it, beside what it began with,
    # and th itself cannot rise by more than that a step; r sums up twice the threshold
    threshold, threshold_step = constants
    start = int(np.abs(state).max(initial=0))
    rest, rise, held = abs(threshold), abs(threshold_step), math.ceil(leaky_gain(decay[0], steps))
    level = min(max(start, rest) + steps * rise, 2 * rest + start + held * rise)
    return start + level * (2 * math.ceil(leaky_gain(decay[1], steps)) + 1)


@scalar
def adjoint(way: Through | None, slope: Floats, first: int, neuron: Any, step: AdjointStep) -> None:
    """Take the adjoint over lanes of one step of `relax` and `fire`.

    Parameters
    ----------
    way : Through or None
        The way of the gradient through the spike, by which `slope` is then written.
    slope : ndarray
        (n,) float32, the gradient to the value through the spike, units of 1.
    first : int
        The row of the threshold among the states, and of its decay among the decays; those of the refractory state
        follow.
    neuron : NamedTuple
        Parameters of the family, with ``threshold`` and ``threshold_step``.
    step : AdjointStep
        Of all states.
    """
    decay_fraction, (trace, spike), t, arriving, adjoint, leaving = step
    n, second, now, lo = slope.size, first + 1, arriving.t, arriving.lo
    _adjoint(
        way, slope, (param_row(decay_fraction, first, n), param_row(decay_fraction, second, n)),
        (np.float32(neuron.threshold / 4096), np.float32(neuron.threshold_step / 4096)),
        (trace[first, t - 1, :n], trace[second, t - 1, :n], spike[t - 1, :n]), spike[t, :n],
        (maybe_row(arriving.trace, first, now, lo, n), maybe_row(arriving.trace, second, now, lo, n)),
        (adjoint[first, :n], adjoint[second, :n]), (leaving.decay[first, :n], leaving.decay[second, :n]),
    )  # fmt: skip


@scalar
def _adjoint(
    way: Any, slope: Floats, decays: Any, constants: Any, before: Any, spike: Any, grad_trace: Any, adjoint: Any,
    grad_decay: Any,
) -> None:  # fmt: skip
    threshold_decay, refractory_decay = decays
    base, threshold_step = constants
    th_before, r_before, s_before = before
    grad_th, grad_r = grad_trace
    gth, gr = adjoint
    g_threshold_decay, g_refractory_decay = grad_decay
    prefer_512_bit()
    distinct_rows()
    for i in range(slope.size):
        through = to_value(way, slope, i)
        slope[i] = through
        later = kept(gr[i], lane_value(refractory_decay, i))
        fired = np.float32(2) * later if spike[i] != 0 else np.float32(0)
        to_th = add(kept(gth[i], lane_value(threshold_decay, i)) + fired, grad_th, i) - through
        to_r = add(later, grad_r, i) - through
        gth[i], gr[i] = to_th, to_r
        raised = threshold_step if s_before[i] != 0 else np.float32(0)
        rested = np.float32(2) * th_before[i] if s_before[i] != 0 else np.float32(0)
        g_threshold_decay[i] -= to_th * (th_before[i] + raised - base)
        g_refractory_decay[i] -= to_r * (r_before[i] + rested)


class Adaptation(NamedTuple):
    """The adaptive threshold of a layer by itself, integers of 1/4096."""

    threshold_decay: Integers  #: (M,)
    refractory_decay: Integers  #: (M,)
    threshold: int
    threshold_step: int


class Levels(NamedTuple):
    """The arrays that `levels` returns, units of 1."""

    th: Floats  #: (T, M)
    r: Floats  #: (T, M)
    spike: Bools  #: (T, M)


# The adaptation by itself, of values that are given: a family's `step` has its own way to them.


def levels(
    value: Floats,
    allowed: Bools,
    th: Integers,
    r: Integers,
    threshold_decay: Integers,
    refractory_decay: Integers,
    threshold: int,
    threshold_step: int,
) -> Levels:
    """Threshold and refractory state over time of neurons whose values are given.

    Parameters
    ----------
    value : ndarray
        (T, M) float32, units of 1; truncated to 1/4096.
    allowed : ndarray
        (T, M) bool, where a spike is possible at all; (0, 0) for everywhere.
    th, r, threshold_decay, refractory_decay : ndarray
        (M,) int64, 1/4096.
    threshold, threshold_step : int
        1/4096.

    Returns
    -------
    th, r : ndarray
        (T, M) float32, units of 1, as the value is compared with them.
    spike : ndarray
        (T, M) bool.

    Raises
    ------
    ValueError
        If a value is not finite or has no exact fixed-point value.
    """
    out = Levels(np.empty_like(value), np.empty_like(value), np.empty(value.shape, np.bool_))
    adaptation = Adaptation(threshold_decay, refractory_decay, threshold, threshold_step)

    def run(bound: Any, zero: Any) -> bool:
        return _levels(th.size, value, allowed, th, r, adaptation, bound, zero, out)

    state = np.concatenate([th, r])
    grown = _growth(state, (threshold_decay, refractory_decay), (threshold, threshold_step), len(value))
    run_in_float64_or_int64(run, (value,), state, 1, grown)
    return out


@kernel
def _levels(
    begin: int,
    end: int,
    value: Floats,
    allowed: Bools,
    th: Integers,
    r: Integers,
    adaptation: Adaptation,
    bound: np.float32,
    zero: Any,
    out: Levels,
) -> bool:
    threshold_decay, refractory_decay, threshold, threshold_step = adaptation
    th_trace, r_trace, spike = out
    beyond = np.int32(0)
    for lo in range(begin, end, CHUNK):
        hi = min(lo + CHUNK, end)
        n = hi - lo
        thc, rc, td, rd = np.full(n, zero), np.full(n, zero), np.full(n, zero), np.full(n, zero)
        for i in range(n):
            thc[i], rc[i], td[i], rd[i] = th[lo + i], r[lo + i], threshold_decay[lo + i], refractory_decay[lo + i]
        for t in range(value.shape[0]):
            row, th_row, r_row, s_row = value[t, lo:hi], th_trace[t, lo:hi], r_trace[t, lo:hi], spike[t, lo:hi]
            for i in range(n):
                beyond |= np.int32(not (abs(row[i] * np.float32(4096.0)) < bound))
                level_th, level_r = relax(thc[i], rc[i], td[i], rd[i], threshold)
                th_row[i], r_row[i] = level_th * (1 / 4096), level_r * (1 / 4096)
                s_row[i] = fixed(row[i], zero) >= level_th + level_r and (allowed.shape[0] == 0 or allowed[t, lo + i])
                thc[i], rc[i] = fire(level_th, level_r, s_row[i], threshold_step, False)
    return bool(beyond == 0)


def levels_backward(
    grad_th: Floats,
    grad_r: Floats,
    traces: tuple[Floats, Floats, Bools],
    state: tuple[Integers, Integers],
    threshold_decay: Integers,
    refractory_decay: Integers,
    threshold: int,
    threshold_step: int,
) -> tuple[Array, Array]:
    """Gradients of `levels` to the two decays; the values have none, they only decide which spikes there are.

    Parameters
    ----------
    grad_th, grad_r : ndarray
        (T, M) float32, units of 1.
    traces : tuple of ndarray
        What `levels` returned.
    state : tuple of ndarray
        th and r that it was given.
    threshold_decay, refractory_decay, threshold, threshold_step
        As it was given.

    Returns
    -------
    grad_threshold_decay, grad_refractory_decay : ndarray
        (M,) float64, per unit of the decay integers.
    """
    decay_fraction = np.stack([threshold_decay, refractory_decay]).astype(np.float32) * np.float32(1 / 4096)
    first = (np.stack(state).astype(np.float64) / 4096).astype(np.float32)
    constants = np.float32(threshold / 4096), np.float32(threshold_step / 4096)
    grad_decay = np.zeros(decay_fraction.shape, np.float64)
    lanes = decay_fraction.shape[1]
    _levels_backward(lanes, grad_th, grad_r, Levels(*traces), first, decay_fraction, constants, grad_decay)
    grad_decay *= 1 / 4096
    return grad_decay[0], grad_decay[1]


@kernel
def _levels_backward(
    begin: int,
    end: int,
    grad_th: Floats,
    grad_r: Floats,
    traces: Levels,
    first: Floats,
    decay_fraction: Floats,
    constants: tuple[np.float32, np.float32],
    grad_decay: Array,
) -> None:
    th, r, spike = traces
    n = end - begin
    none, silent = np.zeros(n, np.float32), np.zeros(n, np.bool_)
    gth, gr = np.zeros(n, np.float32), np.zeros(n, np.float32)
    for t in range(th.shape[0] - 1, -1, -1):
        before = (
            th[t - 1, begin:end] if t > 0 else first[0, begin:end],
            r[t - 1, begin:end] if t > 0 else first[1, begin:end],
            spike[t - 1, begin:end] if t > 0 else silent,
        )
        _adjoint(
            None, none, (decay_fraction[0, begin:end], decay_fraction[1, begin:end]), constants, before,
            spike[t, begin:end], (grad_th[t, begin:end], grad_r[t, begin:end]), (gth, gr),
            (grad_decay[0, begin:end], grad_decay[1, begin:end]),
        )  # fmt: skip
