"""Intel's matrix tiles (AMX): eight registers of 16 rows of 64 bytes, and the product of two of them.

A tile is named by a literal number.  In code that is compiled for a processor with tiles, each function here is one
instruction.  For other processors, and outside compiled code, the functions emulate the tiles in `state`, an array
that holds the contents of the eight registers.  The same kernel therefore runs everywhere, but is fast only on a
processor with tiles.  `permitted` requests the operating system's permission to use them.
"""

from __future__ import annotations

import ctypes
import platform
import sys
from functools import cache, partial
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import types

from lavadl_kernels.runtime.array_types import Array
from lavadl_kernels.runtime.extending import instructions, intrinsic
from lavadl_kernels.runtime.jit import scalar
from lavadl_kernels.runtime.simd import _pointers

TILES = 8
ROWS = 16  #: rows of a tile
WORDS = 32  #: 16-bit numbers in a row, such as bfloat16
LANES = 16  #: 32-bit numbers in a row, such as float32
TILE = ROWS * WORDS  #: 16-bit numbers in a tile
STATE = TILES * ROWS * LANES  #: the number of float32 entries of `state`

FEATURES = ("amx-tile", "amx-bf16")  #: the processor features that tiles need, by LLVM's names
_SMALLEST_NORMAL = np.float32(2.0**-126)

_BYTE, _INDEX = ir.IntType(8), ir.IntType(64)
_POINTER = _BYTE.as_pointer()
#: The operand of ``ldtilecfg``, which sets the layout of the registers: palette 1, then for each tile the number of
#: bytes per row (16 bits each, from byte 16 on) and the number of rows (one byte each, from byte 48 on).
_CONFIGURATION = bytes([1, *[0] * 15, *[2 * WORDS, 0] * TILES, *[0] * 16, *[ROWS] * TILES, *[0] * 8])

_ARCH_PRCTL, _ARCH_REQ_XCOMP_PERM, _TILE_DATA = 158, 0x1023, 18  # a system call of Linux on x86-64


