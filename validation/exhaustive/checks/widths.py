"""The widths of the device over every 32-bit integer, and about the edges of wider ones.

The formulas are those of the remainder: an integer less the multiple of 2**bits that brings it into the range.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from lavadl_kernels import fixed_point as fp
from lavadl_kernels.runtime.array_types import Array

from validation.exhaustive.checks.part import UNWRITTEN, Checked, Comparison, Part, compiled

BLOCK = 1 << 22  #: integers of a block
TILE = 1 << 16
OF_32_BITS = (1 << 32) // BLOCK
OF_FLOAT32 = (1 << 25) // BLOCK  #: blocks of the integers from -2**24 on; the last block has 2**24 too
BLOCKS = OF_32_BITS + OF_FLOAT32 + 1

FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "wrap32": fp.wrap32,
    "wrap24": fp.wrap24,
    "clip24": fp.clip24,
    "saturate24": fp.saturate24,
}
WRAPPED = (24, 32)  #: bits of sums, behind a convolution and elsewhere
Way = Callable[..., object]


@compiled
def widths_of(x: Array, out: Array) -> None:
    """Write the four widths of integers (S,) of any type to `out` (4, S) of that type, in the order of `FUNCTIONS`."""
    for i in range(x.size):
        out[0, i] = fp.wrap32(x[i])
        out[1, i] = fp.wrap24(x[i])
        out[2, i] = fp.clip24(x[i])
        out[3, i] = fp.saturate24(x[i])


@compiled
def wrapped(x: Array, bits: int, out: Array) -> None:
    """Write integers (S,) int64, wrapped to a number of bits, to `out` (S,) int64."""
    for i in range(x.size):
        out[i] = fp.wrap(x[i], bits)


def in_arrays(x: Array, bits: int, out: Array) -> None:
    """As `wrapped`, by NumPy."""
    out[:] = fp.wrap(x, bits)


@compiled
def exact_widths(x: Array, out: Array) -> None:
    """Write what `widths_of` must give of integers (S,) int64 to `out` (4, S) int64."""
    most, whole = np.int64(8388607), np.int64(1) << 24
    for i in range(x.size):
        narrow = np.int64(np.int32(x[i] & np.int64(0xFFFFFFFF)))
        # multiples of 2**24 that lead to -2**23 + 1 to 2**23, of which one fold takes one at most
        folds = (narrow + most) >> 24
        out[0, i] = narrow
        out[1, i] = narrow - (np.sign(folds) * whole if folds else 0)
        out[2, i] = np.sign(x[i]) * most if abs(x[i]) > most else x[i]
        out[3, i] = np.sign(narrow) * most if abs(narrow) > most else narrow


def exact_wrap(x: Array, bits: int) -> Array:
    """Integers (S,) int64 less the multiple of 2**bits that leads to `bits` bits."""
    remainder = np.mod(x, 1 << bits)
    return np.where(remainder < 1 << (bits - 1), remainder, remainder - (1 << bits))


def in_python(x: int) -> list[int]:
    """The four widths of one integer, in Python's integers."""
    narrow = x % 2**32 - (2**32 if x % 2**32 >= 2**31 else 0)
    once = narrow - 2**24 if narrow > 2**23 else narrow + 2**24 if narrow <= -(2**23) else narrow
    clipped, saturated = (sorted((-(2**23) + 1, value, 2**23 - 1))[1] for value in (x, narrow))
    return [narrow, once, clipped, saturated]


#: The types of integers and what gives their four widths.
WIDTHS: dict[str, tuple[type, Way]] = {"int64": (np.int64, widths_of), "float64": (np.float64, widths_of)}
WIDTHS_OF_STATES: dict[str, tuple[type, Way]] = {"float32": (np.float32, widths_of)}
WRAPS: dict[str, Way] = {"wrap, int64": wrapped, "wrap, NumPy": in_arrays}


