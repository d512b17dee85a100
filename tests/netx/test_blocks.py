"""Layers as Lava processes: of a network, and built by hand."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from lavadl_ref import exchange
from lavadl_ref.exchange.describe import Average, Conv, ConvTranspose, Dense, Flatten, Input, Pool, Recurrent, Unpool
from lavadl_ref.netx.plan.network import Options, plan
from lavadl_ref.netx.plan.table import table
from lavadl_ref.netx.plan.weights import kernel_weight
from tests.support import netx_families as families
from tests.support.lava import USABLE, WHY
from tests.support.one_process import nothing_left
from tests.support.oracle import netx as oracle

if not USABLE:
    pytest.skip(WHY, allow_module_level=True)

from lava.proc.atrlif.process import ATRLIF
from lava.proc.io.sink import RingBuffer as Sink
from lava.proc.io.source import RingBuffer as Source
from lava.proc.lif.process import LIF, LIFReset
from lava.proc.rf.process import RF
from lava.proc.sdn.process import Sigma, SigmaDelta
from lava.proc.sparse.process import DelaySparse, Sparse

from lavadl_ref.netx import blocks
from lavadl_ref.netx.hdf5 import Network
from lavadl_ref.netx.hdf5._net_config import NetConfig
from lavadl_ref.netx.plan.process_spec import UnsupportedLayer
from lavadl_ref.netx.run import inprocess
from tests import PATIENCE

__all__ = ["nothing_left"]

STEPS = 24
LIF_PARAMS = {"neuron_proc": LIF, "vth": 30, "du": 1000, "dv": 300, "bias_exp": 6}
RF_PARAMS = {"neuron_proc": RF, "vth": 40, "sin_decay": 2900, "cos_decay": 2300}
RNG = np.random.default_rng(7)
SPIKES = (RNG.random((6, STEPS)) < 0.4).astype(int)
VALUES = RNG.integers(-3000, 3000, (6, STEPS))
WEIGHTS = {
    "even": 2 * RNG.integers(-128, 128, (4, 6)),
    "odd": 2 * RNG.integers(-60, 60, (4, 6)) + 1,
    "odd and large": 2 * RNG.integers(-128, 127, (4, 6)) + 1,
    "not negative": RNG.integers(0, 256, (4, 6)),
    "negative": -RNG.integers(1, 256, (4, 6)),
    "beyond bytes": RNG.integers(-3000, 3000, (4, 6)),
    "zero": np.zeros((4, 6), int),
}


def sent(block, data, steps=STEPS):
    """The messages of a block that gets `data` (\\*shape, T)."""
    source = Source(data=data)
    source.s_out.connect(block.inp)
    sink = Sink(shape=block.out.shape, buffer=steps)
    block.out.connect(sink.a_in)
    session = inprocess.Session(block, timeout=PATIENCE)
    session.run(steps)
    return session.var(sink.data).astype(int)


def later(sums, steps=1):
    """The same, some steps later."""
    moved = np.zeros_like(sums)
    moved[..., steps:] = sums[..., : sums.shape[-1] - steps]
    return moved


def group(layer):
    """The layer by the keys of a file."""
    return NetConfig((layer,))["layer"][0]


def params_of(layer, **options):
    """``neuron_params`` of a layer's neurons."""
    return Network.get_neuron_params(group(layer)["neuron"], isinstance(layer, Input), **options)


# --- weighted sums ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("bits", [0, 24])
@pytest.mark.parametrize("kind", WEIGHTS)
def test_dense_blocks_sum_with_exactly_their_weights(kind, bits, sparse):
    """Whatever the weights are, those and no others are multiplied with."""
    block = blocks.process.Dense(shape=(4,), weight=WEIGHTS[kind], input_message_bits=bits, sparse_synapse=sparse)
    data = VALUES if bits else SPIKES
    assert (sent(block, data) == later(WEIGHTS[kind] @ data)).all()
    assert block.neuron is None
    assert isinstance(block.synapse, Sparse) or not sparse or kind in ("odd", "odd and large", "beyond bytes")


