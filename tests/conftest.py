"""The fixtures and the order that all tests share, from `tests.support.plugin`."""

from tests.support.plugin import data, pytest_collection_modifyitems, pytest_runtest_logfinish

__all__ = ["data", "pytest_collection_modifyitems", "pytest_runtest_logfinish"]
