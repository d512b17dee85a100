"""Tests that start Lava skip, with the reason, where it cannot run."""

from __future__ import annotations

import pytest

from tests.support.lava import USABLE, WHY


def pytest_collection_modifyitems(items):
    for item in items:
        if "lava" in item.keywords and not USABLE:
            item.add_marker(pytest.mark.skip(reason=WHY))
