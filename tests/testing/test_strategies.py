"""The strategies draw legal values up to the limits, which shrink, and break files without breaking the reader."""

from __future__ import annotations

import functools
import random
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from lavadl_ref import exchange
from lavadl_ref.exchange import FAMILIES, LAYERS, ExchangeError
from lavadl_ref.exchange.check import check_neuron
from lavadl_ref.testing.strategies import corrupted_net_files, net_files, networks, neurons, spike_trains
from tests import PATIENCE

SHRINKING = settings(max_examples=400, deadline=None, database=None, derandomize=True)
SEARCH = settings(SHRINKING, max_examples=2000, phases=[Phase.generate])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("family", [None, *FAMILIES])
def test_neurons_are_legal_and_whole(family, channels):
    @given(neuron=neurons(family, channels))
    def legal(neuron):
        assert family in (None, neuron.type)
        assert set(neuron.parameters) == {field.name for field in FAMILIES[neuron.type].fields}
        check_neuron(neuron, channels)

    legal()


@pytest.mark.parametrize("family", FAMILIES)
def test_every_field_reaches_its_edges(family):
    seen = {field.name: set() for field in FAMILIES[family].fields}
    apart = set()

    @settings(max_examples=300)
    @given(neuron=neurons(family, 2))
    def look(neuron):
        for name, value in neuron.parameters.items():
            if isinstance(value, np.ndarray):
                seen[name].update(value.tolist())
                apart.update([name] if value[0] != value[1] else [])
            else:
                seen[name].add(value)

    look()
    for field in FAMILIES[family].fields:
        wanted = {"bool": {False, True}, "str": {"identity", "relu"}, "int": {field.low, field.high}}[field.kind]
        assert wanted <= seen[field.name]
        assert field.required or field.default in seen[field.name]
    assert apart == {field.name for field in FAMILIES[family].fields if field.per_channel}


def test_neurons_are_shrunk_to_simple_ones():
    found = find(neurons(), lambda neuron: neuron.parameters.get("voltage_decay", 0) > 99, settings=SHRINKING)
    assert found.type == "CUBA"
    assert [value for value in found.parameters.values() if value] == [100, 1]


def test_usual_neurons_are_those_of_trained_networks():
    @given(neuron=neurons(extreme=False))
    def usual(neuron):
        fields = {field.name: field for field in FAMILIES[neuron.type].fields}
        assert neuron.parameters.get("threshold", 0) <= 512
        assert all(neuron[name] == field.default for name, field in fields.items() if field.sparse)

    usual()


@settings(max_examples=80)
@given(network=networks())
def test_networks_are_legal(network):
    exchange.check(network)


@pytest.mark.parametrize("kind", LAYERS)
def test_every_kind_of_layer_is_drawn(kind):
    find(networks(), functools.partial(any_layer, kind), settings=SEARCH)


def shrunk(source, kind):
    """The best of a few: Hypothesis also draws by what modules there are, and may stop one step short."""

    def once(seed):
        holds = functools.partial(any_layer, kind)
        return find(source, holds, settings=settings(SHRINKING, derandomize=False), random=random.Random(seed))

    return min(map(once, range(3)), key=lambda network: (len(network.layers), network.layers[-1].size))


@pytest.mark.parametrize("kind", ["dense", "flatten"])
def test_networks_are_shrunk_to_simple_ones(kind):
    found = shrunk(networks(), kind)
    opens = kind != "flatten"
    assert [layer.kind for layer in found.layers][not opens :] == [kind]
    assert found.layers[-1].size == 1
    assert not np.any(getattr(found.layers[-1], "weight", 0))


def any_layer(kind, network):
    return any(layer.kind == kind for layer in network.layers)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_drawn_in_every_layer_that_can_have_it(family):
    for kind, cls in LAYERS.items():
        if kind in ("flatten", "average", "time_decimation") or (kind, family) == ("dense_rec", "SDNN"):
            continue
        found = find(networks(family, kind, max_layers=1), lambda n: n.layers[0].neuron is not None, settings=SEARCH)
        (layer,) = found.layers
        assert (type(layer), layer.neuron.type) == (cls, family)
        if kind != "input":
            assert (layer.weight_imag is not None) == FAMILIES[family].complex_input


