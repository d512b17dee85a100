"""The network as a Lava process in its users' hands, and real recorded networks."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from lavadl_ref.exchange.describe import Flatten
from lavadl_ref.netx.run import runtime
from tests import PATIENCE
from tests.support import netx_cases as cases
from tests.support import netx_families as families
from tests.support.netx_cases import CASES
from tests.support.oracle import layers as naive_layers
from tests.support.oracle import network as naive_network
from tests.support.oracle.netx import network

pytestmark = pytest.mark.lava


def test_a_network_has_the_attributes_of_lava_dls():
    from lavadl_ref.netx.hdf5 import Network
    from lava.magma.core.process.process import AbstractProcess  # isort: skip

    job = CASES["input_layer"]
    net = Network(job.net_config, reset_interval=5)
    assert isinstance(net, AbstractProcess)
    assert len(net) == len(net.layers) == 3
    assert (net.in_layer, net.out_layer) == (net.layers[0], net.layers[-1])
    assert net.inp.shape == (3, 4, 2)
    assert net.out.shape == (3,)
    assert [layer.shape for layer in net.layers] == [(3, 4, 2), (2, 3, 3), (3,)]
    assert net.in_layer.transform == {"weight": 36, "bias": 34}
    assert net.in_layer.synapse is None
    assert type(net.layers[1].synapse).__name__ == "Conv"
    assert type(net.out_layer.neuron).__module__ == "lava.proc.lif.process"
    assert net.net_config.layers is job.net_config.layers
    assert str(net).splitlines()[0].startswith("|   Type   |  W  |  H  |  C  |")
    assert len(str(net).splitlines()) == 4


def build(*layers, **options):
    """The network, built."""
    from lavadl_ref.netx.hdf5 import Network

    return Network(network(*layers), **options)


def test_net_config_reads_like_the_file():
    first, conv, _, dense = CASES["input_layer"].net_config.layers
    net = build(first, conv, Flatten(shape=(18,)), dense)
    layers = net.net_config["layer"]
    assert len(layers) == 4
    assert layers[1]["neuron"]["vThMant"][()] == 120
    assert layers["1"]["neuron/iDecay"] == 1000
    assert layers[0]["type"][0] == b"input"
    assert bytes(layers[2]["type"][0]) == b"flatten"
    assert "neuron" in layers[3]
    assert "neuron" not in layers[2]
    assert (net.net_config["layer/3/weight"] == net.net_config.layers[3].weight).all()
    assert layers[3]["weight"].dtype == np.float32
    for key in (4, -1, "x/weight"):
        with pytest.raises((KeyError, ValueError)):
            net.net_config["layer"][key]
    with pytest.raises(KeyError, match="simulation"):
        net.net_config["simulation"]


@pytest.mark.parametrize("family", families.FAMILIES)
def test_a_layer_names_its_processes(family):
    from lava.proc.dense.process import Dense

    given = {} if family == "SDNN" else {"feedback": True}
    make = families.recurrent if given else families.dense
    layer = build(make(family)).layers[0]
    expected = {"synapse", "neuron"}
    expected |= {"imag_synapse"} if family in families.COMPLEX else set()
    expected |= {"rec_synapse"} if given else set()
    expected |= {"rec_imag_synapse"} if given and family in families.COMPLEX else set()
    assert layer.processes.keys() == expected
    synapses = [layer.processes[name] for name in expected - {"neuron"}]
    assert all(type(process) is Dense for process in synapses)
    assert layer.inp.out_connections == layer.inputs
    assert layer.inputs == [x.s_in for x in (layer.synapse, layer.imag_synapse) if x is not None]
    assert layer.real_synapse is (layer.synapse if family in families.COMPLEX else None)
    assert layer.out.in_connections == [layer.neuron.s_out]
    assert tuple(layer.states) == naive_layers.STATES[family]
    assert all(var.shape == (3,) for var in layer.states.values())
    assert all(var.process is layer.neuron for var in layer.states.values())


def test_the_bias_of_an_input_layer_can_be_written():
    """As the voltage's of Lava's LIF, and of own neurons at the same scale."""
    stock, own = build(families.entry("CUBA")), build(families.entry("CUBA", graded_spike=True))
    assert stock.in_layer.bias is stock.in_layer.neuron.bias_mant
    assert own.in_layer.bias is own.in_layer.neuron.bias
    assert build(families.entry("RF_PHASE")).in_layer.bias is None


@pytest.mark.parametrize("family", [family for family in families.FAMILIES if family != "SDNN"])
@pytest.mark.parametrize("graded", [False, True])
def test_an_image_drives_an_input_layer_as_its_bias(family, graded):
    """Lava's ATRLIF adds it to the voltage, and its RF has none; all others drive the neuron as the reference says."""
    from lava.proc.io.sink import RingBuffer

    from lavadl_ref.netx.run import inprocess

    if not graded and families.STOCK[family] not in ("LIF", None):
        pytest.skip("Lava's own process")
    undamped = {"sin_decay": 3000, "cos_decay": 2785} if family in families.COMPLEX else {}
    net = build(families.entry(family, (2, 1, 2), graded_spike=graded, **undamped))
    image = np.array([[[60, -20], [31, 7]]]).transpose(1, 0, 2)
    net.in_layer.bias.init = image
    sink = RingBuffer(shape=net.out.shape, buffer=20)
    net.out.connect(sink.a_in)
    session = inprocess.Session(net, name="image", timeout=PATIENCE)
    session.run(20)
    frames = [np.zeros((2, 1, 2), int).tolist()] * 20
    records, output = naive_network.network(net.net_config.layers, frames, bias=image.transpose(2, 1, 0).tolist())
    found = session.var(sink.data).transpose(3, 2, 1, 0)
    assert found.any()
    assert (found == np.array(output)).all()
    for name, var in net.in_layer.states.items():
        assert session.var(var).transpose().reshape(-1).tolist() == records[0][name][-1]


