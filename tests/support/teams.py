"""Kernels on a number of threads, even where the machine has fewer processors and arrays are small."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import lavadl_kernels
import pytest
from lavadl_kernels.ops import events
from lavadl_kernels.runtime import jit


@contextmanager
def team_of(threads: int) -> Iterator[None]:
    """Let kernels split every call over `threads` threads, 1 or 2."""
    before = lavadl_kernels.get_num_threads()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(jit, "WORTH", 0)
            patch.setattr(events, "WORTH", 0)
            patch.setattr(jit, "PROCESSORS", 2)
            lavadl_kernels.set_num_threads(threads)
            yield
    finally:
        lavadl_kernels.set_num_threads(before)
