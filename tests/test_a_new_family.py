"""A family added by its rows alone: the code of docs/adding_a_neuron.md, run as it stands there.

Everything that follows from the rows is checked against a second statement of the formula in this file: spikes and
gradients, the file, the reference, Lava's process, the rebuilt network, golden vectors, the bounds of states.
"""

from __future__ import annotations

import doctest
import importlib
import io
import re
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lavadl_kernels import neurons as kernels
from lavadl_kernels.engine import train
from numba.core import config

from lavadl_ref import exchange, reference, verify
from lavadl_ref.slayer import auto, synapse
from lavadl_ref.slayer.block import _family as block_families
from lavadl_ref.testing import vectors
from tests.support import c_programs
from tests.support.oracle import unrolled
from tests.support.tree import ROOT

PAGE = ROOT / "docs" / "adding_a_neuron.md"
CODE = re.compile(r"```python\n# lif/(\w+)\.py\n(.*?)```", re.DOTALL)
TABLES = (kernels.FAMILIES, exchange.FAMILIES, block_families.FAMILIES)
KEPT: dict[str, Any] = {}  #: the folder, modules and rows of the family, between two uses of `lif`
THRESHOLD, DECAY = 32, 819  #: of the layers below: 0.5 in 1/64, 0.2 in 1/4096


def parts() -> dict[str, str]:
    """The files of the page by their names."""
    return dict(CODE.findall(PAGE.read_text()))


def leak(x: int, decay: int) -> int:
    """The state that a step leaves, rounded toward zero."""
    product = abs(x) * (4096 - decay) >> 12
    return product if x >= 0 else -product


