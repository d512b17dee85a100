"""The processor that kernels are compiled for: this one, or the one that Numba's settings name.

Code whose compilation depends on the processor calls `has`.  The kernels shipped with a package are compiled for a
level: a set of features that all processors of a certain generation have, and that compilers know by a name.
"""

from __future__ import annotations

from llvmlite import binding
from numba import config

_V2 = frozenset({"cx16", "popcnt", "sahf", "sse3", "sse4.1", "sse4.2", "ssse3"})
_V3 = _V2 | {"avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe", "xsave"}
_V4 = _V3 | {"avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl"}

#: The levels for which kernels are shipped, each with all its features, by LLVM's names; the level with the most
#: features comes last.
LEVELS: dict[str, frozenset[str]] = {"x86-64-v3": _V3, "x86-64-v4": _V4}


def _of_this_machine() -> frozenset[str]:
    """The features that this processor has and that the operating system allows programs to use."""
    try:
        return frozenset(name for name, has in binding.get_host_cpu_features().items() if has)
    except RuntimeError:  # LLVM cannot determine the features of this machine
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
    """The highest of `LEVELS` all of whose features this processor has.

    None if there is no such level, or if Numba's settings name another processor or disable features: then only code
    that was compiled under these settings may run.
    """
    if config.CPU_NAME is not None or config.CPU_FEATURES is not None or not config.ENABLE_AVX:
        return None
    return next((name for name in reversed(LEVELS) if is_of(name)), None)


def is_of(level: str) -> bool:
    """Tell whether this processor has all features of one of `LEVELS`."""
    return _of_this_machine() >= LEVELS[level]


def settings(level: str) -> dict[str, str]:
    """The environment variables that make a process compile for one of `LEVELS`, on any machine.

    They disable Intel's library of vector functions (SVML), which Numba calls if it is installed: other machines may
    lack it.
    """
    return {"NUMBA_CPU_NAME": level, "NUMBA_CPU_FEATURES": "", "NUMBA_DISABLE_INTEL_SVML": "1"}
