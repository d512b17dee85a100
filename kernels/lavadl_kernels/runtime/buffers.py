"""A buffer pool for large results.

The first touch of a fresh page is a page fault, and costs more than a kernel that fills the page.  Results of `LARGE`
bytes and more therefore take a buffer that an earlier result of about the size has given back.  An array gives its
buffer back when neither it nor a view of it is left, a torch tensor over its memory included.

The pool keeps what the program needs: results and unused memory together take little more than results lately took at
one time, and no buffer is kept that was not used for a while.
"""

from __future__ import annotations

import math
import os
from collections import deque
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


def _memory() -> int:
    """The bytes of this machine's memory; 4 GB where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 1 << 32


#: Bytes (1 MB) from which a result comes from the pool. Smaller ones come from glibc, which keeps their memory in the
#: process: see below.
LARGE = 1 << 20
#: Results from the pool over which "lately" extends, twice as many at most: a training step takes tens to hundreds.
WINDOW = 1024
#: Bytes (16 MB) of unused memory that the pool keeps in any case: results of several sizes may follow one another.
FLOOR = 1 << 24
#: Bytes of unused memory that the pool keeps at most, a quarter of the machine's: other allocators need theirs.
CEILING = max(FLOOR, _memory() // 4)
ALIGN = 64  #: arrays begin at a multiple of this many bytes, where a cache line does

# glibc, which torch's own tensors come from, maps a large block by itself and returns it to the system as soon as it is
# freed, so that each training step would meet fresh pages.  "Large" means above the size of the largest such block that
# was ever freed, up to 32 MB, and free memory stays in the process up to twice that.  So here is a block of nearly
# 32 MB, freed at once.  Nothing touches its pages.
np.empty((1 << 25) - (1 << 14), np.uint8)

#: Buffers just given back. Their last array may die at any moment, in a garbage collection while this very thread
#: looks through `_free` too: a deque takes them without the lock.
_given: deque[NDArray[np.uint8]] = deque()
#: Unused buffers, and the number of results when each was given back. The last one is at the end: its pages are the
#: likeliest to be cached.
_free: list[tuple[NDArray[np.uint8], int]] = []


class _Use:
    """The bytes in and out of the pool."""

    kept = 0  #: in `_free`
    lent = 0  #: in buffers that arrays look at
    results = 0  #: number of them so far
    peak = 0  #: the largest `lent` of this window of results
    before = 0  #: the largest `lent` of the window before

    @property
    def limit(self) -> int:
        """The bytes that may be kept: of what was lent at one time and an eighth more, those that are not lent now."""
        most = max(self.peak, self.before)
        return min(max(most + most // 8 - self.lent, FLOOR), CEILING)


_use = _Use()
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
    """Move what was given back to the pool, which then drops what is too old or too much; the caller holds the lock."""
    while _given:
        block = _given.popleft()
        _free.append((block, _use.results))
        _use.kept += block.size
        _use.lent -= block.size
    while _free and (_use.kept > _use.limit or _free[0][1] < _use.results - 2 * WINDOW):
        _use.kept -= _free.pop(0)[0].size


def _take(size: int) -> NDArray[np.uint8]:
    """A buffer of `size` bytes, or up to an eighth more."""
    with _lock:
        _put_away()
        block = _found(size)
        _use.lent += block.size
        _use.results += 1
        if _use.results % WINDOW == 0:
            _use.before, _use.peak = _use.peak, 0
        _use.peak = max(_use.peak, _use.lent)
    return block


def _found(size: int) -> NDArray[np.uint8]:
    """An unused buffer, taken out of the pool, or a fresh one."""
    for index in range(len(_free) - 1, -1, -1):
        if size <= _free[index][0].size <= size + size // 8:
            block, _ = _free.pop(index)
            _use.kept -= block.size
            return block
    return np.empty(size, np.uint8)


def _after_fork() -> None:
    global _lock
    _lock = Lock()


if hasattr(os, "register_at_fork"):  # where nothing forks there is none
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
