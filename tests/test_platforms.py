"""All but Lava's runtime where POSIX alone has what others use: locks, forks, and GNU's OpenMP."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from lavadl_kernels.runtime import compile_notice

from lavadl_ref import exchange
from lavadl_ref.exchange import Dense, Network, Neuron
from tests import PATIENCE
from tests.support.tree import MODULES, ROOT

#: What Linux has and other systems lack. Lava is not there either.
POORER = """
import importlib.abc, multiprocessing, os, pathlib, signal, sys
class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("fcntl", "resource", "lava"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
for name in ("fcntl", "resource"):
    sys.modules.pop(name, None)
for name in ("fork", "forkpty", "register_at_fork", "killpg", "getuid", "geteuid", "sysconf", "sched_getaffinity"):
    delattr(os, name)
for name in ("SIGHUP", "SIGALRM", "setitimer"):
    delattr(signal, name)
usual = pathlib.Path.read_text
def read_text(self, *arguments, **named):
    if str(self).startswith("/proc"):
        raise FileNotFoundError(2, "No such file or directory", str(self))
    return usual(self, *arguments, **named)
pathlib.Path.read_text = read_text
import importlib.metadata
known = importlib.metadata.version
def version(name):
    if name == "lava-nc":
        raise importlib.metadata.PackageNotFoundError(name)
    return known(name)
importlib.metadata.version = version
"""
#: torch's build for Linux looks for forks without asking.
TORCH = "import torch\n"
NEURON = Neuron("CUBA", {"threshold": 90, "current_decay": 1024, "voltage_decay": 128})
NETWORK = Network((Dense(shape=(4,), weight=np.full((4, 6), 20), neuron=NEURON),))


def poorer(code, *words, before=""):
    """The output of a process on a system without these things; `before` runs on this one."""
    script = before + POORER + textwrap.dedent(code)
    settings = {**os.environ, "USERNAME": "someone"}  # Windows always says who the user is; torch asks
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, words)],
        capture_output=True, text=True, timeout=PATIENCE, cwd=ROOT, env=settings,
    )  # fmt: skip
    said = [line for line in done.stderr.splitlines() if not line.startswith(compile_notice.TEXT)]
    assert (done.returncode, said) == (0, [])
    return done.stdout


def needs_lava(module):
    """Tell whether a module is made of Lava's processes or runs them, or is a program."""
    parts = module.split(".")
    within = parts[1] == "netx" and parts[2:3] not in ([], ["plan"], ["lava_support"])
    return within or parts[-1] in ("__main__", "drop_in")


def test_every_module_but_those_of_lava_is_imported_there():
    pytest.importorskip("torch")
    wanted = [name for name in MODULES if "." in name and not needs_lava(name)]
    assert len(wanted) > 200
    code = """
    import importlib
    for name in sys.argv[1:]:
        importlib.import_module(name)
    print(len(sys.argv) - 1)
    """
    assert int(poorer(code, *wanted, before=TORCH)) == len(wanted)


#: Commands, and the exit statuses that they end with.
COMMANDS = {
    "inspect FILE": 0,
    "audit FILE --steps 5": 0,
    "prove FILE --tries 1": 0,
    "verify FILE --steps 5 --no-slayer": 5,
    "vectors OUT/v --family CUBA --widths slayer": 0,
    "export-c FILE OUT/c": 0,
}


def test_the_commands_run_there(tmp_path):
    exchange.write(tmp_path / "x.net", NETWORK)
    code = """
    from lavadl_ref.cli import main as cli
    folder, *commands = sys.argv[1:]
    for command in commands:
        sys.argv[1:] = command.replace("FILE", f"{folder}/x.net").replace("OUT", folder).split()
        try:
            cli.main()
        except SystemExit as error:
            print("status", error.code or 0)
    """
    said = poorer(code, tmp_path, *COMMANDS).splitlines()
    assert [int(line.split()[1]) for line in said if line.startswith("status ")] == list(COMMANDS.values())
    assert (tmp_path / "c" / "network.c").exists()


def test_kernels_train_on_threads_of_their_own_there():
    pytest.importorskip("torch")
    code = """
    import numpy as np
    import torch
    from lavadl_kernels.ops import delay
    from lavadl_kernels.runtime import jit
    from lavadl_ref import _ending, slayer
    from lavadl_ref.slayer._bridge import openmp
    assert openmp.of_torch() is None
    jit.PROCESSORS = 2
    jit.set_num_threads(2)
    x = (np.arange(300 * 4000) % 7 < 2).astype(np.float32).reshape(300, 4000)
    late = delay.forward(x, np.full(4000, 3))
    assert jit._pool is not None
    assert (late[3:] == x[:-3]).all() and not late[:3].any()
    neuron = {"threshold": 1.0, "current_decay": 0.25, "voltage_decay": 0.1, "requires_grad": True}
    block = slayer.block.cuba.Dense(neuron, 64, 10, weight_norm=True)
    block(torch.ones(8, 64, 32)).sum().backward()
    with _ending.temporary_folder() as folder:
        (folder.path / "x").touch()
    assert not folder.path.exists()
    print("trained")
    """
    assert poorer(code, before=TORCH) == "trained\n"
