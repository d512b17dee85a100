"""The process that reads damaged files: each line of input names a file, each line of output is its outcome."""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
import warnings
from pathlib import Path
from typing import Any

from lavadl_ref import exchange
from lavadl_ref.testing._same import same
from lavadl_ref.testing.fuzz._outcomes import LEGAL

try:
    import resource
except ImportError:  # no POSIX system, where `Dialogue` does not start this process
    resource = None  # type: ignore[assignment]

ADDRESSES = 2**32  #: bytes of address space, so that a file cannot take the memory of other processes
MESSAGE_LIMIT = 1000  #: characters of an error


def main(folder: str, reader: str, seconds_each: str, whole: str = "") -> None:
    """Read the files that are named until the input ends, or until one file takes longer than `seconds_each`.

    A `whole` file is read before, so that what is loaded or compiled once counts for no file.
    """
    os.chdir(folder)
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    module, _, name = reader.partition(":")
    read = getattr(importlib.import_module(module), name)
    bases: dict[str, exchange.Network] = {}
    for line in sys.stdin:
        path, base = json.loads(line)
        if base not in bases:
            bases[base] = exchange.read(base)
        if not path:
            if whole:
                read(whole)
            print("ready", flush=True)
            continue
        # no handler is set for this signal, so it ends the process whatever it is doing
        signal.setitimer(signal.ITIMER_REAL, float(seconds_each))
        _forget_peak()
        # processor time of this process, which others on the machine do not lengthen
        start = time.process_time()
        outcome, message = _outcome(read, path, bases[base])
        seconds = time.process_time() - start
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(json.dumps([outcome, message, seconds, _peak()]), flush=True)


def _outcome(read: Any, path: str, base: exchange.Network) -> tuple[str, str]:
    try:
        with warnings.catch_warnings():
            # a file without its digest is taken for one of Lava-DL, which is a reason to warn
            warnings.simplefilter("ignore", exchange.ExponentWarning)
            network = read(path)
        if network is LEGAL:
            return LEGAL, ""
        exchange.check(network)
        return ("same" if same(network, base) else "different"), ""
    except exchange.ExchangeError as error:
        text = str(error)
        good = text.startswith(f"{path}: ") and text.isprintable() and len(text) <= MESSAGE_LIMIT
        return ("refused" if good else "bad message"), text[: 2 * MESSAGE_LIMIT]
    except BaseException as error:
        return "exception", f"{type(error).__name__}: {error}"[:MESSAGE_LIMIT]


def _forget_peak() -> None:
    """Reset the largest memory that the system has counted, where it can."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _peak() -> float:
    """The most megabytes that this process has held."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024
    except (OSError, IndexError):
        largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return largest / (2**20 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main(*sys.argv[1:])
