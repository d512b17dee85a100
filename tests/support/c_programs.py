"""Networks as C programs: written, compiled and run, and their integers beside those of the reference."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from lavadl_ref import exchange, port, reference

PATIENCE = 600  #: seconds that a compiler or a program may take: a guard against hanging
COMPILERS = tuple(name for name in ("gcc", "clang") if shutil.which(name))
NO_COMPILER = "needs a C compiler, gcc or clang, and finds none"
WARNINGS = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
SANITIZED = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def compiled(
    folder: Path, names: Sequence[str] = ("network",), compiler: str = "", flags: Sequence[str] = ("-O1",)
) -> Path:
    """The program of `main.c` and the networks `names` in `folder`, compiled without a warning."""
    return _made(folder, "program", ("main", *names), compiler, flags)


def library(folder: Path, names: Sequence[str], flags: Sequence[str]) -> ctypes.CDLL:
    """The functions of some files in `folder`, in this process."""
    return ctypes.CDLL(str(_made(folder, "library.so", names, "", ("-shared", "-fPIC", *flags))))


def _made(folder: Path, to: str, names: Sequence[str], compiler: str, flags: Sequence[str]) -> Path:
    command = [compiler or COMPILERS[0], *WARNINGS, *flags, *(f"{name}.c" for name in names), "-o", to]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return folder / to


def said(program: Path | Sequence[str], text: str, *arguments: str) -> str:
    """The output of a program for `text` as its input."""
    command = [str(program)] if isinstance(program, Path) else list(program)
    done = subprocess.run([*command, *arguments], input=text, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, (done.returncode, done.stderr)
    return done.stdout


def steps(inputs: np.ndarray) -> str:
    """An input (\\*shape, T) as text, a line for each step."""
    frames = inputs.reshape(-1, inputs.shape[-1]).T
    return "".join(" ".join(map(str, frame)) + "\n" for frame in frames.astype(np.int64).tolist())


def traces(text: str, count: int) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays (values, T) that a program printed of `count` steps by their names, the output under ""."""
    lines = text.splitlines()
    assert len(lines) % count == 0
    each = len(lines) // count
    for row in range(each):
        of_steps = [lines[step * each + row].split(" ") for step in range(count)]
        name = of_steps[0].pop(0) if row else ""
        values = [line[row > 0 and step > 0 :] for step, line in enumerate(of_steps)]
        yield name, np.array(values, np.int64).T


def expected(network: exchange.Network, inputs: np.ndarray, **options: object) -> dict[str, np.ndarray]:
    """The same arrays, (values, T), from the reference."""
    run = reference.Network(network, **options).run(inputs, record=reference.RECORDABLE)
    found = {"": run.output}
    for position, (layer, kept) in enumerate(zip(network.layers, run.layers, strict=True)):
        name = f"layer_{position}_{layer.kind}"
        if layer.kind == "flatten" or (layer.kind == "input" and layer.neuron is None):
            continue
        found[f"{name}.sent"] = kept.weighted if layer.neuron is None else kept.spikes
        found.update({f"{name}.{state}": values for state, values in kept.states.items()})
    return {name: values.reshape(-1, inputs.shape[-1]).astype(np.int64) for name, values in found.items()}


def differing(wanted: dict[str, np.ndarray], given: dict[str, np.ndarray]) -> list[str]:
    """The names of the arrays (values, T) that are not equal, with the first step at which they differ."""
    found = [f"{name}: not there" for name in wanted.keys() ^ given.keys()]
    for name in wanted.keys() & given.keys():
        if wanted[name].shape != given[name].shape:
            found.append(f"{name}: {given[name].shape} instead of {wanted[name].shape}")
        elif not np.array_equal(wanted[name], given[name]):
            step = int(np.flatnonzero((wanted[name] != given[name]).any(0))[0])
            found.append(f"{name} at step {step}")
    return sorted(found)


def differences(
    network: exchange.Network, inputs: np.ndarray, program: Path | Sequence[str], **options: object
) -> list[str]:
    """As `differing`, of a program and the reference, for inputs (\\*shape, T)."""
    given = dict(traces(said(program, steps(inputs), "trace"), inputs.shape[-1]))
    return differing(expected(network, inputs, **options), given)


def exported(folder: Path, network: exchange.Network, inputs: np.ndarray, **options: object) -> port.Sizes:
    """The network as C in `folder`; the shape of the input is that of `inputs`, (\\*shape, T)."""
    return port.export(network, folder, input_shape=open_shape(network, inputs), **options)


def open_shape(network: exchange.Network, inputs: np.ndarray) -> tuple[int, ...] | None:
    """The shape of `inputs`, (\\*shape, T), where the network leaves that of its input open."""
    return inputs.shape[:-1] if network.input_shape is None else None


def emulator(machine: str) -> str | None:
    """The program that runs programs for `machine`, None where it is not installed."""
    return shutil.which(f"qemu-{machine}") or shutil.which(f"qemu-{machine}-static")
