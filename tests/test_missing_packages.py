"""Every command where a package is missing: one line that says which, or all that does not need it."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from lavadl_ref import exchange
from lavadl_ref.cli import doctor
from lavadl_ref.exchange import Dense, Network, Neuron
from lavadl_ref.netx import lava_support
from tests import PATIENCE

NEURON = Neuron("CUBA", {"threshold": 90, "current_decay": 4096, "voltage_decay": 300})
NETWORK = Network((Dense(shape=(4,), weight=np.full((4, 6), 20), neuron=NEURON),))
DEMO = "demo --epochs 1 --samples 1 --no-lava --out OUT"
#: Package, command, what is said.
NEEDED = [
    ("torch", DEMO, "torch is not installed: pip install torch"),
    ("sklearn", DEMO, "scikit-learn is not installed: pip install scikit-learn"),
    ("matplotlib", DEMO, "matplotlib is not installed: pip install matplotlib"),
    ("hypothesis", "fuzz --files 2", "lavadl_ref.testing.strategies needs Hypothesis: pip install 'hypothesis>=6.100'"),
    ("numba", "verify FILE", "numba is not installed: pip install numba"),
    ("numba", "audit FILE", "numba is not installed: pip install numba"),
    ("numba", "inspect FILE", "numba is not installed: pip install numba"),
    ("numba", "vectors OUT", "numba is not installed: pip install numba"),
    ("numba", "export-c FILE OUT", "numba is not installed: pip install numba"),
    ("h5py", "inspect FILE", "h5py is not installed: pip install h5py"),
    ("h5py", "verify FILE", "h5py is not installed: pip install h5py"),
    ("numpy", "inspect FILE", "numpy is not installed: pip install numpy"),
]
NOT_NEEDED = [
    ("torch", "inspect FILE"),
    ("torch", "audit FILE --steps 5"),
    ("torch", "vectors OUT --family CUBA --widths slayer"),
    ("torch", "export-c FILE OUT"),
    ("sklearn", "verify FILE --steps 5 --no-lava"),
    ("matplotlib", "verify FILE --steps 5 --no-lava"),
    ("hypothesis", "inspect FILE"),
]


def run_without(package, command, folder):
    """The command in a process where the package is not there."""
    script = f"""
    import importlib.abc, sys
    class Blocked(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] == {package!r}:
                raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
    sys.meta_path.insert(0, Blocked())
    from lavadl_ref.cli import main as cli
    cli.main()
    """
    places = {"FILE": str(folder / "x.net"), "OUT": str(folder / "out")}
    exchange.write(folder / "x.net", NETWORK)
    words = [places.get(word, word) for word in command.split()]
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *words],
        capture_output=True, text=True, timeout=PATIENCE, cwd=Path(__file__).resolve().parents[1],
    )  # fmt: skip


@pytest.mark.parametrize(("package", "command", "said"), NEEDED)
def test_a_package_that_is_missing_is_said(package, command, said, tmp_path):
    done = run_without(package, command, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: {said}\n")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("package", "command"), NOT_NEEDED)
def test_functions_without_need_of_a_missing_package_go_on(package, command, tmp_path):
    done = run_without(package, command, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_path_that_needs_a_missing_package_is_left_out(tmp_path):
    done = run_without("torch", "verify FILE --steps 5 --no-lava", tmp_path)
    assert done.returncode == 1  # nothing was compared
    assert "slayer: not compared: torch is not installed: pip install torch" in done.stdout


def test_a_missing_package_is_told_by_name_and_command():
    def missing(name, kind=ModuleNotFoundError):
        return doctor.missing(kind(f"No module named {name!r}", name=name))

    assert missing("PIL.Image") == "pillow is not installed: pip install pillow"
    assert f"lava-nc=={lava_support.LAVA_VERSION}" in missing("lava.magma")
    broken = missing("torch._C", ImportError)
    assert broken.startswith("torch cannot be imported: ImportError: ")
    assert len(broken.splitlines()) == 1
    assert doctor.missing(lava_support.LavaUnavailable("type this")) == "type this"
