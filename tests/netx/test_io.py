"""Samples through Lava's runtime, against the same network in a few lines of NumPy."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from lavadl_ref import exchange
from lavadl_ref.exchange.describe import Dense, Flatten, Input, Network, Neuron
from lavadl_ref.netx import lava_support
from tests import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
SHAPE = (2, 3, 4)  # C, H, W of the input
IN_DECAY, V_DECAY, THRESHOLD = 1000, 300, 120


def leak(state, decay):
    return np.sign(state) * ((np.abs(state) * (4096 - decay)) >> 12)


def cuba(current, bias):
    """Spikes (T, N) of neurons for a current and a bias (T, N) in 1/64."""
    u = v = np.zeros(current.shape[1], np.int64)
    spikes = np.zeros(current.shape, np.int64)
    for n in range(len(current)):
        u = leak(u, IN_DECAY) + (current[n] << 6)
        v = leak(v, V_DECAY) + u + (bias[n] << 6)
        spikes[n] = v > THRESHOLD << 6
        v = np.where(spikes[n], 0, v)
    return spikes


def output(weight, current, bias):
    """Spikes (O, T) of the network for what the input layer takes, (T, W, H, C)."""
    steps = len(current)
    # Fully connected layers count their inputs in the order C, H, W.
    hidden = cuba(current.reshape(steps, -1), bias.reshape(steps, -1)).reshape(current.shape)
    sent = hidden.transpose(0, 3, 2, 1).reshape(steps, -1)
    z = np.concatenate([np.zeros((1, len(weight)), np.int64), sent[:-1] @ weight.T])
    return cuba(z, np.zeros_like(z)).T


@pytest.fixture
def weight(tmp_path):
    """Weights of the network in ``network.net``: an input layer, then five neurons."""
    neuron = Neuron("CUBA", {"current_decay": IN_DECAY, "voltage_decay": V_DECAY, "threshold": THRESHOLD})
    weight = 2 * np.random.default_rng(1).integers(-20, 30, (5, 24))
    layers = (
        Input(shape=SHAPE, neuron=neuron),
        Flatten(shape=(24,)),
        Dense(shape=(5,), neuron=neuron, weight=weight),
    )
    exchange.write(tmp_path / "network.net", Network(layers))
    return weight


def run(folder, *codes):
    """Run a user's script there, in its own process session; what it saves in ``result.npz``."""
    (folder / "script.py").write_text("\n".join(map(textwrap.dedent, codes)))
    path = os.pathsep.join([str(ROOT), str(ROOT / "kernels")])
    script = subprocess.Popen(
        [sys.executable, "script.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = script.communicate(timeout=PATIENCE)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(script.pid, signal.SIGKILL)
    assert script.returncode == 0, said
    return np.load(folder / "result.npz")


INSTALL = """
    from lavadl_ref import drop_in
    drop_in.install()
    import numpy as np
    samples = np.load('samples.npy')
"""


def save(folder, samples):
    np.save(folder / "samples.npy", samples)
    return samples


SPIKES = """
    test_set = [(sample[..., None], label) for label, sample in enumerate(samples)]
    num_steps = total_run_time = 40

    from lava.lib.dl.netx import hdf5
    net = hdf5.Network(net_config='network.net')

    from lava.proc import io
    dataloader = io.dataloader.SpikeDataloader(dataset=test_set)
    output_logger = io.sink.RingBuffer(shape=net.out_layer.shape, buffer=num_steps)
    gt_logger = io.sink.RingBuffer(shape=(1,), buffer=num_steps)

    dataloader.ground_truth.connect(gt_logger.a_in)
    dataloader.s_out.connect(net.in_layer.neuron.a_in)
    net.out_layer.out.connect(output_logger.a_in)

    from lava.magma import run_configs as rcfg
    from lava.magma import run_conditions as rcnd

    net.run(condition=rcnd.RunSteps(total_run_time), run_cfg=rcfg.Loihi1SimCfg())
    output = output_logger.data.get()
    gts = gt_logger.data.get()
    net.stop()

    np.savez('result.npz', output=output, gts=gts)
"""


@pytest.mark.lava
def test_lava_dls_inference_runs_with_a_loader_of_lavas(tmp_path, weight):
    """As its documentation has it. Sample i enters at step i + 1."""
    samples = save(tmp_path, np.random.default_rng(2).integers(-20, 60, (7, 4, 3, 2)))
    found = run(tmp_path, INSTALL, SPIKES)
    current = samples[(np.arange(40) - 1) % 7]
    current[0] = 0
    expected = output(weight, current, np.zeros_like(current))
    assert expected.any(axis=1).all()
    assert (found["output"] == expected).all()
    assert found["gts"].tolist() == [[0, *((np.arange(1, 40) - 1) % 7)]]


BIAS = """
    testing_set = list(zip(samples, range(len(samples))))
    input_shape, total_run_time = samples.shape[1:], 40

    from lava.lib.dl.netx import hdf5
    net = hdf5.Network(net_config='network.net')

    from lava.proc.io import InputLoader, BiasWriter, OutputReader
    input_loader = InputLoader(dataset=testing_set)
    bias_writer = BiasWriter(shape=input_shape)
    output = OutputReader()

    input_loader.data_out.connect(bias_writer.bias_in)
    bias_writer.bias_out.connect(net.in_layer.bias)
    net.out_layer.neuron.s_out.connect(output.net_output_in)

    from lava.magma import run_configs as rcfg
    from lava.magma import run_conditions as rcnd

    net.run(condition=rcnd.RunSteps(total_run_time), run_cfg=rcfg.Loihi1SimCfg())
    while_alive = output.data.get()
    net.stop()

    np.savez('result.npz', alive=while_alive, after=output.read())
"""


@pytest.mark.lava
def test_lava_dls_inference_runs_by_the_bias_of_the_input_layer(tmp_path, weight):
    """As its documentation has it. Sample i acts from step i + 1 on; one is beyond 16 bits."""
    samples = save(tmp_path, np.random.default_rng(3).integers(-20, 60, (7, 4, 3, 2)))
    samples[4, 0] = 40000
    save(tmp_path, samples)
    found = run(tmp_path, INSTALL, BIAS)
    bias = samples[(np.arange(40) - 1) % 7]
    bias[0] = 0
    expected = output(weight, np.zeros_like(bias), bias)
    assert expected.any(axis=1).all()
    assert found["alive"].dtype == np.int32
    assert (found["alive"] == expected).all()
    assert (found["after"] == expected).all()


OPTIONS = """
    import numpy as np
    samples = np.load('samples.npy')

    from lavadl_ref.netx import hdf5
    from lavadl_ref.netx.io import BiasWriter, InputLoader, OutputReader
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg

    net = hdf5.Network('network.net')
    loader = InputLoader([(sample, [i + 1, 0.5]) for i, sample in enumerate(samples)], interval=6, offset=4)
    writer = BiasWriter(samples.shape[1:])
    label, sent, last = OutputReader((2,)), OutputReader(), OutputReader(buffer=9)
    long = OutputReader(buffer=50)
    loader.data_out.connect(writer.bias_in)
    writer.bias_out.connect(net.in_layer.neuron.bias_mant)
    loader.ground_truth.connect(label.net_output_in)
    loader.data_out.connect(sent.net_output_in)
    net.out_layer.out.connect(last.net_output_in)
    net.out_layer.out.connect(long.net_output_in)
    net.in_layer.neuron.bias_mant.init = np.full(samples.shape[1:], 130)

    config = Loihi2SimCfg(select_tag='fixed_pt')
    net.run(condition=RunSteps(13), run_cfg=config)
    first = long.read()
    net.run(condition=RunSteps(17), run_cfg=config)
    net.stop()
    np.savez('result.npz', label=label.read(), sent=sent.read(), last=last.read(), first=first, long=long.read())
"""


@pytest.mark.lava
def test_interval_offset_and_buffer_place_the_samples(tmp_path, weight):
    """The first step has the bias that was there, zeros follow until sample 0 acts, at step 5."""
    samples = save(tmp_path, np.random.default_rng(4).integers(0, 90, (3, 4, 3, 2)))
    found = run(tmp_path, OPTIONS)
    sent = np.concatenate([np.zeros((4, 4, 3, 2), np.int64), np.repeat(samples[[0, 1, 2, 0, 1]], 6, axis=0)])[:30]
    assert (found["sent"] == np.moveaxis(sent, 0, -1)).all()
    index = (np.arange(30) - 5) // 6
    assert found["label"].tolist() == [np.where(index < 0, 0, index % 3 + 1).tolist(), [0] * 30]
    bias = np.concatenate([np.full((1, 4, 3, 2), 130), sent[:-1]])
    expected = output(weight, np.zeros_like(bias), bias)
    assert expected[:, 1].any()
    assert expected.any(axis=1).all()
    assert (found["long"] == np.pad(expected, ((0, 0), (0, 20)))).all()
    assert (found["first"] == np.pad(expected[:, :13], ((0, 0), (0, 37)))).all()
    assert (found["last"] == np.roll(expected[:, 21:], 30 % 9, axis=1)).all()


@pytest.fixture
def processes():
    usable, why = lava_support.available()
    if not usable:
        pytest.skip(why)
    from lavadl_ref.netx.io import process

    return process


def test_samples_are_read_as_integers_with_a_label(processes):
    whole = np.array([[1.0, -2.0]])
    for found, label in [
        (whole, [0]),
        ((whole, 3), [3]),
        ([whole, np.float32(0.5)], [0.5]),
        ((whole, np.array([1, 2])), [1, 2]),
    ]:
        data, truth = processes.sample([found], 0)
        assert data.dtype == np.int32
        assert data.tolist() == [[1, -2]]
        assert truth.dtype == np.float64
        assert truth.tolist() == label


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (np.array([1, 0.5]), r"sample 1 must hold integers, got 0\.5"),
        (np.array([1, np.nan]), "sample 1 must hold integers of 32 bits, got float64 from nan to nan"),
        (np.array([1, 2**31]), "must hold integers of 32 bits, got int64 from 1 to 2147483648"),
        (np.array(["a", "b"]), "must hold integers of 32 bits, got <U1 from no numbers"),
        (
            np.array([1, 2, 3]),
            r"sample 1 must have input and label of shapes \(\(2,\), \(1,\)\), got \(\(3,\), \(1,\)\)",
        ),
        ((np.array([1, 2]), np.array([1, 2])), r"got \(\(2,\), \(2,\)\)"),
        ((np.array([1, 2]), "cat"), "must have a number or an array of numbers as label, got <U3"),
    ],
)
def test_malformed_samples_are_refused_by_number(processes, found, message):
    with pytest.raises(ValueError, match=message):
        processes.sample([None, found], 1, ((2,), (1,)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"interval": 0}, "interval must be at least 1 and offset 0, got 0 and 0"),
        ({"offset": -1}, "got 1 and -1"),
        ({"dataset": []}, "dataset must have samples"),
        ({"dataset": [np.array([0.5])]}, r"sample 0 must hold integers, got 0\.5"),
    ],
)
def test_a_loader_refuses_malformed_arguments(processes, arguments, message):
    with pytest.raises(ValueError, match=message):
        processes.InputLoader(**{"dataset": [np.array([1])], **arguments})


