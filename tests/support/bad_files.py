"""Readers of data, a good file for each, and files that no reader may take: the table that test_bad_files runs over.

As a program it reads the bombs within `LIMIT` more than what is taken already, and prints what each reader said.
"""

from __future__ import annotations

import gzip
import io
import json
import resource
import struct
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

LIMIT = 300 * 2**20  #: bytes


def npy(array: np.ndarray) -> bytes:
    held = io.BytesIO()
    np.save(held, array)
    return held.getvalue()


def npz(array: np.ndarray) -> bytes:
    held = io.BytesIO()
    np.savez(held, a=array)
    return held.getvalue()


def npy_with(header: bytes, data: bytes = b"", version: bytes = b"\1\0") -> bytes:
    """A .npy file with a header of one's own."""
    return b"\x93NUMPY" + version + struct.pack("<H" if version == b"\1\0" else "<I", len(header)) + header + data


def says(shape: str, descr: str = "'<f8'", order: str = "False") -> bytes:
    return npy_with(f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}}}\n".encode(), bytes(32))


def png(width: int, height: int, data: bytes | None = None) -> bytes:
    """A grey picture, black unless its compressed `data` are given."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    data = zlib.compress(bytes((width + 1) * height)) if data is None else data
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def jpeg(width: int, height: int) -> bytes:
    """A picture of 8x8 whose header claims another size."""
    from PIL import Image

    held = io.BytesIO()
    Image.new("L", (8, 8)).save(held, "JPEG")
    content = held.getvalue()
    at = content.index(b"\xff\xc0") + 5
    return content[:at] + struct.pack(">HH", height, width) + content[at + 4 :]


def idx(*lengths: int, kind: int = 8, data: bytes = b"") -> bytes:
    return struct.pack(f">HBB{len(lengths)}I", 0, kind, len(lengths), *lengths) + data


def zeros_gz(head: bytes, count: int) -> bytes:
    """`head` and `count` zero bytes, compressed, without making them."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    piece = bytes(2**20)
    parts = [
        squeeze.compress(head),
        *(squeeze.compress(piece[: min(count - at, 2**20)]) for at in range(0, count, 2**20)),
    ]
    return b"".join([*parts, squeeze.flush()])


BOXES = np.array(
    [(1, 2, 3, 4, 5, 6), (7, 8, 9, 10, 11, 12)],
    [("ts", "<u8"), ("x", "<f4"), ("y", "<f4"), ("w", "<f4"), ("h", "<f4"), ("class_id", "<i8")],
)


def boxes(field: str, value: Any, dtype: str) -> bytes:
    """Two boxes; one number of the second is another."""
    changed = BOXES.astype([(name, dtype if name == field else BOXES.dtype[name]) for name in BOXES.dtype.names])
    changed[field][1] = value
    return npy(changed)


def aedat3(*packets: bytes) -> bytes:
    """A file of AEDAT 3.1."""
    return b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n" + b"".join(packets)


def packet3(rows: Any, overflow: int = 0, kind: int = 1, valid: bool = True, **claims: int) -> bytes:
    """Polarity events (x, y, polarity, microseconds below 2^31); `claims` replace numbers of the header."""
    body = b"".join(struct.pack("<Ii", x << 17 | y << 2 | p << 1 | valid, t) for x, y, p, t in rows)
    count = len(body) // 8
    said = {"size": 8, "capacity": count, "number": count, "valid": count * valid, **claims}
    return struct.pack("<hhiiiiii", kind, 1, said["size"], 4, overflow, *list(said.values())[1:4]) + body


def flatbuffer(identifier: bytes, *fields: bytes, vector: bytes | None = None, count: int = 0) -> bytes:
    """A Flatbuffer, with its size in front: one table of fields of 4 or 8 bytes, or of one vector of structures."""
    if vector is not None:
        fields = (struct.pack("<I", 4),)
    offsets, at = [], 4
    for one in fields:
        offsets.append(at)
        at += len(one)
    table = struct.pack(f"<HH{len(fields)}H", 4 + 2 * len(fields), at, *offsets)
    table += bytes(-len(table) % 4)
    body = struct.pack("<I", 8 + len(table)) + identifier + table + struct.pack("<i", len(table)) + b"".join(fields)
    if vector is not None:
        body += struct.pack("<I", count) + vector
    return struct.pack("<I", len(body)) + body


