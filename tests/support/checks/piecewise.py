"""The piecewise linear function against the naive model, bit for bit."""

from __future__ import annotations

import itertools

import numpy as np
from lavadl_kernels.ops import piecewise

from tests.support.oracle import rates as naive

KNOTS = [(-0.5, 0.0), (0.1, 0.2), (0.3, 0.25), (1.7, 0.8)]

SLOPES = [(q[1] - p[1]) / (q[0] - p[0]) for p, q in itertools.pairwise(KNOTS)]

EPS = 1e-5


def arrays(knots, slopes):
    z, a = np.array(knots, np.float32).T
    return np.ascontiguousarray(z), np.ascontiguousarray(a), np.array(slopes, np.float32)


def check(x, knots, slopes):
    x = np.asarray(x, np.float32)
    z, a, s = arrays(knots, slopes)
    np.testing.assert_array_equal(piecewise.forward(x, z, a, s), [naive.rate(v, knots, slopes) for v in x])
    scale = (z[-1] if z[-1] > 0 else z[-1] - z[0]) / a[-1]
    grad = np.random.default_rng(0).normal(size=x.size).astype(np.float32)
    factors = s * scale + np.float32(EPS)
    expected = [g * naive.gradient(v, knots, slopes, EPS) for v, g in zip(x, grad, strict=True)]
    np.testing.assert_array_equal(piecewise.backward(x, z, factors, EPS, grad), expected)
