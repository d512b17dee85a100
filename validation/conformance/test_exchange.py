"""Files of lava-dl's blocks: read with the values its modules hold, and written again dataset for dataset."""

import h5py
import numpy as np
import pytest
import torch

from lavadl_ref import exchange
from tests.support import upstream

pytestmark = [
    pytest.mark.upstream,
    # what lava-dl itself uses: a deprecated weight norm
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
theirs = upstream.slayer()

DECAYS = {"current_decay": 0.1, "voltage_decay": 0.03}
ADAPTATION = {"threshold_step": 0.5, "threshold_decay": 0.2, "refractory_decay": 0.3}
RESONANCE = {"period": 10, "decay": 0.1}
PARAMETERS = {
    "cuba": {"threshold": 1.25, **DECAYS},
    "alif": {"threshold": 1.25, **DECAYS, **ADAPTATION},
    "rf": {"threshold": 1.25, **RESONANCE},
    "rf_iz": {"threshold": 1.25, **RESONANCE},
    "adrf": {"threshold": 1.25, **RESONANCE, **ADAPTATION},
    "sigma_delta": {"threshold": 0.1, "activation": torch.nn.functional.relu},
}
SPIKING = [name for name in PARAMETERS if name != "sigma_delta"]
REAL = ["cuba", "alif", "sigma_delta"]
DENSE = (2, 4, 12)
SPATIAL = (2, 2, 6, 6, 12)


def export(folder, block, shape):
    """`block` run once, as lava-dl asks for, and alone in a file."""
    torch.manual_seed(5)
    block(torch.tensor(np.random.default_rng(5).random(shape) < 0.5, dtype=torch.float32))
    path = folder / "theirs.net"
    with h5py.File(path, "w") as file:
        block.export_hdf5(file.create_group("layer/0"))
    return path


def content(path):
    """Dtype, shape and value of every dataset."""
    found = {}

    def visit(name, node):
        if isinstance(node, h5py.Dataset):
            value = node[()]
            found[name] = str(node.dtype), node.shape, value.tolist() if isinstance(value, np.ndarray) else value

    with h5py.File(path) as file:
        file.visititems(visit)
    return found


def read(path):
    """The file's one layer, once it is seen to be written again as it was."""
    network = exchange.read(path)
    again = path.with_name("ours.net")
    exchange.write(again, network)
    expected = content(path)
    # One that scales by 1 is left out.
    exponent = expected.get("layer/0/neuron/weight_exp")
    if exponent is not None and exponent[2] == [0.0]:
        del expected["layer/0/neuron/weight_exp"]
    found = content(again)
    del found["digest"]  # which is ours
    if "layer/0/weight" not in expected and isinstance(network.layers[0], exchange.Input):
        # Input blocks of lava-dl leave out the gain and offset that they do not have.
        assert found.pop("layer/0/weight") == ("float32", (1,), [64.0])
        assert found.pop("layer/0/bias") == ("float32", (1,), [0.0])
    assert found == expected
    return network.layers[0]


def assert_neuron(layer, module):
    """The layer's neurons are those of lava-dl's `module`."""
    params = dict(module.device_params)
    family = exchange.FAMILIES[params.pop("type")]
    assert layer.neuron.type == family.type
    for field in family.fields:
        if field.key in params:
            expected = params.pop(field.key)
            actual = layer.neuron[field.name]
            assert np.array_equal(actual, expected), field.key
        else:
            assert layer.neuron[field.name] == field.default, field.key
    assert not params
    assert layer.shifts == family.delay_shift


def assert_weight(actual, synapse):
    expected = synapse.pre_hook_fx(synapse.weight, descale=True).detach().numpy()
    assert np.array_equal(actual, expected.reshape(actual.shape))
    assert actual.any()


@pytest.mark.parametrize("delay", [False, True], ids=["", "delay"])
@pytest.mark.parametrize("name", PARAMETERS)
def test_a_dense_layer_of_lava_dl_is_read(tmp_path, name, delay):
    block = getattr(theirs.block, name).Dense(dict(PARAMETERS[name]), 4, 3, weight_scale=3, delay=delay)
    layer = read(export(tmp_path, block, DENSE))
    assert type(layer) is exchange.Dense
    assert layer.shape == (3,)
    assert_neuron(layer, block.neuron)
    if name in REAL:
        assert_weight(layer.weight, block.synapse)
        assert layer.weight_imag is None
    else:
        assert_weight(layer.weight, block.synapse.real)
        assert_weight(layer.weight_imag, block.synapse.imag)
    assert layer.bias is layer.bias_imag is None
    assert (layer.delay is not None) == delay


@pytest.mark.parametrize("name", SPIKING)
def test_parameters_per_channel_of_lava_dl_are_read(tmp_path, name):
    block = getattr(theirs.block, name).Dense({**PARAMETERS[name], "shared_param": False}, 4, 3)
    layer = read(export(tmp_path, block, DENSE))
    assert_neuron(layer, block.neuron)
    assert sum(np.ndim(value) for value in layer.neuron.parameters.values()) >= 2


@pytest.mark.parametrize("norm", ["MeanOnlyBatchNorm", "WgtScaleBatchNorm"])
@pytest.mark.parametrize("name", REAL)
def test_a_norm_of_lava_dl_is_read(tmp_path, name, norm):
    kind = getattr(theirs.neuron.norm, norm)
    block = getattr(theirs.block, name).Dense({**PARAMETERS[name], "norm": kind}, 4, 3, weight_scale=3)
    layer = read(export(tmp_path, block, DENSE))
    assert np.array_equal(layer.bias, block.neuron.norm.bias.detach().numpy().reshape(-1))
    assert layer.neuron["weight_exp"] == int(getattr(block.neuron.norm, "weight_exp", torch.zeros(1)))


@pytest.mark.parametrize("name", ["cuba", "alif", "rf", "rf_iz", "adrf"])
def test_graded_spikes_of_lava_dl_are_read(tmp_path, name):
    block = getattr(theirs.block, name).Dense({**PARAMETERS[name], "graded_spike": True}, 4, 3)
    assert read(export(tmp_path, block, DENSE)).neuron["graded_spike"] is True


@pytest.mark.parametrize("delay", [False, True], ids=["", "delay"])
@pytest.mark.parametrize("kind", ["Conv", "ConvT", "Pool", "Unpool"])
@pytest.mark.parametrize("name", REAL)
def test_windows_of_lava_dl_are_read(tmp_path, name, kind, delay):
    pooling = kind.endswith("ool")
    arguments = (2,) if pooling else (2, 4, 3, 1, 1)
    block = getattr(getattr(theirs.block, name), kind)(dict(PARAMETERS[name]), *arguments, weight_scale=3, delay=delay)
    layer = read(export(tmp_path, block, SPATIAL))
    assert layer.kind == {"ConvT": "convT"}.get(kind, kind.lower())
    assert layer.shape[0] == (2 if pooling else 4)
    assert_neuron(layer, block.neuron)
    assert_weight(layer.weight, block.synapse)


@pytest.mark.parametrize("name", ["cuba", "alif"])
def test_a_recurrent_layer_of_lava_dl_is_read(tmp_path, name):
    block = getattr(theirs.block, name).Recurrent(dict(PARAMETERS[name]), 4, 3, weight_scale=3)
    layer = read(export(tmp_path, block, DENSE))
    assert type(layer) is exchange.Recurrent
    assert_neuron(layer, block.neuron)
    assert_weight(layer.weight, block.input_synapse)
    assert_weight(layer.weight_rec, block.recurrent_synapse)
    assert layer.weight_rec_imag is layer.input_bias is None


def test_neurons_of_lava_dl_that_never_spike_are_read(tmp_path):
    layer = read(export(tmp_path, theirs.block.cuba.Affine(dict(PARAMETERS["cuba"]), 4, 3), DENSE))
    assert layer.neuron["threshold"] == 2**18 - 1


@pytest.mark.parametrize("gain", [{}, {"weight": 0.5, "bias": -0.25}], ids=["", "gain"])
@pytest.mark.parametrize("name", REAL)
def test_an_input_layer_of_lava_dl_is_read(tmp_path, name, gain):
    block = getattr(theirs.block, name).Input(dict(PARAMETERS[name]), **gain)
    layer = read(export(tmp_path, block, DENSE))
    assert type(layer) is exchange.Input
    assert_neuron(layer, block.neuron)
    assert (layer.weight, layer.bias) == ((32, -16) if gain else (64, 0))


def test_a_sigma_delta_output_of_lava_dl_is_read(tmp_path):
    block = theirs.block.sigma_delta.Output(dict(PARAMETERS["sigma_delta"]), 4, 3)
    layer = read(export(tmp_path, block, DENSE))
    assert layer.neuron["sigma_output"] is True
    assert not layer.shifts


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_flatten_layer_of_lava_dl_is_read(tmp_path, name):
    assert read(export(tmp_path, getattr(theirs.block, name).Flatten(), SPATIAL)).shape == (72,)
