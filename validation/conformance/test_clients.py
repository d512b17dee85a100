"""Scripts as people write them for Lava-DL, on lava-dl and on this package.

Those in ``clients`` know lava-dl's API alone. Each has `run(seed)`, which returns what it saw by name; here both sides
must give the same: integers, spikes, states and exported numbers with ``torch.equal``, sums of floats within `CLOSE`.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import os
import sys
import warnings
from pathlib import Path

import h5py
import pytest
import torch

from lavadl_ref import drop_in
from lavadl_ref.deployed import reference
from tests.support import upstream
from tests.support.scripts import python

pytestmark = pytest.mark.upstream

CLIENTS = Path(__file__).with_name("clients")
NAMES = sorted(path.stem for path in CLIENTS.glob("*.py") if path.stem != "__init__")
ROOT = "lava.lib.dl"
SEEDS = (7, 23)

#: Relative to the largest value, for what both sides add up in an order of their own: losses, gradients and means.
CLOSE = 1e-5
SUMS = ("loss", "first_loss", "gradient", "grad", "score", "denoised", "confidence")


@contextlib.contextmanager
def aside():
    """The modules of lava-dl out of the interpreter's table, so that their names are free, and back again."""
    held = {name: module for name, module in sys.modules.items() if name == ROOT or name.startswith(f"{ROOT}.")}
    above = sys.modules["lava.lib"]
    for name in held:
        del sys.modules[name]
    package = vars(above).pop("dl", None)
    drop_in.install()
    try:
        yield
    finally:
        drop_in.uninstall()
        sys.modules.update(held)
        if package is not None:
            above.dl = package


def loaded(name):
    """A client's module, loaded anew: it gets what ``lava.lib.dl`` means at this moment."""
    spec = importlib.util.spec_from_file_location(f"client_{name}", CLIENTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@functools.lru_cache
def theirs(name, seed):
    upstream.load()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = loaded(name)
        assert not module.slayer.__name__.startswith("lavadl_ref")
        return module.run(seed)


def ours(name, seed):
    with aside(), warnings.catch_warnings():
        # what the client itself calls of torch's
        warnings.filterwarnings("ignore", r"`torch\.nn\.utils\.weight_norm` is deprecated", FutureWarning)
        module = loaded(name)
        assert module.slayer.__name__ == "lavadl_ref.slayer"
        return module.run(seed)


def compare(found, expected):
    """Raise unless all that lava-dl gave is there and the same; a file of ours may have more entries."""
    assert not expected.keys() - found.keys()
    assert all(name.endswith("delayShift") for name in found.keys() - expected.keys())
    differing = []
    for name, value in expected.items():
        mine = found[name]
        assert (name, mine.shape) == (name, value.shape)
        if name.rpartition("/")[2] in SUMS:
            same = torch.allclose(mine, value, rtol=0, atol=CLOSE * max(1.0, float(value.abs().max())))
        else:
            # a number means the same whatever the type a file holds it in
            same = torch.equal(mine.double(), value.double())
        if not same:
            differing.append((name, float((mine.double() - value.double()).abs().max())))
    assert not differing


@pytest.fixture(autouse=True)
def _installed():
    upstream.slayer()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", NAMES)
def test_a_client_gives_the_same_in_one_process(name, seed):
    """The results of both, computed one after the other in this interpreter."""
    compare(ours(name, seed), theirs(name, seed))


SCRIPT = """
import runpy, sys, torch
from lavadl_ref import drop_in
drop_in.install()
names = runpy.run_path(sys.argv[1], run_name="__main__")
assert names["slayer"].__name__ == "lavadl_ref.slayer", names["slayer"]
torch.save(names["run"](int(sys.argv[2])), sys.argv[3])
"""


@pytest.mark.parametrize("name", NAMES)
def test_a_client_runs_as_a_script(name, tmp_path):
    """The file itself, two lines put before it, in an interpreter of its own."""
    arguments = ["-c", SCRIPT, CLIENTS / f"{name}.py", SEEDS[0], tmp_path / "found.pt"]
    search = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])])
    said = python(*arguments, cwd=tmp_path, env={**os.environ, "PYTHONPATH": search})
    assert said.count("\n") >= 5
    compare(torch.load(tmp_path / "found.pt", weights_only=True), theirs(name, SEEDS[0]))


@pytest.mark.parametrize("name", NAMES)
def test_a_client_has_something_to_say(name):
    """Nothing that is compared is only zeros where it should not be, and seeds differ."""
    first, second = (theirs(name, seed) for seed in SEEDS)
    assert first.keys() == second.keys()
    assert any(not torch.equal(first[key], second[key]) for key in first if first[key].shape == second[key].shape)
    for key, value in first.items():
        if key.rpartition("/")[2] in ("output", "spike", "spikes", "first", "denoised"):
            assert value.any(), key
            assert not value.all(), key


def test_own_blocks_are_exact_as_integers(tmp_path):
    """A block that a client derived from the abstract classes gives the integers of its file."""
    with aside():
        client = loaded("own_blocks")
    torch.manual_seed(5)
    spikes, frames = (torch.rand(3, 12, 40) < 0.3).float(), (torch.rand(3, 2, 6, 6, 30) < 0.3).float()
    for block, x in (
        (client.CubaDense(client.CUBA, 12, 8, weight_scale=2, delay=True), spikes),
        (client.AlifConv(client.ALIF, 2, 4, 3, padding=1, weight_scale=2), frames),
        (client.ResonantDense(client.RESONATOR, 12, 8, weight_scale=2), spikes),
        (client.Recurrent(client.CUBA, 12, 8, weight_scale=2), spikes),
    ):
        block.eval()
        expected = block(x).detach()
        path = tmp_path / f"{type(block).__name__}.net"
        with h5py.File(path, "w") as file:
            block.export_hdf5(file.create_group("layer/0"))
        output = torch.tensor(reference.Network(path).run(x.numpy().astype(int)).output)
        # a synapse hands on what it received one step earlier, as the block's shift does
        assert torch.equal(output, expected.long()), type(block).__name__
        assert expected.any()


def test_clients_are_unaware_of_us():
    assert len(NAMES) == 11
    for name in NAMES:
        assert "lavadl" not in (CLIENTS / f"{name}.py").read_text()


def test_lava_dl_is_back_afterwards():
    before = upstream.load()
    with aside():
        import lava.lib.dl.slayer as slayer

        assert slayer.__name__ == "lavadl_ref.slayer"
    import lava.lib.dl.slayer as slayer

    assert slayer is before is sys.modules[f"{ROOT}.slayer"]


def test_a_voltage_that_is_handed_over_before_the_first_input_is_kept():
    """lava-dl forgets it unless the current is handed over too."""
    params = {"threshold": 1, "current_decay": 1, "voltage_decay": 0.25, "persistent_state": True}
    x, found = torch.full((2, 5, 3), 0.25), []
    for root in (upstream.load(), importlib.import_module("lavadl_ref.slayer")):
        for names in (("voltage_state",), ("voltage_state", "current_state")):
            neuron = root.neuron.cuba.Neuron(**params)
            for name in names:
                setattr(neuron, name, torch.full((2, 5), 0.5 if name == "voltage_state" else 0.0))
            found.append(neuron.dynamics(x)[1][0, 0].tolist())
    assert found[0] == [0.25, 0.4375, 0.578125]
    assert found[1] == found[2] == found[3] == [0.625, 0.71875, 0.7890625]
