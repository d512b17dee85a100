"""Pieces of kernels on torch's own threads.

torch's threads wait for the next operation by looking for it over and over, for milliseconds, on the very processor
that another thread of ours would need.  So where torch has GNU's OpenMP, pieces are given to it, as an operation of
torch's would be; elsewhere kernels use threads of their own.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

Piece = Callable[[], Any]

_CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Team:
    """Runs pieces at once on the threads of an OpenMP library, the caller's among them.

    Parameters
    ----------
    library : ctypes.CDLL
        GNU's OpenMP.

    Raises
    ------
    AttributeError
        If the library is another.
    """

    def __init__(self, library: Any) -> None:
        self._parallel = library.GOMP_parallel
        self._parallel.argtypes = (_CALLBACK, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
        self._parallel.restype = None
        self._number = library.omp_get_thread_num
        self._number.restype = ctypes.c_int

    def __call__(self, pieces: Sequence[Piece]) -> list[Any]:
        """What the pieces return, after all have ended; raises what one of them raised."""
        results: list[Any] = [None] * len(pieces)
        left = set(range(len(pieces)))
        errors: list[BaseException] = []

        def work(_: Any) -> None:
            # nothing may be raised into the library
            try:
                number = self._number()
                left.discard(number)
                results[number] = pieces[number]()
            except BaseException as error:
                errors.append(error)

        self._parallel(_CALLBACK(work), None, len(pieces), 0)
        for number in sorted(left):  # it may have had fewer threads than were asked for
            results[number] = pieces[number]()
        if errors:
            raise errors[0]
        return results


def of_torch() -> Team | None:
    """torch's threads, None where they are not those of GNU's OpenMP."""
    try:
        lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
        folder = str(Path(torch.__file__).resolve().parent)
        found = {line.split(maxsplit=5)[-1] for line in lines if "libgomp" in line}
        path = next(path for path in sorted(found) if Path(path).resolve().is_relative_to(Path(folder).parent))
        return Team(ctypes.CDLL(path))
    except (OSError, StopIteration, AttributeError):
        return None
