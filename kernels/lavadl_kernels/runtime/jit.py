"""The compilation of kernels, and the threads that they run on.

`scalar` marks a function of plain numbers that kernels call: it stays ordinary Python
outside compiled code, so the same source runs on unbounded integers.  `kernel` compiles a
function over a range of independent items, ``function(lo, hi, *arrays)``.  A call of the kernel
runs it over the whole range, in one call of the compiled function or in one a thread, each over a
part of the range.  These parts share nothing, so the number of threads does not change a bit of the
result.  The threads are those of the OpenMP library that `set_team` names, else Python's own with the
GIL released.  A forked child has one thread.  Each kernel is compiled once and nothing hangs or is
killed in a forked child; with Numba's ``prange`` a kernel would be compiled twice, and a child could.
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

#: Options of every kernel. `nogil` lets threads run at once. With the "numpy" error model a division by 0 gives what
#: NumPy gives: Python's check for it would keep loops from vectorising. `fastmath` stays off: the order and rounding of
#: every operation is part of the contract.
OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": False}

#: Options of a function that kernels call, and that allocates nothing. Without Numba's runtime (`_nrt`) it does not
#: count the references to each array it is given: these are atomic additions, which cost more than a row of lanes.
HELPER: dict[str, Any] = private.options(_nrt=False, error_model="numpy")

#: As `HELPER`, of what LLVM has to inline however long it is.
INLINED: dict[str, Any] = {**HELPER, **private.options(forceinline=True)}

#: Options of an overload that returns a view of an array it is given: to make a view is to count a reference, which
#: needs Numba's runtime. Numba inlines the function into its caller.
VIEW: dict[str, Any] = {"inline": "always", "jit_options": private.options(_nrt=True)}


def _stamp(package: Path) -> str:
    """The digest of all sources of a package.

    Numba's cache on disk notices an edit of a kernel's own file only.  Inlined helpers live in other files, so the
    stamp covers the whole package: after an edit of `fixed_point.py` no stale code runs.  It has no times: a package
    that was copied or installed again finds its kernels, and those that it came with.
    """
    digest = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        source = file.read_bytes()
        digest.update(f"{file.relative_to(package)}\0{len(source)}\0".encode() + source)
    return digest.hexdigest()


_STAMP = _stamp(Path(__file__).resolve().parents[1])

#: Elements of the largest array from which on a second thread of our own pays: it must be woken and must wait for the
#: GIL, 50 to 90 us a call.
WORTH = 1 << 19
#: The same for an OpenMP thread team. Its threads busy-wait for their next operation and never take the GIL: a launch
#: takes 2 us.
TEAM_WORTH = 1 << 14
#: Each thread begins at a multiple of this many items unless told otherwise. That is a whole number of cache lines of
#: 64 bytes whatever the size of an item, so that no two threads write to the same line.
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


if hasattr(os, "register_at_fork"):  # where nothing forks there is none
    os.register_at_fork(after_in_child=_after_fork)


def set_num_threads(count: int) -> None:
    """Run kernels on `count` threads, at most as many as there are processors.

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
    """Run kernels on the thread team of an OpenMP library; None, or a Numba that cannot, for threads of our own."""
    global _openmp_team
    _openmp_team = None if private.lacking("team") else team


def _run_at_once(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """The results of `calls`, run at the same time on threads of our own."""
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

    LLVM inlines it.  Inlining by Numba would take three times as long to compile.
    """
    return jitable(function, **HELPER)


def inlined(function: F) -> F:
    """As `scalar`, for the few functions that LLVM finds too long to inline and loops must vectorise over."""
    return jitable(function, **INLINED)


def prefer_512_bit() -> None:
    """Let this function's loops have SIMD vectors of 512 bits if the processor has them; LLVM takes 256 by itself."""


@intrinsic
def _prefer_512_bit(typing_context: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        # llvmlite's own `add` knows attributes without a value only
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.void(), generate


@instructions(prefer_512_bit, inline="always")
def _overload_prefer_512_bit() -> Any:
    return lambda: _prefer_512_bit()


@contextmanager
def preparing() -> Iterator[None]:
    """Let each call of a kernel also compile, or load, what such a call needs on any number of threads."""
    global _prepares
    before, _prepares = _prepares, True
    try:
        yield
    finally:
        _prepares = before


def _largest(arrays: tuple[Any, ...]) -> int:
    """The number of elements of the largest of `arrays`, among which there may be tuples of arrays."""
    return max((_largest(a) if isinstance(a, tuple) else getattr(a, "size", 0) for a in arrays), default=0)


class Kernel:
    """A compiled ``function(lo, hi, *arrays)``, called as ``kernel(size, *arrays)``.

    Parameters
    ----------
    function : callable
        It handles the items from `lo` to `hi`, and returns False where something is wrong with one of them.
    features : sequence of str
        Features of processors, by LLVM's names, with which its code is another one.  Where the processor has them, the
        code that a package comes with is not run: it was compiled for processors of a level, which need not have them.

    Notes
    -----
    A call returns whether no thread's part of the range returned False.  Every part begins at a multiple of the
    keyword ``align`` items.
    """

    work = 1  #: how much an element of the largest array has to do, about, next to one of a neuron's training

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
            return self.compiled(0, size, *arrays) is not False
        if team:
            return self._on_team(team, min(threads, blocks), size, align, arrays)
        edges = [min(blocks * i // threads * align, size) for i in range(threads)] + [size]
        calls = [partial(self.compiled, lo, hi, *arrays) for lo, hi in pairwise(edges) if lo < hi]
        return all(result is not False for result in _run_at_once(calls))

    def _prepare(self, arrays: tuple[Any, ...]) -> None:
        """Compile, or load, the kernel and its launcher for arrays like these, whatever their size."""
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
    """Decorate a kernel whose code is another one where the processor has `features`, see `Kernel`."""
    return partial(Kernel, features=features)
