"""A matrix product for use inside kernels, computed in tiles of a few rows and `TILE` columns.

The sums of a tile stay in registers.  Outside compiled code the product is ordinary Python; in compiled code it uses
LLVM's vectors, as in `simd`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from lavadl_kernels.runtime import private, processor
from lavadl_kernels.runtime.array_types import Array
from lavadl_kernels.runtime.buffers import empty
from lavadl_kernels.runtime.extending import instructions, intrinsic
from lavadl_kernels.runtime.jit import scalar
from lavadl_kernels.runtime.simd import _pointers, _splat, _summing, _vector_at

TILE = 32  #: columns of a tile: two vectors
#: Rows of a tile: as many as fit with their sums into the registers, of which AVX-512 has 32 and other instruction sets
#: 16. No result depends on this number.
ROWS = 8 if processor.has("avx512f") else 4

cgutils = private.part("numba.core.cgutils", "vectors")
_LANES = 16  # floats of a vector
_INTP = ir.IntType(64)


def packed(matrix: Array) -> Array:
    """Rearrange a matrix (K, C) float32 for `add_product`: (C / TILE, rounded up, K, TILE) float32.

    Columns beyond the last are zeros.
    """
    depth, columns = matrix.shape
    whole, left = divmod(columns, TILE)
    tiles = empty((whole + (left > 0), depth, TILE))
    tiles[:whole] = matrix[:, : columns - left].reshape(depth, whole, TILE).transpose(1, 0, 2)
    if left:
        tiles[whole, :, :left] = matrix[:, columns - left :]
        tiles[whole, :, left:] = 0
    return tiles


def _tile(rows: int) -> Any:
    """Make a function that adds the product of `rows` rows of `a` and a block of `b` to `out`.

    ``out[to + r * columns + c] += sum over k of a[at + r * depth + k] * b[base + k * TILE + c]``
    """

    def tile(a: Array, at: int, depth: int, b: Array, base: int, out: Array, to: int, columns: int) -> None:
        for r in range(rows):
            for c in range(TILE):
                total = np.float32(0)
                for k in range(depth):
                    total += a[at + r * depth + k] * b[base + k * TILE + c]
                out[to + r * columns + c] += total

    @intrinsic
    def vectors(
        typing_context: Any, a: Any, at: Any, depth: Any, b: Any, base: Any, out: Any, to: Any, columns: Any
    ) -> Any:
        intp = types.intp
        signature = types.void(a, intp, intp, b, intp, out, intp, intp)

        def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            left, right, result = _pointers(context, builder, signature, args, 0, 3, 5)
            _, at, depth, _, base, _, to, columns = args
            _loop(builder, left, at, depth, right, base, result, to, columns)
            return context.get_dummy_value()

        return signature, generate

    def _loop(
        builder: ir.IRBuilder,
        a: ir.Value,
        at: ir.Value,
        depth: ir.Value,
        b: ir.Value,
        base: ir.Value,
        out: ir.Value,
        to: ir.Value,
        columns: ir.Value,
    ) -> None:
        kind = ir.VectorType(ir.FloatType(), _LANES)
        count = TILE // _LANES
        firsts = [builder.gep(a, [builder.add(at, builder.mul(ir.Constant(_INTP, r), depth))]) for r in range(rows)]
        start = builder.gep(b, [base])
        with _summing(builder, ir.Constant(_INTP, 0), depth, kind, rows * count) as (k, sums):
            body = builder.basic_block
            line = builder.gep(start, [builder.mul(k, ir.Constant(_INTP, TILE))])
            parts = [
                builder.load(_vector_at(builder, line, ir.Constant(_INTP, j * _LANES), kind), align=4)
                for j in range(count)
            ]
            # a fused multiply-add, which rounds once
            fused = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(kind, [kind] * 3), f"llvm.fma.v{_LANES}f32"
            )
            for r, first in enumerate(firsts):
                factor = _splat(builder, kind, builder.load(builder.gep(first, [k])))
                for j, part in enumerate(parts):
                    total = sums[r * count + j]
                    total.add_incoming(builder.call(fused, [factor, part, total]), body)
        for r in range(rows):
            line = builder.gep(out, [builder.add(to, builder.mul(ir.Constant(_INTP, r), columns))])
            for j in range(count):
                address = _vector_at(builder, line, ir.Constant(_INTP, j * _LANES), kind)
                builder.store(builder.fadd(builder.load(address, align=4), sums[r * count + j]), address, align=4)

    @instructions(tile, inline="always")
    def compiled(a: Any, at: Any, depth: Any, b: Any, base: Any, out: Any, to: Any, columns: Any) -> Any:
        return lambda a, at, depth, b, base, out, to, columns: vectors(a, at, depth, b, base, out, to, columns)

    return tile


_several, _single = _tile(ROWS), _tile(1)


@scalar
def add_product(a: Array, depth: int, b: Array, edge: Array, out: Array, columns: int) -> None:
    """Add a matrix product to `out`; the order in which an entry is summed does not depend on the number of rows.

    Parameters
    ----------
    a : ndarray
        (rows * depth,) float32, the left matrix row by row.
    depth : int
        The number of columns of the left matrix.
    b : ndarray
        The right matrix, rearranged by `packed`: (blocks, depth, TILE) float32.
    edge : ndarray
        (ROWS * TILE,) float32, scratch for tiles that reach beyond the last column.
    out : ndarray
        (rows * columns,) float32, row by row.
    columns : int
        The number of columns of the right matrix.
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
