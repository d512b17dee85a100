"""A fixture that checks that runs in this process leave it as it was."""

from __future__ import annotations

import threading
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def nothing_left(request, monkeypatch):
    """No test here forks, makes shared memory, or leaves a thread behind."""

    def refuse(*args: Any, **options: Any) -> None:
        raise AssertionError("this is to stay in one process")

    if "lava" not in request.keywords:
        monkeypatch.setattr("os.fork", refuse)
        monkeypatch.setattr("multiprocessing.shared_memory.SharedMemory.__init__", refuse)
    before = threading.enumerate()
    yield
    assert threading.enumerate() == before
