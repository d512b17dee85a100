"""What all tests share: one Hypothesis profile, and the folder of recorded data."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "project", deadline=None, derandomize=True, max_examples=40, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("project")


@pytest.fixture(scope="session")
def data():
    """The folder of recorded data, from LAVADL_REF_DATA or beside the project."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("LAVADL_REF_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no recorded data in {folder}; LAVADL_REF_DATA names another folder")
    return folder
