"""A check of this machine: Python, packages, threads, the kernel cache, Lava.

Nothing heavy is imported before it is checked. A package that cannot be imported becomes a
finding with advice, not an error.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

PYTHONS = ((3, 10), (3, 13))  #: the oldest and the newest that every part works on
REQUIRED = ("numpy", "numba", "h5py", "scipy", "torch")
NEEDED_BY_LAVA = ("asteval", "networkx")
LAVA_SECONDS = 60.0  #: for a network of one neuron, Lava's start-up included


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    name: str  #: of the thing that was checked
    value: str  #: that it has
    ok: bool  #: whether it is as it should be
    advice: str = ""  #: what to type or do if it is not; empty if it is

    def __str__(self) -> str:
        line = f"{'ok ' if self.ok else 'NO '} {self.name}: {self.value}"
        return f"{line}\n    {self.advice}" if self.advice else line


def report(run_lava: bool = False) -> list[Finding]:
    """Check everything.

    Parameters
    ----------
    run_lava : bool
        Also run a network of one neuron on Lava and compare it with the reference: some seconds.

    Returns
    -------
    list of Finding
        In the order to print them.  Nothing raises: a failure is a finding that is not `ok`.

    Examples
    --------
    >>> [finding.name for finding in report()][:4]
    ['Python', 'platform', 'lavadl-ref', 'numpy']
    """
    findings = [_python(), _platform(), _package("lavadl-ref", __package__)]
    findings += [_package(name, name) for name in REQUIRED]
    findings.append(_lava())
    findings += [_optional(name) for name in (*NEEDED_BY_LAVA, "lava-dl")]
    findings += [_kernels(), _kernel_cache(), _torch_threads(), *_matrix_hardware()]
    if run_lava:
        findings.append(_lava_runs())
    return findings


def version_of(distribution: str) -> str | None:
    """The installed version of a distribution, or None; the package is not imported."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


#: The distributions of modules that have another name.
DISTRIBUTIONS = {"sklearn": "scikit-learn", "PIL": "pillow", "lava": "lava-nc", "lavadl_kernels": "lavadl-ref"}


def missing(error: ImportError) -> str:
    """The package that a failed import lacks and the command that installs it, in one line."""
    if error.name is None:  # raised by this project, which says what to do
        return str(error)
    module = error.name.partition(".")[0]
    if not isinstance(error, ModuleNotFoundError):
        return f"{module} cannot be imported: {_brief(error)}; `lavadl-ref doctor` looks at all of them"
    name = DISTRIBUTIONS.get(module, module)
    return f"{name} is not installed: {_REINSTALL_LAVA if name == 'lava-nc' else f'pip install {name}'}"


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
    if sys.platform == "linux":
        return Finding("platform", value, True)
    return Finding("platform", value, False, "Training and the reference run need no Linux; running Lava does.")


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


def _optional(distribution: str) -> Finding:
    return Finding(distribution, version_of(distribution) or "not installed (optional)", True)


def _lava() -> Finding:
    try:
        from lavadl_ref.netx import lava_support
    except Exception as error:
        return Finding("lava-nc", f"cannot be prepared: {_brief(error)}", False, _REINSTALL_LAVA)
    usable, why = lava_support.available()
    if not usable:
        return Finding("lava-nc", version_of("lava-nc") or "not installed", False, why)
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
    try:
        import torch
    except Exception as error:
        return Finding("torch threads", f"none: {_brief(error)}", False, "pip install torch")
    return Finding("torch threads", str(torch.get_num_threads()), True)


#: Ways to multiply that are used by themselves where the processor makes them worth it.
MATRIX_HARDWARE = ("8-bit products", "8-bit convolutions", "matrix tiles")


def _matrix_hardware() -> list[Finding]:
    """Try the ways to multiply that depend on the processor: without them sums are the same, and slower."""
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
