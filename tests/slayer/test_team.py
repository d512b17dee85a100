"""Kernels on torch's threads: every item once, on as many threads as asked for, the same bits as on our own."""

import os
import subprocess
import sys
import threading
from types import SimpleNamespace

import lavadl_kernels
import numpy as np
import pytest
import torch
from lavadl_kernels.runtime import jit as _jit
from lavadl_kernels.runtime import openmp as kernels_openmp

from lavadl_ref.slayer._bridge import openmp as _openmp

team = _openmp.of_torch()
needs_team = pytest.mark.skipif(team is None, reason="torch has no GNU OpenMP here")


@_jit.kernel
def count(begin, end, times, seen):
    for i in range(begin, end):
        times[i] += 1
        seen[i] = begin


@_jit.kernel
def count_in_tuple(begin, end, both, by):
    for i in range(begin, end):
        both[0][i] += by
        both[1][i] += 1


@_jit.kernel
def all_below(begin, end, x, limit):
    good = True
    for i in range(begin, end):
        good &= x[i] < limit
    return good


@_jit.kernel
def divide(begin, end, x, by):
    for i in range(begin, end):
        if by == 0:
            raise ZeroDivisionError
        x[i] //= by


@pytest.fixture
def threads(monkeypatch):
    """Three threads, of torch, for arrays of any size."""
    monkeypatch.setattr(_jit, "PROCESSORS", 3)
    monkeypatch.setattr(_jit, "TEAM_WORTH", 0)
    monkeypatch.setattr(_jit, "_openmp_team", team)
    before = lavadl_kernels.get_num_threads()
    lavadl_kernels.set_num_threads(3)
    yield
    lavadl_kernels.set_num_threads(before)


@needs_team
@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 128, 1000, 100_000])
@pytest.mark.parametrize("align", [1, 64])
def test_every_item_is_run_once(threads, size, align):
    times, seen = np.zeros(size, np.int64), np.zeros(size, np.int64)
    assert count(size, times, seen, align=align) is True
    assert (times == 1).all()
    begins = np.unique(seen)
    assert (begins % align == 0).all()
    assert len(begins) == min(3, -(-size // align))


@needs_team
@pytest.mark.parametrize("item", [np.int32, np.float32, np.float64])
def test_every_signature_is_told_its_own_code(threads, item):
    both = np.zeros(1000, item), np.zeros(1000, np.int64)
    for _ in range(2):  # the first tells where the code is
        assert count_in_tuple(1000, both, item(2)) is True
    assert (both[0] == 4).all()
    assert (both[1] == 2).all()


@needs_team
@pytest.mark.parametrize("bad", [0, 500, 999])
def test_any_range_of_a_team_can_say_no(threads, bad):
    x = np.zeros(1000, np.int64)
    assert all_below(1000, x, 1) is True
    x[bad] = 1
    assert all_below(1000, x, 1) is False


@needs_team
def test_a_failure_on_a_team_is_raised(threads):
    x = np.arange(1000)
    divide(1000, x, 3)
    assert (x == np.arange(1000) // 3).all()
    with pytest.raises(RuntimeError, match=r"divide failed on one of 3 threads"):
        divide(1000, x, 0)


@needs_team
def test_several_threads_may_call_at_once(threads):
    arrays = [(np.zeros(10_000, np.int64), np.zeros(10_000, np.int64)) for _ in range(4)]
    callers = [threading.Thread(target=lambda a=a: [count(10_000, *a) for _ in range(20)]) for a in arrays]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert all((times == 20).all() for times, _ in arrays)


@needs_team
def test_code_from_the_cache_on_disk_follows_the_team(tmp_path):
    (tmp_path / "kept.py").write_text(
        "import numpy as np\nfrom lavadl_kernels.runtime import jit as _jit\n"
        "from lavadl_ref.slayer._bridge import openmp as _openmp\n"
        "@_jit.kernel\ndef add(begin, end, x):\n    for i in range(begin, end):\n        x[i] += 1\n"
        "_jit.PROCESSORS, _jit.TEAM_WORTH = 2, 0\n_jit.set_team(_openmp.of_torch())\n_jit.set_num_threads(2)\n"
        "x = np.zeros(1000)\nadd(1000, x)\nadd(1000, x)\nassert (x == 2).all()\n"
        "print(sum(add._launch.stats.cache_hits.values()), sum(add.compiled.stats.cache_hits.values()))\n",
        encoding="utf-8",
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    runs = [
        subprocess.run([sys.executable, "kept.py"], cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert [run.stdout.split() for run in runs] == [["0", "0"], ["1", "1"]]


def test_another_library_is_no_team():
    with pytest.raises(AttributeError):
        kernels_openmp.of_library(SimpleNamespace())


def test_kernels_do_without_a_team(monkeypatch):
    monkeypatch.setattr(_jit, "_openmp_team", None)
    monkeypatch.setattr(_openmp, "Path", lambda *_: (_ for _ in ()).throw(OSError("no such file")))
    assert _openmp.of_torch() is None
    from lavadl_ref import slayer

    x = torch.randn(8, 256, 300).mul(100).round().div(64)
    neuron = slayer.neuron.cuba.Neuron(threshold=1.0, current_decay=0.25, voltage_decay=0.03)
    alone = neuron(x)
    monkeypatch.setattr(_jit, "_openmp_team", team)
    assert torch.equal(neuron(x), alone)
