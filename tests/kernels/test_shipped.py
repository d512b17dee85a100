"""Kernels that a package comes with: run where they fit, and nowhere else."""

from __future__ import annotations

import importlib
import os
import pkgutil
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import lavadl_kernels
import pytest
from lavadl_kernels.ops import delay
from lavadl_kernels.runtime import amx, cache_folders, jit, processor
from lavadl_kernels.runtime.cache import SUFFIX, KernelCache

from tests import PATIENCE

LEVEL = processor.level()
levels_needed = pytest.mark.skipif(LEVEL is None, reason="this processor is of no level that kernels are shipped for")

SCRIPT = """
import numpy as np
from lavadl_kernels.ops import delay
from numba.core import event
with event.install_recorder("numba:compile") as recorder:
    out = delay.forward(np.ones((3, 2), np.float32), np.array([0, 1]))
print(len(recorder.buffer), delay._shift.compiled.stats.cache_hits.total(), out.tolist())
"""
RESULT = "[[1.0, 0.0], [1.0, 1.0], [1.0, 1.0]]"


def run(package, cache, **settings):
    """Tell whether a new process compiled anything, whether it loaded anything, and its standard error."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "PYTHONPATH": str(package.parent), "NUMBA_CACHE_DIR": str(cache), **settings},
        capture_output=True, text=True, timeout=PATIENCE, check=True,
    )  # fmt: skip
    compiled, loaded, result = done.stdout.strip().split(maxsplit=2)
    assert result == RESULT
    return compiled != "0", loaded != "0", done.stderr


def copied(folder):
    """A copy of the package's sources below `folder`."""
    copy = folder / "installed" / "lavadl_kernels"
    shutil.copytree(Path(lavadl_kernels.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The kernel of `SCRIPT`, compiled for this processor's level."""
    folder = tmp_path_factory.mktemp("made")
    assert run(copied(folder), folder / "build", **processor.settings(LEVEL)) == (True, False, "")
    (file,) = (folder / "build").rglob(f"*{SUFFIX}")
    return file


@pytest.fixture
def package(made, tmp_path):
    """A copy of the package that carries this kernel."""
    copy = copied(tmp_path)
    folder = cache_folders.shipped(copy) / LEVEL
    folder.mkdir(parents=True)
    shutil.copy(made, folder)
    return copy


def shipped(package):
    (file,) = package.rglob(f"*{SUFFIX}")
    return file


@levels_needed
def test_shipped_kernels_are_loaded_and_nothing_is_compiled_or_written(package, tmp_path):
    assert run(package, tmp_path / "cache") == (False, True, "")
    assert not list((tmp_path / "cache").rglob(f"*{SUFFIX}"))


@levels_needed
def test_kernels_that_the_user_has_compiled_come_before_shipped_ones(package, tmp_path):
    file = shipped(package)
    away = file.rename(file.with_suffix(".away"))
    assert run(package, tmp_path / "cache") == (True, False, "")
    away.rename(file)
    file.write_bytes(b"damaged")  # which would be warned of if it were read
    assert run(package, tmp_path / "cache") == (False, True, "")


@levels_needed
def test_damaged_shipped_kernels_are_warned_of_and_compiled(package, tmp_path):
    file = shipped(package)
    file.write_bytes(file.read_bytes()[:-1])
    compiled, loaded, said = run(package, tmp_path / "cache")
    assert (compiled, loaded) == (True, False)
    assert "compiled kernels on disk are of no use, and are compiled again" in said
    assert run(package, tmp_path / "cache") == (False, True, "")


@levels_needed
def test_shipped_kernels_of_other_sources_are_not_run(package, tmp_path):
    with open(package / "fixed_point.py", "a", encoding="utf-8") as file:
        file.write("# edited\n")
    assert run(package, tmp_path / "cache") == (True, False, "")


@levels_needed
def test_shipped_kernels_of_another_level_are_not_run(package, tmp_path):
    """Not even if they lie where those of this level are looked for."""
    folder = shipped(package).parent
    folder.rename(folder.with_name("x86-64-v9"))
    assert run(package, tmp_path / "cache") == (True, False, "")
    (other,) = set(processor.LEVELS) - {LEVEL}
    if processor.is_of(other):
        assert run(package, tmp_path / "other", **processor.settings(other)) == (True, False, "")
        (made,) = (tmp_path / "other").rglob(f"*{SUFFIX}")
        folder.mkdir()
        shutil.copy(made, folder)
        assert run(package, tmp_path / "cache 2") == (True, False, "")


@levels_needed
@pytest.mark.parametrize(
    "settings", [{"NUMBA_CPU_NAME": "generic"}, {"NUMBA_ENABLE_AVX": "0"}, {"NUMBA_CPU_FEATURES": "+sse3"}]
)
def test_shipped_kernels_are_not_run_where_settings_name_a_processor(package, tmp_path, settings):
    assert run(package, tmp_path / "cache", **settings) == (True, False, "")


def kernels():
    """All kernels of the package by name."""
    modules = [
        importlib.import_module(found.name)
        for found in pkgutil.walk_packages(lavadl_kernels.__path__, "lavadl_kernels.")
    ]
    return {
        f"{module.__name__}.{name}": value
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, jit.Kernel) and value.python.__module__ == module.__name__
    }


def test_kernels_on_matrix_tiles_name_the_features_that_change_their_code():
    """Code that is compiled for a level emulates tiles: where the processor has them it must be compiled again."""
    found = kernels()
    assert len(found) > 30
    using = {name for name, kernel in found.items() if "amx" in kernel.python.__code__.co_names}
    assert using
    declared = {name for name, kernel in found.items() if kernel.features}
    assert using <= declared  # others use tiles through the functions that they call
    for name in declared:
        assert set(found[name].features) == set(amx.FEATURES)
        assert not set(amx.FEATURES) & processor.LEVELS["x86-64-v4"]


def test_shipped_code_is_not_looked_for_where_the_processor_has_features_that_change_it(unset, monkeypatch):
    of(processor.LEVELS["x86-64-v4"], monkeypatch)
    codegen = delay._shift.compiled.targetctx.codegen()
    cache = KernelCache(delay._shift.python, "stamp", ["amx-tile"])
    key, files = cache._shipped((), codegen)
    assert key[1][1:] == ("x86-64-v4", "")
    assert not files.load(key)
    of(processor.LEVELS["x86-64-v4"] | {"amx-tile"}, monkeypatch)
    assert cache._shipped((), codegen) is None


# Levels


@pytest.fixture
def unset(monkeypatch):
    """Numba without settings of its own."""
    for name, usual in (("CPU_NAME", None), ("CPU_FEATURES", None), ("ENABLE_AVX", 1)):
        monkeypatch.setattr(processor.config, name, usual)


def of(features, monkeypatch):
    """As on a processor with these features."""
    monkeypatch.setattr(processor.binding, "get_host_cpu_features", lambda: dict.fromkeys(features, True))


@pytest.mark.parametrize("level", processor.LEVELS)
def test_a_processor_that_lacks_one_feature_is_not_of_the_level(unset, monkeypatch, level):
    needed = processor.LEVELS[level]
    of(needed | {"sha", "amx-tile"}, monkeypatch)
    assert processor.level() == level
    for feature in needed:
        of(needed - {feature}, monkeypatch)
        assert not processor.is_of(level)
        assert processor.level() != level


def test_features_that_are_known_but_absent_do_not_count(unset, monkeypatch):
    absent = dict.fromkeys(processor.LEVELS["x86-64-v4"], True) | {"avx512bw": False}
    monkeypatch.setattr(processor.binding, "get_host_cpu_features", lambda: absent)
    assert (processor.level(), processor.has("avx512bw"), processor.has("avx512f")) == ("x86-64-v3", False, True)


def test_levels_include_those_before_them():
    for lower, higher in pairwise(processor.LEVELS):
        assert processor.LEVELS[lower] < processor.LEVELS[higher]


def test_a_processor_that_llvm_does_not_know_has_no_level(unset, monkeypatch):
    def unknown():
        raise RuntimeError

    monkeypatch.setattr(processor.binding, "get_host_cpu_features", unknown)
    assert (processor.level(), processor.features()) == (None, frozenset())


def test_compiled_code_has_the_features_of_its_level_alone(unset, monkeypatch):
    of(processor.LEVELS["x86-64-v4"] | {"avx512vnni"}, monkeypatch)
    assert processor.has("avx512vnni")
    for level, features in processor.LEVELS.items():
        monkeypatch.setattr(processor.config, "CPU_NAME", level)
        monkeypatch.setattr(processor.config, "CPU_FEATURES", "")
        assert processor.features() == features
    monkeypatch.setattr(processor.config, "CPU_NAME", "generic")
    monkeypatch.setattr(processor.config, "CPU_FEATURES", "+sse3,-avx")
    assert processor.features() == {"sse3"}


def test_features_that_settings_take_away_do_not_count(unset, monkeypatch):
    of(processor.LEVELS["x86-64-v4"], monkeypatch)
    monkeypatch.setattr(processor.config, "ENABLE_AVX", 0)
    assert processor.level() is None
    assert not any(name.startswith("avx") for name in processor.features())
