"""Lava's own neurons and synapses give the integers of the kernels, inside the widths of the device and beyond.

netx builds a layer of Lava's processes wherever it takes them to be exact.  Here each of them, chosen and
parametrised by netx, gets random integers, and every state of every step is compared with the kernels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from lavadl_kernels.engine import deployed
from lavadl_kernels.ops import integer_synapse as synapse

from lavadl_ref.deployed.deployment import deploy, incoming_bits
from lavadl_ref.exchange import Conv, Dense, Input, Network, Neuron, Pool
from lavadl_ref.netx import lava_support
from lavadl_ref.netx.plan.network import Options, plan
from lavadl_ref.netx.plan.process_spec import Processes
from lavadl_ref.netx.plan.synapses import synapses

pytestmark = [
    pytest.mark.lava,
    pytest.mark.skipif(not lava_support.available()[0], reason="lava-nc is not installed"),
]

LANES, STEPS = 16, 60
#: Of the sums in 1/64: an ordinary one, some around the widths that states of 1/4096 have, all that 32 bits hold.
AMPLITUDES = (50, 2**12, 2**17, 2**20, 2**24, 2**26, 2**31 - 1)


@dataclass(frozen=True)
class Case:
    """A family as netx gives it to a process of Lava."""

    process: str
    type: str
    parameters: dict[str, Any]
    bias: bool = False
    reset: int | None = None
    input: bool = False


def sigma_delta(process: str = "SigmaDelta", **more: Any) -> Case:
    options = {name: more.pop(name) for name in ("bias", "input") if name in more}
    return Case(process, "SDNN", {"activation": "relu", **more}, **options)


CASES = {
    "LIF": Case("LIF", "CUBA", {}),
    "LIF, bias": Case("LIF", "CUBA", {}, bias=True),
    "LIF, threshold 0": Case("LIF", "CUBA", {"threshold": 0}),
    "LIFReset": Case("LIFReset", "CUBA", {}, bias=True, reset=7),
    "ATRLIF": Case("ATRLIF", "ALIF", {}),
    "ATRLIF, no decay": Case(
        "ATRLIF",
        "ALIF",
        {"current_decay": 0, "voltage_decay": 0, "threshold_decay": 0, "refractory_decay": 0},
    ),
    "ATRLIF, thresholds of 32 bits": Case(
        "ATRLIF", "ALIF", {"threshold_step": 2**24, "threshold_decay": 0, "refractory_decay": 5}
    ),
    "RF": Case("RF", "RF_PHASE", {}),
    "RF_IZ": Case("RF_IZ", "RF_IZHIKEVICH", {}),
    "Delta": sigma_delta("Delta", input=True),
    "Delta, cum_error": sigma_delta("Delta", input=True, cum_error=1),
    "Sigma": sigma_delta("Sigma", sigma_output=True),
    "SigmaDelta, relu": sigma_delta(bias=True),
    "SigmaDelta, relu, cum_error": sigma_delta(bias=True, cum_error=1),
    "SigmaDelta, identity": sigma_delta(activation="identity", bias=True),
    "SigmaDelta, identity, cum_error": sigma_delta(activation="identity", bias=True, cum_error=1),
}


def drawn(case: Case, threshold: int, rng: np.random.Generator) -> Any:
    """A layer of the case with random parameters, and weights of 0: sums arrive at the neurons alone."""
    decays = ["current_decay", "voltage_decay", "threshold_decay", "refractory_decay"]
    needed: dict[str, Any] = {"threshold": threshold}
    if case.type in ("CUBA", "ALIF"):
        needed |= {name: rng.integers(0, 4097, LANES) for name in decays[: 2 if case.type == "CUBA" else 4]}
    if case.type == "ALIF":
        needed["threshold_step"] = int(rng.integers(0, 500))
    if case.type.startswith("RF"):
        angle, radius = rng.uniform(0, np.pi, LANES), rng.uniform(0.2, 1, LANES)
        needed |= {
            "sin_decay": np.rint(4095 * radius * np.sin(angle)).astype(int),
            "cos_decay": np.rint(4095 * radius * np.cos(angle)).astype(int),
        }
    neuron = Neuron(case.type, {**needed, **case.parameters})
    if case.input:
        return Input(shape=(LANES,), neuron=neuron)
    none = np.zeros((LANES, 1), int)
    bias = rng.integers(-(2**12), 2**12, LANES) if case.bias else None
    imag = none if case.type.startswith("RF") else None
    return Dense(shape=(LANES,), weight=none, weight_imag=imag, bias=bias, neuron=neuron)


def on_kernels(layer: Any, total: np.ndarray[Any, Any], reset: np.ndarray[Any, Any]) -> Any:
    """Messages (T, M), states (T, M) by name, and whether any width was exceeded."""
    made = deploy(layer, incoming_bits((layer,))[0])
    steps, lanes = total[0].shape
    message, exceeded = np.empty((steps, lanes), np.int32), np.empty(lanes, np.int64)
    states = np.empty((len(made.states), steps, lanes), np.int32)
    synapses = deployed.Synapses(tuple(total), made.bias, made.up, made.feedback)
    profile = deployed.Profile(0, True, made.graded, made.bits)
    filled = deployed.Filled(message, states, exceeded)
    deployed.run(made.neuron, synapses, made.rest.copy(), made.rest, reset, profile, filled)
    return message, dict(zip(made.states, states, strict=True)), bool((exceeded >= 0).any())


def on_lava(case: Case, layer: Any, total: np.ndarray[Any, Any]) -> Any:
    """Messages (T, M) and states (T, M) by name, of the process that netx builds."""
    from lava.proc.io.source import RingBuffer

    from lavadl_ref.netx.hdf5 import Network as LavaNetwork
    from lavadl_ref.netx.run import inprocess

    net = LavaNetwork(Network((layer,)), reset_interval=case.reset, time_base="lava")
    found = net.layers[0]
    neuron = found.neuron
    assert type(neuron).__name__ == case.process
    steps = total[0].shape[0]
    if not case.input:
        RingBuffer(data=np.zeros((1, steps), int)).s_out.connect(net.inp)
    ports = [neuron.a_real_in, neuron.a_imag_in] if hasattr(neuron, "a_real_in") else [neuron.a_in]
    for port, part in zip([net.inp] if case.input else ports, total, strict=True):
        RingBuffer(data=part.T.copy()).s_out.connect(port)
    session = inprocess.Session(net)
    messages = session.record(neuron.s_out)
    states: dict[str, list[Any]] = {name: [] for name in found.states}
    for _ in range(steps):
        session.run(1)
        for name, var in found.states.items():
            states[name].append(np.broadcast_to(session.var(var), (LANES,)))
    return np.stack(messages), {name: np.stack(values) for name, values in states.items()}


def random_sums(rng: np.random.Generator, parts: int, amplitude: int) -> np.ndarray[Any, Any]:
    """(P, T, M): a third of them 0, some at the edges."""
    total = rng.integers(-amplitude, amplitude + 1, (parts, STEPS, LANES))
    total[rng.random(total.shape) < 0.3] = 0
    total[rng.random(total.shape) < 0.05] = amplitude
    return total


@pytest.mark.parametrize("amplitude", AMPLITUDES)
@pytest.mark.parametrize("name", CASES)
def test_deployed_neurons_equal_lavas_processes(name, amplitude):
    """Every message and every state; with the largest sums some leave the device's widths, with the least none."""
    case = CASES[name]
    moved, beyond = 0, False
    for seed, threshold in enumerate((1, min(amplitude, 2**17))):
        rng = np.random.default_rng(seed)
        layer = drawn(case, threshold, rng)
        total = random_sums(rng, 2 if case.type.startswith("RF") else 1, amplitude)
        reset = np.zeros(STEPS, bool)
        if case.reset is not None:
            reset = (np.arange(STEPS) + 1) % case.reset == 1 % case.reset
        message, states, exceeded = on_kernels(layer, total, reset)
        sent, held = on_lava(case, layer, total)
        for state, values in states.items():
            np.testing.assert_array_equal(held[state], values, err_msg=state)
        np.testing.assert_array_equal(sent, message)
        moved += int(np.count_nonzero(message))
        beyond |= exceeded
    assert moved > 0
    if amplitude in (AMPLITUDES[0], AMPLITUDES[-1]):
        assert beyond == (amplitude == AMPLITUDES[-1])


