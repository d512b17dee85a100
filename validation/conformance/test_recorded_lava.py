"""Traces that Lava-DL recorded, reproduced by Lava's own process models in the networks that netx builds.

The models run in this process; what the recordings are is said where the reference run reproduces them
(`validation.conformance.test_recorded`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lavadl_ref import exchange
from lavadl_ref.exchange import Conv, Dense, Flatten, Network, Neuron
from lavadl_ref.netx import lava_support
from tests.support import PATIENCE
from validation.conformance import upstream_tests
from validation.conformance._recorded import LAYERS, STEPS, load, rotation, sigma_delta

pytestmark = [
    pytest.mark.lava,
    pytest.mark.skipif(not lava_support.available()[0], reason="lava-nc is not installed"),
]


@dataclass(frozen=True)
class Ran:
    """The run of a network: arrays are (C, H, W, T) or (N, T)."""

    output: np.ndarray[Any, Any]
    spikes: list[np.ndarray[Any, Any]]  #: of each generated layer
    states: dict[int, dict[str, np.ndarray[Any, Any]]]  #: of the layers asked for
    table: str


def run(
    network: Any, inputs: Any, steps: int, *, states: Iterable[int] = (), bias: Any = None, **arguments: Any
) -> Ran:
    """Run a network on Lava's processes alone: none of this package's own must be among them.

    `inputs` are (C, H, W, T) or (N, T), None for none; `bias` (C, H, W) in 1/64 drives an input layer.
    """
    from lava.proc.io.source import RingBuffer

    from lavadl_ref.netx.hdf5 import Network as LavaNetwork
    from lavadl_ref.netx.run import inprocess

    net = LavaNetwork(network, **arguments)
    assert "(own)" not in str(net)
    frames = np.zeros((*net.inp.shape, steps), int)
    if inputs is not None:
        x = inputs if len(net.inp.shape) == inputs.ndim - 1 else inputs.reshape(-1, inputs.shape[-1])
        frames[..., : x.shape[-1]] = np.moveaxis(x, -1, 0).transpose().astype(int)[..., :steps]
    RingBuffer(data=frames).s_out.connect(net.inp)
    if bias is not None:
        assert net.in_layer.bias is not None
        net.in_layer.bias.init = bias.transpose()
    session = inprocess.Session(net, timeout=PATIENCE)
    sent = [session.record(layer.neuron.s_out) for layer in net.layers]
    kept: dict[int, dict[str, list[Any]]] = {i: {name: [] for name in net.layers[i].states} for i in states}
    for _ in range(steps if kept else 0):
        session.run(1)
        for i, found in kept.items():
            for name, values in found.items():
                values.append(session.var(net.layers[i].states[name]))
    if not kept:
        session.run(steps)
    spikes = [time_last(messages) for messages in sent]
    recorded = {i: {name: time_last(values) for name, values in found.items()} for i, found in kept.items()}
    return Ran(spikes[-1], spikes, recorded, str(net))


def time_last(frames: list[Any]) -> np.ndarray[Any, Any]:
    """Frames (W, H, C) or (N,) as (C, H, W, T) or (N, T)."""
    return np.stack(frames).transpose()


def test_lava_gives_the_recorded_dense_layer(data):
    """2000 steps, spikes and currents."""
    weight, x, out, current = (load(data / "dense", name) for name in ("weight", "in", "out", "current"))
    neuron = Neuron("CUBA", {"current_decay": 4096, "voltage_decay": 415, "threshold": 6})
    ran = run(Network((Dense(shape=(256,), weight=weight, neuron=neuron),)), x, x.shape[-1], states=[0])
    np.testing.assert_array_equal(ran.output, out)
    np.testing.assert_array_equal(ran.states[0]["current"], current * 64)


@pytest.mark.upstream
def test_lava_gives_the_recorded_complex_dense_layer(gts):
    """2000 steps of Lava's RF."""
    real, imag = (load(gts / "complex_dense", f"weight_{part}") for part in ("r", "img"))
    neuron = Neuron("RF_PHASE", {**rotation(11), "threshold": 25})
    x = load(gts / "complex_dense", "in")
    ran = run(Network((Dense(shape=(256,), weight=real, weight_imag=imag, neuron=neuron),)), x, x.shape[-1])
    assert "RF" in ran.table
    np.testing.assert_array_equal(ran.output, load(gts / "complex_dense", "out"))


