"""The setting of every run: one Hypothesis profile, threads, the order, and the folder of recorded data.

The `conftest` files of tests and validation import it.
"""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.tree import ROOT

settings.register_profile(
    "project",
    deadline=None,
    derandomize=True,
    max_examples=int(os.environ.get("LAVADL_REF_EXAMPLES", "40")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("project")

if "PYTEST_XDIST_WORKER" in os.environ:
    # Tests already run side by side: a worker takes one processor, and so do the programs that it starts.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # A worker has no terminal; the size that readline finds for it would be taken for the user's wish.
    os.environ.pop("COLUMNS", None)
    os.environ.pop("LINES", None)


EACH = 20  #: tests after which the garbage collector forgets
_tests = 0


def pytest_collection_modifyitems(items):
    """Tests that may take long come first, the longest of them first, so that no worker is left with one at the end."""

    def seconds(item):
        mark = item.get_closest_marker("timeout")
        return mark.args[0] if mark is not None else 0

    items.sort(key=seconds, reverse=True)


@pytest.hookimpl(trylast=True)
def pytest_runtest_logfinish():
    """The garbage collector forgets what has been alive so far, above all compiled kernels.

    A worker comes to hold so many objects that `gc.collect`, which some tests and tutorials call, takes seconds.
    """
    global _tests
    _tests += 1
    if _tests % EACH == 0:
        gc.collect()  # only through what is new since the last time
        gc.freeze()


@pytest.fixture(scope="session")
def data():
    """The folder of recorded data, from LAVADL_REF_DATA or beside the project."""
    beside = ROOT.parent / "shared" / "data"
    folder = Path(os.environ.get("LAVADL_REF_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no recorded data in {folder}; LAVADL_REF_DATA names another folder")
    return folder
