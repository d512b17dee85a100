"""Sums of narrow rows of a table, selected by a list of indices: each row is one vector.

A table whose rows are one cache line stays in the L1 cache, while a table with `simd.WIDTH` columns would not.  In a
single sum each addition would wait for the one before it, so `TOGETHER` partial sums are computed in parallel and added
at the end.  Outside compiled code the functions are ordinary Python, with the same order of additions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from lavadl_kernels.runtime.array_types import Array
from lavadl_kernels.runtime.extending import instructions, intrinsic
from lavadl_kernels.runtime.simd import _pointers, _vector_at

NARROW = 16  #: entries of a row: a cache line of floats
TOGETHER = 4  #: partial sums in parallel: an addition takes 3 or 4 cycles, and one or two can start in each cycle

_INTP = ir.IntType(64)


def add_narrow_rows(table: Array, index: Array, first: Any, last: Any, out: Array, at: Any) -> None:
    """Add the sum of the rows index[first:last] to out[at : at + NARROW].

    Parameters
    ----------
    table : ndarray
        (R * NARROW,) float32.
    index : ndarray
        (E,) uint16, row numbers.
    first, last : int
        The range of entries of `index` that are used: index[first:last].
    out : ndarray
        (S,) float32; added to.
    at : int
        The start of the result in `out`.
    """
    sums = np.zeros((TOGETHER, NARROW), np.float32)
    whole = (last - first) // TOGETHER * TOGETHER
    for k in range(first, last):
        row = int(index[k]) * NARROW
        sums[(k - first) % TOGETHER if k - first < whole else 0] += table[row : row + NARROW]
    for total in sums[1:]:
        sums[0] += total
    out[at : at + NARROW] += sums[0]


@intrinsic
def _add_narrow_rows(typing_context: Any, table: Any, index: Any, first: Any, last: Any, out: Any, at: Any) -> Any:
    intp = types.intp
    kind = ir.VectorType(ir.FloatType(), NARROW)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        rows, numbers, result = _pointers(context, builder, signature, args, 0, 1, 4)
        _, _, first, last, _, at = args

        def added(total: ir.Value, k: ir.Value) -> ir.Value:
            number = builder.zext(builder.load(builder.gep(numbers, [k])), _INTP)
            address = _vector_at(builder, rows, builder.mul(number, ir.Constant(_INTP, NARROW)), kind)
            return builder.fadd(total, builder.load(address, align=4))

        end = builder.sub(last, ir.Constant(_INTP, TOGETHER - 1))
        k, sums = _loop(builder, first, end, [ir.Constant(kind, None)] * TOGETHER, added)
        _, (total,) = _loop(builder, k, last, sums[:1], added)
        for other in sums[1:]:
            total = builder.fadd(total, other)
        address = _vector_at(builder, result, at, kind)
        builder.store(builder.fadd(builder.load(address, align=4), total), address, align=4)
        return context.get_dummy_value()

    return types.void(table, index, intp, intp, out, intp), generate


def _loop(
    builder: ir.IRBuilder,
    first: ir.Value,
    end: ir.Value,
    begun: list[ir.Value],
    added: Callable[[ir.Value, ir.Value], ir.Value],
) -> tuple[ir.Value, list[ir.Value]]:
    """Build a loop that processes as many indices at a time as there are sums in `begun`.

    `begun` holds the initial sums, and ``added(total, k)`` builds the code that adds index k to a sum.  The result is
    the index at which the loop ended, and the sums.
    """
    before = builder.basic_block
    head, body, done = (builder.append_basic_block(name) for name in ("head", "body", "done"))
    builder.branch(head)
    builder.position_at_end(head)
    k = builder.phi(_INTP)
    k.add_incoming(first, before)
    sums: list[ir.Value] = []
    for value in begun:
        sums.append(builder.phi(value.type))
        sums[-1].add_incoming(value, before)
    builder.cbranch(builder.icmp_signed("<", k, end), body, done)
    builder.position_at_end(body)
    for number, total in enumerate(sums):
        total.add_incoming(added(total, builder.add(k, ir.Constant(_INTP, number))), body)
    k.add_incoming(builder.add(k, ir.Constant(_INTP, len(sums))), body)
    builder.branch(head)
    builder.position_at_end(done)
    return k, sums


@instructions(add_narrow_rows)
def _overload_add_narrow_rows(table: Any, index: Any, first: Any, last: Any, out: Any, at: Any) -> Any:
    return lambda table, index, first, last, out, at: _add_narrow_rows(table, index, first, last, out, at)
