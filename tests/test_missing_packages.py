"""Every command where packages are missing: one line that says which, or all that does not need them."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from lavadl_kernels.runtime import compile_notice

from lavadl_ref import _extras, exchange
from lavadl_ref.cli import doctor
from lavadl_ref.cli.main import NOTHING_COMPARED
from lavadl_ref.exchange import Dense, Network, Neuron
from lavadl_ref.netx import lava_support
from tests import PATIENCE

ROOT = Path(__file__).resolve().parents[1]
NEURON = Neuron("CUBA", {"threshold": 90, "current_decay": 4096, "voltage_decay": 300})
NETWORK = Network((Dense(shape=(4,), weight=np.full((4, 6), 20), neuron=NEURON),))
DEMO = "demo --epochs 1 --samples 1 --no-lava --out OUT"
#: All that the extras install, and Lava: without them there is the core.
OPTIONAL = " ".join(sorted({"lava", *_extras.EXTRA_OF}))
TORCH = f"(for PyTorch without CUDA, first type what {_extras.GET_TORCH} gives for CPU)"
#: Packages, command, the beginning of what is said.
NEEDED = [
    (
        "torch sklearn",
        DEMO,
        f'the demo needs torch and scikit-learn, which are not installed: pip install "lavadl-ref[demo]" {TORCH}\n',
    ),
    ("matplotlib", DEMO, 'the demo needs matplotlib, which is not installed: pip install "lavadl-ref[demo]" '),
    ("torch", "warm", 'warm, which trains small networks, needs torch, which is not installed: pip install "lavadl-'),
    ("numba", "verify FILE", "numba is not installed: pip install "),
    ("numba", "audit FILE", "numba is not installed: pip install "),
    ("numba", "certify FILE --json", "numba is not installed: pip install "),
    ("numba", "nir FILE OUT.nir", "numba is not installed: pip install "),
    ("nir", "nir FILE OUT.nir", 'a graph of NIR needs nir, which is not installed: pip install "lavadl-ref[nir]"\n'),
    ("numba", "inspect FILE", "numba is not installed: pip install "),
    ("numba", "vectors OUT", "numba is not installed: pip install "),
    ("numba", "export-c FILE OUT", "numba is not installed: pip install "),
    ("h5py", "inspect FILE", "h5py is not installed: pip install "),
    ("h5py", "verify FILE", "h5py is not installed: pip install "),
    ("numpy", "inspect FILE", "numpy is not installed: pip install "),
]
#: What the core runs.
NOT_NEEDED = [
    "inspect FILE",
    "audit FILE --steps 5",
    "prove FILE --tries 1",
    "vectors OUT --family CUBA --widths slayer",
    "export-c FILE OUT",
    "fuzz --files 2 --seconds 600",
    "doctor --no-run",
    "--version",
]
#: A process that finds neither these modules nor that they are installed.
WITHOUT = """
import sys
class Without:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in {modules!r} else self.finder.find_spec(name, path, target)
    def find_distributions(self, *context):
        found = self.finder.find_distributions(*context)
        return (one for one in found if one.metadata["Name"].lower() not in {distributions!r})
    def invalidate_caches(self):
        self.finder.invalidate_caches()
