"""Random networks and files as C programs, each message and each state beside that of the reference."""

from __future__ import annotations

import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from lavadl_ref import exchange
from tests.support import c_programs, generate

CHUNK = 10  #: networks after which a process tells how far it is
FLAGS = ("-O1",)
STEPS = 6  #: of a file; each layer of the largest sends something in the last of them
#: Every so manieth network is one whose integers leave their widths, and every so manieth runs with the sanitizers.
WILD, SANITIZED = 4, 10


@dataclass
class Agreement:
    """Counts of what was compared, and the differences."""

    networks: int = 0
    integers: int = 0
    layers: Counter[str] = field(default_factory=Counter)  #: kinds and families of the layers
    differences: list[str] = field(default_factory=list)

    def update(self, other: Agreement) -> None:
        """Add what `other` found."""
        self.networks += other.networks
        self.integers += other.integers
        self.layers.update(other.layers)
        self.differences += other.differences

    def __str__(self) -> str:
        lines = [f"{self.networks:,} networks, {self.integers:,} integers equal in C and in the reference"]
        lines += [f"{name}: {count}" for name, count in sorted(self.layers.items())]
        lines += [f"different: {text}" for text in self.differences]
        return "\n".join(lines)


def compare(
    network: exchange.Network, inputs: np.ndarray, label: str, flags: Sequence[str] = FLAGS, **options: object
) -> Agreement:
    """Run a network (\\*shape, T) both ways.

    Parameters
    ----------
    network : exchange.Network
        Any that the reference runs.
    inputs : ndarray
        (\\*shape, T) integers.
    label : str
        Of the network, for the differences.
    flags : sequence of str
        For the compiler.
    **options
        As `lavadl_ref.port.export` takes them.
    """
    found = Agreement(networks=1)
    found.layers.update(layer.kind for layer in network.layers)
    found.layers.update(layer.neuron.type for layer in network.layers if layer.neuron is not None)
    with tempfile.TemporaryDirectory() as folder:
        c_programs.exported(Path(folder), network, inputs, **options)
        program = c_programs.compiled(Path(folder), flags=flags)
        text = c_programs.said(program, c_programs.steps(inputs), "trace")
    wanted = c_programs.expected(network, inputs, **options)
    given = dict(c_programs.traces(text, inputs.shape[-1]))
    found.differences += [f"{label}: {place}" for place in c_programs.differing(wanted, given)]
    if not found.differences:
        found.integers = sum(values.size for values in wanted.values())
    return found


def random_network(seed: int) -> Agreement:
    """Compare random network number `seed`, of all families and all kinds of layers."""
    wild = seed % WILD == 0
    case = generate.case(seed, families=generate.ALL_FAMILIES, wild=wild)
    flags = c_programs.SANITIZED if seed % SANITIZED == 0 else FLAGS
    options = {**case.options, "time_base": ("slayer", "lava")[seed % 2]}
    return compare(case.network, case.inputs, f"network {seed} ({case.label})", flags, **options)


def _chunk(seeds: Sequence[int]) -> Agreement:
    found = Agreement()
    for seed in seeds:
        found.update(random_network(seed))
    return found


def random_networks(count: int, first: int = 0, jobs: int = 1) -> Iterator[Agreement]:
    """Compare so many random networks in `jobs` processes, some at a time."""
    chunks = [range(begin, min(begin + CHUNK, first + count)) for begin in range(first, first + count, CHUNK)]
    if jobs == 1:
        yield from map(_chunk, chunks)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_chunk, chunks)


def file(path: Path, steps: int = STEPS) -> Agreement:
    """Compare the network of a file for random input."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", exchange.LegacyKeyWarning)
        network = exchange.read(path)
    shape = network.input_shape
    if shape is None:
        raise ValueError(f"{path} must say the shape of its input, got a window that moves by more than one neuron")
    rng = np.random.default_rng(0)
    driven = network.layers[0].kind == "input" and network.layers[0].neuron is not None
    inputs = rng.integers(-20, 90, (*shape, steps)) if driven else rng.integers(0, 2, (*shape, steps))
    return compare(network, inputs, path.name, ("-O2",), reset_interval=steps)
