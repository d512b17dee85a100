"""A buffer pool for large results.

The first touch of a fresh page is a page fault, and costs more than a kernel that fills the page.  Results of `LARGE`
bytes and more therefore take a buffer that an earlier result of about the size has given back.  An array gives its
buffer back when neither it nor a view of it is left, a torch tensor over its memory included.
"""

from __future__ import annotations

import math
import os
from collections import deque
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

#: Bytes (1 MB) from which a result comes from the pool. Smaller ones come from glibc, which keeps their memory in the
#: process: see below.
LARGE = 1 << 20
#: Bytes (512 MB) that the pool keeps at most while nothing uses them. A training step that takes more meets fresh pages
#: again: that of 256 CUBA neurons over 5000 steps and 16 samples takes 678 MB.
KEEP = 1 << 29
ALIGN = 64  #: arrays begin at a multiple of this many bytes, where a cache line does

# glibc, which torch's own tensors come from, maps a large block by itself and returns it to the system as soon as it is
# freed, so that each training step would meet fresh pages.  "Large" means above the size of the largest such block that
# was ever freed, up to 32 MB, and free memory stays in the process up to twice that.  So here is a block of nearly
# 32 MB, freed at once.  Nothing touches its pages.
np.empty((1 << 25) - (1 << 14), np.uint8)

#: Buffers just given back. Their last array may die at any moment, in a garbage collection while this very thread
#: looks through `_free` too: a deque takes them without the lock.
_given: deque[NDArray[np.uint8]] = deque()
_free: list[NDArray[np.uint8]] = []  # the one given back last is at the end: its pages are the likeliest to be cached
_kept = 0
_lock = Lock()


class _Lease:
    """A buffer lent to the arrays that are views of it; the last of them gives it back."""

    def __init__(self, block: NDArray[np.uint8]) -> None:
        self.block = block
        self.__array_interface__ = block.__array_interface__

    def __del__(self) -> None:
        _give_back(self.block)


def _give_back(block: NDArray[np.uint8]) -> None:
    _given.append(block)
    if _lock.acquire(blocking=False):  # whoever holds the lock puts the buffer away, now or at the next call
        try:
            _put_away()
        finally:
            _lock.release()


def _put_away() -> None:
    """Move what was given back to the pool, which then shrinks to `KEEP`; the caller holds the lock."""
    global _kept
    while _given:
        block = _given.popleft()
        _free.append(block)
        _kept += block.size
    while _kept > KEEP:
        _kept -= _free.pop(0).size


def _take(size: int) -> NDArray[np.uint8]:
    """A buffer of `size` bytes, or up to an eighth more."""
    global _kept
    with _lock:
        _put_away()
        for index in range(len(_free) - 1, -1, -1):
            if size <= _free[index].size <= size + size // 8:
                block = _free.pop(index)
                _kept -= block.size
                return block
    return np.empty(size, np.uint8)


def _after_fork() -> None:
    global _lock
    _lock = Lock()


os.register_at_fork(after_in_child=_after_fork)


def empty(shape: int | tuple[int, ...], dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """An array of unset values, as ``np.empty`` gives it, from the buffer pool if it is large.

    Parameters
    ----------
    shape : int or tuple of int
        Shape of the array.
    dtype : dtype
        Its dtype.

    Returns
    -------
    ndarray
        C-contiguous; from `LARGE` bytes on it begins at a multiple of `ALIGN` bytes.
    """
    kind = np.dtype(dtype)
    size = kind.itemsize * (math.prod(shape) if isinstance(shape, tuple) else shape)
    if size < LARGE:
        return np.empty(shape, kind)
    memory = np.asarray(_Lease(_take(size + ALIGN)))
    offset = -memory.ctypes.data % ALIGN
    return memory[offset : offset + size].view(kind).reshape(shape)


def empty_like(array: NDArray[Any]) -> NDArray[Any]:
    """An array of the shape and dtype of `array` (any shape and dtype), C-contiguous, as `empty` gives it."""
    return empty(array.shape, array.dtype)
