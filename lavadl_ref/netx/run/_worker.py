"""The child process of `lavadl_ref.netx.runtime`: runs jobs from a folder and leaves records there."""

from __future__ import annotations

import ctypes
import multiprocessing.process
import os
import pickle
import secrets
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import shared_memory
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1  # of <linux/prctl.h>
LOOK = 0.1  # seconds between looks at the children: a killed process is noticed long before a time limit


def main(place: Path, parent: int) -> int:
    """Run the jobs in `place`; 0 if all went well."""
    _die_with(parent)
    _let_children_die_too()
    _note_segments(place / "segments")
    _note_failures(place / "actor_error")
    watch = _Watch(place / "killed")
    try:
        records = []
        for index, job in enumerate(pickle.loads((place / "jobs.pkl").read_bytes())):
            (place / "progress").write_text(str(index))
            records.append(job.on_runtime(place / f"{index}", watch))
        partial = place / "records.partial"
        partial.write_bytes(pickle.dumps(records))
        partial.rename(place / "records.pkl")
    except Exception:
        watch.look()  # an exception here may be the consequence of a killed process
        (place / "error").write_text(traceback.format_exc())
        return 1
    return 0


class _Watch:
    """Notices at once that one of Lava's processes was killed; its siblings would wait for ever.

    Parameters
    ----------
    path : Path
        File in which it is written down.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._children: list[tuple[Any, Any]] = []  # each with the builder of a process of Lava's, None without
        self._ending = False
        self._names: dict[int, str] = {}
        original = multiprocessing.process.BaseProcess.start

        def start(child: Any) -> None:
            builder = getattr(child, "_kwargs", {}).get("builder")
            original(child)
            self._children.append((child, builder))

        multiprocessing.process.BaseProcess.start = start  # type: ignore[method-assign, assignment]
        threading.Thread(target=self._look_often, daemon=True).start()

    @contextmanager
    def running(self, process: Any, layers: Sequence[Any]) -> Iterator[Callable[[int], None]]:
        """Give a function that runs a network for so many steps on Lava's runtime, and watch its processes.

        Parameters
        ----------
        process : AbstractProcess
            Any process of the network.
        layers : sequence of AbstractProcess
            The processes that are called by their numbers in messages.
        """
        from lava.magma.core.run_conditions import RunSteps
        from lava.magma.core.run_configs import Loihi2SimCfg

        config = Loihi2SimCfg(select_tag="fixed_pt")
        self._children.clear()
        self._names, self._ending = _names(layers), False
        process.create_runtime(run_cfg=config)
        try:
            yield lambda steps: process.run(condition=RunSteps(num_steps=steps), run_cfg=config)
        finally:
            self._ending = True  # the process that holds Lava's shared memory may end now
            process.stop()

    def look(self) -> None:
        """Write down the process that was killed."""
        for child, builder in list(self._children):
            end = "" if self._ending and builder is None else _how_it_ended(child)
            if end:
                partial = self._path.with_suffix(".partial")
                partial.write_text(f"{self._name(builder)} {end}")
                partial.rename(self._path)
                return

    def _name(self, builder: Any) -> str:
        if builder is None:
            return "the process that holds Lava's shared memory"
        if hasattr(builder, "proc_model"):
            name = self._names.get(builder._model_id, f"Process_{builder._model_id}")
            return f"the process of {name} ({builder.proc_model.__name__})"
        return f"the process that keeps Lava's time ({builder.rs_class.__name__})"

    def _look_often(self) -> None:
        while True:
            time.sleep(LOOK)
            self.look()


def _how_it_ended(child: Any) -> str:
    """The way in which a child failed, '' if it lives or ended well.  It is left to Lava to be waited for."""
    popen = child._popen
    if popen is None:  # waited for and forgotten
        return ""
    if popen.returncode is not None:
        return _told(popen.returncode) if popen.returncode else ""
    try:
        found = os.waitid(os.P_PID, popen.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:  # waited for meanwhile
        return ""
    return how_it_ended(found) if found and found.si_status else ""


def how_it_ended(found: Any) -> str:
    """The result of `os.waitid` in words."""
    return _told(found.si_status if found.si_code == os.CLD_EXITED else -found.si_status)


def _told(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    why = ", as the system does where memory runs out" if -status == signal.SIGKILL else ""
    return f"was killed by signal {-status} ({signal.Signals(-status).name}){why}"


def _die_with(parent: int) -> None:
    """Ask the kernel to end this process when its parent ends, however that happens."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the kernel was asked
        os._exit(1)


def _let_children_die_too() -> None:
    """Let processes forked from now on end when the one that forked them ends, and theirs with them."""
    # noted before the fork: a child whose parent is gone already could not ask any more
    forking = [os.getpid()]

    def after_in_child() -> None:
        _die_with(forking[0])
        forking[0] = os.getpid()

    os.register_at_fork(after_in_child=after_in_child)


def _note_segments(path: Path) -> None:
    """Write each shared-memory segment's name down before it is made, so that none can be lost."""
    original = shared_memory.SharedMemory.__init__

    def init(self: Any, name: str | None = None, create: bool = False, size: int = 0, **options: Any) -> None:
        if create and name is None:
            name = f"psm_{secrets.token_hex(8)}"
            with open(path, "a") as file:
                file.write(name + "\n")
        original(self, name, create, size, **options)

    shared_memory.SharedMemory.__init__ = init  # type: ignore[method-assign]


def _note_failures(path: Path) -> None:
    """Write an exception of one of Lava's processes down at once; its siblings would wait for ever."""
    original = multiprocessing.process.BaseProcess.run

    def run(self: Any) -> None:
        try:
            original(self)
        except Exception:
            partial = path.with_suffix(f".{os.getpid()}")
            partial.write_text(traceback.format_exc())
            partial.rename(path)
            raise

    multiprocessing.process.BaseProcess.run = run  # type: ignore[method-assign]


def _names(layers: Sequence[Any]) -> dict[int, str]:
    """Names of a network's processes in messages, by their ids in Lava."""
    from lava.magma.core.process.process import ProcessServer

    names = {process.id: type(process).__name__ for process in ProcessServer().processes}
    for index, layer in enumerate(layers):
        inside = [layer]
        while inside:
            process = inside.pop()
            names[process.id] = f"{type(process).__name__} of layer {index}"
            inside += process.procs
    return names


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # Lava's own; errors come back as exceptions
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