def check_integers(block: int) -> Checked:
    """Check a block of integers of 32 bits, of states in float32, or the edges of wider ones."""
    found = Comparison()
    if block < OF_32_BITS:
        first = block * BLOCK - (1 << 31)
        for start in range(first, first + BLOCK, TILE):
            x = np.arange(start, start + TILE)
            if not (_check_widths(found, x, WIDTHS) and _check_wraps(found, x, WRAPPED)):
                break
    elif block < OF_32_BITS + OF_FLOAT32:
        first = (block - OF_32_BITS) * BLOCK - (1 << 24)
        last = first + BLOCK + (block == OF_32_BITS + OF_FLOAT32 - 1)
        for start in range(first, last, TILE):
            if not _check_widths(found, np.arange(start, min(start + TILE, last)), WIDTHS_OF_STATES):
                break
    else:
        _check_edges(found)
    return found.checked


def _check_widths(found: Comparison, x: Array, paths: dict[str, tuple[type, Way]]) -> bool:
    wanted = np.empty((4, x.size), np.int64)
    exact_widths(x, wanted)
    for path, (kind, widths) in paths.items():
        out = np.full((4, x.size), UNWRITTEN, kind)
        widths(x.astype(kind), out)
        for name, got, must in zip(FUNCTIONS, out, wanted, strict=True):
            if not found.equal(f"{name}, {path}", got, must, lambda i: f"{x[i]}"):
                return False
    return True


def _check_wraps(found: Comparison, x: Array, widths: tuple[int, ...]) -> bool:
    out = np.empty_like(x)
    for bits in widths:
        wanted = exact_wrap(x, bits)
        for path, wrap in WRAPS.items():
            out.fill(UNWRITTEN)
            wrap(x, bits, out)
            if not found.equal(path, out, wanted, _to_bits(x, bits)):
                return False
    return True


def _to_bits(x: Array, bits: int) -> Callable[[int], str]:
    return lambda i: f"{x[i]}, {bits} bits,"


def edges() -> Array:
    """Integers about the multiples of 2**23 of 32 bits, and about the powers of two of 63."""
    multiples = np.arange(-256, 257) << 23
    powers = np.int64(1) << np.arange(63)
    middle = np.unique(np.concatenate([multiples, powers, -powers, 3 * powers[:60], -3 * powers[:60]]))
    return np.unique((middle[:, None] + np.arange(-64, 65)).ravel())


def _check_edges(found: Comparison) -> None:
    x = edges()
    wanted = np.array([in_python(int(one)) for one in x]).T
    for (name, function), must in zip(FUNCTIONS.items(), wanted, strict=True):
        got = np.array([function(int(one)) for one in x])
        if not found.equal(f"{name}, Python", got, must, lambda i: f"{x[i]}"):
            return
    exact = x[np.abs(x) < 2**52]
    _check_widths(found, x, {"int64": WIDTHS["int64"]})
    _check_widths(found, exact, {"float64": WIDTHS["float64"]})
    _check_wraps(found, x, tuple(range(1, 62)))
    for bits in WRAPPED:
        got = np.array([fp.wrap(int(one), bits) for one in x])
        found.equal("wrap, Python", got, exact_wrap(x, bits), _to_bits(x, bits))


WIDTH = Part(
    name="widths",
    title="Widths of the device",
    domain="every 32-bit integer; every integer from -2^24 to 2^24 as float32; the 64 on either side of each multiple "
    "of 2^23 of 32 bits, and of each power of two and three times it up to 63 bits",
    paths="`wrap32`, `wrap24`, `clip24` and `saturate24`, compiled for int64, float64 and float32; `wrap` to 24 and 32 "
    "bits, compiled and of NumPy arrays; about the edges all of them in plain Python too, and `wrap` to 1 to 61 bits",
    formula="the integer less the multiple of 2^bits that leads into the range, of which `wrap24` takes one at most; "
    "the middle of three numbers in order",
    blocks=BLOCKS,
    check=check_integers,
)
