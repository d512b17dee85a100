"""Matrix products for gradients on the processor's matrix tiles, as accurate as products in float32.

    input_gradient:  g (R, K) @ w (K, N)
    weight_gradient: g' (O, R) @ x (R, I)

Tiles multiply bfloat16 numbers, which have 8 significant bits.  8-bit weights and spikes are exact in bfloat16.  A
float32 gradient is the sum of three bfloat16 numbers; it is split into these while it is copied into the order in which
tiles read it.  Products are exact and are summed in float32, in an order that depends only on the shapes, so the number
of threads does not change the result.

Tiles treat numbers below 2**-126 as zero, so gradients below about 2**-110 lose their last bits.  Gradients that are
not finite are refused.  On a processor without tiles the results are the same, but slow to compute.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from lavadl_kernels.runtime import amx
from lavadl_kernels.runtime.amx import LANES, ROWS, STATE, TILE, WORDS
from lavadl_kernels.runtime.array_types import Array
from lavadl_kernels.runtime.buffers import empty
from lavadl_kernels.runtime.extending import jitable
from lavadl_kernels.runtime.jit import kernel, kernel_using, prefer_512_bit, scalar
from lavadl_kernels.runtime.simd import transpose_square

SIDE = 32  #: rows and columns of a block of the result: four tiles of sums stay in registers
TERMS = 3  #: bfloat16 numbers whose sum is a float32 number: three times 8 significant bits, for its 24
LEFT = TERMS * 2 * TILE  #: words of a left strip for `WORDS` columns: for each term two tiles, one below the other
RIGHT = 2 * TILE  #: words of a right strip for `WORDS` rows: two tiles side by side
#: Rows of the operands, over which the weight gradient sums, that are processed at a time: the left operand of 512
#: outputs then takes 0.8 MB, and stays in the L2 cache while all blocks of columns read it.
PANEL = 256
LINE = 32  #: 16-bit words of a cache line

_LIMIT = np.uint32(0x7F000000)  # the bits of 2**127: this and larger magnitudes could round to infinity
_HALF = np.uint32(0x8000)
_UPPER = np.uint32(0xFFFF0000)
_LOWER = np.uint32(0xFFFF)
_MAGNITUDE = np.uint32(0x7FFFFFFF)


def packed(w: Array) -> Array | None:
    """Rearrange a right operand into the order in which tiles read it.

    Parameters
    ----------
    w : ndarray
        (K, N) float32, contiguous.

    Returns
    -------
    ndarray or None
        (N / 32, K / 32, RIGHT) uint16, with both quotients rounded up and zeros beyond `w`; None if a number is not
        exact in bfloat16.
    """
    depth, columns = w.shape
    result = empty((-(-columns // SIDE), -(-depth // WORDS), RIGHT), np.uint16)
    return result if _pack_right(len(result), w.view(np.uint32), result, align=1) else None


def input_gradient(g: Array, w: Array, right: Array | None = None) -> Array | None:
    """The product of a gradient and weights.

    Parameters
    ----------
    g : ndarray
        (R, K) float32, contiguous.
    w : ndarray
        (K, N) float32, contiguous, with numbers that are exact in bfloat16, as 8-bit weights are.
    right : ndarray, optional
        (N / 32, K / 32, RIGHT) uint16, `w` as `packed` returns it.

    Returns
    -------
    ndarray or None
        (R, N) float32; None if a number of `w` is not exact in bfloat16, or if one of `g` is not finite or reaches
        2**127 in magnitude.

    Examples
    --------
    >>> g, w = np.array([[1, 0.1]], np.float32), np.array([[2, 0], [-4, 1]], np.float32)
    >>> input_gradient(g, w).tolist() == (g @ w).tolist()
    True
    """
    right = packed(w) if right is None else right
    if right is None:
        return None
    out = empty((g.shape[0], w.shape[1]))
    strips = -(-g.shape[0] // SIDE)
    return out if _input_gradient(strips, g.view(np.uint32), right, out, align=1) else None


def weight_gradient(g: Array, x: Array) -> Array | None:
    """The product of a transposed gradient and spikes.

    Parameters
    ----------
    g : ndarray
        (R, O) float32, contiguous.
    x : ndarray
        (R, I) uint8, contiguous, integers up to 255.

    Returns
    -------
    ndarray or None
        (O, I) float32; None if a number of `g` is not finite or reaches 2**127 in magnitude.
    """
    (rows, outputs), inputs = g.shape, x.shape[1]
    panels, strips = -(-rows // PANEL), -(-outputs // SIDE)
    left = empty((panels, strips, PANEL // WORDS * LEFT), np.uint16)
    if not _pack_left(panels, g.view(np.uint32), left, align=1):
        return None
    out = empty((outputs, inputs))
    if rows == 0:
        out[:] = 0
    _weight_gradient(-(-inputs // SIDE), left, x, out, align=1)
    return out


@scalar
def split(words: Array, first: Array, second: Array, third: Array) -> Any:
    """Split each float32 number into three bfloat16 terms, the largest first.

    Parameters
    ----------
    words : ndarray
        (S,) uint32, the bits of float32 numbers.
    first, second, third : ndarray
        (S,) uint16, written: the bits of the terms.

    Returns
    -------
    uint32
        0 if all magnitudes are below 2**127.
    """
    prefer_512_bit()
    beyond = np.uint32(0)
    for i in range(words.size):
        word = words[i]
        beyond |= np.uint32((word & _MAGNITUDE) >= _LIMIT)
        high = np.uint32((word + _HALF) & _UPPER)
        rest = np.float32(np.uint32(word).view(np.float32) - np.uint32(high).view(np.float32)).view(np.uint32)
        middle = np.uint32((rest + _HALF) & _UPPER)
        last = np.float32(np.uint32(rest).view(np.float32) - np.uint32(middle).view(np.float32)).view(np.uint32)
        first[i] = high >> np.uint32(16)
        second[i] = middle >> np.uint32(16)
        third[i] = np.uint32(last + _HALF) >> np.uint32(16)
    return beyond


@scalar
def pack_strip(bits: Array, rows: Any, columns: Any, out: Array, line: Array) -> bool:
    """Split a strip of a left operand, up to `SIDE` rows; return whether all magnitudes are below 2**127.

    Parameters
    ----------
    bits : ndarray
        (rows * columns,) uint32, the bits of float32 numbers, row by row.
    rows, columns : int
        The size of the strip.
    out : ndarray
        (columns / WORDS, rounded up, * LEFT) uint16, written; zeros where a tile reaches beyond the strip.
    line : ndarray
        (WORDS,) uint32, scratch.
    """
    beyond = np.uint32(0)
    for r in range(-(-rows // ROWS) * ROWS):
        for block in range(-(-columns // WORDS)):
            used, at = min(WORDS, columns - block * WORDS), r * columns + block * WORDS
            first = block * LEFT + r * WORDS
            second, third = first + 2 * TILE, first + 4 * TILE
            terms = out[first : first + WORDS], out[second : second + WORDS], out[third : third + WORDS]
            if r < rows and used == WORDS:
                beyond |= split(bits[at : at + WORDS], *terms)
            else:
                for i in range(WORDS):
                    line[i] = bits[at + i] if r < rows and i < used else np.uint32(0)
                beyond |= split(line, *terms)
    return bool(beyond == 0)


@scalar
def _pack_columns(bits: Array, row: Any, rows: Any, columns: Any, out: Array, line: Array, square: Array) -> bool:
    """Do the same as `pack_strip` for a transposed matrix: up to `SIDE` columns become the rows of the strip.

    The rows of the matrix begin `row` entries apart in `bits`.  `square` is scratch, (TERMS, SIDE * WORDS) uint16.
    """
    beyond = np.uint32(0)
    for block in range(-(-rows // WORDS)):
        for k in range(WORDS):
            at, used = (block * WORDS + k) * row, columns if block * WORDS + k < rows else 0
            first = slice(k * SIDE, (k + 1) * SIDE)
            if used == SIDE:
                beyond |= split(bits[at : at + SIDE], square[0, first], square[1, first], square[2, first])
            else:
                for i in range(SIDE):
                    line[i] = bits[at + i] if i < used else np.uint32(0)
                beyond |= split(line, square[0, first], square[1, first], square[2, first])
        for term in range(TERMS):
            to = block * LEFT + term * 2 * TILE
            for k in range(0, WORDS, ROWS):
                for c in range(0, SIDE, ROWS):
                    transpose_square(square[term], k * SIDE + c, SIDE, out, to + c * WORDS + k, WORDS)
    return bool(beyond == 0)


@scalar
def multiply_strips(
    state: Array,
    left: Array,
    at: Any,
    right: Array,
    start: Any,
    blocks: Any,
    fresh: bool,
    tall: bool,
    out: Array,
    to: Any,
    row: Any,
) -> None:
    """Multiply a left and a right strip: compute a block of `SIDE` columns of the result.

    Parameters
    ----------
    state : ndarray
        (STATE,) float32, of tiles configured by `amx.configure`.
    left : ndarray
        (S,) uint16: the left strip, as `pack_strip` writes it, begins at left[at].
    at : int
        See `left`.
    right : ndarray
        (S,) uint16: the right strip begins at right[start].
    start : int
        See `right`.
    blocks : int
        The length of both strips, in blocks of `WORDS`.
    fresh : bool
        Whether to replace the block in `out` instead of adding to it.
    tall : bool
        Whether the block has `SIDE` rows instead of `ROWS`.
    out : ndarray
        (S,) float32: the block begins at out[to], with its rows `row` entries apart.
    to, row : int
        See `out`.
    """
    if fresh:
        amx.zero(state, 0)
        amx.zero(state, 1)
        amx.zero(state, 2)
        amx.zero(state, 3)
    else:
        amx.load(state, 0, out, to, row)
        amx.load(state, 1, out, to + LANES, row)
        if tall:
            amx.load(state, 2, out, to + ROWS * row, row)
            amx.load(state, 3, out, to + ROWS * row + LANES, row)
    for block in range(blocks):
        amx.load(state, 6, right, start + block * RIGHT, WORDS)
        amx.load(state, 7, right, start + block * RIGHT + TILE, WORDS)
        for term in range(TERMS):
            first = at + block * LEFT + term * 2 * TILE
            amx.load(state, 4, left, first, WORDS)
            amx.multiply(state, 0, 4, 6)
            amx.multiply(state, 1, 4, 7)
            if tall:
                amx.load(state, 5, left, first + TILE, WORDS)
                amx.multiply(state, 2, 5, 6)
                amx.multiply(state, 3, 5, 7)
    amx.store(state, 0, out, to, row)
    amx.store(state, 1, out, to + LANES, row)
    if tall:
        amx.store(state, 2, out, to + ROWS * row, row)
        amx.store(state, 3, out, to + ROWS * row + LANES, row)


@scalar
def multiply_into(
    state: Array, left: Array, at: Any, right: Array, start: Any, blocks: Any, fresh: bool,
    out: Array, row: Any, column: Any, edge: Array,
) -> None:  # fmt: skip
    """Call `multiply_strips` for a block of `out` (R, N) float32 that may reach beyond its edge; `edge` is scratch."""
    rows, columns = min(SIDE, out.shape[0] - row), min(SIDE, out.shape[1] - column)
    flat, wide, tall = out.reshape(-1), out.shape[1], rows > ROWS
    if rows % ROWS == 0 and columns == SIDE:
        multiply_strips(state, left, at, right, start, blocks, fresh, tall, flat, row * wide + column, wide)
        return
    if not fresh:
        for r in range(rows):
            for c in range(columns):
                edge[r * SIDE + c] = out[row + r, column + c]
    multiply_strips(state, left, at, right, start, blocks, fresh, tall, edge, 0, SIDE)
    for r in range(rows):
        for c in range(columns):
            out[row + r, column + c] = edge[r * SIDE + c]


@scalar
def _skipped(words: Array) -> Any:
    """The number of 16-bit words before the first word that lies at the start of a cache line."""
    return -(words.ctypes.data // 2) % LINE


@kernel
def _pack_right(begin: int, end: int, w: Array, out: Array) -> bool:
    """Write strips of a right operand; return False if a number is not exact in bfloat16."""
    depth, columns = w.shape
    beyond = np.uint32(0)
    for strip in range(begin, end):
        for block in range(out.shape[1]):
            to = out[strip, block]
            for k in range(WORDS):
                row = block * WORDS + k
                for c in range(SIDE):
                    column = strip * SIDE + c
                    word = w[row, column] if row < depth and column < columns else np.uint32(0)
                    beyond |= word & _LOWER
                    to[c // LANES * TILE + k // 2 * WORDS + c % LANES * 2 + k % 2] = word >> np.uint32(16)
    return bool(beyond == 0)


class Room(NamedTuple):
    """The buffers of a product whose right operand has `depth` rows."""

    left: Array  #: (depth / WORDS, rounded up, * LEFT) uint16, aligned to a cache line
    edge: Array  #: (SIDE * SIDE,) float32
    line: Array  #: (WORDS,) uint32
    state: Array  #: (STATE,) float32


@jitable
def room(depth: int) -> Room:
    """Buffers for products with a right operand of `depth` rows; each thread needs its own."""
    left = np.empty(-(-depth // WORDS) * LEFT + LINE, np.uint16)
    edge, state = np.zeros(SIDE * SIDE, np.float32), np.empty(STATE, np.float32)
    return Room(left[_skipped(left) :], edge, np.zeros(WORDS, np.uint32), state)


@scalar
def add_product(bits: Array, depth: Any, right: Array, space: Room, fresh: bool, out: Array) -> bool:
    """Add a product to `out`, or write it there if `fresh`; return whether all magnitudes in `bits` are below 2**127.

    Parameters
    ----------
    bits : ndarray
        (R * depth,) uint32, the bits of float32 numbers: the left operand, row by row.
    depth : int
        The number of columns of the left operand.
    right : ndarray
        (N / 32, depth / 32, RIGHT) uint16, as `packed` returns it.
    space : Room
        Buffers for this depth.  The caller must have configured tiles in this thread.
    fresh : bool
        Whether to replace the values in `out` instead of adding to them.
    out : ndarray
        (R, N) float32, contiguous.
    """
    blocks = right.shape[1]
    size = right.shape[1] * right.shape[2]
    strips = right.reshape(-1)
    good = True
    for row in range(0, out.shape[0], SIDE):
        used = min(SIDE, out.shape[0] - row)
        good &= pack_strip(bits[row * depth : (row + used) * depth], used, depth, space.left, space.line)
        for column in range(0, out.shape[1], SIDE):
            start = column // SIDE * size
            multiply_into(space.state, space.left, 0, strips, start, blocks, fresh, out, row, column, space.edge)
    return good


@kernel_using(*amx.FEATURES)
def _input_gradient(begin: int, end: int, g: Array, right: Array, out: Array) -> bool:
    """Write strips of `SIDE` rows; return False if a number in them is too large."""
    rows, depth = g.shape
    space, first, last = room(depth), begin * SIDE, min(end * SIDE, rows)
    amx.configure(space.state)
    good = add_product(g.reshape(-1)[first * depth : last * depth], depth, right, space, True, out[first:last])
    amx.release()
    return bool(good)


@kernel
def _pack_left(begin: int, end: int, g: Array, out: Array) -> bool:
    """Write panels of a transposed left operand; return False if a number is too large."""
    rows, outputs = g.shape
    bits, line, square = g.reshape(-1), np.zeros(SIDE, np.uint32), np.empty((TERMS, SIDE * WORDS), np.uint16)
    good = True
    for panel in range(begin, end):
        row = panel * PANEL
        length = min(PANEL, rows - row)
        for strip in range(out.shape[1]):
            column = strip * SIDE
            part = bits[row * outputs + column : (row + length) * outputs]
            to = out[panel, strip]
            good &= _pack_columns(part, outputs, length, min(SIDE, outputs - column), to, line, square)
    return good


@scalar
def _pack_spikes(x: Array, row: Any, rows: Any, column: Any, out: Array) -> None:
    """Write a strip (rows, SIDE) of integers up to 255 as a right operand, with zeros beyond the end of `x`."""
    used = min(SIDE, x.shape[1] - column)
    out[: -(-rows // WORDS) * RIGHT] = 0
    for r in range(rows):
        base = r // WORDS * RIGHT + r % WORDS // 2 * WORDS + r % 2
        line = x[row + r, column : column + used]
        for c in range(used):
            word = np.float32(line[c]).view(np.uint32) >> np.uint32(16)
            out[base + c // LANES * TILE + c % LANES * 2] = word


@kernel_using(*amx.FEATURES)
def _weight_gradient(begin: int, end: int, left: Array, x: Array, out: Array) -> None:
    """Write the gradient in blocks of `SIDE` columns, panel by panel."""
    wide = np.empty(PANEL // WORDS * RIGHT + LINE, np.uint16)
    right = wide[_skipped(wide) :]
    edge, state = np.zeros(SIDE * SIDE, np.float32), np.empty(STATE, np.float32)
    words = left.reshape(-1)
    amx.configure(state)
    for panel in range(left.shape[0]):
        row = panel * PANEL
        length = min(PANEL, x.shape[0] - row)
        blocks = -(-length // WORDS)
        for block in range(begin, end):
            _pack_spikes(x, row, length, block * SIDE, right)
            for strip in range(left.shape[1]):
                at = (panel * left.shape[1] + strip) * left.shape[2]
                multiply_into(state, words, at, right, 0, blocks, panel == 0, out, strip * SIDE, block * SIDE, edge)
    amx.release()
