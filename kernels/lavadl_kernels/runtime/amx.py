"""Intel's matrix tiles: eight registers of 16 rows of 64 bytes, and the product of two of them.

A tile is named by a literal number.  Where the code is compiled for a processor with tiles, each function here is one
instruction.  Elsewhere, and outside compiled code, it is done on `state`, an array that stands for the eight registers:
the same kernel runs everywhere, and is only fast where the processor has tiles.  `permitted` asks the system for them.
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
ROWS = 16  #: of a tile
WORDS = 32  #: numbers of 16 bits in a row, as bfloat16 has
LANES = 16  #: numbers of 32 bits in a row, as float32 has
TILE = ROWS * WORDS  #: numbers of 16 bits in a tile
STATE = TILES * ROWS * LANES  #: the size of `state`

FEATURES = ("amx-tile", "amx-bf16")  #: of a processor, by LLVM's names
_SMALLEST_NORMAL = np.float32(2.0**-126)

_BYTE, _INDEX = ir.IntType(8), ir.IntType(64)
_POINTER = _BYTE.as_pointer()
#: The layout of the registers that the processor is told: palette 1, then for each tile the bytes of a row (16 bits
#: each, from byte 16 on) and the rows (from byte 48 on).
_CONFIGURATION = bytes([1, *[0] * 15, *[2 * WORDS, 0] * TILES, *[0] * 16, *[ROWS] * TILES, *[0] * 8])

_ARCH_PRCTL, _ARCH_REQ_XCOMP_PERM, _TILE_DATA = 158, 0x1023, 18  # a call of the system, on Linux for x86-64


def missing() -> str:
    """The reason why tiles cannot be used here, "" if they can; asks the system for them."""
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
    """Ask the system to let this process use tiles; its threads and later children share the permission."""
    try:
        call = ctypes.CDLL(None, use_errno=True).syscall
        call.restype = ctypes.c_long
        return bool(call(*map(ctypes.c_long, (_ARCH_PRCTL, _ARCH_REQ_XCOMP_PERM, _TILE_DATA))) == 0)
    except (OSError, AttributeError):
        return False


def configure(state: Array) -> None:
    """Begin to use tiles in this thread, with unset contents; `state` is (STATE,) float32."""
    state[:] = np.nan


def release() -> None:
    """End the use of tiles in this thread: the system then no longer saves them when it switches threads."""


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
        The first entry in `memory`.
    row : int
        Entries from one row to the next; a row has 64 bytes.
    """
    words, size = memory.view(np.uint16), memory.itemsize // 2
    registers = state.view(np.uint16)
    for r in range(ROWS):
        for c in range(WORDS):
            registers[tile * TILE + r * WORDS + c] = words[(at + r * row) * size + c]


def store(state: Array, tile: int, memory: Array, at: Any, row: Any) -> None:
    """Copy a tile to memory, (S,) float32 or uint16; `state` is (STATE,) float32, the rest as for `load`."""
    words, size = memory.view(np.uint16), memory.itemsize // 2
    registers = state.view(np.uint16)
    for r in range(ROWS):
        for c in range(WORDS):
            words[(at + r * row) * size + c] = registers[tile * TILE + r * WORDS + c]


@scalar
def _flushed(x: Any) -> Any:
    """`x`, or 0 where it is too small for a normal number: tiles know no others."""
    return x if abs(x) >= _SMALLEST_NORMAL or x != x else np.float32(0)


@scalar
def _wide(word: Any) -> Any:
    """The float32 that the bits of a bfloat16 stand for, in tiles."""
    return _flushed(np.uint32(np.uint32(word) << np.uint32(16)).view(np.float32))


def multiply(state: Array, total: int, left: int, right: int) -> None:
    """Add the product of two tiles of bfloat16 to a tile of float32.

    ``total[m, n] += sum over k of left[m, 2k] * right[k, 2n] + left[m, 2k + 1] * right[k, 2n + 1]``

    Products are exact. Those with even and with odd columns of `left` are summed apart, for k from 0 on, then together,
    then with `total`; each sum is rounded to the nearest float32, and what is too small for a normal number is 0.

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
    """The address of a constant with the layout of the registers."""
    module, name = builder.module, "lavadl.tiles"
    constant = module.globals.get(name)
    if constant is None:
        kind = ir.ArrayType(_BYTE, len(_CONFIGURATION))
        constant = ir.GlobalVariable(module, kind, name)
        constant.initializer = ir.Constant(kind, bytearray(_CONFIGURATION))
        constant.global_constant, constant.linkage, constant.align = True, "internal", 64
    return builder.bitcast(constant, _POINTER)


def _number(kind: Any) -> ir.Constant:
    """A tile, given as a literal."""
    return ir.Constant(_BYTE, kind.literal_value)


def _compiled(emulated: Any, context: Any, builder: Any, signature: Any, args: Any) -> Any:
    """Code that does without tiles."""
    return context.compile_internal(builder, emulated, signature, args)


# The functions above as ordinary compiled functions: `overload` replaces the names above in compiled code.
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
    """The intrinsic of `load` or `store`."""

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
