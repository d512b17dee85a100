"""No file makes a reader fail otherwise than in one line that names it, or take memory without end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tracemalloc
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch")
pytest.importorskip("PIL.Image")

from lavadl_ref import _files
from tests import PATIENCE
from tests.support.bad_files import ANYTHING, READERS

MOST = 32 * 2**20  #: bytes that reading a small file may take

readers = pytest.mark.parametrize("name", READERS)


@pytest.fixture(scope="module", autouse=True)
def imported(tmp_path_factory):
    """Import the modules that readers import late, so that their memory is not counted as a reader's."""
    for reader in READERS.values():
        path = tmp_path_factory.mktemp("good") / reader.name
        path.write_bytes(reader.good)
        reader.read(path)


def attempt(reader, path):
    """The content of a file, or the one line that refuses it; fails if there are more, or memory was taken for it."""
    tracemalloc.start()
    try:
        return reader.read(path), ""
    except (OSError, ValueError) as error:
        caught = error
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < MOST
    said = str(caught)
    assert type(caught) is ValueError or isinstance(caught, OSError), repr(caught)
    # a list of files may name others that are missing
    assert path.name in said or "no such file" in said, said
    assert "\n" not in said, said
    assert not said.startswith("[Errno"), said
    assert len(said) < len(str(path)) + 400, said
    return None, said


def refused(reader, path):
    found, said = attempt(reader, path)
    assert said, f"taken as {found}"
    return said


@readers
def test_a_good_file_is_read(tmp_path, name):
    reader = READERS[name]
    path = tmp_path / reader.name
    path.write_bytes(reader.good)
    found, said = attempt(reader, path)
    assert found, said


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name, reader in READERS.items() for kind in reader.bad])
def test_a_bad_file_of_a_data_set_is_refused(tmp_path, name, kind):
    reader = READERS[name]
    path = tmp_path / reader.name
    path.write_bytes(reader.bad[kind])
    refused(reader, path)


@readers
@pytest.mark.parametrize("kind", ANYTHING)
def test_something_else_is_refused(tmp_path, name, kind):
    reader = READERS[name]
    path = tmp_path / reader.name
    path.write_bytes(ANYTHING[kind])
    if kind == "empty" and reader.prefix and name not in ("events", "AEDAT 3.1", "AEDAT 4.0", "gestures"):
        assert not any(attempt(reader, path)[0])
    else:
        refused(reader, path)


@readers
def test_what_is_no_file_is_refused(tmp_path, name):
    reader = READERS[name]
    path = tmp_path / reader.name
    if name != "labels of a video":  # which lists what there is
        assert "there is no such file" in refused(reader, path)
        os.mkfifo(path)
        assert "no regular file" in refused(reader, path)
        path.unlink()
    path.mkdir()
    assert "this is a folder" in refused(reader, path)


@readers
def test_a_file_without_permission_is_refused(tmp_path, name, monkeypatch):
    reader = READERS[name]
    path = tmp_path / reader.name
    path.write_bytes(reader.good)
    reader.read(path)

    def forbidden(file, *rest, **options):
        raise PermissionError(13, "Permission denied", os.fspath(file))

    monkeypatch.setattr(_files, "open", forbidden, raising=False)
    with pytest.raises(PermissionError, match=rf"{path.name}: Permission denied$"):
        reader.read(path)


@readers
def test_a_file_cut_short_is_refused_or_the_beginning(tmp_path, name):
    reader = READERS[name]
    path = tmp_path / reader.name
    path.write_bytes(reader.good)
    whole = reader.read(path)
    for length in range(0, len(reader.good), 1 + len(reader.good) // 2000):
        path.write_bytes(reader.good[:length])
        found, said = attempt(reader, path)
        if reader.prefix and not said:
            # columns, or rows, that begin as those of the whole; the last number of a text may be cut
            cut = name in ("angles", "gestures")
            rows = [(found[:-1], whole[: len(found[:-1])])] if cut else zip(found, whole, strict=False)
            assert all(part == full if not isinstance(part, list) else part == full[: len(part)] for part, full in rows)
        else:
            # what is missing may mean nothing, such as the end of a picture's last chunk
            assert said or (found == whole and name == "picture"), length


@st.composite
def mutants(draw, good):
    """A file with a few bytes, or windows, that are others."""
    content = bytearray(good)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(content)))
        window = draw(st.sampled_from((1, 2, 4, 8)))
        kind = draw(st.sampled_from(("flip", "set", "cut", "repeat", "insert")))
        if kind == "flip" and at < len(content):
            content[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "set":
            number = draw(st.sampled_from((0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)))
            order = draw(st.sampled_from(("little", "big")))
            content[at : at + window] = (number % 256**window).to_bytes(window, order)
        elif kind == "cut":
            del content[at : at + window]
        elif kind == "repeat":
            content[at:at] = content[at : at + window] * draw(st.sampled_from((1, 50)))
        else:
            content[at:at] = draw(st.binary(min_size=1, max_size=8))
    return bytes(content)


@readers
@given(data=st.data())
def test_a_damaged_file_is_refused_in_one_line_or_read_within_bounds(tmp_path_factory, name, data):
    reader = READERS[name]
    path = tmp_path_factory.getbasetemp() / "mutants" / name / reader.name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.draw(mutants(reader.good)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy's, of headers as Python 2 wrote them
        attempt(reader, path)


@given(content=mutants(READERS["NumPy spikes"].good))
def test_an_array_is_what_numpy_reads(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "mutant.npy"
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = _files.array(path)
        except ValueError:
            return
        expected = np.load(path, allow_pickle=False)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "array",
    [np.arange(6).reshape(2, 3), np.asfortranarray(np.arange(6).reshape(2, 3)), np.float32(3), np.zeros((0, 3), ">i2")],
)
def test_arrays_come_back(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    found = _files.array(tmp_path / "a.npy")
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(found, array)
    found[...] = 1  # it is the caller's


def test_bombs_take_little_memory(tmp_path):
    run = subprocess.run(
        [sys.executable, "-m", "tests.support.bad_files", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert run.returncode == 0, run.stderr
    said = json.loads(run.stdout)
    assert len(said) == sum(len(reader.bombs) for reader in READERS.values())
    names = {reader.name for reader in READERS.values()}
    for bomb, line in said.items():
        assert line.startswith("ValueError: "), (bomb, line)
        assert "MemoryError" not in line, bomb
        assert any(name in line for name in names), (bomb, line)
        assert "\n" not in line
