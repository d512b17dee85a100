"""The spike and its surrogate gradient.

A neuron spikes where its voltage passes the threshold.  Backward replaces the derivative of
that step by a function of the distance to the threshold (SLAYER)::

    binary:  ds/dv = scale / (2 tau) * exp(-|v - threshold| / tau)
    graded:  ds/dv = scale * exp(min(v - threshold, 0) / tau)

All values are float32 in units of 1.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from lavadl_kernels._jit import kernel, scalar

CHUNK = 16384


@scalar
def exp_negative(x):
    """exp(x) in float32 for x <= 0, to two units in the last place; exp(-87) = 1.6e-38 below -87.

    2**n times a polynomial in the remainder, so that loops over it vectorise.
    """
    x = max(x, np.float32(-87.0))
    n = np.floor(x * np.float32(1.4426950408889634) + np.float32(0.5))
    r = x - n * np.float32(0.693359375) - n * np.float32(-2.12194440e-4)
    p = np.float32(1.9875691500e-4)
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    p = p * r * r + r + np.float32(1.0)
    return p * np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)


@scalar
def surrogate(distance, tau, scale, graded):
    """ds/dv at `distance` = voltage - threshold."""
    if graded:
        return scale * exp_negative(min(distance, np.float32(0)) / tau)
    return scale / (np.float32(2) * tau) * exp_negative(-abs(distance) / tau)


@kernel
def backward(voltage, threshold, tau, scale, graded, grad_spike, grad_voltage):
    """Fill `grad_voltage` from `grad_spike`; all arrays flat and of one size, `threshold` of that size or 1."""
    size = voltage.size
    chunks = (size + CHUNK - 1) // CHUNK
    tau32, scale32 = np.float32(tau), np.float32(scale)
    for chunk in prange(chunks):
        lo = chunk * CHUNK
        hi = min(lo + CHUNK, size)
        v, g, out = voltage[lo:hi], grad_spike[lo:hi], grad_voltage[lo:hi]
        if threshold.size == 1:
            level = threshold[0]
            for i in range(hi - lo):
                out[i] = g[i] * surrogate(v[i] - level, tau32, scale32, graded)
        else:
            levels = threshold[lo:hi]
            for i in range(hi - lo):
                out[i] = g[i] * surrogate(v[i] - levels[i], tau32, scale32, graded)