# -- synapses -----------------------------------------------------------------------------------

MESSAGES = (1, 100, 2**17, 2**26, 2**31 - 1)


def through(layer: Any, choice: Any, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """(T, W, H, C) or (T, N) that a synapse sends while (..., T) arrives."""
    from lava.proc.io.source import RingBuffer

    from lavadl_ref.netx.hdf5.layers import build_layer
    from lavadl_ref.netx.run import inprocess

    taken = tuple(int(n) for n in x.shape[:-1])
    entry = plan(Network((layer,)), Options(input_shape=taken if len(taken) == 3 else None))[0]
    built = build_layer(replace(entry, specs=Processes(synapse=choice)))
    assert type(built.synapse).__name__ == choice.process
    RingBuffer(data=x).s_out.connect(built.inp)
    session = inprocess.Session(built.synapse)
    sums = session.record(built.synapse.a_out)
    session.run(x.shape[-1])
    return np.stack(sums)


def random_messages(rng: np.random.Generator, shape: tuple[int, ...], amplitude: int) -> np.ndarray[Any, Any]:
    x = rng.integers(0 if amplitude == 1 else -amplitude, amplitude + 1, (*shape, 25))
    x[rng.random(x.shape) < 0.3] = 0
    return x


WEIGHTS = {
    "even": lambda rng: 2 * rng.integers(-128, 128, (7, 9)),
    "all negative": lambda rng: -2 * rng.integers(1, 129, (7, 9)),
    "all -256": lambda rng: np.full((7, 9), -256),
    "excitatory, odd": lambda rng: rng.integers(0, 256, (7, 9)),
    "inhibitory, odd": lambda rng: -rng.integers(0, 256, (7, 9)),
}


@pytest.mark.parametrize("amplitude", MESSAGES)
@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("process", ["Dense", "Sparse", "DelayDense", "DelaySparse"])
def test_dense_sums_equal_lavas_processes(process, weights, amplitude):
    """Sums of 32 bits, one step after the messages and their delay; beyond 32 bits they wrap."""
    rng = np.random.default_rng(MESSAGES.index(amplitude))
    weight = WEIGHTS[weights](rng)
    x = random_messages(rng, (9,), amplitude)
    delay = rng.permutation(9) if process.startswith("Delay") else None
    layer = Dense(shape=(7,), weight=weight)
    bits = 0 if amplitude == 1 else 24
    choice = synapses(layer, (9,), delay, bits, process.endswith("Sparse")).synapse
    assert choice is not None
    assert choice.process == process
    arrived = np.zeros_like(x)
    for i, late in enumerate(np.zeros(9, int) if delay is None else delay):
        arrived[i, late + 1 :] = x[i, : -1 - late]
    total = synapse.dense(np.ascontiguousarray(arrived.T), weight)
    np.testing.assert_array_equal(through(layer, choice, x), wrapped(total, 32))
    assert (wrapped(total, 32) != total).any() == (amplitude >= 2**26)


def wrapped(total: np.ndarray[Any, Any], bits: int) -> np.ndarray[Any, Any]:
    """Two's complement of so many bits."""
    half = 1 << (bits - 1)
    return ((total + half) & ((1 << bits) - 1)) - half


@pytest.mark.parametrize("amplitude", MESSAGES)
@pytest.mark.parametrize("geometry", [{}, {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2), "groups": 2}])
def test_convolved_sums_equal_lavas_processes(geometry, amplitude):
    """Sums of 24 bits, one step after the messages; beyond 24 bits they wrap, and so they do beyond 32."""
    rng = np.random.default_rng(MESSAGES.index(amplitude))
    groups = geometry.get("groups", 1)
    weight = rng.integers(-256, 256, (4, 2 // groups, 3, 2))
    x = random_messages(rng, (6, 5, 2), amplitude)
    arrived = np.zeros((25, 2, 5, 6), int)
    arrived[1:] = x.transpose(3, 2, 1, 0)[:-1]
    total = synapse.conv(arrived, weight, **geometry)
    layer = Conv(shape=total.shape[1:], weight=weight, **geometry)
    choice = synapses(layer, (6, 5, 2), None, 0 if amplitude == 1 else 24, False).synapse
    assert choice is not None
    assert choice.process == "Conv"
    np.testing.assert_array_equal(through(layer, choice, x), wrapped(total, 24).transpose(0, 3, 2, 1))
    assert (wrapped(total, 24) != total).any() == (amplitude >= 2**17)


@pytest.mark.parametrize("amplitude", MESSAGES)
def test_pooled_sums_equal_lavas_convolution(amplitude):
    """Lava's convolution over each channel by itself."""
    rng = np.random.default_rng(MESSAGES.index(amplitude))
    x = random_messages(rng, (6, 4, 3), amplitude)
    weight = np.full((1, 1, 2, 2), 70)
    layer = Pool(shape=(3, 2, 3), weight=weight, stride=(2, 2))
    arrived = np.zeros((25, 3, 4, 6), int)
    arrived[1:] = x.transpose(3, 2, 1, 0)[:-1]
    total = 70 * arrived.reshape(25, 3, 2, 2, 3, 2).sum((3, 5))
    choice = synapses(layer, (6, 4, 3), None, 0 if amplitude == 1 else 24, False).synapse
    assert choice is not None
    assert choice.process == "Conv"
    np.testing.assert_array_equal(through(layer, choice, x), wrapped(total, 24).transpose(0, 3, 2, 1))
    assert total.any()
