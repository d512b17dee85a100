"""Hostile files cost little time and memory, and nothing but `ExchangeError` comes of them."""

import json
import random
import struct
import subprocess
import sys
import zlib

import h5py
import numpy as np
import pytest

from lavadl_ref import exchange
from lavadl_ref.exchange import ExchangeError
from tests import PATIENCE
from tests.support.net_files import conv_net, dense_net, resonator_net, store

# ru_maxrss is in kilobytes on Linux.  A good file is read first, so imports are not counted.
MEASURED = """
import json, resource, sys, time
from lavadl_ref import exchange
exchange.read(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.process_time()
try:
    exchange.read(sys.argv[2])
    found = None
except exchange.ExchangeError as error:
    found = str(error)
seconds = time.process_time() - start
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(json.dumps([found, seconds, grown / 1024]))
"""


def cost(path):
    """Message (None if the file was read), processor seconds, and megabytes of reading `path` in a fresh process."""
    good = store(path.with_name("good.net"), dense_net())
    command = [sys.executable, "-c", MEASURED, str(good), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    return json.loads(done.stdout)


def assert_cheap(path, expected):
    found, seconds, megabytes = cost(path)
    assert seconds < 30
    assert megabytes < 200
    if expected is None:
        assert found is None
    else:
        assert found is not None
        assert found.startswith(f"{path}: {expected}")


def with_weight(path, **options):
    """A file whose layer 1 has the weight dataset that `options` make."""
    store(path, dense_net() | {"layer/1/weight": None})
    with h5py.File(path, "a") as file:
        return file.create_dataset("layer/1/weight", **options).name and path


def test_a_dataset_that_claims_terabytes_is_refused_cheaply(tmp_path):
    path = with_weight(tmp_path / "x.net", shape=(2**22, 2**22), dtype="f4")
    assert path.stat().st_size < 30_000
    assert_cheap(path, "layer 1: weight: claims 70,368,744,177,664 bytes, more than")


@pytest.mark.parametrize("key", ["weight/imag", "weight_rec/real", "weight_rec/imag", "bias/real", "bias/imag"])
def test_a_part_that_claims_terabytes_is_refused_cheaply(tmp_path, key):
    path = store(tmp_path / "x.net", resonator_net() | {f"layer/1/{key}": None})
    with h5py.File(path, "a") as file:
        file.create_dataset(f"layer/1/{key}", shape=(2**22, 2**22), dtype="f4")
    assert_cheap(path, f"layer 1: {key}: claims 70,368,744,177,664 bytes, more than")


def test_a_chunked_dataset_that_claims_terabytes_is_refused_cheaply(tmp_path):
    path = with_weight(tmp_path / "x.net", shape=(2**22, 2**22), dtype="f4", chunks=(64, 64))
    assert_cheap(path, "layer 1: weight: claims 140,737,488,355,328 bytes, more than")


@pytest.mark.parametrize("shape", [(2000, 2000), (1, 2**14 + 1)])
def test_endless_chunks_that_were_never_written_are_refused_cheaply(tmp_path, shape):
    path = with_weight(tmp_path / "x.net", shape=shape, dtype="f4", chunks=(1, 1))
    assert_cheap(path, f"layer 1: weight: must have at most 16384 chunks, got {shape[0] * shape[1]:,}")


def test_chunks_that_were_not_written_are_refused(tmp_path):
    path = with_weight(tmp_path / "x.net", shape=(3, 4), dtype="f4", chunks=(2, 2))
    assert_cheap(path, "layer 1: weight: must have 4 chunks of data, got 0")


@pytest.mark.parametrize("key", ["shape", "stride", "padding", "dilation", "kernelSize", "groups", "inChannels"])
def test_many_numbers_where_few_belong_are_refused_cheaply(tmp_path, key):
    numbers = np.zeros((1024, 1024), np.int8)
    path = store(tmp_path / "x.net", conv_net() | {f"layer/1/{key}": numbers})
    wanted = "be one value" if key in ("groups", "inChannels") else "have at most 16 numbers"
    found, *_ = cost(path)
    assert found == f"{path}: layer 1: {key}: must {wanted}, got shape (1024, 1024)"


@pytest.mark.parametrize("channels", [2**23, 2**28])
def test_one_delay_for_a_huge_number_of_channels_takes_little_memory(tmp_path, channels):
    changes = {"layer/1/shape": np.array([channels]), "layer/1/delay": np.array([1.0])}
    path = store(tmp_path / "x.net", dense_net() | changes)
    if channels == 2**28:
        assert_cheap(path, "layer 1: delay: claims 2,147,483,648 bytes, more than the 67,108,864")
    else:
        assert_cheap(path, "layer 1: weight: ")


@pytest.mark.parametrize("dtype", ["f2", "i1", "u8"])
def test_narrow_and_wide_types_are_read_without_a_warning(tmp_path, dtype):
    path = store(tmp_path / "x.net", dense_net() | {"layer/1/weight": np.arange(12).reshape(3, 4).astype(dtype)})
    assert exchange.read(path).layers[1].weight.tolist() == np.arange(12).reshape(3, 4).tolist()


def test_a_small_dataset_with_large_chunks_is_refused_cheaply(tmp_path):
    path = with_weight(tmp_path / "x.net", shape=(3, 4), maxshape=(None, None), dtype="f4", chunks=(2**14, 2**14))
    assert_cheap(path, "layer 1: weight: claims 1,073,741,824 bytes for each chunk")


def test_data_that_was_never_written_is_refused(tmp_path):
    path = with_weight(tmp_path / "x.net", shape=(3, 4), dtype="f4")
    assert_cheap(path, "layer 1: weight: claims 48 bytes, but no data was written")


def test_compressed_data_within_the_limit_is_read(tmp_path):
    data = np.zeros((1000, 4000), np.float32)
    path = tmp_path / "x.net"
    changes = {"layer/0/shape": np.array([4000]), "layer/1/shape": np.array([1000])}
    changes |= dict.fromkeys(("layer/1/inFeatures", "layer/1/outFeatures", "layer/1/weight"))
    entries = {key: value for key, value in (dense_net() | changes).items() if "layer/2/" not in key}
    store(path, entries)
    with h5py.File(path, "a") as file:
        file.create_dataset("layer/1/weight", data=data, compression="gzip")
    assert path.stat().st_size < 100_000
    assert_cheap(path, None)


def test_compressed_data_beyond_the_limit_is_refused(tmp_path):
    path = with_weight(
        tmp_path / "x.net",
        data=np.zeros((4000, 4000), np.int8),
        compression="gzip",
        chunks=(4000, 4000),
    )
    assert_cheap(path, "layer 1: weight: claims 128,000,000 bytes, more than the 67,108,864")


def test_a_chunk_that_inflates_to_more_than_it_should_is_refused(tmp_path):
    # in a smaller chunk, an earlier HDF5 has no room to write the size of what is a megabyte when compressed
    path = with_weight(tmp_path / "x.net", shape=(30, 400), dtype="f4", compression="gzip", chunks=(30, 400))
    packer = zlib.compressobj(9)
    bomb = b"".join(packer.compress(bytes(2**24)) for _ in range(64)) + packer.flush()
    with h5py.File(path, "a") as file:
        file["layer/1/weight"].id.write_direct_chunk((0, 0), bomb)
    assert_cheap(path, "layer 1: weight: a compressed chunk holds more than its 48,000 bytes")


@pytest.mark.parametrize("checksum", [False, True])
@pytest.mark.parametrize(
    ("compression", "held"), [(None, 1), (None, 44), (None, 47), ("gzip", 0), ("gzip", 1), ("gzip", 44), ("gzip", 47)]
)
def test_a_chunk_that_holds_less_than_it_should_is_refused(tmp_path, checksum, compression, held):
    """HDF5 takes the checksum from the end of a chunk without looking whether there is one, and ends the process."""
    options = {"compression": compression, "fletcher32": checksum, "chunks": (3, 4)}
    path = with_weight(tmp_path / "x.net", shape=(3, 4), dtype="f4", **options)
    with h5py.File(path, "a") as file:
        data = bytes(held) if compression is None else zlib.compress(bytes(held))
        file["layer/1/weight"].id.write_direct_chunk((0, 0), data)
    with pytest.raises(ExchangeError, match="layer 1: weight: "):
        exchange.read(path)


def test_the_same_bytes_named_many_times_are_refused_cheaply(tmp_path):
    path = store(tmp_path / "x.net", dense_net())
    with h5py.File(path, "a") as file:
        file["big"] = np.zeros(2**20, np.float32)
        for index in range(1000):
            layer = file.require_group(f"layer/{index + 3}")
            for key in ("type", "shape"):
                layer[key] = file["layer/2"][key]
            layer["weight"] = file["big"]
        del file["big"]
    assert_cheap(path, "layer 4: weight: claims 4,194,304 bytes, more than")


def test_many_keys_of_a_layer_take_little_memory(tmp_path):
    path = store(tmp_path / "x.net", dense_net())
    with h5py.File(path, "a", libver="latest") as file:
        for index in range(5000):
            file["layer/1"][f"key{index}"] = h5py.SoftLink("/")
    assert_cheap(path, "layer 1: layer/1: must have at most 1024 keys, got more")


@pytest.mark.parametrize("length", [5, 2**31, 2**32 - 16])
def test_a_string_that_claims_gigabytes_is_refused_cheaply(tmp_path, length):
    path = store(tmp_path / "x.net", dense_net())
    with h5py.File(path) as file:
        offset = file["layer/1/neuron/type"].id.get_offset()
    data = bytearray(path.read_bytes())
    assert data[offset : offset + 4] == struct.pack("<I", len("CUBA"))
    data[offset : offset + 4] = struct.pack("<I", length)
    path.write_bytes(data)
    assert_cheap(path, "layer 1: neuron/type: ")


def test_a_string_heap_that_never_ends_is_refused_cheaply(tmp_path):
    path = store(tmp_path / "x.net", dense_net())
    data = bytearray(path.read_bytes())
    heap = data.index(b"GCOL")
    data[heap + 8 : heap + 16] = struct.pack("<Q", 2**62)
    data[heap + 16 + 8 : heap + 32] = struct.pack("<Q", 2**64 - 16)
    path.write_bytes(data)
    assert_cheap(path, "layer 0: neuron/type: ")


def test_data_after_a_user_block_is_refused(tmp_path):
    path = tmp_path / "x.net"
    with h5py.File(path, "w", userblock_size=512) as file:
        file["layer/0/type"] = "flatten"
    assert_cheap(path, "must begin with HDF5 data, got it at 512")


@pytest.mark.parametrize("net", [dense_net, conv_net, resonator_net])
def test_flipped_bytes_give_a_legal_network_or_one_error(tmp_path, net):
    original = store(tmp_path / "good.net", net()).read_bytes()
    path = tmp_path / "x.net"
    generator = random.Random(7)
    refused = []
    for _ in range(300):
        data = bytearray(original)
        for _ in range(generator.choice([1, 2, 8])):
            data[generator.randrange(len(data))] = generator.choice([0, 255, generator.randrange(256)])
        path.write_bytes(data)
        try:
            exchange.check(exchange.read(path))
        except ExchangeError as error:
            refused.append(str(error))
    assert 0 < len(refused) < 300
    assert all(message.startswith(f"{path}: ") for message in refused)


def test_files_are_read_without_torch_and_lava(tmp_path):
    path = store(tmp_path / "x.net", dense_net())
    blocked = ("torch", "lava", "lavadl_kernels", "numba", "scipy")
    code = f"""
import sys
for name in {blocked!r}:
    sys.modules[name] = None
from lavadl_ref import exchange
network = exchange.read({str(path)!r})
exchange.write({str(tmp_path / "y.net")!r}, network)
ours = [name for name in sys.modules if name.startswith("lavadl") and sys.modules[name] is not None]
assert all(name == "lavadl_ref" or name.startswith("lavadl_ref.exchange") for name in ours), ours
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
