"""Compiled kernels on disk: never mixed up, and whatever is wrong with files and folders ends no run."""

import errno
import os
import pickle
import re
import stat
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from lavadl_kernels.engine import eligibility, train
from lavadl_kernels.ops import delay
from lavadl_kernels.runtime import cache as _cache
from lavadl_kernels.runtime import cache_folders as _folders
from lavadl_kernels.runtime.cache import Files, KernelCacheWarning
from lavadl_kernels.runtime.cache_folders import CacheFolders

from tests import PATIENCE

KEY = ("a type", ("a machine",))


@pytest.fixture(autouse=True)
def unsaid(monkeypatch):
    """As in a new process, nothing was warned of."""
    monkeypatch.setattr(_cache, "_said", set())


def files(folder, stamp="stamp"):
    """The cache of one kernel, as each process has it."""
    return Files(CacheFolders((folder,), folder), "f", stamp)


def save(cache, *keys):
    for key in keys:
        cache.save(key, "code")


def only(folder):
    (path,) = folder.iterdir()
    return path


def test_each_key_has_its_own_content(tmp_path):
    first, second, reader = files(tmp_path), files(tmp_path), files(tmp_path)
    first.save("float", "code for float")
    second.save("int", "code for int")
    assert (reader.load("float"), reader.load("int"), reader.load("bool")) == ("code for float", "code for int", None)


def test_keys_of_one_name_are_told_apart(tmp_path):
    """Types may share a name: then the last one saved has the file, and the other is compiled again."""

    class Key(str):
        def __repr__(self):
            return "key"

    first, second = Key("first"), Key("second")
    cache = files(tmp_path)
    assert cache.file(first) == cache.file(second)
    cache.save(first, "first code")
    assert (cache.load(first), cache.load(second)) == ("first code", None)


def test_a_reader_never_sees_a_part_of_a_file(tmp_path, monkeypatch):
    moved, seen = os.replace, []

    def replace(*paths):
        seen.append(files(tmp_path).load(KEY))
        moved(*paths)

    monkeypatch.setattr(_cache.os, "replace", replace)
    files(tmp_path).save(KEY, "code")
    files(tmp_path).save(KEY, "newer code")
    assert seen == [None, "code"]
    assert files(tmp_path).load(KEY) == "newer code"


def test_an_edit_makes_all_files_stale(tmp_path):
    files(tmp_path).save("int", "old")
    edited = files(tmp_path, "another stamp")
    assert edited.load("int") is None
    edited.save("int", "new")
    assert files(tmp_path, "another stamp").load("int") == "new"
    assert files(tmp_path).load("int") is None
    assert only(tmp_path)


def test_another_numba_makes_all_files_stale(tmp_path, monkeypatch):
    files(tmp_path).save(KEY, "code")
    monkeypatch.setattr(_cache.numba, "__version__", "0.0")
    assert files(tmp_path).load(KEY) is None


def damages(data):
    """Damaged contents of a file that held `data`."""
    random = np.random.default_rng(0)
    yield from (data[:size] for size in range(len(data)))
    for position in range(len(data)):
        yield data[:position] + bytes([data[position] ^ 1 << position % 8]) + data[position + 1 :]
    yield from (random.bytes(size) for size in (1, 100, len(data)))
    yield bytes(len(data))
    yield pickle.dumps("something else")
    yield data + b"more"
    yield data + data


def test_a_damaged_file_counts_as_missing(tmp_path, monkeypatch):
    """Torn at each byte, a bit wrong in each byte, and other content: nothing of it is unpickled."""
    files(tmp_path).save(KEY, "code")
    path = only(tmp_path)
    whole = path.read_bytes()
    monkeypatch.setattr(_cache.pickle, "loads", lambda data: pytest.fail("unpickled"))
    for damaged in damages(whole):
        _cache._said.clear()
        path.write_bytes(damaged)
        with pytest.warns(KernelCacheWarning, match=f"{re.escape(str(path))}: damaged$") as caught:
            assert files(tmp_path).load(KEY) is None
        assert len(caught) == 1
    monkeypatch.undo()
    files(tmp_path).save(KEY, "code")
    assert path.read_bytes() == whole
    assert files(tmp_path).load(KEY) == "code"


