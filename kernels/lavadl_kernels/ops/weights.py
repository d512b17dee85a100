"""Preparation of weights for a synapse: weight normalisation and rounding to a grid, in one pass over memory.

A weight is the product of lengths and directions.  With rows v[o] of directions, and lengths g[o]::

    norm[o] = sqrt(sum over i of v[o, i]^2)
    w[o, i] = v[o, i] * (g[o] / norm[o])
    q[o, i] = clip(round(w[o, i] / step) * step, low, high)

Arithmetic is float32, with every operation rounded separately; ties go to even, and NaN stays NaN.  A plain weight, not
split into length and direction, is used as w itself.  The order in which `norms` adds the squares is fixed: eight
partial sums of every eighth square each, whose second half is then repeatedly added to the first.

The gradient dw with respect to w is that with respect to q where the nearest multiple is within the bounds, and 0
elsewhere.  With the sums s[o] = sum over i of dw[o, i] v[o, i]::

    dg[o] = s[o] / norm[o]
    dv[o, i] = (g[o] / norm[o]) * (dw[o, i] - v[o, i] * s[o] / norm[o]^2)
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types

from lavadl_kernels.runtime.array_types import Array
from lavadl_kernels.runtime.buffers import empty_like
from lavadl_kernels.runtime.extending import instructions, intrinsic
from lavadl_kernels.runtime.jit import kernel, prefer_512_bit, scalar
from lavadl_kernels.runtime.simd import _pointers, _summing, _vector_at

LANES = 8  #: partial sums of the squares of a row
#: Rows whose squares are summed together: while one sum waits for its last addition, the adder works on the others.
ROWS = 8


class Grid(NamedTuple):
    """A grid of multiples of a step between two bounds, in the form that kernels take; numbers are float32."""

    inverse: Any  #: 1 / step
    step: Any  #: a power of two
    low: Any
    high: Any
    #: int32, the float32 bits of the smaller of the two bounds' magnitudes: no smaller magnitude exceeds either bound
    sure: Any

    @classmethod
    def of(cls, step: float, low: float, high: float) -> Grid:
        """The grid from `low` to `high`, between which 0 lies, with the spacing `step`, a power of two."""
        sure = np.float32(min(-low, high)).view(np.int32)
        return cls(np.float32(1 / step), np.float32(step), np.float32(low), np.float32(high), sure)


class Rows(NamedTuple):
    """A weight before it is rounded.

    Either `length` and `norm` both have a value for each row, or both are empty; `v` is then the weight itself.
    """

    v: Array  #: (O, I) float32, C-contiguous
    length: Array  #: (O,) float32, or (0,)
    norm: Array  #: (O,) float32 norms of the rows of `v`, or (0,)

    @classmethod
    def plain(cls, v: Array) -> Rows:
        """A plain weight (O, I), which is not split into length and direction."""
        return cls(v, NONE, NONE)


NONE = np.zeros(0, np.float32)


def norms(v: Array) -> Array:
    """Compute the Euclidean norms of rows.

    Parameters
    ----------
    v : ndarray
        (O, I) float32, C-contiguous, with at least `LANES` columns.

    Returns
    -------
    ndarray
        (O,) float32.

    Examples
    --------
    >>> norms(np.full((1, 16), 2, np.float32)).tolist()
    [8.0]
    """
    out = np.empty(len(v), np.float32)
    _norms(len(v), v, out)
    return out


def quantised(rows: Rows, grid: Grid, known: bool = True) -> tuple[Array, bool]:
    """Round a weight to its grid, and tell whether all nearest multiples are within the bounds.

    Parameters
    ----------
    rows : Rows
        The weight; its norms are computed as in `norms` and overwritten, unless they are `known`.
    grid : Grid
        The grid.
    known : bool
        Whether ``rows.norm`` already holds the norms.

    Returns
    -------
    q : ndarray
        (O, I) float32.
    inside : bool
        Whether all nearest multiples are within the bounds; False also if there is a NaN.

    Examples
    --------
    >>> quantised(Rows.plain(np.array([[0.3, 9]], np.float32)), Grid.of(0.25, -1, 1))
    (array([[0.25, 1.  ]], dtype=float32), False)
    """
    q = empty_like(rows.v)
    return q, _quantise(len(q), rows, grid, known, q, q.view(np.int32))


def equals(rows: Rows, grid: Grid, known: bool, q: Array) -> bool:
    """Tell whether `quantised` gives exactly the bits of `q`, (O, I) float32; `rows` and `known` as in `quantised`."""
    return _compare(len(q), rows, grid, known, q.view(np.int32))


def backward(rows: Rows, grid: Grid, inside: bool, grad: Array, out: Array) -> Array:
    """Compute the gradients with respect to the directions, or to a plain weight, and with respect to the lengths.

    Parameters
    ----------
    rows, grid, inside
        Arguments and result of `quantised`, including the norms.
    grad : ndarray
        (O, I) float32, the gradient with respect to the rounded weight.
    out : ndarray
        (O, I) float32, written: the gradient with respect to ``rows.v``; may be `grad`.

    Returns
    -------
    ndarray
        (O,) float32, the gradient with respect to ``rows.length``, or (0,).
    """
    to_length = np.empty_like(rows.length)
    _backward(len(grad), rows, grid, inside, grad is not out, grad, out, to_length)
    return to_length


def _product_sums(a: Array, b: Array, at: int, row: int, length: int, out: Array, to: int) -> None:
    """Write `LANES` partial sums of products for each of `ROWS` rows to out[to : to + ROWS * LANES].

    Each partial sum adds every `LANES`-th product of a row.  Row r of `a` (S,) and `b` (S,) begins at ``at + r * row``;
    `length`, a multiple of `LANES`, is the number of entries of a row that are used.
    """
    for r in range(ROWS):
        total = np.zeros(LANES, np.float32)
        for k in range(at + r * row, at + r * row + length, LANES):
            total += a[k : k + LANES] * b[k : k + LANES]
        out[to + r * LANES : to + (r + 1) * LANES] = total


@intrinsic
def _product_sum_vectors(typing_context: Any, a: Any, b: Any, at: Any, row: Any, length: Any, out: Any, to: Any) -> Any:
    word = ir.IntType(64)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        kind = ir.VectorType(ir.FloatType(), LANES)
        left, right, result = _pointers(context, builder, signature, args, 0, 1, 5)
        _, _, at, row, length, _, to = args
        starts = [builder.add(at, builder.mul(row, ir.Constant(word, number))) for number in range(ROWS)]
        pairs = [(builder.gep(left, [start]), builder.gep(right, [start])) for start in starts]
        groups = builder.sdiv(length, ir.Constant(word, LANES))
        with _summing(builder, ir.Constant(word, 0), groups, kind, ROWS) as (k, sums):
            body = builder.basic_block
            offset = builder.mul(k, ir.Constant(word, LANES))
            for pair, total in zip(pairs, sums, strict=True):
                x, y = (builder.load(_vector_at(builder, start, offset, kind), align=4) for start in pair)
                total.add_incoming(builder.fadd(total, builder.fmul(x, y)), body)
        for number, total in enumerate(sums):
            place = builder.add(to, ir.Constant(word, number * LANES))
            address = _vector_at(builder, result, place, kind)
            builder.store(total, address, align=4)
        return context.get_dummy_value()

    return types.void(a, b, types.intp, types.intp, types.intp, out, types.intp), generate


@instructions(_product_sums)
def _overload_product_sums(a: Any, b: Any, at: Any, row: Any, length: Any, out: Any, to: Any) -> Any:
    return lambda a, b, at, row, length, out, to: _product_sum_vectors(a, b, at, row, length, out, to)


@scalar
def _row_products(a: Array, b: Array, begin: int, end: int, lanes: Array) -> None:
    """Write the dot products of rows `begin` to `end` of `a` and `b` (O, I) to every `LANES`-th entry of `lanes`.

    There are at most `ROWS` rows.
    """
    width = a.shape[1]
    whole, left, right = width - width % LANES, a.reshape(-1), b.reshape(-1)
    if end - begin == ROWS:
        _product_sums(left, right, begin * width, width, whole, lanes, 0)
    for row in range(begin, end):
        at = (row - begin) * LANES
        if end - begin < ROWS:
            _product_sums(left, right, row * width, 0, whole, lanes, at)  # computes the same row `ROWS` times
        for k in range(width - whole):
            place = row * width + whole + k
            lanes[at + k] += left[place] * right[place]
        half = LANES // 2
        while half:
            for k in range(half):
                lanes[at + k] += lanes[at + k + half]
            half //= 2


@kernel
def _norms(begin: int, end: int, v: Array, out: Array) -> None:
    lanes = np.empty(2 * ROWS * LANES, np.float32)
    for lo in range(begin, end, ROWS):
        _norms_of(v, lo, min(lo + ROWS, end), lanes, out)


@scalar
def _norms_of(v: Array, begin: int, end: int, lanes: Array, out: Array) -> None:
    """Write the norms of the rows from `begin` to `end`, at most `ROWS` of them."""
    _row_products(v, v, begin, end, lanes)
    for row in range(begin, end):
        out[row] = np.sqrt(lanes[(row - begin) * LANES])


@kernel
def _quantise(begin: int, end: int, rows: Rows, grid: Grid, known: bool, q: Array, bits: Array) -> bool:
    prefer_512_bit()
    lanes = np.empty(2 * ROWS * LANES, np.float32)
    inside = True
    for lo in range(begin, end, ROWS):
        hi = min(lo + ROWS, end)
        if not known:
            _norms_of(rows.v, lo, hi, lanes, rows.norm)
        for row in range(lo, hi):
            _round_row(rows.v[row], _factor(rows, row), grid, q[row])
            if _beyond(bits[row], grid):
                inside &= _clip_row(grid, q[row])
    return inside


@kernel
def _compare(begin: int, end: int, rows: Rows, grid: Grid, known: bool, bits: Array) -> bool:
    prefer_512_bit()
    lanes = np.empty(2 * ROWS * LANES, np.float32)
    scratch = np.empty(rows.v.shape[1], np.float32)
    found = scratch.view(np.int32)
    for lo in range(begin, end, ROWS):
        hi = min(lo + ROWS, end)
        if not known:
            _norms_of(rows.v, lo, hi, lanes, rows.norm)
        for row in range(lo, hi):
            _round_row(rows.v[row], _factor(rows, row), grid, scratch)
            if _beyond(found, grid):
                _clip_row(grid, scratch)
            if _differs(found, bits[row]):
                return False
    return True


@scalar
def _factor(rows: Rows, row: int) -> Any:
    """The factor of all entries of a row: g[o] / norm[o], or 1 for a plain weight."""
    return rows.length[row] / rows.norm[row] if rows.length.size else np.float32(1)


@scalar
def _round_row(x: Array, factor: Any, grid: Grid, out: Array) -> None:
    """Write the nearest multiples of the step."""
    for i in range(x.size):
        out[i] = np.rint(x[i] * factor * grid.inverse) * grid.step


@scalar
def _beyond(bits: Array, grid: Grid) -> bool:
    """Tell whether a value is NaN or larger in magnitude than the smaller bound, so that each value has to be checked.

    `bits` (I,) int32 are the bit patterns of the values: a maximum of integers vectorises, while one of floats would
    not, and the bits of NaN are larger than those of any number.
    """
    largest = np.int32(0)
    for i in range(bits.size):
        largest = max(largest, bits[i] & np.int32(0x7FFFFFFF))
    return bool(largest > grid.sure)


@scalar
def _clip_row(grid: Grid, out: Array) -> bool:
    """Clip values to the bounds; tell whether all were within them (NaN counts as outside)."""
    inside = True
    for i in range(out.size):
        value = out[i]
        inside &= grid.low <= value <= grid.high
        value = grid.low if value < grid.low else value
        out[i] = grid.high if value > grid.high else value
    return inside


@scalar
def _differs(a: Array, b: Array) -> bool:
    different = np.int32(0)
    for i in range(a.size):
        different |= a[i] ^ b[i]
    return bool(different != 0)


@kernel
def _backward(
    begin: int, end: int, rows: Rows, grid: Grid, inside: bool, apart: bool, grad: Array, out: Array, to_length: Array
) -> None:
    prefer_512_bit()
    lanes = np.empty(2 * ROWS * LANES, np.float32)
    for lo in range(begin, end, ROWS):
        hi = min(lo + ROWS, end)
        for row in range(lo, hi):
            # All that follows works in place: a loop over two arrays that may be the same one does not take its
            # vectorised path if they are.
            if apart:
                _copy(grad[row], out[row])
            if not inside:
                _stop_outside(rows.v[row], _factor(rows, row), grid, out[row])
        if rows.length.size:
            _row_products(rows.v, out, lo, hi, lanes)
            for row in range(lo, hi):
                along, norm = lanes[(row - lo) * LANES], rows.norm[row]
                to_length[row] = along / norm
                _keep_across(rows.v[row], _factor(rows, row), along / (norm * norm), out[row])


@scalar
def _copy(x: Array, out: Array) -> None:
    for i in range(x.size):
        out[i] = x[i]


@scalar
def _stop_outside(x: Array, factor: Any, grid: Grid, grad: Array) -> None:
    """Set the gradient to 0 where the nearest multiple is beyond the bounds."""
    for i in range(x.size):
        value = np.rint(x[i] * factor * grid.inverse) * grid.step
        grad[i] = grad[i] if grid.low <= value <= grid.high else np.float32(0)


@scalar
def _keep_across(v: Array, factor: Any, along: Any, grad: Array) -> None:
    """Keep the part of the gradient that is not along `v`."""
    for i in range(v.size):
        grad[i] = factor * (grad[i] - v[i] * along)