sys.meta_path[:] = [Without(finder) if hasattr(finder, "find_distributions") else finder for finder in sys.meta_path]
"""


def python_without(packages, code, *words):
    """A process of Python where these packages are not there."""
    modules = packages.split()
    distributions = [_extras.DISTRIBUTIONS.get(module, module).lower() for module in modules]
    script = WITHOUT.format(modules=modules, distributions=distributions) + textwrap.dedent(code)
    return subprocess.run(
        [sys.executable, "-c", script, *words], capture_output=True, text=True, timeout=PATIENCE, cwd=ROOT
    )


def run_without(packages, command, folder):
    """The command in a process where these packages are not there."""
    places = {"FILE": str(folder / "x.net"), "OUT": str(folder / "out"), "OUT.nir": str(folder / "out.nir")}
    exchange.write(folder / "x.net", NETWORK)
    words = [places.get(word, word) for word in command.split()]
    return python_without(packages, "from lavadl_ref.cli import main as cli\ncli.main()", *words)


def said(done):
    """The standard error of a process, without the notice that it compiled kernels."""
    return "".join(line for line in done.stderr.splitlines(True) if not line.startswith(compile_notice.TEXT))


@pytest.mark.parametrize(("packages", "command", "begins"), NEEDED)
def test_a_package_that_is_missing_is_said(packages, command, begins, tmp_path):
    done = run_without(packages, command, tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {begins}")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", NOT_NEEDED)
def test_the_core_runs_without_any_extra(command, tmp_path):
    done = run_without(OPTIONAL, command, tmp_path)
    assert (done.returncode, said(done)) == (0, "")


def test_nothing_to_compare_without_extras_has_a_status_of_its_own(tmp_path):
    done = run_without(OPTIONAL, "verify FILE --steps 5", tmp_path)
    assert (done.returncode, said(done)) == (NOTHING_COMPARED, "")
    assert 'slayer: not compared: torch is not installed: pip install "lavadl-ref[train]"' in done.stdout
    assert "lava: not compared: " in done.stdout


def test_the_reference_runs_without_any_extra(tmp_path):
    exchange.write(tmp_path / "x.net", NETWORK)
    code = """
    import sys
    import numpy as np
    from lavadl_ref import reference
    from lavadl_ref.netx import plan
    run = reference.Network(sys.argv[1]).run(np.ones((6, 9), int))
    print(int(run.output.sum()), plan.plan(plan.load(sys.argv[1]))[0].processes)
    """
    done = python_without(OPTIONAL, code, str(tmp_path / "x.net"))
    assert (done.returncode, said(done)) == (0, "")
    spikes, _, processes = done.stdout.partition(" ")
    assert int(spikes) > 0
    assert "Dense + LIF" in processes


PARTS = (
    *("lavadl_ref.slayer", "lavadl_ref.slayer.block.cuba", "lavadl_ref.bootstrap", "lavadl_ref.decolle"),
    "lavadl_ref.online",
)


def test_each_part_made_of_torch_says_what_to_type_without_it():
    code = """
    import importlib, sys
    from lavadl_ref import datasets
    for name in sys.argv[1:]:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            print(error)
    try:
        datasets.XOR
    except ModuleNotFoundError as error:
        print(error)
    """
    done = python_without("torch", code, *PARTS)
    line = f'training needs torch, which is not installed: pip install "lavadl-ref[train]" {TORCH}'
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [line] * (len(PARTS) + 1)


def test_pictures_and_encoders_do_without_torch():
    code = """
    from lavadl_ref import encode, plot
    print(encode.rate([1.0], 2, 0).tolist(), encode.flip([[[1, 0]]], "time").tolist())
    try:
        plot.raster([[1]])
    except ModuleNotFoundError as error:
        print(error)
    """
    done = python_without("torch matplotlib h5py", code)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "[[1.0, 1.0]] [[[0, 1]]]",
        'a plot needs matplotlib, which is not installed: pip install "lavadl-ref[plot]"',
    ]


def test_a_missing_package_is_told_by_name_and_command():
    def missing(name, kind=ModuleNotFoundError):
        return doctor.missing(kind(f"No module named {name!r}", name=name))

    assert missing("PIL.Image") == 'pillow is not installed: pip install "lavadl-ref[pictures]"'
    assert missing("matplotlib.pyplot") == 'matplotlib is not installed: pip install "lavadl-ref[plot]"'
    assert missing("sklearn") == f'scikit-learn is not installed: pip install "lavadl-ref[demo]" {TORCH}'
    assert missing("scipy.sparse") == 'scipy is not installed: pip install "lavadl-ref[lava]"'
    assert f"lava-nc=={lava_support.LAVA_VERSION}" in missing("lava.magma")
    broken = missing("torch._C", ImportError)
    assert broken.startswith("torch cannot be imported: ImportError: ")
    assert len(broken.splitlines()) == 1
    assert doctor.missing(lava_support.LavaUnavailable("type this")) == "type this"


def declared():
    """The dependencies that pyproject.toml declares: of the core, and of each extra."""
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project["dependencies"], project["optional-dependencies"]


def names(lines):
    return [one.name for one in doctor.requirements(list(lines))]


def test_the_core_depends_on_five_packages():
    core, _ = declared()
    assert names(core) == ["numpy", "numba", "h5py", "rich", "typer"]
    assert re.fullmatch(r">=[0-9.]+,<[0-9.]+", doctor.requirements(core)[1].versions)


def test_what_messages_say_of_extras_is_what_is_declared():
    _, extras = declared()
    expected = {
        extra: [_extras.DISTRIBUTIONS.get(module, module) for module in modules]
        for extra, modules in _extras.EXTRAS.items()
    }
    assert {extra: names(extras[extra]) for extra in expected} == expected
    assert set(extras) == {*expected, *doctor.COLLECTIONS}
    together = {line for extra in expected for line in extras[extra]}
    assert set(extras["all"]) == together
    for one in doctor.requirements([line for lines in extras.values() for line in lines]):
        assert re.fullmatch(r">=[0-9.]+(,<[0-9.]+)?", one.versions), one


def test_something_that_is_in_several_extras_is_advised_as_the_smallest():
    for module, extra in _extras.EXTRA_OF.items():
        having = [len(modules) for modules in _extras.EXTRAS.values() if module in modules]
        assert len(_extras.EXTRAS[extra]) == min(having), module
