"""Deployed networks: the reference run next to Lava's runtime, and next to Lava's models in this process.

All three give the same output, which is looked at in the run that is measured.  The time is that of the steps:
for Lava without start-up, the difference between a long run and a short one.  Lava records nothing but the
network's output; the reference records all spikes.

Networks of a million neurons run on the reference alone, in nanoseconds for each neuron and step.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lavadl_ref import exchange
from lavadl_ref.deployed import reference
from lavadl_ref.exchange import Conv, Dense, Network, Neuron
from lavadl_ref.netx import lava_support
from lavadl_ref.netx.run import runtime
from validation.benchmarks.measure import Ratio, compare_timed, interleaved, once
from validation.benchmarks.results import Column, Part, Row, Settings, alone_row, ratio_columns, ratio_row
from validation.conformance import upstream_tests

PARAMETERS = {"current_decay": 1024, "voltage_decay": 128, "threshold": 80}  #: of the neurons
SHORT = 10  #: steps of the run that is subtracted


@dataclass(frozen=True)
class Case:
    """A network and its input."""

    name: str
    network: Network
    inputs: NDArray[np.int64]  #: (C, H, W, T) or (N, T)
    lava_steps: int  #: of Lava, where the steps that are measured have to outweigh its start-up

    @property
    def long_inputs(self) -> NDArray[np.int64]:
        """The input over and over, for Lava's steps."""
        times = -(-self.lava_steps // self.inputs.shape[-1])
        return np.concatenate([self.inputs] * times, axis=-1)[..., : self.lava_steps]


def dense(steps: int, lava_steps: int) -> Case:
    """200-256-200 CUBA neurons, fully connected by random even weights, 0.5 % of the inputs spiking."""
    rng = np.random.default_rng(0)
    sizes = (200, 256, 200)
    layers = [
        Dense(shape=(after,), weight=2 * rng.integers(-16, 17, (after, before)), neuron=Neuron("CUBA", PARAMETERS))
        for before, after in pairwise(sizes)
    ]
    x = (rng.random((sizes[0], steps)) < 0.005).astype(np.int64)
    return Case(f"200-256-200 CUBA, 0.5 % input, T {steps}", Network(tuple(layers)), x, lava_steps)


def tiny(steps: int, lava_steps: int) -> Case:
    """tiny.net, a convolutional network, shown a random picture.

    Raises
    ------
    FileNotFoundError
        If it is neither among the recorded data nor in an installed lava-dl.
    """
    beside = Path(__file__).resolve().parents[3] / "shared" / "data"
    places = [
        Path(os.environ.get("LAVADL_REF_DATA", beside)) / "tinynet" / "tiny.net",
        upstream_tests.INSTALLED / "netx" / "tiny.net",
    ]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise FileNotFoundError(f"tiny.net is in none of {', '.join(str(place.parent) for place in places)}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", exchange.LegacyKeyWarning)
        network = exchange.read(path)
    picture = np.random.default_rng(0).integers(0, 51, network.layers[0].shape)
    x = np.repeat(picture[..., None], steps, axis=-1)
    return Case(f"tiny.net, a picture, T {steps}", network, x, lava_steps)


def large_dense(neurons: int) -> tuple[Network, NDArray[np.int64]]:
    """16 inputs to so many CUBA neurons, 5 % of the inputs spiking, over 20 steps."""
    rng = np.random.default_rng(0)
    weight = 2 * rng.integers(-16, 17, (neurons, 16))
    layer = Dense(shape=(neurons,), weight=weight, neuron=Neuron("CUBA", PARAMETERS))
    return Network((layer,)), (rng.random((16, 20)) < 0.05).astype(np.int64)


def large_conv(neurons: int) -> tuple[Network, NDArray[np.int64]]:
    """Two channels to 16 of so many CUBA neurons in all, kernels of 3 x 3, 2 % of the inputs spiking, over 20 steps."""
    rng = np.random.default_rng(0)
    side = int((neurons / 16) ** 0.5)
    layer = Conv(
        shape=(16, side, side),
        weight=2 * rng.integers(-16, 40, (16, 2, 3, 3)),
        padding=(1, 1),
        neuron=Neuron("CUBA", PARAMETERS),
    )
    return Network((layer,)), (rng.random((2, side, side, 20)) < 0.02).astype(np.int64)


def large(settings: Settings) -> Iterator[Row]:
    """The reference alone on large layers."""
    neurons = 2**10 if settings.quick else 10**6
    for name, make in (("dense, 16 inputs, 5 % input", large_dense), ("convolution 3 x 3, 2 % input", large_conv)):
        network, x = make(neurons)
        run = reference.Network(network)
        assert run.run(x).output.any()
        rounds = interleaved((partial(once, partial(run.run, x)),), settings.rounds)
        row = alone_row(f"{neurons:,} CUBA neurons, {name}", rounds)
        steps, size = x.shape[-1], network.layers[-1].size
        yield {**row, "ours": row["ours"] / steps, "each": row["ours"] * 1e6 / steps / size}


def rows(settings: Settings) -> Iterator[Row]:
    """All figures in milliseconds per step, one after the other.

    Raises
    ------
    ImportError
        If Lava is not installed.
    """
    yield from large(settings)
    usable, reason = lava_support.available()
    if not usable:
        raise ImportError(reason)
    for make, steps, lava_steps in ((dense, 500, 3000), (tiny, 200, 400)):
        try:
            case = make(20, 40) if settings.quick else make(steps, lava_steps)
        except FileNotFoundError as error:
            print(f"{make.__name__} is left out: {error}")
            continue
        yield from map(ratio_row, measured(case, settings.rounds))


def measured(case: Case, rounds: int) -> Iterator[Ratio]:
    """The reference next to Lava's runtime, and next to the same models in this process."""
    from lavadl_ref.netx.run import inprocess

    network, x, long = reference.Network(case.network), case.inputs, case.long_inputs
    expected = network.run(long).output
    assert expected.any()

    def ours() -> float:
        began = time.perf_counter()
        network.run(long, record=("spikes",))
        return (time.perf_counter() - began) * 1e3 / long.shape[-1]

    def job(steps: int) -> runtime.Job:
        return runtime.Job(case.network, long, steps, record=())

    def lava() -> float:
        # the first run of a process of the operating system starts more slowly than later ones
        _, short, whole = runtime.run_all([job(SHORT), job(SHORT), job(case.lava_steps)], timeout=300)
        check(whole, expected)
        return (whole.seconds - short.seconds) * 1e3 / (case.lava_steps - SHORT)

    def models() -> float:
        found = inprocess.run(case.network, x, x.shape[-1], record=(), timeout=300)
        check(found, expected)
        return found.seconds * 1e3 / x.shape[-1]

    yield compare_timed(f"{case.name}, Lava's runtime", ours, lava, rounds, warm_up=1, alone=False)
    yield compare_timed(f"{case.name}, Lava in this process", ours, models, rounds)


def check(found: runtime.Records, expected: NDArray[Any]) -> None:
    """Raise unless the output is that of the reference."""
    if not np.array_equal(found.output, expected[..., : found.output.shape[-1]]):
        raise AssertionError("Lava and the reference differ")


PART = Part(
    "deployed",
    "Deployed networks",
    "This table compares the integer reference with Lava on the same network and input, with equal outputs, in "
    "milliseconds per step. Lava records only the network's output; the reference records all spikes. The time "
    "of Lava's runtime does not include its start. Large layers run on the reference only, over 20 steps, with "
    "times in nanoseconds per neuron and step.",
    (
        *ratio_columns("Lava", "ms/step", 4, name=Column("name", "network", "{}")),
        Column("each", "ns a neuron and step", "{:.2f}"),
    ),
    rows,
)
