"""Windows of convolution-like layers, drawn so that they fit."""

from __future__ import annotations


def windows(rng, kind, shape):
    """Kernel size, stride with padding and dilation, and extents of the output of (C, H, W) = `shape`."""
    transposed = kind in ("convT", "unpool")
    partial = kind == "pool" and rng.random() < 0.5  # whether a last window past the edge counts
    size, window, extents = [], [], []
    for extent in shape[1:]:
        stride, dilation = (int(n) for n in rng.integers(1, 3, 2))
        k, padding = int(rng.integers(1, 4)), int(rng.integers(0, 2))
        if transposed:
            out = (extent - 1) * stride - 2 * padding + dilation * (k - 1) + 1
        else:
            room = extent + 2 * padding - dilation * (k - 1) - 1
            out = room // stride + 1
            # the next window counts if some of it is inside
            out += partial and room >= 0 and room % stride > 0 and out * stride < extent + padding
        if not 1 <= out <= 6:  # the window that changes nothing always fits
            k, stride, padding, dilation, out = 1, 1, 0, 1, extent
        size.append(k), window.append((stride, padding, dilation)), extents.append(out)
    pairs = zip(*window, strict=True)
    return size, dict(zip(("stride", "padding", "dilation"), pairs, strict=True)), extents


def divisor(rng, number, among=None):
    """One of the divisors of `number`."""
    return int(rng.choice([n for n in among or range(1, number + 1) if number % n == 0]))