@pytest.mark.upstream
def test_lava_gives_the_recorded_complex_input_layer(gts):
    """2000 steps of Lava's RF_IZ, both parts driven, with a threshold and decays that it makes itself."""
    from lava.proc.io.source import RingBuffer
    from lava.proc.rf_iz.process import RF_IZ

    from lavadl_ref.netx.run import inprocess

    x = load(gts / "complex_dense", "in")
    neurons = RF_IZ(shape=x.shape[:1], period=7, alpha=0.05, state_exp=6, decay_bits=12, vth=1.1)
    for port in (neurons.a_real_in, neurons.a_imag_in):
        RingBuffer(data=x).s_out.connect(port)
    session = inprocess.Session(neurons)
    sent = session.record(neurons.s_out)
    session.run(x.shape[-1])
    np.testing.assert_array_equal(time_last(sent), load(gts / "complex_dense", "current"))


def test_lava_gives_the_recorded_tinynet(data):
    """The second recorded sample: all three layers, and the current of the middle one."""
    folder = data / "tinynet"
    ran = run(folder / "tiny.net", None, 40, bias=load(folder, "input_bias"), states=[1], reset_interval=17)
    for position, name in enumerate(("input", "layer1", "output")):
        began, recorded = 17 + position, np.load(folder / f"{name}.npy")[0]
        np.testing.assert_array_equal(ran.spikes[position][..., began : began + 15], recorded[..., 1:])
    current = np.load(folder / "current.npy")[0]
    np.testing.assert_array_equal(ran.states[1]["current"][..., 18 : 18 + 15], current[..., 1:] * 64)


def test_lava_gives_the_recorded_convolution_of_tinynet_sdnn(data):
    """The first layer alone, which receives any message as one unit."""
    folder = data / "tinynet_sdnn"
    x, recorded = load(folder, "input"), load(folder, "layer1")
    weight = np.ascontiguousarray(np.load(folder / "layer1_kernel.npy").transpose(0, 3, 2, 1))
    bias = np.load(folder / "layer1_bias.npy")
    conv = Conv(shape=(24, 6, 6), weight=weight, stride=(2, 2), bias=bias, neuron=sigma_delta())
    given = (x != 0).astype(int)
    ran = run(Network((conv,)), given, recorded.shape[-1], input_shape=x.shape[-2::-1], time_base="lava")
    np.testing.assert_array_equal(ran.output, recorded)


def test_lava_gives_the_recorded_output_of_tinynet_sdnn(data):
    folder = data / "tinynet_sdnn"
    x = (np.load(folder / "layer1.npy").reshape(-1, 16) != 0).astype(int)
    weight = np.load(folder / "layer2_weight.npy").astype(np.int64)
    dense = Dense(shape=(100,), weight=weight, neuron=sigma_delta(sigma_output=True))
    ran = run(Network((dense,)), x, 16, time_base="lava")
    np.testing.assert_array_equal(ran.output, load(folder, "layer2"))


@pytest.mark.upstream
def test_lava_gives_the_recorded_sums_of_pilotnet_sdnn(gts):
    """20 steps of the sums of the first two convolutions."""
    folder = gts / "pilotnet_sdnn"
    x = load(folder, "act0")
    ran = run(
        folder / "network.net", x, 20, states=[0, 1], skip_layers=1, num_layers=3, time_base="lava",
        input_shape=x.shape[-2::-1],
    )  # fmt: skip
    for layer, name in enumerate(("sigma1", "sigma2")):
        np.testing.assert_array_equal(ran.states[layer]["sigma"], load(folder, name))


@pytest.mark.upstream
def test_lava_gives_the_recorded_output_of_pilotnet_sdnn(gts):
    """The whole network, from the picture to the last sums."""
    folder = gts / "pilotnet_sdnn"
    recorded = load(folder, "output")
    steps = recorded.shape[-1]
    picture = np.repeat(load(folder, "input"), steps, axis=-1)
    ran = run(folder / "network.net", picture, steps, time_base="lava")
    np.testing.assert_array_equal(ran.output, recorded)


@pytest.mark.upstream
def test_lava_gives_the_recorded_square_of_pilotnet_sdnn(gts):
    """20 steps of the sums of all four convolutions."""
    folder = gts / "pilotnet_sdnn"
    x = load(folder, "act0")[:, :, :33]
    ran = run(
        folder / "square_network.net", x, 20, states=range(4), skip_layers=1, time_base="lava",
        input_shape=x.shape[-2::-1],
    )  # fmt: skip
    for layer in range(4):
        np.testing.assert_array_equal(ran.states[layer]["sigma"], load(folder, f"sigma{layer + 1}_square"))