@pytest.mark.parametrize("content", ["text", (1,), (1, 2, 3), 7])
def test_a_whole_file_of_something_else_counts_as_missing(tmp_path, content):
    files(tmp_path).save(KEY, "code")
    only(tmp_path).write_bytes(_cache._sealed(files(tmp_path).stamp, content))
    with pytest.warns(KernelCacheWarning):
        assert files(tmp_path).load(KEY) is None


def test_a_folder_in_the_place_of_a_cache_file_is_warned_of(tmp_path):
    files(tmp_path).save(KEY, "code")
    path = only(tmp_path)
    path.unlink()
    path.mkdir()
    with pytest.warns(KernelCacheWarning, match="Is a directory"):
        assert files(tmp_path).load(KEY) is None
    files(tmp_path).save(KEY, "code")
    assert files(tmp_path).load(KEY) == "code"


def test_a_folder_that_holds_something_is_not_removed(tmp_path):
    folder = tmp_path / files(tmp_path).file(KEY)
    folder.mkdir()
    (folder / "mine").touch()
    with pytest.warns(KernelCacheWarning, match="not empty"):
        files(tmp_path).save(KEY, "code")
    assert (folder / "mine").exists()


def test_several_damaged_files_are_one_warning(tmp_path):
    for number in range(5):
        (tmp_path / files(tmp_path).file(number)).touch()
    with pytest.warns(KernelCacheWarning) as caught:
        assert [files(tmp_path).load(number) for number in range(5)] == [None] * 5
    assert len(caught) == 1


def fails(number):
    def fail(*arguments, **named):
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO])
@pytest.mark.parametrize("step", ["open", "write", "replace", "listdir"])
def test_a_disk_that_takes_nothing_is_warned_of(tmp_path, monkeypatch, number, step):
    files(tmp_path).save("other", "code")
    if step == "open":
        monkeypatch.setattr("builtins.open", fails(number))
    elif step == "write":
        usual = open

        def opened(path, mode):
            file = usual(path, mode)
            return type(
                "Full", (), {"write": fails(number), "__enter__": lambda s: s, "__exit__": lambda s, *a: file.close()}
            )()

        monkeypatch.setattr("builtins.open", opened)
    else:
        monkeypatch.setattr(_cache.os, step, fails(number))
    with pytest.warns(
        KernelCacheWarning, match=re.escape(f"{tmp_path}, and are compiled again: {os.strerror(number)}")
    ) as caught:
        save(files(tmp_path), *range(3))
    assert len(caught) == 1
    monkeypatch.undo()
    assert only(tmp_path).name == files(tmp_path).file("other")


def test_the_leftovers_of_a_killed_process_are_removed(tmp_path):
    cache = files(tmp_path)
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    (tmp_path / f"{cache.file(KEY)}.{ended.pid}.00ff.part").touch()
    (tmp_path / f"{cache.file(KEY)}.{os.getppid()}.00ff.part").touch()
    cache.save(KEY, "code")
    assert {path.name for path in tmp_path.iterdir()} == {
        cache.file(KEY),
        f"{cache.file(KEY)}.{os.getppid()}.00ff.part",
    }


