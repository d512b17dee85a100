"""Sums of 8-bit weights: as pairs of bytes in 16 bits, through the whole path of events, and of deployed synapses.

The formula adds and multiplies integers of 64 bits.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from lavadl_kernels.ops import events, integer_synapse
from lavadl_kernels.runtime import simd
from lavadl_kernels.runtime.array_types import Array

from validation.exhaustive.checks.part import UNWRITTEN, Checked, Comparison, Part, compiled

VALUES = np.arange(-128, 128)  #: 8-bit weights, in 1/32
PAIRS = simd.WIDTH // 2  #: pairs of bytes in a row of a table
ROWS = len(VALUES) // PAIRS  #: rows that hold a weight beside every other
MANY = simd.BYTE_ROWS  #: rows that are summed at most
OUTPUTS = 72  #: of the whole path: more than a row of a table has

Windows = Callable[[Array, Array, Array, Array, bool, float, Array], object]


@compiled
def sum_windows(table: Array, index: Array, first: Array, last: Array, fresh: bool, scale: float, out: Array) -> None:
    """Sum the rows index[first[w] : last[w]] of a table of bytes, for each w, to the rows of `out` (W * WIDTH,)."""
    for w in range(first.size):
        simd.add_rows(table, 0, index, first[w], last[w], out, w * simd.WIDTH, fresh, np.float32(scale))


def _along_inputs(x: Array, weight: Array) -> Array:
    table = events.table(weight)
    assert table is not None
    assert table.dtype == np.uint8  # the weights are such as fit bytes
    return events.forward(events.of_rows(x, False), table, len(weight))


def _deployed(x: Array, weight: Array) -> Array:
    """As `_along_inputs`; the integers of a file are 1/64."""
    return integer_synapse.dense(x.astype(np.uint8), (weight * 64).astype(np.int64), narrow=True) / np.float32(64)


def _graded(messages: Array, weight: Array) -> Array:
    return integer_synapse.dense(messages, weight, narrow=True)


WINDOWS: dict[str, Windows] = {"simd.add_rows": sum_windows}
WHOLE: dict[str, Callable[[Array, Array], Array]] = {
    "ops.events": _along_inputs,
    "ops.integer_synapse.dense": _deployed,
}
PRODUCTS: dict[str, Callable[[Array, Array], Array]] = {"ops.integer_synapse.dense, graded": _graded}


def check_sums(block: int) -> Checked:
    """Check the pairs that begin with a weight."""
    found = Comparison()
    one = int(VALUES[block])
    if _check_windows(found, one) and _check_whole(found, one):
        for path, products in PRODUCTS.items():
            got = products(np.array([[one]]), VALUES[:, None])[0]
            found.equal(path, got, one * VALUES, lambda i: f"message {one}, weight {VALUES[i]}")
    return found.checked


@cache
def _runs() -> tuple[Array, Array, Array, Array]:
    """Windows over `MANY` times one row and as many times another; how often each window has them, (W, 1)."""
    # all numbers of rows, all of them the first row; then all numbers of the first row among MANY
    first = np.concatenate([MANY - np.arange(MANY + 1), MANY - np.arange(MANY + 1)])
    last = np.concatenate([np.full(MANY + 1, MANY), 2 * MANY - np.arange(MANY + 1)])
    return first, last, (np.minimum(last, MANY) - first)[:, None], np.maximum(last - MANY, 0)[:, None]


def _check_windows(found: Comparison, one: int) -> bool:
    first, last, times, other_times = _runs()
    scratch = np.empty(first.size * simd.WIDTH, np.float32)
    for group in range(ROWS):
        others = VALUES[group * PAIRS : (group + 1) * PAIRS]
        # a row with the weight in the lower and each other weight in the upper byte, and one with them exchanged
        rows = np.empty((2, PAIRS, 2), np.int64)
        rows[0, :, 0] = rows[1, :, 1] = one
        rows[0, :, 1] = rows[1, :, 0] = others
        table = (rows + simd.BIAS).astype(np.uint8).reshape(-1)
        index = np.repeat(np.arange(2, dtype=np.uint16), MANY)
        lanes = rows.reshape(2, -1)
        exact = times * lanes[0] + other_times * lanes[1]

        def case(i: int, others: Array = others) -> str:
            w, lane = divmod(i, simd.WIDTH)
            pair = f"({one}, {others[lane // 2]})"
            return f"byte {lane % 2} of {int(times[w, 0])} times the pair {pair}, {int(other_times[w, 0])} exchanged,"

        for path, windows in WINDOWS.items():
            scratch.fill(UNWRITTEN)
            windows(table, index, first, last, True, 1.0, scratch)
            if not found.equal(path, scratch, exact.reshape(-1), case):
                return False
            # what was there is added, and the sum is scaled
            windows(table, index, first, last, False, 1 / 32, scratch)
            if not found.equal(f"{path}, added", scratch * 16, exact.reshape(-1), case):
                return False
    return True


@cache
def _weight() -> Array:
    """Integers (OUTPUTS, 512): each output has every 8-bit weight among its first inputs, and among the others."""
    order = np.arange(2 * len(VALUES))[None] * 5 + np.arange(OUTPUTS)[:, None] * 37
    order[:, len(VALUES) :] += np.arange(OUTPUTS)[:, None] * 11
    return order % 256 - 128


def _check_whole(found: Comparison, one: int) -> bool:
    weight = _weight()
    x = np.zeros((len(VALUES), weight.shape[1]), np.float32)
    at = one + 128
    x[:, at] = 1
    x[np.arange(len(VALUES)), len(VALUES) + np.arange(len(VALUES))] = 1
    exact = (weight[:, at] + weight[:, len(VALUES) :].T) / 32
    for path, whole in WHOLE.items():
        got = whole(x, (weight / 32).astype(np.float32))

        def case(i: int) -> str:
            other, output = divmod(i, OUTPUTS)
            return f"weights {weight[output, at]} + {weight[output, 256 + other]} of output {output}"

        if not found.equal(path, got.reshape(-1), exact.reshape(-1), case):
            return False
    return True


SUM = Part(
    name="sums",
    title="Sums of 8-bit weights",
    domain="every pair of 8-bit weights: side by side in 16 bits, in both orders, 0 to 256 times, and each number of "
    "times among 256 with the exchanged pair for the rest; as the two weights of two spikes; as message and weight",
    paths="`simd.add_rows`, compiled, that replaces and that adds and scales; `ops.events` from the list of spikes to "
    "the sum; `ops.integer_synapse.dense` of spikes and of graded messages",
    formula="integers of 64 bits",
    blocks=len(VALUES),
    check=check_sums,
)
