"""Networks as C on other processors: one of 32 bits and one that stores the high byte first, under an emulator."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from lavadl_ref import port
from tests.support import c_programs, generate
from tests.support.generate import ALL_FAMILIES

#: Compiler and emulator of each processor; what it is of interest for.
TARGETS = {
    "32 bits": ("arm-linux-gnueabihf-gcc", "arm"),
    "the high byte first": ("s390x-linux-gnu-gcc", "s390x"),
}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("wild", [False, True])
def test_networks_give_the_same_integers_on_other_processors(tmp_path, target, wild):
    compiler, machine = TARGETS[target]
    emulator = c_programs.emulator(machine)
    if shutil.which(compiler) is None or emulator is None:
        pytest.skip(f"needs {compiler} and qemu-{machine}, which are not both installed")
    for seed in range(6):
        case = generate.case(seed, families=ALL_FAMILIES, wild=wild)
        folder = tmp_path / str(seed)
        c_programs.exported(folder, case.network, case.inputs, **case.options)
        program = c_programs.compiled(folder, compiler=compiler, flags=("-O2", "-static"))
        command = [emulator, str(program)]
        assert c_programs.differences(case.network, case.inputs, command, **case.options) == [], case.label


@pytest.mark.skipif(not c_programs.COMPILERS, reason=c_programs.NO_COMPILER)
@pytest.mark.parametrize("seed", range(4))
def test_a_network_calls_nothing_but_two_functions_of_the_library(tmp_path, seed):
    """Neither are there calls that a processor without floating point or an operating system would lack."""
    case = generate.case(seed, families=ALL_FAMILIES)
    shape = c_programs.open_shape(case.network, case.inputs)
    port.export(case.network, tmp_path, input_shape=shape, **case.options)
    command = [c_programs.COMPILERS[0], "-std=c99", "-O2", "-ffreestanding", "-fno-pic", "-c", "network.c"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=c_programs.PATIENCE)
    try:
        done = subprocess.run(["nm", "-u", "network.o"], cwd=tmp_path, capture_output=True, text=True, check=True)
    except FileNotFoundError:
        pytest.skip("nm is not installed")
    assert {line.split()[-1] for line in done.stdout.splitlines()} <= {"memset", "memcpy"}