def packet4(rows: Any, count: int | None = None, pack: Callable[[bytes], bytes] = bytes) -> bytes:
    """Events (x, y, polarity, microseconds) as a packet of AEDAT 4.0, perhaps compressed; may claim another count."""
    events = b"".join(struct.pack("<qhhB3x", t, x, y, p) for x, y, p, t in rows)
    body = pack(flatbuffer(b"EVTS", vector=events, count=len(rows) if count is None else count))
    return struct.pack("<ii", 0, len(body)) + body


def aedat4(*packets: bytes, compression: int = 0, table: bytes = b"") -> bytes:
    """A file of AEDAT 4.0; `table` follows the data."""

    def header(end: int) -> bytes:
        return b"#!AER-DAT4.0\r\n" + flatbuffer(b"IOHE", struct.pack("<i", compression), struct.pack("<q", end))

    data = b"".join(packets)
    return header(len(header(0)) + len(data) if table else -1) + data + table


def heidelberg(rows: Any, times: str = "f2", units: str = "u2", **options: Any) -> bytes:
    """A file of SHD: pairs of seconds and channels, labelled from 0."""
    import h5py

    held = io.BytesIO()
    with h5py.File(held, "w") as file:
        for part, (name, dtype) in enumerate((("times", times), ("units", units))):
            ragged = file.create_dataset(f"spikes/{name}", (len(rows),), h5py.vlen_dtype(np.dtype(dtype)), **options)
            for index, row in enumerate(rows):
                ragged[index] = np.array(row[part], dtype)
        file["labels"] = np.arange(len(rows), dtype="u2")
    return held.getvalue()


ROWS = [(1, 2, 0, 7), (127, 0, 1, 9), (3, 3, 1, 9)]
DAT = b"% Version 2\n% Height 4\n% Width 6\n\x0c\x08" + struct.pack("<IIII", 5, 1 | 2 << 14, 9, 3 | 1 << 14 | 1 << 28)
FRAMES = [{"name": "f.png", "labels": [{"category": "car", "box2d": {"x1": 1, "y1": 1, "x2": 3, "y2": 3}}]}]


def changed(path: str, value: Any) -> bytes:
    """The labels of a video; what lies at `path` is another."""
    found = json.loads(json.dumps(FRAMES))
    *way, last = (int(key) if key.isdigit() else key for key in path.split("/"))
    at = found
    for key in way:
        at = at[key]
    at[last] = value
    return json.dumps(found).encode()


def values(found: Any) -> list[Any]:
    """The values that were read, as lists."""
    if isinstance(found, np.ndarray):
        return found.tolist()
    return [np.asarray(getattr(found, name)).tolist() for name in "xyct"]


@dataclass
class Reader:
    """A reader, and what it is given."""

    name: str  #: of the file
    good: bytes
    read: Callable[[Path], Any]  #: takes the file, returns lists
    bad: dict[str, bytes] = field(default_factory=dict)
    bombs: dict[str, Callable[[], bytes]] = field(default_factory=dict)
    prefix: bool = False  #: whether the beginning of a file may be one of its own, with the beginning of the content


def _io(name: str) -> Callable[[Path], Any]:
    def read(path: Path) -> Any:
        from lavadl_ref.slayer import io as module

        return values(getattr(module, name)(path))

    return read


def _idx(path: Path) -> Any:
    from lavadl_ref.datasets import read_idx

    return values(read_idx(path))


def _boxes(path: Path) -> Any:
    from lavadl_ref.slayer.object_detection.dataset.prophesee_files import read_boxes

    return values(read_boxes(path))


