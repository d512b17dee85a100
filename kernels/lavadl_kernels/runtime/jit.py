"""The compilation of kernels, and the threads that they run on.

`scalar` marks a function of plain numbers that kernels call.  Outside compiled code it stays ordinary Python, so the
same source runs on unbounded integers.  `kernel` compiles a function over a range of independent items,
``function(lo, hi, *arrays)``.  A call of the kernel covers the whole range, either with one call of the compiled
function or with one call per thread, each for a part of the range.  These parts share no data, so the number of threads
does not change a single bit of the result.

The threads are those of the OpenMP library that `set_team` names; without one, they are Python threads that run with
the GIL released.  A forked child process uses one thread.  With Numba's ``prange``, each kernel would be compiled
twice, and a forked child could hang or be killed; here each kernel is compiled once, and forked children are safe.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numba
from numba import types

from lavadl_kernels.runtime import cache as _cache
from lavadl_kernels.runtime import openmp as _openmp
from lavadl_kernels.runtime import private
from lavadl_kernels.runtime.compile_notice import NOTICE
from lavadl_kernels.runtime.extending import F, instructions, intrinsic, jitable

#: Options of every kernel. `nogil` lets threads run at the same time. With the "numpy" error model a division by 0
#: gives the same result as in NumPy; Python's check for it would keep loops from vectorising. `fastmath` stays off,
#: because the order and rounding of every operation is part of the contract.
OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": False}

#: Options of a function that kernels call and that allocates nothing. Without Numba's runtime (`_nrt`) it does not
#: count the references to its array arguments; counting takes atomic additions, which take longer than a row of lanes.
HELPER: dict[str, Any] = private.options(_nrt=False, error_model="numpy")

#: Options like `HELPER` for a function that LLVM must inline, however long it is.
INLINED: dict[str, Any] = {**HELPER, **private.options(forceinline=True)}

#: Options of an overload that returns a view of one of its arguments. Creating a view counts a reference, which needs
#: Numba's runtime. Numba inlines the function into its caller.
VIEW: dict[str, Any] = {"inline": "always", "jit_options": private.options(_nrt=True)}


def _stamp(package: Path) -> str:
    """The digest of all sources of a package.

    Numba's cache on disk notices only edits of the file that defines the kernel.  Inlined helpers are in other files,
    so the stamp covers the whole package: after an edit of `fixed_point.py`, for example, no stale code runs.  The
    stamp does not depend on file times, so a package that was copied or reinstalled still finds its kernels, including
    those that it was shipped with.
    """
    digest = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        source = file.read_bytes()
        digest.update(f"{file.relative_to(package)}\0{len(source)}\0".encode() + source)
    return digest.hexdigest()


_STAMP = _stamp(Path(__file__).resolve().parents[1])

#: The number of elements of the largest array from which a second Python thread saves time. Such a thread must be woken
#: and must wait for the GIL, which takes 50 to 90 us per call.
WORTH = 1 << 19
#: The same number for an OpenMP thread team. Its threads busy-wait for their next operation and never take the GIL, so
#: a launch takes 2 us.
TEAM_WORTH = 1 << 14
#: Each thread begins at a multiple of this many items, unless a call specifies another number. Whatever the size of an
#: item, this is a whole number of cache lines of 64 bytes, so no two threads write to the same line.
ALIGN = 64

_forked = False
_pool: ThreadPoolExecutor | None = None
_openmp_team: _openmp.Team | None = None
PROCESSORS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
_threads = PROCESSORS
_prepares = False


def _after_fork() -> None:
    global _forked, _pool
    _forked, _pool = True, None


if hasattr(os, "register_at_fork"):  # systems that cannot fork lack this function
    os.register_at_fork(after_in_child=_after_fork)


def set_num_threads(count: int) -> None:
    """Run kernels on `count` threads, but at most on as many as there are processors.

    Raises
    ------
    ValueError
        If `count` is less than 1.
    """
    global _threads
    if count < 1:
        raise ValueError(f"number of threads must be at least 1, got {count}")
    _threads = min(int(count), PROCESSORS)


def get_num_threads() -> int:
    """The number of threads that the next kernel call may use: 1 in a forked child."""
    return 1 if _forked else _threads


def set_team(team: _openmp.Team | None) -> None:
    """Run kernels on the thread team of an OpenMP library.

    If `team` is None, or if the installed Numba does not support teams, kernels run on Python threads.
    """
    global _openmp_team
    _openmp_team = None if private.lacking("team") else team


def _run_at_once(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Run `calls` at the same time, on this thread and on Python threads of the pool, and return their results."""
    first, *rest = calls
    futures = [_own_threads().submit(call) for call in rest]
    try:
        result = first()
    finally:
        results = [future.result() for future in futures]
    return [result, *results]


def _own_threads() -> ThreadPoolExecutor:
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(max(1, PROCESSORS - 1), thread_name_prefix="lavadl_kernels")
    return _pool


