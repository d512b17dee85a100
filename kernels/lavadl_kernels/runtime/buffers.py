"""Memory for large results, used again: the first touch of fresh pages costs more than a kernel that fills them."""

from __future__ import annotations

import math
import os
from collections import deque
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

LARGE = 1 << 20  #: bytes from which memory is kept for the next array
KEEP = 1 << 29  #: bytes that are kept at most while nothing uses them
ALIGN = 64  #: arrays begin at a multiple of this many bytes, where a cache line does

# glibc returns freed memory of this size to the system at once, and the memory of torch's tensors and ours would be
# fresh pages again and again.  It does so only above twice the size of the largest block that was ever freed, up to
# 32 MB: here is one.  Nothing touches its pages.
np.empty((1 << 25) - (1 << 14), np.uint8)

#: Given back by whoever had it, at any moment: a garbage collection may do so while this thread looks through `_free`.
_given: deque[NDArray[np.uint8]] = deque()
_free: list[NDArray[np.uint8]] = []  # that given back last at the end
_kept = 0
_lock = Lock()


class _Lease:
    """A block of memory lent to the arrays that are views of it; the last of them gives it back."""

    def __init__(self, block: NDArray[np.uint8]) -> None:
        self.block = block
        self.__array_interface__ = block.__array_interface__

    def __del__(self) -> None:
        _give_back(self.block)


def _give_back(block: NDArray[np.uint8]) -> None:
    _given.append(block)
    if _lock.acquire(blocking=False):  # else whoever has it will see to the block, now or next time
        try:
            _put_away()
        finally:
            _lock.release()


def _put_away() -> None:
    """Move what was given back to where it is taken from; needs the lock."""
    global _kept
    while _given:
        block = _given.popleft()
        _free.append(block)
        _kept += block.size
    while _kept > KEEP:
        _kept -= _free.pop(0).size


def _take(size: int) -> NDArray[np.uint8]:
    """A block of `size` bytes, or up to an eighth more."""
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
    """As ``np.empty``, in memory that an earlier array of about this size no longer needs.

    Parameters
    ----------
    shape : int or tuple of int
        Shape of the array.
    dtype : dtype
        Its dtype.
    """
    kind = np.dtype(dtype)
    size = kind.itemsize * (math.prod(shape) if isinstance(shape, tuple) else shape)
    if size < LARGE:
        return np.empty(shape, kind)
    memory = np.asarray(_Lease(_take(size + ALIGN)))
    offset = -memory.ctypes.data % ALIGN
    return memory[offset : offset + size].view(kind).reshape(shape)


def empty_like(array: NDArray[Any]) -> NDArray[Any]:
    """An array of the shape and dtype of `array`, C-contiguous, as `empty` gives it."""
    return empty(array.shape, array.dtype)
