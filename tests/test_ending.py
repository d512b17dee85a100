"""Whatever ends a process, what it made is gone: at once after a signal, at the next start after SIGKILL."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from lavadl_ref import _ending
from tests import PATIENCE

ROOT = Path(__file__).resolve().parents[1]
#: How a main thread can be busy: in Python, and in native code that no signal interrupts.
BUSY = {
    "python": "while True: time.sleep(0.01)",
    "native": "mutex = ctypes.create_string_buffer(64)\nfor _ in range(2): ctypes.CDLL(None).pthread_mutex_lock(mutex)",
    "deaf": "while True:\n try: time.sleep(600)\n except BaseException: pass",
}
ENDINGS = {
    "SIGTERM": (signal.SIGTERM,),
    "SIGHUP": (signal.SIGHUP,),
    "SIGINT twice": (signal.SIGINT, signal.SIGINT),
}
segments_needed = pytest.mark.skipif(not _ending.SHARED_MEMORY.is_dir(), reason="no POSIX shared memory to look at")


def victim(place, work, **options):
    """A process with a folder in `place`, a segment, and a process of its own, which does `work` with them."""
    code = (
        "import ctypes, os, sys, time\n"
        "from pathlib import Path\n"
        "from lavadl_ref import _ending\n"
        "with _ending.unwound_by_signals(to_the_end=True), _ending.temporary_folder(sys.argv[1]) as folder:\n"
        f" name = 'psm_{secrets.token_hex(8)}'\n"
        " (folder.path / 'segments').write_text(name + '\\n')\n"
        " (_ending.SHARED_MEMORY / name).touch()\n"
        " (folder.path / 'deep' / 'er').mkdir(parents=True)\n"
        " sleep = [sys.executable, '-c', 'import time; time.sleep(600)']\n"
        " with _ending.session(sleep, stdin=-3, stdout=-3, stderr=-3) as child:\n"
        "  print(child.pid, name, flush=True)\n"
    ) + "".join(f"  {line}\n" for line in work.splitlines())
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(place)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )
    pid, name = process.stdout.readline().split()
    return process, int(pid), _ending.SHARED_MEMORY / name


def runs(pid):
    """Tell whether a process has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@segments_needed
@pytest.mark.parametrize("busy", BUSY)
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_signal_ends_the_process_and_leaves_nothing(ending, busy, tmp_path):
    process, child, segment = victim(tmp_path, BUSY[busy])
    with process:
        assert segment.exists()
        for number in ENDINGS[ending]:
            process.send_signal(number)
        while ending == "SIGINT twice" and process.poll() is None:  # two that come at once are one to the system
            process.send_signal(signal.SIGINT)
            time.sleep(0.1)
        # Ctrl-C may have come before the work began, and is then heard in Python
        unwound = {-signal.SIGINT} if ending == "SIGINT twice" else set()
        assert process.wait(PATIENCE) in {128 + ENDINGS[ending][-1], *unwound}
        assert list(tmp_path.iterdir()) == []
        assert not segment.exists()
        assert not runs(child)


@segments_needed
def test_the_next_process_removes_the_leftovers_of_a_killed_one(tmp_path):
    process, child, segment = victim(tmp_path, BUSY["python"])
    with process:
        process.kill()
        process.wait()
        os.killpg(child, signal.SIGKILL)
        (left,) = tmp_path.iterdir()
        assert segment.exists()
        with _ending.temporary_folder(tmp_path) as folder:
            assert list(tmp_path.iterdir()) == [folder.path]
        assert not segment.exists()
        assert not left.exists()


@segments_needed
def test_a_folder_in_use_stays(tmp_path):
    process, _, segment = victim(tmp_path, BUSY["python"])
    with process:
        (used,) = tmp_path.iterdir()
        _ending.remove_left_behind(tmp_path)
        assert used.is_dir()
        assert segment.exists()
        process.terminate()


