"""Networks as C give the integers of the reference: every message and every state, of every layer and step."""

from __future__ import annotations

import numpy as np
import pytest

from lavadl_ref import exchange
from lavadl_ref.exchange import Average, Conv, Dense, Flatten, Input, Network, Neuron, Recurrent
from tests.support import c_programs, generate
from tests.support.generate import ALL_FAMILIES, EVERY

pytestmark = pytest.mark.skipif(not c_programs.COMPILERS, reason=c_programs.NO_COMPILER)

CUBA = {"current_decay": 1024, "voltage_decay": 128, "threshold": 80}
ALIF = {**CUBA, "threshold_decay": 300, "refractory_decay": 900, "threshold_step": 40}
SIGMA_DELTA = {"activation": "relu", "threshold": 6}


def neuron(name, parameters, **more):
    return Neuron(name, {**parameters, **more})


def random(*shape, low=-60, high=70, seed=0):
    return np.random.default_rng(seed).integers(low, high, shape)


def spikes(*shape, rate=0.4, seed=0):
    return (np.random.default_rng(seed).random(shape) < rate).astype(np.int64)


def compare(folder, network, inputs, flags=("-O1",), compiler="", **options):
    """The places in which the C program of a network differs from the reference: none."""
    exchange.check(network)
    c_programs.exported(folder, network, inputs, **options)
    program = c_programs.compiled(folder, compiler=compiler, flags=flags)
    return c_programs.differences(network, inputs, program, **options)


@pytest.mark.parametrize("seed", range(8))
def test_random_networks_give_the_same_integers_in_c(tmp_path, seed):
    case = generate.case(seed, families=ALL_FAMILIES)
    time_base = ("slayer", "lava")[seed % 2]
    assert compare(tmp_path, case.network, case.inputs, time_base=time_base, **case.options) == []


@pytest.mark.parametrize("seed", range(6))
def test_integers_that_leave_their_widths_wrap_in_c_as_in_the_reference(tmp_path, seed):
    """With the sanitizers, which stop the program where C leaves a result open."""
    case = generate.case(seed, families=ALL_FAMILIES, wild=True)
    assert compare(tmp_path, case.network, case.inputs, c_programs.SANITIZED, **case.options) == []


@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_every_family_gives_the_same_integers_in_c(tmp_path, family):
    case = generate.case(1000, kinds=("conv", "dense", "dense_rec", "input"), families=(family,))
    assert compare(tmp_path, case.network, case.inputs, c_programs.SANITIZED, **case.options) == []


@pytest.mark.parametrize("kind", sorted(set(EVERY) - {"average", "bare", "input"}))
def test_every_kind_of_layer_gives_the_same_integers_in_c(tmp_path, kind):
    kinds = (kind, "average", "bare") if kind.startswith("dense") else (kind, "dense", "average", "bare")
    case = generate.case(2000, kinds=kinds, families=ALL_FAMILIES)
    assert kind in {layer.kind for layer in case.network.layers}
    assert compare(tmp_path, case.network, case.inputs, c_programs.SANITIZED, **case.options) == []


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_every_compiler_takes_the_networks_without_a_warning(tmp_path, compiler):
    if compiler not in c_programs.COMPILERS:
        pytest.skip(f"{compiler} is not installed")
    for seed in (3, 5, 8):
        case = generate.case(seed, families=ALL_FAMILIES)
        folder = tmp_path / str(seed)
        flags = ("-O2", "-Wconversion", "-Wno-sign-conversion", "-Wshadow", "-Wcast-qual", "-Wmissing-prototypes")
        assert compare(folder, case.network, case.inputs, flags, compiler, **case.options) == []


@pytest.mark.parametrize("spike_exp", [0, 3, 12])
def test_the_scale_of_sigma_delta_messages_is_kept_in_c(tmp_path, spike_exp):
    layers = (
        Input(shape=(6,), neuron=neuron("SDNN", SIGMA_DELTA)),
        Dense(shape=(5,), weight=random(5, 6), bias=random(5), neuron=neuron("SDNN", SIGMA_DELTA, cum_error=True)),
        Dense(shape=(4,), weight=random(4, 5), neuron=neuron("SDNN", {"sigma_output": True})),
    )
    inputs = random(6, 25, low=-300, high=300)
    assert compare(tmp_path, Network(layers), inputs, spike_exp=spike_exp) == []


@pytest.mark.parametrize("exponent", [-16, -3, 2, 16])
def test_weight_exponents_divide_in_c(tmp_path, exponent):
    decays = {"sin_decay": 700, "cos_decay": np.array([3900, 3000, -2000]), "threshold": 20}
    imag = {"weight_exp": exponent, "weight_exp_imag": -exponent}
    layers = (
        Dense(shape=(5,), weight=random(5, 6), bias=random(5), neuron=neuron("CUBA", CUBA, weight_exp=exponent)),
        Dense(
            shape=(3,),
            weight=random(3, 5),
            weight_imag=random(3, 5, seed=1),
            bias=random(3),
            bias_imag=random(3, seed=1),
            neuron=neuron("RF_IZHIKEVICH", decays, graded_spike=True, **imag),
        ),
        Dense(shape=(4,), weight=random(4, 3), neuron=neuron("ALIF", ALIF, weight_exp=exponent)),
    )
    assert compare(tmp_path, Network(layers), spikes(6, 40), c_programs.SANITIZED) == []


def test_sigma_delta_neurons_with_an_exponent_give_the_same_integers_in_c(tmp_path):
    kinds = [neuron("SDNN", SIGMA_DELTA, weight_exp=exponent) for exponent in (4, -5)]
    layers = tuple(Dense(shape=(6,), weight=random(6, 6), bias=random(6), neuron=kind) for kind in kinds)
    inputs = random(6, 40, low=-(2**14), high=2**14)
    assert compare(tmp_path, Network(layers), inputs, c_programs.SANITIZED) == []