def test_optional_parts_are_drawn():
    def has(test, **options):
        find(networks(**options), lambda network: any(map(test, network.layers)), settings=SEARCH)

    has(lambda layer: layer.delay is not None and layer.delay.max() > 62)
    has(lambda layer: layer.delay_shift is not None)
    has(lambda layer: layer.bias is not None and layer.bias.min() == -(2**31), kinds=["dense", "conv"])
    has(lambda layer: layer.bias_imag is not None, kinds="conv")
    for kind in ("dense", "dense_rec", "conv", "convT"):
        has(lambda layer: layer.input_bias is not None and layer.bias is None, kinds=kind)
    has(lambda layer: layer.weight_rec_imag is not None, kinds="dense_rec")
    has(lambda layer: layer.groups > 1 and layer.dilation == (2, 1) and layer.padding[0] == 2, kinds="conv")
    has(lambda layer: layer.neuron is None, kinds="dense")
    has(lambda layer: isinstance(layer.neuron.parameters["voltage_decay"], np.ndarray), families="CUBA", kinds="input")


@settings(max_examples=30)
@given(network=networks(["CUBA", "ALIF"], ["dense", "conv", "flatten"], max_layers=3, max_extent=4, extreme=False))
def test_options_of_networks_hold(network):
    assert len(network.layers) <= 3
    for layer in network.layers:
        assert layer.kind in ("dense", "conv", "flatten")
        assert max(layer.shape[1:], default=0) <= 4
        assert layer.neuron is None or layer.neuron.type in ("CUBA", "ALIF")
        if layer.kind != "flatten":
            assert np.all(layer.weight % 2 == 0)
            assert np.all((layer.weight >= -256) & (layer.weight <= 254))
            assert layer.delay is None or layer.delay.max() <= 62


@settings(max_examples=60)
@given(network=networks())
def test_networks_tell_their_input(network):
    """The input's shape is stated where several fit; else it follows, also from the file."""
    assert network.input_shape is not None
    assert (network.stated_input_shape is None) == (exchange.Network(network.layers).input_shape is not None)


@settings(max_examples=80)
@given(network=networks(plain=False))
def test_layers_without_neurons_are_left_out(network):
    assert all(layer.neuron is not None for layer in network.layers)


@settings(max_examples=80)
@given(network=networks(graded=False))
def test_neurons_that_send_values_are_left_out(network):
    for layer in network.layers:
        assert layer.neuron is None or layer.neuron["graded_spike"] is False


@settings(max_examples=60)
@given(network=networks("SDNN", ("dense", "flatten"), plain=False, graded=False))
def test_what_is_named_is_drawn(network):
    for layer in network.layers:
        assert layer.kind == "flatten" or layer.neuron.type == "SDNN"


def test_plain_and_graded_layers_are_drawn_by_default():
    find(networks(kinds="dense"), lambda network: network.layers[-1].neuron is None, settings=SEARCH)
    find(networks("CUBA"), lambda network: graded(network.layers[0]), settings=SEARCH)
    find(networks(graded=False), lambda network: network.layers[-1].neuron is None, settings=SEARCH)
    find(networks(plain=False), lambda network: graded(network.layers[0]), settings=SEARCH)
    kinds = ("dense", "conv", "flatten")
    found = find(networks(kinds=kinds, plain=False), functools.partial(any_layer, "flatten"), settings=SHRINKING)
    assert all(layer.kind == "flatten" or layer.neuron for layer in found.layers)


def graded(layer):
    return layer.neuron is not None and bool(layer.neuron.parameters.get("graded_spike"))


def test_networks_of_any_options_are_shrunk_to_simple_ones():
    (layer,) = shrunk(networks(plain=False, graded=False), "dense").layers
    assert (layer.kind, layer.size, np.any(layer.weight)) == ("dense", 1, False)
    assert layer.neuron.type == "CUBA"


