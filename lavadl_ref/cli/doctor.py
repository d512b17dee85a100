"""A check of this machine: Python, packages, threads, the kernel cache, Lava.

Nothing heavy is imported before it is checked. A package that cannot be imported becomes a
finding with advice, not an error. What is required, and the extras that may be installed, are read
from the metadata of this package.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import sys
from dataclasses import dataclass
from pathlib import Path

PYTHONS = ((3, 10), (3, 13))  #: the oldest and the newest that every part works on
OURS = "lavadl-ref"
#: Extras that are no parts of ours: what those need who work on this project or its pages, and all others at once.
COLLECTIONS = ("all", "dev", "docs")
LAVA_SECONDS = 60.0  #: for a network of one neuron, Lava's start-up included


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    name: str  #: of the thing that was checked
    value: str  #: that it has
    ok: bool  #: whether it is as it should be; also of what is optional and not there
    advice: str = ""  #: what to type or do if it is not, or to have it; empty if it is there

    def __str__(self) -> str:
        line = f"{'ok ' if self.ok else 'NO '} {self.name}: {self.value}"
        return f"{line}\n    {self.advice}" if self.advice else line


def report(run_lava: bool = False) -> list[Finding]:
    """Check everything.

    Parameters
    ----------
    run_lava : bool
        Also run a network of one neuron on Lava, if it is installed, and compare it with the reference: some seconds.

    Returns
    -------
    list of Finding
        In the order to print them.  Nothing raises: a failure is a finding that is not `ok`.

    Examples
    --------
    >>> [finding.name for finding in report()][:3]
    ['Python', 'platform', 'lavadl-ref']
    """
    findings = [_python(), _platform(), _package(OURS, __package__)]
    declared = requirements()
    findings += [_required(one) for one in declared if not one.extra]
    for extra in sorted({one.extra for one in declared} - {"", *COLLECTIONS}):
        findings.append(_extra(extra, [one for one in declared if one.extra == extra]))
    findings += [_lava(), _optional("lava-dl")]
    findings += [_kernels(), _kernel_cache(), _torch_threads(), *_matrix_hardware()]
    if run_lava and version_of("lava-nc") is not None:
        findings.append(_lava_runs())
    return findings


def version_of(distribution: str) -> str | None:
    """The installed version of a distribution, or None; the package is not imported."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


@dataclass(frozen=True)
class Requirement:
    """A distribution that this package declares to need."""

    name: str
    versions: str  #: such as ``<0.69,>=0.60``, empty if any will do
    extra: str  #: the extra that it is needed for; empty if it always is

    def __str__(self) -> str:
        return f"{self.name}{self.versions}"

    def holds(self, version: str) -> bool:
        """Tell whether a version is among the declared ones, which are bounds of the forms ``>=1.2`` and ``<3``."""
        found = _numbers(version)
        bounds = [bound.strip() for bound in self.versions.split(",")]
        low = all(found >= _numbers(bound[2:]) for bound in bounds if bound.startswith(">="))
        return low and all(found < _numbers(bound[1:]) for bound in bounds if re.match("<[^=]", bound))


def _numbers(version: str) -> tuple[int, ...]:
    """The numbers with which a version begins, without zeros at their end: 2.0 is 2."""
    begins = re.match(r"[0-9]+(\.[0-9]+)*", version.strip())
    numbers = [int(part) for part in begins[0].split(".")] if begins else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def requirements(lines: list[str] | None = None) -> list[Requirement]:
    """The requirements that this package declares, in the order of its metadata.

    Parameters
    ----------
    lines : list of str, optional
        As in ``Requires-Dist``; by default those of the installed package, none where it is not installed as one.

    Examples
    --------
    >>> requirements(["numba<0.69,>=0.60", "torch>=2.1; extra == 'train'"])[1]
    Requirement(name='torch', versions='>=2.1', extra='train')
    """
    if lines is None:
        try:
            lines = importlib.metadata.requires(OURS) or []
        except importlib.metadata.PackageNotFoundError:
            lines = []
    found = []
    for line in lines:
        what, _, marker = line.partition(";")
        parts = re.fullmatch(r"([A-Za-z0-9._-]+)\s*(?:\[.*\])?\s*\(?([^()]*)\)?", what.strip())
        extra = re.search(r"extra\s*==\s*[\"']([^\"']+)[\"']", marker)
        if parts is not None:
            found.append(Requirement(parts[1], parts[2].replace(" ", ""), extra[1] if extra else ""))
    return found


