"""The gradient that flows back through the feedback weights R in one step: g_s += R' g_a."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types

from lavadl_kernels.ops import tiles
from lavadl_kernels.runtime import amx
from lavadl_kernels.runtime.array_types import Array, Floats
from lavadl_kernels.runtime.extending import overload
from lavadl_kernels.runtime.gemm import add_product
from lavadl_kernels.runtime.jit import scalar


def add_returned(grad: Floats, units: int, rows: Array, edge: Floats, space: tiles.Room, total: Floats) -> bool:
    """Add R' `grad` to `total`: for each unit, the gradient from all units that it sends to.

    `rows` is R, packed by `gemm.packed` or by `tiles.packed`; its type selects the product.  The result is False if the
    matrix tiles could not multiply `grad`; `total` is then not valid.
    """
    if rows.dtype == np.uint16:
        return _add_by_tiles(grad, units, rows, space, total)
    add_product(grad, units, rows, edge, total, units)
    return True


@scalar
def _add_by_tiles(grad: Floats, units: int, rows: Array, space: tiles.Room, total: Floats) -> bool:
    amx.configure(space.state)
    bits, out = grad.view(np.uint32), total.reshape((-1, units))
    good = tiles.add_product(bits, units, rows, space, False, out)
    amx.release()
    return bool(good)


@overload(add_returned)
def _add_returned(grad: Any, units: Any, rows: Any, edge: Any, space: Any, total: Any) -> Callable[..., Any]:
    if rows.dtype == types.uint16:
        return lambda grad, units, rows, edge, space, total: _add_by_tiles(grad, units, rows, space, total)

    def by_vectors(grad: Any, units: Any, rows: Any, edge: Any, space: Any, total: Any) -> bool:
        add_product(grad, units, rows, edge, total, units)
        return True

    return by_vectors


@scalar
def add_returned_uniform(grad: Floats, units: int, numbers: Floats, total: Floats) -> None:
    """Do the same as `add_returned` for an R of two numbers: one on the diagonal, one everywhere else."""
    own, others = numbers[0], numbers[1]
    for lo in range(0, grad.size, units):
        row, into = grad[lo : lo + units], total[lo : lo + units]
        shared, more = others * np.float32(_sum(row)), own - others
        for i in range(units):
            into[i] += shared + more * row[i]


@scalar
def _sum(row: Floats) -> float:
    """The sum in float64, computed in a fixed order as four independent chains of additions."""
    a = b = c = d = 0.0
    whole = row.size // 4 * 4
    for i in range(0, whole, 4):
        a, b, c, d = a + row[i], b + row[i + 1], c + row[i + 2], d + row[i + 3]
    for i in range(whole, row.size):
        a += row[i]
    return (a + b) + (c + d)
