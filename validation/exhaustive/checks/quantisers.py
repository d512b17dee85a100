"""The quantisers of weights and parameters, and weights as bytes, over every float32.

The formula takes the bits of a number apart: sign, exponent and an integer of 24 bits.  That integer, shifted to the
unit of the grid, is the multiple, and what is shifted out decides about its rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from lavadl_kernels.ops import layout, weights
from lavadl_kernels.runtime import simd
from lavadl_kernels.runtime.array_types import Array

from lavadl_ref.slayer.utils.quantize import MODE, held_weights, quantize, quantize_within
from validation.exhaustive.checks.part import Checked, Comparison, Part, compiled, first_other_float32

BLOCK = 1 << 22  #: numbers of a block
TILE = 1 << 16
BLOCKS = (1 << 32) // BLOCK
INFINITE = 0x7F800000  #: the bits of infinity; those of NaN are larger
WEIGHTS = held_weights(64)
LEAST, MOST = -128, 127  #: bounds of a weight, in multiples


class Grid(NamedTuple):
    """Multiples of 2**-bits, as the formula takes them."""

    bits: int
    floor: bool  #: whether to go down instead of to the nearest
    clip: bool  #: whether to bring multiples to the bounds of weights


@compiled
def exact_multiples(first: int, grid: Grid, out: Array) -> bool:
    """Write the multiples of the numbers with the bits from `first` on to `out` (S,) float32.

    Returns whether all are within the bounds of weights, which NaN is not.
    """
    inside = True
    for i in range(out.size):
        pattern = np.int64(first + i)
        negative, exponent, mantissa = pattern >> 31 != 0, (pattern >> 23) & 255, pattern & 0x7FFFFF
        if exponent == 255 and mantissa != 0:
            out[i], inside = np.nan, False
            continue
        # the number is magnitude * 2**(exponent - 150), the smallest ones are magnitude * 2**-149
        magnitude = mantissa + 0x800000 if exponent else mantissa
        shift = max(exponent, 1) - 150 + grid.bits
        if shift >= 0:
            # a multiple already; one whose number is no float32 is infinite
            multiple = magnitude << min(shift, 30)
            value = np.inf if exponent + grid.bits >= 255 else np.float64(magnitude) * 2.0 ** (shift - grid.bits)
        else:
            gone = min(-shift, 40)
            multiple = magnitude >> gone
            left, half = magnitude - (multiple << gone), np.int64(1) << (gone - 1)
            if grid.floor:
                multiple += np.int64(negative and left != 0)
            else:
                multiple += np.int64(left > half or (left == half and multiple % 2 == 1))
            value = np.float64(multiple) * 2.0**-grid.bits
        counted = -multiple if negative else multiple
        if counted < LEAST or counted > MOST:
            inside = False
            if grid.clip:
                negative, value = counted < LEAST, np.float64(-LEAST if counted < LEAST else MOST) * 2.0**-grid.bits
        out[i] = np.float32(-value if negative else value)
    return inside


Found = tuple[Array, "bool | None"]  #: multiples, and whether all are within the bounds of weights, if that is told


def _kernel(x: Array) -> Found:
    return layout.quantised(x, *WEIGHTS)


def _rows(x: Array) -> Found:
    found, inside = weights.quantised(weights.Rows.plain(x.reshape(1, -1)), weights.Grid.of(*WEIGHTS))
    return found[0], inside


def _frames(x: Array) -> Found:
    return layout.quantised_frames(x.reshape(1, 1, 1, -1), *WEIGHTS).reshape(-1), None


def _within(x: Array) -> Found:
    return quantize_within(torch.from_numpy(x), *WEIGHTS).numpy(), None


def _within_by_torch(x: Array) -> Found:
    # numbers with gaps between them, for which there is no kernel
    apart = torch.empty(2 * x.size)[::2].copy_(torch.from_numpy(x))
    return quantize_within(apart, *WEIGHTS).contiguous().numpy(), None


def _multiples(step: float, mode: MODE) -> Callable[[Array], Found]:
    return lambda x: (quantize(torch.from_numpy(x), step, mode).numpy(), None)


_HELD = Grid(5, False, True)
#: The grid of each path, and what runs on it. `layout.quantised` tells of the bounds, and leaves multiples beyond.
PATHS: dict[str, tuple[Grid, Callable[[Array], Found]]] = {
    "ops.layout.quantised": (Grid(5, False, False), _kernel),
    "ops.weights.quantised": (_HELD, _rows),
    "ops.layout.quantised_frames": (_HELD, _frames),
    "quantize_within on the kernel": (_HELD, _within),
    "quantize_within on torch": (_HELD, _within_by_torch),
    "quantize to 1": (Grid(0, False, False), _multiples(1.0, MODE.ROUND)),
    "quantize to 1/64": (Grid(6, False, False), _multiples(1 / 64, MODE.ROUND)),
    "quantize down to 1/64": (Grid(6, True, False), _multiples(1 / 64, MODE.FLOOR)),
}


def numbers(first: int, count: int) -> Array:
    """The float32 (count,) whose bits are those of the integers from `first` on."""
    return np.arange(first, first + count, dtype=np.int64).astype(np.uint32).view(np.float32)


def _named(first: int) -> Callable[[int], str]:
    return lambda i: f"float32 {numbers(first + i, 1)[0]} (bits {first + i:#010x})"


def edges(first: int) -> list[int]:
    """Bits, among those of the tile from `first` on, of numbers at which the answer about the bounds may change."""
    at = [int(np.float32(multiple / 32).view(np.uint32)) for multiple in (-129, -128.5, -128, 127, 127.5, 128)]
    near = {middle + apart for middle in (*at, INFINITE, INFINITE | 1 << 31) for apart in range(-2, 3)}
    return sorted(bits for bits in near if first <= bits < first + TILE)


def check_numbers(block: int) -> Checked:
    """Check a block of numbers on every path, and those at the bounds each by itself."""
    found = Comparison()
    for first in range(block * BLOCK, (block + 1) * BLOCK, TILE):
        for start, count in ((first, TILE), *((bits, 1) for bits in edges(first))):
            if not _check_stretch(found, start, count):
                return found.checked
    return found.checked


def _check_stretch(found: Comparison, first: int, count: int) -> bool:
    x, wanted, inside = numbers(first, count), np.empty(count, np.float32), False
    of = None
    for path, (grid, way) in PATHS.items():
        if grid != of:
            inside, of = exact_multiples(first, grid, wanted), grid
        with np.errstate(all="ignore"):
            got, told = way(x)
        if not found.equal(path, got, wanted, _named(first), first_other_float32):
            return False
        if told is not None and bool(told) != inside:
            found.difference = (
                f"{path}: {count} numbers from {_named(first)(0)} on are within: {told}, must be {inside}"
            )
            return False
    return True


# -- bytes ----------------------------------------------------------------------------------------


@compiled
def bytes_of(x: Array, out: Array, beyond: Array) -> None:
    """Write numbers (S,) float32 as bytes to `out` (S,) uint8, and to `beyond` (S,) uint8 which of them do not fit."""
    for at in range(0, x.size, simd.WIDTH):
        found = simd.mantissas(x, at, out, at)
        for i in range(simd.WIDTH):
            beyond[at + i] = (found >> np.uint64(i)) & np.uint64(1)


@compiled
def exact_bytes(first: int, out: Array, beyond: Array) -> None:
    """As `bytes_of` of the numbers with the bits from `first` on."""
    for i in range(out.size):
        pattern = np.int64(first + i)
        negative, exponent, mantissa = pattern >> 31 != 0, (pattern >> 23) & 255, pattern & 0x7FFFFF
        magnitude = mantissa + 0x800000 if exponent else mantissa
        gone = 150 - max(exponent, 1) - 5  # bits behind the unit of 1/32
        # with 16 of them or fewer the multiple has 8 bits or more
        kept = magnitude >> min(max(gone, 0), 40) if gone >= 16 else np.int64(1 << 23)
        fits = gone >= 16 and kept << min(gone, 40) == magnitude and (kept <= 128 if negative else kept <= 127)
        out[i] = 128 + (-kept if negative else kept) if fits else 128
        beyond[i] = not fits


BYTES: dict[str, Callable[[Array, Array, Array], object]] = {"simd.mantissas": bytes_of}


def check_bytes(block: int) -> Checked:
    """Check the bytes of a block of numbers."""
    found = Comparison()
    got, wanted = np.empty((2, TILE), np.uint8), np.empty((2, TILE), np.uint8)
    for first in range(block * BLOCK, (block + 1) * BLOCK, TILE):
        x = numbers(first, TILE)
        exact_bytes(first, *wanted)
        for path, convert in BYTES.items():
            np.bitwise_xor(wanted, 1, out=got)  # wrong wherever nothing is written
            convert(x, *got)
            got[0][got[1] != 0] = simd.BIAS  # a byte without a meaning
            for what, one, must in zip(("byte", "beyond"), got, wanted, strict=True):
                if not found.equal(f"{path}, {what}", one, must, _named(first)):
                    return found.checked
    return found.checked


QUANTISER = Part(
    name="quantisers",
    title="Quantisers",
    domain="every float32: 2^32 bit patterns, infinities and NaN among them",
    paths="weights, to 1/32 from -4 to 127/32: `ops.layout.quantised`, `ops.weights.quantised`, "
    "`ops.layout.quantised_frames`, `quantize_within` on the kernel and on torch; parameters: `quantize` to 1 and to "
    "1/64, to the nearest and down; whether all are within the bounds, for each 65,536 numbers and for each single one "
    "at the bounds",
    formula="the integer of 24 bits that a float32 is, shifted to the grid, ties to even; a multiple whose number is "
    "no float32 is infinite, NaN stays NaN; signs of 0 count",
    blocks=BLOCKS,
    check=check_numbers,
)
BYTE = Part(
    name="bytes",
    title="Weights as bytes",
    domain="every float32",
    paths="`simd.mantissas`, compiled: the byte, and whether the number is a multiple of 1/32 from -4 to 127/32",
    formula="the integer of 24 bits, of which none may be lost behind the unit",
    blocks=BLOCKS,
    check=check_bytes,
)