def test_a_writer_refuses_a_var_of_another_shape(processes):
    from lava.proc.lif.process import LIF

    assert processes.BiasWriter(4).bias_in.shape == processes.BiasWriter(4).bias_out.shape == (4,)
    with pytest.raises(ValueError, match=r"the bias of a BiasWriter must have its shape \(4,\), got \(5,\)"):
        processes.BiasWriter((4,)).bias_out.connect(LIF(shape=(5,)).bias_mant)


def test_a_reader_takes_the_shape_of_what_is_connected(processes):
    from lava.magma.core.process.ports.ports import OutPort

    reader = processes.OutputReader()
    with pytest.raises(ValueError, match="net_output_in of OutputReader must be connected"):
        reader.read()
    OutPort(shape=(3, 2)).connect(reader.net_output_in)
    assert reader.net_output_in.shape == (3, 2)
    assert reader.read().shape == (3, 2, 0)
    assert (reader.read() == reader.data.get()).all()
    assert processes.OutputReader(shape=(4,), buffer=3).read().tolist() == [[0] * 3] * 4
    # A second port must have the shape of the first, as anywhere in Lava.
    with pytest.raises(AssertionError, match="incompatible"):
        OutPort(shape=(2, 3)).connect(reader.net_output_in)
    with pytest.raises(ValueError, match="buffer must be at least 1, got 0"):
        processes.OutputReader(buffer=0)


def test_a_malformed_sample_is_told_at_once(processes, capsys):
    """Lava's runtime may wait for ever instead of passing the error on."""
    from lavadl_ref.netx.io.models import PyInputLoaderModel

    dataset = [np.array([1]), np.array([0.5])]
    model = PyInputLoaderModel({"dataset": dataset, "shapes": ((1,), (1,)), "interval": 1, "offset": 0})
    sent = []
    model.data_out = model.ground_truth = SimpleNamespace(send=lambda data: sent.append(data.tolist()))
    model.time_step = 1
    model.run_spk()
    assert sent == [[0], [1]]
    model.time_step = 2
    with pytest.raises(ValueError, match="sample 1"):
        model.run_spk()
    assert "ValueError: sample 1 must hold integers, got 0.5" in capsys.readouterr().err
