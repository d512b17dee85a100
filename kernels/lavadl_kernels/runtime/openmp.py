"""Kernels on the thread team of an OpenMP library: they run without the GIL, so no thread waits for the interpreter.

For each signature of a kernel, `launcher` compiles a function that packs the arguments, calls ``GOMP_parallel`` of the
library, and runs the kernel in each thread over that thread's ranges.  Such a launch takes 2 us, while one through
Python threads takes 50 to 90 us: a thread that waits for the GIL sleeps, and most kernels of a small network end before
it is woken.  The compiled function holds the address of the kernel's machine code instead of the code itself, so the
kernel is compiled once and not linked again.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numba
from llvmlite import ir
from numba import types

from lavadl_kernels.runtime import private
from lavadl_kernels.runtime.extending import intrinsic

UNKNOWN, NO, YES, FAILED = -1, 0, 1, 2  #: results of a launch, see `launcher`

cgutils = private.part("numba.core.cgutils", "team")

_INDEX, _INT, _BYTE = ir.IntType(64), ir.IntType(32), ir.IntType(8)
_ANYTHING = _BYTE.as_pointer()

#: The kernels by name. The code that starts a kernel must know the type of the kernel's result; it receives the name as
#: a literal and looks up the kernel here.
_kernels: dict[str, Any] = {}


@dataclass(frozen=True)
class Team:
    """The thread team of an OpenMP library with GNU's interface: the addresses of three of its functions."""

    parallel: int  #: the address of ``GOMP_parallel``
    number: int  #: the address of ``omp_get_thread_num``
    size: int  #: the address of ``omp_get_num_threads``


def of_library(library: ctypes.CDLL) -> Team:
    """The thread team of an OpenMP library.

    Parameters
    ----------
    library : ctypes.CDLL
        GNU's OpenMP library, or another with the same three functions.

    Raises
    ------
    AttributeError
        If the library lacks one of these functions.
    """
    names = ("GOMP_parallel", "omp_get_thread_num", "omp_get_num_threads")
    return Team(*(ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0 for name in names))


def _edge(build: ir.IRBuilder, index: ir.Value, ranges: ir.Value, size: ir.Value, align: ir.Value) -> ir.Value:
    """Build LLVM code for the start of a range, as in `jit.Kernel`: ``min(blocks * index // ranges * align, size)``."""
    blocks = build.sdiv(build.add(size, build.sub(align, _INDEX(1))), align)
    edge = build.mul(build.sdiv(build.mul(blocks, index), ranges), align)
    return build.select(build.icmp_signed("<", edge, size), edge, size)


def _borrowed(context: Any, builder: ir.IRBuilder, kind: Any, value: ir.Value) -> ir.Value:
    """Build LLVM code for `value` with arrays whose references are not counted.

    Threads that count references to the same array would wait for each other.
    """
    if isinstance(kind, types.Array):
        array = context.make_array(kind)(context, builder, value=value)
        for owner in ("meminfo", "parent"):
            setattr(array, owner, cgutils.get_null_value(getattr(array, owner).type))
        return array._getvalue()
    if isinstance(kind, types.BaseTuple):
        parts = zip(kind.types, cgutils.unpack_tuple(builder, value), strict=True)
        return context.make_tuple(builder, kind, [_borrowed(context, builder, *part) for part in parts])
    return value


def _ranges_of_thread(context: Any, builder: Any, packed: Any, returns: Any, takes: tuple[Any, ...]) -> ir.Function:
    """Build an LLVM function that runs the kernel over this thread's ranges; its argument is a pointer to `packed`."""
    name = f"{builder.function.name}.ranges"
    function = ir.Function(builder.module, ir.FunctionType(ir.VoidType(), [_ANYTHING]), name)
    function.linkage = "internal"
    build = ir.IRBuilder(function.append_basic_block("entry"))
    given = build.bitcast(function.args[0], packed)
    fields = range(len(packed.pointee.elements))
    code, number, members, ranges, size, align, result, arrays = (
        build.load(cgutils.gep_inbounds(build, given, 0, field)) for field in fields
    )
    asks = ir.FunctionType(_INT, []).as_pointer()
    own = build.sext(build.call(build.inttoptr(number, asks), []), _INDEX)
    step = build.sext(build.call(build.inttoptr(members, asks), []), _INDEX)
    kernel = build.inttoptr(code, context.call_conv.get_function_type(returns, takes).as_pointer())
    # The library may start fewer threads than requested, so each thread takes every `step`-th range.
    with cgutils.for_range_slice(build, own, ranges, step, _INDEX) as (index, _):
        lo, hi = (_edge(build, at, ranges, size, align) for at in (index, build.add(index, _INDEX(1))))
        with build.if_then(build.icmp_signed("<", lo, hi)):
            arguments = [lo, hi, *cgutils.unpack_tuple(build, arrays)]
            status, value = context.call_conv.call_function(build, kernel, returns, takes, arguments)
            if isinstance(returns, types.Boolean):
                with build.if_then(build.not_(value)):
                    build.store(_INDEX(NO), result)
            with build.if_then(status.is_error):
                build.store(_INDEX(FAILED), result)
    build.ret_void()
    return function


