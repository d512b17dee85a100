"""Whatever ends a run, its processes and its shared memory end with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import psutil
import pytest

from lavadl_ref import _ending
from lavadl_ref.exchange.describe import Dense, Neuron
from lavadl_ref.netx import lava_support
from lavadl_ref.netx.plan.process_spec import UnsupportedLayer
from lavadl_ref.netx.run import runtime
from tests import PATIENCE
from tests.support.lava_traces import assert_nothing_left, traces
from tests.support.netx_cases import CASES
from tests.support.oracle.netx import network
from tests.support.waiting import until, wait_for_actors

__all__ = ["traces"]

pytestmark = pytest.mark.lava

REPOSITORY = Path(__file__).resolve().parents[2]
SMALL = CASES["dense"]


def test_a_run_leaves_nothing_after_success(traces):
    runtime.run(SMALL.net_config, SMALL.inputs, 5, timeout=PATIENCE)
    assert_nothing_left(*traces)


def test_a_run_leaves_nothing_after_a_timeout(traces):
    for limit in (12, 60, PATIENCE / 2):  # until Lava runs within it
        with pytest.raises(runtime.LavaTimeout, match=rf"network of 2 layers did not finish within {limit:g} s"):
            runtime.run(SMALL.net_config, SMALL.inputs, 200_000, timeout=limit, record=())
        if traces[1]:
            break
    assert_nothing_left(*traces)


def test_a_failure_inside_lava_is_reported_at_once(traces, monkeypatch, tmp_path):
    """Lava itself would wait for ever; in which order it starts the processes of two layers is not known."""
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
        runtime.run(SMALL.net_config, SMALL.inputs, 5, timeout=PATIENCE)
    assert_nothing_left(*traces)


VICTIMS = {
    r"the process of LIF of layer [01] \(PyLifModelBitAcc\)": "PyLifModelBitAcc",
    r"the process that keeps Lava's time \(LoihiPyRuntimeService\)": "LoihiPyRuntimeService",
    "the process that holds Lava's shared memory": "SharedMemoryManager",
}


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_killed_process_of_lava_is_named(victim, traces, monkeypatch, tmp_path):
    """Lava itself would wait for ever; in which order it starts the processes of two layers is not known."""
    (tmp_path / "sitecustomize.py").write_text(
        "import multiprocessing.process, os, signal, threading\n"
        "original = multiprocessing.process.BaseProcess.start\n"
        "def start(self):\n"
        "    builder = getattr(self, '_kwargs', {}).get('builder')\n"
        "    kind = getattr(builder, 'proc_model', None) or getattr(builder, 'rs_class', None)\n"
        "    name = kind.__name__ if builder else 'SharedMemoryManager'\n"
        "    original(self)\n"
        f"    if name == {VICTIMS[victim]!r}:\n"
        "        last[:] = [self._popen.pid]\n"
        "    if name == 'LoihiPyRuntimeService':\n"
        "        threading.Timer(1, lambda: os.kill(last[0], signal.SIGKILL)).start()\n"
        "last = []\n"
        "multiprocessing.process.BaseProcess.start = start\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    what = rf"^network of 2 layers failed on Lava: {victim} was killed by signal 9 \(SIGKILL\), as the system does"
    with pytest.raises(runtime.LavaRunError, match=what) as caught:
        runtime.run(SMALL.net_config, SMALL.inputs, 200_000, timeout=PATIENCE, record=())
    assert not isinstance(caught.value, runtime.LavaTimeout)
    assert_nothing_left(*traces)


@pytest.mark.parametrize(
    ("ending", "told"),
    [
        ("os.kill(os.getpid(), 9)", r"was killed by signal 9 \(SIGKILL\), as the system does where memory runs out"),
        ("os.kill(os.getpid(), 11)", r"was killed by signal 11 \(SIGSEGV\)"),
        ("os._exit(7)", "ended with status 7"),
    ],
)
def test_the_end_of_the_worker_is_told(ending, told, monkeypatch, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import os\nimport lavadl_ref.netx.run._worker as worker\nimport sys\n"
        f"if 'lavadl_ref.netx.run._worker' in sys.orig_argv: {ending}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(
        runtime.LavaRunError, match=rf"^network of 2 layers failed on Lava: the process that runs it {told}"
    ):
        runtime.run(SMALL.net_config, SMALL.inputs, 5, timeout=PATIENCE)


def test_a_run_works_where_temporary_files_have_a_long_name(monkeypatch, tmp_path):
    folder = tmp_path / ("long" * 20)
    folder.mkdir()
    monkeypatch.setattr(runtime.tempfile, "tempdir", str(folder))
    assert runtime.run(SMALL.net_config, SMALL.inputs, 3, timeout=PATIENCE).output.shape == (5, 3)


def test_a_failure_outside_of_lavas_processes_names_the_network(monkeypatch, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import lavadl_ref.netx.processes as processes\n"
        "original, made = processes.Recorder, []\n"
        "def Recorder(**options):\n"
        "    made.append(1)\n"
        "    return original(**options) if len(made) <= 3 else 1 // 0\n"
        "processes.Recorder = Recorder\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    job = runtime.Job(SMALL.net_config, SMALL.inputs, 3)
    with pytest.raises(runtime.LavaRunError, match=r"job 1, network of 2 layers, failed on Lava(.|\n)*ZeroDivision"):
        runtime.run_all([job, job], timeout=PATIENCE)


def test_a_run_says_what_to_type_where_lava_is_missing(monkeypatch):
    monkeypatch.setattr(lava_support, "available", lambda: (False, "pip install it"))
    with pytest.raises(lava_support.LavaUnavailable, match="pip install it"):
        runtime.run(SMALL.net_config, SMALL.inputs, 5)


def test_refusals_need_no_child():
    conv = CASES["convolution_of_a_wide_picture"]
    with pytest.raises(ValueError, match=r"input_shape=\(W, H, C\)"):
        runtime.run(conv.net_config, conv.inputs, 3)
    tanh = Neuron("SDNN", {"activation": "tanh", "threshold": 1})
    with pytest.raises(UnsupportedLayer, match=r"layer 0 \(dense\) has the activation 'tanh'"):
        runtime.run(network(Dense(shape=(1,), weight=np.ones((1, 2), int), neuron=tanh)), np.zeros((2, 3), int), 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inputs": np.zeros((8, 3))}, "inputs must have an integer type, got float64"),
        ({"inputs": np.zeros(8, int)}, r"inputs must have shape \(N, T\) or \(C, H, W, T\), got \(8,\)"),
        ({"inputs": np.full((8, 3), 2**31)}, "fit in 32 bits, got 2147483648 to 2147483648"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"record": ("spike",)}, r"record must be some of .*got \['spike'\]"),
        ({"states_at": [(0, 5)]}, "must name a step of a run of 5 steps, got step 5"),
        ({"states_at": [(2, 0)]}, "must name one of 2 layers, with neurons, got layer 2"),
        ({"inputs": np.zeros((7, 3), int)}, r"inputs must have shape \(8, T\), got \(7, 3\)"),
        ({"timeout": 0}, "timeout must be positive, got 0"),
    ],
)
def test_a_run_on_the_runtime_refuses_malformed_arguments(options, message):
    arguments = {"net_config": SMALL.net_config, "inputs": SMALL.inputs, "steps": 5, **options}
    with pytest.raises((TypeError, ValueError), match=message):
        runtime.run(**arguments)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_run_leaves_nothing_when_the_caller_is_stopped(number):
    with tempfile.TemporaryDirectory() as folder:  # short, as Lava puts a socket inside
        stop_a_caller(number, Path(folder))


def stop_a_caller(number, folder):
    code = (
        "import os, sys\n"
        f"sys.path.insert(0, {str(REPOSITORY)!r})\n"
        "from lavadl_ref.netx import runtime\n"
        "from tests.support.netx_cases import CASES\n"
        "job = CASES['dense']\n"
        f"runtime.run(job.net_config, job.inputs, 200_000, timeout={PATIENCE}, record=())\n"
    )
    caller = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "TMPDIR": str(folder)},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        family = wait_for_actors(caller)
        (noted,) = folder.glob("lavadl-ref-*/segments")
        segments = noted.read_text().split()
        assert any((_ending.SHARED_MEMORY / name).exists() for name in segments)
        caller.send_signal(number)
        assert caller.wait(PATIENCE) != 0
        _, left = psutil.wait_procs(family, timeout=PATIENCE)
        assert [p for p in left if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []
        until(lambda: not any((_ending.SHARED_MEMORY / name).exists() for name in segments))
        if number == signal.SIGKILL:
            until(lambda: _ending.remove_left_behind(folder) or not list(folder.iterdir()))
        assert list(folder.iterdir()) == []
    finally:
        caller.kill()
        caller.wait()


def test_a_process_forked_while_its_parent_is_killed_ends_too():
    code = (
        "import os, signal, sys\n"
        f"sys.path.insert(0, {str(REPOSITORY)!r})\n"
        "from lavadl_ref.netx.run import _worker\n"
        "def orphaned():\n"
        "    while os.getppid() == parent:\n"
        "        pass\n"
        "parent = os.getpid()\n"
        "os.register_at_fork(after_in_child=orphaned)\n"  # before the child asks to end with its parent
        "_worker._let_children_die_too()\n"
        "if os.fork():\n"
        "    os.kill(parent, signal.SIGKILL)\n"
        "print('still there')\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, timeout=PATIENCE
    )  # until the last has ended
    assert (found.returncode, found.stdout) == (-signal.SIGKILL, b"")
