"""Recordings in AEDAT and HDF5: what small writers write comes back, and data sets are made of it."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lavadl_ref.datasets import DVSGesture, Heidelberg
from lavadl_ref.slayer import io
from lavadl_ref.slayer.io import aedat
from tests.support.bad_files import ROWS, aedat3, aedat4, heidelberg, packet3, packet4

coordinates = st.integers(0, 2**15 - 1)


def recordings(times):
    """Packets of events (x, y, polarity, microseconds)."""
    rows = st.lists(st.tuples(coordinates, coordinates, st.integers(0, 1), times), max_size=5)
    return st.lists(rows, max_size=4)


def read(tmp_path_factory, content):
    """The columns of a file, as rows."""
    path = tmp_path_factory.getbasetemp() / "recording.aedat"
    path.write_bytes(content)
    return [tuple(row) for row in zip(*(column.tolist() for column in aedat.columns(path)), strict=True)]


@given(packets=recordings(st.integers(0, 2**31 - 1)), overflow=st.integers(0, 2**20), invalid=st.booleans())
def test_events_of_aedat_3_come_back(tmp_path_factory, packets, overflow, invalid):
    content = [packet3(rows, overflow) for rows in packets]
    content += [packet3(ROWS, valid=False)] * invalid + [packet3(ROWS, kind=2)]
    found = read(tmp_path_factory, aedat3(*content))
    assert found == [(x, y, p, t + overflow * 2**31) for rows in packets for x, y, p, t in rows]


@given(packets=recordings(st.integers(-(2**40), 2**60)), table=st.binary(max_size=9))
def test_events_of_aedat_4_come_back(tmp_path_factory, packets, table):
    content = aedat4(*map(packet4, packets), table=table)
    assert read(tmp_path_factory, content) == [row for rows in packets for row in rows]


def test_times_count_from_the_earliest_event(tmp_path):
    for name, content in (("a.aedat", aedat3(packet3(ROWS, 3))), ("a.aedat4", aedat4(packet4(ROWS)))):
        (tmp_path / name).write_bytes(content)
        event = io.read_aedat(tmp_path / name)
        assert (event.x.tolist(), event.y.tolist(), event.c.tolist()) == ([1, 127, 3], [2, 0, 3], [0, 1, 1])
        assert event.t.tolist() == [0, 0.002, 0.002]
    (tmp_path / "none.aedat4").write_bytes(aedat4())
    assert len(io.read_aedat(tmp_path / "none.aedat4").x) == 0


@pytest.mark.parametrize(("kind", "package"), [(1, "lz4"), (2, "lz4"), (3, "zstandard"), (4, "zstandard")])
def test_a_compressed_recording_names_the_package_that_it_needs(tmp_path, monkeypatch, kind, package):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setitem(sys.modules, "lz4.frame", None)
    (tmp_path / "a.aedat4").write_bytes(aedat4(packet4(ROWS), compression=kind))
    with pytest.raises(
        ModuleNotFoundError, match=rf"a\.aedat4 is compressed: .* {package}, .*: pip install {package}$"
    ):
        io.read_aedat(tmp_path / "a.aedat4")


def stand_in(package, grows=1):
    """A package that undoes a compression of which only the first byte is another."""

    def undone(data, most):
        if data[:1] != b"~":
            raise RuntimeError("no frame")
        return (data[1:] * grows)[:most]

    if package == "lz4":
        reader = SimpleNamespace(decompress=lambda data, max_length: undone(data, max_length))
        return SimpleNamespace(LZ4FrameDecompressor=lambda: reader)
    stream = lambda data: SimpleNamespace(read=lambda most: undone(data, most))  # noqa: E731
    return SimpleNamespace(ZstdDecompressor=lambda max_window_size: SimpleNamespace(stream_reader=stream))


@pytest.mark.parametrize(("kind", "package", "module"), [(1, "lz4", "lz4.frame"), (3, "zstandard", "zstandard")])
def test_a_compressed_recording_is_read_within_bounds(tmp_path, monkeypatch, kind, package, module):
    path = tmp_path / "a.aedat4"
    monkeypatch.setitem(sys.modules, package, SimpleNamespace())
    monkeypatch.setitem(sys.modules, module, stand_in(package))
    path.write_bytes(aedat4(packet4(ROWS, pack=lambda body: b"~" + body), compression=kind))
    assert io.read_aedat(path).x.tolist() == [1, 127, 3]
    monkeypatch.setattr(aedat, "PACKET", 99)
    monkeypatch.setitem(sys.modules, module, stand_in(package, grows=9))
    with pytest.raises(ValueError, match="must have at most 99 bytes once it is not compressed, got more"):
        io.read_aedat(path)
    path.write_bytes(aedat4(packet4(ROWS), compression=kind))
    with pytest.raises(ValueError, match="a packet cannot be decompressed"):
        io.read_aedat(path)


def test_real_compressions_are_undone(tmp_path):
    done = 0
    for kind, module, pack in (
        (1, "lz4.frame", lambda package, body: package.compress(body)),
        (3, "zstandard", lambda package, body: package.ZstdCompressor().compress(body)),
    ):
        try:
            package = __import__(module, fromlist=["x"])
        except ModuleNotFoundError:
            continue
        done += 1
        content = aedat4(packet4(ROWS, pack=lambda body, p=package, do=pack: do(p, body)), compression=kind)
        (tmp_path / "a.aedat4").write_bytes(content)
        assert io.read_aedat(tmp_path / "a.aedat4").x.tolist() == [1, 127, 3]
    if not done:
        pytest.skip("needs the package lz4 or zstandard")


spoken = st.lists(
    st.lists(st.tuples(st.integers(0, 2**10).map(lambda n: n / 1024), st.integers(0, 699)), max_size=5),
    min_size=1,
    max_size=5,
)


@given(
    rows=spoken,
    types=st.tuples(st.sampled_from(("f2", "f4", "<f8", ">f4")), st.sampled_from(("u2", "i8"))),
    options=st.sampled_from(({}, {"chunks": (2,)}, {"chunks": (2,), "compression": "gzip", "shuffle": True})),
)
def test_recordings_of_shd_come_back(tmp_path_factory, rows, types, options):
    path = tmp_path_factory.getbasetemp() / "shd.h5"
    if len(rows) == 1:  # no chunk may be larger than its dataset
        options = {}
    path.write_bytes(heidelberg([([t for t, _ in row], [u for _, u in row]) for row in rows], *types, **options))
    data = Heidelberg(path, sampling_time=2, steps=600)
    assert data.labels.tolist() == list(range(len(rows)))
    for index, row in enumerate(rows):
        event = data.event(index)
        # half precision holds 11 bits: multiples of 1 / 1024 up to 1
        assert list(zip(event.t.tolist(), event.x.tolist(), strict=True)) == [(t * 1000, u) for t, u in row]
        spikes, label = data[index]
        expected = torch.zeros(700, 600)
        for t, u in row:
            expected[u, round(t * 500)] = 1
        assert label == index
        assert torch.equal(spikes, expected)


def test_recordings_of_which_the_places_are_compressed_come_back(tmp_path):
    path = tmp_path / "shd.h5"
    path.write_bytes(heidelberg([([0.5], [n]) for n in range(300)], chunks=(150,), compression="gzip", shuffle=True))
    data = Heidelberg(path)
    assert [data.event(index).x.tolist() for index in range(-300, 0)] == [[n] for n in range(300)]


def test_gestures_are_cut_from_their_recordings(tmp_path):
    events = [(1, 2, 0, 7_000), (127, 0, 1, 9_000), (3, 3, 1, 12_000), (5, 5, 1, 30_000)]
    for user in ("user01_led", "user02_lab"):
        (tmp_path / f"{user}.aedat").write_bytes(aedat3(packet3(events)))
        (tmp_path / f"{user}_labels.csv").write_text(
            "class,startTime_usec,endTime_usec\n3,7000,12000\n11,12000,30000\n"
        )
    (tmp_path / "trials_to_train.txt").write_text("user01_led.aedat\nuser02_lab.aedat\n\n")
    (tmp_path / "trials_to_test.txt").write_text("../user01_led.aedat\n")
    data = DVSGesture(tmp_path, steps=10)
    assert [data[index][1] for index in range(len(data))] == [2, 10, 2, 10]
    spikes = data[-4][0]
    assert spikes.shape == (2, 128, 128, 10)
    assert spikes.nonzero().tolist() == [[0, 2, 1, 0], [1, 0, 127, 2]]
    assert data[1][0].nonzero().tolist() == [[1, 3, 3, 0]]
    with pytest.raises(ValueError, match=r"must name \.aedat files in its folder, got '\.\./user01_led\.aedat'"):
        DVSGesture(tmp_path, train=False)
    (tmp_path / "user01_led.aedat").write_bytes(aedat3(packet3([(128, 0, 1, 8_000)])))
    with pytest.raises(ValueError, match="events must be on a 128x128 sensor, got x up to 128 and y up to 0"):
        DVSGesture(tmp_path, steps=10)[0]
    (tmp_path / "trials_to_train.txt").write_text("")
    with pytest.raises(ValueError, match="must name recordings with gestures, got none"):
        DVSGesture(tmp_path)


def test_a_recording_without_a_part_is_refused(tmp_path):
    import h5py

    for missing in ("spikes/times", "spikes/units", "labels"):
        path = tmp_path / "a.h5"
        path.write_bytes(heidelberg([([0.5], [3])]))
        with h5py.File(path, "r+") as file:
            del file[missing]
        with pytest.raises(ValueError, match=f"must have a dataset {missing}, got none"):
            Heidelberg(path)
    with h5py.File(path, "r+") as file:
        file["labels"] = np.array([-1])
    with pytest.raises(ValueError, match="labels: must be whole numbers from 0"):
        Heidelberg(path)
