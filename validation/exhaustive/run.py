"""A part on all processors: its blocks in order, on threads that compiled code and torch leave to each other."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import datetime, timezone

import lavadl_kernels
import torch

from validation.exhaustive.checks import Checked, Part
from validation.exhaustive.record import Progress, Record

KEPT_EVERY = 5.0  #: seconds after which the record is written
Show = Callable[[int, int], object]  #: ``show(done, blocks)``


class Difference(Exception):
    """A result that is not what it must be."""


def sliced(part: Part, count: int) -> list[int]:
    """Numbers of `count` blocks, at most all of them: the first, the last, and others at equal distances."""
    if count >= part.blocks:
        return list(range(part.blocks))
    if count == 1:
        return [part.blocks - 1]
    return [number * (part.blocks - 1) // (count - 1) for number in range(count)]


def check(part: Part, numbers: Sequence[int], threads: int, done: Callable[[int, Checked], object]) -> None:
    """Check blocks on threads, and call `done` with each block and its outcome, in the order in which they end.

    Raises
    ------
    Difference
        At the first block that differs, when all blocks before it are done.
    """
    kernels, before = lavadl_kernels.get_num_threads(), torch.get_num_threads()
    lavadl_kernels.set_num_threads(1)
    torch.set_num_threads(1)
    try:
        _check(part, numbers, threads, done)
    finally:
        lavadl_kernels.set_num_threads(kernels)
        torch.set_num_threads(before)


def _check(part: Part, numbers: Sequence[int], threads: int, done: Callable[[int, Checked], object]) -> None:
    waiting: dict[Future[Checked], int] = {}
    differing: dict[int, str] = {}
    left = iter(numbers)
    with ThreadPoolExecutor(threads) as pool:
        try:
            while True:
                while len(waiting) < threads and not differing:
                    number = next(left, None)
                    if number is None:
                        break
                    waiting[pool.submit(part.check, number)] = number
                if not waiting:
                    break
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    number, checked = waiting.pop(future), future.result()
                    if checked.difference:
                        differing[number] = checked.difference
                    else:
                        done(number, checked)
        except BaseException:
            for future in waiting:
                future.cancel()
            raise
    if differing:
        number = min(differing)
        raise Difference(f"{part.name}, block {number}: {differing[number]}")


def finish(part: Part, record: Record, threads: int, show: Show) -> Progress:
    """Check the blocks of a part that are not done, and keep the record meanwhile.

    Raises
    ------
    Difference
        As `check`; the blocks that are equal are kept.
    OSError
        If the record cannot be kept.
    """
    progress = record.of(part)
    there = progress.numbers()
    left = [number for number in range(part.blocks) if number not in there]
    fresh: list[int] = []
    kept = time.monotonic()

    def keep() -> None:
        nonlocal kept
        now = time.monotonic()
        progress.add(fresh)
        fresh.clear()
        progress.seconds += now - kept
        kept = now
        record.keep()

    def done(number: int, checked: Checked) -> None:
        fresh.append(number)
        there.add(number)
        progress.compared += checked.compared
        show(len(there), part.blocks)
        if time.monotonic() - kept > KEPT_EVERY:
            keep()

    progress.threads = threads
    record.keep()  # a folder that cannot be written is told before minutes have passed
    show(len(there), part.blocks)
    try:
        check(part, left, threads, done)
        if len(there) == part.blocks:
            progress.finished = progress.finished or datetime.now(timezone.utc).strftime("%Y-%m-%d")
    finally:
        keep()
    return progress