def test_biases_of_32_bits_wrap_in_c_as_in_the_reference(tmp_path):
    largest = np.array([2**31 - 1, -(2**31), 3, -3])
    layers = (
        Recurrent(
            shape=(4,),
            weight=random(4, 6, low=-512, high=512),
            weight_rec=random(4, 4, low=-512, high=512),
            bias=largest,
            input_bias=largest,
            neuron=neuron("CUBA", CUBA, graded_spike=True, weight_exp=-16),
        ),
        Dense(shape=(4,), weight=random(4, 4), bias=largest[::-1], input_bias=largest, neuron=neuron("CUBA", CUBA)),
        Dense(shape=(4,), weight=random(4, 4), bias=largest, neuron=neuron("SDNN", SIGMA_DELTA, weight_exp=-16)),
        Dense(shape=(4,), weight=random(4, 4), bias=largest),
    )
    inputs = random(6, 30, low=-(2**31), high=2**31)
    assert compare(tmp_path, Network(layers), inputs, c_programs.SANITIZED) == []


def test_feedback_and_input_meet_at_the_finer_scale_in_c(tmp_path):
    """Graded messages in front of feedback of spikes, and spikes in front of graded feedback."""
    layers = (
        Recurrent(
            shape=(5,), weight=random(5, 6), weight_rec=random(5, 5), neuron=neuron("ALIF", ALIF, graded_spike=True)
        ),
        Recurrent(shape=(4,), weight=random(4, 5), weight_rec=random(4, 4), neuron=neuron("CUBA", CUBA)),
    )
    assert compare(tmp_path, Network(layers), spikes(6, 40), c_programs.SANITIZED) == []


@pytest.mark.parametrize("delays", [[0, 0, 0], [1, 0, 40], [300, 5, 299]])
def test_delays_hold_messages_back_in_c(tmp_path, delays):
    layers = (
        Conv(shape=(3, 2, 2), weight=random(3, 2, 3, 3), neuron=neuron("CUBA", CUBA), delay=np.array(delays)),
        Flatten(shape=(12,)),
        Dense(shape=(3,), weight=random(3, 12), neuron=neuron("CUBA", CUBA, graded_spike=True), delay=np.array(delays)),
    )
    inputs = spikes(2, 4, 4, 620 if max(delays) > 255 else 90)
    assert compare(tmp_path, Network(layers), inputs, c_programs.SANITIZED) == []


@pytest.mark.parametrize(("interval", "offset"), [(1, 0), (2, 1), (7, 4)])
def test_resets_come_before_the_same_steps_in_c(tmp_path, interval, offset):
    layers = (
        Input(shape=(6,), neuron=neuron("ALIF", ALIF)),
        Dense(shape=(5,), weight=random(5, 6), bias=random(5), neuron=neuron("ALIF", ALIF)),
        Dense(shape=(4,), weight=random(4, 5), neuron=neuron("CUBA", CUBA), delay=np.array([0, 2, 1, 5])),
    )
    inputs = random(6, 40, low=-50, high=100)
    options = {"reset_interval": interval, "reset_offset": offset}
    assert compare(tmp_path, Network(layers), inputs, **options) == []


def test_sparse_rows_of_weights_give_the_same_integers_in_c(tmp_path):
    weight = random(300, 40, low=-300, high=300)
    weight[random(300, 40, low=0, high=10) > 0] = 0
    kernel = random(40, 2, 3, 3)
    kernel[random(40, 2, 3, 3, low=0, high=9) > 0] = 0
    layers = (
        Conv(shape=(40, 3, 3), weight=kernel, padding=(1, 1), neuron=neuron("CUBA", CUBA)),
        Flatten(shape=(360,)),
        Dense(shape=(40,), weight=np.where(random(40, 360, low=0, high=9) > 0, 0, 500), neuron=neuron("CUBA", CUBA)),
        Recurrent(
            shape=(300,), weight=weight, weight_rec=np.eye(300, dtype=np.int64) * 64, neuron=neuron("CUBA", CUBA)
        ),
        Dense(shape=(4,), weight=np.zeros((4, 300), np.int64), neuron=neuron("CUBA", CUBA)),
    )
    network, inputs = Network(layers), spikes(2, 3, 3, 30)
    sizes = c_programs.exported(tmp_path, network, inputs)
    assert [layer.weights for layer in sizes.layers] == [
        "int8 sparse", "uint16 sparse", "int16 uint8 sparse", "uint8 sparse"
    ]  # fmt: skip
    program = c_programs.compiled(tmp_path, flags=c_programs.SANITIZED)
    assert c_programs.differences(network, inputs, program) == []


@pytest.mark.parametrize(
    "layers",
    [
        (Flatten(shape=(12,)),),
        (Input(shape=(3, 2, 2)), Flatten(shape=(12,)), Average(shape=(4,))),
        (Average(shape=(3,)),),
        (Input(shape=(3, 2, 2), neuron=neuron("CUBA", CUBA)), Average(shape=(2,)), Flatten(shape=(2,))),
        (Input(shape=(3, 2, 2)),),
    ],
    ids=["flatten", "averages", "average", "neurons and average", "input"],
)
def test_networks_of_hardly_anything_run_in_c(tmp_path, layers):
    inputs = random(3, 2, 2, 20, low=-(2**31), high=2**31)
    network = Network(layers, stated_input_shape=(3, 2, 2))
    exchange.check(network)
    c_programs.exported(tmp_path, network, inputs)
    program = c_programs.compiled(tmp_path, flags=c_programs.SANITIZED)
    assert c_programs.differences(network, inputs, program) == []