def test_messages_are_spikes_unless_bits_are_given():
    weight = WEIGHTS["even"]
    assert (sent(blocks.process.Dense(shape=4, weight=weight), VALUES) == later(weight @ (VALUES != 0))).all()
    graded = blocks.process.Dense(shape=[4], weight=weight, has_graded_input=True)
    assert (sent(graded, VALUES) == later(weight @ VALUES)).all()


@pytest.mark.parametrize("exponent", [3, -2])
@pytest.mark.parametrize("kind", ["even", "odd", "not negative"])
def test_a_weight_exponent_shifts_the_sums(kind, exponent):
    """Of the sum, not of the weights."""
    weight = WEIGHTS[kind]
    sums = weight @ SPIKES
    expected = sums << exponent if exponent > 0 else sums >> -exponent
    block = blocks.process.Dense(shape=(4,), weight=weight, weight_exponent=exponent)
    assert (sent(block, SPIKES) == later(expected)).all()


@pytest.mark.parametrize(("kind", "exponent"), [("odd", 2), ("beyond bytes", 3)])
def test_a_weight_exponent_shifts_graded_sums(kind, exponent):
    block = blocks.process.Dense(shape=(4,), weight=WEIGHTS[kind], weight_exponent=exponent, input_message_bits=24)
    assert (sent(block, VALUES) == later(WEIGHTS[kind] @ VALUES << exponent)).all()


def test_weights_that_divide_evenly_take_any_right_shift():
    """Weights that Lava does not hold, shifted, are ones that it does."""
    weight = 16 * WEIGHTS["odd and large"]
    block = blocks.process.Dense(shape=(4,), weight=weight, weight_exponent=-4, input_message_bits=24)
    assert (sent(block, VALUES) == later(WEIGHTS["odd and large"] @ VALUES)).all()


def test_a_bias_is_added_to_bare_sums():
    bias = np.array([5, -7, 0, 100000])
    block = blocks.process.Dense(shape=(4,), weight=WEIGHTS["even"], bias=bias)
    assert (sent(block, SPIKES) == later(WEIGHTS["even"] @ SPIKES) + bias[:, None]).all()


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("kind", ["even", "odd"])
@pytest.mark.parametrize("delay", [3, [0, 5, 2, 1], [1, 0, 4, 2, 3, 9], RNG.integers(0, 12, (4, 6))])
def test_delays_are_held_per_weight_row_or_column(delay, kind, sparse):
    """One for all, for each row, for each column, for each weight."""
    weight = WEIGHTS[kind]
    steps = np.asarray(delay)[:, None] if len(np.atleast_1d(delay)) == 4 and np.ndim(delay) == 1 else np.asarray(delay)
    steps = np.broadcast_to(steps, (4, 6))
    expected = np.zeros((4, STEPS), int)
    for row, column in np.ndindex(4, 6):
        expected[row] += weight[row, column] * later(SPIKES[column], 1 + int(steps[row, column]))
    block = blocks.process.Dense(shape=(4,), weight=weight, delay=delay, sparse_synapse=sparse)
    assert isinstance(block.synapse, DelaySparse) == sparse
    assert (sent(block, SPIKES) == expected).all()


