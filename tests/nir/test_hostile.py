"""``.nir`` files that nobody vouches for: one error of one line within bounds, or exactly what was written."""

from __future__ import annotations

import re
import resource

import h5py
import numpy as np
import pytest

from lavadl_ref import exchange
from lavadl_ref import nir as bridge
from lavadl_ref.exchange import Dense, ExchangeError, Network, Neuron, Recurrent
from lavadl_ref.testing._choices import Seeded
from lavadl_ref.testing.fuzz import DAMAGES

pytest.importorskip("nir", reason="needs the package nir")

CUBA = Neuron("CUBA", {"threshold": 90, "current_decay": 1024, "voltage_decay": 300})
WEIGHT = np.arange(12).reshape(3, 4) * 2
NETWORK = Network(
    (
        Dense(shape=(3,), weight=WEIGHT, neuron=CUBA, delay=np.array([0, 1, 2])),
        Recurrent(shape=(3,), weight=WEIGHT[:, :3], weight_rec=WEIGHT[:, 1:], neuron=CUBA),
    )
)
DAMAGED = ("bytes", "word", "stretch", "truncation", "shift")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The content of a file that is whole."""
    path = tmp_path_factory.mktemp("whole") / "x.nir"
    bridge.write(path, NETWORK)
    return path.read_bytes()


def refused(path):
    """The message with which a file is refused; it names the file and has one line."""
    with pytest.raises(ExchangeError) as error:
        bridge.read(path, source="nir")
    text = str(error.value)
    assert text.startswith(f"{path}: ")
    assert len(text.splitlines()) == 1
    assert text.isprintable()
    assert len(text) < 600
    return text.removeprefix(f"{path}: ")


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_file_is_refused_or_what_was_written(whole, damage, tmp_path):
    path = tmp_path / "x.nir"
    refusals = 0
    for index in range(16):
        path.write_bytes(DAMAGES[damage](Seeded(np.random.default_rng([index, 7])), whole))
        try:
            network = bridge.read(path).network
        except ExchangeError:
            refusals += 1
            refused(path)
        else:
            assert exchange.digest(network) == exchange.digest(NETWORK)
    assert refusals > 2


def edited(whole, tmp_path, edit, ours=False):
    """A file of which `edit` changed the entries, without the integers of ours unless they are kept."""
    path = tmp_path / "x.nir"
    path.write_bytes(whole)
    with h5py.File(path, "r+") as file:
        if not ours:
            del file["node/metadata"]
        edit(file, file["node/nodes"])
    return path


def put(group, name, value, **options):
    """Replace an entry."""
    if name in group:
        del group[name]
    group.create_dataset(name, data=value, **options)


def deep(file, nodes):
    for _ in range(8):
        inner = nodes.create_group("more")
        inner["type"] = "NIRGraph"
        inner["edges"] = np.zeros((0, 2), "S1")
        nodes = inner.create_group("nodes")


def claimed(file, nodes):
    del nodes["dense_0/weight"]
    nodes["dense_0"].create_dataset("weight", (2**20, 2**20), "f4", chunks=(1024, 1024))


def unwritten(file, nodes):
    del nodes["dense_0/weight"]
    nodes["dense_0"].create_dataset("weight", (2**20, 2**16), "f4")


def in_a_circle(file, nodes):
    nodes["dense_rec_1_neuron/nodes/lif2"] = file["node"]


def elsewhere(file, nodes):
    nodes["other"] = h5py.ExternalLink("other.nir", "/node")


def shared(file, nodes):
    for index in range(1000):
        nodes[f"copy_{index}"] = nodes["dense_rec_1_neuron"]


def many_edges(file, nodes):
    put(file["node"], "edges", np.full((10**5, 2), "input", "S5"))


#: Edits, and what is said of them.
EDITS = {
    "no graph": (lambda f, n: put(f["node"], "type", "Linear"), "edges: unknown key"),
    "unknown type": (lambda f, n: put(n["dense_0"], "type", "Brain"), "dense_0/type: must be one of Affine, "),
    "unknown key": (lambda f, n: put(n["dense_0"], "tau", 1.0), "dense_0/tau: unknown key"),
    "unknown key beside": (lambda f, n: put(f, "more", 1.0), "more: unknown key"),
    "missing field": (lambda f, n: n["dense_0_neuron"].pop("r"), "dense_0_neuron/r: missing"),
    "not a number": (
        lambda f, n: put(n["dense_0"], "weight", np.full((3, 4), np.nan)),
        "weight: must be numbers, got NaN",
    ),
    "infinite": (lambda f, n: put(n["dense_0"], "weight", np.full((3, 4), np.inf)), "must have finite weights"),
    "text": (lambda f, n: put(n["dense_0"], "weight", "heavy"), "dense_0/weight: must be a bool, got strings"),
    "complex": (lambda f, n: put(n["dense_0"], "weight", np.ones((3, 4), complex)), "dense_0/weight: must be"),
    "one number": (lambda f, n: put(n["dense_0"], "weight", 1.0), r"weight: must have shape"),
    "many axes": (lambda f, n: put(n["dense_0"], "weight", np.ones((1,) * 20)), r"weight: must have shape"),
    "other shape": (lambda f, n: put(n["dense_0_neuron"], "r", np.ones(4)), "must have shape"),
    "empty": (lambda f, n: put(n["dense_0"], "weight", np.zeros((0, 4))), "node dense_0: must give 1 to"),
    "large input": (lambda f, n: put(n["input"], "shape", np.array([2**40])), "node input: shape: must be"),
    "negative input": (lambda f, n: put(n["input"], "shape", np.array([-4])), "node input: shape: must be"),
    "claimed": (claimed, "claims"),
    "unwritten": (unwritten, "claims|no data"),
    "deep": (deep, "must hold graphs within graphs to a depth of"),
    "in a circle": (in_a_circle, "must hold graphs within graphs to a depth of|at most"),
    "elsewhere": (elsewhere, "must have data in this file, got a ExternalLink"),
    "shared": (shared, "claims|at most|beside it"),
    "many edges": (many_edges, "edges: must have at most"),
    "edges of three": (
        lambda f, n: put(f["node"], "edges", np.full((2, 3), "a", "S1")),
        r"edges: must have shape \(edges, 2\)",
    ),
    "edges of numbers": (lambda f, n: put(f["node"], "edges", np.ones((2, 2))), "edges: must be a string"),
    "no edges": (lambda f, n: put(f["node"], "edges", np.zeros((0, 2), "S1")), "node input: must lead to one other"),
    "edges to nowhere": (lambda f, n: put(f["node"], "edges", np.array([[b"input", b"x"]])), "edges: must join nodes"),
    "a node as data": (lambda f, n: put(n, "dense_0", 3), "dense_0: must be a group"),
    "no nodes": (lambda f, n: f["node"].pop("nodes"), "nodes: missing"),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_hostile_file_is_refused_in_one_line(whole, name, tmp_path):
    edit, said = EDITS[name]
    path = edited(whole, tmp_path, edit)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    text = refused(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000
    assert re.search(said, text), text


def large_layer(file, nodes):
    """A few numbers of the integers claim hundreds of millions of neurons."""
    layer = file["node/metadata/lavadl_ref/net/layer/0"]
    del file["node/metadata/lavadl_ref/net/layer/1"]
    put(layer, "type", "unpool")
    put(layer, "shape", np.array([1, 2**14, 2**13]))
    put(layer, "weight", np.ones((1, 1, 1, 1)))
    for key in ("inFeatures", "outFeatures", "delay"):
        del layer[key]
    for key, pair in (("kernelSize", 1), ("stride", 1), ("padding", 0), ("dilation", 1)):
        layer[key] = np.array([pair, pair])
    ours = file["node/metadata/lavadl_ref"]
    put(ours, "input_shape", np.array([1, 2**14, 2**13]))
    network = Network((exchange.Unpool(shape=(1, 2**14, 2**13), weight=np.ones((1, 1, 1, 1), np.int64), neuron=CUBA),))
    put(ours["net"], "digest", np.bytes_(exchange.digest(network)))


def test_integers_that_claim_more_neurons_than_nodes_are_refused(whole, tmp_path):
    path = edited(whole, tmp_path, large_layer, ours=True)
    assert "numbers in NIR, more than a graph may have" in refused(path)


@pytest.mark.parametrize("value", [b"", b"\x89HDF\r\n\x1a\n", b"<nir/>"])
def test_other_files_are_refused(value, tmp_path):
    (tmp_path / "x.nir").write_bytes(value)
    assert refused(tmp_path / "x.nir")


def test_a_net_file_is_no_graph(tmp_path):
    exchange.write(tmp_path / "x.nir", NETWORK)
    assert refused(tmp_path / "x.nir").startswith("digest: unknown key")


def test_reading_needs_no_package(whole, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "nir", None)
    (tmp_path / "x.nir").write_bytes(whole)
    assert exchange.digest(bridge.read(tmp_path / "x.nir").network) == exchange.digest(NETWORK)
    with pytest.raises(ImportError, match=r'needs nir, which is not installed: pip install "lavadl-ref\[nir\]"'):
        bridge.to_graph(NETWORK)
