"""SIMD operations that cannot be expressed in Numba: loops whose vectors stay in registers.

`add_rows` and `add_weighted_rows` sum rows of a table that a list of indices selects; `nonzero` finds the non-zero
entries in a stretch of an array; `mantissas` converts weights to bytes; `transpose_square` transposes a square;
`lowest`, `without_lowest` and `popcount` are bit operations; `multiply_add` is a fused multiply-add.  Outside compiled
code they are ordinary Python.  In compiled code they use LLVM's vectors, which work on every processor: if its
registers are narrower than a vector, LLVM uses several registers for it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from lavadl_kernels.runtime import private
from lavadl_kernels.runtime.array_types import Array
from lavadl_kernels.runtime.extending import instructions, intrinsic, overload

WIDTH = 64  #: entries in a row of a table: bytes fill a cache line, and sums fit four registers of 16 floats
BYTE_ROWS = 256  #: the largest number of rows of bytes that `add_rows` can sum in 16 bits: 256 * 255 < 2**16
STRETCH = 32  #: entries that `nonzero` examines: it returns two bits for each, 64 bits in total

#: The offset that is added to values to store them as bytes of a table. Sums of pairs of bytes can be separated only if
#: no byte is negative.
BIAS = 128

SIDE = 16  #: the number of rows and columns of a square for `transpose_square`: a row of floats is a 512-bit register

cgutils = private.part("numba.core.cgutils", "vectors")
_LANES = 16  # floats that a 512-bit register holds, or two of 256 bits
_INTP = ir.IntType(64)


def add_rows(
    table: Array, base: int, index: Array, first: Any, last: Any, out: Array, at: int, fresh: bool, scale: Any
) -> None:
    """Sum the rows index[first:last], add the old values of `out` unless `fresh`, and multiply by `scale`.

    ``out[at : at + WIDTH] = ((0 if fresh else out[at : at + WIDTH]) + sum of the rows) * scale``

    Parameters
    ----------
    table : ndarray
        (S,) float32 or uint8: rows of `WIDTH` entries from `base` on. Bytes hold values plus `BIAS`; at most
        `BYTE_ROWS` rows of bytes can be summed in one call.
    base : int
        The start of the rows in `table`.
    index : ndarray
        (E,) uint16, row numbers.
    first, last : int
        The range of entries of `index` that are used: index[first:last].
    out : ndarray
        (Z,) float32; written.
    at : int
        The start of the result in `out`.
    fresh : bool
        Whether to replace the values in `out` instead of adding to them.
    scale : float32
        Factor of the result.
    """
    total = np.zeros(WIDTH, np.float32)
    for k in range(first, last):
        row = base + int(index[k]) * WIDTH
        total += table[row : row + WIDTH]
    if table.itemsize == 1:  # bytes; compiled code does not compare dtypes
        total -= np.float32(BIAS * (last - first))
    out[at : at + WIDTH] = (total if fresh else out[at : at + WIDTH] + total) * np.float32(scale)


def add_weighted_rows(
    table: Array, base: int, index: Array, value: Array, first: Any, last: Any, out: Array, at: int, fresh: bool
) -> None:
    """Do the same as `add_rows` for a float32 table (S,), with a factor `value` (E,) float32 for each row.

    There is no `scale`; the other arguments are those of `add_rows`: `index` (E,) uint16 and `out` (Z,) float32.
    """
    total = np.zeros(WIDTH, np.float32)
    for k in range(first, last):
        row = base + int(index[k]) * WIDTH
        total += table[row : row + WIDTH] * value[k]
    out[at : at + WIDTH] = total if fresh else out[at : at + WIDTH] + total


def nonzero(x: Array, at: int, common: float) -> np.uint64:
    """Find the non-zero entries in a stretch of `x` (S,) float32.

    Bit i of the result is set if x[at + i] is not zero; bit 32 + i is set if it is neither zero nor `common`.
    """
    found = 0
    for i in range(STRETCH):
        value = x[at + i]
        if value != 0:
            found |= 1 << i
            if value != common:
                found |= 1 << (i + STRETCH)
    return np.uint64(found)


def mantissas(x: Array, at: int, out: Array, to: int) -> np.uint64:
    """Write ``x[at : at + WIDTH] * 32 + BIAS`` as bytes to out[to : to + WIDTH].

    Parameters
    ----------
    x : ndarray
        (S,) float32, weights in units of 1.
    at : int
        The first weight.
    out : ndarray
        (Z,) uint8.
    to : int
        The start of the result in `out`.

    Returns
    -------
    uint64
        Bit i is set if x[at + i] * 32 is not an integer from -128 to 127; byte i is then undefined.
    """
    beyond = 0
    for i in range(WIDTH):
        mantissa = x[at + i] * np.float32(32)
        good = -128 <= mantissa <= 127 and int(mantissa) == mantissa
        out[to + i] = int(mantissa) + BIAS if good else BIAS
        beyond |= int(not good) << i
    return np.uint64(beyond)


def transpose_square(table: Array, at: int, row: int, out: Array, to: int, line: int) -> None:
    """Transpose a square of `SIDE` rows and columns.

    Parameters
    ----------
    table : ndarray
        (S,) uint8 or float32: the first row begins at table[at], and rows are `row` entries apart.
    at, row : int
        See `table`.
    out : ndarray
        (Z,) of the dtype of `table`: the first row of the result begins at out[to], and rows are `line` entries apart.
    to, line : int
        See `out`.
    """
    for i in range(SIDE):
        for k in range(SIDE):
            out[to + k * line + i] = table[at + i * row + k]


def multiply_add(a: Any, b: Any, c: Any) -> Any:
    """``a * b + c`` in float32, rounded once in compiled code.

    Outside compiled code, the result is first rounded to float64 and then to float32.
    """
    return np.float32(np.float64(a) * np.float64(b) + np.float64(c))


@intrinsic
def _multiply_add(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        return builder.fma(*arguments)

    return types.float32(types.float32, types.float32, types.float32), generate


@instructions(multiply_add, inline="always")
def _overload_multiply_add(a: Any, b: Any, c: Any) -> Any:
    return lambda a, b, c: _multiply_add(a, b, c)


def _pointers(context: Any, builder: ir.IRBuilder, signature: Any, args: Any, *which: int) -> list[ir.Value]:
    """The data addresses of the arguments with the indices `which`, all of which must be arrays."""
    return [context.make_array(signature.args[i])(context, builder, args[i]).data for i in which]


def _constant(kind: ir.VectorType, value: int) -> ir.Constant:
    """A constant vector of integers with `value` in every lane."""
    return ir.Constant(kind, [value] * kind.count)


def _splat(builder: ir.IRBuilder, kind: ir.VectorType, value: ir.Value) -> ir.Value:
    """Build a vector with `value` in every lane."""
    vector = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), kind.count), None)
    return builder.shuffle_vector(vector, ir.Constant(kind, ir.Undefined), lanes)


def _vector_at(builder: ir.IRBuilder, data: ir.Value, offset: ir.Value, kind: ir.VectorType) -> ir.Value:
    """Build the address of the vector that begins `offset` entries after `data`."""
    return builder.bitcast(builder.gep(data, [offset]), kind.as_pointer())


@contextmanager
def _summing(
    builder: ir.IRBuilder, first: ir.Value, last: ir.Value, kind: ir.VectorType, count: int
) -> Iterator[tuple[ir.Value, list[ir.Value]]]:
    """Build a loop from `first` to `last` with `count` sums in registers, which begin at 0.

    The ``with`` block builds the body of the loop. It receives the loop index and the current sums, and must give each
    sum its next value by ``add_incoming``.
    """
    before = builder.basic_block
    head, body, done = (builder.append_basic_block(name) for name in ("head", "body", "done"))
    builder.branch(head)
    builder.position_at_end(head)
    k = builder.phi(_INTP)
    k.add_incoming(first, before)
    sums = [builder.phi(kind) for _ in range(count)]
    for total in sums:
        total.add_incoming(ir.Constant(kind, None), before)
    builder.cbranch(builder.icmp_signed("<", k, last), body, done)
    builder.position_at_end(body)
    yield k, sums
    k.add_incoming(builder.add(k, ir.Constant(_INTP, 1)), body)
    builder.branch(head)
    builder.position_at_end(done)


def _sum_rows(
    builder: ir.IRBuilder,
    table: ir.Value,
    base: ir.Value,
    index: ir.Value,
    value: ir.Value | None,
    first: ir.Value,
    last: ir.Value,
) -> list[ir.Value]:
    """Build a loop that sums rows and keeps the sums in registers; return the vectors of the sum.

    Bytes are read in pairs, as 16-bit numbers. The loop sums these numbers, which wrap around at 2**16, and separately
    their upper halves; `_sums_of_bytes` computes the sums of the lower halves from both. This is less work than
    widening each byte.
    """
    item = table.type.pointee
    small = isinstance(item, ir.IntType)
    kind = ir.VectorType(ir.IntType(16), WIDTH // 2) if small else ir.VectorType(item, _LANES)
    start = builder.gep(table, [base])
    with _summing(builder, first, last, kind, 2 if small else WIDTH // _LANES) as (k, sums):
        body = builder.basic_block
        number = builder.zext(builder.load(builder.gep(index, [k])), _INTP)
        row = builder.gep(start, [builder.mul(number, ir.Constant(_INTP, WIDTH))])
        if small:
            entry = builder.load(builder.bitcast(row, kind.as_pointer()), align=1)
            sums[0].add_incoming(builder.add(sums[0], entry), body)
            upper = builder.lshr(entry, _constant(kind, 8))
            sums[1].add_incoming(builder.add(sums[1], upper), body)
        else:
            factor = None if value is None else _splat(builder, kind, builder.load(builder.gep(value, [k])))
            for j, total in enumerate(sums):
                address = _vector_at(builder, row, ir.Constant(_INTP, j * _LANES), kind)
                entry = builder.load(address, align=4)
                added = builder.fadd(total, entry if factor is None else builder.fmul(entry, factor))
                total.add_incoming(added, body)
    return _sums_of_bytes(builder, sums[0], sums[1], builder.sub(last, first)) if small else sums


def _sums_of_bytes(builder: ir.IRBuilder, pairs: ir.Value, upper: ir.Value, count: ir.Value) -> list[ir.Value]:
    """Build the sums of bytes, as vectors of floats, from the sums of the pairs and of their upper halves."""
    kind = pairs.type
    lower = builder.sub(pairs, builder.shl(upper, _constant(kind, 8)))
    bias = _splat(builder, kind, builder.trunc(builder.mul(count, ir.Constant(_INTP, BIAS)), kind.element))
    halves = [builder.sub(half, bias) for half in (lower, upper)]
    even, odd = halves if sys.byteorder == "little" else halves[::-1]
    sums = []
    for first in range(0, kind.count, _LANES // 2):
        lanes = [lane for i in range(first, first + _LANES // 2) for lane in (i, i + kind.count)]
        whole = builder.shuffle_vector(even, odd, ir.Constant(ir.VectorType(ir.IntType(32), _LANES), lanes))
        sums.append(builder.sitofp(whole, ir.VectorType(ir.FloatType(), _LANES)))
    return sums


def _store(
    builder: ir.IRBuilder, sums: list[ir.Value], out: ir.Value, at: ir.Value, fresh: ir.Value, scale: ir.Value | None
) -> None:
    kind = sums[0].type
    start = builder.gep(out, [at])
    for j, total in enumerate(sums):
        address = _vector_at(builder, start, ir.Constant(_INTP, j * kind.count), kind)
        # A select is used instead of a factor of 0, because the unused value in `out` may be NaN.
        value = builder.select(fresh, total, builder.fadd(builder.load(address, align=4), total))
        if scale is not None:
            value = builder.fmul(value, _splat(builder, kind, scale))
        builder.store(value, address, align=4)


@intrinsic
def _add_rows(
    typing_context: Any,
    table: Any,
    base: Any,
    index: Any,
    first: Any,
    last: Any,
    out: Any,
    at: Any,
    fresh: Any,
    scale: Any,
) -> Any:
    intp = types.intp

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        rows, numbers, result = _pointers(context, builder, signature, args, 0, 2, 5)
        _, base, _, first, last, _, at, fresh, scale = args
        sums = _sum_rows(builder, rows, base, numbers, None, first, last)
        _store(builder, sums, result, at, cgutils.as_bool_bit(builder, fresh), scale)
        return context.get_dummy_value()

    return types.void(table, intp, index, intp, intp, out, intp, types.boolean, types.float32), generate


@instructions(add_rows)
def _overload_add_rows(
    table: Any, base: Any, index: Any, first: Any, last: Any, out: Any, at: Any, fresh: Any, scale: Any
) -> Any:
    return lambda table, base, index, first, last, out, at, fresh, scale: _add_rows(
        table, base, index, first, last, out, at, fresh, scale
    )


@intrinsic
def _add_weighted_rows(
    typing_context: Any,
    table: Any,
    base: Any,
    index: Any,
    value: Any,
    first: Any,
    last: Any,
    out: Any,
    at: Any,
    fresh: Any,
) -> Any:
    intp = types.intp

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        rows, numbers, factors, result = _pointers(context, builder, signature, args, 0, 2, 3, 6)
        _, base, _, _, first, last, _, at, fresh = args
        sums = _sum_rows(builder, rows, base, numbers, factors, first, last)
        _store(builder, sums, result, at, cgutils.as_bool_bit(builder, fresh), None)
        return context.get_dummy_value()

    return types.void(table, intp, index, value, intp, intp, out, intp, types.boolean), generate


@instructions(add_weighted_rows)
def _overload_add_weighted_rows(
    table: Any, base: Any, index: Any, value: Any, first: Any, last: Any, out: Any, at: Any, fresh: Any
) -> Any:
    return lambda table, base, index, value, first, last, out, at, fresh: _add_weighted_rows(
        table, base, index, value, first, last, out, at, fresh
    )


@intrinsic
def _nonzero(typing_context: Any, x: Any, at: Any, common: Any) -> Any:
    signature = types.uint64(x, types.intp, types.float32)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        kind = ir.VectorType(ir.FloatType(), STRETCH)
        bits = ir.IntType(STRETCH)
        (start,) = _pointers(context, builder, signature, args, 0)
        address = _vector_at(builder, start, args[1], kind)
        value = builder.load(address, align=4)
        some = builder.fcmp_unordered("!=", value, ir.Constant(kind, None))
        other = builder.and_(some, builder.fcmp_unordered("!=", value, _splat(builder, kind, args[2])))
        low, high = (builder.zext(builder.bitcast(mask, bits), _INTP) for mask in (some, other))
        return builder.or_(low, builder.shl(high, ir.Constant(_INTP, STRETCH)))

    return signature, generate


@instructions(nonzero)
def _overload_nonzero(x: Any, at: Any, common: Any) -> Any:
    return lambda x, at, common: _nonzero(x, at, common)


def lowest(bits: Any) -> np.uint64:
    """The index of the lowest set bit, or 64 if no bit is set."""
    return np.uint64((int(bits) & -int(bits)).bit_length() - 1 if bits else 64)


def without_lowest(bits: Any) -> np.uint64:
    """`bits` with the lowest set bit cleared."""
    return np.uint64(int(bits) & (int(bits) - 1))


@overload(without_lowest)
def _overload_without_lowest(bits: Any) -> Any:
    return lambda bits: bits & (bits - np.uint64(1))


def popcount(bits: Any) -> np.uint64:
    """The number of bits that are set."""
    return np.uint64(int(bits).bit_count())


@intrinsic
def _lowest(typing_context: Any, bits: Any) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), generate


def _lowest_in_steps(bits: Any) -> Any:
    number = 0
    while number < 64 and (bits >> np.uint64(number)) & np.uint64(1) == 0:
        number += 1
    return np.uint64(number)


@instructions(lowest, _lowest_in_steps)
def _overload_lowest(bits: Any) -> Any:
    return lambda bits: _lowest(bits)


@intrinsic
def _popcount(typing_context: Any, bits: Any) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        return builder.ctpop(args[0])

    return types.uint64(types.uint64), generate


def _popcount_in_steps(bits: Any) -> Any:
    count = 0
    while bits != 0:
        bits &= bits - np.uint64(1)
        count += 1
    return np.uint64(count)


@instructions(popcount, _popcount_in_steps)
def _overload_popcount(bits: Any) -> Any:
    return lambda bits: _popcount(bits)


@intrinsic
def _mantissas(typing_context: Any, x: Any, at: Any, out: Any, to: Any) -> Any:
    signature = types.uint64(x, types.intp, out, types.intp)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        weights, result = _pointers(context, builder, signature, args, 0, 2)
        floats, integers, small = (
            ir.VectorType(kind, WIDTH) for kind in (ir.FloatType(), ir.IntType(32), ir.IntType(8))
        )
        value = builder.load(_vector_at(builder, weights, args[1], floats), align=4)
        value = builder.fmul(value, ir.Constant(floats, [32.0] * WIDTH))
        inside = builder.and_(
            builder.fcmp_ordered(">=", value, ir.Constant(floats, [-128.0] * WIDTH)),
            builder.fcmp_ordered("<=", value, ir.Constant(floats, [127.0] * WIDTH)),
        )
        # In LLVM, the conversion of a float that does not fit the integer is undefined, so 0 is converted instead.
        kept = builder.select(inside, value, ir.Constant(floats, None))
        whole = builder.fptosi(kept, integers)
        beyond = builder.fcmp_unordered("!=", builder.sitofp(whole, floats), value)
        biased = builder.trunc(builder.add(whole, _constant(integers, BIAS)), small)
        builder.store(biased, _vector_at(builder, result, args[3], small), align=1)
        return builder.bitcast(beyond, _INTP)

    return signature, generate


@instructions(mantissas)
def _overload_mantissas(x: Any, at: Any, out: Any, to: Any) -> Any:
    return lambda x, at, out, to: _mantissas(x, at, out, to)


@intrinsic
def _transpose_square(typing_context: Any, table: Any, at: Any, row: Any, out: Any, to: Any, line: Any) -> Any:
    signature = types.void(table, *[types.intp] * 2, out, *[types.intp] * 2)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        starts = zip(_pointers(context, builder, signature, args, 0, 3), (args[1], args[4]), strict=True)
        source, target = (builder.gep(start, [at]) for start, at in starts)
        item = source.type.pointee
        kind = ir.VectorType(item, SIDE)
        align = 1 if isinstance(item, ir.IntType) else 4
        numbers = [ir.Constant(_INTP, i) for i in range(SIDE)]
        given = [_vector_at(builder, source, builder.mul(args[2], number), kind) for number in numbers]
        rows = [builder.load(address, align=align) for address in given]
        half = SIDE // 2
        # A perfect shuffle of the entries of all rows, like that of a deck of cards, rotates the bits of an entry's
        # position (row, column) by one place. After as many shuffles as a column number has bits, row and column are
        # exchanged.
        lanes = [[lane for i in range(first, first + half) for lane in (i, i + SIDE)] for first in (0, half)]
        masks = [ir.Constant(ir.VectorType(ir.IntType(32), SIDE), part) for part in lanes]
        for _ in range(SIDE.bit_length() - 1):
            rows = [builder.shuffle_vector(rows[i], rows[i + half], mask) for i in range(half) for mask in masks]
        for transposed, number in zip(rows, numbers, strict=True):
            address = _vector_at(builder, target, builder.mul(args[5], number), kind)
            builder.store(transposed, address, align=align)
        return context.get_dummy_value()

    return signature, generate


@instructions(transpose_square)
def _overload_transpose_square(table: Any, at: Any, row: Any, out: Any, to: Any, line: Any) -> Any:
    return lambda table, at, row, out, to, line: _transpose_square(table, at, row, out, to, line)
