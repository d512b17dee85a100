"""torch's OpenMP thread team, for kernels.

Threads of torch's team busy-wait for their next operation, for milliseconds, on the very processor that another thread
of ours would need.  So where torch has GNU's OpenMP, pieces of kernels are given to its team, as an operation of
torch's would be; elsewhere kernels use threads of their own.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import torch
from lavadl_kernels.runtime.openmp import Team, of_library


def of_torch() -> Team | None:
    """torch's thread team; None where it is not one of GNU's OpenMP."""
    try:
        lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
        folder = str(Path(torch.__file__).resolve().parent)
        found = {line.split(maxsplit=5)[-1] for line in lines if "libgomp" in line}
        path = next(path for path in sorted(found) if Path(path).resolve().is_relative_to(Path(folder).parent))
        return of_library(ctypes.CDLL(path))
    except (OSError, StopIteration, AttributeError):
        return None
