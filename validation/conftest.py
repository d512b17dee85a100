"""The folder of recorded data and the Hypothesis profile are those of the tests."""

from tests.conftest import data

__all__ = ["data"]