@pytest.mark.parametrize("groups", [1, 2])
def test_a_convolution_block_equals_a_layer_whose_kernel_is_turned(groups):
    """As the layer of a network with the same kernel turned around."""
    weight = RNG.integers(-300, 300, (4, 2 // groups, 2, 3))
    window = {"stride": (1, 2), "padding": (1, 0), "dilation": (1, 2), "groups": groups}
    layer = Conv(shape=(4, 7, 3), weight=weight, bias=np.array([1, 200, -300, 4]), **window)
    data = RNG.integers(0, 2, (9, 6, 2, STEPS))
    block = blocks.process.Conv(
        shape=(3, 7, 4),
        input_shape=(9, 6, 2),
        weight=kernel_weight(weight),
        bias=layer.bias,
        stride=(2, 1),
        padding=(0, 1),
        dilation=(2, 1),
        groups=groups,
    )
    _, _, expected = oracle.run(oracle.network(layer), data.transpose(2, 1, 0, 3), STEPS, time_base="lava")
    assert (sent(block, data).transpose(2, 1, 0, 3) == expected).all()


# --- neurons ---------------------------------------------------------------------------------------------------------


def expected_of(layer, data, **options):
    """The messages of a network of this layer alone."""
    return oracle.run(oracle.network(layer), data, STEPS, time_base="lava", **options)[2]


STOCK = [family for family, process in families.STOCK.items() if process is not None]


@pytest.mark.parametrize("family", STOCK)
def test_a_dense_block_of_each_family_equals_the_oracle(family):
    layer = families.dense(family, 4, 6)
    params = params_of(layer)
    before = dict(params)
    graded = family == "SDNN"
    if family in families.COMPLEX:
        block = blocks.process.ComplexDense(
            shape=(4,), neuron_params=params, weight_real=layer.weight, weight_imag=layer.weight_imag
        )
    else:
        block = blocks.process.Dense(
            shape=(4,), neuron_params=params, weight=layer.weight, input_message_bits=16 * graded
        )
    data = VALUES if graded else SPIKES
    found = sent(block, data)
    assert found.any()
    assert (found == expected_of(layer, data)).all()
    assert params == before
    assert type(block.neuron).__name__ == families.STOCK[family]
    assert set(block.states) == set(plan(oracle.network(layer))[0].states)
    assert block.output_message_bits == 16 * graded


@pytest.mark.parametrize("family", ["CUBA", "SDNN"])
def test_a_bias_reaches_the_neurons_of_a_block(family):
    bias = np.array([300, -20, 0, 7])
    layer = families.dense(family, 4, 6, bias=bias)
    graded = family == "SDNN"
    data = VALUES if graded else SPIKES
    block = blocks.process.Dense(
        shape=(4,), neuron_params=params_of(layer), weight=layer.weight, bias=bias, input_message_bits=16 * graded
    )
    assert (sent(block, data) == expected_of(layer, data)).all()
    assert block.bias.shape == (4,)


def test_bias_without_a_key_is_not_lost():
    block = blocks.process.Dense(shape=(4,), neuron_params=LIF_PARAMS, weight=WEIGHTS["even"], bias=[1, 2, 3, 4])
    assert block.neuron.bias_mant.init.tolist() == [1, 2, 3, 4]
    assert block.bias is block.neuron.bias_mant


def test_the_key_of_the_bias_is_an_argument():
    block = blocks.process.Dense(shape=(4,), neuron_params=LIF_PARAMS, weight=WEIGHTS["even"])
    with pytest.raises(AttributeError, match="bias_key of Dense cannot be assigned: it is a key of neuron_params"):
        block.bias_key = "bias_mant"


@pytest.mark.parametrize("sparse", [False, True])
def test_a_recurrent_block_equals_the_oracle(sparse):
    """Odd weights too."""
    layer = families.recurrent("CUBA", 4, 6)
    odd = {"weight": layer.weight + 1, "weight_rec": layer.weight_rec + 1}
    layer = Recurrent(shape=(4,), neuron=layer.neuron, **odd)
    block = blocks.process.RecurrentDense(shape=(4,), neuron_params=params_of(layer), sparse_synapse=sparse, **odd)
    found = sent(block, SPIKES)
    assert found.any()
    assert (found == expected_of(layer, SPIKES)).all()
    assert block.synapse_rec is block.rec_synapse is not None


def test_a_block_of_neurons_that_reset_equals_the_oracle():
    layer = families.dense("CUBA", 4, 6)
    params = params_of(layer, reset_interval=5, reset_offset=3)
    assert params["neuron_proc"] is LIFReset
    block = blocks.process.Dense(shape=(4,), neuron_params=params, weight=layer.weight)
    expected = expected_of(layer, SPIKES, reset_interval=5, reset_offset=2)
    assert (expected != expected_of(layer, SPIKES)).any()
    assert (sent(block, SPIKES) == expected).all()


def test_an_input_block_equals_the_oracle():
    """In the same step, and from the bias."""
    layer = families.entry("CUBA", (2, 3, 1))
    data = 40 * RNG.integers(-2, 3, (1, 3, 2, STEPS))
    block = blocks.process.Input(shape=(1, 3, 2), neuron_params=params_of(layer))
    found = sent(block, data)
    assert found.any()
    assert (found.transpose(2, 1, 0, 3) == expected_of(layer, data.transpose(2, 1, 0, 3))).all()
    assert block.transform(3) == 3
    driven = blocks.process.Input(shape=(1, 3, 2), neuron_params=params_of(layer), bias=np.array([9, 2]), transform=5)
    assert driven.neuron.bias_mant.init[0, 1].tolist() == [9, 2]
    assert driven.transform == 5


def test_complex_input_drives_both_parts():
    """As unit weights in front of the neurons do, a step earlier."""
    unit = np.eye(6, dtype=int)
    layer = Dense(shape=(6,), neuron=families.neuron("RF_PHASE"), weight=unit, weight_imag=unit)
    data = VALUES // 40
    weighted = sent(
        blocks.process.ComplexDense(
            shape=(6,), neuron_params=params_of(layer), weight_real=unit, weight_imag=unit, input_message_bits=24
        ),
        data,
    )
    found = sent(blocks.process.ComplexInput(shape=(6,), neuron_params=params_of(layer)), data)
    assert found.any()
    assert (later(found) == weighted).all()


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": (5,)}, r"weight must give sums of the block's shape \(5,\), got \(4,\)"),
        ({"shape": (4, 1)}, r"shape must be \(N,\) or \(W, H, C\), got \(4, 1\)"),
        ({"weight": np.full((4, 6), 0.5)}, "weight must hold integers"),
        ({"weight": np.ones(4)}, "weight must have 2 axes"),
        ({"bias": np.array([40000, 0, 0, 0])}, "bias must be in -32768..32767, where LIF holds it"),
        ({"bias": np.zeros(3)}, r"bias of shape \(3,\) does not fit neurons of shape \(4,\)"),
        ({"bias": [1] * 4, "neuron_params": {**LIF_PARAMS, "bias_mant": 3}}, "bias is given twice"),
        ({"bias": [1] * 4, "neuron_params": {"neuron_proc": Sigma}}, "bias: Sigma has no argument for a bias"),
        ({"bias": [1] * 4, "neuron_params": {**LIF_PARAMS, "bias_key": "bais"}}, "bias: LIF has no argument bais"),
        ({"neuron_params": {**LIF_PARAMS, "vht": 3}}, "neuron_params: LIF of a block takes .*; got vht"),
        ({"neuron_params": {"vth": 3}}, r"neuron_params\['neuron_proc'\] must be a class of Lava processes, got None"),
        ({"neuron_params": RF_PARAMS}, "neurons of Dense must have a_in, got RF"),
        ({"input_message_bits": 25}, r"input_message_bits must be in 0..24, got 25"),
        ({"num_weight_bits": 9}, "num_weight_bits must be in 1..8, got 9"),
        ({"num_weight_bits": 5}, r"num_weight_bits=5 holds multiples of 16 in -256..255, weight has others"),
        ({"weight_exponent": 17}, r"weight_exponent must be in -16..16, got 17"),
        ({"weight_exponent": -1, "weight": WEIGHTS["odd and large"]}, "weight_exponent -1 rounds sums"),
        ({"delay": 64}, r"delay must be in 0..63, got 64 to 64"),
        ({"delay": [1, 2]}, r"delay of shape \(2,\) does not fit weights of shape \(4, 6\)"),
        ({"delay": 1, "weight": WEIGHTS["beyond bytes"]}, "weight with delays: Lava's synapses hold even weights"),
        ({"delay": 1, "weight_exponent": -3}, "weight with delays: .* no shift to the right"),
    ],
)
def test_dense_blocks_refuse_what_lava_would_change(changes, message):
    arguments = {"shape": (4,), "neuron_params": LIF_PARAMS, "weight": WEIGHTS["even"], **changes}
    with pytest.raises(ValueError, match=message):
        blocks.process.Dense(**arguments)


