"""A buffer pool for large results.

The first access to a fresh page is a page fault, which costs more time than a kernel takes to fill the page.  Results
of `LARGE` bytes or more therefore reuse the buffer of an earlier result of about the same size.  An array returns its
buffer to the pool when the array and all its views are gone, including torch tensors that share its memory.

The pool keeps only what the program needs: results and unused buffers together take little more memory than results
recently took at one time, and a buffer that was not used for a while is freed.
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
    """The size of this machine's memory in bytes; 4 GB if the system does not report it."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 1 << 32


#: The smallest size in bytes (1 MB) of a result that comes from the pool. Smaller ones come from glibc, which keeps
#: their memory in the process: see below.
LARGE = 1 << 20
#: The number of results from the pool that counts as recent: this many, up to twice as many. A training step takes tens
#: to hundreds of results.
WINDOW = 1024
#: Bytes (16 MB) of unused memory that the pool keeps in any case: results of several sizes may follow one another.
FLOOR = 1 << 24
#: The largest number of bytes of unused memory that the pool keeps, a quarter of the machine's memory: other allocators
#: need memory too.
CEILING = max(FLOOR, _memory() // 4)
ALIGN = 64  #: arrays begin at a multiple of this many bytes, the size of a cache line

# glibc, which allocates torch's own tensors, maps each large block separately and returns it to the system as soon as
# it is freed, so that each training step would meet fresh pages.  "Large" means larger than the largest such block that
# was ever freed, up to 32 MB, and the process keeps up to twice that size of free memory.  The next line therefore
# allocates a block of nearly 32 MB and frees it at once.  Its pages are never touched.
np.empty((1 << 25) - (1 << 14), np.uint8)

#: Buffers that were just returned. The last array of a buffer may be freed at any moment, even by a garbage collection
#: while this thread searches `_free`; a deque accepts the buffer without the lock.
_given: deque[NDArray[np.uint8]] = deque()
#: Unused buffers, each with the count of results when it was returned. The most recent one is at the end: its pages are
#: the most likely to be in the cache.
_free: list[tuple[NDArray[np.uint8], int]] = []


class _Use:
    """Counters of the bytes in the pool and in use."""

    kept = 0  #: bytes of the buffers in `_free`
    lent = 0  #: bytes of the buffers that arrays use
    results = 0  #: the number of results so far
    peak = 0  #: the largest `lent` in the current window of results
    before = 0  #: the largest `lent` in the previous window

    @property
    def limit(self) -> int:
        """The bytes that may be kept unused: the recent peak of `lent` plus an eighth, minus what is lent now.

        The result is at least `FLOOR` and at most `CEILING`.
        """
        most = max(self.peak, self.before)
        return min(max(most + most // 8 - self.lent, FLOOR), CEILING)


_use = _Use()
_lock = Lock()


class _Lease:
    """A buffer lent to the arrays that are views of it; when the last of them is freed, the buffer is returned."""

    def __init__(self, block: NDArray[np.uint8]) -> None:
        self.block = block
        self.__array_interface__ = block.__array_interface__

    def __del__(self) -> None:
        _give_back(self.block)


def _give_back(block: NDArray[np.uint8]) -> None:
    _given.append(block)
    if _lock.acquire(blocking=False):  # else the thread with the lock puts the buffer away, now or at the next call
        try:
            _put_away()
        finally:
            _lock.release()


def _put_away() -> None:
    """Move returned buffers to the pool, then free the oldest while the pool holds too old or too much memory.

    The caller holds the lock.
    """
    while _given:
        block = _given.popleft()
        _free.append((block, _use.results))
        _use.kept += block.size
        _use.lent -= block.size
    while _free and (_use.kept > _use.limit or _free[0][1] < _use.results - 2 * WINDOW):
        _use.kept -= _free.pop(0)[0].size


def _take(size: int) -> NDArray[np.uint8]:
    """A buffer of `size` bytes, or up to an eighth larger."""
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


if hasattr(os, "register_at_fork"):  # systems that cannot fork lack this function
    os.register_at_fork(after_in_child=_after_fork)


def empty(shape: int | tuple[int, ...], dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """An uninitialised array, like that of ``np.empty``, from the buffer pool if it is large.

    Parameters
    ----------
    shape : int or tuple of int
        Shape of the array.
    dtype : dtype
        The dtype of the array.

    Returns
    -------
    ndarray
        C-contiguous; if it has `LARGE` bytes or more, it begins at a multiple of `ALIGN` bytes.
    """
    kind = np.dtype(dtype)
    size = kind.itemsize * (math.prod(shape) if isinstance(shape, tuple) else shape)
    if size < LARGE:
        return np.empty(shape, kind)
    memory = np.asarray(_Lease(_take(size + ALIGN)))
    offset = -memory.ctypes.data % ALIGN
    return memory[offset : offset + size].view(kind).reshape(shape)


def empty_like(array: NDArray[Any]) -> NDArray[Any]:
    """An uninitialised C-contiguous array from `empty`, with the shape and dtype of `array`, which may be any."""
    return empty(array.shape, array.dtype)