def test_a_configuration_that_selects_no_tag_runs_in_integers(monkeypatch):
    """And what it says otherwise is kept; the caller's own is not changed."""
    from lava.magma.core.process.process import AbstractProcess
    from lava.magma.core.run_configs import Loihi1SimCfg, Loihi2SimCfg

    ran = []
    monkeypatch.setattr(AbstractProcess, "run", lambda self, condition, run_cfg, compile_config: ran.append(run_cfg))
    net = build(families.dense("CUBA"))
    exceptions = {AbstractProcess: object}
    given = [
        Loihi1SimCfg(exception_proc_model_map=exceptions),
        Loihi2SimCfg(select_tag="floating_pt"),
        Loihi2SimCfg(select_tag="fixed_pt"),
        None,
    ]
    for config in given:
        net.run(None, config)
    assert [config and config.select_tag for config in ran] == ["fixed_pt"] * 3 + [None]
    assert [config and config.select_tag for config in given] == [None, "floating_pt", "fixed_pt", None]
    assert [type(config) for config in ran] == [type(config) for config in given]
    assert ran[0].exception_proc_model_map is exceptions
    assert ran[2] is given[2]


@pytest.mark.skipif(not cases.UNPATCHED, reason="with NumPy 2 Lava's convolution is patched to hold these")
def test_a_network_refuses_geometry_that_unpatched_lava_cannot_hold():
    from lavadl_ref.netx.hdf5 import Network
    from lavadl_ref.netx.plan.process_spec import UnsupportedLayer

    with pytest.raises(UnsupportedLayer, match=r"layer 0 \(conv\) has .*groups 130"):
        Network(cases.TOO_MANY_GROUPS.net_config, input_shape=(2, 1, 130))


def run_script(code, *arguments):
    """Run a user's script in its own process session and return what it prints."""
    script = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = script.communicate(timeout=PATIENCE)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(script.pid, signal.SIGKILL)
    assert script.returncode == 0, err
    return out


def recorded(folder):
    """Spikes of the three layers, (C, H, W, T)."""
    return [np.load(folder / f"{name}.npy")[0].astype(np.int64) for name in ("input", "layer1", "output")]


@pytest.fixture(scope="module")
def tinynet(data):
    """The recorded network on Lava: from its input spikes in both time bases, and from its input current."""
    folder = data / "tinynet"
    file = folder / "tiny.net"
    spikes = recorded(folder)[0][..., 1:]
    current = np.load(folder / "input_bias.npy").astype(np.int64).transpose(2, 1, 0)
    current = np.repeat(current[..., None], 40, axis=-1)
    late = {"skip_layers": 1, "reset_interval": 100, "reset_offset": 1}
    jobs = {
        "slayer": runtime.Job(file, spikes, 17, arguments={**late, "time_base": "slayer"}),
        "lava": runtime.Job(file, spikes, 17, arguments={**late, "time_base": "lava"}),
        "current": runtime.Job(file, current, 40, arguments={"reset_interval": 17}),
    }
    return recorded(folder), dict(zip(jobs, runtime.run_all(list(jobs.values()), timeout=PATIENCE), strict=True))


@pytest.mark.parametrize(("time_base", "process"), [("slayer", "ExactLIF (own)"), ("lava", "LIFReset")])
def test_tinynet_gives_its_record_from_its_input_spikes(tinynet, time_base, process):
    """Recorded time 0 is silent; from 1 on each layer was reset when its first data arrived."""
    (_, hidden, output), records = tinynet[0], tinynet[1][time_base]
    assert hidden.any()
    assert output.any()
    assert (records.spikes[0][..., 1:16] == hidden[..., 1:]).all()
    assert (records.output[..., 2:] == output[..., 1:]).all()
    assert [row.endswith("Conv + " + process) for row in records.table.splitlines()[1:]] == [True, True]


def test_tinynet_gives_its_record_from_its_input_current(tinynet):
    """Layer i is reset at steps i and i + 17, and its recorded time t is step i + t - 1 after that."""
    for index, expected in enumerate(tinynet[0]):
        assert expected.any()
        began = 17 + index
        assert (tinynet[1]["current"].spikes[index][..., began : began + 15] == expected[..., 1:]).all()


@pytest.mark.parametrize("configuration", ["Loihi1SimCfg()", "Loihi2SimCfg(select_tag='fixed_pt')"])
def test_tinynet_gives_its_record_in_a_users_script(data, configuration):
    """Image as the input layer's bias, sink on the output, run on the process itself."""
    printed = run_script(
        """
        import sys
        import numpy as np
        from lavadl_ref.netx import hdf5
        from lava.magma.core.run_configs import Loihi1SimCfg, Loihi2SimCfg
        from lava.magma.core.run_conditions import RunSteps
        from lava.proc.io.sink import RingBuffer

        folder, configuration = sys.argv[1:]
        net = hdf5.Network(net_config=folder + "/tiny.net", reset_interval=17)
        net.in_layer.neuron.bias_mant.init = np.load(folder + "/input_bias.npy").astype(int)
        sink = RingBuffer(shape=net.out.shape, buffer=40)
        net.out.connect(sink.a_in)
        net.run(condition=RunSteps(40), run_cfg=eval(configuration))
        output = sink.data.get()
        net.stop()
        expected = np.load(folder + "/output.npy")[0].transpose(2, 1, 0, 3)
        print(int(expected[..., 1:].sum()), int((output[..., 19:34] != expected[..., 1:]).sum()))
        """,
        data / "tinynet",
        configuration,
    )
    events, different = map(int, printed.split())
    assert events > 0
    assert different == 0
