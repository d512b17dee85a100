"""Integer synapses, event-driven: the weighted sums that spikes cause, and nothing else.

Weights are integers in 1/64, inputs integers (spikes 0 or 1, or graded), sums int64 in
1/64.  Each step is independent, so steps run in parallel.  Sums are exact in any order.

Axes are T, C, H, W; convolution is the cross-correlation of the deep-learning field.
"""

from __future__ import annotations

import numpy as np

from lavadl_kernels._jit import kernel


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
    z = np.zeros((x.shape[0], weight.shape[0]), np.int64)
    _dense(len(x), x, np.ascontiguousarray(weight.T, np.int64), z)
    return z


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
    steps, _, height, width = x.shape
    out, _, kh, kw = weight.shape
    shape = (
        conv_size(height, kh, stride[0], padding[0], dilation[0]),
        conv_size(width, kw, stride[1], padding[1], dilation[1]),
    )
    # channel last: the inner loop adds one weight vector to one pixel
    z = np.zeros((steps, *shape, out), np.int64)
    vectors = np.ascontiguousarray(weight.transpose(1, 2, 3, 0), np.int64)
    _conv(steps, x, vectors, *stride, *padding, *dilation, groups, z)
    return np.ascontiguousarray(z.transpose(0, 3, 1, 2))


def conv_transpose(x, weight, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1):
    """Transposed convolution over H and W: weight (C, O / groups, kh, kw), otherwise as `conv`."""
    steps, channels, height, width = x.shape
    _, out, kh, kw = weight.shape
    shape = (
        conv_transpose_size(height, kh, stride[0], padding[0], dilation[0]),
        conv_transpose_size(width, kw, stride[1], padding[1], dilation[1]),
    )
    z = np.zeros((steps, *shape, out * groups), np.int64)
    vectors = np.ascontiguousarray(weight.transpose(0, 2, 3, 1), np.int64)
    _conv_transpose(steps, x, vectors, *stride, *padding, *dilation, channels // groups, z)
    return np.ascontiguousarray(z.transpose(0, 3, 1, 2))


@kernel
def _dense(begin, end, x, weight, z):
    inputs = x.shape[1]
    outputs = weight.shape[1]
    for t in range(begin, end):
        row = z[t]
        for i in range(inputs):
            message = np.int64(x[t, i])
            if message != 0:
                vector = weight[i]
                for o in range(outputs):
                    row[o] += message * vector[o]


@kernel
def _conv(begin, end, x, weight, sh, sw, ph, pw, dh, dw, groups, z):
    channels, height, width = x.shape[1:]
    per_group, kh, kw, outputs = weight.shape
    oh, ow = z.shape[1], z.shape[2]
    span = outputs // groups
    for t in range(begin, end):
        for c in range(channels):
            first = c // per_group * span
            for h in range(height):
                for w in range(width):
                    message = np.int64(x[t, c, h, w])
                    if message == 0:
                        continue
                    for p in range(kh):
                        y = h + ph - p * dh
                        if y < 0 or y % sh != 0 or y // sh >= oh:
                            continue
                        for q in range(kw):
                            v = w + pw - q * dw
                            if v < 0 or v % sw != 0 or v // sw >= ow:
                                continue
                            row = z[t, y // sh, v // sw]
                            vector = weight[c % per_group, p, q]
                            for o in range(first, first + span):
                                row[o] += message * vector[o]


@kernel
def _conv_transpose(begin, end, x, weight, sh, sw, ph, pw, dh, dw, per_group, z):
    channels, height, width = x.shape[1:]
    _, kh, kw, span = weight.shape
    oh, ow = z.shape[1], z.shape[2]
    for t in range(begin, end):
        for c in range(channels):
            first = c // per_group * span
            for h in range(height):
                for w in range(width):
                    message = np.int64(x[t, c, h, w])
                    if message == 0:
                        continue
                    for p in range(kh):
                        y = h * sh - ph + p * dh
                        if y < 0 or y >= oh:
                            continue
                        for q in range(kw):
                            v = w * sw - pw + q * dw
                            if v < 0 or v >= ow:
                                continue
                            row = z[t, y, v]
                            vector = weight[c, p, q]
                            for o in range(span):
                                row[first + o] += message * vector[o]
