"""The tests; what they share with validation is in `tests.support`."""

from tests.support import PATIENCE

__all__ = ["PATIENCE"]
