"""A part: a domain that is gone through block by block, and the compiled functions that the checks share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numba
import numpy as np
from lavadl_kernels.runtime import cache
from lavadl_kernels.runtime.array_types import Array
from lavadl_kernels.runtime.jit import OPTIONS

ROOT = Path(__file__).resolve().parents[3]
#: What the results depend on, beside versions and the processor: files and folders, relative to the root.
SOURCES = ("kernels/lavadl_kernels", "lavadl_ref/slayer/utils/quantize.py", "validation/exhaustive/checks")


UNWRITTEN = -(1 << 30)  #: no result anywhere: fills arrays before a path writes to them


def digest_of(sources: tuple[str, ...]) -> str:
    """The digest of the Python files of `sources`, as `SOURCES` names them."""
    digest = hashlib.sha256()
    for source in sources:
        path = ROOT / source
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            text = file.read_bytes()
            digest.update(f"{file.relative_to(ROOT).as_posix()}\0{len(text)}\0".encode() + text)
    return digest.hexdigest()


DIGEST = digest_of(SOURCES)


class Checked(NamedTuple):
    """The outcome of a block."""

    compared: int  #: results that were compared, up to the first that differs
    difference: str = ""  #: the first result that differs, with what it was computed from


@dataclass(frozen=True)
class Part:
    """A domain and what is checked on all of it."""

    name: str
    title: str
    domain: str  #: for the page: what is gone through
    paths: str  #: for the page: what runs on it
    formula: str  #: for the page: what it is compared with
    blocks: int
    check: Callable[[int], Checked]  #: of a block by its number


class Comparison:
    """The comparisons of one block: the first difference ends them."""

    def __init__(self) -> None:
        self.compared = 0
        self.difference = ""

    def equal(
        self,
        path: str,
        got: Array,
        wanted: Array,
        case: Callable[[int], str],
        difference: Callable[[Array, Array], int] | None = None,
    ) -> bool:
        """Compare the results of a path with what they must be.

        Parameters
        ----------
        path : str
            Its name.
        got, wanted : ndarray
            (S,) numbers of any types.
        case : callable
            ``case(i) -> str``: what result number i was computed from.
        difference : callable, optional
            The index of the first difference of two arrays, or -1; `first_difference` by default.

        Returns
        -------
        bool
            False if there is a difference, now or before.
        """
        if self.difference:
            return False
        if got.shape != wanted.shape:
            self.difference = f"{path}: shape {got.shape}, must be {wanted.shape}"
            return False
        at = (difference or first_difference)(got, wanted)
        self.compared += got.size if at < 0 else int(at) + 1
        if at >= 0:
            self.difference = f"{path}: {case(int(at))} gives {got[at]}, must be {wanted[at]}"
        return at < 0

    @property
    def checked(self) -> Checked:
        """The outcome so far."""
        return Checked(self.compared, self.difference)


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a function as kernels are, and keep its code beside theirs for as long as no source changes."""
    made = numba.njit(**OPTIONS)(function)
    cache.keep_on_disk(made, DIGEST)
    return made


@compiled
def first_difference(got: Array, wanted: Array) -> int:
    """The index of the first entry of `got` (S,) that is not that of `wanted` (S,); -1 if there is none."""
    for lo in range(0, got.size, 1024):
        hi = min(lo + 1024, got.size)
        different = 0
        for i in range(lo, hi):
            different |= int(got[i] != wanted[i])
        if different:
            for i in range(lo, hi):
                if got[i] != wanted[i]:
                    return i
    return -1


@compiled
def first_other_float32(got: Array, wanted: Array) -> int:
    """As `first_difference` of the bits of float32: 0 is not -0, and any NaN is another."""
    a, b = got.view(np.int32), wanted.view(np.int32)
    for lo in range(0, got.size, 1024):
        hi = min(lo + 1024, got.size)
        different = np.int32(0)
        for i in range(lo, hi):
            different |= a[i] ^ b[i]
        if different:
            for i in range(lo, hi):
                if a[i] != b[i] and not (np.isnan(got[i]) and np.isnan(wanted[i])):
                    return i
    return -1
