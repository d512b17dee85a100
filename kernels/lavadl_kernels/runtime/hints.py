"""Hints to the compiler and the processor about loops over rows of lanes; they do not change any result."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from lavadl_kernels.runtime.array_types import Array
from lavadl_kernels.runtime.extending import instructions, intrinsic

LINE = 16  #: floats of a cache line


def prefetch(row: Array) -> None:
    """Prefetch `row`, (n,) float32 of any unit, into the L2 cache; the program does not wait for it."""


def prefetch_to_write(row: Array) -> None:
    """Prefetch `row`, (n,) float32 of any unit, like `prefetch`, but for a write that follows soon."""


def _prefetcher(write: int) -> Any:
    @intrinsic
    def line(typing_context: Any, row: Any, at: Any) -> Any:
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
            start = context.make_array(signature.args[0])(context, builder, args[0]).data
            number, byte = ir.IntType(32), ir.IntType(8).as_pointer()
            kind, name = ir.FunctionType(ir.VoidType(), [byte, number, number, number]), "llvm.prefetch.p0i8"
            function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
            address = builder.bitcast(builder.gep(start, [args[1]]), byte)
            builder.call(function, [address, *(ir.Constant(number, value) for value in (write, 2, 1))])
            return context.get_dummy_value()

        return types.void(row, types.intp), generate

    def ask(row: Any) -> None:
        for at in range(0, row.size, LINE):
            line(row, at)

    return ask


@instructions(prefetch)
def _overload_prefetch(row: Any) -> Any:
    return _prefetcher(0)


@instructions(prefetch_to_write)
def _overload_prefetch_to_write(row: Any) -> Any:
    return _prefetcher(1)


def distinct_rows() -> None:
    """Promise the compiler that no two array arguments of the calling function share memory, unless it only reads both.

    Without this promise, each call compares the memory ranges of all arrays before it enters a vectorised loop, which
    for rows of a few hundred lanes takes as long as the loop itself.
    """


@intrinsic
def _distinct_rows(typing_context: Any) -> Any:
    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        for argument in builder.function.args:
            if isinstance(argument.type, ir.PointerType) and isinstance(
                argument.type.pointee, (ir.FloatType, ir.DoubleType)
            ):
                argument.add_attribute("noalias")
        return context.get_dummy_value()

    return types.void(), generate


@instructions(distinct_rows, inline="always")
def _overload_distinct_rows() -> Any:
    return lambda: _distinct_rows()
