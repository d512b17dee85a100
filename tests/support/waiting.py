"""Waiting for events in other processes."""

from __future__ import annotations

import time

import psutil

from tests import PATIENCE


def wait_for_actors(caller):
    """The caller's descendants once Lava runs: its worker and at least one process for each of two layers."""
    descendants = []

    def enough():
        descendants[:] = psutil.Process(caller.pid).children(recursive=True)
        return len(descendants) >= 8

    until(enough)
    return descendants


def until(condition):
    """Wait for a condition."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.1)
