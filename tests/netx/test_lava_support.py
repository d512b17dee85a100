"""lava-nc is patched where its versions ask for it, and only there."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import subprocess
import sys

import numpy as np
import pytest

from lavadl_ref.netx import lava_support
from tests import PATIENCE

MODERN_PYTHON = sys.version_info >= (3, 11)
MODERN_NUMPY = int(np.__version__.split(".")[0]) >= 2


@pytest.mark.lava
def test_a_second_enable_changes_nothing():
    lava_support.enable()
    before = list(lava_support.applied)
    lava_support.enable()
    assert lava_support.applied == before


@pytest.mark.lava
def test_patches_follow_versions():
    code = "import lavadl_ref.netx.lava_support as s; import lavadl_ref.netx.hdf5; print(*s.applied)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    expected = ["byte_encoder"] * MODERN_PYTHON + ["reshape_port", "conv_parameters"] * MODERN_NUMPY
    expected += ["conv_sums", "log_handlers"]
    assert done.stdout.split() == expected
    assert done.stderr == ""


@pytest.mark.lava
def test_enable_makes_one_class_hashable():
    lava_support.enable()
    from lava.magma.compiler import var_model

    hashable = {
        name
        for name, cls in vars(var_model).items()
        if dataclasses.is_dataclass(cls) and cls.__module__ == var_model.__name__ and cls.__hash__ is not None
    }
    assert hashable == ({"ByteEncoder"} if MODERN_PYTHON else set())
    assert dataclasses.dataclass.__module__ == "dataclasses"


@pytest.mark.lava
def test_a_reshape_port_reshapes():
    lava_support.enable()
    from lava.magma.core.process.ports.ports import ReshapePort

    port = ReshapePort(new_shape=(6,), old_shape=(2, 3))
    assert port.get_transform_func_fwd()(np.zeros((2, 3))).shape == (6,)
    assert port.get_transform_func_bwd()(np.zeros(6)).shape == (2, 3)


@pytest.mark.parametrize("version", [None, "0.9.0"])
def test_an_error_says_what_to_type(monkeypatch, version):
    def installed(name):
        if version is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(importlib.metadata, "version", installed)
    usable, why = lava_support.available()
    assert not usable
    assert "pip install --ignore-requires-python --no-deps lava-nc==0.10.0" in why
    assert "pip install 'lavadl-ref[lava]'" in why
    with pytest.raises(lava_support.LavaUnavailable, match="pip install"):
        lava_support.enable()


def test_the_package_imports_without_lava():
    code = (
        "import sys; sys.modules['lava'] = None\n"
        "import importlib.metadata as m; m.version = lambda name: (_ for _ in ()).throw(m.PackageNotFoundError(name))\n"
        "import lavadl_ref.netx, lavadl_ref.netx.plan, lavadl_ref.netx.runtime\n"
        "assert 'torch' not in sys.modules\n"
        "try: lavadl_ref.netx.hdf5\n"
        "except ImportError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert "pip install --ignore-requires-python" in done.stdout


@pytest.mark.lava
def test_torch_is_not_imported():
    code = "import sys, lavadl_ref.netx.hdf5, lavadl_ref.netx.run._worker; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], timeout=PATIENCE, check=True)
