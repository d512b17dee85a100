"""Numba's `overload`, `intrinsic` and `register_jitable` with types: a decorated function keeps its own signature."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from numba import extending

from lavadl_kernels.runtime import private

F = TypeVar("F", bound=Callable[..., Any])


def overload(function: Callable[..., Any], **options: Any) -> Callable[[F], F]:
    """Decorate a function that returns the compiled form of `function` for given argument types: Numba's `overload`.

    The compiled form must have the same argument names as the decorated function.
    """

    def decorate(implementation: F) -> F:
        @functools.wraps(implementation)
        def bare(*arguments: Any, **named: Any) -> Any:
            compiled = implementation(*arguments, **named)
            if compiled is not None:
                compiled.__annotations__.clear()
            return compiled

        # Numba compares the signatures of the two functions including annotations, and a lambda cannot have any.
        implementation.__annotations__.clear()
        bare.__annotations__.clear()
        extending.overload(function, **options)(bare)
        return implementation

    return decorate


def instructions(
    function: Callable[..., Any], plain: Callable[..., Any] | None = None, **options: Any
) -> Callable[[F], F]:
    """Decorate, like `overload`, a compiled form of `function` that consists of LLVM's own instructions.

    If the installed Numba lacks the internals that such a form needs (see `private`), `plain` is compiled instead: a
    function with the same arguments, by default `function` itself.
    """
    if not private.lacking("vectors"):
        return overload(function, **options)

    def pass_over(implementation: F) -> F:
        extending.overload(function, strict=False)(lambda *arguments, **named: plain or function)
        return implementation

    return pass_over


def intrinsic(function: Callable[..., Any], **options: Any) -> Any:
    """Decorate a function that gives the type of a call and generates its LLVM instructions: Numba's `intrinsic`."""
    return extending.intrinsic(**options)(function) if options else extending.intrinsic(function)


def jitable(function: F, **options: Any) -> F:
    """Let compiled code call `function`, which stays a Python function: Numba's `register_jitable`."""
    # Numba's decorator takes the function directly only if there are no options.
    (extending.register_jitable(**options) if options else extending.register_jitable)(function)
    return function