# Folders


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A package, a home, a folder for temporary files, each of which can be a file instead."""
    package, home, temporary = tmp_path / "package", tmp_path / "home", tmp_path / "temporary"
    for folder in (package, home, temporary):
        folder.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(_folders.config, "CACHE_DIR", "")
    monkeypatch.setattr(_folders.tempfile, "tempdir", str(temporary))
    _folders._cache_folders.cache_clear()
    yield tmp_path
    _folders._cache_folders.cache_clear()


def spoil(folder):
    """Make that nothing can be written below `folder`, not even by root: it becomes a file."""
    folder.rmdir()
    folder.touch()


def test_the_folder_of_the_package_comes_first(home):
    assert _folders.cache_folders(home / "package") == CacheFolders(
        (home / "package" / "__pycache__",), home / "package" / "__pycache__"
    )


def test_a_named_folder_is_the_only_one(home, monkeypatch):
    monkeypatch.setattr(_folders.config, "CACHE_DIR", str(home / "not yet" / "there"))
    found = _folders.cache_folders(home / "package")
    assert found.read == (found.write,)
    assert found.write.parent == home / "not yet" / "there"
    assert not found.passed_over


def test_a_named_folder_that_cannot_be_used_is_told(home, monkeypatch):
    (home / "file").touch()
    monkeypatch.setattr(_folders.config, "CACHE_DIR", str(home / "file"))
    found = _folders.cache_folders(home / "package")
    assert found.write == home / "package" / "__pycache__"
    with pytest.warns(
        KernelCacheWarning, match=r"are kept in .*/__pycache__: NUMBA_CACHE_DIR: cannot write to .*/file/.*: Not a"
    ):
        Files(found, "f", "stamp").save(KEY, "code")
    assert Files(found, "f", "stamp").load(KEY) == "code"


def test_the_folder_of_the_user_is_taken_without_a_warning(home):
    spoil(home / "package")
    found = _folders.cache_folders(home / "package")
    assert found.write.parent == home / "home" / ".cache" / "numba"
    assert not found.passed_over


def test_kernels_in_a_folder_that_cannot_be_written_are_read(home, monkeypatch):
    own = home / "package" / "__pycache__"
    files(_folders.cache_folders(home / "package").write).save(KEY, "code")
    _folders._cache_folders.cache_clear()
    usual = _folders._unusable
    monkeypatch.setattr(_folders, "_unusable", lambda place: "read-only" if place == own else usual(place))
    found = _folders.cache_folders(home / "package")
    assert found.read == (own, found.write)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Files(found, "f", "stamp").load(KEY) == "code"


@pytest.mark.parametrize("home_is", ["a file", "missing", "unset", "relative"])
def test_the_cache_without_a_home_is_a_temporary_folder(home, monkeypatch, home_is):
    spoil(home / "package")
    spoil(home / "home")
    if home_is == "unset":
        monkeypatch.delenv("HOME")
        # as for a number of a user that has no entry
        monkeypatch.setattr(_folders.os.path, "expanduser", lambda path: path)
    elif home_is != "a file":
        monkeypatch.setenv("HOME", {"missing": str(home / "home" / "of nobody"), "relative": "here"}[home_is])
    found = _folders.cache_folders(home / "package")
    private = home / "temporary" / f"lavadl_kernels-{os.getuid()}"
    assert found.write.parent == private
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    with pytest.warns(KernelCacheWarning, match="^compiled kernels are kept in ") as caught:
        save(Files(found, "f", "stamp"), KEY, "another")
    assert len(caught) == 1
    _folders._cache_folders.cache_clear()
    assert Files(_folders.cache_folders(home / "package"), "f", "stamp").load(KEY) == "code"


def test_two_copies_of_the_package_have_folders_of_their_own(home):
    spoil(home / "package")
    (home / "other").mkdir()
    (home / "other" / "package").touch()
    assert _folders.cache_folders(home / "package").write != _folders.cache_folders(home / "other" / "package").write


def of_someone_else(folder, monkeypatch):
    folder.mkdir(mode=0o700)
    usual = Path.lstat

    def lstat(path):
        found = usual(path)
        if path != folder:
            return found
        return os.stat_result([*found[:4], os.getuid() + 1, *found[5:]])

    monkeypatch.setattr(Path, "lstat", lstat)


def open_to_others(folder, monkeypatch):
    folder.mkdir()
    folder.chmod(0o770)


def linked(folder, monkeypatch):
    (folder.parent / "elsewhere").mkdir(mode=0o700)
    folder.symlink_to(folder.parent / "elsewhere")


def where_others_may_replace_it(folder, monkeypatch):
    folder.parent.chmod(0o777)


@pytest.mark.parametrize("prepare", [of_someone_else, open_to_others, linked, where_others_may_replace_it])
def test_a_temporary_folder_that_others_can_write_to_is_not_trusted(home, monkeypatch, prepare):
    spoil(home / "package")
    spoil(home / "home")
    prepare(home / "temporary" / f"lavadl_kernels-{os.getuid()}", monkeypatch)
    found = _folders.cache_folders(home / "package")
    assert found.write is None
    assert not any("temporary" in place.parts for place in found.read)
    assert found.passed_over.endswith("is not a folder that only this user can write to")


def test_a_cache_without_a_folder_keeps_nothing(home):
    for folder in ("package", "home", "temporary"):
        spoil(home / folder)
    found = _folders.cache_folders(home / "package")
    assert found.write is None
    with pytest.warns(
        KernelCacheWarning, match="cannot be kept, every process compiles them again: cannot write"
    ) as caught:
        save(Files(found, "f", "stamp"), *range(3))
    assert len(caught) == 1
    assert Files(found, "f", "stamp").load(0) is None


def test_a_missing_temporary_folder_is_passed_over(home, monkeypatch):
    spoil(home / "package")
    spoil(home / "home")
    monkeypatch.setattr(_folders.tempfile, "gettempdir", fails(errno.ENOENT))
    assert _folders.cache_folders(home / "package").passed_over.endswith("; No such file or directory")


# A real kernel


SCRIPT = """
import numpy as np
from lavadl_kernels.engine import eligibility, train
from lavadl_kernels.ops import delay
assert delay.forward(np.ones((3, 2), np.float32), np.array([0, 1])).tolist() == [[1, 0], [1, 1], [1, 1]]
print(delay._shift.compiled.stats.cache_misses.total(), delay._shift.compiled.stats.cache_path)
"""


def run(cache):
    """The number of times that a new process compiled the kernel, the folder with its code, and its standard error."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache)},
        capture_output=True, text=True, timeout=PATIENCE, check=True,
    )  # fmt: skip
    count, _, folder = done.stdout.strip().partition(" ")
    return int(count), Path(folder), done.stderr


