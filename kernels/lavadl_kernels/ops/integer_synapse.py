"""Event-driven integer synapses: weighted sums of the messages that are not zero.

Weights are integers in units of 1/64, inputs are integers (spikes of 0 or 1, or graded spikes), and sums are integers
in units of 1/64.  They are accumulated in 16 or 32 bits if a bound shows that these suffice, else in 64.  Integer sums
are exact in any order, and each sum is computed by a single thread.

Axes are T, C, H, W; convolution is cross-correlation, as is usual in deep learning.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from lavadl_kernels.runtime.array_types import Array
from lavadl_kernels.runtime.buffers import empty
from lavadl_kernels.runtime.jit import kernel, scalar

Pair = tuple[int, int]  #: height and width

SPAN = 2048  #: sums that a dense synapse accumulates at a time: 8 KB, which stay in the L1 cache
#: Sums that a convolution accumulates at a time: 128 KB, which stay in the L2 cache until they are transposed.
BAND = 1 << 15
STRETCH = 32  #: inputs that are tested together: most stretches hold no message
TILE = 16  #: pixels and channels that are transposed together

_SMALL = np.iinfo(np.int16)


def _magnitude(x: Array) -> int:
    return max(int(x.max(initial=0)), -int(x.min(initial=0)))


class _Types(NamedTuple):
    """The number types in which a synapse computes."""

    sums: type  #: the type of the sums that are returned
    weights: type
    added: type  #: the type in which sums are accumulated: no partial sum overflows it either


_WIDE = _Types(np.int64, np.int64, np.int64)


class Weights:
    """The weights of a dense synapse in the form that its kernel reads, prepared once for many calls of `dense`.

    Parameters
    ----------
    weight : ndarray
        (O, I) integers, in 1/64; copied.
    """

    def __init__(self, weight: Array) -> None:
        self._weight = np.array(weight, np.int64)
        self._heaviest = _magnitude(self._weight)
        self._turned = empty(self._weight.shape[::-1], np.int16 if self._heaviest <= _SMALL.max else np.int64)
        _turn(len(self._weight), self._weight, self._turned)
        self._reach: int | None = None

    def made_of(self, weight: Array) -> bool:
        """Tell whether this object was made from integers equal to `weight` (O, I), in 1/64."""
        return np.array_equal(self._weight, weight)

    def sums(self, x: Array, narrow: bool, late: int) -> Array:
        """Weighted sums (T, O) of integer messages `x` (T, I), in their own unit; see `dense`."""
        outputs, inputs = self._weight.shape
        types = _types(_magnitude(x), self._heaviest, inputs, self._exact_reach)
        rows = len(x)
        events = _events(_messages(x[: max(rows - late, 0)]), types.sums)
        z = empty((rows, outputs), types.sums)
        _dense(outputs, *events, self._turned.astype(types.weights, copy=False), min(late, rows), z)
        return z if narrow else z.astype(np.int64, copy=False)

    def _exact_reach(self) -> int:
        if self._reach is None:
            self._reach = _reach(self._weight, 1)
        return self._reach


def _reach(weight: Array, axes: int | tuple[int, ...]) -> int:
    """The largest magnitude of a sum of `weight` over `axes` for inputs of -1 to 1."""
    return int(np.abs(weight).sum(axis=axes, dtype=np.int64).max(initial=0))


def _types(largest: int, heaviest: int, terms: int, exact_reach: Callable[[], int]) -> _Types:
    """The narrowest types that are certain to hold sums of this many weights.

    Parameters
    ----------
    largest, heaviest : int
        The largest magnitudes of a message and of a weight.
    terms : int
        The number of weights in a sum.
    exact_reach : callable
        A function that returns `_reach` of the weights.  It is called only if the coarse bound, which is cheaper, does
        not suffice.
    """
    if largest >= 2**31 or heaviest > _SMALL.max:
        return _WIDE
    reach = largest * heaviest * terms
    if reach > _SMALL.max:
        reach = largest * exact_reach()
    if reach >= 2**31:
        return _WIDE
    return _Types(np.int32, np.int16, np.int16 if reach <= _SMALL.max else np.int32)


def _types_over(x: Array, weight: Array, axes: tuple[int, ...]) -> _Types:
    """The types for sums of `weight` over `axes`."""
    terms = int(np.prod([weight.shape[axis] for axis in axes]))
    return _types(_magnitude(x), _magnitude(weight), terms, lambda: _reach(weight, axes))


def _messages(x: Array) -> Array:
    """`x` as a C-contiguous array of one of the types that kernels are compiled for: uint8, int32 or int64."""
    kind = np.uint8 if x.dtype == np.bool_ else x.dtype
    return np.ascontiguousarray(x, kind if kind in (np.uint8, np.int32) else np.int64)


def dense(x: Array, weight: Array | Weights, narrow: bool = False, late: int = 0) -> Array:
    """Weighted sums of a dense synapse: z[t, o] = sum_i weight[o, i] x[t, i].

    Parameters
    ----------
    x : ndarray
        (T, I) integers, messages in their own unit.
    weight : ndarray or Weights
        (O, I) integers, in 1/64.
    narrow : bool
        Whether to return sums of 32 bits if all of them are certain to fit.
    late : int
        The number of rows by which sums are delayed: the first `late` rows are 0, and the last `late` rows of messages
        are ignored.

    Returns
    -------
    ndarray
        (T, O) int64, or int32 with `narrow`, in 1/64 of the messages' unit.

    Examples
    --------
    >>> dense(np.array([[1, 0, 1], [0, 0, 2]]), np.array([[64, 32, -64]])).tolist()
    [[0], [-128]]
    """
    made = weight if isinstance(weight, Weights) else Weights(weight)
    return made.sums(x, narrow, late)


class _Events(NamedTuple):
    """The non-zero messages of each row."""

    start: Array  #: (T + 1,) int64: the position of the first message of each row, and the end of the last row
    entry: Array  #: (messages,) int32: the input
    value: Array  #: (messages,) of the type of the sums, or (0,) if all messages are 1


def _events(x: Array, kind: type) -> _Events:
    found = np.zeros((len(x), 2), np.int64)
    _count(len(x), x, found, align=1)
    start = np.concatenate([[0], np.cumsum(found[:, 0])])
    spikes = bool((found[:, 0] == found[:, 1]).all())
    # one position more than there are messages, as `_list` may write beyond the last one
    events = _Events(start, empty(int(start[-1]) + 1, np.int32), empty(0 if spikes else int(start[-1]) + 1, kind))
    _list(len(x), x, *events)
    return events


def conv_size(size: int, kernel_size: int, stride: int, padding: int, dilation: int) -> int:
    """Length of one axis after a convolution."""
    return (size + 2 * padding - dilation * (kernel_size - 1) - 1) // stride + 1


def conv_transpose_size(size: int, kernel_size: int, stride: int, padding: int, dilation: int) -> int:
    """Length of one axis after a transposed convolution."""
    return (size - 1) * stride - 2 * padding + dilation * (kernel_size - 1) + 1


def conv(
    x: Array,
    weight: Array,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
    size: Pair | None = None,
    narrow: bool = False,
    late: int = 0,
) -> Array:
    """Convolution over H and W.

    Parameters
    ----------
    x : ndarray
        (T, C, H, W) integers, messages in their own unit.
    weight : ndarray
        (O, C / groups, kh, kw) integers, in 1/64.
    stride, padding, dilation : tuple of int
        (height, width).
    groups : int
        The number of independent groups into which channels are split.
    size : tuple of int, optional
        (H', W') of the result; by default all windows that lie within the padded input.
    narrow, late
        Arguments of `dense`.

    Returns
    -------
    ndarray
        (T, O, H', W') int64, or int32 with `narrow`, in 1/64 of the messages' unit.
    """
    types = _types_over(x, weight, (1, 2, 3))
    axes = _axes(x.shape[2:], weight.shape[2:], (stride, padding, dilation), size, conv_size, _outputs)
    return _windowed(x, weight.transpose(1, 2, 3, 0), axes, groups, types, narrow, late)


def conv_transpose(
    x: Array,
    weight: Array,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
    narrow: bool = False,
    late: int = 0,
) -> Array:
    """Transposed convolution over H and W.

    Parameters
    ----------
    weight : ndarray
        (C, O / groups, kh, kw) integers, in 1/64.
    x, stride, padding, dilation, groups, narrow, late
        Arguments of `conv`: `x` is (T, C, H, W).

    Returns
    -------
    ndarray
        (T, O, H', W'), of the type and unit of the result of `conv`.
    """
    channels, out, kh, kw = weight.shape
    types = _types_over(x, weight, (0, 2, 3))
    axes = _axes(x.shape[2:], (kh, kw), (stride, padding, dilation), None, conv_transpose_size, _outputs_transposed)
    # Place the weights of the groups side by side along the output channels, as in the weights of a convolution.
    spread = weight.reshape(groups, channels // groups, out, kh, kw).transpose(1, 3, 4, 0, 2)
    vectors = spread.reshape(channels // groups, kh, kw, groups * out)
    return _windowed(x, vectors, axes, groups, types, narrow, late)


class _Axis(NamedTuple):
    """The outputs along one axis to which each input contributes through each tap of the kernel."""

    size: int  #: the number of outputs
    taps: Array  #: (taps,) int64: the taps, ordered so that adjacent outputs of an input have adjacent taps
    outputs: Array  #: (inputs, taps) int64, with taps in that order: the output, or -1 for none


def _axes(
    inputs: tuple[int, ...],
    taps: tuple[int, ...],
    window: tuple[Pair, Pair, Pair],
    size: Pair | None,
    length: Callable[..., int],
    outputs: Callable[..., tuple[Array, Array]],
) -> list[_Axis]:
    """Describe both axes for inputs (H, W) and a kernel (kh, kw).

    `length` and `outputs` are the functions of the kind of convolution: `conv_size` and `_outputs`, or those of the
    transposed convolution.
    """
    axes = list(zip(inputs, taps, *window, strict=True))
    sizes = tuple(length(*axis) for axis in axes) if size is None else size
    return [_Axis(out, *outputs(out, *axis)) for out, axis in zip(sizes, axes, strict=True)]


def _outputs(out: int, size: int, kernel_size: int, stride: int, padding: int, dilation: int) -> tuple[Array, Array]:
    """The ordered taps and the outputs (size, kernel_size) of an axis: see `_Axis`."""
    # The taps through which an input contributes differ by multiples of the stride, and larger taps belong to smaller
    # outputs.
    taps = np.array(sorted(range(kernel_size), key=lambda tap: (tap * dilation % stride, -tap)), np.int64)
    output = np.arange(size)[:, None] + padding - dilation * taps
    inside = (output >= 0) & (output % stride == 0) & (output // stride < out)
    return taps, np.where(inside, output // stride, -1)


def _outputs_transposed(
    out: int, size: int, kernel_size: int, stride: int, padding: int, dilation: int
) -> tuple[Array, Array]:
    """The same as `_outputs` for a transposed convolution."""
    taps = np.arange(kernel_size)
    output = np.arange(size)[:, None] * stride - padding + dilation * taps
    return taps, np.where((output >= 0) & (output < out), output, -1)


class _Runs(NamedTuple):
    """Runs along an axis: adjacent outputs to which an input contributes through adjacent taps."""

    end: Array  #: (inputs + 1,) int64: the first run of each input, and the end of the last input's runs
    output: Array  #: (runs,) int64: the first output
    tap: Array  #: (runs,) int64: the first tap, in the order of the axis
    length: Array  #: (runs,) int64


def _runs(axis: _Axis, together: bool) -> _Runs:
    """The runs of an axis, of length 1 unless `together`."""
    source, tap = np.nonzero(axis.outputs >= 0)
    output = axis.outputs[source, tap]
    fresh = np.ones(len(source), np.bool_)
    if together:
        fresh[1:] = (np.diff(source) != 0) | (np.diff(tap) != 1) | (np.diff(output) != 1)
    first = np.flatnonzero(fresh)
    end = np.searchsorted(source[first], np.arange(len(axis.outputs) + 1))
    return _Runs(end, output[first], tap[first], np.diff(np.append(first, len(source))))


class _Bands(NamedTuple):
    """Bands of output rows that are accumulated together, and the input rows that contribute to each band."""

    height: int  #: the number of output rows in a band
    first: Array  #: (bands,) int64: the first input row
    last: Array  #: (bands,) int64: the input row after the last


def _bands(axis: _Axis, row: int) -> _Bands:
    """The bands of an axis whose output rows hold `row` sums each."""
    height = max(1, min(axis.size, BAND // max(row, 1)))
    count = -(-axis.size // height)
    band = np.where(axis.outputs >= 0, axis.outputs // height, count)
    first, last = np.zeros(count, np.int64), np.zeros(count, np.int64)
    for number in range(count):
        rows = np.flatnonzero((band == number).any(1))
        if len(rows):
            first[number], last[number] = rows[0], rows[-1] + 1
    return _Bands(height, first, last)


def _windowed(
    x: Array, vectors: Array, axes: list[_Axis], groups: int, types: _Types, narrow: bool, late: int
) -> Array:
    """Compute the sums (T, O, \\*shape) of a convolution of `x` (T, C, H, W) with `vectors` (C / groups, kh, kw, O).

    `axes` tells which input contributes to which output through which tap.
    """
    frames, out = len(x), vectors.shape[3]
    down, across = axes
    arranged: Array = np.ascontiguousarray(vectors[:, down.taps][:, :, across.taps], types.weights)
    messages = _messages(x[: max(frames - late, 0)])
    # With several groups, the channels of a group at adjacent outputs are not contiguous, so runs have length 1.
    runs, bands = _runs(across, groups == 1), _bands(down, across.size * out)
    z = empty((frames, out, down.size * across.size), types.sums)
    z[:late] = 0
    flat = arranged.reshape(*arranged.shape[:2], -1)
    count = len(messages) * len(bands.first)
    added: Array = np.empty(0, types.added)
    _scatter(count, messages, flat, down.outputs, runs, bands, groups, across.size, late, added, z, align=1)
    z = z.reshape(frames, out, down.size, across.size)
    return z if narrow else z.astype(np.int64, copy=False)


@kernel
def _turn(begin: int, end: int, weight: Array, table: Array) -> None:
    """Write the transpose of some rows of `weight` (O, I) to `table` (I, O), converted to the type of `table`."""
    for lo in range(begin, end, TILE):
        hi = min(lo + TILE, end)
        for i in range(weight.shape[1]):
            row = table[i, lo:hi]
            for o in range(row.size):
                row[o] = weight[lo + o, i]


@kernel
def _count(begin: int, end: int, x: Array, found: Array) -> None:
    """Count the messages of each row, and those that are 1."""
    for t in range(begin, end):
        found[t, 0], found[t, 1] = _counted(x[t])


@scalar
def _counted(row: Array) -> tuple[Any, Any]:
    some, ones = np.int64(0), np.int64(0)
    for i in range(row.size):
        some += np.int64(row[i] != 0)
        ones += np.int64(row[i] == 1)
    return some, ones


@kernel
def _list(begin: int, end: int, x: Array, start: Array, entry: Array, value: Array) -> None:
    """Write the messages of each row to `entry` and `value`, at the positions that `start` gives."""
    for t in range(begin, end):
        row, at, last = x[t], start[t], start[t + 1]
        for lo in range(0, row.size, STRETCH):
            if at == last:
                break
            hi = min(lo + STRETCH, row.size)
            if _any(row[lo:hi]):
                for i in range(lo, hi):
                    if row[i] != 0:
                        entry[at] = i
                        if value.size > 0:
                            value[at] = row[i]
                        at += 1


@scalar
def _any(row: Array) -> bool:
    found = np.int64(0)
    for i in range(row.size):
        found |= np.int64(row[i])
    return bool(found != 0)


@scalar
def _add(row: Array, message: Any, vector: Array) -> None:
    """Add ``message * vector`` to `row`; a message of 1, as spikes are, needs no multiplication."""
    if message == 1:
        for o in range(row.size):
            row[o] += vector[o]
    else:
        for o in range(row.size):
            row[o] += message * vector[o]


@kernel
def _dense(begin: int, end: int, start: Array, entry: Array, value: Array, table: Array, late: int, z: Array) -> None:
    for lo in range(begin, end, SPAN):
        hi = min(lo + SPAN, end)
        for t in range(len(z)):
            row = z[t, lo:hi]
            _clear(row)
            if t >= late:
                for e in range(start[t - late], start[t - late + 1]):
                    message = np.int64(value[e]) if value.size > 0 else np.int64(1)
                    _add(row, message, table[entry[e], lo:hi])


@scalar
def _clear(row: Array) -> None:
    for i in range(row.size):
        row[i] = 0


@kernel
def _scatter(
    begin: int,
    end: int,
    x: Array,
    weight: Array,
    rows: Array,
    runs: _Runs,
    bands: _Bands,
    groups: int,
    width: int,
    late: int,
    added: Array,
    z: Array,
) -> None:
    out, pixels = z.shape[1:]
    count = len(bands.first)
    sums = np.empty(bands.height * width * out, added.dtype)  # `added` is empty and only passes its dtype
    for item in range(begin, end):
        frame, number = item // count, item % count
        first = number * bands.height * width
        size = min(bands.height * width, pixels - first)
        _clear(sums[: size * out])
        for c in range(x.shape[1]):
            for h in range(bands.first[number], bands.last[number]):
                _row(x[frame, c, h], c, weight, rows[h], number * bands.height, bands.height, runs, groups, width, sums)
        _channels_first(sums, out, first, size, z[frame + late])


@scalar
def _row(
    x: Array, c: int, weight: Array, rows: Array, top: int, height: int, runs: _Runs, groups: int, width: int,
    sums: Array,
) -> None:  # fmt: skip
    """Add the contributions of one input row of channel `c` to the output rows from `top` on."""
    end, output, tap, length = runs
    per_group = weight.shape[0]
    out = sums.size // (height * width)
    span, vectors, channel = out // groups, weight[c % per_group], c // per_group * (out // groups)
    for lo in range(0, x.size, STRETCH):
        hi = min(lo + STRETCH, x.size)
        if _any(x[lo:hi]):
            for i in range(lo, hi):
                if x[i] != 0:
                    message = np.int64(x[i])
                    for p in range(rows.size):
                        row = rows[p] - top
                        if 0 <= row < height:
                            for k in range(end[i], end[i + 1]):
                                to = (row * width + output[k]) * out + channel
                                of = tap[k] * out + channel
                                size = span * length[k]
                                _add(sums[to : to + size], message, vectors[p, of : of + size])


@scalar
def _channels_first(sums: Array, out: int, first: int, size: int, z: Array) -> None:
    """Write the sums of `size` pixels, with channels last, to `z` (O, pixels) from pixel `first` on."""
    for lo in range(0, size, TILE):
        hi = min(lo + TILE, size)
        for o in range(out):
            row = z[o, first + lo : first + hi]
            for i in range(row.size):
                row[i] = sums[(lo + i) * out + o]


#: Each message is added to many neurons, so a second thread is worthwhile for smaller inputs already.
_dense.work = _scatter.work = 16
