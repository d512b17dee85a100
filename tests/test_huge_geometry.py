"""Small legal files that claim huge layers: described within little memory, refused before they take much."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from typer.testing import CliRunner

from lavadl_ref import _cost, audit, exchange, port, verify
from lavadl_ref.cli import _tables
from lavadl_ref.cli import main as cli
from lavadl_ref.exchange import Average, Flatten, Input, Network, Neuron
from lavadl_ref.exchange.describe import Conv, ConvTranspose, Dense, Pool, Unpool
from lavadl_ref.exchange.geometry import smallest_input
from lavadl_ref.netx import lava_support
from lavadl_ref.netx.plan.network import Options, check_size, plan
from lavadl_ref.netx.run import runtime

USABLE, WHY = lava_support.available()
CUBA = Neuron("CUBA", {"threshold": 80, "current_decay": 1000, "voltage_decay": 300})
SIGMA_DELTA = Neuron("SDNN", {"activation": "relu", "threshold": 6})
RESONATOR = Neuron("RF_PHASE", {"sin_decay": 700, "cos_decay": 3000, "threshold": 64})


def full(*shape):
    return np.full(shape, 2)


ONE = {"weight": full(1, 1, 1, 1), "bias": np.array([3])}
#: Each of a few kilobytes.
NETWORKS = {
    "strides": [Conv(shape=(1, 3, 3), stride=(8000, 8000), neuron=CUBA, **ONE)],
    "a convolution with biases": [Conv(shape=(1, 16000, 16000), neuron=CUBA, **ONE)],
    "sigma-delta with biases": [Conv(shape=(1, 16000, 16000), neuron=SIGMA_DELTA, **ONE)],
    "bare sums with biases": [Conv(shape=(1, 16000, 16000), **ONE)],
    "delays": [
        Conv(shape=(1, 16000, 16000), neuron=CUBA, delay=np.array([3]), **ONE), Average(shape=(1,))
    ],
    "pools of many channels": [Pool(shape=(2**18, 8, 8), weight=full(1, 1, 7, 7), stride=(3, 3), neuron=CUBA)],
    "pools past the edge": [
        Input(shape=(4, 32767, 1)),
        Pool(shape=(4, 2, 1), weight=full(1, 1, 9, 1), stride=(32766, 1), dilation=(3000, 1), neuron=CUBA),
    ],
    "unpooling": [
        Input(shape=(2**18, 16, 16)),
        Unpool(shape=(2**18, 32, 32), weight=full(1, 1, 2, 2), stride=(2, 2), neuron=CUBA),
    ],
    "transposed": [
        Input(shape=(1, 4000, 4000)), ConvTranspose(shape=(1, 4006, 4006), weight=full(1, 1, 7, 7), neuron=CUBA)
    ],
    "resonators": [
        Conv(shape=(64, 2000, 2000), weight=full(64, 1, 1, 1), weight_imag=full(64, 1, 1, 1), neuron=RESONATOR)
    ],
    "an input layer": [Input(shape=(2**28,), neuron=CUBA)],
    "flattened": [Input(shape=(2**14, 2**7, 2**7)), Flatten(shape=(2**28,)), Average(shape=(8,))],
}  # fmt: skip


@pytest.fixture
def peak():
    """Megabytes that were allocated at most since the test began."""
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()


def network(name):
    made = Network(tuple(NETWORKS[name]))
    exchange.check(made)
    return made


@pytest.mark.parametrize("name", NETWORKS)
def test_a_description_of_huge_geometry_takes_no_memory(name, peak):
    described = network(name)
    names, reason = audit.processes(described)
    _tables.layers("x", described, names)
    _tables.neurons(described)
    assert reason is None
    assert names[len(described.layers) - 1] != "-"
    assert peak() < 5


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "pools past the edge"])
def test_a_run_of_huge_geometry_is_refused_before_it_takes_memory(name, peak):
    described = network(name)
    for run in (verify.verify, audit.audit):
        with pytest.raises(ValueError, match=r"^64 steps of input of shape .* would take about .* MB of memory, more"):
            run(described)
    assert peak() < 5


@pytest.mark.parametrize("name", NETWORKS)
def test_c_of_huge_geometry_is_refused_before_it_takes_memory(name, peak):
    described = network(name)
    first = described.layers[0]
    options = {"input_shape": smallest_input(first)} if described.input_shape is None else {}
    if name == "pools past the edge":  # whose input alone is large, and not larger than C may hold
        assert port.sizes(described, **options).ram < 2**20
        return
    with pytest.raises(ValueError, match=r"^net_config must take at most 67,108,864 bytes of state in C, got at least"):
        port.sizes(described, **options)
    assert peak() < 5


@pytest.mark.parametrize("name", ["unpooling", "transposed", "pools of many channels", "an input layer"])
def test_lava_is_not_asked(name, peak):
    described = network(name)
    with pytest.raises(ValueError, match=r"^processes of Lava for input of shape .* would take about .* MB of memory"):
        check_size(plan(described, Options(input_shape=audit.input_shape(described)[::-1])))
    if USABLE:
        from lavadl_ref.netx import hdf5

        shape = audit.input_shape(described)
        options = {"input_shape": shape[::-1]} if len(shape) == 3 else {}
        with pytest.raises(ValueError, match=r"^processes of Lava for input of shape"):
            hdf5.Network(described, **options)
        with pytest.raises(ValueError, match=r"^processes of Lava for input of shape"):
            runtime.run(described, np.zeros((*(1,) * len(shape), 1), np.int8), 1, **options)
    assert peak() < 5


@pytest.mark.parametrize("command", ["inspect", "verify", "audit"])
def test_the_commands_refuse_huge_geometry(command, tmp_path):
    exchange.write(tmp_path / "x.net", network("strides"))
    assert (tmp_path / "x.net").stat().st_size < 30_000
    result = CliRunner(env={"COLUMNS": "300", "NO_COLOR": "1"}).invoke(cli.app, [command, str(tmp_path / "x.net")])
    if command == "inspect":
        assert result.exit_code == 0
        assert "1x3x3" in result.stdout
        return
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert "MB of memory, more than the 4,000 MB allowed; take fewer steps, or allow more" in line


def test_every_network_that_a_file_can_hold_may_go_to_lava():
    """The widest matrix of a file is within what is allowed."""
    weight = np.broadcast_to(np.int64(2), (2**13, 2**14))  # 1 GB of integers
    layer = Dense(shape=(2**13,), weight=weight, neuron=CUBA)
    assert _cost.estimate(Network((layer,)), (2**14,), 1, lava=True) < _cost.MEGABYTES * 1e6
