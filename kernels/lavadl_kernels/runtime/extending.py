"""Numba's `overload`, `intrinsic` and `register_jitable` with types: a decorated function keeps its own signature."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from numba import extending

from lavadl_kernels.runtime import private

F = TypeVar("F", bound=Callable[..., Any])


def overload(function: Callable[..., Any], **options: Any) -> Callable[[F], F]:
    """Decorate what gives the compiled form of `function` for the types of its arguments: Numba's own `overload`.

    The compiled form must have the argument names of the decorated function.
    """

    def decorate(implementation: F) -> F:
        @functools.wraps(implementation)
        def bare(*arguments: Any, **named: Any) -> Any:
            compiled = implementation(*arguments, **named)
            if compiled is not None:
                compiled.__annotations__.clear()
            return compiled

        # Numba compares the signatures of the two, annotations included, and those of a lambda cannot have any
        implementation.__annotations__.clear()
        bare.__annotations__.clear()
        extending.overload(function, **options)(bare)
        return implementation

    return decorate


def instructions(
    function: Callable[..., Any], plain: Callable[..., Any] | None = None, **options: Any
) -> Callable[[F], F]:
    """Decorate, as `overload` does, the compiled form of `function` that consists of LLVM's own instructions.

    Where this Numba lacks what such forms need (`private`), `plain` is compiled in its place: a function of the same
    arguments, by default `function` itself.
    """
    if not private.lacking("vectors"):
        return overload(function, **options)

    def pass_over(implementation: F) -> F:
        extending.overload(function, strict=False)(lambda *arguments, **named: plain or function)
        return implementation

    return pass_over


def intrinsic(function: Callable[..., Any], **options: Any) -> Any:
    """Decorate what types a call and generates its LLVM instructions: Numba's own `intrinsic`."""
    return extending.intrinsic(**options)(function) if options else extending.intrinsic(function)


def jitable(function: F, **options: Any) -> F:
    """Let compiled code call `function`, which stays a Python function: Numba's own `register_jitable`."""
    # Numba takes the function with the options only if there are none
    (extending.register_jitable(**options) if options else extending.register_jitable)(function)
    return function
