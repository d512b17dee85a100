"""A matrix product inside kernels: tiles of a few rows and `TILE` columns whose sums stay in registers.

Outside compiled code it is ordinary Python.  In it, it is LLVM's own vectors, as in `_vector`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from lavadl_kernels.runtime.jit import scalar
from lavadl_kernels.runtime.simd import _data, _splat, _vector_at

TILE = 32  #: columns of a tile
#: Rows of a tile: as many as leave its sums in registers, of which there are 32 or 16. No result depends on it.
ROWS = 8 if binding.get_host_cpu_features().get("avx512f") else 4

_LANES = 16
_INTP = ir.IntType(64)


def packed(matrix: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A matrix (K, C) float32 as `add_product` reads it: (C / TILE, K, TILE), with columns of zeros at the end."""
    depth, columns = matrix.shape
    blocks = -(-columns // TILE)
    wide = np.zeros((depth, blocks * TILE), np.float32)
    wide[:, :columns] = matrix
    return np.ascontiguousarray(wide.reshape(depth, blocks, TILE).transpose(1, 0, 2))


def _tile(rows):
    """``out[to + r * columns + c] += sum over k of a[at + r * depth + k] * b[base + k * TILE + c]`` for `rows` rows."""

    def tile(a, at, depth, b, base, out, to, columns):
        for r in range(rows):
            for c in range(TILE):
                total = np.float32(0)
                for k in range(depth):
                    total += a[at + r * depth + k] * b[base + k * TILE + c]
                out[to + r * columns + c] += total

    @intrinsic
    def vectors(typing_context, a, at, depth, b, base, out, to, columns):
        intp = types.intp
        signature = types.void(a, intp, intp, b, intp, out, intp, intp)

        def generate(context, builder, signature, args):
            a, at, depth, b, base, out, to, columns = args
            left, right, result = (
                _data(context, builder, signature.args[i], value) for i, value in ((0, a), (3, b), (5, out))
            )
            _loop(builder, left, at, depth, right, base, result, to, columns)
            return context.get_dummy_value()

        return signature, generate

    def _loop(builder, a, at, depth, b, base, out, to, columns):
        kind = ir.VectorType(ir.FloatType(), _LANES)
        count = TILE // _LANES
        firsts = [builder.gep(a, [builder.add(at, builder.mul(ir.Constant(_INTP, r), depth))]) for r in range(rows)]
        start = builder.gep(b, [base])
        before = builder.basic_block
        head, body, done = (builder.append_basic_block(name) for name in ("columns", "column", "summed"))
        builder.branch(head)
        builder.position_at_end(head)
        k = builder.phi(_INTP)
        k.add_incoming(ir.Constant(_INTP, 0), before)
        sums = [builder.phi(kind) for _ in range(rows * count)]
        for total in sums:
            total.add_incoming(ir.Constant(kind, None), before)
        builder.cbranch(builder.icmp_signed("<", k, depth), body, done)
        builder.position_at_end(body)
        line = builder.gep(start, [builder.mul(k, ir.Constant(_INTP, TILE))])
        parts = [
            builder.load(_vector_at(builder, line, ir.Constant(_INTP, j * _LANES), kind), align=4) for j in range(count)
        ]
        fused = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(kind, [kind] * 3), f"llvm.fma.v{_LANES}f32"
        )
        for r, first in enumerate(firsts):
            factor = _splat(builder, kind, builder.load(builder.gep(first, [k])))
            for j, part in enumerate(parts):
                total = sums[r * count + j]
                total.add_incoming(builder.call(fused, [factor, part, total]), body)
        k.add_incoming(builder.add(k, ir.Constant(_INTP, 1)), body)
        builder.branch(head)
        builder.position_at_end(done)
        for r in range(rows):
            line = builder.gep(out, [builder.add(to, builder.mul(ir.Constant(_INTP, r), columns))])
            for j in range(count):
                place = _vector_at(builder, line, ir.Constant(_INTP, j * _LANES), kind)
                builder.store(builder.fadd(builder.load(place, align=4), sums[r * count + j]), place, align=4)

    @overload(tile, inline="always")
    def compiled(a, at, depth, b, base, out, to, columns):
        return lambda a, at, depth, b, base, out, to, columns: vectors(a, at, depth, b, base, out, to, columns)

    return tile


def _fused(builder, kind):
    """LLVM's product and sum in one, rounded once."""
    signature = ir.FunctionType(kind, [kind] * 3)
    return cgutils.get_or_insert_function(builder.module, signature, f"llvm.fma.v{kind.count}f32")


_several, _single = _tile(ROWS), _tile(1)


@scalar
def add_product(a, depth, b, edge, out, columns):
    """Add a matrix product to `out`; each of its entries is summed in the same order, whatever the number of rows.

    Parameters
    ----------
    a : ndarray
        (rows * depth,) float32, the left matrix row by row.
    depth : int
        Its columns.
    b : ndarray
        The right matrix as `packed` gives it.
    edge : ndarray
        (ROWS * TILE,) float32, for use in here.
    out : ndarray
        (rows * columns,) float32, row by row.
    columns : int
        Columns of the right matrix.
    """
    flat, rows = b.reshape(-1), a.size // depth
    for block in range(b.shape[0]):
        lo = block * TILE
        used, base = min(TILE, columns - lo), block * depth * TILE
        row = 0
        while row < rows:
            step = ROWS if row + ROWS <= rows else 1
            to, at = row * columns + lo, row * depth
            if used < TILE:
                edge[:] = 0
            if step == ROWS:
                if used == TILE:
                    _several(a, at, depth, flat, base, out, to, columns)
                else:
                    _several(a, at, depth, flat, base, edge, 0, TILE)
            elif used == TILE:
                _single(a, at, depth, flat, base, out, to, columns)
            else:
                _single(a, at, depth, flat, base, edge, 0, TILE)
            if used < TILE:
                for r in range(step):
                    for c in range(used):
                        out[to + r * columns + c] += edge[r * TILE + c]
            row += step
