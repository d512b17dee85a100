"""Writing to disks that are full: an error of one line that names the file, and what was there stays."""

from __future__ import annotations

import ast
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

import lavadl_ref
from lavadl_ref.exchange import atomic
from lavadl_ref.testing import vectors
from tests import PATIENCE

#: What writes a file in one call, by its last name.
WRITERS = {"savefig", "print_png", "write_text", "write_bytes", "save", "savez", "savetxt", "tofile", "imsave", "dump"}
#: Files that need not be complete at any moment, with the reason.
ALLOWED = {
    "exchange/atomic.py": "what all others go through",
    "netx/run/runtime.py": "a temporary folder",
    "netx/run/_worker.py": "a temporary folder",
    "netx/online/models.py": "a temporary folder",
    "testing/fuzz/_graphs.py": "a temporary folder",
    "testing/fuzz/_processes.py": "a temporary folder",
    "testing/fuzz/_victim.py": "a file of the system",
    "testing/vectors/__init__.py": "inside a folder that appears as a whole",
    "slayer/io/files.py": "events are written by NumPy to whatever takes them",
}


def writes(source):
    """The lines of calls that write a file past `atomic`."""
    tree = ast.parse(source)
    buffers = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and ast.unparse(node.value) == "io.BytesIO()"
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        name = called.rpartition(".")[2]
        if name == "open":
            modes = [word.value for word in ast.walk(node) if isinstance(word, ast.Constant)]
            if any(isinstance(mode, str) and len(mode) <= 3 and set(mode) & set("wax+") for mode in modes):
                yield node.lineno
        elif name in WRITERS and called != "atomic.write_bytes":
            given = {argument.id for argument in node.args if isinstance(argument, ast.Name)}
            if "." in called and not given & buffers:
                yield node.lineno


PACKAGE = Path(lavadl_ref.__file__).parent


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_file_is_written_through_one_place(path):
    if str(path.relative_to(PACKAGE)) not in ALLOWED:
        assert list(writes(path.read_text())) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("open(name, 'w')", True),
        ("path.open(mode='ab')", True),
        ("open(name, 'rb')", False),
        ("open(name)", False),
        ("figure.savefig(path)", True),
        ("buffer = io.BytesIO()\nfigure.savefig(buffer)", False),
        ("path.write_text('')", True),
        ("atomic.write_bytes(path, b'')", False),
        ("torch.save(net.state_dict(), path)", True),
    ],
)
def test_writers_are_seen(source, found):
    assert bool(list(writes(source))) == found


def content(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def fill(monkeypatch, after):
    """Let the disk be full after so many files were brought to it."""
    left, usual = [after], os.fsync

    def fsync(descriptor):
        if not left[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        left[0] -= 1
        usual(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.parametrize("after", [0, 1, 10])
@pytest.mark.parametrize("before", ["missing", "empty", "a set"])
def test_a_set_of_vectors_is_written_as_a_whole_or_not_at_all(tmp_path, monkeypatch, before, after):
    out = tmp_path / "out"
    if before == "empty":
        out.mkdir()
    elif before == "a set":
        vectors.write(out, "CUBA", "loihi")
        (out / "mine").write_text("of the user")
    was = content(tmp_path)
    fill(monkeypatch, after)
    with pytest.raises(OSError, match=r"^\[Errno 28\] No space left on device: '.*/out'$"):
        vectors.write(out, ["CUBA", "ALIF"])
    assert content(tmp_path) == was
    assert out.exists() == (before != "missing")
    monkeypatch.undo()
    vectors.write(out, ["CUBA", "ALIF"])
    assert {"index.json", "SHA256SUMS", *(["mine"] if before == "a set" else [])} == {
        name for name in content(out) if "/" not in name
    }


@pytest.mark.parametrize("before", ["missing", "there"])
def test_what_a_killed_run_left_of_a_set_is_removed(tmp_path, before):
    out = tmp_path / "out"
    if before == "there":
        out.mkdir()
    script = (
        "import os, signal; from lavadl_ref.testing import vectors\n"
        "os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"vectors.write({str(out)!r}, 'CUBA')"
    )
    done = subprocess.run([sys.executable, "-c", script], timeout=PATIENCE)
    assert done.returncode == -9
    assert not [name for name in content(tmp_path) if ".part/" not in name]
    assert content(tmp_path)
    vectors.write(out, "CUBA")
    assert len(content(out)) == len(content(tmp_path))
    assert not [name for name in content(tmp_path) if ".part/" in name]


def test_a_set_cannot_be_where_a_file_is(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"^\[Errno 20\] Not a directory: '.*/file'$"):
        vectors.write(tmp_path / "file", "CUBA")
    with pytest.raises(OSError, match=r"^\[Errno 20\] Not a directory: '.*/file/below'$"):
        vectors.write(tmp_path / "file" / "below", "CUBA")
    assert content(tmp_path) == {"file": b""}


@pytest.fixture
def logged():
    from lavadl_ref.slayer.utils import LearningStats

    stats = LearningStats()
    stats.training.num_samples, stats.training.loss_sum, stats.training.correct_samples = 2, 1.0, 1
    stats.update()
    return stats


@pytest.mark.parametrize("what", ["save", "plot"])
def test_what_was_logged_before_stays_where_the_disk_is_full(tmp_path, monkeypatch, logged, what):
    write = {"save": logged.save, "plot": lambda path: logged.plot(path=path)}[what]
    write(tmp_path)
    was = content(tmp_path)
    assert len(was) == 2
    fill(monkeypatch, 0)
    logged.update()
    with pytest.raises(OSError, match=r"^\[Errno 28\] No space left on device: '.*/loss\.(txt|png)'$"):
        write(tmp_path)
    assert content(tmp_path) == was


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 64 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "lavadl-ref-test", str(disk)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except OSError as error:
        pytest.skip(f"a small disk needs mount: {error}")
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True, timeout=PATIENCE)


def test_a_real_disk_that_is_full_is_named(small_disk, logged):
    with pytest.raises(OSError, match=r"^\[Errno 28\] No space left on device: '.*/out'$"):
        vectors.write(small_disk / "out", "CUBA")
    with pytest.raises(OSError, match=r"^\[Errno 28\] No space left on device: '.*/file'$"):
        atomic.write_bytes(small_disk / "file", bytes(2**17))
    assert list(small_disk.iterdir()) == []
    logged.save(small_disk)
    was = content(small_disk)
    (small_disk / "filler").write_bytes(bytes(os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize))
    with pytest.raises(OSError, match=r"^\[Errno 28\] No space left on device: '.*/loss\.txt'$"):
        logged.save(small_disk)
    assert {name: data for name, data in content(small_disk).items() if name != "filler"} == was
