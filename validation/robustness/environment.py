"""The commands in bad environments: each works or says one line, with no traceback and no crash.

    python -m validation.robustness.environment [--commands verify demo] [--environments torn ...]

The package is copied to a temporary folder, where it keeps its compiled kernels; everything runs from there.  The
exit status is 1 if any command ended by a signal, wrote a traceback, or more than one line to its standard error.
Environments in which kernels cannot be kept compile them again for each command, which takes minutes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lavadl_kernels
from lavadl_kernels.runtime.cache import SUFFIX
from lavadl_kernels.runtime.compile_notice import TEXT

import lavadl_ref

LIMIT = 1800.0  #: seconds for a command, kernels included; guards against hanging
STATUSES = (0, 1, 2, 3)  #: what a command may end with

COMMANDS: dict[str, tuple[str, ...]] = {
    "doctor": ("doctor", "--no-run"),
    "inspect": ("inspect", "{file}"),
    "vectors": ("vectors", "{out}/vectors", "--family", "CUBA"),
    "verify": ("verify", "{file}", "--steps", "8", "--no-lava"),
    "audit": ("audit", "{file}", "--steps", "8"),
    "fuzz": ("fuzz", "--files", "20"),
    "demo": ("demo", "--out", "{out}", "--epochs", "1", "--samples", "5", "--no-lava"),
}


class NotHereError(RuntimeError):
    """An environment that this machine cannot have; says why."""


@dataclass
class Setting:
    """The setting in which commands are started."""

    root: Path  #: a folder of the environment's own
    package: Path  #: what is imported
    file: Path  #: a network
    out: Path  #: where commands write
    env: dict[str, str]
    before: list[str] = field(default_factory=list)  #: what starts the command
    redirect: str = ""  #: as a shell has it


@dataclass(frozen=True)
class Outcome:
    """The end of a command in an environment."""

    environment: str
    command: str
    status: int
    lines: tuple[str, ...]  #: on standard error, without the one that kernels are compiled
    seconds: float
    fault: str  #: what must not be; empty if all is well


Environment = Callable[[Setting, ExitStack], None]
ENVIRONMENTS: dict[str, Environment] = {}


def _environment(function: Any) -> Any:
    ENVIRONMENTS[function.__name__.strip("_").replace("_", " ")] = function
    return function


@_environment
def _usual(setting: Setting, stack: ExitStack) -> None:
    """Nothing wrong."""


@_environment
def _no_home(setting: Setting, stack: ExitStack) -> None:
    setting.env.pop("HOME", None)


@_environment
def _missing_home(setting: Setting, stack: ExitStack) -> None:
    setting.env["HOME"] = str(setting.root / "missing")


@_environment
def _read_only_package(setting: Setting, stack: ExitStack) -> None:
    """With the kernels in it that someone else compiled."""
    _without_privileges(setting)
    _lock(setting.package, stack)


@_environment
def _read_only_package_without_home(setting: Setting, stack: ExitStack) -> None:
    """And without kernels: as an image that is started for the first time, with a number for a user."""
    _forget(setting.package)
    _read_only_package(setting, stack)
    # root could make a home that is missing
    (setting.root / "home").touch()
    setting.env["HOME"] = str(setting.root / "home")
    (setting.root / "tmp").mkdir(mode=0o700)
    setting.env["TMPDIR"] = str(setting.root / "tmp")


@_environment
def _nowhere_to_write(setting: Setting, stack: ExitStack) -> None:
    """Nor for kernels; only the output has a place."""
    _read_only_package_without_home(setting, stack)
    # the place of the folder for kernels is taken
    (setting.root / "tmp" / f"lavadl_kernels-{os.getuid()}").touch()


@_environment
def _cache_is_a_file(setting: Setting, stack: ExitStack) -> None:
    (setting.root / "cache").touch()
    setting.env["NUMBA_CACHE_DIR"] = str(setting.root / "cache")


@_environment
def _torn_cache(setting: Setting, stack: ExitStack) -> None:
    for number, path in enumerate(_kernels(setting.package)):
        path.write_bytes(path.read_bytes()[: number * 37])


@_environment
def _empty_cache_files(setting: Setting, stack: ExitStack) -> None:
    for path in _kernels(setting.package):
        path.write_bytes(b"")


@_environment
def _full_cache(setting: Setting, stack: ExitStack) -> None:
    setting.env["NUMBA_CACHE_DIR"] = str(_full_disk(setting.root / "cache", stack))


@_environment
def _full_output(setting: Setting, stack: ExitStack) -> None:
    setting.out = _full_disk(setting.root / "disk", stack)


@_environment
def _full_output_by_patch(setting: Setting, stack: ExitStack) -> None:
    """The same for systems that mount no disk."""
    fails = "raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))"
    _at_start(setting, f"import errno, os\ndef full(descriptor): {fails}\nos.fsync = full")


@_environment
def _no_torch(setting: Setting, stack: ExitStack) -> None:
    # None in sys.modules would be met by packages that look there for torch
    _at_start(
        setting,
        "import sys\n"
        "class NoTorch:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'torch':\n"
        "            raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')\n"
        "sys.meta_path.insert(0, NoTorch())\n",
    )


@_environment
def _closed_stderr(setting: Setting, stack: ExitStack) -> None:
    setting.redirect = "2>&-"


@_environment
def _closed_stdout(setting: Setting, stack: ExitStack) -> None:
    setting.redirect = ">&-"


@_environment
def _full_stdout(setting: Setting, stack: ExitStack) -> None:
    if not Path("/dev/full").exists():
        raise NotHereError("there is no /dev/full")
    setting.redirect = ">/dev/full"


def _kernels(package: Path) -> list[Path]:
    return sorted(package.rglob(f"*{SUFFIX}"))


def _forget(package: Path) -> None:
    for path in _kernels(package):
        path.unlink()


def _at_start(setting: Setting, code: str) -> None:
    """Let each Python process run `code` first."""
    folder = setting.root / "start"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(code)
    setting.env["PYTHONPATH"] = f"{folder}{os.pathsep}{setting.env['PYTHONPATH']}"


def _without_privileges(setting: Setting) -> None:
    """Let permissions bind root too."""
    if os.getuid() != 0:
        return
    before = ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner", "--inh-caps=-all", "--"]
    if shutil.which("setpriv") is None or subprocess.run([*before, "true"], capture_output=True).returncode:
        raise NotHereError("permissions do not bind root, and setpriv cannot make that they do")
    setting.before = before


def _lock(folder: Path, stack: ExitStack) -> None:
    """Let nothing be written below `folder`."""
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    for each in folders:
        stack.callback(each.chmod, each.stat().st_mode)
        each.chmod(0o555)


def _full_disk(place: Path, stack: ExitStack) -> Path:
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16k", "lavadl-ref-test", str(place)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        raise NotHereError("a small disk cannot be mounted")
    stack.callback(subprocess.run, ["umount", str(place)], check=True)
    space = os.statvfs(place)
    (place / "filler").write_bytes(bytes(space.f_bavail * space.f_frsize))
    return place


class Base:
    """A copy of the package with its kernels compiled, and a network."""

    def __init__(self, root: Path) -> None:
        self.package = root / "package"
        for module in (lavadl_ref, lavadl_kernels):
            source = Path(str(module.__file__)).parent
            # times stay, so that kernels remain valid in copies of the copy
            shutil.copytree(source, self.package / source.name, ignore=shutil.ignore_patterns("__pycache__"))
        self.file = root / "network.net"
        _write_network(self.file)
        self._root = root

    @contextmanager
    def setting(self, environment: str) -> Iterator[Setting]:
        """The environment, which is undone afterwards."""
        with ExitStack() as stack:
            root = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=self._root)))
            package = self.package
            if environment != "usual":
                package = root / "package"
                shutil.copytree(self.package, package)
            (root / "out").mkdir()
            dropped = ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "PYTHONPATH")
            env = {name: value for name, value in os.environ.items() if name not in dropped}
            env |= {"PYTHONPATH": str(package), "COLUMNS": "200"}
            setting = Setting(root, package, self.file, root / "out", env)
            ENVIRONMENTS[environment](setting, stack)
            yield setting


def _write_network(path: Path) -> None:
    import numpy as np

    from lavadl_ref import exchange

    neuron = exchange.Neuron("CUBA", {"current_decay": 1024, "voltage_decay": 128, "threshold": 80})
    layer = exchange.Dense(shape=(2,), neuron=neuron, weight=np.array([[32, -8, 64], [16, 20, -4]]))
    exchange.write(path, exchange.Network((layer,)))


def run(environment: str, command: str, setting: Setting) -> Outcome:
    """One command in one environment."""
    words = [word.format(file=setting.file, out=setting.out) for word in COMMANDS[command]]
    start = [*setting.before, sys.executable, "-m", "lavadl_ref.cli.main", *words]
    if setting.redirect:
        start = ["sh", "-c", f'exec "$@" {setting.redirect}', "sh", *start]
    began = time.monotonic()
    try:
        done = subprocess.run(
            start, env=setting.env, cwd=setting.root, stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT
        )
    except subprocess.TimeoutExpired:
        return Outcome(environment, command, -1, (), LIMIT, "hangs")
    said = done.stderr.decode(errors="replace").splitlines()
    lines = tuple(line for line in said if not line.startswith(TEXT))
    return Outcome(environment, command, done.returncode, lines, time.monotonic() - began, _fault(done, lines))


def _fault(done: subprocess.CompletedProcess[bytes], lines: tuple[str, ...]) -> str:
    if done.returncode < 0 or done.returncode > 128:
        return "ended by a signal"
    if b"Traceback (most" in done.stdout + done.stderr or b"Exception ignored" in done.stderr:
        return "traceback"
    if len(lines) > 1:
        return f"{len(lines)} lines"
    return "" if done.returncode in STATUSES else f"status {done.returncode}"


def outcomes(
    environments: Iterable[str], commands: Iterable[str], skipped: Callable[[str, str], None]
) -> Iterator[Outcome]:
    """Every command in every environment; `skipped` gets the name and the reason of one that cannot be had."""
    commands = list(commands)
    with tempfile.TemporaryDirectory() as folder:
        base = Base(Path(folder))
        with base.setting("usual") as setting:
            yield from [run("usual", command, setting) for command in commands]
        for environment in environments:
            if environment == "usual":
                continue
            try:
                with base.setting(environment) as setting:
                    for command in commands:
                        yield run(environment, command, setting)
            except NotHereError as error:
                skipped(environment, str(error))


def main() -> int:
    """Print a line for each command and environment; 1 if one of them is at fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commands", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument("--environments", nargs="+", choices=ENVIRONMENTS, default=list(ENVIRONMENTS))
    chosen = parser.parse_args()
    faults = count = 0
    print(f"{'environment':<36}{'command':<10}{'status':>6}{'lines':>6}{'seconds':>9}  what")

    def skipped(name: str, reason: str) -> None:
        print(f"{name:<36}skipped: {reason}", flush=True)

    for found in outcomes(chosen.environments, chosen.commands, skipped):
        count += 1
        faults += bool(found.fault)
        what = ": ".join(part for part in (found.fault.upper(), *found.lines[-1:]) if part)
        figures = f"{found.status:>6}{len(found.lines):>6}{found.seconds:>9.1f}"
        print(f"{found.environment:<36}{found.command:<10}{figures}  {what[:200]}", flush=True)
    print(f"{count} commands, {faults} at fault")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
