"""A fixture that notes what runs on Lava's runtime make, and a check that nothing of it is left."""

from __future__ import annotations

import os
import subprocess

import psutil
import pytest

from lavadl_ref import _ending


@pytest.fixture
def traces(monkeypatch):
    """Process ids of sessions and names of segments that runs of this test made."""
    children, segments = [], []
    popen, remove = subprocess.Popen, _ending._remove_folder

    def noting_popen(*args, **options):
        child = popen(*args, **options)
        children.append(child.pid)
        return child

    def noting_remove(place):
        noted = place / _ending.SEGMENTS
        segments.extend(noted.read_text().split() if noted.exists() else [])
        remove(place)

    monkeypatch.setattr(_ending.subprocess, "Popen", noting_popen)
    monkeypatch.setattr(_ending, "_remove_folder", noting_remove)
    return children, segments


def alive(session):
    """Living processes of one process session."""
    found = []
    for process in psutil.process_iter(["status"]):
        try:
            if os.getsid(process.pid) == session and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except ProcessLookupError:
            continue
    return found


def assert_nothing_left(children, segments):
    """Raise unless a run was noted, and none of its processes and segments is there any more."""
    assert children
    assert segments
    assert [pid for child in children for pid in alive(child)] == []
    assert [name for name in segments if (_ending.SHARED_MEMORY / name).exists()] == []
