"""The oracle: every formula once more, in plain Python integers, for the reader.

Nothing here imports the package.  States and inputs are integers in 1/4096, weights,
biases and threshold mantissas integers in 1/64, decays integers in 1/4096.
"""

from __future__ import annotations

import math


def leak(state, decay):
    """sign(p) * (|p| >> 12) with p = state * (4096 - decay)."""
    product = state * (4096 - decay)
    sign = -1 if product < 0 else 1
    return sign * (abs(product) >> 12)


def leaky_integrator(x, decay, threshold=None, state=0):
    """y and the state after the last step; `x` is a list over time."""
    ys = []
    for value in x:
        y = leak(state, decay) + value
        ys.append(y)
        state = 0 if threshold is not None and y > threshold else y
    return ys, state


def wrap32(value):
    """Two's complement in 32 bits."""
    value = value % 2**32
    return value - 2**32 if value >= 2**31 else value


def current24(value):
    """Lava folds a current once: down above 2**23, up at or below -2**23."""
    value = wrap32(value)
    if value > 2**23:
        value -= 2**24
    if value <= -(2**23):
        value += 2**24
    return value


def voltage24(value):
    """Lava clips a voltage at 23 bits and sign."""
    return max(-(2**23 - 1), min(2**23 - 1, wrap32(value)))


def cuba(a, current_decay, voltage_decay, threshold, bias=0, u=0, v=0, loihi=False, start=0, resets=()):
    """One CUBA neuron over time.

    Returns lists over time: current u, voltage before reset, voltage after reset, spike.
    `start` steps long it is at rest; at the steps in `resets` u and v are cleared first.
    """
    us, ws, vs, spikes = [], [], [], []
    for t, value in enumerate(a):
        if t in resets:
            u = v = 0
        if t < start:
            us.append(u), ws.append(v), vs.append(v), spikes.append(0)
            continue
        u = leak(u, current_decay) + value
        if loihi:
            u = current24(u)
        w = leak(v, voltage_decay) + u + bias
        if loihi:
            w = voltage24(w)
        spike = 1 if w > threshold else 0
        v = 0 if spike else w
        us.append(u), ws.append(w), vs.append(v), spikes.append(spike)
    return us, ws, vs, spikes


def surrogate(distance, tau, scale, graded=False):
    """ds/dv at distance = voltage - threshold, float64."""
    if graded:
        return scale * math.exp(min(distance, 0.0) / tau)
    return scale / (2 * tau) * math.exp(-abs(distance) / tau)


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