def test_unknown_options_are_refused():
    for name in ("weight_exp", "sign_mode", "delays"):
        with pytest.raises(TypeError, match=name):
            blocks.process.Dense(shape=(4,), weight=WEIGHTS["even"], **{name: 1})
    with pytest.raises(TypeError, match="delay"):
        blocks.process.Conv(shape=(4, 4, 1), input_shape=(4, 4, 1), weight=np.ones((1, 1, 1, 1)), delay=1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": (3, 3, 2)}, r"weight must give sums of the block's shape \(3, 3, 2\), got \(4, 4, 2\)"),
        ({"groups": 3}, "does not fit 1 input channels in 3 groups"),
        ({"input_shape": (6, 6)}, r"shape must be \(W, H, C\)"),
        ({"stride": 0}, "stride must be one or two integers of at least 1, got 0"),
        ({"padding": (1, 2, 3)}, "padding must be one or two integers of at least 0"),
        ({"weight": np.ones((2, 3, 3))}, "weight must have 4 axes"),
    ],
)
def test_convolution_blocks_refuse_what_does_not_fit(changes, message):
    arguments = {"shape": (4, 4, 2), "input_shape": (6, 6, 1), "weight": np.ones((2, 3, 3, 1)), **changes}
    with pytest.raises(ValueError, match=message):
        blocks.process.Conv(**arguments)


