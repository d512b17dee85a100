"""Start a module on several processes of this machine, in a session of their own that cannot outlive its time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def launch(module: str, *arguments: object, processes: int = 1, timeout: float = 600) -> str:
    """The standard output of ``python -m module arguments``, run by torchrun on `processes` processes.

    Raises
    ------
    RuntimeError
        If it fails, or does not end within `timeout` seconds; nothing is left running.
    """
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *torchrun, "-m", module, *map(str, arguments)]
    paths = [str(ROOT), str(ROOT / "kernels"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as child:
        try:
            out, errors = child.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"{module} on {processes} processes did not end within {timeout:g} s") from None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
    if child.returncode:
        raise RuntimeError(f"{module} on {processes} processes failed:\n{errors[-4000:]}")
    return out
