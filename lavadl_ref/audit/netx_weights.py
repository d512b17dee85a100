"""Fully connected weights, and a resonator's sine and cosine, as lava-dl's netx hands them to Lava.

The formulas come from observation: netx shifts a matrix up as far as it takes 8 bits to allow, and counts the bits in
use. It leaves the sign mode to Lava, which finds one from the weights and clips and truncates by it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


def zeros(matrices: list[Integers]) -> bool:
    """Tell whether all weights are 0, for which netx divides by 0.

    Parameters
    ----------
    matrices : list of ndarray
        (O, I) integers in 1/64.
    """
    return not any(matrix.any() for matrix in matrices)


def changed(matrices: list[Integers]) -> int:
    """The number of weights that come out different.

    Parameters
    ----------
    matrices : list of ndarray
        Those that netx shifts together, (O, I) integers in 1/64, not all 0.
    """
    low, high = _ends(matrices)
    mixed = low < 0 <= high
    # Lava's weights of both signs are even and within [-256, 254]; it clips the others
    if mixed and (high > 254 or low < -256):
        return sum(int(((matrix > 254) | (matrix < -256)).sum()) for matrix in matrices)
    if high > 255 or low < -256:
        return sum(int((matrix != 0).sum()) for matrix in matrices)  # shifted by a negative number of bits
    up = _shift(low, high)
    factors = int(np.bitwise_or.reduce([int(np.bitwise_or.reduce(matrix, axis=None)) for matrix in matrices]))
    common = min((factors & -factors).bit_length() - 1, 8)
    bits = 8 - up - common + mixed
    return sum(int((_held(matrix << up, bits) != matrix << up).sum()) for matrix in matrices)


def shift(matrices: list[Integers]) -> int:
    """Bits by which netx shifts the weights up; where delays meet feedback it never shifts the sums back.

    Parameters
    ----------
    matrices : list of ndarray
        (O, I) integers in 1/64, not all 0.
    """
    low, high = _ends(matrices)
    return max(_shift(low, high), 0)


def _ends(matrices: list[Integers]) -> tuple[int, int]:
    return min(int(matrix.min()) for matrix in matrices), max(int(matrix.max()) for matrix in matrices)


def _shift(low: int, high: int) -> int:
    if low >= 0:
        return math.floor(math.log2(255 / high))
    if high < 0:
        return math.floor(math.log2(-256 / low))
    return math.floor(math.log2(min(127 / high if high else math.inf, -128 / low))) + 1


def _held(weight: Integers, bits: int) -> Integers:
    """`weight` as Lava's fixed-point Dense multiplies with it."""
    if weight.min() >= 0:
        sign, mixed = 1, 0
    elif weight.max() <= 0:
        sign, mixed = -1, 0
    else:
        sign, mixed = 1, 1
    clipped = np.clip(sign * weight, -256 * mixed, 255)
    cut = 8 - bits + mixed
    return sign * (clipped >> cut << cut) if cut >= 0 else np.zeros_like(weight)


def rotation(sine: Integers, cosine: Integers) -> tuple[Integers, Integers]:
    """Sine and cosine after netx's way through period and decay, cut off as Lava's resonators do.

    Parameters
    ----------
    sine, cosine : ndarray of int
        In 1/4096, of the same shape.

    Returns
    -------
    tuple of ndarray
        int64 of that shape in 1/4096.
    """
    imag, real = np.asarray(sine) / 4096, np.asarray(cosine) / 4096
    alpha = 1 - np.sqrt(imag**2 + real**2)
    with np.errstate(divide="ignore"):
        period = 1 / (np.arctan2(imag, real) / (2 * np.pi))
    angle = 2 * np.pi / period
    left = 1 - alpha
    return (left * np.sin(angle) * 4096).astype(np.int64), (left * np.cos(angle) * 4096).astype(np.int64)
