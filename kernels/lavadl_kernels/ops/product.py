"""A float32 matrix product whose sums have the same order for any number of rows and threads."""

from __future__ import annotations

import numpy as np

from lavadl_kernels.runtime.array_types import Array
from lavadl_kernels.runtime.buffers import empty
from lavadl_kernels.runtime.gemm import ROWS, TILE, add_product, packed
from lavadl_kernels.runtime.jit import kernel

STRIP = 32  #: rows at a time: after their part of the result is set to 0, it stays in the L1 cache until it is added to


def product(a: Array, b: Array) -> Array:
    """The product of two matrices.

    Parameters
    ----------
    a : ndarray
        (R, K) float32, contiguous.
    b : ndarray
        (K, C) float32.

    Returns
    -------
    ndarray
        (R, C) float32.

    Examples
    --------
    >>> product(np.array([[1, 2]], np.float32), np.array([[3], [4]], np.float32)).tolist()
    [[11.0]]
    """
    out = empty((a.shape[0], b.shape[1]))
    _product(-(-len(a) // STRIP), a, packed(b), out, align=1)
    return out


@kernel
def _product(begin: int, end: int, a: Array, b: Array, out: Array) -> None:
    """Write the result in strips of `STRIP` rows."""
    rows, depth = a.shape
    columns = out.shape[1]
    left, flat, edge = a.reshape(-1), out.reshape(-1), np.zeros(ROWS * TILE, np.float32)
    for strip in range(begin, end):
        first, last = strip * STRIP, min((strip + 1) * STRIP, rows)
        to = flat[first * columns : last * columns]
        to[:] = 0
        if depth > 0:
            add_product(left[first * depth : last * depth], depth, b, edge, to, columns)
