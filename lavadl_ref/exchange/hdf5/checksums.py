"""The checksum that HDF5 can add to chunks of data."""

from __future__ import annotations

import numpy as np

SIZE = 4  #: bytes of a checksum
_BLOCK = 2**16  # words that are summed at once


def fletcher32(data: bytes) -> int:
    """Fletcher's checksum of 16-bit words, most significant byte first, as HDF5 takes it: 32 bits.

    ``s1 = sum of w_i`` and ``s2 = sum of (n - i) w_i``, modulo 65535; multiples of it but 0 give 65535.
    """
    words = np.frombuffer(data + bytes(len(data) % 2), ">u2")
    first = second = 0
    for start in range(0, len(words), _BLOCK):
        block = words[start : start + _BLOCK].astype(np.int64)
        second += first * len(block) + int(block @ np.arange(len(block), 0, -1))
        first += int(block.sum())
    return _folded(second) << 16 | _folded(first)


def _folded(total: int) -> int:
    return (total - 1) % 65535 + 1 if total else 0