def test_other_blocks_refuse_what_does_not_fit():
    weight = WEIGHTS["even"]
    with pytest.raises(ValueError, match="Input must have neurons"):
        blocks.process.Input(shape=(4,))
    with pytest.raises(ValueError, match="neurons of Input must have a_in, got RF"):
        blocks.process.Input(shape=(4,), neuron_params=RF_PARAMS)
    with pytest.raises(ValueError, match="neurons of ComplexInput must have a_real_in, a_imag_in, got LIF"):
        blocks.process.ComplexInput(shape=(4,), neuron_params=LIF_PARAMS)
    with pytest.raises(ValueError, match=r"weight_rec must be of shape \(4, 4\), got \(4, 6\)"):
        blocks.process.RecurrentDense(shape=(4,), neuron_params=LIF_PARAMS, weight=weight, weight_rec=weight)
    with pytest.raises(ValueError, match="must be of one shape"):
        blocks.process.ComplexDense(
            shape=(4,), neuron_params=RF_PARAMS, weight_real=weight, weight_imag=np.ones((4, 5))
        )


# --- of a network ----------------------------------------------------------------------------------------------------


def test_layers_are_blocks():
    cuba, kernel = families.neuron("CUBA"), np.full((1, 1, 2, 2), 2)
    layers = [
        Input(shape=(1, 4, 4), neuron=cuba),
        Conv(shape=(1, 3, 3), weight=kernel, neuron=cuba),
        ConvTranspose(shape=(1, 4, 4), weight=kernel, neuron=cuba),
        Pool(shape=(1, 2, 2), weight=kernel, stride=(2, 2), neuron=cuba),
        Unpool(shape=(1, 4, 4), weight=kernel, stride=(2, 2), neuron=cuba),
        Flatten(shape=(16,)),
        families.dense("CUBA", 3, 16),
        families.recurrent("CUBA", 4, 3),
        Average(shape=(2,)),
    ]
    net = Network(oracle.network(*layers))
    assert [layer.block for layer in net.layers] == [
        "Input", "Conv", "ConvTranspose", "Pool", "Unpool", "Dense", "RecurrentDense", "Average"
    ]  # fmt: skip
    assert [type(layer) for layer in net.layers] == [getattr(blocks.process, layer.block) for layer in net.layers]
    assert all(isinstance(layer, blocks.process.AbstractBlock) for layer in net.layers)
    complex_net = Network(oracle.network(families.entry("RF_PHASE", (4,)), families.dense("RF_PHASE")))
    assert [layer.block for layer in complex_net.layers] == ["ComplexInput", "ComplexDense"]


