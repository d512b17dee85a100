"""The package as a whole: every name is there, and nothing heavy is imported before it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lavadl_ref import datasets
from tests import PATIENCE


def test_every_name_is_there():
    pytest.importorskip("torch")
    assert set(datasets.__all__) <= set(dir(datasets))
    for name in datasets.__all__:
        assert getattr(datasets, name).__name__ == name


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'CIFAR'"):
        _ = datasets.CIFAR


def test_datasets_are_imported_without_what_their_parts_need():
    code = (
        "import sys; before = set(sys.modules); import lavadl_ref.datasets;"
        "print({'torch', 'sklearn', 'PIL', 'numba'} & (set(sys.modules) - before))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE)
    assert (run.returncode, run.stdout.strip()) == (0, "set()"), run.stderr
