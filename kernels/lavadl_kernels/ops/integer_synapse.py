"""Integer synapses, event-driven: weighted sums of the messages that are not zero.

Weights are integers in 1/64, inputs integers (spikes 0 or 1, or graded), sums int64 in
1/64, added up in 32 bits where those surely suffice.  Each step is independent, so steps run
in parallel.  Sums are exact in any order.

Axes are T, C, H, W; convolution is the cross-correlation of the deep-learning field.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from lavadl_kernels.runtime.array_types import Array, Integers
from lavadl_kernels.runtime.jit import kernel, scalar

Pair = tuple[int, int]  #: height and width


def _sum_type(x: Array, weight: Array, axes: int | tuple[int, ...]) -> type:
    """The fastest type that holds every sum of `weight` over `axes` times values of `x`: int32 or int64."""
    largest = max(int(x.max(initial=0)), -int(x.min(initial=0)))
    reach = int(np.abs(weight).sum(axis=axes, dtype=np.int64).max(initial=0))
    return np.int32 if largest * reach < 2**31 and largest < 2**31 else np.int64


def dense(x: Array, weight: Array) -> Integers:
    """Weighted sums of a dense synapse: z[t, o] = sum_i weight[o, i] x[t, i].

    Parameters
    ----------
    x : ndarray
        (T, I) integers, messages in their own unit.
    weight : ndarray
        (O, I) integers, in 1/64.

    Returns
    -------
    ndarray
        (T, O) int64, in 1/64 of the messages' unit.

    Examples
    --------
    >>> dense(np.array([[1, 0, 1], [0, 0, 2]]), np.array([[64, 32, -64]])).tolist()
    [[0], [-128]]
    """
    kind = _sum_type(x, weight, 1)
    z = np.zeros((x.shape[0], weight.shape[0]), kind)
    _dense(len(x), x, np.ascontiguousarray(weight.T, kind), z)
    return z.astype(np.int64, copy=False)


def conv_size(size: int, kernel_size: int, stride: int, padding: int, dilation: int) -> int:
    """Length of one axis after a convolution."""
    return (size + 2 * padding - dilation * (kernel_size - 1) - 1) // stride + 1


def conv_transpose_size(size: int, kernel_size: int, stride: int, padding: int, dilation: int) -> int:
    """Length of one axis after a transposed convolution."""
    return (size - 1) * stride - 2 * padding + dilation * (kernel_size - 1) + 1


def conv(
    x: Array, weight: Array, stride: Pair = (1, 1), padding: Pair = (0, 0), dilation: Pair = (1, 1), groups: int = 1
) -> Integers:
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
        Channels are split into this many independent groups.

    Returns
    -------
    ndarray
        (T, O, H', W') int64, in 1/64 of the messages' unit.
    """
    meetings = _meetings(x.shape[2:], weight.shape[2:], (stride, padding, dilation), conv_size, _outputs)
    vectors: Array = weight.transpose(1, 2, 3, 0).astype(_sum_type(x, weight, (1, 2, 3)))
    return _windowed(x, vectors, meetings, groups)


