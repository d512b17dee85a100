"""How every kernel is compiled, and on how many threads it runs.

`scalar` marks a function of plain numbers that kernels inline: it stays ordinary Python
outside compiled code, so the same source runs on unbounded integers.  `kernel` compiles a
function over arrays twice, on first use: a parallel version and a serial twin with the
same bits.  The twin runs where threads are not wanted or not safe: with one thread, and in
forked children, where a parallel region that the parent has entered cannot be entered again.
"""

from __future__ import annotations

import os
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.extending import register_jitable

# fastmath stays off: the order and rounding of every operation is part of the contract.
OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": False}

# Numba's cache on disk notices an edit of a kernel's own file only; inlined helpers live in
# others, so the stamp it compares is made to cover the whole package.
_FILES = sorted(Path(__file__).parent.glob("*.py"))
_STAMP = tuple((f.name, f.stat().st_mtime_ns, f.stat().st_size) for f in _FILES)


def _compile(function: Callable[..., Any], **options: Any) -> Any:
    dispatcher = numba.njit(**OPTIONS, **options)(function)
    cache_file: Any = getattr(getattr(dispatcher, "_cache", None), "_cache_file", None)
    if hasattr(cache_file, "_source_stamp"):
        cache_file._source_stamp = _STAMP
    return dispatcher


_forked = False


def _mark_forked() -> None:
    global _forked
    _forked = True


os.register_at_fork(after_in_child=_mark_forked)

# OpenMP launches a region in microseconds; the fallback pool needs a hundred.
if "NUMBA_THREADING_LAYER_PRIORITY" not in os.environ:
    numba.config.THREADING_LAYER_PRIORITY = ["omp", "tbb", "workqueue"]

_threads: int = numba.config.NUMBA_NUM_THREADS


def set_num_threads(count: int) -> None:
    """Run parallel kernels on `count` threads, at most as many as Numba started with.

    Raises
    ------
    ValueError
        If `count` is less than 1.
    """
    global _threads
    if count < 1:
        raise ValueError(f"number of threads must be at least 1, got {count}")
    _threads = min(int(count), numba.config.NUMBA_NUM_THREADS)


def get_num_threads() -> int:
    """The number of threads that the next kernel call uses: 1 in a forked child."""
    return 1 if _forked else _threads


def scalar(function: Callable[..., Any]) -> Any:
    """Mark a scalar function for inlining into kernels; it remains a Python function."""
    return register_jitable(inline="always")(function)


WORTH = 1 << 17  #: elements of the largest array from which on a second thread pays


class Kernel:
    """A function over arrays with a parallel version and a serial twin, chosen at each call."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.__doc__ = function.__doc__
        self.__name__ = function.__name__
        self.python = function
        # Numba names its cache files after the function alone, so the twins need two names.
        twin = types.FunctionType(
            function.__code__, function.__globals__, function.__name__ + "_serial", function.__defaults__
        )
        twin.__qualname__ = function.__qualname__ + "_serial"
        twin.__module__ = function.__module__
        self.serial = _compile(twin)
        self.parallel = _compile(function, parallel=True)

    def __call__(self, *args: Any) -> Any:
        threads = get_num_threads()
        if threads == 1 or max(getattr(a, "size", 0) for a in args) < WORTH:
            return self.serial(*args)
        if numba.get_num_threads() != threads:
            numba.set_num_threads(threads)
        return self.parallel(*args)


kernel = Kernel
