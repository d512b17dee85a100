"""lava-dl's own tests, run where they are installed, on this package or on lava-dl itself.

lava-dl's wheel brings its tests.  They run on a copy, because they write beside themselves, in a process session
of their own, because they run Lava, which may hang.  Their random numbers are seeded, which they are not.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import sysconfig
import types
from collections import Counter
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
INSTALLED = Path(sysconfig.get_paths()["purelib"]) / "tests" / "lava" / "lib" / "dl"
NETX, BLOCKS = "dl/netx/test_hdf5.py", "dl/netx/test_blocks.py"

_TIME_BASE = (
    "expects biases to act from the first step; here that is asked for by time_base='lava', and gives the expected "
    "integers (test_recorded_lava.py)"
)
#: Tests that fail on this package, each with the reason; all others must pass.
FAILS = {
    f"{NETX}::TestHdf5Netx::test_pilotnet_sdnn": _TIME_BASE,
    f"{NETX}::TestHdf5Netx::test_pilotnet_sdnn_spike_exp": _TIME_BASE,
}
#: What is not run at all.
NOT_RUN = {
    f"{NETX}::TestHdf5Netx::test_axonal_delay_ntidigits": (
        "takes minutes for 3000 steps of Lava's DelayDense, on lava-dl too (the first 120 in test_recorded_lava.py)"
    ),
    "dl/netx/test_hdf5_nx.py": "needs the chip",
    "dl/slayer/object_detection": "needs OpenCV and data sets",
}


def run(which: str, folder: Path, timeout: float = 600) -> dict[str, str]:
    """Outcome of each test, ``passed``, ``failed`` or ``skipped``.

    Parameters
    ----------
    which : {"ours", "theirs"}
        What ``lava.lib.dl`` is.
    folder : Path
        An empty folder for the copy.
    timeout : float
        Seconds after which everything is killed.

    Raises
    ------
    RuntimeError
        If pytest did not come to its end.
    """
    shutil.copytree(INSTALLED, folder / "dl", ignore=shutil.ignore_patterns("gts", "object_detection", "__pycache__"))
    (folder / "dl" / "netx" / "gts").symlink_to(INSTALLED / "netx" / "gts")
    (folder / "pytest.ini").write_text("[pytest]\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "kernels")])}
    code = f"from validation.conformance import upstream_tests; upstream_tests.child({which!r})"
    with (folder / "log").open("w") as log:
        # a pipe would be held open by whatever Lava leaves behind
        child = subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            with suppress(subprocess.TimeoutExpired):
                child.wait(timeout)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    outcomes = folder / "outcomes.json"
    if not outcomes.exists():
        raise RuntimeError(f"the tests did not come to their end within {timeout} s:\n{(folder / 'log').read_text()}")
    return json.loads(outcomes.read_text())


def summary(outcomes: dict[str, str]) -> str:
    """Such as ``94 passed, 3 failed``."""
    return ", ".join(f"{count} {outcome}" for outcome, count in sorted(Counter(outcomes.values()).items()))


def child(which: str) -> None:
    """Run the tests in this process and write their outcomes."""
    left_out = list(NOT_RUN)
    if which == "ours":
        from lavadl_ref import drop_in

        drop_in.install()
    else:
        from lavadl_ref.netx import lava_support

        lava_support.enable()
        # needs OpenCV and torchvision
        stub = "lava.lib.dl.slayer.object_detection"
        sys.modules[stub] = types.ModuleType(stub)
        left_out += [test for test in FAILS if "/netx/" in test]
    outcomes = _Outcomes()
    options = [f"--deselect={test}" for test in left_out]
    pytest.main(
        ["-q", "-p", "no:cacheprovider", "--continue-on-collection-errors", *options, "dl/slayer", NETX, BLOCKS],
        plugins=[outcomes],
    )
    Path("outcomes.json").write_text(json.dumps(outcomes.seen))
    # Lava's processes and threads would keep the interpreter from ending
    sys.stdout.flush()
    os._exit(0)


class _Outcomes:
    """Notes how each test ended, and seeds random numbers before each module and test."""

    def __init__(self) -> None:
        self.seen: dict[str, str] = {}

    @staticmethod
    def _seed() -> None:
        import torch

        random.seed(0)
        np.random.seed(0)  # noqa: NPY002 - what lava-dl's tests draw from
        torch.manual_seed(0)

    @pytest.hookimpl(tryfirst=True)
    def pytest_make_collect_report(self) -> None:
        self._seed()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        self._seed()

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.seen[report.nodeid] = "failed"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            self.seen[report.nodeid] = report.outcome
