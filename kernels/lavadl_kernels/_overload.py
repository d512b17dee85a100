"""Numba's `overload` for functions with annotations."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from numba import extending

_Function = TypeVar("_Function", bound=Callable[..., Any])


def overload(function: Callable[..., Any], **options: Any) -> Callable[[_Function], _Function]:
    """Decorate what chooses an implementation of `function` by the types of its arguments.

    Numba refuses an implementation whose signature differs from that of the function that chooses it, annotations
    included, and a lambda has none: they are taken away.
    """

    def register(choose: _Function) -> _Function:
        @functools.wraps(choose)
        def bare(*arguments: Any, **named: Any) -> Any:
            chosen = choose(*arguments, **named)
            if chosen is not None:
                chosen.__annotations__ = {}
            return chosen

        choose.__annotations__ = bare.__annotations__ = {}
        extending.overload(function, **options)(bare)
        return choose

    return register
