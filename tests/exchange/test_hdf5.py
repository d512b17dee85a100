"""The reader of HDF5 finds what HDF5's own library wrote, in every format it can be asked for."""

import itertools
from contextlib import suppress

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lavadl_ref.exchange import ExchangeError, hdf5
from lavadl_ref.exchange.hdf5 import chunks, decoder, types

_KNOWN = h5py._hl.files.libver_dict  # older versions of h5py know fewer
FORMATS = [name for name in ("earliest", "v108", "v110", "v112", "v114", "latest") if name in _KNOWN]
NUMBERS = ["i1", "<i2", ">i4", "<i8", "u1", ">u2", "<u4", "u8", "<f2", ">f4", "<f8"]


def everything(path):
    """Each dataset of the file at `path` by its name, as the reader gives it."""
    found = {}
    with open(path, "rb") as raw:
        source = hdf5.Source(raw)
        waiting = [("", hdf5.root(source))]
        while waiting:
            place, group = waiting.pop()
            for name in group.links:
                entry = group.open(name)
                if isinstance(entry, hdf5.Group):
                    waiting.append((f"{place}/{name}", entry))
                elif entry.type.kind == "O":
                    found[f"{place}/{name}"] = source.string(entry.references()[0], 100)
                else:
                    found[f"{place}/{name}"] = entry.read()
    return found


def expected(path):
    """The same, by h5py."""
    found = {}
    with h5py.File(path) as file:

        def take(name, entry):
            if isinstance(entry, h5py.Dataset):
                found[f"/{name}"] = entry[()]

        file.visititems(take)
    return found


def assert_agrees(path):
    ours, theirs = everything(path), expected(path)
    assert sorted(ours) == sorted(theirs)
    for name, value in theirs.items():
        if isinstance(value, bytes):
            assert np.asarray(ours[name]).tobytes().rstrip(b"\0") == value
        else:
            assert np.array_equal(ours[name], value, equal_nan=np.asarray(value).dtype.kind == "f"), name
            assert ours[name].shape == np.shape(value)


@pytest.mark.parametrize("libver", FORMATS)
@pytest.mark.parametrize("keys", [1, 8, 9, 70, 900])
def test_groups_of_any_size_are_read(tmp_path, libver, keys):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w", libver=libver) as file:
        for index in range(keys):
            file[f"layer/{index}/" + "long" * (index % 30)] = index
    assert_agrees(path)


@pytest.mark.parametrize("libver", FORMATS)
@pytest.mark.parametrize("order", [False, True])
def test_types_shapes_and_attributes_are_read(tmp_path, libver, order):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w", libver=libver, track_order=order) as file:
        for dtype, shape in itertools.product(NUMBERS, [(), (1,), (3,), (2, 0, 3), (4, 3, 2)]):
            values = (np.arange(np.prod(shape, dtype=int)) % 100).reshape(shape).astype(dtype)
            name = f"{dtype}-{len(shape)}-{values.size}"
            file[name] = values
            for index in range(values.size):
                file[name].attrs[f"note {index}"] = np.arange(index * 20)
        file["bool"], file["bools"] = True, np.array([True, False])
        file["text"] = "CUBA"
        file["ascii"] = np.bytes_(b"CUBA")
        file["utf8"] = np.array("relu", h5py.string_dtype("utf-8", 10))
    assert_agrees(path)


