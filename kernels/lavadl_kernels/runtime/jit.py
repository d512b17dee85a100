"""How every kernel is compiled, and on how many threads it runs.

`scalar` checkpoints a function of plain numbers that kernels call: it stays ordinary Python
outside compiled code, so the same source runs on unbounded integers.  `kernel` compiles a
function over a range of independent items, ``function(lo, hi, *arrays)``.  Calling the kernel
runs it over the whole range, in one piece or in one piece a thread; the pieces share nothing,
so the number of threads does not change a bit of the result.  Threads are those of the OpenMP
library that `set_team` names, else Python's own with the interpreter lock released: after a fork
there is one, and each kernel is compiled once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numba
from numba import types
from numba.extending import intrinsic, overload, register_jitable

from lavadl_kernels.runtime import cache as _cache
from lavadl_kernels.runtime import openmp as _team
from lavadl_kernels.runtime.compile_notice import NOTICE

# fastmath stays off: the order and rounding of every operation is part of the contract.
OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": False}

# What kernels call allocates nothing: without this option it would count the references to each array it is given, with
# atomic additions that cost more than a row of lanes.
HELPER: dict[str, Any] = {"_nrt": False, "error_model": "numpy"}

#: Options of an overload that returns a view of an array it is given.
VIEW: dict[str, Any] = {"inline": "always", "jit_options": {"_nrt": True}}

# Numba's cache on disk notices an edit of a kernel's own file only; inlined helpers live in
# others, so the stamp it compares is made to cover the whole package.
_PACKAGE = Path(__file__).resolve().parents[1]
_FILES = sorted(_PACKAGE.rglob("*.py"))
_STAMP = tuple((str(f.relative_to(_PACKAGE)), f.stat().st_mtime_ns, f.stat().st_size) for f in _FILES)

WORTH = 1 << 19  #: elements of the largest array from which on a second thread of our own pays
TEAM_WORTH = 1 << 14  #: the same for a team, whose threads look for work where ours must be woken
ALIGN = 64  #: unless told otherwise, pieces begin at multiples of this many items, and share no cache line

_forked = False
_pool: ThreadPoolExecutor | None = None
_named: _team.Team | None = None
PROCESSORS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
_threads = PROCESSORS


def _after_fork() -> None:
    global _forked, _pool
    _forked, _pool = True, None


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


def set_team(team: _team.Team | None) -> None:
    """Run kernels on the threads of an OpenMP library; None for threads of our own."""
    global _named
    _named = team


def _at_once(pieces: Sequence[Callable[[], Any]]) -> list[Any]:
    """What the pieces return, run on threads of our own."""
    first, *rest = pieces
    futures = [_helpers().submit(piece) for piece in rest]
    try:
        result = first()
    finally:
        results = [future.result() for future in futures]
    return [result, *results]


def _helpers() -> ThreadPoolExecutor:
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(max(1, PROCESSORS - 1), thread_name_prefix="lavadl_kernels")
    return _pool


def scalar(function: Callable[..., Any]) -> Any:
    """Mark a scalar function for use in kernels; it remains a Python function.

    LLVM inlines it.  Inlining by Numba would take three times as long to compile.
    """
    return register_jitable(**HELPER)(function)


def inlined(function: Callable[..., Any]) -> Any:
    """As `scalar`, inlined by Numba: for the few functions that LLVM finds too long and loops must vectorise over."""
    return register_jitable(inline="always")(function)


def prefer_512_bit() -> None:
    """Let this function's loops have vectors of 512 bits where the processor has them: LLVM would take half of that."""


@intrinsic
def _prefer_512_bit(typing_context: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        # llvmlite's own `add` knows attributes without a value only
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.void(), generate


@overload(prefer_512_bit, inline="always")
def _overload_prefer_512_bit() -> Any:
    return lambda: _prefer_512_bit()


def _largest(arrays: tuple[Any, ...]) -> int:
    """The number of elements of the largest of `arrays`, among which there may be tuples of arrays."""
    return max((_largest(a) if isinstance(a, tuple) else getattr(a, "size", 0) for a in arrays), default=0)


class Kernel:
    """A compiled ``function(lo, hi, *arrays)``, called as ``kernel(size, *arrays)``.

    Pieces begin at multiples of ``align`` items.  A call returns whether no piece returned False.
    """

    work = 1  #: how much an element of the largest array has to do, about, next to one of a neuron's training

    def __init__(self, function: Callable[..., Any]) -> None:
        self.__doc__ = function.__doc__
        self.__name__ = function.__name__
        self.python = function
        self.compiled = numba.njit(**OPTIONS)(function)
        _cache.share(self.compiled, _STAMP)
        name = f"{function.__module__}.{function.__qualname__}"
        NOTICE.watch(self.compiled, name.rpartition("lavadl_kernels.")[-1])
        self._launch = numba.njit(**OPTIONS)(_team.launcher(name, self.compiled))
        _cache.share(self._launch, _STAMP)

    def __call__(self, size: int, *arrays: Any, align: int = ALIGN) -> bool:
        threads, team = get_num_threads(), None if numba.config.DISABLE_JIT else _named
        worth = min(WORTH, TEAM_WORTH) if team else WORTH
        blocks = -(-size // align)
        if threads == 1 or blocks < 2 or _largest(arrays) * self.work < worth:
            return self.compiled(0, size, *arrays) is not False
        if team:
            return self._by_team(team, min(threads, blocks), size, align, arrays)
        edges = [min(blocks * i // threads * align, size) for i in range(threads)] + [size]
        pieces = [partial(self.compiled, lo, hi, *arrays) for lo, hi in pairwise(edges) if lo < hi]
        return all(result is not False for result in _at_once(pieces))

    def _by_team(self, team: _team.Team, threads: int, size: int, align: int, arrays: tuple[Any, ...]) -> bool:
        whom = (team.parallel, team.number, team.size, threads, size, align)
        answer = self._launch(0, *whom, *arrays)
        if answer == _team.UNKNOWN:
            answer = self._launch(_team.address(self.compiled, (0, size, *arrays)), *whom, *arrays)
        if answer == _team.FAILED:
            raise RuntimeError(f"kernel {self.__name__} failed on one of {threads} threads")
        return bool(answer)


kernel = Kernel