def test_a_folder_stays_while_an_heir_of_its_lock_is_alive(tmp_path):
    code = "import subprocess, sys; from lavadl_ref import _ending\n"
    code += "with _ending.temporary_folder(sys.argv[1]) as folder:\n"
    code += (
        " subprocess.Popen(['cat'], pass_fds=(folder.lock,)); sys.stdout.close(); import os; os.kill(os.getpid(), 9)"
    )
    reading, writing = os.pipe()
    process = subprocess.run([sys.executable, "-c", code, str(tmp_path)], stdin=reading, cwd=ROOT, timeout=PATIENCE)
    assert process.returncode == -signal.SIGKILL
    os.close(reading)
    (left,) = tmp_path.iterdir()
    _ending.remove_left_behind(tmp_path)
    assert left.is_dir()
    os.close(writing)  # and with it ends what inherited the lock
    for _ in range(20_000):
        _ending.remove_left_behind(tmp_path)
        if not left.exists():
            return
        time.sleep(0.01)
    pytest.fail("still there")


def test_folders_of_others_are_left_alone(tmp_path):
    for name in ("lavadl-ref-0123456789ab", "lavadl-ref-checkout", "other-0123456789ab"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine").touch()
    (tmp_path / "lavadl-ref-0123456789ac").write_text("")
    (tmp_path / "lavadl-ref-0123456789ad").symlink_to(tmp_path / "lavadl-ref-checkout")
    elsewhere = tmp_path / "lavadl-ref-0123456789ae"
    elsewhere.mkdir()
    (elsewhere / ".lock").write_text("another machine")
    before = sorted(tmp_path.rglob("*"))
    with _ending.temporary_folder(tmp_path):
        pass
    assert sorted(tmp_path.rglob("*")) == before


def test_segments_of_shared_memory_alone_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(_ending, "SHARED_MEMORY", tmp_path / "shm")
    (tmp_path / "shm").mkdir()
    names = ["psm_" + "0" * 16, "psm_" + "1" * 16, "sem.other"]
    for name in names:
        (tmp_path / "shm" / name).touch()
    (tmp_path / "precious").touch()
    with _ending.temporary_folder(tmp_path) as folder:
        (folder.path / _ending.SEGMENTS).write_text(f"{names[0]}\n../precious\nsem.other\npsm_")
    assert sorted(path.name for path in (tmp_path / "shm").iterdir()) == names[1:]
    assert (tmp_path / "precious").exists()


def test_a_forked_process_keeps_its_signals_to_itself():
    code = (
        "import os, signal, time\nfrom lavadl_ref import _ending\n"
        "with _ending.unwound_by_signals():\n"
        " reading, writing = os.pipe()\n"
        " child = os.fork()\n"
        " if not child: os.write(writing, b'x'), time.sleep(600)\n"
        " os.read(reading, 1)\n"
        " os.kill(child, signal.SIGTERM)\n"
        " print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
        " time.sleep(2 * _ending.PATIENCE)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{-signal.SIGTERM}\n", "")


def test_handlers_are_as_before():
    def mine(number, frame):
        raise AssertionError

    before = {number: signal.getsignal(number) for number in _ending.SIGNALS}
    signal.signal(signal.SIGHUP, mine)
    try:
        with _ending.unwound_by_signals(), _ending.unwound_by_signals():
            assert signal.getsignal(signal.SIGTERM) != before[signal.SIGTERM]
            assert signal.getsignal(signal.SIGHUP) == mine
        assert signal.getsignal(signal.SIGHUP) == mine
    finally:
        signal.signal(signal.SIGHUP, before[signal.SIGHUP])
    assert {number: signal.getsignal(number) for number in _ending.SIGNALS} == before
    assert "ending" not in {thread.name for thread in threading.enumerate()}


def test_a_signal_while_something_is_made_or_removed_waits(tmp_path):
    """Else what was just made would not be noted, or be removed in part."""
    happened = []

    def make():
        os.kill(os.getpid(), signal.SIGTERM)
        happened.append("made")
        return tmp_path

    def remove(made):
        os.kill(os.getpid(), signal.SIGTERM)
        happened.append("removed")

    with (
        pytest.raises(SystemExit, match=str(128 + signal.SIGTERM)),
        _ending.unwound_by_signals(),
        _ending._gone_afterwards(make, remove),
    ):
        happened.append("used")
    assert happened == ["made", "removed"]
