"""What Numba cannot say: a loop over vectors that stay in registers.

`add_rows` and `add_weighted_rows` sum rows of a table that a list names, `nonzero` finds the non-zero
entries of a stretch, `mantissas` makes bytes of weights, `turn` columns of rows.  Outside compiled code
they are ordinary Python.  In it they are LLVM's own vectors, which every processor has, if not in this width.
"""

from __future__ import annotations

import sys

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

WIDTH = 64  #: entries of a row of a table
RUN = 256  #: rows of bytes that `add_rows` can sum in 16 bits
STRETCH = 32  #: entries that `nonzero` looks at

BIAS = 128  #: what bytes of a table are more than what they stand for

SIDE = 16  #: rows and columns that `turn` turns

_LANES = 16  # floats that a 512-bit register holds, or two of 256 bits
_INTP = ir.IntType(64)


def add_rows(table, base, index, first, last, out, at, fresh, scale):
    """out[at : at + WIDTH] = ((0 if fresh else out) + the sum of the rows index[first:last]) * scale.

    Parameters
    ----------
    table : ndarray
        1-D float32 or uint8: rows of `WIDTH` entries from `base` on. Bytes are `BIAS` more than their values; of
        them no more than `RUN` rows at a time.
    index : ndarray
        (E,) uint16, numbers of rows.
    out : ndarray
        1-D float32.
    at : int
        Where in `out`.
    fresh : bool
        Whether what is in `out` does not count.
    scale : float32
    """
    total = np.zeros(WIDTH, np.float32)
    for k in range(first, last):
        row = base + int(index[k]) * WIDTH
        total += table[row : row + WIDTH]
    if table.dtype == np.uint8:
        total -= np.float32(BIAS * (last - first))
    out[at : at + WIDTH] = (total if fresh else out[at : at + WIDTH] + total) * np.float32(scale)


def add_weighted_rows(table, base, index, value, first, last, out, at, fresh):
    """As `add_rows` of a float32 table, with a factor `value` (E,) float32 for each row."""
    total = np.zeros(WIDTH, np.float32)
    for k in range(first, last):
        row = base + int(index[k]) * WIDTH
        total += table[row : row + WIDTH] * value[k]
    out[at : at + WIDTH] = total if fresh else out[at : at + WIDTH] + total


def nonzero(x, at, common):
    """Bit i of the result: x[at + i] is not zero; bit 32 + i: nor is it `common`. `x` is 1-D float32."""
    found = 0
    for i in range(STRETCH):
        value = x[at + i]
        if value != 0:
            found |= 1 << i
            if value != common:
                found |= 1 << (i + STRETCH)
    return np.uint64(found)


def mantissas(x, at, out, to):
    """``out[to : to + WIDTH] = x[at : at + WIDTH] * 32 + BIAS`` in bytes; bit i of the result: that is no byte."""
    beyond = 0
    for i in range(WIDTH):
        mantissa = x[at + i] * np.float32(32)
        good = -128 <= mantissa <= 127 and int(mantissa) == mantissa
        out[to + i] = int(mantissa) + BIAS if good else BIAS
        beyond |= int(not good) << i
    return np.uint64(beyond)


def turn(table, at, row, out, to, line):
    """A square of `SIDE` rows from table[at] on, `row` entries apart, turned, into rows `line` apart from out[to] on.

    Both are 1-D, of bytes or of float32.
    """
    for i in range(SIDE):
        for k in range(SIDE):
            out[to + k * line + i] = table[at + i * row + k]


def _data(context, builder, kind, value):
    return context.make_array(kind)(context, builder, value).data


def _constant(kind, value):
    """`value` in every lane of a vector of integers."""
    return ir.Constant(kind, [value] * kind.count)


def _splat(builder, kind, value):
    """`value` in every lane."""
    vector = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), kind.count), None)
    return builder.shuffle_vector(vector, ir.Constant(kind, ir.Undefined), lanes)


def _vector_at(builder, data, place, kind):
    return builder.bitcast(builder.gep(data, [place]), kind.as_pointer())