def scalar(function: F) -> F:
    """Mark a scalar function for use in kernels; it remains a Python function.

    LLVM inlines the function.  If Numba inlined it, compilation would take three times as long.
    """
    return jitable(function, **HELPER)


def inlined(function: F) -> F:
    """Mark a function like `scalar`, and force LLVM to inline it.

    This is for the few functions that LLVM considers too long to inline, but that are called in loops that must
    vectorise.
    """
    return jitable(function, **INLINED)


def prefer_512_bit() -> None:
    """Let the calling function's loops use 512-bit SIMD vectors if the processor has them; LLVM's default is 256."""


@intrinsic
def _prefer_512_bit(typing_context: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        # llvmlite's own `add` accepts only attributes without a value.
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.void(), generate


@instructions(prefer_512_bit, inline="always")
def _overload_prefer_512_bit() -> Any:
    return lambda: _prefer_512_bit()


@contextmanager
def preparing() -> Iterator[None]:
    """Let each call of a kernel also compile, or load, the code that such a call needs on any number of threads."""
    global _prepares
    before, _prepares = _prepares, True
    try:
        yield
    finally:
        _prepares = before


def _largest(arrays: tuple[Any, ...]) -> int:
    """The number of elements of the largest of `arrays`, which may include tuples of arrays."""
    return max((_largest(a) if isinstance(a, tuple) else getattr(a, "size", 0) for a in arrays), default=0)


def _went_well(result: Any) -> bool:
    """Tell whether a kernel that returned `result` accepted its range. Without compilation it may be NumPy's False."""
    return result is None or bool(result)


class Kernel:
    """A compiled ``function(lo, hi, *arrays)``, called as ``kernel(size, *arrays)``.

    Parameters
    ----------
    function : callable
        It processes the items from `lo` to `hi`, and returns False if something is wrong with one of them.
    features : sequence of str
        Processor features, by LLVM's names, with which the function compiles to different code.  If the processor has
        one of them, the code shipped with a package is not run: it was compiled for a level of processors, which need
        not have these features.

    Notes
    -----
    A call returns False if the function returned False for any part of the range, else True.  Every part begins at a
    multiple of ``align`` items, a keyword argument of the call.
    """

    #: The approximate work per element of the largest array, relative to that of an element in training a neuron.
    work = 1

    def __init__(self, function: Callable[..., Any], features: Sequence[str] = ()) -> None:
        self.features = features
        self.__doc__ = function.__doc__
        self.__name__ = function.__name__
        self.python = function
        self.compiled: Any = numba.njit(**OPTIONS)(function)
        _cache.keep_on_disk(self.compiled, _STAMP, features)
        name = f"{function.__module__}.{function.__qualname__}"
        NOTICE.watch(self.compiled, f"{function.__module__.rpartition('.')[-1]}.{function.__name__}")
        self._launch: Any = numba.njit(**OPTIONS)(_openmp.launcher(name, self.compiled))
        _cache.keep_on_disk(self._launch, _STAMP)

    def __call__(self, size: int, *arrays: Any, align: int = ALIGN) -> bool:
        if _prepares:
            self._prepare(arrays)
        threads, team = get_num_threads(), None if numba.config.DISABLE_JIT else _openmp_team
        worth = min(WORTH, TEAM_WORTH) if team else WORTH
        blocks = -(-size // align)
        if threads == 1 or blocks < 2 or _largest(arrays) * self.work < worth:
            return _went_well(self.compiled(0, size, *arrays))
        if team:
            return self._on_team(team, min(threads, blocks), size, align, arrays)
        edges = [min(blocks * i // threads * align, size) for i in range(threads)] + [size]
        calls = [partial(self.compiled, lo, hi, *arrays) for lo, hi in pairwise(edges) if lo < hi]
        return all(map(_went_well, _run_at_once(calls)))

    def _prepare(self, arrays: tuple[Any, ...]) -> None:
        """Compile, or load, the kernel and its launcher for arrays of these types, whatever their size."""
        takes = numba.typeof(arrays)
        self.compiled.compile((types.intp, types.intp, *takes.types))
        if not private.lacking("team"):
            self._launch.compile((*[types.intp] * 7, takes))

    def _on_team(self, team: _openmp.Team, threads: int, size: int, align: int, arrays: tuple[Any, ...]) -> bool:
        where = (team.parallel, team.number, team.size, threads, size, align)
        answer = self._launch(0, *where, *arrays)
        if answer == _openmp.UNKNOWN:
            answer = self._launch(_openmp.address(self.compiled, (0, size, *arrays)), *where, *arrays)
        if answer == _openmp.FAILED:
            raise RuntimeError(f"kernel {self.__name__} failed on one of {threads} threads")
        return bool(answer)


kernel = Kernel


def kernel_using(*features: str) -> Callable[[Callable[..., Any]], Kernel]:
    """Decorate a kernel that compiles to different code if the processor has `features`, see `Kernel`."""
    return partial(Kernel, features=features)
