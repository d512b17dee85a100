"""Any family of neurons as it is deployed: integer weighted sums over time, with the device's widths or without.

For each neuron and step n, with `total` the weighted sum of messages and of what feeds back::

    sum[n] = wrap(total[n] + R f[n-1])          to the width of the synapse
    a[n]   = (sum[n] + bias) * 2**up            rounded toward zero, to the scale of the neuron's input
    state, value, spike = step(state, a[n])
    message[n] = value if graded, else 1        where it spikes, else 0

`step` is the family's own, in its file; `_lane_functions.deployed` makes of it what runs here.  In the `slayer`
integers nothing has a width.  In the `loihi` integers sums have 24 or 32 bits, inputs 32, and states what their family
says.  Either way the first step is noted at which the two would differ, from the same state before it.

Source: Lava's fixed-point process models for the families that Lava has; Lava-DL's for the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from lavadl_kernels.engine import _lane_functions
from lavadl_kernels.fixed_point import scale_by_power_of_two, wrap, wrap32
from lavadl_kernels.runtime.array_types import Array, Bools, Integers
from lavadl_kernels.runtime.extending import overload
from lavadl_kernels.runtime.jit import ALIGN, kernel, scalar

CHUNK = 512  #: lanes per task: their states stay in the first-level cache

_ADVANCE: dict[type, Callable[..., Any]] = {}


def declare(parameters: type, step: Callable[..., Any], shape: _lane_functions.Shape) -> None:
    """Run the family whose parameters are of this NamedTuple class by its `step`.

    Raises
    ------
    ValueError
        If another class has the same name.
    """
    _lane_functions.check_class_name(parameters, _ADVANCE)
    _ADVANCE[parameters] = _lane_functions.deployed(step, shape)


def advance(neuron: Any, state: Integers, i: int, a: Any, b: Any, loihi: bool) -> tuple[bool, Any, bool]:
    """Move lane i of `state` (K, M) int64, 1/4096, by one step.

    Parameters
    ----------
    neuron : NamedTuple
        Parameters of a family.
    state : ndarray
        (K, M) int64, on the scale of the neuron.
    i : int
        The lane.
    a, b : int
        Real and imaginary input, on the scale of the neuron.
    loihi : bool
        Whether the step with the device's widths is the one taken.

    Returns
    -------
    spike, value, differs
        Whether the neuron spikes, the value that a graded spike has, and whether a width mattered.
    """
    result: tuple[bool, Any, bool] = _ADVANCE[type(neuron)](neuron, state, i, a, b, loihi)
    return result


@overload(advance, jit_options={"error_model": "numpy"})
def _advance(neuron: Any, state: Any, i: Any, a: Any, b: Any, loihi: Any) -> Callable[..., Any]:
    return _ADVANCE[neuron.instance_class]


class Synapses(NamedTuple):
    """The input of a layer's neurons: weighted sums of M lanes over T steps, in P parts, one or two."""

    total: tuple[Integers, ...]  #: (T, M) for each part: weighted sums, and their imaginary part
    bias: Integers  #: (P, M), on the scale of `total`
    #: (P,) bits by which sum and bias are shifted left to the scale of the neuron's input; negative ones shift right,
    #: toward zero
    up: Integers
    #: for each part the transpose of R, (O, O) and C-contiguous: row j holds the weights of what unit j sends, on the
    #: scale of `total`; M is then N * O, lane n * O + o being unit o of sample n.  (0, 0) for none
    feedback: tuple[Integers, ...]


class Profile(NamedTuple):
    """The integers of a run, and what its neurons send."""

    start: int  #: steps before this one leave the neurons as they are, and silent
    loihi: bool  #: whether sums, inputs and states have the device's widths
    graded: bool  #: whether a spike has its value instead of 1; sigma-delta messages are their values
    bits: int  #: width of the weighted sums, 24 or 32


class Filled(NamedTuple):
    """The arrays that a run fills."""

    message: Array  #: (T, M) int32, or int64 without widths
    record: Array  #: (K, T, M) as `message`, the states after each step; (K, 0, M) to record nothing
    exceeded: Integers  #: (M,), the first step at which a width mattered, or -1


def run(
    neuron: Any, synapses: Synapses, state: Integers, rest: Integers, reset: Bools, profile: Profile, filled: Filled
) -> None:
    """Run weighted sums through neurons.

    Parameters
    ----------
    neuron : NamedTuple
        Parameters of a family; per-lane arrays have M lanes.
    synapses : Synapses
        What arrives at the neurons.
    state : ndarray
        (K, M) int64, on the scale of the neurons; updated in place.
    rest : ndarray
        (K, M) int64, on the scale of the neurons: what a reset gives.
    reset : ndarray
        (T,) bool, without unit: at these steps the states are at rest before the update.
    profile : Profile
        Of the run.
    filled : Filled
        Where the results go.
    """
    _run(
        state.shape[1], neuron, synapses, state, rest, reset, profile, filled, align=len(synapses.feedback[0]) or ALIGN
    )


@kernel
def _run(
    begin: int,
    end: int,
    neuron: Any,
    synapses: Synapses,
    state: Integers,
    rest: Integers,
    reset: Bools,
    profile: Profile,
    filled: Filled,
) -> None:
    total, bias, up, feedback = synapses
    message, record, exceeded = filled
    units, parts, steps = feedback[0].shape[0], len(total), message.shape[0]
    width = units if units > 0 else CHUNK
    sums = np.zeros((2, width), np.int64)
    for lo in range(begin, end, width):
        hi = min(lo + width, end)
        exceeded[lo:hi] = -1
        for t in range(steps):
            if reset[t]:
                state[:, lo:hi] = rest[:, lo:hi]
            if t < profile.start:
                message[t, lo:hi] = 0
            else:
                for p in range(parts):
                    sums[p, : hi - lo] = total[p][t, lo:hi]
                    if units > 0 and t > 0:
                        _spread(message[t - 1, lo:hi], feedback[p], sums[p])
                _lanes(neuron, sums, parts, bias, up, state, profile, message[t, lo:hi], t, lo, exceeded)
            if record.shape[1] > 0:
                for k in range(state.shape[0]):
                    for i in range(lo, hi):
                        record[k, t, i] = state[k, i]


@scalar
def _spread(sent: Array, weights: Integers, total: Integers) -> None:
    """Add to `total` what each unit that sent something sends."""
    for j in range(sent.size):
        if sent[j] != 0:
            size, row = np.int64(sent[j]), weights[j]
            for i in range(total.size):
                total[i] += size * row[i]


@scalar
def _lanes(
    neuron: Any,
    sums: Integers,
    parts: int,
    bias: Integers,
    up: Integers,
    state: Integers,
    profile: Profile,
    row: Array,
    t: int,
    lo: int,
    exceeded: Integers,
) -> None:
    _, loihi, graded, bits = profile
    for i in range(lo, lo + row.size):
        free = sums[0, i - lo]
        narrow = wrap(free, bits)
        beyond = narrow != free
        a = scale_by_power_of_two((narrow if loihi else free) + bias[0, i], up[0])
        beyond |= wrap32(a) != a
        b = np.int64(0)
        if parts > 1:
            free = sums[1, i - lo]
            narrow = wrap(free, bits)
            beyond |= narrow != free
            b = scale_by_power_of_two((narrow if loihi else free) + bias[1, i], up[1])
            beyond |= wrap32(b) != b
        spike, value, differs = advance(neuron, state, i, a, b, loihi)
        row[i - lo] = (value if graded else np.int64(1)) if spike else np.int64(0)
        if (beyond or differs) and exceeded[i] < 0:
            exceeded[i] = t
