"""Equality of descriptions: the name of `lavadl_ref.exchange.same` among the tools for tests."""

from lavadl_ref.exchange import same

__all__ = ["same"]