def test_a_kernel_whose_file_is_damaged_is_compiled_again_and_kept(tmp_path):
    count, folder, said = run(tmp_path)
    assert (count, said) == (1, "")
    (path,) = folder.iterdir()
    assert run(tmp_path)[::2] == (0, "")
    # of what is whole but no machine code LLVM and numba are asked
    stamp = delay._shift.compiled._cache.files.stamp
    key, content = _cache._opened(path.read_bytes(), stamp)
    for wrong in (path.read_bytes()[:1000], _cache._sealed(stamp, (key, (*content[:1], *content[2:])))):
        path.write_bytes(wrong)
        count, _, said = run(tmp_path)
        (line,) = said.splitlines()
        assert count == 1
        assert line.startswith("<lavadl_kernels>:1: KernelCacheWarning: compiled kernels on disk are of no use")
        assert run(tmp_path)[::2] == (0, "")


def test_kernels_use_this_cache():
    for compiled in (delay._shift.compiled, delay._shift._launch):
        assert isinstance(compiled._cache, _cache.KernelCache)
    delay._shift.compiled.recompile()  # forgets nothing on disk


#: Runs the families that are named, in this order, and prints the number of spikes of each.
RUN = """
import sys
import numpy as np
from lavadl_kernels.engine import train
from lavadl_kernels.neurons import FAMILIES

x = tuple(np.random.default_rng(0).normal(size=(24, 12)).astype(np.float32) for _ in range(2))
for name in sys.argv[1:]:
    layer = FAMILIES[name].parameters(np.array([500, 3500]), 2048)
    print(int(train.forward(layer, x, np.zeros((2, 12), np.int64), traces=True).spike.sum()))
"""


def test_a_third_process_keeps_apart_what_two_have_compiled(tmp_path):
    """Two families have helpers of one name, one count and one type in processes that do the same up to them."""

    def spikes(*names):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", RUN, *names],
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}, capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return [int(line) for line in done.stdout.split()]

    first, second = spikes("RF_PHASE"), spikes("RF_IZHIKEVICH")
    assert first != second
    assert spikes("RF_PHASE", "RF_IZHIKEVICH") == first + second
    assert spikes("RF_IZHIKEVICH", "RF_PHASE") == second + first


def test_functions_that_are_made_for_families_bear_names_of_their_own():
    made = []
    for table in (train._ADVANCE, eligibility._ADVANCE, eligibility._ADVANCE_DECAYS, eligibility._AFTER_SPIKES):
        for function in table.values():
            inner = [value for key, value in function.__globals__.items() if key in ("lanes", "spikes")]
            made += [function.__qualname__, *(getattr(one, "py_func", one).__qualname__ for one in inner)]
    assert len(made) > 40
    assert len(made) == len(set(made))
