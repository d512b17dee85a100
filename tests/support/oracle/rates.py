"""The rate curve, restated with loops over centres and pieces: how it is fitted, what it gives, and its gradient."""

import itertools

import numpy as np


def fit(z, a, old=None, num_centers=5, sample_range=(0.1, 0.9), alpha=0.1):
    """Knots [(z, a), ...] and slopes; `old` are the knots of the curve before.

    For samples whose centres increase in z.
    """
    z, a = np.asarray(z, float), np.asarray(a, float)
    top = [value for value in a if value > sample_range[1] * a.max()]
    highest = max(np.mean(top), 0.8) if top else 0.8
    centers = []
    for i in range(num_centers):
        step = (sample_range[1] - sample_range[0]) / num_centers
        low, high = (highest * (sample_range[0] + step * k) for k in (i, i + 1))
        here = (a > low) & (a <= high)
        new = (np.median(z[here]), np.median(a[here])) if here.any() else None
        held = [knot for knot in old or [] if low < knot[1] <= high]
        before = tuple(np.mean(held, axis=0)) if held else None
        if new and before:
            centers.append(tuple(alpha * n + (1 - alpha) * b for n, b in zip(new, before, strict=True)))
        elif new or before:
            centers.append(new or before)
    if not centers:
        return [(0, 0), (highest, highest)], [1]
    if len(centers) == 1:
        z0, a0 = centers[0]
        centers.insert(0, (0, 0) if z0 > 0 else (z0 - a0, 0))
    slopes = [(q[1] - p[1]) / (q[0] - p[0]) for p, q in itertools.pairwise(centers)]
    slopes = [slopes[0], *slopes, slopes[-1]]
    (z0, a0), (z1, a1) = centers[0], centers[-1]
    knots = [(z0 - a0 / slopes[0], 0), *centers, (z1 + (highest - a1) / slopes[-1], highest)]
    return knots, slopes


def rate(x, knots, slopes):
    """f(x), in float32 operations."""
    x = np.float32(x)
    if np.isnan(x):
        return x
    if x > np.float32(knots[-1][0]):
        return np.float32(knots[-1][1])
    result = np.float32(0)
    for (z, a), slope in zip(knots, slopes, strict=False):
        if x > np.float32(z):
            result = np.float32(a) + np.float32(slope) * (x - np.float32(z))
    return result


def gradient(x, knots, slopes, eps=1e-5):
    """The factor of the gradient at x, in float32 operations."""
    last, first, highest = np.float32(knots[-1][0]), np.float32(knots[0][0]), np.float32(knots[-1][1])
    scale = (last if last > 0 else last - first) / highest
    factor = np.float32(0)
    if x <= last:
        for (z, _), slope in zip(knots, slopes, strict=False):
            if x > np.float32(z):
                factor = np.float32(slope) * scale
    return factor + np.float32(eps)
