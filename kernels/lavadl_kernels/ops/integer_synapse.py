"""Integer synapses, event-driven: the weighted sums that spikes cause, and nothing else.

Weights are integers in 1/64, inputs integers (spikes 0 or 1, or graded), sums int64 in
1/64, added up in 32 bits where those surely suffice.  Each step is independent, so steps run
in parallel.  Sums are exact in any order.

Axes are T, C, H, W; convolution is the cross-correlation of the deep-learning field.
"""

from __future__ import annotations

import numpy as np

from lavadl_kernels.runtime.jit import kernel, scalar


def _sum_type(x, weight, axes):
    """The fastest type that holds every sum of `weight` over `axes` times values of `x`: int32 or int64."""
    largest = max(int(x.max(initial=0)), -int(x.min(initial=0)))
    reach = int(np.abs(weight).sum(axis=axes, dtype=np.int64).max(initial=0))
    return np.int32 if largest * reach < 2**31 and largest < 2**31 else np.int64


def dense(x, weight):
    """z[t, o] = sum_i weight[o, i] x[t, i].

    Parameters
    ----------
    x : ndarray
        (T, I) integers.
    weight : ndarray
        (O, I) integers.

    Returns
    -------
    ndarray
        (T, O) int64.
    """
    kind = _sum_type(x, weight, 1)
    z = np.zeros((x.shape[0], weight.shape[0]), kind)
    _dense(len(x), x, np.ascontiguousarray(weight.T, kind), z)
    return z.astype(np.int64, copy=False)


def conv_size(size, kernel_size, stride, padding, dilation):
    """Length of one axis after a convolution."""
    return (size + 2 * padding - dilation * (kernel_size - 1) - 1) // stride + 1


def conv_transpose_size(size, kernel_size, stride, padding, dilation):
    """Length of one axis after a transposed convolution."""
    return (size - 1) * stride - 2 * padding + dilation * (kernel_size - 1) + 1


def conv(x, weight, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1):
    """Convolution over H and W.

    Parameters
    ----------
    x : ndarray
        (T, C, H, W) integers.
    weight : ndarray
        (O, C / groups, kh, kw) integers.
    stride, padding, dilation : tuple of int
        (height, width).
    groups : int
        Channels are split into this many independent groups.

    Returns
    -------
    ndarray
        (T, O, H', W') int64.
    """
    height, width = x.shape[2:]
    kh, kw = weight.shape[2:]
    shape = (
        conv_size(height, kh, stride[0], padding[0], dilation[0]),
        conv_size(width, kw, stride[1], padding[1], dilation[1]),
    )
    kind = _sum_type(x, weight, (1, 2, 3))
    axes = zip((height, width), shape, (kh, kw), stride, padding, dilation, strict=True)
    rows, columns = (_places(*axis) for axis in axes)
    meetings = _meetings(rows, columns, shape[1])
    return _windowed(x, weight.transpose(1, 2, 3, 0).astype(kind), meetings, shape, groups)


def _places(size, out, kernel_size, stride, padding, dilation):
    """(size, kernel_size): where along an axis each input meets each tap of the kernel, -1 for nowhere."""
    reach = np.arange(size)[:, None] + padding - dilation * np.arange(kernel_size)
    inside = (reach >= 0) & (reach % stride == 0) & (reach // stride < out)
    return np.where(inside, reach // stride, -1)


def _places_transposed(size, out, kernel_size, stride, padding, dilation):
    """As `_places`, of a transposed convolution."""
    reach = np.arange(size)[:, None] * stride - padding + dilation * np.arange(kernel_size)
    return np.where((reach >= 0) & (reach < out), reach, -1)


def conv_transpose(x, weight, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1):
    """Transposed convolution over H and W: weight (C, O / groups, kh, kw), otherwise as `conv`."""
    channels, height, width = x.shape[1:]
    _, out, kh, kw = weight.shape
    shape = (
        conv_transpose_size(height, kh, stride[0], padding[0], dilation[0]),
        conv_transpose_size(width, kw, stride[1], padding[1], dilation[1]),
    )
    kind = _sum_type(x, weight, (0, 2, 3))
    axes = zip((height, width), shape, (kh, kw), stride, padding, dilation, strict=True)
    rows, columns = (_places_transposed(*axis) for axis in axes)
    meetings = _meetings(rows, columns, shape[1])
    # each group's block of weights beside those of the others, as a convolution has them
    spread = weight.reshape(groups, channels // groups, out, kh, kw).transpose(1, 3, 4, 0, 2)
    vectors = spread.reshape(channels // groups, kh, kw, groups * out).astype(kind)
    return _windowed(x, vectors, meetings, shape, groups)


def _meetings(rows, columns, width):
    """For each input pixel where it goes: first and last index into pairs of an output pixel and a tap.

    `rows` and `columns` are what `_places` gives, `width` that of the output.
    """
    inside = (rows >= 0)[:, None, :, None] & (columns >= 0)[None, :, None, :]
    h, w, p, q = np.nonzero(inside)
    ends = np.concatenate([[0], np.cumsum(inside.sum(axis=(2, 3)).reshape(-1))])
    return ends, rows[h, p] * width + columns[w, q], p * columns.shape[1] + q


def _windowed(x, vectors, meetings, shape, groups):
    """Sums (T, O, \\*shape) of `x` (T, C, H, W) times `vectors` (C / groups, kh, kw, O) where they meet."""
    steps, channels, height, width = x.shape
    out = vectors.shape[3]
    # channel last: the inner loop adds one weight vector to one pixel
    z = np.zeros((steps, shape[0] * shape[1] * out), vectors.dtype)
    pixels = np.ascontiguousarray(x).reshape(steps, channels, height * width)
    flat = np.ascontiguousarray(vectors).reshape(vectors.shape[0], -1)
    _scatter(steps, pixels, flat, *meetings, out, groups, z)
    return np.ascontiguousarray(z.reshape(steps, *shape, out).transpose(0, 3, 1, 2), np.int64)


@scalar
def _add(row, message, vector):
    """row += message * vector."""
    if message == 1:
        for o in range(row.size):
            row[o] += vector[o]
    else:
        for o in range(row.size):
            row[o] += message * vector[o]


@kernel
def _dense(begin, end, x, weight, z):
    for t in range(begin, end):
        row = z[t]
        for i in range(x.shape[1]):
            if x[t, i] != 0:
                _add(row, np.int64(x[t, i]), weight[i])


@kernel
def _scatter(begin, end, x, weight, ends, place, tap, outputs, groups, z):
    per_group, span = weight.shape[0], outputs // groups
    for t in range(begin, end):
        sums = z[t]
        for c in range(x.shape[1]):
            first, row = c // per_group * span, weight[c % per_group]
            for i in range(x.shape[2]):
                if x[t, c, i] != 0:
                    message = np.int64(x[t, c, i])
                    for k in range(ends[i], ends[i + 1]):
                        to, of = place[k] * outputs + first, tap[k] * outputs + first
                        _add(sums[to : to + span], message, row[of : of + span])


_dense.work = _scatter.work = 16  # each message goes to many neurons
