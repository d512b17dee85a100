"""``.net`` files made to do harm: small ones that claim much memory, links without end, other formats.

Functions that edit a file take a source of choices, the file and the name of a dataset of numbers.
"""

from __future__ import annotations

import io
import zlib
from functools import lru_cache

import h5py
import numpy as np

from lavadl_ref.testing._choices import Choices
from lavadl_ref.testing._damage import any_word

OTHER = "other.net"  #: a legal file that lies beside the one that is read
INFLATED = 2**29  #: bytes of the chunk that inflates to more than it should


@lru_cache(8)
def _packed_zeros(count: int) -> bytes:
    packer = zlib.compressobj(1)
    parts = [packer.compress(bytes(min(2**24, count - start))) for start in range(0, count, 2**24)]
    return b"".join(parts) + packer.flush()


def claims(choose: Choices, file: h5py.File, name: str) -> None:
    """A dataset that was never written and claims up to terabytes, in one piece or in chunks."""
    del file[name]
    side = 2 ** choose.integer(8, 24)
    chunks = choose.one((None, None, (64, 64), (1, 1), (2**13, 2**12), (2**14, 2**14)))
    fill = choose.one((None, 7))
    dtype = choose.one(("i1", "f4", "f8", "i8"))
    whole = (max(side, chunks[0]), max(side, chunks[1])) if chunks else (side, side)
    file.create_dataset(name, whole, dtype, chunks=chunks, fillvalue=fill)


