"""A file object is read and written as a file is that has a name."""

import io
import os
import tempfile

import numpy as np
import pytest

from lavadl_ref import exchange
from lavadl_ref.exchange import Dense, ExchangeError, Network, Neuron, same
from tests.support.net_files import conv_net, dense_net, resonator_net, store

NEURON = Neuron(
    "CUBA",
    {
        "current_decay": 1024,
        "voltage_decay": 128,
        "threshold": 80,
        "refractory_delay": 1,
        "graded_spike": False,
        "weight_exp": 0,
    },
)
NETWORK = Network((Dense(shape=(2,), neuron=NEURON, weight=np.arange(6).reshape(2, 3)),))


class Unseekable(io.BytesIO):
    def seekable(self):
        return False


class Full(io.BytesIO):
    def write(self, data):
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("net", [dense_net, conv_net, resonator_net])
def test_a_file_object_says_what_the_file_of_its_bytes_says(tmp_path, net):
    path = store(tmp_path / "x.net", net())
    found = exchange.read(io.BytesIO(path.read_bytes()))
    assert same(found, exchange.read(path))
    with open(path, "rb") as file:
        assert same(exchange.read(file), found)
        assert not file.closed


def test_a_network_comes_back_from_the_file_object_it_was_written_to(tmp_path):
    file = io.BytesIO()
    exchange.write(file, NETWORK)
    assert same(exchange.read(file), NETWORK)  # from its start, wherever it stands
    exchange.write(tmp_path / "x.net", NETWORK)
    assert (tmp_path / "x.net").stat().st_size == len(file.getvalue())
    with tempfile.TemporaryFile() as other:
        exchange.write(other, NETWORK)
        assert same(exchange.read(other), NETWORK)


def test_the_whole_content_of_a_file_object_is_replaced():
    file = io.BytesIO(bytes(2**16))
    file.seek(100)
    exchange.write(file, NETWORK)
    assert len(file.getvalue()) < 2**16
    assert same(exchange.read(file), NETWORK)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "must be an HDF5 file, got an empty file"),
        (b"x" * 100, "must be an HDF5 file, got other data"),
        (b"version https://git-lfs.github.com/spec/v1", "must be an HDF5 file, got a Git LFS pointer"),
        (bytes(512) + b"\x89HDF\r\n\x1a\n", "must begin with HDF5 data, got it at 512"),
    ],
)
def test_an_error_of_a_file_object_names_its_class(content, expected):
    with pytest.raises(ExchangeError) as caught:
        exchange.read(io.BytesIO(content))
    assert str(caught.value).startswith(f"<BytesIO>: {expected}")


def test_an_error_of_an_open_file_names_its_path(tmp_path):
    path = store(tmp_path / "x.net", dense_net() | {"layer/1/weight": None})
    with open(path, "rb") as file, pytest.raises(ExchangeError) as caught:
        exchange.read(file)
    assert str(caught.value) == f"{path}: layer 1: weight: missing"


def test_an_illegal_network_is_not_written_to_a_file_object():
    file = io.BytesIO(b"as before")
    with pytest.raises(ExchangeError, match=r"^<BytesIO>: layer: must have 1 to 1024 layers"):
        exchange.write(file, Network(()))
    assert file.getvalue() == b"as before"


def test_limits_hold_for_a_file_object(tmp_path):
    path = store(tmp_path / "x.net", dense_net() | {"layer/1/neuron/type": "x" * 1000})
    with pytest.raises(ExchangeError, match="<BytesIO>: layer 1: neuron/type: must have at most 64 characters"):
        exchange.read(io.BytesIO(path.read_bytes()))
    cut = path.read_bytes()[:-1]
    with pytest.raises(ExchangeError, match=r"<BytesIO>: must have .* bytes, got .*: the file is cut short"):
        exchange.read(io.BytesIO(cut))


@pytest.mark.parametrize(
    "given", [io.StringIO(), Unseekable(), 3, None, NETWORK], ids=lambda given: type(given).__name__
)
@pytest.mark.parametrize("call", [exchange.read, lambda given: exchange.write(given, NETWORK)], ids=["read", "write"])
def test_what_is_no_binary_file_is_refused(given, call):
    with pytest.raises(TypeError, match=f"file must .*, got {type(given).__name__}"):
        call(given)


def test_an_error_in_writing_names_the_file_object(tmp_path):
    with pytest.raises(OSError, match="No space left on device: '<Full>'"):
        exchange.write(Full(), NETWORK)
    path = tmp_path / "x.net"
    path.touch()
    with open(path, "rb") as file, pytest.raises(OSError, match="write") as caught:
        exchange.write(file, NETWORK)
    assert caught.value.filename == os.fspath(path)
