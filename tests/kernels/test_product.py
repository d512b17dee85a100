"""The matrix product inside kernels against NumPy's in float64."""

import numpy as np
import pytest
from lavadl_kernels.runtime.gemm import ROWS, TILE, add_product, packed
from lavadl_kernels.runtime.jit import kernel


@kernel
def product(begin, end, a, depth, b, edge, out, columns):
    add_product(a, depth, b, edge, out, columns)


def compute(a, b, start):
    out = start.copy()
    edge = np.full(ROWS * TILE, np.nan, np.float32)
    product(1, a.reshape(-1), a.shape[1], packed(b), edge, out.reshape(-1), b.shape[1])
    return out


@pytest.mark.parametrize("rows", [1, 3, 4, 5, 9])
@pytest.mark.parametrize("depth", [1, 2, 37])
@pytest.mark.parametrize("columns", [1, 31, 32, 33, 64])
def test_the_product_equals_numpys(rows, depth, columns):
    rng = np.random.default_rng(rows + depth + columns)
    a, b = (rng.integers(-64, 64, shape).astype(np.float32) for shape in ((rows, depth), (depth, columns)))
    start = rng.integers(-9, 9, (rows, columns)).astype(np.float32)
    assert np.array_equal(compute(a, b, start), start + a @ b)  # integers: exact in any order


def test_the_order_of_a_rows_sum_is_independent_of_other_rows():
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=shape).astype(np.float32) for shape in ((7, 50), (50, 40)))
    start = np.zeros((7, 40), np.float32)
    together = compute(a, b, start)
    alone = np.concatenate([compute(a[i : i + 1], b, start[:1]) for i in range(7)])
    assert np.array_equal(together, alone)
    np.testing.assert_allclose(together, a.astype(np.float64) @ b, rtol=1e-5, atol=1e-5)


def test_a_matrix_without_columns_is_no_tile():
    assert packed(np.empty((0, 0), np.float32)).shape == (0, 0, TILE)
