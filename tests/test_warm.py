"""Kernels compiled before they are needed: by the command, and for a wheel that carries them."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import types
from pathlib import Path

import lavadl_kernels
import pytest

pytest.importorskip("torch")

from lavadl_kernels.runtime import cache_folders, processor
from lavadl_kernels.runtime.cache import SUFFIX
from typer.testing import CliRunner

from lavadl_ref import bootstrap, slayer
from lavadl_ref.cli import _workloads, warm
from lavadl_ref.cli import main as cli
from lavadl_ref.slayer.block import _family
from tests import PATIENCE
from tests.support.families import FAMILIES
from tests.support.tree import ROOT

LEVEL = processor.level()
levels_needed = pytest.mark.skipif(LEVEL is None, reason="this processor is of no level that kernels are shipped for")


def run(*arguments):
    return CliRunner(env={"COLUMNS": "300", "NO_COLOR": "1"}).invoke(cli.app, ["warm", *arguments])


def subjects():
    return {name.partition(":")[0] for name in _workloads.jobs()}


def test_jobs_cover_every_family_of_neurons():
    assert subjects() == {*FAMILIES, "synapses", "bootstrap"}
    names = set(_workloads.jobs())
    assert {f"bootstrap: {name}" for name in bootstrap.block.__all__ if name in FAMILIES} <= names
    assert {f"synapses: {name}" for name in ("auto", "events", "gemm")} <= names


def test_jobs_run_every_kind_of_block(monkeypatch):
    """Of a family whose blocks note that they were made."""
    made = set()
    for kind in _family.KINDS:
        usual = getattr(slayer.block.sigma_delta, kind)

        def note(*arguments, kind=kind, usual=usual, **options):
            block = usual(*arguments, **options)
            made.add(kind)
            return block

        monkeypatch.setattr(slayer.block.sigma_delta, kind, note)
    jobs = _workloads.jobs()
    monkeypatch.setattr(_workloads, "_step", lambda net, x: None)
    for name in jobs:
        if name.startswith("sigma_delta: ") and "reference" not in name:
            jobs[name]()
    assert made == set(_family.KINDS) - {"Recurrent", "KWTA"}  # which need neurons that spike


# The command


def outcome(**changes):
    return warm.Outcome(Path("somewhere"), **{"kernels": 3, "seconds": 2.4, "files": 7, "size": 1_234_567, **changes})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "compiled 3 kernels, in 2 s: 7 files, 1.2 MB, in somewhere"),
        ({"kernels": 0}, "all kernels were compiled already, in 2 s: 7 files, 1.2 MB, in somewhere"),
        ({"folder": None}, "compiled 3 kernels, in 2 s: not kept"),
    ],
)
def test_the_command_tells_the_number_of_kernels_and_their_folder(monkeypatch, changes, said):
    found = outcome(**{name: value for name, value in changes.items() if name != "folder"})
    if "folder" in changes:
        found.folder = None
    monkeypatch.setattr(warm, "run", lambda only, workers, progress: found)
    result = run()
    assert (result.exit_code, result.stdout.strip(), result.stderr) == (0, said, "")


def test_the_command_fails_where_a_job_has_failed(monkeypatch):
    found = outcome(failures=["cuba: training: ValueError: no"], notes=["kept elsewhere"])
    monkeypatch.setattr(warm, "run", lambda only, workers, progress: found)
    result = run()
    assert result.exit_code == cli.FAILED
    assert result.stderr.splitlines() == ["note: kept elsewhere", "error: cuba: training: ValueError: no"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--only", "nothing"), "jobs must begin with "),
        (("--level", "x86-64-v3"), "--level needs --into FOLDER"),
        (("--into", "here", "--level", "x86-64-v9"), "level must be x86-64-v3 or x86-64-v4, got 'x86-64-v9'"),
        (("--into", "here", "--level", "x86-64-v4"), "level must be one that this processor is of, got x86-64-v4"),
        (("--into", "here"), "this processor must be of a level, x86-64-v3 or x86-64-v4, got one of none"),
    ],
)
def test_the_command_refuses_what_it_cannot_do(monkeypatch, tmp_path, arguments, said):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(processor, "is_of", lambda level: False)
    result = run(*arguments)
    assert result.exit_code == cli.BAD_INPUT
    assert result.stderr.startswith(f"error: {said}")
    assert not list(tmp_path.iterdir())


def test_a_process_that_ends_is_told(monkeypatch):
    monkeypatch.setattr(warm.sys, "executable", shutil.which("false"))
    result = run("--only", "synapses: auto")
    assert result.exit_code == cli.FAILED
    assert result.stderr == "error: a process that compiles kernels ended at 'synapses: auto'\n"


def test_a_second_run_finds_all_kernels_there(tmp_path):
    said = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-m", "lavadl_ref.cli.main", "warm", "--only", "synapses: delays"],
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
            capture_output=True, text=True, timeout=PATIENCE, check=True,
        )  # fmt: skip
        said.append(done.stdout)
        assert done.stderr == ""
    assert said[0].startswith("compiled ")
    assert said[1].startswith("all kernels were compiled already")
    files = list(tmp_path.rglob(f"*{SUFFIX}"))
    assert all(f"{len(files)} files" in line for line in said)


# A package that carries kernels

SCRIPT = """
import hashlib, json, sys, warnings
import numpy as np
import torch
from numba.core import event
with event.install_recorder("numba:compile") as recorder, warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    from lavadl_ref import slayer
    from lavadl_ref.cli import demo
    from lavadl_ref.slayer.block import describe
    from lavadl_ref.verify import trained, verify

    digest = hashlib.sha256()
    neuron = {"threshold": 1.25, "current_decay": 0.25, "voltage_decay": 0.03, "requires_grad": True}
    dense = slayer.block.cuba.Dense
    delayed = torch.nn.Sequential(
        dense(neuron, 64, 64, weight_norm=True, delay=True), dense(neuron, 64, 10, weight_norm=True)
    )
    for net in (delayed, demo.build()):
        generator = torch.Generator().manual_seed(1)
        for parameter in net.parameters():
            if parameter.ndim > 1:
                parameter.data = torch.randn(parameter.shape, generator=generator)
        x = (torch.rand((8, 64, 32), generator=generator) < 0.3).float()
        y = net(x)
        assert 0 < y.sum() < y.numel()
        slayer.loss.SpikeRate(true_rate=0.2, false_rate=0.03)(y, torch.arange(8)).backward()
        for value in (y, *(p.grad for p in net.parameters() if p.grad is not None)):
            digest.update(np.ascontiguousarray(value.detach().numpy()).tobytes())
        assert trained(net.eval(), x).exact
        report = verify(describe.network(net), lava=False, reset_interval=20)
        digest.update(report.run.output.tobytes())