def missing(error: ImportError) -> str:
    """The package that a failed import lacks and the command that installs it, in one line."""
    from lavadl_ref import _extras

    if error.name is None or isinstance(error, _extras.ExtraMissing):  # raised by this project, which says what to do
        return str(error)
    module = error.name.partition(".")[0]
    if not isinstance(error, ModuleNotFoundError):
        return f"{module} cannot be imported: {_brief(error)}; `lavadl-ref doctor` looks at all of them"
    name = _extras.DISTRIBUTIONS.get(module, module)
    if name == "lava-nc":
        command = _REINSTALL_LAVA
    elif module in _extras.EXTRA_OF:
        command = _extras.advice(_extras.EXTRA_OF[module])
    else:
        command = _install(next((one for one in requirements() if one.name == name), Requirement(name, "", "")))
    return f"{name} is not installed: {command}"


def _install(wanted: Requirement) -> str:
    """The command that installs a distribution in a version that will do."""
    return f'pip install "{wanted}"' if wanted.versions else f"pip install {wanted}"


def versions() -> str:
    """The versions of this package and of those that its results depend on, in one line."""
    others = ", ".join(
        f"{name} {version_of(name) or 'not installed'}" for name in ("numpy", "numba", "torch", "lava-nc")
    )
    return f"lavadl-ref {version_of('lavadl-ref')} (Python {platform.python_version()}, {others})"


def _python() -> Finding:
    value = f"{platform.python_version()} ({sys.executable})"
    if PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]:
        return Finding("Python", value, True)
    oldest, newest = (".".join(map(str, version)) for version in PYTHONS)
    return Finding("Python", value, False, f"Use Python {oldest} to {newest}.")


def _platform() -> Finding:
    value = f"{platform.platform()}, {os.cpu_count()} cores"
    return Finding("platform", value if sys.platform == "linux" else f"{value}; all but Lava runs here", True)


def _package(distribution: str, module: str | None) -> Finding:
    """Check a package that must be installed and importable."""
    version = version_of(distribution)
    if version is None:
        return Finding(distribution, "not installed", False, f"pip install {distribution}")
    try:
        importlib.import_module(module or distribution)
    except Exception as error:  # a broken binary can raise any exception
        advice = f"pip install --force-reinstall {distribution}=={version}"
        return Finding(distribution, f"{version}, cannot be imported: {_brief(error)}", False, advice)
    return Finding(distribution, version, True)


def _required(wanted: Requirement) -> Finding:
    """Check a package that is always needed, and its version."""
    version = version_of(wanted.name)
    if version is None:
        return Finding(wanted.name, "not installed", False, _install(wanted))
    if not wanted.holds(version):
        return Finding(wanted.name, f"{version}, must be {wanted.versions}", False, _install(wanted))
    return _package(wanted.name, wanted.name)


def _extra(name: str, wanted: list[Requirement]) -> Finding:
    """Check what an extra installs: none of it is needed, but what is there must be of a version that will do."""
    from lavadl_ref import _extras

    title, advice = f"extra {name}", _extras.advice(name)
    versions = {one: version_of(one.name) for one in wanted}
    wrong = [f"{one.name} {has}, must be {one.versions}" for one, has in versions.items() if has and not one.holds(has)]
    if wrong:
        return Finding(title, ", ".join(wrong), False, advice)
    lacking = [one.name for one, has in versions.items() if has is None]
    if lacking:
        return Finding(title, f"{', '.join(lacking)} not installed (optional)", True, advice)
    return Finding(title, ", ".join(f"{one.name} {has}" for one, has in versions.items()), True)


def _optional(distribution: str) -> Finding:
    return Finding(distribution, version_of(distribution) or "not installed, and not needed", True)


def _lava() -> Finding:
    try:
        from lavadl_ref.netx import lava_support
    except Exception as error:
        return Finding("lava-nc", f"cannot be prepared: {_brief(error)}", False, _REINSTALL_LAVA)
    version = version_of("lava-nc")
    usable, why = lava_support.available()
    if not usable and sys.platform != "linux":
        return Finding("lava-nc", f"{version or 'not installed'}: {why}", True)
    if not usable:
        return Finding("lava-nc", version or "not installed (optional)", version is None, why)
    try:
        lava_support.enable()
    except Exception as error:
        return Finding("lava-nc", f"cannot be imported: {_brief(error)}", False, _REINSTALL_LAVA)
    patches = ", ".join(lava_support.applied) or "none"
    return Finding("lava-nc", f"{version_of('lava-nc')}, patches in force: {patches}", True)


_REINSTALL_LAVA = "pip install --force-reinstall --ignore-requires-python --no-deps lava-nc==0.10.0"


