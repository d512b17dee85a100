"""Any family of neurons as it is deployed: integer weighted sums over time, with the device's widths or without.

For each neuron and step n, with `total` the weighted sum of messages and of what feeds back::

    sum[n] = wrap(total[n] + R f[n-1])          to the width of the synapse
    a[n]   = (sum[n] + bias) * 2**up            rounded toward zero, to the scale of the neuron's input
    state, value, spike = step(state, a[n])
    message[n] = value if graded, else 1        where it spikes, else 0

`step` is the family's own, in its file.  In the `slayer` integers nothing has a width.  In the
`loihi` integers sums have 24 or 32 bits, inputs 32, and states what their family says.  Either
way the first step is noted at which the two would differ, from the same state before it.

Source: Lava's fixed-point process models for the families that Lava has; Lava-DL's for the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba.extending import overload

from lavadl_kernels.fixed_point import scale_by_power_of_two, wrap, wrap32
from lavadl_kernels.runtime.jit import ALIGN, kernel, scalar

CHUNK = 512  #: lanes per task: their states stay in the first-level cache

_ADVANCE: dict[type, Callable[..., Any]] = {}


def declare(parameters: type, advance: Callable[..., Any]) -> None:
    """Give the deployed step of the family whose parameters are of this NamedTuple class.

    ``advance(neuron, state, i, a, b, loihi)`` moves lane i of `state` (K, M) by one step, with real
    input `a` and imaginary input `b` on the neuron's scale.  It returns whether the neuron spikes,
    the value that a graded spike has, and whether a width mattered.

    Raises
    ------
    ValueError
        If another class has the same name: Numba tells named tuples apart by the names of class and fields alone.
    """
    if parameters.__name__ in {other.__name__ for other in _ADVANCE if other is not parameters}:
        raise ValueError(f"the class of a family's parameters must have a name of its own, got {parameters.__name__}")
    _ADVANCE[parameters] = advance


def advance(neuron, state, i, a, b, loihi):
    """One step of one lane; see `declare`."""
    return _ADVANCE[type(neuron)](neuron, state, i, a, b, loihi)


@overload(advance, jit_options={"error_model": "numpy"})
def _advance(neuron, state, i, a, b, loihi):
    return _ADVANCE[neuron.instance_class]


def run(neuron, total, bias, up, state, rest, start, reset, loihi, graded, bits, feedback, message, record, exceeded):
    """Run weighted sums through neurons.

    Parameters
    ----------
    neuron : NamedTuple
        Parameters of a family; per-lane arrays have M lanes.
    total : tuple of ndarray
        One or two (T, M) int64: weighted sums, and their imaginary part.
    bias : ndarray
        (P, M) int64, one row for each part, on the scale of `total`.
    up : ndarray
        (P,) int64: bits by which sum and bias are shifted left to the scale of the neuron's
        input; negative ones shift right, toward zero.
    state : ndarray
        (K, M) int64, updated in place.
    rest : ndarray
        (K, M) int64, what a reset gives.
    start : int
        Steps before this one leave the neurons as they are, and silent.
    reset : ndarray
        (T,) bool: at these steps the states are at rest before the update.
    loihi : bool
        Whether sums, inputs and states have the device's widths.
    graded : bool
        Whether a spike has its value instead of 1; sigma-delta messages are their values.
    bits : int
        Width of the weighted sums, 24 or 32.
    feedback : tuple of ndarray
        For each part the transpose of R, (O, O) int64 and C-contiguous: row j holds the weights of what
        unit j sends, on the scale of `total`.  M is then N * O, lane n * O + o being unit o of sample n.
        Arrays (0, 0) for none.
    message : ndarray
        (T, M) int32, or int64 without widths; filled.
    record : ndarray
        (K, T, M) as `message`, filled with the states after each step; (K, 0, M) to record nothing.
    exceeded : ndarray
        (M,) int64, filled with the first step at which a width mattered, or -1.
    """
    _run(
        state.shape[1], neuron, total, bias, up, state, rest, start, reset, loihi, graded, bits, feedback,
        message, record, exceeded, align=len(feedback[0]) or ALIGN,
    )  # fmt: skip


@kernel
def _run(
    begin, end, neuron, total, bias, up, state, rest, start, reset, loihi, graded, bits, feedback,
    message, record, exceeded,
):  # fmt: skip
    units, parts, steps = feedback[0].shape[0], len(total), message.shape[0]
    width = units if units > 0 else CHUNK
    sums = np.zeros((2, width), np.int64)
    for lo in range(begin, end, width):
        hi = min(lo + width, end)
        exceeded[lo:hi] = -1
        for t in range(steps):
            if reset[t]:
                state[:, lo:hi] = rest[:, lo:hi]
            if t < start:
                message[t, lo:hi] = 0
            else:
                for p in range(parts):
                    sums[p, : hi - lo] = total[p][t, lo:hi]
                    if units > 0 and t > 0:
                        _spread(message[t - 1, lo:hi], feedback[p], sums[p])
                _lanes(
                    neuron, sums, parts, bias, up, state, lo, hi, loihi, graded, bits, message[t, lo:hi], t, exceeded
                )
            if record.shape[1] > 0:
                for k in range(state.shape[0]):
                    for i in range(lo, hi):
                        record[k, t, i] = state[k, i]


@scalar
def _spread(sent, weights, total):
    """Add to `total` what each unit that sent something sends."""
    for j in range(sent.size):
        if sent[j] != 0:
            size, row = np.int64(sent[j]), weights[j]
            for i in range(total.size):
                total[i] += size * row[i]


@scalar
def _lanes(neuron, sums, parts, bias, up, state, lo, hi, loihi, graded, bits, row, t, exceeded):
    for i in range(lo, hi):
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
        spike, value, far = advance(neuron, state, i, a, b, loihi)
        row[i - lo] = (value if graded else np.int64(1)) if spike else np.int64(0)
        if (beyond or far) and exceeded[i] < 0:
            exceeded[i] = t
