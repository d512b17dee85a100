"""Sources of random choices: Hypothesis, or a generator of NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

import numpy as np

T = TypeVar("T")


class Choices(Protocol):
    """A source of random choices."""

    def integer(self, low: int, high: int) -> int:
        """An integer within [low, high]."""

    def one(self, options: Sequence[T]) -> T:
        """One of `options`."""


class Seeded:
    """Choices of a NumPy generator."""

    def __init__(self, generator: np.random.Generator) -> None:
        self._generator = generator

    def integer(self, low: int, high: int) -> int:
        """An integer within [low, high]."""
        return int(self._generator.integers(low, high, endpoint=True))

    def one(self, options: Sequence[T]) -> T:
        """One of `options`."""
        return options[self.integer(0, len(options) - 1)]
