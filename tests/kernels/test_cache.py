"""Compiled kernels on disk are not mixed up by processes that compile together."""

import threading
from types import SimpleNamespace

import pytest
from lavadl_kernels import _cache, delay
from numba.core.caching import IndexDataCacheFile


def files(folder, stamp):
    """The cache of one function, in as many processes as wanted."""
    while True:
        compiled = SimpleNamespace(_cache=SimpleNamespace(_cache_file=IndexDataCacheFile(str(folder), "f", "numba's")))
        _cache.share(compiled, stamp)
        yield compiled._cache._cache_file


@pytest.fixture
def processes(tmp_path):
    return files(tmp_path, "stamp")


def test_two_signatures_saved_together_keep_their_code(processes, monkeypatch):
    first, second, reader = (next(processes) for _ in range(3))
    begun, written = threading.Event(), first._save_data

    def slow(name, data):
        begun.set()
        other.join(0.5)  # the other would be done by now if it did not wait
        written(name, data)

    monkeypatch.setattr(first, "_save_data", slow)
    other = threading.Thread(target=lambda: (begun.wait(), second.save("int", "code for int")))
    other.start()
    first.save("float", "code for float")
    other.join()
    assert reader.load("float") == "code for float"
    assert reader.load("int") == "code for int"


def test_a_reader_never_sees_the_index_before_the_code(processes, monkeypatch):
    writer, reader = next(processes), next(processes)
    written = writer._save_data
    monkeypatch.setattr(writer, "_save_data", lambda *a: (seen.append(reader.load("int")), written(*a)))
    seen = []
    writer.save("int", "code")
    assert seen == [None]
    assert reader.load("int") == "code"


def test_an_edit_makes_all_of_it_stale(processes, tmp_path):
    next(processes).save("int", "old")
    edited = files(tmp_path, "another stamp")
    assert next(edited).load("int") is None
    next(edited).save("int", "new")
    assert next(edited).load("int") == "new"
    assert next(processes).load("int") is None


def test_where_there_are_no_locks_it_still_writes(processes, monkeypatch):
    def refuse(*arguments):
        raise OSError("no locks here")

    monkeypatch.setattr(_cache.fcntl, "flock", refuse)
    next(processes).save("int", "code")
    assert next(processes).load("int") == "code"


def test_kernels_share_their_cache_so():
    assert delay._shift.compiled._cache._cache_file.save.func is _cache._save