def missing() -> str:
    """The reason why tiles cannot be used here, or "" if they can; request the permission to use them if necessary."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return "tiles need Linux on x86-64"
    try:
        found = binding.get_host_cpu_features()
    except RuntimeError:
        return "the features of the processor are unknown"
    lacking = [name for name in FEATURES if not found.get(name)]
    if lacking:
        return f"the processor has no {' and no '.join(lacking)}"
    return "" if permitted() else "the system does not permit tiles"


@cache
def permitted() -> bool:
    """Request permission to use tiles from the operating system, and return whether it is granted.

    The permission applies to this process, to its threads, and to children that it starts later.
    """
    try:
        call = ctypes.CDLL(None, use_errno=True).syscall
        call.restype = ctypes.c_long
        return bool(call(*map(ctypes.c_long, (_ARCH_PRCTL, _ARCH_REQ_XCOMP_PERM, _TILE_DATA))) == 0)
    except (OSError, AttributeError):
        return False


def configure(state: Array) -> None:
    """Begin to use tiles in this thread, with undefined contents; `state` is (STATE,) float32."""
    state[:] = np.nan


def release() -> None:
    """End the use of tiles in this thread, so that the system no longer saves them when it switches threads."""


def zero(state: Array, tile: int) -> None:
    """Set a tile to zeros; `state` is (STATE,) float32."""
    for i in range(ROWS * LANES):
        state[tile * ROWS * LANES + i] = 0


def load(state: Array, tile: int, memory: Array, at: Any, row: Any) -> None:
    """Copy memory to a tile.

    Parameters
    ----------
    state : ndarray
        (STATE,) float32.
    tile : int
        A literal, 0 to 7.
    memory : ndarray
        (S,) float32 or uint16.
    at : int
        The index of the first entry in `memory`.
    row : int
        The number of entries from the start of one row to the start of the next; a row has 64 bytes.
    """
    words, size = memory.view(np.uint16), memory.itemsize // 2
    registers = state.view(np.uint16)
    for r in range(ROWS):
        for c in range(WORDS):
            registers[tile * TILE + r * WORDS + c] = words[(at + r * row) * size + c]


def store(state: Array, tile: int, memory: Array, at: Any, row: Any) -> None:
    """Copy a tile to `memory`, (S,) float32 or uint16; `state` is (STATE,) float32, the rest is as for `load`."""
    words, size = memory.view(np.uint16), memory.itemsize // 2
    registers = state.view(np.uint16)
    for r in range(ROWS):
        for c in range(WORDS):
            words[(at + r * row) * size + c] = registers[tile * TILE + r * WORDS + c]


@scalar
def _flushed(x: Any) -> Any:
    """`x`, or 0 if `x` is subnormal: tiles treat subnormal numbers as 0."""
    return x if abs(x) >= _SMALLEST_NORMAL or x != x else np.float32(0)


@scalar
def _wide(word: Any) -> Any:
    """The float32 value of the bits of a bfloat16 number, as tiles read it."""
    return _flushed(np.uint32(np.uint32(word) << np.uint32(16)).view(np.float32))


def multiply(state: Array, total: int, left: int, right: int) -> None:
    """Add the product of two tiles of bfloat16 to a tile of float32.

    ``total[m, n] += sum over k of left[m, 2k] * right[k, 2n] + left[m, 2k + 1] * right[k, 2n + 1]``

    Products are exact. Those with even and those with odd columns of `left` are summed separately, in ascending order
    of k; then the two sums are added, and their sum is added to `total`. Each sum is rounded to the nearest float32,
    and a subnormal result becomes 0.

    Parameters
    ----------
    state : ndarray
        (STATE,) float32.
    total, left, right : int
        Literals, 0 to 7.
    """
    registers = state.view(np.uint16)
    for m in range(ROWS):
        for n in range(LANES):
            even, odd = np.float32(0), np.float32(0)
            for k in range(ROWS):
                first, second = left * TILE + m * WORDS + 2 * k, right * TILE + k * WORDS + 2 * n
                even = _flushed(even + _wide(registers[first]) * _wide(registers[second]))
                odd = _flushed(odd + _wide(registers[first + 1]) * _wide(registers[second + 1]))
            at = total * ROWS * LANES + m * LANES + n
            state[at] = _flushed(_flushed(state[at]) + _flushed(even + odd))


def _has_tiles(context: Any) -> bool:
    """Tell whether code is compiled for a processor with tiles."""
    features = context.codegen().magic_tuple()[2].split(",")
    return all(f"+{name}" in features for name in FEATURES)


def instruction(builder: ir.IRBuilder, name: str, arguments: list[ir.Value]) -> None:
    """Call one of LLVM's intrinsics on tiles, such as ``tdpbf16ps``."""
    module, full = builder.module, f"llvm.x86.{name}"
    function = module.globals.get(full)
    if function is None:
        kind = ir.FunctionType(ir.VoidType(), [argument.type for argument in arguments])
        function = ir.Function(module, kind, full)
    builder.call(function, arguments)


def configuration(builder: ir.IRBuilder) -> ir.Value:
    """The address of a constant that holds the layout of the registers, the operand of ``ldtilecfg``."""
    module, name = builder.module, "lavadl.tiles"
    constant = module.globals.get(name)
    if constant is None:
        kind = ir.ArrayType(_BYTE, len(_CONFIGURATION))
        constant = ir.GlobalVariable(module, kind, name)
        constant.initializer = ir.Constant(kind, bytearray(_CONFIGURATION))
        constant.global_constant, constant.linkage, constant.align = True, "internal", 64
    return builder.bitcast(constant, _POINTER)


def _number(kind: Any) -> ir.Constant:
    """The number of a tile as an LLVM constant, from a literal type."""
    return ir.Constant(_BYTE, kind.literal_value)


