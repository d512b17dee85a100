"""Sources of random choices: Hypothesis, or a generator of NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")


class Choices(Protocol):
    """A source of random choices."""

    def integer(self, low: int, high: int) -> int:
        """An integer within [low, high]."""

    def one(self, options: Sequence[T]) -> T:
        """One of `options`."""


class Parts(Choices, Protocol):
    """A source of random parts of networks."""

    def flag(self) -> bool:
        """False or True."""

    def among(self, options: Sequence[T], allowed: Sequence[T]) -> T:
        """One of those `options` that are `allowed`."""

    def number(self, low: int, high: int, usual: tuple[int, int], extreme: bool) -> int:
        """An integer within the two of `usual`; if `extreme`, also one of `edges` or anything within [low, high]."""

    def numbers(
        self, shape: int | tuple[int, ...], low: int, high: int, usual: tuple[int, int], extreme: bool
    ) -> NDArray[np.int64]:
        """An array of this shape of such integers."""


def edges(low: int, high: int) -> list[int]:
    """The integers within [low, high] at which things change, the smallest magnitudes first."""
    return sorted({n for n in (0, 1, low, low + 1, high - 1, high) if low <= n <= high}, key=abs)


class Seeded:
    """Choices, and parts of networks, of a NumPy generator."""

    def __init__(self, generator: np.random.Generator) -> None:
        self._generator = generator

    def integer(self, low: int, high: int) -> int:
        """An integer within [low, high]."""
        return int(self._generator.integers(low, high, endpoint=True))

    def one(self, options: Sequence[T]) -> T:
        """One of `options`."""
        return options[self.integer(0, len(options) - 1)]

    def flag(self) -> bool:
        """False or True."""
        return self.integer(0, 1) == 1

    def among(self, options: Sequence[T], allowed: Sequence[T]) -> T:
        """One of those `options` that are `allowed`."""
        return self.one([option for option in options if option in allowed])

    def number(self, low: int, high: int, usual: tuple[int, int], extreme: bool) -> int:
        """An integer within the two of `usual`; if `extreme`, also one of `edges` or anything within [low, high]."""
        way = self.integer(0, 2) if extreme else 0
        if way == 1:
            return self.one(edges(low, high))
        return self.integer(low, high) if way else self.integer(*usual)

    def numbers(self, shape: int | tuple[int, ...], *limits: Any) -> NDArray[np.int64]:
        """An array of this shape of such integers."""
        flat = [self.number(*limits) for _ in range(int(np.prod(shape)))]
        return np.array(flat, np.int64).reshape(shape)
