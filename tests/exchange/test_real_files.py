"""Files that Lava-DL ships are read whole."""

import importlib.util
from pathlib import Path

import pytest

from lavadl_ref import exchange
from tests.support.same_networks import same

LAYERS = {
    "tinynet/tiny.net": ["input", "conv", "conv"],
    "pilotnet_lif/network.net": ["input", *["conv"] * 5, "flatten", *["dense"] * 4],
}
UPSTREAM = {
    "tiny.net": LAYERS["tinynet/tiny.net"],
    "mnist.net": ["input", *["dense"] * 3],
    "gts/ntidigits/ntidigits.net": ["input", "flatten", *["dense"] * 3, "average"],
    "gts/pilotnet_lif/network.net": LAYERS["pilotnet_lif/network.net"],
    "gts/pilotnet_sdnn/network.net": ["input", *["conv"] * 4, "flatten", *["dense"] * 4],
    "gts/pilotnet_sdnn/square_network.net": ["input", *["conv"] * 4],
}


@pytest.fixture(scope="module")
def upstream():
    """The folder of the network files that an installed lava-dl brings along."""
    spec = importlib.util.find_spec("lava")
    for place in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(place).parent / "tests" / "lava" / "lib" / "dl" / "netx"
        if folder.is_dir():
            return folder
    pytest.skip("lava-dl with its tests is not installed")


def read_and_write(path, tmp_path):
    network = exchange.read(path)
    exchange.write(tmp_path / "again.net", network)
    assert same(exchange.read(tmp_path / "again.net"), network)
    return network


@pytest.mark.parametrize("name", LAYERS)
def test_recorded_files_survive_a_round_trip(data, tmp_path, name):
    path = data / name
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    network = read_and_write(path, tmp_path)
    assert [layer.kind for layer in network.layers] == LAYERS[name]


@pytest.mark.upstream
@pytest.mark.parametrize("name", UPSTREAM)
def test_files_of_lava_dl_survive_a_round_trip(upstream, tmp_path, name):
    path = upstream / name
    if path.read_bytes()[:7] == b"version":
        with pytest.raises(exchange.ExchangeError, match="Git LFS pointer"):
            exchange.read(path)
        return
    network = read_and_write(path, tmp_path)
    assert [layer.kind for layer in network.layers] == UPSTREAM[name]


def test_the_values_of_tinynet_are_read(data):
    network = exchange.read(data / "tinynet" / "tiny.net")
    assert network.simulation == {"Ts": 1, "tSample": 64}
    first, conv, _ = network.layers
    assert (first.weight, first.bias, first.shape) == (36, 34, (3, 16, 16))
    assert conv.weight.shape == (24, 3, 5, 5)
    assert (conv.weight.min(), conv.weight.max()) == (-10, 10)
    assert (conv.bias.min(), conv.bias.max()) == (-42, 62)
    assert (conv.stride, conv.padding, conv.groups) == ((2, 2), (0, 0), 1)
    assert conv.neuron.type == "CUBA"
    assert conv.neuron.parameters == {
        "current_decay": 4096,
        "voltage_decay": 1024,
        "threshold": 25,
        "refractory_delay": 1,
        "graded_spike": False,
        "weight_exp": 0,
    }