def _compiled(emulated: Any, context: Any, builder: Any, signature: Any, args: Any) -> Any:
    """Generate a call of the emulating function, for processors without tiles."""
    return context.compile_internal(builder, emulated, signature, args)


# Copies of the functions above that can be compiled as they are: in compiled code, `overload` replaces the originals.
def _twin(function: Any) -> Any:
    twin = type(function)(function.__code__, function.__globals__, f"{function.__name__}_without_tiles")
    return twin


_emulated = {function.__name__: _twin(function) for function in (configure, zero, load, store, multiply)}


@partial(intrinsic, prefer_literal=True)
def _configure(typing_context: Any, state: Any) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        if not _has_tiles(context):
            return _compiled(_emulated["configure"], context, builder, signature, args)
        instruction(builder, "ldtilecfg", [configuration(builder)])
        return context.get_dummy_value()

    return types.void(state), generate


@intrinsic
def _release(typing_context: Any) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        if _has_tiles(context):
            instruction(builder, "tilerelease", [])
        return context.get_dummy_value()

    return types.void(), generate


@partial(intrinsic, prefer_literal=True)
def _zero(typing_context: Any, state: Any, tile: Any) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        if not _has_tiles(context):
            return _compiled(_emulated["zero"], context, builder, signature, args)
        instruction(builder, "tilezero", [_number(signature.args[1])])
        return context.get_dummy_value()

    return types.void(state, tile), generate


def _moving(name: str, emulated: str) -> Any:
    """The intrinsic of `load` or `store`: the instruction `name`, or the function `emulated`."""

    def move(typing_context: Any, state: Any, tile: Any, memory: Any, at: Any, row: Any) -> Any:
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            if not _has_tiles(context):
                return _compiled(_emulated[emulated], context, builder, signature, args)
            (data,) = _pointers(context, builder, signature, args, 2)
            address = builder.bitcast(builder.gep(data, [args[3]]), _POINTER)
            size = ir.Constant(_INDEX, signature.args[2].dtype.bitwidth // 8)
            instruction(builder, name, [_number(signature.args[1]), address, builder.mul(args[4], size)])
            return context.get_dummy_value()

        return types.void(state, tile, memory, types.intp, types.intp), generate

    return intrinsic(move, prefer_literal=True)


_load, _store = _moving("tileloadd64", "load"), _moving("tilestored64", "store")


@partial(intrinsic, prefer_literal=True)
def _multiply(typing_context: Any, state: Any, total: Any, left: Any, right: Any) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        if not _has_tiles(context):
            return _compiled(_emulated["multiply"], context, builder, signature, args)
        instruction(builder, "tdpbf16ps", [_number(kind) for kind in signature.args[1:]])
        return context.get_dummy_value()

    return types.void(state, total, left, right), generate


@instructions(configure)
def _overload_configure(state: Any) -> Any:
    return lambda state: _configure(state)


@instructions(release)
def _overload_release() -> Any:
    return lambda: _release()


def _overload_zero(state: Any, tile: Any) -> Any:
    return lambda state, tile: _zero(state, tile)


def _overload_load(state: Any, tile: Any, memory: Any, at: Any, row: Any) -> Any:
    return lambda state, tile, memory, at, row: _load(state, tile, memory, at, row)


def _overload_store(state: Any, tile: Any, memory: Any, at: Any, row: Any) -> Any:
    return lambda state, tile, memory, at, row: _store(state, tile, memory, at, row)


def _overload_multiply(state: Any, total: Any, left: Any, right: Any) -> Any:
    return lambda state, total, left, right: _multiply(state, total, left, right)


for _function, _implementation in (
    (zero, _overload_zero),
    (load, _overload_load),
    (store, _overload_store),
    (multiply, _overload_multiply),
):
    instructions(_function, prefer_literal=True)(_implementation)
