"""The non-public parts of Numba that kernels use, what they are used for, and whether the installed Numba has them.

A future version of Numba may move or remove any of them.  Without them, kernels still work and give the same integers:

==============  =====================================================================================
``cache``       Numba compiles again in each process, and a warning says so
``team``        kernels run on Python's threads instead of those of an OpenMP library
``vectors``     loops are compiled as they are written in Python, instead of from LLVM's vectors
``options``     functions count references that they need not count, and LLVM decides what it inlines
``notice``      nothing is shown while kernels are compiled
==============  =====================================================================================

Without ``vectors``, float32 sums may be rounded differently: a fused multiply-add rounds once instead of twice.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

import numba

#: The parts that each use needs, as "module:names within it".
NEEDED: dict[str, tuple[str, ...]] = {
    "cache": (
        *(f"numba.core.caching:FunctionCache.{name}" for name in ("_index_key", "enable", "load_overload")),
        *(f"numba.core.caching:CompileResultCacheImpl.{name}" for name in ("reduce", "rebuild", "check_cachable")),
        "numba.core.serialize:dumps",
    ),
    "team": (
        *(
            f"numba.core.cgutils:{name}"
            for name in (
                *("add_global_variable", "alloca_once", "alloca_once_value", "for_range_slice"),
                *("gep_inbounds", "get_null_value", "unpack_tuple"),
            )
        ),
        *(f"numba.core.base:BaseContext.{name}" for name in ("get_dummy_value", "make_array", "make_tuple")),
        "numba.core.codegen:JITCodeLibrary.get_pointer_to_function",
        "numba.core.cpu:CPUContext.call_conv",
    ),
    "vectors": (
        *(f"numba.core.cgutils:{name}" for name in ("alloca_once", "as_bool_bit", "get_or_insert_function")),
        *(f"numba.core.base:BaseContext.{name}" for name in ("compile_internal", "get_dummy_value", "make_array")),
        "numba.core.codegen:CPUCodegen.magic_tuple",
    ),
    "options": tuple(f"numba.core.options:DefaultOptions.{name}" for name in ("_nrt", "forceinline")),
    "notice": tuple(f"numba.core.event:{name}" for name in ("Listener", "register")),
}


@cache
def lacking(use: str) -> str:
    """The first part needed for a use that the installed Numba lacks, as a message; "" if it has all of them.

    Parameters
    ----------
    use : str
        A key of `NEEDED`.

    Examples
    --------
    >>> lacking("cache")
    ''
    """
    for wanted in NEEDED[use]:
        module, _, names = wanted.partition(":")
        try:
            found: Any = importlib.import_module(module)
            for name in names.split("."):
                found = getattr(found, name)
        except (ImportError, AttributeError):
            return f"{module}.{names} is not in Numba {numba.__version__}"
    return ""


def part(module: str, use: str) -> Any:
    """A module of Numba, or None if the installed Numba lacks any part that `use` needs."""
    return None if lacking(use) else importlib.import_module(module)


def options(**wanted: Any) -> dict[str, Any]:
    """Options for Numba's compiler, without those that the installed Numba does not know.

    Parameters
    ----------
    **wanted
        Values of options by name; only those in ``NEEDED["options"]`` may be unknown to Numba.
    """
    if not lacking("options"):
        return wanted
    private = {name.rpartition(".")[2] for name in NEEDED["options"]}
    return {name: value for name, value in wanted.items() if name not in private}
