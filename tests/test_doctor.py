"""The findings of `doctor` on this machine, and its advice where something is missing."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import lavadl_kernels
import numpy as np
import pytest
from lavadl_kernels.runtime import cache_folders as _folders

import lavadl_ref
from lavadl_ref.cli import doctor
from lavadl_ref.deployed import reference
from lavadl_ref.netx import lava_support
from tests import PATIENCE

NAMES = [
    "Python",
    "platform",
    "lavadl-ref",
    *doctor.REQUIRED,
    "lava-nc",
    *doctor.NEEDED_BY_LAVA,
    "lava-dl",
    "kernels",
    "kernel cache",
    "torch threads",
    *doctor.MATRIX_HARDWARE,
]


def without(*blocked: str, **environment: str) -> str:
    """The report that a fresh process prints where some packages cannot be imported."""
    script = f"""
    import importlib.abc, sys
    class Blocked(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] in {blocked!r}:
                raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
    sys.meta_path.insert(0, Blocked())
    from lavadl_ref.cli import doctor
    print(*doctor.report(), sep="\\n")
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        cwd=Path(__file__).resolve().parents[1],
        env={**os.environ, **environment},
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.fixture(scope="module")
def found():
    return {finding.name: finding for finding in doctor.report()}


def test_the_doctor_finds_everything_in_order(found):
    assert list(found) == NAMES
    assert found["lavadl-ref"].value == lavadl_ref.__version__
    assert found["numpy"].value == np.__version__
    assert found["kernels"].value.startswith(f"{lavadl_kernels.get_num_threads()} threads")


def test_advice_is_given_exactly_where_something_is_wrong(found):
    for finding in found.values():
        assert bool(finding.advice) != finding.ok, finding


def test_what_is_there_is_fine(found):
    for name in ("Python", "lavadl-ref", "numpy", "numba", "h5py", "scipy", "kernels", "kernel cache"):
        assert found[name].ok, found[name]


def test_each_way_to_multiply_is_told_with_its_gain_or_the_reason_against_it(found):
    pytest.importorskip("torch")
    from lavadl_ref.slayer._bridge import int8, tiles

    verdicts = int8.verdict("linear"), int8.verdict("convolution"), tiles.verdict()
    for name, verdict in zip(doctor.MATRIX_HARDWARE, verdicts, strict=True):
        expected = "times as fast as float32" if verdict.usable else f"not used: {verdict.reason}"
        assert expected in found[name].value
        assert found[name].ok


def test_lava_is_judged_by_lava_support(found):
    usable, why = lava_support.available()
    assert found["lava-nc"].ok == usable
    assert found["lava-nc"].advice == ("" if usable else why)


def test_a_finding_is_frozen_and_prints_its_advice():
    finding = doctor.Finding("thing", "absent", False, "pip install thing")
    assert str(finding) == "NO  thing: absent\n    pip install thing"
    with pytest.raises(dataclasses.FrozenInstanceError):
        finding.ok = True


def test_versions_are_read_from_metadata():
    assert doctor.version_of("numpy") == importlib.metadata.version("numpy")
    assert doctor.version_of("no-such-distribution") is None


def test_a_python_out_of_range_is_found(monkeypatch):
    monkeypatch.setattr(doctor, "PYTHONS", ((3, 90), (3, 91)))
    finding = doctor._python()
    assert not finding.ok
    assert finding.advice == "Use Python 3.90 to 3.91."


def test_a_missing_package_is_told_with_what_to_type():
    finding = doctor._package("no-such-distribution", "no_such_module")
    assert (finding.ok, finding.advice) == (False, "pip install no-such-distribution")


def test_a_broken_package_is_told_from_a_missing_one(monkeypatch):
    monkeypatch.setattr(doctor, "version_of", lambda name: "1.2.3")
    finding = doctor._package("broken", "no_such_module")
    assert not finding.ok
    assert "1.2.3, cannot be imported: ModuleNotFoundError" in finding.value
    assert finding.advice == "pip install --force-reinstall broken==1.2.3"


def test_a_missing_lava_is_told_with_what_to_type(monkeypatch):
    monkeypatch.setattr(lava_support, "available", lambda: (False, "type this"))
    assert doctor._lava().advice == "type this"


def test_the_advice_to_reinstall_has_the_supported_version():
    assert f"lava-nc=={lava_support.LAVA_VERSION}" in doctor._REINSTALL_LAVA


def test_the_doctor_works_without_torch_and_lava():
    said = without("torch", "lava")
    assert "NO  torch" in said
    assert "ok  kernels" in said
    assert len([line for line in said.splitlines() if line[:3] in ("ok ", "NO ")]) == len(NAMES)


def test_the_doctor_works_without_numba():
    said = without("numba")
    assert "NO  numba" in said
    assert "NO  kernels: do not run: ModuleNotFoundError" in said


def test_kernel_cache_follows_the_environment(tmp_path):
    assert f"ok  kernel cache: {tmp_path}" in without("torch", NUMBA_CACHE_DIR=str(tmp_path))


@pytest.mark.parametrize("where", ["here", "elsewhere", "nowhere"])
def test_a_kernel_cache_that_is_elsewhere_is_found(monkeypatch, tmp_path, where):
    why = "" if where == "here" else "cannot write to there: Permission denied"
    found = _folders.CacheFolders((), None if where == "nowhere" else tmp_path, why)
    monkeypatch.setattr(_folders, "cache_folders", lambda package: found)
    value = {"here": str(tmp_path), "elsewhere": f"{tmp_path} ({why})", "nowhere": f"none: {why}"}[where]
    finding = doctor._kernel_cache()
    assert (finding.value, finding.ok) == (value, where != "nowhere")
    assert ("NUMBA_CACHE_DIR" in finding.advice) == (where == "nowhere")


@pytest.mark.lava
def test_the_doctor_runs_lava_on_request():
    usable, why = lava_support.available()
    if not usable:
        pytest.skip(why)
    finding = doctor.report(run_lava=True)[-1]
    assert finding.name == "Lava runs"
    assert finding.ok, finding


def test_a_difference_on_lava_is_a_finding(monkeypatch):
    from lavadl_ref.netx.run import runtime

    class Records:
        output = np.zeros((1, 16), int)
        seconds = 0.0

    monkeypatch.setattr(runtime, "run", lambda *args, **kwargs: Records)
    assert doctor._lava_runs().value.startswith("differs: reference [[")


def test_a_failure_on_lava_is_a_finding(monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("the network failed\nTraceback\nValueError: cause")

    monkeypatch.setattr(reference.Network, "run", fail)
    assert doctor._lava_runs().value == "no: RuntimeError: the network failed: ValueError: cause"
