"""The processor that kernels are compiled for: this one, or the one that Numba's settings name.

What depends on the processor while a kernel is compiled asks `has`.  Kernels that a package comes with are compiled for
a level: a set of features that all processors of some years have, known to compilers by its name.
"""

from __future__ import annotations

from llvmlite import binding
from numba import config

_V2 = frozenset({"cx16", "popcnt", "sahf", "sse3", "sse4.1", "sse4.2", "ssse3"})
_V3 = _V2 | {"avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe", "xsave"}
_V4 = _V3 | {"avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl"}

#: The levels that kernels are shipped for, each with all its features, by LLVM's names; the richest last.
LEVELS: dict[str, frozenset[str]] = {"x86-64-v3": _V3, "x86-64-v4": _V4}


def _of_this_machine() -> frozenset[str]:
    """The features that this processor has and that the operating system lets programs use."""
    try:
        return frozenset(name for name, has in binding.get_host_cpu_features().items() if has)
    except RuntimeError:  # LLVM knows none of this machine's
        return frozenset()


def features() -> frozenset[str]:
    """The features that compiled code may use, by LLVM's names."""
    if config.CPU_FEATURES is None:
        own = _of_this_machine()
        return own if config.ENABLE_AVX else frozenset(name for name in own if not name.startswith("avx"))
    named = config.CPU_FEATURES.split(",")
    return LEVELS.get(config.CPU_NAME, frozenset()) | {name[1:] for name in named if name.startswith("+")}


def has(feature: str) -> bool:
    """Tell whether compiled code may use a feature, such as ``"avx512f"``."""
    return feature in features()


def level() -> str | None:
    """The richest of `LEVELS` whose features this processor has.

    None if it has those of none, and where Numba's settings name another processor or take features away: then
    only code that was compiled under these settings is run.
    """
    if config.CPU_NAME is not None or config.CPU_FEATURES is not None or not config.ENABLE_AVX:
        return None
    return next((name for name in reversed(LEVELS) if is_of(name)), None)


def is_of(level: str) -> bool:
    """Tell whether this processor has all features of one of `LEVELS`."""
    return _of_this_machine() >= LEVELS[level]


def settings(level: str) -> dict[str, str]:
    """The variables of the environment under which a process compiles for one of `LEVELS`, on any machine.

    Intel's library of vector functions, which Numba calls where it is installed, is left out: others lack it.
    """
    return {"NUMBA_CPU_NAME": level, "NUMBA_CPU_FEATURES": "", "NUMBA_DISABLE_INTEL_SVML": "1"}