def conv_transpose(
    x: Array, weight: Array, stride: Pair = (1, 1), padding: Pair = (0, 0), dilation: Pair = (1, 1), groups: int = 1
) -> Integers:
    """Transposed convolution over H and W.

    Parameters
    ----------
    weight : ndarray
        (C, O / groups, kh, kw) integers, in 1/64.
    x, stride, padding, dilation, groups
        As `conv` takes them: `x` is (T, C, H, W).

    Returns
    -------
    ndarray
        As `conv` returns it.
    """
    channels, out, kh, kw = weight.shape
    window = stride, padding, dilation
    meetings = _meetings(x.shape[2:], (kh, kw), window, conv_transpose_size, _outputs_transposed)
    # each group's block of weights beside those of the others, as a convolution has them
    spread = weight.reshape(groups, channels // groups, out, kh, kw).transpose(1, 3, 4, 0, 2)
    vectors: Array = spread.reshape(channels // groups, kh, kw, groups * out).astype(_sum_type(x, weight, (0, 2, 3)))
    return _windowed(x, vectors, meetings, groups)


class _Meetings(NamedTuple):
    """The pairs of an output pixel and a tap of the kernel at which each input pixel meets them."""

    shape: Pair  #: of the output
    ends: Array  #: (H * W + 1,) int64: the first pair of each input pixel, and the end of the last's
    pixel: Array  #: (pairs,) int64: an output pixel
    tap: Array  #: (pairs,) int64: a tap of the kernel


def _meetings(
    inputs: tuple[int, ...],
    taps: tuple[int, ...],
    window: tuple[Pair, Pair, Pair],
    size: Callable[..., int],
    outputs: Callable[..., Array],
) -> _Meetings:
    """The pairs for inputs (H, W) and a kernel (kh, kw), given the two functions of the kind of convolution."""
    axes = list(zip(inputs, taps, *window, strict=True))
    height, width = (size(*axis) for axis in axes)
    rows, columns = (outputs(length, *axis) for length, axis in zip((height, width), axes, strict=True))
    inside = (rows >= 0)[:, None, :, None] & (columns >= 0)[None, :, None, :]
    h, w, p, q = np.nonzero(inside)
    ends = np.concatenate([[0], np.cumsum(inside.sum(axis=(2, 3)).reshape(-1))])
    return _Meetings((height, width), ends, rows[h, p] * width + columns[w, q], p * columns.shape[1] + q)


def _outputs(out: int, size: int, kernel_size: int, stride: int, padding: int, dilation: int) -> Array:
    """(size, kernel_size): the output that each input contributes to through each tap along an axis, -1 for none."""
    output = np.arange(size)[:, None] + padding - dilation * np.arange(kernel_size)
    inside = (output >= 0) & (output % stride == 0) & (output // stride < out)
    return np.where(inside, output // stride, -1)


def _outputs_transposed(out: int, size: int, kernel_size: int, stride: int, padding: int, dilation: int) -> Array:
    """As `_outputs`, of a transposed convolution."""
    output = np.arange(size)[:, None] * stride - padding + dilation * np.arange(kernel_size)
    return np.where((output >= 0) & (output < out), output, -1)


def _windowed(x: Array, vectors: Array, meetings: _Meetings, groups: int) -> Integers:
    """Sums (T, O, \\*shape) of `x` (T, C, H, W) times `vectors` (C / groups, kh, kw, O) where they meet."""
    steps, channels, height, width = x.shape
    out = vectors.shape[3]
    shape, *pairs = meetings
    # channel last: the inner loop adds one weight vector to one pixel
    z = np.zeros((steps, shape[0] * shape[1] * out), vectors.dtype)
    pixels = np.ascontiguousarray(x).reshape(steps, channels, height * width)
    flat = np.ascontiguousarray(vectors).reshape(vectors.shape[0], -1)
    _scatter(steps, pixels, flat, *pairs, out, groups, z)
    return np.ascontiguousarray(z.reshape(steps, *shape, out).transpose(0, 3, 1, 2), np.int64)


@scalar
def _add(row: Array, message: Any, vector: Array) -> None:
    """Add message * vector to `row`; a spike, which is 1, saves the multiplications."""
    if message == 1:
        for o in range(row.size):
            row[o] += vector[o]
    else:
        for o in range(row.size):
            row[o] += message * vector[o]


@kernel
def _dense(begin: int, end: int, x: Array, weight: Array, z: Array) -> None:
    for t in range(begin, end):
        row = z[t]
        for i in range(x.shape[1]):
            if x[t, i] != 0:
                _add(row, np.int64(x[t, i]), weight[i])


@kernel
def _scatter(
    begin: int,
    end: int,
    x: Array,
    weight: Array,
    ends: Array,
    pixel: Array,
    tap: Array,
    outputs: int,
    groups: int,
    z: Array,
) -> None:
    per_group, span = weight.shape[0], outputs // groups
    for t in range(begin, end):
        sums = z[t]
        for c in range(x.shape[1]):
            first, row = c // per_group * span, weight[c % per_group]
            for i in range(x.shape[2]):
                if x[t, c, i] != 0:
                    message = np.int64(x[t, c, i])
                    for k in range(ends[i], ends[i + 1]):
                        to, of = pixel[k] * outputs + first, tap[k] * outputs + first
                        _add(sums[to : to + span], message, row[of : of + span])


_dense.work = _scatter.work = 16  # each message goes to many neurons, so that smaller inputs are worth a second thread
