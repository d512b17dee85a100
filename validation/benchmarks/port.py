"""Networks as C, next to the reference run of the same file: both give the same output, which is looked at.

The C is compiled with ``-O3`` for this processor and called for all steps at once; it records nothing.  The reference
records all spikes.  A microcontroller is another machine: what these figures tell is that nothing in the C is wasted.
"""

from __future__ import annotations

import ctypes
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from lavadl_ref import exchange, port
from lavadl_ref.deployed import reference
from tests.support import c_programs
from validation.benchmarks import deployed
from validation.benchmarks.deployed import Case
from validation.benchmarks.measure import compare_timed
from validation.benchmarks.results import Column, Part, Row, Settings, ratio_columns, ratio_row

RUN = """
#include "network.h"

static struct network net;

void run(const int32_t *in, int32_t *out, int32_t steps);

void run(const int32_t *in, int32_t *out, int32_t steps)
{
    network_init(&net);
    for (int32_t t = 0; t < steps; t++) {
        network_step(&net, in + t * (int32_t)NETWORK_INPUTS, out + t * (int32_t)NETWORK_OUTPUTS);
    }
}
"""


def digits(steps: int) -> Case:
    """digits.net, which `lavadl-ref demo` trains, here for an epoch: a digit shown after the other."""
    from lavadl_ref.cli import demo

    data, net = demo.load(), demo.build()
    demo.train(net, data, 1, lambda done, total, text: None)
    network = exchange.Network(tuple(block.describe() for block in net.eval()))
    samples = data.test[: -(-steps // demo.STEPS)].numpy().astype(np.int64)
    stream = np.concatenate(list(samples), axis=-1)[:, :steps]
    return Case(f"digits.net, 64-256-10 CUBA, T {steps}", network, stream, 0)


def as_c(network: exchange.Network, folder: Path) -> Callable[[np.ndarray], np.ndarray]:
    """The network as a function of inputs (T, inputs) int32 that gives outputs (T, outputs) int32."""
    port.export(network, folder)
    (folder / "run.c").write_text(RUN)
    library = c_programs.library(folder, ("run", "network"), ("-O3", "-march=native"))
    outputs = network.layers[-1].size

    def run(x: np.ndarray) -> np.ndarray:
        y = np.empty((len(x), outputs), np.int32)
        pointers = [array.ctypes.data_as(ctypes.POINTER(ctypes.c_int32)) for array in (x, y)]
        library.run(*pointers, ctypes.c_int32(len(x)))
        return y

    return run


def rows(settings: Settings) -> Iterator[Row]:
    """Milliseconds per step.

    Raises
    ------
    ImportError
        If there is no C compiler.
    """
    if not c_programs.COMPILERS:
        raise ImportError(c_programs.NO_COMPILER)
    steps = 32 if settings.quick else 512
    for make in (digits, lambda n: deployed.dense(n, n), lambda n: deployed.tiny(n, n)):
        try:
            case = make(steps)
        except FileNotFoundError as error:
            print(f"left out: {error}")
            continue
        with tempfile.TemporaryDirectory() as folder:
            yield measured(case, Path(folder), settings.rounds)


def measured(case: Case, folder: Path, rounds: int) -> Row:
    """A network both ways."""
    network, steps = reference.Network(case.network), case.inputs.shape[-1]
    c = as_c(case.network, folder)
    frames = np.ascontiguousarray(case.inputs.reshape(-1, steps).T, np.int32)
    expected = network.run(case.inputs).output.reshape(-1, steps).T
    if not np.array_equal(c(frames), expected):
        raise AssertionError("C and the reference differ")
    assert expected.any()

    def ours() -> float:
        began = time.perf_counter()
        c(frames)
        return (time.perf_counter() - began) * 1e3 / steps

    def theirs() -> float:
        began = time.perf_counter()
        network.run(case.inputs)
        return (time.perf_counter() - began) * 1e3 / steps

    return ratio_row(compare_timed(case.name, ours, theirs, rounds))


PART = Part(
    "port",
    "Networks as C",
    "This table compares the C that `lavadl-ref export-c` writes, compiled with -O3 for this processor, with "
    "the integer reference on the same network and input, with equal outputs, in milliseconds per step on one "
    "thread.",
    ratio_columns("reference", "ms/step", 4, name=Column("name", "network", "{}")),
    rows,
)
