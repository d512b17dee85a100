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
from lavadl_ref import _extras
from lavadl_ref.cli import doctor
from lavadl_ref.deployed import reference
from lavadl_ref.netx import lava_support
from tests import PATIENCE

NAMES = [
    "Python",
    "platform",
    "lavadl-ref",
    *(one.name for one in doctor.requirements() if not one.extra),
    *(f"extra {name}" for name in sorted({one.extra for one in doctor.requirements()} - {"", *doctor.COLLECTIONS})),
    "lava-nc",
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
    doctor.report()  # what it imports may set the threads of the kernels to those of torch
    return {finding.name: finding for finding in doctor.report()}


def test_the_doctor_finds_everything_in_order(found):
    assert list(found) == NAMES
    assert found["lavadl-ref"].value == lavadl_ref.__version__
    assert found["numpy"].value == np.__version__
    assert found["kernels"].value.startswith(f"{lavadl_kernels.get_num_threads()} threads")


def test_advice_is_given_exactly_where_something_is_wrong_or_could_be_added(found):
    for finding in found.values():
        assert bool(finding.advice) == (not finding.ok or "not installed (optional)" in finding.value), finding


def test_what_is_there_is_fine(found):
    for name in ("Python", "lavadl-ref", "numpy", "numba", "h5py", "kernels", "kernel cache"):
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
    assert found["lava-nc"].ok == (usable or found["lava-nc"].value == "not installed (optional)")
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


@pytest.mark.parametrize("version", [None, "0.9.0"])
def test_a_missing_lava_is_told_with_what_to_type(monkeypatch, version):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(doctor, "version_of", lambda name: version)
    monkeypatch.setattr(lava_support, "available", lambda: (False, "type this"))
    assert (doctor._lava().ok, doctor._lava().advice) == (version is None, "type this")


def test_lava_is_not_run_where_it_is_not_installed(monkeypatch):
    monkeypatch.setattr(doctor, "version_of", lambda name: None)
    monkeypatch.setattr(doctor, "_lava_runs", lambda: pytest.fail("run"))
    assert "Lava runs" not in [finding.name for finding in doctor.report(run_lava=True)]


def test_other_systems_run_all_but_lava(monkeypatch):
    monkeypatch.setattr(doctor.sys, "platform", "darwin")
    monkeypatch.setattr(lava_support.sys, "platform", "darwin")
    assert doctor._platform().ok
    assert doctor._platform().value.endswith("all but Lava runs here")
    assert doctor._lava().ok
    assert "Lava's runtime needs Linux" in doctor._lava().value


LINES = ["numba<0.69,>=0.60", "torch>=2.1; extra == 'train'", 'pillow (>=9.1) ; extra == "pictures"', "rich"]


def test_requirements_are_read_from_metadata():
    assert doctor.requirements(LINES) == [
        doctor.Requirement("numba", "<0.69,>=0.60", ""),
        doctor.Requirement("torch", ">=2.1", "train"),
        doctor.Requirement("pillow", ">=9.1", "pictures"),
        doctor.Requirement("rich", "", ""),
    ]


@pytest.mark.parametrize(
    ("version", "holds"),
    [("0.60.0", True), ("0.60", True), ("0.68.1", True), ("0.59.1", False), ("0.69", False), ("0.69.0rc1", False)],
)
def test_versions_are_held_against_their_bounds(version, holds):
    assert doctor.Requirement("numba", "<0.69,>=0.60", "").holds(version) == holds
    assert doctor.Requirement("rich", "", "").holds(version)


def test_a_version_out_of_bounds_is_told_with_what_to_type(monkeypatch):
    monkeypatch.setattr(doctor, "version_of", lambda name: "0.70.1")
    needed, optional = doctor.requirements(LINES)[0], doctor.Requirement("torch", ">=2.1", "train")
    finding = doctor._required(needed)
    assert (finding.ok, finding.value) == (False, "0.70.1, must be <0.69,>=0.60")
    assert finding.advice == 'pip install "numba<0.69,>=0.60"'
    extra = doctor._extra("train", [optional])
    assert (extra.ok, extra.value) == (False, "torch 0.70.1, must be >=2.1")


def test_a_core_package_that_is_missing_is_wrong_and_one_of_an_extra_is_not(monkeypatch):
    monkeypatch.setattr(doctor, "version_of", lambda name: None)
    needed = doctor._required(doctor.requirements(LINES)[0])
    assert (needed.ok, needed.value, needed.advice) == (False, "not installed", 'pip install "numba<0.69,>=0.60"')
    extra = doctor._extra("pictures", [doctor.requirements(LINES)[2]])
    assert (extra.ok, extra.value) == (True, "pillow not installed (optional)")
    assert extra.advice == 'pip install "lavadl-ref[pictures]"'


def test_every_extra_is_known_to_the_doctor():
    tomllib = pytest.importorskip("tomllib")
    text = (Path(__file__).resolve().parents[1] / "pyproject.toml").read_text()
    extras = tomllib.loads(text)["project"]["optional-dependencies"]
    lines = [f"{line}; extra == '{extra}'" for extra, needed in extras.items() for line in needed]
    assert {one.extra for one in doctor.requirements(lines)} == set(extras)
    assert all(f"[{extra}]" in _extras.advice(extra) for extra in extras)


def test_the_advice_to_reinstall_has_the_supported_version():
    assert f"lava-nc=={lava_support.LAVA_VERSION}" in doctor._REINSTALL_LAVA


def test_the_doctor_works_without_torch_and_lava():
    said = without("torch", "lava")
    assert "NO  torch threads" in said or "ok  torch threads: none: torch is not installed" in said
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
