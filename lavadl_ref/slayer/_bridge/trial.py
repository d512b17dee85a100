"""Trials of what the processor offers: whether it is exact here, and how much faster than float32."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from lavadl_ref.slayer._bridge import autograd as _autograd

REPEATS = 5  #: timings of which the shortest counts


@dataclass(frozen=True)
class Verdict:
    """The result of trying an operation on this machine.

    Attributes
    ----------
    exact : bool
        Whether it is there, with results as exact as it promises.
    gain : float
        How many times faster than float32 it is, the conversion of its input included; 0 where it is not exact.
    reason : str
        One line on why it is not used, "" where it is.
    """

    exact: bool
    gain: float
    reason: str

    @property
    def usable(self) -> bool:
        """Tell whether to use the operation where nobody has chosen."""
        return not self.reason


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread: other processes then add little to what `fastest` measures."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    _autograd.follow_torch()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        _autograd.follow_torch()


def fastest(calls: Sequence[Callable[[], Any]]) -> list[float]:
    """The shortest of `REPEATS` times of each call, taken in turn, in seconds of the processor for this thread."""
    times = [float("inf")] * len(calls)
    for turn in range(REPEATS + 1):
        for number, call in enumerate(calls):
            begin = time.thread_time()
            call()
            if turn:  # the first is for caches
                times[number] = min(times[number], time.thread_time() - begin)
    return times
