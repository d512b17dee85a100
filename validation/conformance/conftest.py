"""The folder of the recordings that Lava-DL's package brings along."""

from __future__ import annotations

import pytest

from validation.conformance import upstream_tests


@pytest.fixture(scope="module")
def gts():
    """The folder of Lava-DL's recordings."""
    folder = upstream_tests.INSTALLED / "netx" / "gts"
    if not folder.is_dir():
        pytest.skip("lava-dl with its tests is not installed")
    return folder
