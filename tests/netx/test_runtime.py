"""Whatever ends a run, its processes and its shared memory end with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from lavadl_ref.netx import runtime
from tests.netx.cases import CASES

pytestmark = pytest.mark.lava

REPOSITORY = Path(__file__).resolve().parents[2]
SMALL = CASES["dense"]


@pytest.fixture
def traces(monkeypatch):
    """Process ids of sessions and names of segments that runs of this test made."""
    children, segments = [], []
    popen, sweep = subprocess.Popen, runtime._sweep

    def noting_popen(*args, **options):
        child = popen(*args, **options)
        children.append(child.pid)
        return child

    def noting_sweep(place):
        noted = place / "segments"
        segments.extend(noted.read_text().split() if noted.exists() else [])
        sweep(place)

    monkeypatch.setattr(runtime.subprocess, "Popen", noting_popen)
    monkeypatch.setattr(runtime, "_sweep", noting_sweep)
    return children, segments


def alive(session):
    """Living processes of a session."""
    found = []
    for process in psutil.process_iter(["status"]):
        try:
            if os.getsid(process.pid) == session and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except ProcessLookupError:
            continue
    return found


def assert_nothing_left(children, segments):
    assert children
    assert segments
    assert [pid for child in children for pid in alive(child)] == []
    assert [name for name in segments if (runtime.SHARED_MEMORY / name).exists()] == []


def test_leaves_nothing_after_success(traces):
    runtime.run(SMALL.net_config, SMALL.inputs, 5, timeout=60)
    assert_nothing_left(*traces)


def test_leaves_nothing_after_a_timeout(traces):
    began = time.monotonic()
    with pytest.raises(runtime.LavaTimeout, match=r"network of 2 layers did not finish within 6 s"):
        runtime.run(SMALL.net_config, SMALL.inputs, 200_000, timeout=6, record=())
    assert time.monotonic() - began < 12
    assert_nothing_left(*traces)


def test_failure_inside_lava_is_reported_at_once(traces, monkeypatch, tmp_path):
    """Lava itself would wait for ever."""
    (tmp_path / "sitecustomize.py").write_text(
        "import lavadl_ref.netx.processes.models as models\n"
        "def run_spk(self):\n"
        "    if self.time_step == 3:\n"
        "        raise ArithmeticError('at step three')\n"
        "    self.s_in.recv()\n"
        "models.PyRecorderModel.run_spk = run_spk\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(runtime.LavaRunError, match=r"failed in a Lava process(.|\n)*ArithmeticError: at step three"):
        runtime.run(SMALL.net_config, SMALL.inputs, 5, timeout=60)
    assert_nothing_left(*traces)


def test_refusal_is_reported_with_the_network():
    with pytest.raises(runtime.LavaRunError, match=r"job 1, network of 1 layers, failed(.|\n)*layer 0 \(conv\)"):
        bad = CASES["convolution_in_many_groups"]
        runtime.run_all([SMALL, runtime.Job(bad.net_config, bad.inputs, 3)], timeout=60)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inputs": np.zeros((8, 3))}, r"integers of shape .* got float64 of shape \(8, 3\)"),
        ({"inputs": np.zeros(8, int)}, r"got int64 of shape \(8,\)"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"record": ("spike",)}, r"record must be some of .*got \['spike'\]"),
        ({"states_at": [(0, 5)]}, r"\(0, 5\) is outside of the run of 5 steps"),
        ({"timeout": 0}, "timeout must be positive, got 0"),
    ],
)
def test_refuses_malformed_arguments(options, message):
    arguments = {"net_config": SMALL.net_config, "inputs": SMALL.inputs, "steps": 5, **options}
    with pytest.raises(ValueError, match=message):
        runtime.run(**arguments)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_leaves_nothing_when_the_caller_is_stopped(number, tmp_path):
    code = (
        "import os, sys\n"
        f"sys.path.insert(0, {str(REPOSITORY)!r})\n"
        "from lavadl_ref.netx import runtime\n"
        "from tests.netx.cases import CASES\n"
        "job = CASES['dense']\n"
        "runtime.run(job.net_config, job.inputs, 200_000, timeout=60, record=())\n"
    )
    caller = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        family = wait_for_actors(caller)
        (noted,) = tmp_path.glob("lavadl-ref-*/segments")
        segments = noted.read_text().split()
        assert any((runtime.SHARED_MEMORY / name).exists() for name in segments)
        caller.send_signal(number)
        assert caller.wait(10) != 0
        _, left = psutil.wait_procs(family, timeout=10)
        assert [p for p in left if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []
        until(lambda: not any((runtime.SHARED_MEMORY / name).exists() for name in segments))
        if number != signal.SIGKILL:
            assert list(tmp_path.iterdir()) == []
    finally:
        caller.kill()
        caller.wait()


def wait_for_actors(caller):
    """The caller's descendants once Lava runs: its worker and at least one process for each of two layers."""
    descendants = []

    def enough():
        descendants[:] = psutil.Process(caller.pid).children(recursive=True)
        return len(descendants) >= 8

    until(enough, 30)
    return descendants


def until(condition, seconds=10):
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.1)