@pytest.mark.upstream
def test_lava_gives_the_recorded_first_steps_of_ntidigits(gts):
    """The first 120 of 3000 steps, delays up to 62 in sparse synapses."""
    folder = gts / "ntidigits"
    steps = 120
    x, recorded = load(folder, "input").reshape(1, 1, 64, -1), load(folder, "output")
    ran = run(folder / "ntidigits.net", x, steps, num_layers=5, sparse_fc_layer=True)
    assert "DelaySparse" in ran.table
    np.testing.assert_array_equal(ran.output[:, : steps - 1], recorded[:, 1:steps])
    assert recorded[:, 1:steps].any()


def test_lava_gives_the_recorded_pilotnet(data):
    """The whole network, 24 steps: spikes and states of every layer that was recorded."""
    folder = data / "pilotnet_lif"
    network = exchange.read(folder / "network.net")
    positions = [i for i, layer in enumerate(network.layers) if not isinstance(layer, Flatten)]
    recorded = {generated: LAYERS[position] for generated, position in enumerate(positions) if position in LAYERS}
    assert len(recorded) == len(LAYERS)
    ran = run(network, None, STEPS, bias=load(folder, "image"), states=recorded, reset_interval=17)
    np.testing.assert_array_equal(ran.spikes[0], load(folder, "input"))
    for layer, name in recorded.items():
        spikes, u, v = (load(folder, name + suffix) for suffix in ("", "-u", "-v"))
        np.testing.assert_array_equal(ran.spikes[layer], spikes)
        np.testing.assert_array_equal(ran.states[layer]["current"], u)
        # where a neuron spikes, the chip shows 128
        np.testing.assert_array_equal(np.where(spikes, 128, ran.states[layer]["voltage"]), v)


def test_lava_gives_the_other_run_of_pilotnet(data):
    """A reset every 16 steps: what the input sends, and what the layers behind it make of that."""
    folder = data / "pilotnet_lif"
    sent = load(folder, "input-s")
    first = run(
        folder / "network.net", None, sent.shape[-1], bias=load(folder, "image"), reset_interval=16, num_layers=1
    )
    np.testing.assert_array_equal(first.output, sent)
    ran = run(
        folder / "network.net", sent, sent.shape[-1] + 1, states=[8], skip_layers=1, reset_interval=16,
        time_base="lava", input_shape=sent.shape[-2::-1],
    )  # fmt: skip
    np.testing.assert_array_equal(ran.states[8]["current"], load(folder, "fc-3-u"))
    np.testing.assert_array_equal(ran.states[8]["voltage"], load(folder, "fc-3-v"))
    np.testing.assert_array_equal(ran.spikes[8], load(folder, "fc-3-s"))


# -- files --------------------------------------------------------------------------------------

#: Of Lava-DL's package, without what its tests write.
FILES = {
    "tiny.net": 3,
    "mnist.net": 4,
    "gts/ntidigits/ntidigits.net": 4,
    "gts/pilotnet_lif/network.net": 10,
    "gts/pilotnet_sdnn/network.net": 9,
    "gts/pilotnet_sdnn/square_network.net": 5,
}


def layers_of(path: Path) -> int:
    """The number of layers that netx generates."""
    from lavadl_ref.netx.hdf5 import Network as LavaNetwork

    return len(LavaNetwork(path))


@pytest.mark.upstream
def test_all_files_are_listed():
    netx = upstream_tests.INSTALLED / "netx"
    if not netx.is_dir():
        pytest.skip("lava-dl with its tests is not installed")
    assert {str(path.relative_to(netx)) for path in netx.glob("**/*.net")} == set(FILES)


@pytest.mark.upstream
@pytest.mark.parametrize("name", FILES)
def test_files_of_lava_dl_load(name):
    path = upstream_tests.INSTALLED / "netx" / name
    if not path.is_file():
        pytest.skip("lava-dl with its tests is not installed")
    assert layers_of(path) == FILES[name]


def test_recorded_files_load(data):
    """Every other file; their sizes are those of the same files in Lava-DL's package."""
    found = {str(path.relative_to(data)): layers_of(path) for path in sorted(data.glob("**/*.net"))}
    assert found == {"pilotnet_lif/network.net": 10, "tinynet/tiny.net": 3}
