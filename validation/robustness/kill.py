"""``python -m validation.robustness.kill``: signals at random moments, the time until all has ended, what is left.

Each victim has a folder for temporary files, a current folder and a process session of its own; its processes are
recognised by a mark in their environment.  After its end the next command starts in the same folders, and what is left
then is counted.  Status 1 if anything is left or an end took longer than 2 seconds.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lavadl_ref import exchange
from lavadl_ref.netx.run import runtime

ROOT = Path(__file__).resolve().parents[2]
SHARED_MEMORY = Path("/dev/shm")
MARK = "LAVADL_REF_VICTIM"
BOUND = 2.0  #: seconds from the signal to the end
NEVER = 200.0  #: seconds after which an end is not waited for any more
OURS = [sys.executable, "-m", "lavadl_ref.cli.main"]
COMMANDS = {
    "demo": [*OURS, "demo", "--epochs", "3", "--samples", "20"],
    "verify": [*OURS, "verify", "x.net", "--steps", "200"],
    "audit": [*OURS, "audit", "x.net", "--steps", "20000"],
    "fuzz": [*OURS, "fuzz", "--files", "300"],
    "tutorial": [sys.executable, str(ROOT / "docs" / "tutorials" / "xor_regression.py"), "--small", "--epochs", "30"],
    "lava": [sys.executable, "-c", "from validation.robustness import kill; kill.run_on_lava(500)"],
}
ENDINGS: dict[str, tuple[int, ...]] = {
    "SIGKILL": (signal.SIGKILL,),
    "SIGHUP": (signal.SIGHUP,),
    "SIGTERM": (signal.SIGTERM,),
    "SIGINT twice": (signal.SIGINT, signal.SIGINT),
}


def network() -> exchange.Network:
    """Two layers with random weights."""
    rng = np.random.default_rng(0)
    neuron = exchange.Neuron("CUBA", {"current_decay": 1024, "voltage_decay": 256, "threshold": 80})
    weights = [2 * rng.integers(-60, 80, shape) for shape in ((16, 8), (4, 16))]
    return exchange.Network(tuple(exchange.Dense(shape=w.shape[:1], weight=w, neuron=neuron) for w in weights))


def run_on_lava(steps: int) -> None:
    """Run it on Lava's runtime, as a program of a user's would."""
    runtime.run(network(), np.ones((8, 4), int), steps, timeout=NEVER, record=())


@dataclass
class Victim:
    """A command that is started to be ended."""

    mark: str
    place: Path
    process: subprocess.Popen
    began: float = field(default_factory=time.time)

    def processes(self) -> list[int]:
        """Those that have not ended: the command and all that it started."""
        return [pid for pid, environment in _environments() if f"{MARK}={self.mark}".encode() in environment]

    def segments(self) -> set[str]:
        """Shared memory made meanwhile that no living process uses."""
        found = set()
        for path in SHARED_MEMORY.glob("psm_*"):
            with suppress(FileNotFoundError):
                if path.stat().st_ctime >= self.began:
                    found.add(path.name)
        return found and found - _mapped()

    def files(self, pattern: str) -> list[Path]:
        """Files and folders of that name in the current folder."""
        return list((self.place / "here").rglob(pattern))


def _environments() -> Iterator[tuple[int, list[bytes]]]:
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[0] not in "ZX":
                yield int(entry.name), (entry / "environ").read_bytes().split(b"\0")


def _mapped() -> set[str]:
    found = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with suppress(OSError):
            found |= set(re.findall(r"/dev/shm/(psm_\w+)", maps.read_text(errors="replace")))
    return found


def _environment(place: Path, mark: str) -> dict[str, str]:
    paths = os.pathsep.join([str(ROOT), *(entry for entry in sys.path if entry)])
    # torch keeps a cache among temporary files, on purpose
    own = {"TMPDIR": str(place / "tmp"), "TORCHINDUCTOR_CACHE_DIR": str(place / "torch"), MARK: mark}
    return {**os.environ, "PYTHONPATH": paths, **own}


def start(command: list[str], place: Path) -> Victim:
    """Start a command in `place`."""
    mark = secrets.token_hex(8)
    with open(place / "said", "wb") as said:
        process = subprocess.Popen(
            command, cwd=place / "here", env=_environment(place, mark), start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT,
        )  # fmt: skip
    return Victim(mark, place, process)


@contextmanager
def folders() -> Iterator[Path]:
    """A folder with one for temporary files, and a current one with a network."""
    with tempfile.TemporaryDirectory(prefix="k", ignore_cleanup_errors=True) as name:
        place = Path(name)
        (place / "tmp").mkdir()
        (place / "here").mkdir()
        exchange.write(place / "here" / "x.net", network())
        yield place


def until(condition: Callable[[], object]) -> float:
    """Seconds until a condition is met."""
    began = time.monotonic()
    while not condition() and time.monotonic() < began + NEVER:
        time.sleep(0.005)
    return time.monotonic() - began


@dataclass
class Row:
    """The outcome of one command and one way to end it."""

    seconds: list[float] = field(default_factory=list)
    left: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("processes", "segments", "folders", "parts", "hypothesis"), 0)
    )

    @property
    def good(self) -> bool:
        """Tell whether nothing is left and every end came in time."""
        return not any(self.left.values()) and all(seconds <= BOUND for seconds in self.seconds)

    def __str__(self) -> str:
        times = np.array(self.seconds)
        told = f"{len(times):>5}{np.median(times):>9.2f}{times.max():>9.2f}"
        return told + "".join(f"{count:>11}" for count in self.left.values())


HEAD = f"{'':<24}{'times':>5}{'median s':>9}{'most s':>9}" + "".join(f"{name:>11}" for name in Row().left)


def usual_time(what: str) -> float:
    """Seconds that a command takes if it is left alone, the second time."""
    for _ in range(2):
        with folders() as place:
            process = start(COMMANDS[what], place).process
            seconds = until(lambda process=process: process.poll() is not None)
            if process.returncode:
                raise SystemExit(f"{what} ended with {process.returncode}:\n{(place / 'said').read_text()}")
    return seconds


def attempt(what: str, ending: str, moment: float, row: Row) -> None:
    """End a command after `moment` seconds, let the next one start, and count what is left."""
    with folders() as place:
        victim = start(COMMANDS[what], place)
        with suppress(subprocess.TimeoutExpired):
            victim.process.wait(moment)
        if victim.process.poll() is None:
            first, *further = ENDINGS[ending]
            victim.process.send_signal(first)
            for number in further:
                time.sleep(0.2)  # two that come at once are one to the system
                victim.process.send_signal(number)
            row.seconds.append(until(lambda: victim.process.poll() is not None and not victim.processes()))
        again = COMMANDS[what] if victim.files("*.part") else [*OURS, "--help"]
        start(again, place).process.wait()
        row.left["processes"] += len(victim.processes())
        row.left["segments"] += len(victim.segments())
        row.left["folders"] += len(list((place / "tmp").iterdir()))
        row.left["parts"] += len(victim.files("*.part"))
        row.left["hypothesis"] += len(victim.files(".hypothesis"))


def until_noticed(choose: random.Random) -> tuple[float, str]:
    """Kill one process of a network that runs; the seconds until the run ends with an error, and its first line."""
    with folders() as place:
        victim = start(
            [*COMMANDS["lava"][:-1], "from validation.robustness import kill; kill.run_on_lava(10**7)"], place
        )
        until(lambda: len(_of_lava(victim)) >= 8 or victim.process.poll() is not None)
        time.sleep(choose.random())
        os.kill(choose.choice(_of_lava(victim)), signal.SIGKILL)
        seconds = until(lambda: victim.process.poll() is not None)
        victim.process.kill()
        said = (place / "said").read_text().partition("LavaRunError: ")[2]
        return seconds, said.partition("\n")[0] or "nothing was said"


def _of_lava(victim: Victim) -> list[int]:
    """All processes of its run but Python's own, which only tidies up."""
    found = []
    for pid in victim.processes():
        with suppress(OSError):
            if pid != victim.process.pid and b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def main(show: Callable[[str], object] = print) -> int:
    """Run all that is asked for; 1 if anything is left or too late."""
    parser = argparse.ArgumentParser(prog="python -m validation.robustness.kill", description=__doc__.split("\n")[0])
    parser.add_argument("--times", type=int, default=100, help="of each command and way to end it")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--what", default=",".join(COMMANDS), help="commands, separated by commas")
    parser.add_argument("--how", default=",".join(ENDINGS), help="ways to end them, separated by commas")
    asked = parser.parse_args()
    choose = random.Random(asked.seed)
    good = True
    show(HEAD)
    for what in asked.what.split(","):
        usual = usual_time(what)
        for ending in asked.how.split(","):
            row = Row()
            for _ in range(asked.times):
                attempt(what, ending, choose.uniform(0, usual), row)
            show(f"{what + ' ' + ending:<24}{row}")
            good &= row.good
        if what == "lava":
            found = [until_noticed(choose) for _ in range(asked.times)]
            times = [seconds for seconds, _ in found]
            unnamed = sum("killed by signal 9" not in said for _, said in found)
            show(f"a process of a network killed {len(times)} times: noticed after {np.median(times):.2f} s, at most")
            show(f"{max(times):.2f} s, {unnamed} times without its name; the last: {found[-1][1]}")
            good &= max(times) <= BOUND and not unnamed
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