print(json.dumps([len(recorder.buffer), digest.hexdigest(), [str(one.message) for one in caught]]))
"""


def first_step(kernels, cache):
    """The number of compilations in a new process, the digest of what it computed, and its warnings."""
    path = os.pathsep.join([str(kernels), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "PYTHONPATH": path, "NUMBA_CACHE_DIR": str(cache), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@levels_needed
@pytest.mark.timeout(1800)
def test_a_first_step_with_shipped_kernels_compiles_nothing_and_has_the_same_bits(tmp_path):
    copy = tmp_path / "installed" / "lavadl_kernels"
    shutil.copytree(Path(lavadl_kernels.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    only = ("cuba: training", "cuba: the reference", "synapses: events", "synapses: int8")
    built = warm.build(cache_folders.shipped(copy), LEVEL, only)
    assert (built.failures, built.notes) == ([], [])
    assert built.files > 10
    compiled, shipped, said = first_step(copy.parent, tmp_path / "empty")
    assert (compiled, said) == (0, [])
    own = first_step(ROOT / "kernels", os.environ.get("NUMBA_CACHE_DIR", ""))[1]
    assert shipped == own
    largest = max((cache_folders.shipped(copy) / LEVEL).iterdir(), key=lambda file: file.stat().st_size)
    largest.write_bytes(largest.read_bytes()[:-9])
    compiled, mended, said = first_step(copy.parent, tmp_path / "empty")
    assert compiled > 0
    assert mended == own
    assert any("are of no use" in line for line in said)


def hook(monkeypatch, folder):
    """The wheel's build data for a folder of kernels."""
    stub = types.ModuleType("interface")
    stub.BuildHookInterface = object
    monkeypatch.setitem(sys.modules, "hatchling.builders.hooks.plugin.interface", stub)
    for name in ("hatchling", "hatchling.builders", "hatchling.builders.hooks", "hatchling.builders.hooks.plugin"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    if folder is None:
        monkeypatch.delenv("LAVADL_REF_KERNELS", raising=False)
    else:
        monkeypatch.setenv("LAVADL_REF_KERNELS", str(folder))
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = module.Kernels()
    made.target_name = "wheel"
    told = {"force_include": {}, "pure_python": True}
    made.initialize("standard", told)
    return told


def kernel_files(folder, *pythons):
    for number, python in enumerate(pythons):
        file = folder / "x86-64-v4" / f"ops.delay._move-81.py{python}.{number:016x}.kernel"
        file.parent.mkdir(exist_ok=True)
        file.touch()
        yield file


def test_a_wheel_without_kernels_is_pure(monkeypatch):
    assert hook(monkeypatch, None) == {"force_include": {}, "pure_python": True}


def test_a_wheel_with_kernels_is_for_one_python_and_platform(monkeypatch, tmp_path):
    files = list(kernel_files(tmp_path, 311, 311))
    told = hook(monkeypatch, tmp_path)
    included = told.pop("force_include")
    assert included == {str(file): f"lavadl_kernels/compiled/x86-64-v4/{file.name}" for file in files}
    assert told["pure_python"] is False
    assert told["tag"].startswith("cp311-none-")
    assert told["tag"].count("-") == 2
    assert cache_folders.shipped(Path("lavadl_kernels")) == Path("lavadl_kernels/compiled")


@pytest.mark.parametrize("pythons", [(), (311, 312)])
def test_a_wheel_of_no_kernels_or_of_two_pythons_is_refused(monkeypatch, tmp_path, pythons):
    list(kernel_files(tmp_path, *pythons))
    with pytest.raises(ValueError, match="must be a folder of kernels for one Python"):
        hook(monkeypatch, tmp_path)
