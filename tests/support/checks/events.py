"""Lists of events against sums of integers."""

from __future__ import annotations

import numpy as np
from lavadl_kernels.ops import events
from lavadl_kernels.runtime.simd import BIAS

from tests.support import oracle as naive


def sparse(rng, shape, density, graded=False):
    """Spikes, or multiples of 1/4096, of float32."""
    values = rng.integers(-4096, 4096, shape) / 4096 if graded else np.ones(shape)
    return np.where(rng.random(shape) < density, values, 0).astype(np.float32)


def mantissas(rng, outputs, inputs):
    return rng.integers(-128, 128, (outputs, inputs))


def exact(rows, mantissa):
    """Sums of integers in 1/4096 * 1/32, as float32 holds them."""
    integers = (np.asarray(rows, np.float64) * 4096).astype(np.int64)
    sums = [naive.dense(row, mantissa.tolist()) for row in integers.tolist()]
    return (np.array(sums, np.float64).reshape(len(sums), -1) / (4096 * 32)).astype(np.float32)


def dense(found):
    """The matrix of `found` by row, as `events.matrix` gives it by column."""
    x = np.zeros(found.shape, np.float32)
    start, entry, value = found.by_row
    for line, row in enumerate(found.place.tolist()):
        for k in range(start[line], start[line + 1]):
            x[row, entry[k]] = value[k] if value.size else found.common
    return x


def check(x, found, rows, outputs, rng):
    assert found.shape == rows.shape
    assert found.density == (rows != 0).mean()
    np.testing.assert_array_equal(dense(found), rows)
    np.testing.assert_array_equal(events.matrix(found), rows)
    mantissa = mantissas(rng, outputs, rows.shape[1])
    weight = (mantissa / 32).astype(np.float32)
    packed = events.table(weight)
    assert packed.dtype == np.uint8
    z = events.forward(found, packed, outputs)
    assert z.dtype == np.float32
    np.testing.assert_array_equal(z, exact(rows, mantissa))
    # the same weights by the way of others
    np.testing.assert_array_equal(
        events.forward(found, (packed.astype(np.float32) - BIAS) / np.float32(32), outputs), z
    )
    grad = rng.normal(size=z.shape).astype(np.float32)
    expected = grad.astype(np.float64).T @ rows
    np.testing.assert_allclose(events.weight_gradient(found, grad), expected, rtol=1e-5, atol=1e-5)
