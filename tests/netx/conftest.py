"""What the tests that start Lava share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lavadl_ref.netx import lava_support

USABLE, WHY = lava_support.available()


def pytest_collection_modifyitems(items):
    for item in items:
        if "lava" in item.keywords and not USABLE:
            item.add_marker(pytest.mark.skip(reason=WHY))


@pytest.fixture(scope="session")
def data():
    """The folder of recorded data, where there is one."""
    beside = Path(__file__).resolve().parents[3] / "shared" / "data"
    folder = Path(os.environ.get("LAVADL_REF_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no recorded data in {folder}; LAVADL_REF_DATA names another folder")
    return folder