def test_spike_trains_are_binary_or_graded_as_asked():
    @given(train=spike_trains((2, 3), 7))
    def binary(train):
        assert (train.shape, train.dtype) == ((2, 3, 7), np.int64)
        assert set(train.ravel().tolist()) <= {0, 1}

    @given(train=spike_trains(5, 9, graded=True, magnitude=40, dtype=np.float32))
    def graded(train):
        assert (train.shape, train.dtype) == ((5, 9), np.float32)
        assert np.all(np.abs(train) <= 40)
        assert np.all(train == np.trunc(train))

    binary()
    graded()
    for share in (0.0, 0.5, 1.0):
        find(spike_trains((2, 3), 8), lambda train, share=share: train.mean() == share, settings=SEARCH)
    find(spike_trains(5, 9, graded=True), lambda train: train.min() == -127 and train.max() == 127, settings=SEARCH)
    find(spike_trains((2, 8, 8), 10), lambda train: train.mean() > 0.9, settings=SEARCH)
    large = find(spike_trains((2, 8, 8), 10), lambda train: 0 < train.mean() < 0.5, settings=SHRINKING)
    assert large.sum() == 1


@settings(max_examples=20)
@given(data=net_files(networks("SDNN", max_layers=2)))
def test_net_files_are_read(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("net") / "x.net"
    path.write_bytes(data)
    assert {layer.neuron.type for layer in exchange.read(path).layers if layer.neuron} <= {"SDNN"}


@pytest.mark.filterwarnings("ignore::lavadl_ref.exchange.ExponentWarning")  # where the digest is gone
def test_a_damaged_file_is_a_legal_network_or_one_error(tmp_path):
    outcomes = Counter()
    path = tmp_path / "x.net"

    @settings(max_examples=500, suppress_health_check=list(HealthCheck))
    @given(data=corrupted_net_files(networks(max_layers=3)))
    def read(data):
        path.write_bytes(data)
        try:
            exchange.check(exchange.read(path))
            outcomes["legal"] += 1
        except ExchangeError as error:
            text = str(error)
            assert text.startswith(f"{path}: ")
            assert "\n" not in text
            place = text.removeprefix(f"{path}: ")
            outcomes["refused"] += 1
            outcomes["in a layer"] += place.startswith("layer ")
            for words in (
                "missing",
                "unknown key",
                "damaged file",
                "got a SoftLink",
                "got a group",
                "finite integers",
            ):
                outcomes[words] += words in place

    read()
    assert outcomes["refused"] > outcomes["legal"] > 0
    assert min(outcomes.values()) > 0, outcomes


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: neurons("LIF"), "family must be some of CUBA, ALIF, .*, got LIF"),
        (lambda: neurons("CUBA", 0), "channels must be at least 1, got 0"),
        (lambda: networks(["CUBA", "RF"]), "family must be some of .*, got RF"),
        (lambda: networks(kinds="lstm"), "kind of layer must be some of .*, got lstm"),
        (lambda: networks(kinds=[]), "kind of layer must be some of .*, got none"),
        (lambda: networks(max_layers=0), "max_layers must be at least 1, got 0"),
        (lambda: networks("SDNN", "dense_rec"), "families must have neurons for layers of the kinds dense_rec"),
        (lambda: spike_trains(3, 0), "steps must be at least 1, got 0"),
    ],
)
def test_arguments_are_checked_at_once(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("name", ["extreme", "plain", "graded"])
def test_flags_are_bools(name):
    with pytest.raises(TypeError, match=f"{name} must be a bool, got 'no'"):
        networks(**{name: "no"})


def test_a_missing_hypothesis_is_one_clear_error():
    code = "import sys; sys.modules['hypothesis'] = None; import lavadl_ref.testing.strategies"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE)
    assert done.stderr.strip().splitlines()[-1] == (
        'ImportError: lavadl_ref.testing.strategies needs Hypothesis: pip install "lavadl-ref[testing]"'
    )


def test_neither_torch_nor_lava_is_needed():
    code = "import sys; sys.modules.update(torch=None, lava=None); import lavadl_ref.testing.strategies"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr


@settings(max_examples=10)
@given(st.data())
def test_the_same_choices_give_the_same_file(data):
    network = data.draw(networks())
    first, second = (data.draw(net_files(st.just(network))) for _ in range(2))
    assert first == second