@partial(intrinsic, prefer_literal=True)
def _launch(
    typing_context: Any,
    name: Any,
    code: Any,
    parallel: Any,
    number: Any,
    members: Any,
    ranges: Any,
    size: Any,
    align: Any,
    arrays: Any,
) -> Any:
    takes = (types.intp, types.intp, *arrays.types)
    kernel = numba.typeof(_kernels[name.literal_value])
    returns = kernel.get_call_type(typing_context, takes, {}).return_type

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, code, parallel, *rest = arguments
        known = cgutils.add_global_variable(builder.module, _INDEX, f"{builder.function.name}.code")
        known.initializer, known.linkage = _INDEX(0), "internal"
        with builder.if_then(builder.icmp_unsigned("!=", code, _INDEX(0))):
            builder.store(code, known)
        code = builder.load(known)
        result = cgutils.alloca_once_value(builder, _INDEX(UNKNOWN))
        with builder.if_then(builder.icmp_unsigned("!=", code, _INDEX(0))):
            builder.store(_INDEX(YES), result)
            fields = [code, *rest[:-1], result, _borrowed(context, builder, arrays, rest[-1])]
            packed = cgutils.alloca_once(builder, ir.LiteralStructType([field.type for field in fields]))
            for index, field in enumerate(fields):
                builder.store(field, cgutils.gep_inbounds(builder, packed, 0, index))
            function = _ranges_of_thread(context, builder, packed.type, returns, takes)
            takes_it = ir.FunctionType(ir.VoidType(), [function.type, _ANYTHING, _INT, _INT])
            run = builder.inttoptr(parallel, takes_it.as_pointer())
            count = builder.trunc(rest[2], _INT)
            builder.call(run, [function, builder.bitcast(packed, _ANYTHING), count, _INT(0)])
        return builder.load(result)

    return types.intp(name, *[types.intp] * 7, arrays), generate


def launcher(name: str, kernel: Any) -> Callable[..., int]:
    """Make a Python function ``launch(code, parallel, number, members, ranges, size, align, *arrays)`` for compilation.

    The function runs the compiled `kernel`, which is registered as `name`, over `size` items on a thread team. `code`
    is the address of the kernel's machine code; it is needed only once, and is 0 in other calls. The function returns
    `YES` if the run succeeded; `NO` if the kernel returned False for a range; `FAILED` if the kernel raised an error
    for a range; and `UNKNOWN`, without running the kernel, if it has not been given the address yet.
    """
    _kernels[name] = kernel

    def launch(
        code: int, parallel: int, number: int, members: int, ranges: int, size: int, align: int, *arrays: Any
    ) -> int:
        result: int = _launch(name, code, parallel, number, members, ranges, size, align, arrays)
        return result

    # The cache on disk and profilers distinguish functions by file, line and name.
    of = getattr(kernel, "py_func", kernel).__code__
    launch.__qualname__ = f"{of.co_name}.launch"
    launch.__code__ = launch.__code__.replace(
        co_name=launch.__qualname__, co_filename=of.co_filename, co_firstlineno=of.co_firstlineno
    )
    return launch


def address(kernel: Any, arguments: tuple[Any, ...]) -> int:
    """The address of the machine code of a compiled kernel for the types of `arguments`."""
    signature = tuple(numba.typeof(argument) for argument in arguments)
    kernel.compile(signature)
    result = kernel.overloads[signature]
    return int(result.library.get_pointer_to_function(result.fndesc.llvm_func_name))
