"""Rounding of float32 and float64 operations toward zero, for the loops that request it.

If a product is rounded toward zero and then truncated to an integer, the result equals the exact product truncated to
an integer, because no integer lies between a number and its rounded value.  One multiplication and one truncation
therefore replace a product in two parts, which takes eight operations.

The rounding mode belongs to the thread.  Within a function, the compiler may move an operation across the change of
mode.  The loops between `round_toward_zero` and `round_as` must therefore be in a function that calls `stay_apart`.
"""

from __future__ import annotations

import platform
from typing import Any

from llvmlite import ir
from numba import types

from lavadl_kernels.runtime import private
from lavadl_kernels.runtime.extending import instructions, intrinsic, overload

cgutils = private.part("numba.core.cgutils", "vectors")

#: Whether compiled code can change the rounding mode: this module supports only the control register of x86.
CAN_ROUND_TOWARD_ZERO = platform.machine().lower() in ("x86_64", "amd64") and cgutils is not None

_MODE = 0x6000  #: the bits of the control register that hold the rounding mode; all set means toward zero
_I32 = ir.IntType(32)
_BYTES = ir.IntType(8).as_pointer()


def round_toward_zero() -> int:
    """Round toward zero from now on, and return the previous mode; do nothing and return 0 where that is impossible."""
    return 0


def round_as(mode: int) -> None:
    """Restore the rounding mode `mode`, which `round_toward_zero` returned."""


def stay_apart() -> None:
    """Prevent the function that calls this one from being inlined into its own callers."""


def _control(builder: ir.IRBuilder, name: str, place: ir.Value) -> None:
    kind = ir.FunctionType(ir.VoidType(), [_BYTES])
    function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
    builder.call(function, [builder.bitcast(place, _BYTES)])


@intrinsic
def _set_mode(typing_context: Any, mode: Any) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        place = cgutils.alloca_once(builder, _I32)
        _control(builder, "llvm.x86.sse.stmxcsr", place)
        before = builder.load(place)
        others = builder.and_(before, ir.Constant(_I32, ~_MODE & 0xFFFFFFFF))
        builder.store(builder.or_(others, arguments[0]), place)
        _control(builder, "llvm.x86.sse.ldmxcsr", place)
        return builder.and_(before, ir.Constant(_I32, _MODE))

    return types.int32(types.int32), generate


@overload(round_toward_zero)
def _round_toward_zero() -> Any:
    return (lambda: _set_mode(_MODE)) if CAN_ROUND_TOWARD_ZERO else lambda: 0


@overload(round_as)
def _round_as(mode: Any) -> Any:
    if not CAN_ROUND_TOWARD_ZERO:
        return lambda mode: None

    def back(mode: Any) -> None:
        _set_mode(mode)

    return back


@intrinsic
def _stay_apart(typing_context: Any) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        builder.function.attributes.add("noinline")
        return context.get_dummy_value()

    return types.void(), generate


@instructions(stay_apart, inline="always")
def _overload_stay_apart() -> Any:
    return lambda: _stay_apart()