def _events(path: Path) -> Any:
    from lavadl_ref.slayer.object_detection.dataset.prophesee_files import EventFile

    found = EventFile(path)
    return [column.tolist() for column in found.between(0, found.duration)]


def _names(path: Path) -> Any:
    from lavadl_ref.slayer.object_detection.dataset import PropheseeAutomotive

    (path.parent / "val").mkdir(exist_ok=True)
    (path.parent / "val" / "a_td.dat").touch()
    return sorted(PropheseeAutomotive(path.parent).idx_map.items())


def _labels(path: Path) -> Any:
    from lavadl_ref.slayer.object_detection.dataset import BDD

    root = path.parent / "root"
    home, pictures = root / "labels" / "box_track_20" / "val", root / "images" / "track" / "val" / path.stem
    pictures.mkdir(parents=True, exist_ok=True)
    if not home.is_symlink():
        home.parent.mkdir(parents=True, exist_ok=True)
        home.symlink_to(path.parent.resolve(), target_is_directory=True)
    (pictures / "f.png").write_bytes(png(4, 4))
    return BDD(root, size=(4, 4), seq_len=1)[0][1]


def _aedat(path: Path) -> Any:
    try:
        return _io("read_aedat")(path)
    except ModuleNotFoundError as error:  # a package that a damaged number asks for
        raise ValueError(str(error)) from None


def _heidelberg(path: Path) -> Any:
    from lavadl_ref.datasets import Heidelberg

    found = Heidelberg(path)
    return [
        column
        for index in range(len(found))
        for column in (found.event(index).x.tolist(), found.event(index).t.tolist())
    ]


def _gestures(path: Path) -> Any:
    from lavadl_ref.datasets.gesture import read_gestures

    return [list(row[1:]) for row in read_gestures(path, path)]


def _angles(path: Path) -> Any:
    from lavadl_ref.datasets.pilotnet import read_angles

    return [list(row) for row in read_angles(path)]


def _picture(path: Path) -> Any:
    from lavadl_ref.slayer.io._pillow import picture

    return np.asarray(picture(path, "of a test")).tolist()


HEADERS = {
    "an archive": npz(np.zeros((2, 4))),
    "claims terabytes": says("(1000000000000, 4)"),
    "claims more than there are numbers for": says(f"({10**30}, 4)"),
    "claims no bytes of endless rows": says(f"(0, {10**30})"),
    "claims empty elements": says("(1000000000000,)", "'<U0'"),
    "claims less than it has": says("(1, 3)"),
    "claims a negative length": says("(-1, 4)"),
    "is of objects": says("(1, 4)", "'|O'"),
    "is of arrays": says("(1,)", "('<f8', (4,))"),
    "has many axes": says(f"({'1,' * 64})"),
    "has no header": npy_with(b""),
    "has a header that is cut": npy_with(b"{'descr': '<f8', 'fortran"),
    "has a header of brackets": npy_with(b"(" * 5000),
    "has a header of signs": npy_with(b"-" * 9000),
    "has a header of something else": npy_with(b"[1, 2]"),
    "has a header that is no text": npy_with(b"\xff\xfe\x00" * 20),
    "claims a header of 4 GB": b"\x93NUMPY\2\0\xff\xff\xff\xff{}",
    "is of another version": b"\x93NUMPY\7\0" + npy(np.zeros((2, 4)))[8:],
    "is a pickle": b"\x80\4N.",
}