@pytest.mark.parametrize("libver", FORMATS)
@pytest.mark.parametrize("compression", [None, "gzip"])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("fletcher32", [False, True])
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_chunks_of_any_shape_are_read(tmp_path_factory, libver, compression, shuffle, fletcher32, data):
    path = tmp_path_factory.mktemp("chunks") / "x.h5"
    shape = tuple(data.draw(st.lists(st.integers(1, 12), min_size=1, max_size=4)))
    chunks = tuple(data.draw(st.integers(1, extent)) for extent in shape)
    dtype = data.draw(st.sampled_from(NUMBERS))
    seed = data.draw(st.integers(0, 2**32))
    values = np.random.default_rng(seed).integers(0, 100, shape).astype(dtype)
    with h5py.File(path, "w", libver=libver) as file:
        options = {"compression": compression, "shuffle": shuffle, "fletcher32": fletcher32}
        file.create_dataset("x", data=values, chunks=chunks, **options)
    grid = np.prod([-(-extent // step) for extent, step in zip(shape, chunks, strict=True)])
    if libver not in ("earliest", "v108") and grid > 1024:
        with pytest.raises(ExchangeError, match="must have at most 1024 chunks"):
            everything(path)
    else:
        assert_agrees(path)


@pytest.mark.parametrize("libver", FORMATS)
def test_every_layout_of_data_is_read(tmp_path, libver):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w", libver=libver) as file:
        for name, kind in (("compact", h5py.h5d.COMPACT), ("contiguous", h5py.h5d.CONTIGUOUS)):
            properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            properties.set_layout(kind)
            space = h5py.h5s.create_simple((3, 5))
            h5py.h5d.create(file.id, name.encode(), h5py.h5t.STD_I32LE, space, properties)
            file[name][...] = np.arange(15).reshape(3, 5)
        # space for every chunk set aside at once is listed by no index at all
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_chunk((2, 2))
        properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        h5py.h5d.create(file.id, b"early", h5py.h5t.STD_I32LE, h5py.h5s.create_simple((3, 5)), properties)
        file["early"][...] = np.arange(15).reshape(3, 5)
    assert_agrees(path)


@pytest.mark.parametrize("damage", range(0, 60, 7))
def test_a_damaged_chunk_has_another_checksum(tmp_path, damage):
    path = tmp_path / "x.h5"
    values = np.arange(15, dtype="<i4")
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=values, chunks=(15,), fletcher32=True)
        offset = file["x"].id.get_chunk_info(0).byte_offset
    data = bytearray(path.read_bytes())
    data[offset + damage] ^= 64
    path.write_bytes(data)
    with pytest.raises(ExchangeError, match="the checksum of a chunk is wrong"):
        everything(path)


@given(st.binary(max_size=300))
def test_the_checksum_is_the_sum_of_sums(data):
    first = second = 0
    for at in range(0, len(data), 2):
        first += int.from_bytes(data[at : at + 2].ljust(2, b"\0"), "big")
        second += first
    found = chunks.fletcher32(data)
    assert (found >> 16) % 65535 == second % 65535
    assert (found & 0xFFFF) % 65535 == first % 65535


def test_a_checksum_of_much_data_is_right(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, 2**19).astype("u1")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", data=values, chunks=values.shape, fletcher32=True)
    assert_agrees(tmp_path / "x.h5")


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_what_is_not_understood_is_named(tmp_path, libver):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w", libver=libver) as file:
        file.create_dataset("growing", data=np.arange(4), chunks=(2,), maxshape=(None,))
        file["soft"] = h5py.SoftLink("/growing")
        file["type"] = np.dtype("i4")
        file["of a named type"] = np.arange(3, dtype="i4")
        h5py.h5d.create(file.id, b"shared", file["type"].id, h5py.h5s.create_simple((3,)))
    with open(path, "rb") as raw:
        root = hdf5.root(hdf5.Source(raw))
        assert root.open("type").kind == "named type"
        with pytest.raises(ExchangeError, match="got a SoftLink"):
            root.open("soft")
        with pytest.raises(ExchangeError, match="a type beside the data, got a reference"):
            root.open("shared").type  # noqa: B018
        growing = root.open("growing")
        if libver == "latest":
            with pytest.raises(ExchangeError, match="got one that may grow"):
                growing.read()
        else:
            assert growing.read().tolist() == [0, 1, 2, 3]


_HEADS = st.sampled_from([bytes([kind, 2]) for kind in range(12)])


@settings(max_examples=300)
@given(body=st.binary(max_size=60) | st.builds(bytes.__add__, _HEADS, st.binary(max_size=40)))
def test_any_message_is_read_or_refused(body):
    """The content of a damaged header goes into these functions as it is."""
    for parse in (
        types.shape_of,
        types.type_of,
        lambda body: chunks.filters_of([body]),
        lambda body: decoder.layout_of(body, (2, 3), 4, ()),
        decoder.link_of,
    ):
        with suppress(ExchangeError):
            parse(body)
