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

from lavadl_ref.netx import runtime
from tests.netx import cases
from tests.netx.cases import CASES

pytestmark = pytest.mark.lava


def test_attributes():
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
    assert net.net_config is job.net_config
    assert str(net).splitlines()[0].startswith("|   Type   |  W  |  H  |  C  |")
    assert len(str(net).splitlines()) == 4


@pytest.mark.skipif(not cases.UNPATCHED, reason="with NumPy 2 Lava's convolution is patched to hold these")
def test_refuses_geometry_that_unpatched_lava_cannot_hold():
    from lavadl_ref.netx.choice import UnsupportedLayer
    from lavadl_ref.netx.hdf5 import Network

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
        out, err = script.communicate(timeout=60)
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
    return recorded(folder), dict(zip(jobs, runtime.run_all(list(jobs.values()), timeout=90), strict=True))


@pytest.mark.parametrize(("time_base", "process"), [("slayer", "GatedLIF (own)"), ("lava", "LIFReset")])
def test_tinynet_from_its_input_spikes(tinynet, time_base, process):
    """Recorded time 0 is silent; from 1 on each layer was reset when its first data arrived."""
    (_, hidden, output), records = tinynet[0], tinynet[1][time_base]
    assert hidden.any()
    assert output.any()
    assert (records.spikes[0][..., 1:16] == hidden[..., 1:]).all()
    assert (records.output[..., 2:] == output[..., 1:]).all()
    assert [row.endswith("Conv + " + process) for row in records.table.splitlines()[1:]] == [True, True]


def test_tinynet_from_its_input_current(tinynet):
    """Layer i is reset at steps i and i + 17, and its recorded time t is step i + t - 1 after that."""
    for index, expected in enumerate(tinynet[0]):
        assert expected.any()
        began = 17 + index
        assert (tinynet[1]["current"].spikes[index][..., began : began + 15] == expected[..., 1:]).all()


@pytest.mark.parametrize("configuration", ["Loihi1SimCfg", "Loihi2SimCfg"])
def test_tinynet_in_a_users_script(data, configuration):
    """Image as the input layer's bias, sink on the output, run on the process itself."""
    printed = run_script(
        """
        import sys
        import numpy as np
        from lavadl_ref.netx import hdf5
        from lava.magma.core import run_configs
        from lava.magma.core.run_conditions import RunSteps
        from lava.proc.io.sink import RingBuffer

        folder, configuration = sys.argv[1:]
        net = hdf5.Network(net_config=folder + "/tiny.net", reset_interval=17)
        net.in_layer.neuron.bias_mant.init = np.load(folder + "/input_bias.npy").astype(int)
        sink = RingBuffer(shape=net.out.shape, buffer=40)
        net.out.connect(sink.a_in)
        net.run(condition=RunSteps(40), run_cfg=getattr(run_configs, configuration)(select_tag="fixed_pt"))
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
