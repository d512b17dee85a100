"""A file tells whether it is what was written."""

import hashlib
import itertools

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from lavadl_ref import exchange
from lavadl_ref.exchange import Dense, ExchangeError, Network, Neuron, digest
from lavadl_ref.testing.strategies import networks
from tests.support.net_files import dense_net, store
from tests.support.same_networks import same

WEIGHT = np.array([[1, -2, 3], [4, 5, -6]])
CUBA = {"current_decay": 1024, "voltage_decay": np.array([1, 2]), "threshold": 80}


def net(parameters=CUBA, simulation=None, **values):
    layer = Dense(**({"shape": (2,), "weight": WEIGHT, "neuron": Neuron("CUBA", parameters)} | values))
    return Network((layer,), simulation or {})


def test_the_digest_is_made_of_these_bytes():
    def numbers(*values):
        return b"".join(value.to_bytes(8, "little", signed=True) for value in values)

    entries = (
        b"layer/0/neuron/current_decay()\n" + numbers(1024),
        b"layer/0/neuron/threshold()\n" + numbers(80),
        b"layer/0/neuron/type=CUBA\n",
        b"layer/0/neuron/voltage_decay(2,)\n" + numbers(1, 2),
        b"layer/0/shape(1,)\n" + numbers(2),
        b"layer/0/type=dense\n",
        b"layer/0/weight(2, 3)\n" + numbers(1, -2, 3, 4, 5, -6),
        b"simulation/Ts()\n" + numbers(1),
    )
    assert digest(net(simulation={"Ts": 1})) == hashlib.sha256(b"".join(entries)).hexdigest()


def test_defaults_and_order_of_memory_do_not_matter():
    defaults = {"refractory_delay": 1, "graded_spike": False, "weight_exp": 0}
    assert digest(net(CUBA | defaults)) == digest(net())
    assert digest(net(delay_shift=True)) == digest(net())
    assert digest(net(weight=np.asfortranarray(WEIGHT))) == digest(net())


def test_whatever_differs_is_told_apart():
    variants = (
        net(),
        net(CUBA | {"threshold": 81}),
        net(CUBA | {"graded_spike": True}),
        net(CUBA | {"voltage_decay": 1}),
        net(CUBA | {"voltage_decay": np.array([2, 1])}),
        net(delay_shift=False),
        net(delay=np.array([0, 0])),
        net(bias=np.array([0, 0])),
        net(weight=WEIGHT + 1),
        net(weight=WEIGHT[:, :2]),
        net(neuron=None),
        net(simulation={"Ts": 1}),
        Network(net().layers * 2),
    )
    assert len({digest(variant) for variant in variants}) == len(variants)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(left=networks(max_layers=2, max_extent=2), right=networks(max_layers=2, max_extent=2))
def test_digests_are_equal_where_descriptions_are(tmp_path_factory, left, right):
    path = tmp_path_factory.mktemp("net") / "x.net"
    exchange.write(path, left)
    with h5py.File(path) as file:
        assert file["digest"][()].decode() == digest(left) == digest(exchange.read(path))

    def as_read(network):
        exchange.write(path, network)
        return exchange.read(path)

    assert (digest(left) == digest(right)) == same(as_read(left), as_read(right))


def test_a_changed_weight_is_refused(tmp_path):
    path = tmp_path / "x.net"
    exchange.write(path, net())
    with h5py.File(path, "a") as file:
        file["layer/0/weight"][0, 0] = 2
    wanted = f"{path}: digest: must be {digest(net())[:12]}, got {{}}; the file is damaged, or was edited: "
    changed = WEIGHT.copy()
    changed[0, 0] = 2
    with pytest.raises(ExchangeError) as caught:
        exchange.read(path)
    assert str(caught.value) == wanted.format(digest(net(weight=changed))[:12]) + "then delete digest from it"
    with h5py.File(path, "a") as file:
        del file["digest"]
    assert exchange.read(path).layers[0].weight[0, 0] == 2


def test_every_bit_of_the_weights_counts(tmp_path):
    path = tmp_path / "x.net"
    exchange.write(path, net())
    whole = path.read_bytes()
    with h5py.File(path) as file:
        start = file["layer/0/weight"].id.get_offset()
    for position, bit in itertools.product(range(start, start + 4 * WEIGHT.size), range(8)):
        data = bytearray(whole)
        data[position] ^= 1 << bit
        path.write_bytes(data)
        with pytest.raises(ExchangeError):
            exchange.read(path)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("0" * 64, "digest: must be 000000000000, got "),
        ("", "digest: must be , got "),
        ("\n" * 64, r"digest: must be '\n\n\n"),
        ("0" * 65, "digest: must have at most 64 characters, got 65"),
        (7, "digest: must be a string, got int64"),
        (["0" * 64] * 2, "digest: must be one string, got shape (2,)"),
    ],
)
def test_a_bad_digest_is_refused(tmp_path, entry, expected):
    path = store(tmp_path / "x.net", dense_net() | {"digest": entry})
    with pytest.raises(ExchangeError) as caught:
        exchange.read(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: {expected}")
    assert "\n" not in text


def test_files_without_a_digest_are_read(tmp_path):
    bare = store(tmp_path / "x.net", dense_net())
    found = digest(exchange.read(bare))
    assert exchange.read(store(tmp_path / "y.net", dense_net() | {"digest": found})).layers[0].shape == (4,)