def _sum_rows(builder, table, base, index, value, first, last):
    """The vectors of the sum of rows; a loop whose sums are in registers.

    Bytes are read in pairs, as numbers of 16 bits, whose sum is kept, as far as 16 bits go, beside that of their
    upper halves: the two tell that of the lower halves. This is less work than to widen the bytes.
    """
    item = table.type.pointee
    small = isinstance(item, ir.IntType)
    kind = ir.VectorType(ir.IntType(16), WIDTH // 2) if small else ir.VectorType(item, _LANES)
    start = builder.gep(table, [base])
    before = builder.basic_block
    head, body, done = (builder.append_basic_block(name) for name in ("rows", "row", "summed"))
    builder.branch(head)
    builder.position_at_end(head)
    k = builder.phi(_INTP)
    k.add_incoming(first, before)
    sums = [builder.phi(kind) for _ in range(2 if small else WIDTH // _LANES)]
    for total in sums:
        total.add_incoming(ir.Constant(kind, None), before)
    builder.cbranch(builder.icmp_signed("<", k, last), body, done)
    builder.position_at_end(body)
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
            place = _vector_at(builder, row, ir.Constant(_INTP, j * _LANES), kind)
            entry = builder.load(place, align=4)
            added = builder.fadd(total, entry if factor is None else builder.fmul(entry, factor))
            total.add_incoming(added, body)
    k.add_incoming(builder.add(k, ir.Constant(_INTP, 1)), body)
    builder.branch(head)
    builder.position_at_end(done)
    return _parted(builder, sums[0], sums[1], builder.sub(last, first)) if small else sums


def _parted(builder, pairs, upper, count):
    """The sums of bytes, in vectors of floats, from those of pairs and of their upper halves."""
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


def _store(builder, sums, out, at, fresh, scale):
    kind = sums[0].type
    start = builder.gep(out, [at])
    for j, total in enumerate(sums):
        place = _vector_at(builder, start, ir.Constant(_INTP, j * kind.count), kind)
        # what is there may be anything where it does not count
        value = builder.select(fresh, total, builder.fadd(builder.load(place, align=4), total))
        if scale is not None:
            value = builder.fmul(value, _splat(builder, kind, scale))
        builder.store(value, place, align=4)


@intrinsic
def _add_rows(typing_context, table, base, index, first, last, out, at, fresh, scale):
    intp = types.intp
    signature = types.void(table, intp, index, intp, intp, out, intp, types.boolean, types.float32)

    def generate(context, builder, signature, args):
        table, base, index, first, last, out, at, fresh, scale = args
        data = [_data(context, builder, signature.args[i], value) for i, value in ((0, table), (2, index), (5, out))]
        sums = _sum_rows(builder, data[0], base, data[1], None, first, last)
        _store(builder, sums, data[2], at, cgutils.as_bool_bit(builder, fresh), scale)
        return context.get_dummy_value()

    return signature, generate


@overload(add_rows)
def _overload_add_rows(table, base, index, first, last, out, at, fresh, scale):
    return lambda table, base, index, first, last, out, at, fresh, scale: _add_rows(
        table, base, index, first, last, out, at, fresh, scale
    )


@intrinsic
def _add_weighted_rows(typing_context, table, base, index, value, first, last, out, at, fresh):
    intp = types.intp
    signature = types.void(table, intp, index, value, intp, intp, out, intp, types.boolean)

    def generate(context, builder, signature, args):
        table, base, index, value, first, last, out, at, fresh = args
        data = [
            _data(context, builder, signature.args[i], array)
            for i, array in ((0, table), (2, index), (3, value), (6, out))
        ]
        sums = _sum_rows(builder, data[0], base, data[1], data[2], first, last)
        _store(builder, sums, data[3], at, cgutils.as_bool_bit(builder, fresh), None)
        return context.get_dummy_value()

    return signature, generate


@overload(add_weighted_rows)
def _overload_add_weighted_rows(table, base, index, value, first, last, out, at, fresh):
    return lambda table, base, index, value, first, last, out, at, fresh: _add_weighted_rows(
        table, base, index, value, first, last, out, at, fresh
    )


@intrinsic
def _nonzero(typing_context, x, at, common):
    signature = types.uint64(x, types.intp, types.float32)

    def generate(context, builder, signature, args):
        kind = ir.VectorType(ir.FloatType(), STRETCH)
        bits = ir.IntType(STRETCH)
        place = _vector_at(builder, _data(context, builder, signature.args[0], args[0]), args[1], kind)
        value = builder.load(place, align=4)
        some = builder.fcmp_unordered("!=", value, ir.Constant(kind, None))
        other = builder.and_(some, builder.fcmp_unordered("!=", value, _splat(builder, kind, args[2])))
        low, high = (builder.zext(builder.bitcast(mask, bits), _INTP) for mask in (some, other))
        return builder.or_(low, builder.shl(high, ir.Constant(_INTP, STRETCH)))

    return signature, generate


@overload(nonzero)
def _overload_nonzero(x, at, common):
    return lambda x, at, common: _nonzero(x, at, common)


def lowest(bits):
    """The number of the lowest bit that is set; 64 if none is."""
    return np.uint64((int(bits) & -int(bits)).bit_length() - 1 if bits else 64)


def without_lowest(bits):
    """`bits` without the lowest that is set."""
    return np.uint64(int(bits) & (int(bits) - 1))


@overload(without_lowest)
def _overload_without_lowest(bits):
    return lambda bits: bits & (bits - np.uint64(1))


def population(bits):
    """How many bits are set."""
    return np.uint64(int(bits).bit_count())


@intrinsic
def _lowest(typing_context, bits):
    def generate(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), generate


@overload(lowest)
def _overload_lowest(bits):
    return lambda bits: _lowest(bits)


@intrinsic
def _population(typing_context, bits):
    def generate(context, builder, signature, args):
        return builder.ctpop(args[0])

    return types.uint64(types.uint64), generate


@overload(population)
def _overload_population(bits):
    return lambda bits: _population(bits)


@intrinsic
def _mantissas(typing_context, x, at, out, to):
    signature = types.uint64(x, types.intp, out, types.intp)

    def generate(context, builder, signature, args):
        data = [_data(context, builder, signature.args[i], args[i]) for i in (0, 2)]
        floats, integers, small = (
            ir.VectorType(kind, WIDTH) for kind in (ir.FloatType(), ir.IntType(32), ir.IntType(8))
        )
        value = builder.load(_vector_at(builder, data[0], args[1], floats), align=4)
        value = builder.fmul(value, ir.Constant(floats, [32.0] * WIDTH))
        inside = builder.and_(
            builder.fcmp_ordered(">=", value, ir.Constant(floats, [-128.0] * WIDTH)),
            builder.fcmp_ordered("<=", value, ir.Constant(floats, [127.0] * WIDTH)),
        )
        # what would not fit an integer must not be made one
        kept = builder.select(inside, value, ir.Constant(floats, None))
        whole = builder.fptosi(kept, integers)
        beyond = builder.fcmp_unordered("!=", builder.sitofp(whole, floats), value)
        biased = builder.trunc(builder.add(whole, _constant(integers, BIAS)), small)
        builder.store(biased, _vector_at(builder, data[1], args[3], small), align=1)
        return builder.bitcast(beyond, _INTP)

    return signature, generate


@overload(mantissas)
def _overload_mantissas(x, at, out, to):
    return lambda x, at, out, to: _mantissas(x, at, out, to)


@intrinsic
def _turn(typing_context, table, at, row, out, to, line):
    signature = types.void(table, *[types.intp] * 2, out, *[types.intp] * 2)

    def generate(context, builder, signature, args):
        source, target = (
            builder.gep(_data(context, builder, signature.args[i], args[i]), [args[i + 1]]) for i in (0, 3)
        )
        item = source.type.pointee
        kind = ir.VectorType(item, SIDE)
        align = 1 if isinstance(item, ir.IntType) else 4
        numbers = [ir.Constant(_INTP, i) for i in range(SIDE)]
        given = [_vector_at(builder, source, builder.mul(args[2], number), kind) for number in numbers]
        rows = [builder.load(place, align=align) for place in given]
        half = SIDE // 2
        # as a deck is shuffled perfectly: once for each bit of a position, and rows have become columns
        lanes = [[lane for i in range(first, first + half) for lane in (i, i + SIDE)] for first in (0, half)]
        masks = [ir.Constant(ir.VectorType(ir.IntType(32), SIDE), part) for part in lanes]
        for _ in range(SIDE.bit_length() - 1):
            rows = [builder.shuffle_vector(rows[i], rows[i + half], mask) for i in range(half) for mask in masks]
        for turned, number in zip(rows, numbers, strict=True):
            place = _vector_at(builder, target, builder.mul(args[5], number), kind)
            builder.store(turned, place, align=align)
        return context.get_dummy_value()

    return signature, generate


@overload(turn)
def _overload_turn(table, at, row, out, to, line):
    return lambda table, at, row, out, to, line: _turn(table, at, row, out, to, line)