def simulated(inputs: np.ndarray, decay: int, threshold: int, v: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Spikes and voltages after a spike of one neuron for inputs (T,) in 1/4096, from the voltage `v`."""
    spikes, voltages = [], []
    for a in inputs.tolist():
        w = leak(v, decay) + a
        spikes.append(w > threshold)
        v = 0 if w > threshold else w
        voltages.append(v)
    return np.array(spikes, int), np.array(voltages)


@pytest.fixture(scope="module")
def lif(tmp_path_factory) -> Iterator[SimpleNamespace]:
    """The modules of the page, imported from a folder of their own for as long as the tests here run."""
    # a worker may come back to this file: classes of parameters are known by their names for good, and are made once
    if not KEPT:
        folder = tmp_path_factory.mktemp("family")
        package = folder / "lif"
        package.mkdir()
        (package / "__init__.py").write_text("")
        for name, code in parts().items():
            (package / f"{name}.py").write_text(code)
        KEPT["folder"] = folder
    folder = KEPT["folder"]
    sys.path.insert(0, str(folder))
    # a cache of its own: the code of the page has no place in that of the package
    before, config.CACHE_DIR = config.CACHE_DIR, str(folder / "cache")
    try:
        sys.modules.update(KEPT.get("modules", {}))
        for table, row in zip(TABLES, KEPT.get("rows", ()), strict=False):
            table["LIF"] = row
        names = ("kernel", "row", "neuron", "blocks")
        yield SimpleNamespace(**{name: importlib.import_module(f"lif.{name}") for name in names})
    finally:
        config.CACHE_DIR = before
        sys.path.remove(str(folder))
        modules = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "lif"}
        KEPT.update(modules=modules, rows=[table.pop("LIF", None) for table in TABLES])
        for name in modules:
            del sys.modules[name]


@pytest.fixture
def network(lif) -> exchange.Network:
    """Three trained layers as they are exported, with delays and feedback."""
    torch.manual_seed(0)
    neuron = {"threshold": 0.5, "voltage_decay": 0.2, "requires_grad": True}
    blocks = [
        lif.blocks.Dense(neuron, 8, 12, weight_scale=3, delay=True),
        lif.blocks.Recurrent(neuron, 12, 6, weight_scale=3),
        lif.blocks.Dense(neuron, 6, 4, weight_scale=3),
    ]
    net = torch.nn.Sequential(*blocks).eval()
    net(torch.zeros(1, 8, 4))
    return exchange.Network(tuple(block.describe() for block in blocks))


class Surrogate(torch.autograd.Function):
    """A spike above the threshold, with SLAYER's surrogate gradient."""

    @staticmethod
    def forward(ctx, voltage, threshold, tau, scale):
        """Spikes (*any shape) of a voltage."""
        ctx.save_for_backward(voltage - threshold)
        ctx.constants = tau, scale
        return (voltage > threshold).to(voltage.dtype)

    @staticmethod
    def backward(ctx, gradient):
        """The gradient through the exponential of the distance to the threshold."""
        (distance,), (tau, scale) = ctx.saved_tensors, ctx.constants
        return gradient * scale / (2 * tau) * torch.exp(-distance.abs() / tau), None, None, None


def spikes(shape: tuple[int, ...]) -> np.ndarray:
    """Random spikes."""
    return (np.random.default_rng(1).random(shape) < 0.3).astype(int)


def test_the_page_has_a_file_for_each_row():
    assert list(parts()) == ["kernel", "row", "neuron", "blocks", "use"]


def test_the_pages_last_file_runs_as_it_stands(lif, capsys):
    exec(compile(parts()["use"].replace("from .", "from lif."), "use.py", "exec"), {})
    assert capsys.readouterr().out == "(4, 32) ()\n"


@pytest.mark.parametrize("graded", [False, True])
def test_spikes_of_a_new_family_are_those_of_its_formula(lif, graded):
    neuron = lif.neuron.Neuron(0.5, 0.2, graded_spike=graded)
    x = np.random.default_rng(0).integers(-2000, 4000, (2, 3, 40))
    y = neuron(torch.tensor(x / 4096, dtype=torch.float32)).numpy()
    fired = np.array([[simulated(lane, DECAY, THRESHOLD * 64)[0] for lane in sample] for sample in x])
    assert fired.any()
    assert ((y != 0) == fired).all()
    if not graded:
        assert (y == fired).all()


def test_gradients_of_a_new_family_are_those_of_autograd(lif):
    neuron = lif.neuron.Neuron(0.5, 0.2, requires_grad=True)
    x = torch.randint(-2000, 4000, (2, 3, 20), generator=torch.Generator().manual_seed(0)) / 4096
    given = x.clone().requires_grad_()
    y = neuron(given)
    cotangent = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    (y * cotangent).sum().backward()

    leaf = x.double().requires_grad_()
    decay = torch.tensor(float(DECAY), dtype=torch.float64, requires_grad=True)
    surrogate = neuron.tau_mult * neuron.tau_rho, neuron.scale_mult * neuron.scale_rho

    def step(inputs, states):
        voltage = unrolled.truncate(states[0] * (1 - decay / 4096)) + inputs[0]
        spike = Surrogate.apply(voltage, neuron.threshold, *surrogate)
        # the reset passes the gradient as if there had been none
        return spike, (voltage,), (voltage - (voltage * (voltage > neuron.threshold)).detach(),)

    rest = (torch.zeros(2, 3, dtype=torch.float64),)
    fired, _, _ = unrolled.unroll(step, (leaf.permute(2, 0, 1),), rest)
    assert torch.equal(fired.permute(1, 2, 0).float(), y)
    (fired.permute(1, 2, 0) * cotangent.double()).sum().backward()
    for actual, expected in ((given.grad, leaf.grad), (neuron.voltage_decay.grad, decay.grad.reshape(1))):
        largest = expected.abs().max().item()
        assert largest > 0
        torch.testing.assert_close(actual.double(), expected, rtol=1e-4, atol=1e-5 * largest)


def test_a_file_of_a_new_family_is_read_as_it_was_written(network):
    file = io.BytesIO()
    exchange.write(file, network)
    assert exchange.digest(exchange.read(file)) == exchange.digest(network)


def test_the_reference_runs_a_new_family_as_its_formula_says(network):
    layer = exchange.Network(network.layers[2:])
    x = spikes((6, 60))
    run = reference.Network(layer).run(x, record=("spikes", "voltage"))
    sums = layer.layers[0].weight @ np.concatenate([np.zeros((6, 1), int), x[:, :-1]], axis=1)
    found = [simulated(row * 64, DECAY, THRESHOLD * 64) for row in sums]
    assert (run.output == [fired for fired, _ in found]).all()
    assert run.output.any()
    assert (run.layers[0].voltage == [voltage for _, voltage in found]).all()


@pytest.mark.skipif(not c_programs.COMPILERS, reason=c_programs.NO_COMPILER)
def test_a_new_family_becomes_c_that_gives_its_integers(network, tmp_path):
    x = spikes((8, 40))
    c_programs.exported(tmp_path, network, x, reset_interval=13)
    assert "lif_step(" in (tmp_path / "network.c").read_text()
    program = c_programs.compiled(tmp_path)
    assert c_programs.differences(network, x, program, reset_interval=13) == []


def test_a_new_family_runs_on_lava_in_an_exact_process(network):
    pytest.importorskip("lava")
    from lavadl_ref.netx import inprocess, plan

    assert plan.table(plan.plan(network)).count("ExactLif (own)") == 3
    x = spikes((8, 30))
    run = reference.Network(network).run(x, record=("spikes", "voltage"))
    records = inprocess.run(network, x, 30)
    assert (records.output == run.output).all()
    assert run.output.any()
    for kept, layer in zip(records.states, run.layers, strict=True):
        assert (kept["voltage"].reshape(-1) == layer.voltage[:, -1]).all()


def test_a_network_of_a_new_family_is_rebuilt_from_its_file(lif, network):
    again = auto.SequentialNetwork(network).eval()
    assert [type(block) for block in again.blocks] == [lif.blocks.Dense, lif.blocks.Recurrent, lif.blocks.Dense]
    report = verify.trained(again.blocks, torch.tensor(spikes((2, 8, 30)), dtype=torch.float32))
    assert report.exact
    assert all(layer.spikes for layer in report.layers)


def test_golden_vectors_of_a_new_family_are_those_of_its_formula(lif):
    drawn = list(vectors.cases("LIF", "slayer"))
    assert len(drawn) > 3
    for case in drawn:
        assert (list(case.parameters), list(case.states)) == (["voltage_decay", "threshold"], ["voltage"])
        inputs, fired, after = (np.array(rows) for rows in (case.inputs["input"], case.spike, case.states["voltage"]))
        for lane in range(inputs.shape[1]):
            given = (case.parameters[name][lane] for name in ("voltage_decay", "threshold"))
            expected = simulated(inputs[:, lane], *given, case.state["voltage"][lane])
            assert (fired[:, lane] == expected[0]).all()
            assert (after[:, lane] == expected[1]).all()
    assert any(np.any(case.spike) for case in drawn)


def test_states_of_a_new_family_stay_within_their_bound(lif):
    record, steps = lif.kernel.FAMILY, 200
    decay = np.array([[3]])
    neuron = record.parameters(decay, 2**40)
    x = np.full((steps, 1), 100, np.float32)
    run = train.forward(neuron, (x,), np.zeros((1, 1), np.int64), traces=True)
    bound = record.input_gain(decay, steps) * 100
    assert 100 * steps * 0.9 < run.trace.max() <= bound


def test_the_docstring_of_a_new_neuron_lists_its_parameters(lif):
    text = lif.neuron.Neuron.__doc__
    (example,) = doctest.DocTestFinder(recurse=False).find(lif.neuron.Neuron, globs={})
    assert "voltage_decay : float, (float, float) or ndarray" in text
    assert example.examples[-1].want == "torch.Size([4, 2, 10])\n"


def test_a_second_block_family_of_one_name_is_refused(lif):
    with pytest.raises(ValueError, match=r"family 'LIF' must have one block family in slayer.block, got a second"):
        block_families.Family("another.module", lif.neuron.Neuron, synapse)


LAYER = exchange.Dense(
    shape=(2,),
    weight=np.zeros((2, 3), np.int64),
    neuron=exchange.Neuron("LIF", {"voltage_decay": 5, "threshold": 9, "graded_spike": False}),
)


@pytest.mark.parametrize(
    ("table", "use", "row"),
    [
        (kernels.FAMILIES, reference.Network, "a record in lavadl_kernels.neurons"),
        (exchange.FAMILIES, auto.SequentialNetwork, "a row in lavadl_ref.exchange.FAMILIES"),
        (
            block_families.FAMILIES,
            auto.SequentialNetwork,
            "a neuron class in slayer.neuron and a block family in slayer.block",
        ),
    ],
    ids=["kernel", "row", "neuron and blocks"],
)
def test_a_row_that_is_left_out_is_named_by_the_error(lif, monkeypatch, table, use, row):
    monkeypatch.delitem(table, "LIF")
    with pytest.raises(Exception, match=f"family 'LIF' must have {row}"):
        use(exchange.Network((LAYER,)))


@pytest.mark.parametrize(
    ("line", "instead", "row"),
    [
        ('states=("voltage",)', 'states=("current", "voltage")', "step"),
        ('decays=("voltage_decay",)', "decays=()", "decays"),
        ('carried="voltage"', 'carried="current"', "carried"),
        ('resets=("voltage",)', 'resets=("current",)', "resets"),
        ('"LIF", Lif, step', '"LIF2", Lif, None', "step"),
    ],
)
def test_a_wrong_row_of_the_record_is_named_by_the_error(line, instead, row):
    code = parts()["kernel"].replace('"LIF", Lif', '"LIF2", Lif2').replace("class Lif(", "class Lif2(")
    line, instead = line.replace('"LIF", Lif', '"LIF2", Lif2'), instead.replace('LIF2", Lif,', 'LIF2", Lif2,')
    assert line in code
    with pytest.raises(ValueError, match=rf"^({row}) of family 'LIF2' must"):
        exec(compile(code.replace(line, instead), "kernel.py", "exec"), {"__name__": "lif2"})
    assert "LIF2" not in kernels.FAMILIES