def _kernels() -> Finding:
    """Run one kernel."""
    try:
        import lavadl_kernels
        import numpy as np
        from lavadl_kernels.ops import delay

        threads = lavadl_kernels.get_num_threads()
        shifted = delay.forward(np.ones((3, 2), np.float32), np.array([0, 1]))
        if shifted.tolist() != [[1, 0], [1, 1], [1, 1]]:
            return Finding("kernels", f"wrong result {shifted.tolist()}", False, "Reinstall numba.")
    except Exception as error:
        advice = "If it is about a cache or a locator: export NUMBA_CACHE_DIR=a folder you can write to."
        return Finding("kernels", f"do not run: {_brief(error)}", False, advice)
    return Finding("kernels", f"{threads} threads", True)


def _kernel_cache() -> Finding:
    """Check the folder that keeps compiled kernels between processes."""
    try:
        import lavadl_kernels
        from lavadl_kernels.runtime.cache_folders import cache_folders

        found = cache_folders(Path(str(lavadl_kernels.__file__)).resolve().parent)
    except Exception as error:
        return Finding("kernel cache", f"none: {_brief(error)}", False, _CACHE_ADVICE)
    if found.write is None:
        return Finding("kernel cache", f"none: {found.passed_over}", False, _CACHE_ADVICE)
    return Finding("kernel cache", f"{found.write}" + (f" ({found.passed_over})" if found.passed_over else ""), True)


_CACHE_ADVICE = "Every start compiles again. export NUMBA_CACHE_DIR=a folder you can write to."


def _torch_threads() -> Finding:
    version = version_of("torch")
    try:
        import torch
    except Exception as error:
        if version is None:
            return Finding("torch threads", "none: torch is not installed", True)
        advice = f"pip install --force-reinstall torch=={version}"
        return Finding("torch threads", f"none: {_brief(error)}", False, advice)
    return Finding("torch threads", str(torch.get_num_threads()), True)


#: Ways to multiply that are used by themselves where the processor makes them worth it.
MATRIX_HARDWARE = ("8-bit products", "8-bit convolutions", "matrix tiles")


def _matrix_hardware() -> list[Finding]:
    """Try the ways to multiply that depend on the processor: without them sums are the same, and slower."""
    if version_of("torch") is None:
        return [Finding(name, "not used: torch is not installed", True) for name in MATRIX_HARDWARE]
    try:
        from lavadl_ref.slayer._bridge import dense, int8, tiles

        found = (int8.verdict("linear"), int8.verdict("convolution"), tiles.verdict())
        told = [f"{verdict.gain:.1f} times as fast as float32" if verdict.usable else f"not used: {verdict.reason}"
                for verdict in found]  # fmt: skip
        if found[0].usable:
            told[0] += f"; events are faster up to a density of {min(int8.limits().density, dense.FORWARD):.2f}"
    except Exception as error:
        told = [f"not used: {_brief(error)}"] * len(MATRIX_HARDWARE)
    return [Finding(name, value, True) for name, value in zip(MATRIX_HARDWARE, told, strict=True)]


def _lava_runs() -> Finding:
    """Compare a neuron that spikes now and then on Lava and on the reference."""
    try:
        import numpy as np

        from lavadl_ref import exchange
        from lavadl_ref.deployed import reference
        from lavadl_ref.netx.run import runtime

        neuron = exchange.Neuron("CUBA", {"current_decay": 1024, "voltage_decay": 128, "threshold": 80})
        layer = exchange.Dense(shape=(1,), neuron=neuron, weight=np.array([[32]]))
        spikes = (np.arange(16) % 3 == 0).astype(np.int64)[np.newaxis]
        network = exchange.Network((layer,))
        expected = reference.Network(network).run(spikes).output
        records = runtime.run(network, spikes, spikes.shape[-1], timeout=LAVA_SECONDS)
    except Exception as error:
        return Finding("Lava runs", f"no: {_brief(error)}", False, "Look at the finding on lava-nc above.")
    if not expected.any() or records.output.tolist() != expected.tolist():
        value = f"differs: reference {expected.tolist()}, Lava {records.output.tolist()}"
        return Finding("Lava runs", value, False, _REINSTALL_LAVA)
    return Finding("Lava runs", f"equal to the reference, {spikes.shape[-1]} steps in {records.seconds:.2f} s", True)


def _brief(error: Exception) -> str:
    """An error's type and message; of a message with a traceback inside, its first and last line."""
    lines = str(error).strip().splitlines()
    return ": ".join([type(error).__name__, *lines[:1], *lines[1:][-1:]])
