"""The oracle: every formula once more, in plain Python integers, for the reader.

Nothing here imports the package.  States and inputs are integers in 1/4096, weights,
biases and threshold mantissas integers in 1/64, decays integers in 1/4096.
"""

from __future__ import annotations

import math

from tests.support.oracle import neurons
from tests.support.oracle.neurons import *  # noqa: F403

__all__ = [
    *neurons.__all__,
    "complex_surrogate",
    "conv",
    "conv_transpose",
    "delay",
    "dense",
    "sign",
    "surrogate",
]


def surrogate(distance, tau, scale, graded=False):
    """ds/dv at distance = voltage - threshold, float64."""
    if graded:
        return scale * math.exp(min(distance, 0.0) / tau)
    return scale / (2 * tau) * math.exp(-abs(distance) / tau)


def complex_surrogate(distance, imag, tau, scale, graded=False):
    """ds/dre and ds/dim at distance = re - threshold, float64."""
    phase = math.exp(-abs(imag) / tau) / (2 * tau)
    slope = math.exp(min(distance, 0.0) / tau) if graded else math.exp(-abs(distance) / tau) / (2 * tau)
    above = (1 + sign(distance) * (1 - math.exp(-abs(distance) / tau))) / 2
    return scale * slope * phase, -scale / tau * sign(imag) * phase * above


def sign(value):
    """-1, 0 or 1."""
    return (value > 0) - (value < 0)


def delay(x, steps):
    """A list over time shifted later by `steps` (earlier if negative), zero-filled."""
    return [x[t - steps] if 0 <= t - steps < len(x) else 0 for t in range(len(x))]


def dense(x, weight):
    """sum_i weight[o][i] x[i] for one step."""
    return [sum(w * s for w, s in zip(row, x, strict=True)) for row in weight]


def conv(x, weight, stride, padding, dilation, groups):
    """One step of 2-D cross-correlation; x[c][h][w], weight[o][c][p][q], pairs are (h, w)."""
    channels, height, width = len(x), len(x[0]), len(x[0][0])
    out, per_group, kh, kw = len(weight), len(weight[0]), len(weight[0][0]), len(weight[0][0][0])
    assert channels == per_group * groups
    oh = (height + 2 * padding[0] - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    ow = (width + 2 * padding[1] - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    z = [[[0] * ow for _ in range(oh)] for _ in range(out)]
    for o in range(out):
        first = o // (out // groups) * per_group
        for y in range(oh):
            for v in range(ow):
                for c in range(per_group):
                    for p in range(kh):
                        for q in range(kw):
                            h = y * stride[0] - padding[0] + p * dilation[0]
                            w = v * stride[1] - padding[1] + q * dilation[1]
                            if 0 <= h < height and 0 <= w < width:
                                z[o][y][v] += weight[o][c][p][q] * x[first + c][h][w]
    return z


def conv_transpose(x, weight, stride, padding, dilation, groups):
    """One step of 2-D transposed convolution; weight[c][o][p][q], the adjoint of `conv`."""
    channels, height, width = len(x), len(x[0]), len(x[0][0])
    span, kh, kw = len(weight[0]), len(weight[0][0]), len(weight[0][0][0])
    oh = (height - 1) * stride[0] - 2 * padding[0] + dilation[0] * (kh - 1) + 1
    ow = (width - 1) * stride[1] - 2 * padding[1] + dilation[1] * (kw - 1) + 1
    z = [[[0] * ow for _ in range(oh)] for _ in range(span * groups)]
    for c in range(channels):
        first = c // (channels // groups) * span
        for h in range(height):
            for w in range(width):
                for o in range(span):
                    for p in range(kh):
                        for q in range(kw):
                            y = h * stride[0] - padding[0] + p * dilation[0]
                            v = w * stride[1] - padding[1] + q * dilation[1]
                            if 0 <= y < oh and 0 <= v < ow:
                                z[first + o][y][v] += weight[c][o][p][q] * x[c][h][w]
    return z
