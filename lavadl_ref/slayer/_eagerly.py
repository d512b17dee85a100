"""The way around `torch.compile`: imported where something is compiled, because it imports torch._dynamo."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


@torch.compiler.disable(recursive=True)
def call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function as it is, compiled or not: one graph break, whatever it does."""
    return function(*args, **kwargs)