def small_with_large_chunks(choose: Choices, file: h5py.File, name: str) -> None:
    """A few numbers in chunks of up to gigabytes."""
    shape = file[name].shape or (1,)
    del file[name]
    chunks = tuple(2 ** choose.integer(0, 30 // len(shape)) for _ in shape)
    file.create_dataset(name, shape, "f4", maxshape=(None,) * len(shape), chunks=chunks)


def packed(choose: Choices, file: h5py.File, name: str) -> None:
    """Zeros in one compressed chunk, below what a reader may allow or beyond it."""
    del file[name]
    count = choose.one((2**20, 2**22, 2**23, 2**24, 2**26))
    dtype = np.dtype(choose.one(("i1", "f4", "f8")))
    # a legal network may well ask for this many
    shape = choose.one([(count,), (count // 1024, 1024)])
    options = {"chunks": shape, "compression": "gzip", "shuffle": choose.one((False, True))}
    dataset = file.create_dataset(name, shape, dtype, **options)
    dataset.id.write_direct_chunk((0,) * len(shape), _packed_zeros(count * dtype.itemsize))


def inflating(choose: Choices, file: h5py.File, name: str) -> None:
    """A small compressed chunk that inflates to half a gigabyte."""
    shape = file[name].shape or (1,)
    del file[name]
    dataset = file.create_dataset(name, shape, "f4", chunks=shape, compression="gzip")
    dataset.id.write_direct_chunk((0,) * len(shape), _packed_zeros(INFLATED))


def many_chunks(choose: Choices, file: h5py.File, name: str) -> None:
    """A chunk for each number."""
    del file[name]
    count = choose.one((10, 100, 1000, 2**14 + 1))
    file.create_dataset(name, data=np.ones(count, np.int8), chunks=(1,))


def long_strings(choose: Choices, file: h5py.File, name: str) -> None:
    """Strings of fixed or variable length, long or many, and ragged arrays."""
    del file[name]
    size = 2 ** choose.integer(7, 22)
    kind = choose.one(("fixed", "variable", "many", "ragged"))
    if kind == "fixed":
        file.create_dataset(name, data=np.bytes_(b"x" * min(size, 2**15)))
    elif kind == "variable":
        file.create_dataset(name, data="x" * size)
    elif kind == "many":
        file.create_dataset(name, data=["CUBA"] * min(size, 2**10), dtype=h5py.string_dtype())
    else:
        ragged = file.create_dataset(name, (2,), h5py.vlen_dtype(np.int64))
        ragged[0] = np.zeros(size)


def strange_types(choose: Choices, file: h5py.File, name: str) -> None:
    """Types of numbers and other things that no ``.net`` file has."""
    shape = file[name].shape
    del file[name]
    types = (
        np.dtype(("f4", (2**10,))),
        np.dtype([("a", "f4", (2**12,)), ("b", "S100")]),
        np.dtype("V4096"),
        h5py.ref_dtype,
        h5py.regionref_dtype,
        h5py.enum_dtype({"a": 0, "b": 1}, "i1"),
        np.dtype("f2"),
        np.dtype("g"),
        np.dtype(">u8"),
    )
    file.create_dataset(name, shape, choose.one(types))


def filtered(choose: Choices, file: h5py.File, name: str) -> None:
    """Compression and checksums of many kinds."""
    shape = file[name].shape or (1,)
    values = np.asarray(file[name][()], np.float32).reshape(shape)
    del file[name]
    options: dict[str, object] = choose.one(
        (
            {"compression": "lzf"},
            {"compression": "gzip", "shuffle": True, "fletcher32": True},
            {"compression": "gzip", "compression_opts": 0},
            {"scaleoffset": 2},
            {"fletcher32": True},
        )
    )
    file.create_dataset(name, data=values, chunks=shape, **options)


def elsewhere(choose: Choices, file: h5py.File, name: str) -> None:
    """Data that lies in another file."""
    shape = file[name].shape or (1,)
    del file[name]
    if choose.one((False, True)):
        file.create_dataset(name, shape, "f4", external=[(OTHER, 0, 4 * int(np.prod(shape)))])
        return
    layout = h5py.VirtualLayout(shape, "f4")
    layout[...] = h5py.VirtualSource(choose.one((OTHER, ".")), name, shape)
    file.create_virtual_dataset(name, layout)


def cycle(choose: Choices, file: h5py.File, name: str) -> None:
    """Links that lead back: a hard one to a group above, or others to themselves."""
    key = choose.one((name, name.rpartition("/")[0]))
    above = choose.one((file["layer"], file["/"]))
    del file[key]
    file[key] = choose.one((above, above, h5py.SoftLink(f"/{key}"), h5py.ExternalLink("x0.net", key)))


def shared(choose: Choices, file: h5py.File, name: str) -> None:
    """The same large numbers under the names of many layers."""
    file["big"] = np.zeros(2 ** choose.integer(10, 18), np.float32)
    for index in range(len(file["layer"]), choose.one((20, 100, 200, 1100))):
        layer = file.create_group(f"layer/{index}")
        for key in ("type", "shape"):
            layer[key] = file["layer/0"][key]
        layer["weight"] = file["big"]
    del file["big"]


@lru_cache(8)
def _nested_types(depth: int) -> h5py.h5t.TypeID:
    inner = h5py.h5t.STD_I8LE.copy()
    for _ in range(depth):
        inner = h5py.h5t.vlen_create(inner)
    return inner


def shared_chunks(choose: Choices, file: h5py.File, name: str) -> None:
    """The same many chunks under the names of several layers."""
    count = choose.integer(100, 8200)
    file.create_dataset("big", data=np.ones((1, count), np.int8), chunks=(1, 1))
    for index in range(len(file["layer"]), choose.one((12, 40))):
        layer = file.create_group(f"layer/{index}")
        for key in ("type", "shape"):
            layer[key] = file["layer/0"][key]
        layer["weight"] = file["big"]
    for index in range(1, len(file["layer"])):
        if "weight" in file[f"layer/{index}"]:
            del file[f"layer/{index}/weight"]
        file[f"layer/{index}/weight"] = file["big"]
    del file["big"]


def nested_type(choose: Choices, file: h5py.File, name: str) -> None:
    """Types within types: as many as a header has room for, or a few."""
    del file[name]
    inner = _nested_types(choose.one((2, 30, 300, 3000, 7900)))
    if choose.one((False, True)):
        inner = h5py.h5t.array_create(inner, (2,))
    h5py.h5d.create(file.id, name.encode(), inner, h5py.h5s.create_simple((1,)))


def endless_heap(choose: Choices, data: bytes) -> bytes:
    """A heap whose list of free space leads back to itself."""
    found = bytearray(data)
    heaps = [at for at in range(0, len(data) - 32, 8) if data[at : at + 4] == b"HEAP"]
    if not heaps:
        return any_word(choose, data)
    at = choose.one(heaps)
    start = int.from_bytes(data[at + 24 : at + 32], "little")
    free = choose.integer(0, 40) // 8 * 8
    found[at + 16 : at + 24] = free.to_bytes(8, "little")
    found[start + free : start + free + 16] = free.to_bytes(8, "little") + (16).to_bytes(8, "little")
    return bytes(found)


def huge_geometry(choose: Choices, file: h5py.File, name: str) -> None:
    """A small legal layer for an input without measure."""
    layer = file["layer"][choose.one(sorted(file["layer"]))]
    for key in ("stride", "dilation", "padding"):
        if key in layer:
            del layer[key]
            layer[key] = np.array([choose.one((1, 8000, 2**15))] * 2)
    if "shape" in layer and choose.one((False, True)):
        shape = np.array(layer["shape"][()])
        shape[0] = choose.one((2**22, 2**28))
        del layer["shape"]
        layer["shape"] = shape


def nested(choose: Choices, file: h5py.File, name: str) -> None:
    """Groups within groups."""
    del file[name]
    depth = choose.integer(2, 700)
    file.create_group(name + "/neuron" * depth)


def crowded(choose: Choices, file: h5py.File, name: str) -> None:
    """Thousands of keys in one group."""
    group = file[choose.one((name.rpartition("/")[0] or "layer", "layer", "/"))]
    for index in range(choose.integer(800, 2000)):
        group[f"key {index}"] = h5py.SoftLink("/")


def user_block(choose: Choices, data: bytes) -> bytes:
    """HDF5 data that does not begin at the start of the file."""
    size = choose.one((512, 1024, 2**16, 100))
    return choose.one((bytes(size), data[:size].ljust(size, b"x"))) + data


def other_format(choose: Choices, data: bytes) -> bytes:
    """No HDF5 file at all, or little of one."""
    size = choose.integer(0, 2000)
    noise = np.random.default_rng(size).bytes(size)
    empty = io.BytesIO()
    with h5py.File(empty, "w") as file:
        file.create_group(choose.one(("layer", "layers", "layer/0", "layer/0/neuron")))
    return choose.one(
        (
            noise,
            data[:8] + noise,
            data[:96] + noise,
            data[:8] + bytes(size),
            bytes(size),
            data[:8] * (size // 8),
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n",
            b"PK\x03\x04" + noise,
            b"\x93NUMPY" + noise,
            b'{"layer": []}',
            data[::-1],
            empty.getvalue(),
        )
    )


EDITS = {
    "claim": claims,
    "large chunks": small_with_large_chunks,
    "packed": packed,
    "inflating chunk": inflating,
    "many chunks": many_chunks,
    "long string": long_strings,
    "strange type": strange_types,
    "filter": filtered,
    "data elsewhere": elsewhere,
    "link cycle": cycle,
    "shared data": shared,
    "shared chunks": shared_chunks,
    "huge geometry": huge_geometry,
    "nesting": nested,
    "nested type": nested_type,
    "many keys": crowded,
}