READERS = {
    "idx": Reader(
        "a.idx",
        idx(2, 3, data=b"abcdef"),
        _idx,
        {
            "goes on": idx(2, 3, data=b"abcdefg"),
            "of another type": idx(2, 3, kind=7, data=b"abcdef"),
            "claims petabytes": idx(2**32 - 1, 2**20, data=b"abcdef"),
            "claims endless nothing": idx(0, *[2**32 - 1] * 3),
            "has many axes": idx(*[1] * 64, data=b"a"),
            "compressed": gzip.compress(idx(2, 3, data=b"abcdef")),
        },
    ),
    "idx.gz": Reader(
        "a.idx.gz",
        gzip.compress(idx(2, 3, data=b"abcdef"), mtime=0),
        _idx,
        {
            "not compressed": idx(2, 3, data=b"abcdef"),
            "goes on": gzip.compress(idx(2, 3, data=b"abcdefg")),
            "claims petabytes": gzip.compress(idx(2**32 - 1, 2**20, data=b"abcdef")),
        },
        {
            "goes on for gigabytes": lambda: zeros_gz(idx(2, 3), 2**31),
            "has the gigabytes that it claims": lambda: zeros_gz(idx(2**31), 2**31),
            "claims more than it has": lambda: zeros_gz(idx(2**30), 2**20),
        },
    ),
    "1-D spikes": Reader("a.bs1", bytes(range(10)), _io("read_1d_spikes"), {"of 7 bytes": bytes(7)}, prefix=True),
    "2-D spikes": Reader("a.bs2", bytes(range(10)), _io("read_2d_spikes"), {"of 7 bytes": bytes(7)}, prefix=True),
    "NumPy spikes": Reader(
        "a.npy",
        npy(np.arange(8.0).reshape(2, 4)),
        _io("read_np_spikes"),
        HEADERS
        | {
            "has a negative channel": npy(np.full((2, 4), -1)),
            "has a column too many": npy(np.zeros((2, 5))),
            "has a fraction of a neuron": npy(np.full((2, 4), 0.5)),
            "has what is no number": npy(np.full((2, 4), np.nan)),
            "has an endless number": npy(np.full((2, 4), np.inf)),
            "has a number beyond 2^53": npy(np.full((2, 4), 2**64 - 1, np.uint64)),
            "is of text": npy(np.full((2, 4), "a")),
            "is of complex numbers": npy(np.zeros((2, 4), complex)),
        },
    ),
    "boxes": Reader(
        "a.npy",
        npy(BOXES),
        _boxes,
        HEADERS
        | {
            "has no fields": npy(np.zeros((2, 6))),
            "has two axes": npy(BOXES[None]),
            "has none": npy(BOXES[0]),
            "has class -1": boxes("class_id", -1, "<i8"),
            "has class 2^32": boxes("class_id", 2**32, "<i8"),
            "has class 2^32 as a small float": boxes("class_id", 2**32, "<f4"),
            "has class 1.5": boxes("class_id", 1.5, "<f8"),
            "has class nan": boxes("class_id", np.nan, "<f4"),
            "has a class of text": boxes("class_id", "car", "<U3"),
            "has a time below 0": boxes("ts", -1, "<i8"),
            "has a time of 2^63": boxes("ts", 2**63, "<u8"),
            "has a time of inf": boxes("ts", np.inf, "<f8"),
            "has x nan": boxes("x", np.nan, "<f4"),
            "has x beyond float32": boxes("x", 1e300, "<f8"),
            "has complex x": boxes("x", 1j, "<c8"),
        },
    ),
    "events": Reader(
        "a_td.dat",
        DAT,
        _events,
        {
            "has no size": DAT.replace(b"% Height 4\n", b""),
            "has height -4": DAT.replace(b"Height 4", b"Height -4"),
            "has height 0": DAT.replace(b"Height 4", b"Height 0"),
            "has an endless height": DAT.replace(b"Height 4", b"Height " + b"9" * 400),
            "has a height beyond its bits": DAT.replace(b"Height 4", b"Height 16385"),
            "has a sensor of 16384x16384": DAT.replace(b"Height 4", b"Height 16384").replace(
                b"Width 6", b"Width 16384"
            ),
            "has a smaller sensor": DAT.replace(b"Width 6", b"Width 3"),
            "goes back in time": DAT[:-16] + DAT[-8:] + DAT[-16:-8],
            "has an endless header": b"%" * 2**17,
            "has many lines": b"% a 1\n" * 2**14,
        },
        prefix=True,
    ),
    "AEDAT 3.1": Reader(
        "a.aedat",
        aedat3(packet3(ROWS[:2]), packet3([(0, 0, 0, 0)], kind=0), packet3(ROWS[2:])),
        _aedat,
        {
            "is of version 2": aedat3(packet3(ROWS)).replace(b"DAT3.1", b"DAT2.0"),
            "claims more events than it has": aedat3(packet3(ROWS, capacity=9, number=9, valid=9)),
            "claims gigabytes": aedat3(packet3(ROWS, capacity=2**31 - 1, number=2**31 - 1)),
            "claims a negative number": aedat3(packet3(ROWS, number=-1)),
            "claims more events than room": aedat3(packet3(ROWS, capacity=1)),
            "has events of no bytes": aedat3(packet3(ROWS, size=0)),
            "has events of 4 bytes": aedat3(packet3(ROWS, size=4)),
            "has a time below 0": aedat3(packet3([(0, 0, 0, -1)])),
            "has an endless line": b"#!AER-DAT3.1\r\n#" + b"x" * 2**17,
        },
        prefix=True,
    ),
    "AEDAT 4.0": Reader(
        "a.aedat4",
        aedat4(packet4(ROWS[:2]), packet4(ROWS[2:])),
        _aedat,
        {
            "claims more events than it has": aedat4(packet4(ROWS, count=4)),
            "claims gigabytes": aedat4(packet4(ROWS, count=2**32 - 1)),
            "has a negative place": aedat4(packet4([(-1, 0, 0, 7)])),
            "has another compression": aedat4(packet4(ROWS), compression=9),
            "has a header of something else": aedat4().replace(b"IOHE", b"EVTS"),
            "leads out of its header": aedat4().replace(b"IOHE\x08", b"IOHE\xff"),
            "has an endless packet": aedat4(struct.pack("<ii", 0, 2**31 - 1)),
            "has a negative packet": aedat4(struct.pack("<ii", 0, -1)),
        },
        prefix=True,
    ),
    "SHD": Reader(
        "a.h5",
        heidelberg([([0.5, 0.25], [3, 699]), ([], []), ([1.0], [0])]),
        _heidelberg,
        {
            "is compressed": gzip.compress(heidelberg([([0.5], [3])])),
            "has a unit beyond 699": heidelberg([([0.5], [700])]),
            "has a unit below 0": heidelberg([([0.5], [-1])], units="i4"),
            "has units that are none": heidelberg([([0.5], [0.5])], units="f4"),
            "has a time below 0": heidelberg([([-0.5], [3])]),
            "has a time that is none": heidelberg([([np.nan], [3])]),
            "has more times than units": heidelberg([([0.5, 0.5], [3])]),
        },
    ),
    "gestures": Reader(
        "a_labels.csv",
        b"class,startTime_usec,endTime_usec\n1,5,9\n11,9,20\n",
        _gestures,
        {
            "has other columns": b"class,start,end\n1,5,9\n",
            "has class 0": b"class,startTime_usec,endTime_usec\n0,5,9\n",
            "has class 12": b"class,startTime_usec,endTime_usec\n12,5,9\n",
            "ends before it starts": b"class,startTime_usec,endTime_usec\n1,9,5\n",
            "has a cell that is no number": b"class,startTime_usec,endTime_usec\n1,x,5\n",
            "has an endless number": b"class,startTime_usec,endTime_usec\n1,1," + b"9" * 5000,
            "has a column too many": b"class,startTime_usec,endTime_usec\n1,1,5,7\n",
        },
        prefix=True,
    ),
    "names of classes": Reader(
        "label_map_dictionary.json",
        b'{"0": "car", "4": "bus"}',
        _names,
        {
            "is a list": b"[]",
            "is a number": b"4",
            "has a negative number": b'{"-1": "car"}',
            "has a number that is none": b'{"x": "car"}',
            "has an endless number": b'{"' + b"9" * 5000 + b'": "car"}',
            "has a number twice": b'{"0": "car", "00": "bus"}',
            "has a name that is none": b'{"0": 3}',
            "nested": b"[" * 100_000,
            "no UTF-8": b'{"0": "\xff"}',
        },
    ),
    "labels of a video": Reader(
        "a.json",
        json.dumps(FRAMES).encode(),
        _labels,
        {
            "is a dictionary": b"{}",
            "has no frames": b"[]",
            "has a frame that is none": b"[3]",
            "has no name": changed("0/name", None),
            "leaves the folder": changed("0/name", "../f.png"),
            "names nothing": changed("0/name", ""),
            "has labels that are none": changed("0/labels", 3),
            "has a label that is none": changed("0/labels/0", 3),
            "has a category that is none": changed("0/labels/0/category", 3),
            "has no box": changed("0/labels/0/box2d", None),
            "has a box that is none": changed("0/labels/0/box2d", [1, 2, 3, 4]),
            "has a side that is none": changed("0/labels/0/box2d/x1", "1"),
            "has an endless side": changed("0/labels/0/box2d/x1", 10**400),
            "has an infinite side": json.dumps(FRAMES).replace('"x1": 1', '"x1": Infinity').encode(),
            "has a side beyond float": json.dumps(FRAMES).replace('"x1": 1', '"x1": 1e999').encode(),
            "has too many digits": json.dumps(FRAMES).replace('"x1": 1', '"x1": 1' + "0" * 9999).encode(),
            "nested": b"[" * 100_000,
        },
        {"has gigabytes": lambda: b"[" + b"0," * 2**24 + b"0]"},
    ),
    "angles": Reader(
        "data.txt",
        b"0.jpg 1.5\n1.jpg -2,2018-07-01 17:09:44\n",
        _angles,
        {
            "has no angle": b"0.jpg\n",
            "has an angle that is none": b"0.jpg x\n",
            "has an endless angle": b"0.jpg inf\n",
            "no UTF-8": b"\xff\xfe 1\n",
        },
        {"has gigabytes": lambda: b"0.jpg 1\n" * 2**22},
        prefix=True,
    ),
    "picture": Reader(
        "a.png",
        png(3, 2),
        _picture,
        {
            "is of another format": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n",
            "claims more than it has": png(40, 40, zlib.compress(bytes(8))),
            "has no pixels": png(3, 2, b""),
            "claims 65535x65535": png(65535, 65535, zlib.compress(bytes(8))),
            "claims 10000x10000": png(10000, 10000, zlib.compress(bytes(8))),
            "claims 2^31 columns": png(2**31 - 1, 1, zlib.compress(bytes(8))),
            "is a jpeg that claims 65500x65500": jpeg(65500, 65500),
        },
        {
            "has the gigabyte that it claims": lambda: png(2**15, 2**15),
            "has 80 million pixels": lambda: png(9000, 9000),
        },
    ),
}


#: Of every reader.
ANYTHING = {"empty": b"", "of zeros": bytes(1003), "of bytes": bytes(range(256)) * 4 + bytes(3), "of text": b"hello\n"}


def bombs(folder: Path) -> dict[str, str]:
    """The error of each reader for each of its bombs."""
    said = {}
    for name, reader in READERS.items():
        for kind, make in reader.bombs.items():
            home = folder / name / kind
            home.mkdir(parents=True)
            (home / reader.name).write_bytes(make())
    for reader in READERS.values():
        reader.read(_good(folder, reader))  # what is imported late
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + LIMIT, taken + LIMIT))
    for name, reader in READERS.items():
        for kind in reader.bombs:
            try:
                reader.read(folder / name / kind / reader.name)
                said[f"{name} {kind}"] = "taken"
            except Exception as error:
                said[f"{name} {kind}"] = f"{type(error).__name__}: {error}"
    return said


def _good(folder: Path, reader: Reader) -> Path:
    home = folder / "good" / reader.name
    home.mkdir(parents=True, exist_ok=True)
    (home / reader.name).write_bytes(reader.good)
    return home / reader.name


if __name__ == "__main__":
    print(json.dumps(bombs(Path(sys.argv[1]))))