def test_a_layer_is_written_as_it_was_read(tmp_path):
    layer = families.dense("CUBA", bias=np.array([1, 2, 3]))
    block = Network(oracle.network(layer)).layers[0]
    with h5py.File(tmp_path / "one.net", "w") as file:
        block.export_hdf5(file.create_group("layer/0"))
    assert exchange.digest(exchange.read(tmp_path / "one.net")) == exchange.digest(oracle.network(layer))
    with pytest.raises(NotImplementedError, match="Dense was built by hand"):
        blocks.process.Dense(shape=(4,), weight=WEIGHTS["even"]).export_hdf5(None)


def test_neuron_params_of_each_family_are_lavas_arguments():
    """Lava's arguments, from the file's keys, from a file or not."""
    cuba = {"neuron_proc": LIF, "bias_key": "bias_mant", "du": 1499, "dv": 300, "vth": 120, "bias_exp": 6}
    assert params_of(families.dense("CUBA")) == {**cuba, "num_message_bits": 0}
    assert params_of(families.dense("ALIF"))["neuron_proc"] is ATRLIF
    assert params_of(families.dense("SDNN"), spike_exp=3) == {
        "neuron_proc": SigmaDelta,
        "bias_key": "bias",
        "vth": 30,
        "spike_exp": 3,
        "state_exp": 6,
        "cum_error": False,
        "act_mode": 1,
        "num_message_bits": 16,
    }
    assert params_of(families.entry("SDNN"))["neuron_proc"].__name__ == "Delta"
    found = params_of(families.dense("RF_IZHIKEVICH"))
    assert (found["neuron_proc"].__name__, found["vth"], found["sin_decay"], found["cos_decay"]) == (
        "RF_IZ", 40, 2900, 2300
    )  # fmt: skip


def test_an_open_file_gives_neuron_params(tmp_path):
    decays = np.array([1, 2, 3])
    layer = families.dense("CUBA", neurons={"current_decay": decays})
    exchange.write(tmp_path / "one.net", oracle.network(layer))
    assert Network(tmp_path / "one.net").filename == str(tmp_path / "one.net")
    assert Network(oracle.network(layer)).filename is None
    with h5py.File(tmp_path / "one.net") as file:
        found = Network.get_neuron_params(file["layer/0/neuron"])
    assert found["du"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("family", [name for name, stock in families.STOCK.items() if stock is None])
def test_neurons_that_lava_has_not_are_refused(family):
    with pytest.raises(UnsupportedLayer, match=f"{family} neurons with .* are not those of any of Lava's processes"):
        params_of(families.dense(family))


def test_create_dense_builds_the_block_of_a_layer():
    layer = families.recurrent("CUBA", 4, 6, bias=np.array([300, 20, 0, 7]))
    block, row = Network.create_dense(group(layer), reset_interval=5, reset_offset=3, rec=True)
    assert type(block) is blocks.process.RecurrentDense
    assert row == table(plan(oracle.network(layer), Options(reset_interval=5, time_base="lava"))).splitlines()[1]
    assert (sent(block, SPIKES) == expected_of(layer, SPIKES, reset_interval=5, reset_offset=2)).all()
    sparse, _ = Network.create_dense(families.dense("CUBA"), sparse_synapse=True)
    assert isinstance(sparse.synapse, Sparse)
    with pytest.raises(ValueError, match="must be of type dense_rec, got dense"):
        Network.create_dense(families.dense("CUBA"), rec=True)


def test_create_input_and_create_conv_build_the_block_of_a_layer():
    layer = Input(shape=(1, 4, 4), neuron=families.neuron("CUBA"), weight=36, bias=34)
    block, _ = Network.create_input(group(layer))
    assert type(block) is blocks.process.Input
    assert block.transform == {"weight": 36, "bias": 34}
    kernel = np.full((1, 1, 2, 2), 2)
    conv = Conv(shape=(1, 3, 3), weight=kernel, neuron=families.neuron("CUBA"))
    block, row = Network.create_conv(group(conv), input_shape=(4, 4, 1))
    assert type(block) is blocks.process.Conv
    assert block.inp.shape == (4, 4, 1)
    assert row.startswith("|Conv      |    3|    3|    1| 2, 2| 1, 1| 0, 0| 1, 1|    1|False|")
    with pytest.raises(ValueError, match="must be of type conv, got input"):
        Network.create_conv(group(layer), input_shape=(4, 4, 1))
