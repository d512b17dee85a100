"""Event-driven convolutions: the work is proportional to the number of non-zero entries of the frames.

    z[f, oy, ox] = sum over the events (f, h, w, c) of value * weight[:, c, ky, kx]
    g_weight[:, c, ky, kx] = sum over the events (f, h, w, c) of value * g[f, oy, ox]

where ``h = oy * stride - padding + ky * dilation``, and likewise for w.  Frames are (F, H, W, C), with channels
innermost.  `of_frames` lists each of their events once.  For each output pixel, `forward` concatenates the event lists
of the pixels in its window and sums the rows of weights that these events select.

For `weight_gradient`, `by_channel` lists the events by tile, phase and channel.  The phase of a pixel is (h, w) modulo
the stride.  Events of one phase and channel are multiplied with the same weights, and each of these weights connects
them to output pixels at a fixed offset.  One list therefore serves all weights of a channel; for each weight it is read
with a different starting row in a tile of the gradient.  A tile has a margin of zeros for offsets that lead out of the
frame.

Sums are computed as in `ops.events`: as integers over bytes if weights are 8-bit and all events have the same value,
else in float32 in an order that depends only on the events.  The number of threads does not change the result.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from lavadl_kernels.ops import events
from lavadl_kernels.ops.events import LIMIT, MANTISSA, Lists
from lavadl_kernels.runtime.array_types import Array
from lavadl_kernels.runtime.buffers import empty
from lavadl_kernels.runtime.jit import kernel, scalar
from lavadl_kernels.runtime.simd import BIAS, BYTE_ROWS, SIDE, WIDTH, add_rows, add_weighted_rows, transpose_square

#: The largest number of rows in a tile of the gradient: at 256 bytes per row, they fit the L2 cache beside the sums.
CHUNK = 1024
TILES = 1 << 24  #: bytes of tiles that are written at a time, so that they stay in the last-level cache
EXACT = 1 << 24  #: float32 represents every integer up to this one exactly
FINEST = 30  #: the largest number of binary places that `grain` looks for


class Geometry(NamedTuple):
    """The sizes and parameters of a convolution, for both axes: y is height, x is width."""

    height: int
    width: int
    channels: int
    out_height: int
    out_width: int
    kernel_y: int
    kernel_x: int
    stride_y: int
    stride_x: int
    padding_y: int
    padding_x: int
    dilation_y: int
    dilation_x: int

    @property
    def inputs(self) -> int:
        """The number of weights of one output channel."""
        return self.kernel_y * self.kernel_x * self.channels


class FrameEvents(NamedTuple):
    """The non-zero entries of frames."""

    shape: tuple[int, int, int, int]  #: (F, H, W, C)
    common: float  #: the value of all events, if they all have the same value
    row: Array  #: (F * H + 1,) int32: the start of the list of each row of each frame
    place: Array  #: (F * H * W + 1,) int32: the start of the list of each pixel
    entry: Array  #: (events,) uint16: w * C + c
    value: Array  #: (events,) float32, or (0,) if all events have the same value

    @property
    def density(self) -> float:
        """The fraction of the entries that are not zero."""
        f, h, w, c = self.shape
        return self.entry.size / max(f * h * w * c, 1)


def geometry(
    frame: tuple[int, int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> Geometry:
    """The `Geometry` of a convolution of frames (H, W, C); pairs are (height, width)."""
    out_height, out_width = (
        (size + 2 * pad - far * (taps - 1) - 1) // step + 1
        for size, taps, step, pad, far in zip(frame[:2], kernel, stride, padding, dilation, strict=True)
    )
    return Geometry(*frame, out_height, out_width, *kernel, *stride, *padding, *dilation)


def fits(frames: int, g: Geometry) -> bool:
    """Tell whether the index types suffice.

    The indices of weights, of the entries of a row, and of the rows of a tile must fit 16 bits, and the starts of lists
    32 bits.
    """
    small = max(g.width * g.channels, g.inputs, _tiling(g).smallest) <= LIMIT
    return small and frames * g.height * g.width * g.channels < 2**31 and min(g.out_height, g.out_width) > 0


def of_frames(x: Array) -> FrameEvents:
    """List the events of frames.

    Parameters
    ----------
    x : ndarray
        (F, H, W, C) float32, contiguous.

    Returns
    -------
    FrameEvents

    Examples
    --------
    >>> x = np.array([0, 2, 2, 0, 0, 2], np.float32).reshape(1, 1, 3, 2)
    >>> found = of_frames(x)
    >>> found.common, found.entry.tolist(), found.place.tolist()
    (2.0, [1, 2, 5], [0, 1, 2, 3])
    """
    f, h, w, c = x.shape
    found = events.of_rows(x.reshape(f * h, w * c), backward=False)
    assert found.by_row is not None
    row, entry, value = found.by_row
    row = row[: f * h + 1]
    place = empty(f * h * w + 1, np.int32)
    place[-1] = entry.size
    _places(f * h, row, entry, w, c, place)
    return FrameEvents((f, h, w, c), found.common, row, place, entry, value)


def dense(found: FrameEvents) -> Array:
    """Restore the frames (F, H, W, C) float32 from their events."""
    f, h, w, c = found.shape
    x = np.zeros((f * h, w * c), np.float32)
    line = np.repeat(np.arange(f * h), np.diff(found.row))
    x[line, found.entry] = found.value if found.value.size else found.common
    return x.reshape(found.shape)


def grain(found: FrameEvents) -> tuple[float, float]:
    """The largest magnitude of the values, and the largest power of 2, up to 1, of which all values are multiples.

    Both are 0 if a value is not finite or needs more than `FINEST` binary places.
    """
    out = np.zeros(2, np.float32)
    value = found.value if found.value.size else np.full(1, found.common, np.float32)
    good = _grain.compiled(0, value.size, value, out)
    return float(out[0]), 2.0 ** -float(out[1]) if good else 0.0


def forward(found: FrameEvents, g: Geometry, packed: Array, outputs: int, most: int = 1 << 30) -> Array | None:
    """Weighted sums of all events.

    Parameters
    ----------
    found : FrameEvents
    g : Geometry
    packed : ndarray
        (S,) weights from `events.table` of a weight (O, kh * kw * C).
    outputs : int
        O.
    most : int
        The largest number of events that a window may have.

    Returns
    -------
    ndarray or None
        (F, H', W', O) float32, units of 1; None if a window has more than `most` events.
    """
    z = empty((found.shape[0], g.out_height, g.out_width, outputs))
    small = packed.dtype == np.uint8
    scale = np.float32(found.common / MANTISSA if small else found.common)
    value = None
    if found.value.size:
        value = found.value
        if small:
            packed = packed.astype(np.float32)
            packed -= np.float32(BIAS)
            packed *= np.float32(1 / MANTISSA)
    lines = found.shape[0] * g.out_height
    good = _forward(lines, g, found.place, found.entry, value, packed, scale, most, z, align=1)
    return z if good else None


class _Tiling(NamedTuple):
    """The division of the gradient into tiles.

    The input pixel (h, w) has the coarse position (h // stride, w // stride); the output pixels that it contributes to
    lie near this position.
    """

    rows: int  #: coarse rows of a frame
    columns: int  #: coarse columns of a frame
    least_y: int  #: the smallest offset of an output pixel from the coarse position, in rows
    least_x: int  #: the smallest offset in columns
    margin_y: int  #: the largest offset minus the smallest, in rows
    margin_x: int  #: the largest offset minus the smallest, in columns
    band: int  #: coarse rows of a tile
    together: int  #: frames of a tile
    start: Array  #: (phases + 1,) int32: the first tap of each phase
    tap: Array  #: (taps,) int32: the position in the kernel, ky * kw + kx
    base: Array  #: (taps,) int32: the row of a tile that belongs to the first coarse position

    @property
    def line(self) -> int:
        """The number of columns of a tile."""
        return self.columns + self.margin_x

    @property
    def smallest(self) -> int:
        """The number of rows of the smallest tile, which holds one coarse row of one frame."""
        return self.line * (1 + self.margin_y)

    @property
    def size(self) -> int:
        """The number of rows of a tile: one for each of its pixels."""
        return self.together * (self.band + self.margin_y) * self.line


@lru_cache(maxsize=256)
def _tiling(g: Geometry) -> _Tiling:
    def taps(taps: int, step: int, pad: int, far: int) -> list[list[tuple[int, int]]]:
        """List for each phase the positions in the kernel, and the offset of the output from the coarse position."""
        return [
            [(k, (a + pad - k * far) // step) for k in range(taps) if (a + pad - k * far) % step == 0]
            for a in range(step)
        ]

    y = taps(g.kernel_y, g.stride_y, g.padding_y, g.dilation_y)
    x = taps(g.kernel_x, g.stride_x, g.padding_x, g.dilation_x)
    (least_y, most_y), (least_x, most_x) = [
        (min(far), max(far)) for far in ([d for phase in axis for _, d in phase] for axis in (y, x))
    ]
    rows, columns = -(-g.height // g.stride_y), -(-g.width // g.stride_x)
    margin_y, margin_x = most_y - least_y, most_x - least_x
    line = columns + margin_x
    band = max(1, min(rows, CHUNK // line - margin_y))
    together = max(1, CHUNK // ((band + margin_y) * line)) if band == rows else 1
    start, tap, base = [0], [], []
    for of_y in y:
        for of_x in x:
            tap += [ky * g.kernel_x + kx for ky, _ in of_y for kx, _ in of_x]
            base += [(dy - least_y) * line + dx - least_x for _, dy in of_y for _, dx in of_x]
            start.append(len(tap))
    arrays = [np.array(part, np.int32) for part in (start, tap, base)]
    return _Tiling(rows, columns, least_y, least_x, margin_y, margin_x, band, together, *arrays)


def by_channel(found: FrameEvents, g: Geometry) -> Lists | None:
    """List the same events by tile, phase and channel for `weight_gradient`; None if a value is not finite.

    The product of such a value with a zero in the margin of a tile would not be 0.
    """
    t = _tiling(g)
    frames = found.shape[0]
    chunks = -(-frames // t.together) * -(-t.rows // t.band)
    lines = g.stride_y * g.stride_x * g.channels
    start = np.zeros(chunks * lines + 1, np.int32)
    lists = Lists(start, empty(found.entry.size, np.uint16), empty(found.value.size))
    good = _sort(chunks, g, t[:8], frames, found.row, found.entry, found.value, *lists, align=1)
    return lists if good and np.isfinite(found.common) else None


def weight_gradient(lists: Lists, common: float, g: Geometry, grad: Array) -> Array | None:
    """The gradient of the weights.

    Parameters
    ----------
    lists : Lists
        From `by_channel`.
    common : float
        The value of all events, if `lists` has none.
    g : Geometry
    grad : ndarray
        (F, H', W', O) float32, contiguous, the gradient of the weighted sums.

    Returns
    -------
    ndarray or None
        (O, C, kh, kw) float32; None if an entry of `grad` is not finite, because its product with an input of 0 would
        not be 0.
    """
    t, outputs = _tiling(g), grad.shape[-1]
    blocks, bands = -(-outputs // WIDTH), -(-t.rows // t.band)
    chunks = -(-len(grad) // t.together) * bands
    sums = empty((blocks, g.inputs * WIDTH))
    at_once = max(1, min(chunks, TILES // (blocks * t.size * WIDTH * 4)))
    tiles = empty((at_once, blocks, t.size * WIDTH))
    value = lists.value if lists.value.size else None
    for lo in range(0, chunks, at_once):
        hi = min(lo + at_once, chunks)
        if not _tiles(hi - lo, g, t[:8], lo, grad, tiles, align=1):
            return None
        where = (lo, hi, g.channels, g.stride_y * g.stride_x)
        _add(blocks * g.channels, where, t[8:], lists.start, lists.entry, value, tiles, sums, align=1)
    if chunks == 0:
        sums[:] = 0
    result = empty((outputs, g.channels, g.kernel_y, g.kernel_x))
    _unpack(g.channels, sums, np.float32(common), result.reshape(outputs, g.channels, -1), align=SIDE)
    return result


@scalar
def _reciprocal(channels: int) -> Any:
    """The factor with which `_column` replaces its division by a multiplication and a shift."""
    return (np.uint64(1) << np.uint64(32)) // np.uint64(channels) + np.uint64(1)


@scalar
def _column(entry: Any, reciprocal: Any) -> Any:
    """``entry // channels``, for entries below 2**16."""
    return np.int64((np.uint64(entry) * reciprocal) >> np.uint64(32))


@kernel
def _places(begin: int, end: int, row: Array, entry: Array, width: int, channels: int, place: Array) -> None:
    """Write the starts of the lists of the pixels of each row."""
    reciprocal = _reciprocal(channels)
    count = np.empty(width + 1, np.int32)
    for line in range(begin, end):
        count[:] = 0
        for k in range(row[line], row[line + 1]):
            count[_column(entry[k], reciprocal)] += 1
        at = row[line]
        for w in range(width):
            place[line * width + w] = at
            at += count[w]


@kernel
def _grain(begin: int, end: int, value: Array, out: Array) -> bool:
    """Write the largest magnitude and the number of binary places of the values.

    The result is False if a value is not finite or has more than `FINEST` binary places.
    """
    largest, places, scale = np.float32(0), 0, np.float32(1)
    for k in range(begin, end):
        size = abs(value[k])
        if not size < np.float32(np.inf):
            return False
        largest = max(largest, size)
        while size * scale != np.floor(size * scale):
            if places == FINEST:
                return False
            places += 1
            scale *= np.float32(2)
    out[0], out[1] = largest, places
    return True


@scalar
def _windows(
    g: Any, place: Array, entry: Array, value: Array | None, line: int, to: Array, factor: Array, ends: Array
) -> None:
    """List the weight numbers of the events in each window of an output row, and write the end of each window's list.

    One call lists all windows of the row, because a call takes as long as listing a window with few events.
    """
    f, y = line // g.out_height, line % g.out_height * g.stride_y - g.padding_y
    at: Any = 0
    for ox in range(g.out_width):
        x = ox * g.stride_x - g.padding_x
        for ky in range(g.kernel_y):
            h = y + ky * g.dilation_y
            if 0 <= h < g.height:
                row = (f * g.height + h) * g.width
                # The lists of adjacent pixels are contiguous, so that one loop copies them all.
                beside = g.kernel_x if g.dilation_x == 1 else 1
                for kx in range(0, g.kernel_x, beside):
                    w = x + kx * g.dilation_x
                    lo, hi = max(w, 0), min(w + beside, g.width)
                    if lo < hi:
                        offset = (ky * g.kernel_x + kx - w) * g.channels
                        first = np.int64(place[row + lo])
                        count = np.int64(place[row + hi]) - first
                        for k in range(count):
                            to[at + k] = np.int64(entry[first + k]) + offset
                            if value is not None:
                                factor[at + k] = value[first + k]
                        at += count
        ends[ox + 1] = at


@kernel
def _forward(
    begin: int,
    end: int,
    g: Any,
    place: Array,
    entry: Array,
    value: Array | None,
    packed: Array,
    scale: Any,
    most: int,
    z: Array,
) -> bool:
    """Write the sums of rows of the output; `value` is None if all events have the same value."""
    outputs = z.shape[3]
    inputs = g.kernel_y * g.kernel_x * g.channels
    flat, edge = z.reshape(-1), np.empty(WIDTH, np.float32)
    listed = np.empty(g.out_width * inputs, np.uint16)
    factor = np.empty(0 if value is None else listed.size, np.float32)
    ends = np.zeros(g.out_width + 1, np.int64)
    for line in range(begin, end):
        _windows(g, place, entry, value, line, listed, factor, ends)
        for ox in range(g.out_width):
            if ends[ox + 1] - ends[ox] > most:
                return False
        for block in range(-(-outputs // WIDTH)):
            lo = block * WIDTH
            used = min(WIDTH, outputs - lo)
            base = lo * inputs
            for ox in range(g.out_width):
                to = (line * g.out_width + ox) * outputs + lo
                out, at = (flat, to) if used == WIDTH else (edge, 0)
                first, last = ends[ox], ends[ox + 1]
                if value is None:  # decided at compile time
                    fresh = True
                    while last - first > BYTE_ROWS:
                        add_rows(packed, base, listed, first, first + BYTE_ROWS, out, at, fresh, np.float32(1))
                        first += BYTE_ROWS
                        fresh = False
                    add_rows(packed, base, listed, first, last, out, at, fresh, scale)
                else:
                    add_weighted_rows(packed, base, listed, factor, first, last, out, at, True)
                if used < WIDTH:
                    for o in range(used):
                        flat[to + o] = edge[o]
    return True


@scalar
def _chunk(chunk: int, frames: int, rows: int, band: int, together: int) -> Any:
    """The ranges of frames and coarse rows of a tile: first frame, end of frames, first row, end of rows."""
    bands = -(-rows // band)
    group, part = chunk // bands, chunk % bands
    return group * together, min((group + 1) * together, frames), part * band, min((part + 1) * band, rows)


@kernel
def _sort(
    begin: int,
    end: int,
    g: Any,
    tiling: Any,
    frames: int,
    row: Array,
    entry: Array,
    value: Array,
    start_to: Array,
    entry_to: Array,
    value_to: Array,
) -> bool:
    """Sort the events of each tile by phase and channel, by a counting sort; return whether all values are finite."""
    good = True
    rows, columns, _, _, margin_y, margin_x, band, together = tiling
    reciprocal = _reciprocal(g.channels)
    lines = g.stride_y * g.stride_x * g.channels
    following = np.empty(lines, np.int64)
    # For each column: the first line of its phase, minus the part w * C of an entry w * C + c, so that adding the entry
    # gives the line.
    phase = np.empty(g.width, np.int64)
    for w in range(g.width):
        phase[w] = w % g.stride_x * g.channels - w * g.channels
    for chunk in range(begin, end):
        f_lo, f_hi, lo, hi = _chunk(chunk, frames, rows, band, together)
        h_lo, h_hi = lo * g.stride_y, min(hi * g.stride_y, g.height)
        following[:] = 0
        for f in range(f_lo, f_hi):
            for h in range(h_lo, h_hi):
                base = h % g.stride_y * g.stride_x * g.channels
                for k in range(row[f * g.height + h], row[f * g.height + h + 1]):
                    following[base + phase[_column(entry[k], reciprocal)] + entry[k]] += 1
        at = np.int64(row[f_lo * g.height + h_lo])
        for line in range(lines):
            count = following[line]
            following[line] = at
            at += count
            start_to[chunk * lines + line + 1] = at
        for f in range(f_lo, f_hi):
            for h in range(h_lo, h_hi):
                base = h % g.stride_y * g.stride_x * g.channels
                number = ((f - f_lo) * (hi - lo + margin_y) + h // g.stride_y - lo) * (columns + margin_x)
                for k in range(row[f * g.height + h], row[f * g.height + h + 1]):
                    w = _column(entry[k], reciprocal)
                    line = base + phase[w] + entry[k]
                    to = following[line]
                    following[line] = to + 1
                    entry_to[to] = number + w // g.stride_x
                    if value.size:
                        value_to[to] = value[k]
                        good &= abs(value[k]) < np.float32(np.inf)
    return good


@kernel
def _tiles(begin: int, end: int, g: Any, tiling: Any, first: int, grad: Array, tiles: Array) -> bool:
    """Write the tiles of the gradient from number `first` on, with their margins; return whether all are finite."""
    rows, columns, least_y, least_x, margin_y, margin_x, band, together = tiling
    frames, _, _, outputs = grad.shape
    beyond = np.int32(0)
    for number in range(begin, end):
        f_lo, f_hi, lo, hi = _chunk(first + number, frames, rows, band, together)
        for block in range(tiles.shape[1]):
            tile = tiles[number, block]
            low = block * WIDTH
            at = 0
            for f in range(f_lo, f_hi):
                for oy in range(lo + least_y, hi + least_y + margin_y):
                    for ox in range(least_x, columns + least_x + margin_x):
                        to = tile[at : at + WIDTH]
                        at += WIDTH
                        used = 0
                        if 0 <= oy < g.out_height and 0 <= ox < g.out_width:
                            source = grad[f, oy, ox, low : min(low + WIDTH, outputs)]
                            used = source.size
                            for o in range(used):
                                to[o] = source[o]
                                beyond |= np.int32(not (abs(source[o]) < np.float32(np.inf)))
                        for o in range(used, WIDTH):
                            to[o] = 0
    return bool(beyond == 0)


@kernel
def _add(
    begin: int,
    end: int,
    where: Any,
    taps: Any,
    start: Array,
    entry: Array,
    value: Array | None,
    tiles: Array,
    sums: Array,
) -> None:
    """Add the gradients of some tiles to the sums of each (block, channel).

    `value` is None if all events have the same value.
    """
    first_chunk, last_chunk, channels, phases = where
    tap_start, tap, tap_base = taps
    for block in range(begin // channels, -(-end // channels)):
        total = sums[block]
        lo, hi = max(begin - block * channels, 0), min(end - block * channels, channels)
        if first_chunk == 0:
            for number in range(tap.size):
                total[(tap[number] * channels + lo) * WIDTH : (tap[number] * channels + hi) * WIDTH] = 0
        for chunk in range(first_chunk, last_chunk):
            tile = tiles[chunk - first_chunk, block]
            for phase in range(phases):
                line = (chunk * phases + phase) * channels
                for c in range(lo, hi):
                    first, last = np.int64(start[line + c]), np.int64(start[line + c + 1])
                    if first < last:
                        for number in range(tap_start[phase], tap_start[phase + 1]):
                            at = (tap[number] * channels + c) * WIDTH
                            base: Any = np.int64(tap_base[number]) * WIDTH
                            if value is None:  # decided at compile time
                                add_rows(tile, base, entry, first, last, total, at, False, np.float32(1))
                            else:
                                add_weighted_rows(tile, base, entry, value, first, last, total, at, False)


@kernel
def _unpack(begin: int, end: int, sums: Array, scale: Any, result: Array) -> None:
    """Transpose the sums from rows of channels to rows of outputs, in squares that read and write whole cache lines."""
    outputs, channels, taps = result.shape
    square = np.empty(SIDE * SIDE, np.float32)
    rows = np.empty((SIDE, SIDE * taps), np.float32)
    for first in range(begin, end, SIDE):
        inside = min(SIDE, end - first)
        for low in range(0, outputs, SIDE):
            total, lane = sums[low // WIDTH], low % WIDTH
            used = min(SIDE, outputs - low)
            for k in range(taps):
                at = (k * channels + first) * WIDTH + lane
                if inside == SIDE:
                    transpose_square(total, at, WIDTH, square, 0, SIDE)
                else:
                    for c in range(inside):
                        for o in range(SIDE):
                            square[o * SIDE + c] = total[at + c * WIDTH + o]
                for o in range(used):
                    row = rows[o]
                    for c in range(SIDE):
                        row[c * taps + k] = square[o * SIDE + c] * scale
            for o in range(used):
                row, to = rows[o], result[low + o, first : first + inside].reshape(-1)
                for i in range(to.size):
                    to[i] = row[i]
