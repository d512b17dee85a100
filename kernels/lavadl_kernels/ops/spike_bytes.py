"""Conversion of spikes and 8-bit weights to bytes, the form in which processors multiply integers.

`spikes` converts float32 to uint8 and tells whether all entries were 0 or 1; `weights` converts float32 to int8 if
every weight is a multiple of 1/32 that fits.  Both read their input once; `spikes` takes no longer than a copy.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lavadl_kernels.runtime.array_types import Array
from lavadl_kernels.runtime.buffers import empty
from lavadl_kernels.runtime.jit import kernel, prefer_512_bit, scalar
from lavadl_kernels.runtime.simd import BIAS, WIDTH, mantissas

#: Entries that are converted before the code checks whether all of them were spikes: their sum fits the bytes of a
#: cache line of counters, and the conversion of an input with other values stops after a few microseconds.
BLOCK = 1 << 13
ONE = 0x3F800000  #: the bits of 1 in float32
_MAGNITUDE = np.uint32(0x7FFFFFFF)  # all bits but the sign
NOT_SPIKES = -1  #: returned instead of a count if an entry is neither 0 nor 1


def spikes(x: Array, out: Array) -> int:
    """Write the spikes `x` as bytes and count them.

    Parameters
    ----------
    x : ndarray
        (S,) float32, contiguous.
    out : ndarray
        (S,) uint8, written: 1 where `x` is 1, 0 where it is 0 or -0.

    Returns
    -------
    int
        The number of ones; -1 if an entry is neither 0 nor 1, and `out` is then undefined.

    Examples
    --------
    >>> x, out = np.array([0, 1, -0.0, 1], np.float32), np.empty(4, np.uint8)
    >>> spikes(x, out), out.tolist()
    (2, [0, 1, 0, 1])
    >>> spikes(np.array([0, 2], np.float32), out[:2])
    -1
    """
    blocks = -(-x.size // BLOCK)
    counts = np.zeros(blocks, np.int32)
    if not _spikes(blocks, x.view(np.uint32), out, counts, align=1):
        return NOT_SPIKES
    return int(counts.sum(dtype=np.int64))


def weights(weight: Array) -> Array | None:
    """Convert 8-bit weights to bytes.

    Parameters
    ----------
    weight : ndarray
        Any shape, float32, contiguous, units of 1.

    Returns
    -------
    ndarray or None
        Of the same shape, int8, units of 1/32; None if a weight is not a multiple of 1/32 from -4 to 127/32.

    Examples
    --------
    >>> weights(np.array([[1, -4, 1 / 32]], np.float32)).tolist()
    [[32, -128, 1]]
    >>> weights(np.array([1 / 64], np.float32)) is None
    True
    """
    flat = weight.reshape(-1)
    out = empty(flat.size, np.uint8)
    if not _weights(-(-flat.size // WIDTH), flat, out):
        return None
    return out.view(np.int8).reshape(weight.shape)


@scalar
def _row(x: Array, out: Array) -> Any:
    """Convert a block of float32 bit patterns; return the count of ones, or -1 if an entry is neither 0 nor 1."""
    prefer_512_bit()
    count, other = np.int32(0), np.uint32(0)
    for i in range(x.size):
        one = np.uint32(x[i] == np.uint32(ONE))
        other |= np.uint32((x[i] & _MAGNITUDE) != 0) ^ one
        count += np.int32(one)
        out[i] = one
    return np.int32(NOT_SPIKES) if other else count


@kernel
def _spikes(begin: int, end: int, x: Array, out: Array, counts: Array) -> bool:
    for block in range(begin, end):
        first = block * BLOCK
        last = min(first + BLOCK, x.size)
        counts[block] = _row(x[first:last], out[first:last])
        if counts[block] < 0:
            return False
    return True


@kernel
def _weights(begin: int, end: int, weight: Array, out: Array) -> bool:
    """Convert blocks of `WIDTH` weights; return False if a weight does not fit."""
    edge, bytes_of_edge = np.zeros(WIDTH, np.float32), np.empty(WIDTH, np.uint8)
    for block in range(begin, end):
        first = block * WIDTH
        used = min(WIDTH, weight.size - first)
        if used == WIDTH:
            beyond = mantissas(weight, first, out, first)
        else:
            for i in range(used):
                edge[i] = weight[first + i]
            beyond = mantissas(edge, 0, bytes_of_edge, 0)
            for i in range(used):
                out[first + i] = bytes_of_edge[i]
        if beyond != 0:
            return False
        for i in range(first, first + used):
            out[i] ^= np.uint8(BIAS)
    return True
