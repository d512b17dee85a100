"""Other libraries of spiking networks: neurons, and a network of the N-MNIST shapes, in one process with ours.

They are not the same model.  Theirs are float neurons, some with one state instead of two; most carry gradients
through the reset.  Their network is linear maps over all time steps at once and neurons, without delays, weight norm,
quantised weights or dropout, and gets its input in the order they work in; ours does all of that, from N C T.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

import lavadl_ref.slayer
from validation.benchmarks import jax_peer, neurons, stubs, workloads
from validation.benchmarks.measure import Job, compare, compare_timed, once
from validation.benchmarks.results import Column, Part, Row, Settings, ratio_columns, ratio_row


class _Steps(torch.nn.Module):
    """A snnTorch neuron, which takes one step, over all steps of (T, N, C)."""

    def __init__(self, neuron: torch.nn.Module) -> None:
        super().__init__()
        self.neuron = neuron

    def forward(self, x: Tensor) -> Tensor:
        rest: Any = self.neuron.reset_mem()  # type: ignore[operator]
        state = rest if isinstance(rest, tuple) else (rest,)
        spikes = []
        for step in x:
            spike, *state = self.neuron(step, *state)
            spikes.append(spike)
        return torch.stack(spikes)


class _First(torch.nn.Module):
    """The output of a norse neuron, without its state."""

    def __init__(self, neuron: torch.nn.Module) -> None:
        super().__init__()
        self.neuron = neuron

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.neuron(x)[0]
        return out


class _Afresh(torch.nn.Module):
    """A neuron that remembers, from rest at each call."""

    def __init__(self, neuron: Any, forget: str) -> None:
        super().__init__()
        self.neuron = neuron
        self.forget = forget

    def forward(self, x: Tensor) -> Tensor:
        getattr(self.neuron, self.forget)()
        out: Tensor = self.neuron(x)
        return out


def _spikingjelly(kind: str, **parameters: Any) -> torch.nn.Module:
    neuron = getattr(importlib.import_module("spikingjelly.activation_based.neuron"), kind)(**parameters)
    neuron.step_mode = "m"
    return _Afresh(neuron, "reset")


def _sinabs() -> torch.nn.Module:
    lif = importlib.import_module("sinabs.layers").LIF
    return _Afresh(lif(tau_mem=30.0, tau_syn=4.0, norm_input=False), "reset_states")


def _snntorch(kind: str, **decays: float) -> torch.nn.Module:
    return _Steps(getattr(importlib.import_module("snntorch"), kind)(**decays))


def _norse() -> torch.nn.Module:
    return _First(importlib.import_module("norse.torch").LIF())


@dataclass(frozen=True)
class Peer:
    """A library's neuron."""

    name: str
    package: str
    make: Callable[[], torch.nn.Module]
    samples_first: bool = False  #: takes (N, T, C) instead of (T, N, C)


PEERS = (
    Peer("spikingjelly LIFNode", "spikingjelly", partial(_spikingjelly, "LIFNode", decay_input=False)),
    Peer("spikingjelly CUBALIFNode", "spikingjelly", partial(_spikingjelly, "CUBALIFNode")),
    Peer("sinabs LIF (membrane and synapse)", "sinabs", _sinabs, samples_first=True),
    Peer("snntorch Leaky", "snntorch", partial(_snntorch, "Leaky", beta=0.97)),
    Peer("snntorch Synaptic", "snntorch", partial(_snntorch, "Synaptic", alpha=0.75, beta=0.97)),
    Peer("norse LIF", "norse", _norse),
)


def neuron_jobs(peer: Peer, x: Tensor) -> tuple[Job, Job]:
    """Forward, and forward with backward, of a peer's neurons for `x` (N, C, T), given as it takes it."""
    neuron = peer.make()
    given = x.permute((0, 2, 1) if peer.samples_first else (2, 0, 1)).contiguous()
    tracked = given.clone().requires_grad_()
    gradient = torch.ones_like(given)

    def forward() -> None:
        with torch.no_grad():
            neuron(given)

    def both() -> None:
        tracked.grad = None
        neuron(tracked).backward(gradient)

    return forward, both


def rates(samples: int) -> Tensor:
    """The rates (N, classes) that networks are trained to."""
    wanted = torch.full((samples, workloads.CLASSES), 0.03)
    wanted[torch.arange(samples), torch.arange(samples) % workloads.CLASSES] = 0.2
    return wanted


def network(peer: Peer, x: Tensor, width: int) -> workloads.Workload:
    """A training step on `x` (N, 2312, T), with the squared error of rates."""
    torch.manual_seed(0)
    sizes = (34 * 34 * 2, width, width, workloads.CLASSES)
    layers: list[torch.nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [torch.nn.Linear(before, after, bias=False), peer.make()]
    net = torch.nn.Sequential(*layers)
    wanted = rates(x.shape[0])
    time = 1 if peer.samples_first else 0
    given = x.permute((0, 2, 1) if peer.samples_first else (2, 0, 1)).contiguous()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    return workloads.Workload(peer.name, net, given, lambda out: ((out.mean(time) - wanted) ** 2).sum(), optimizer)


def network_jobs(peer: Peer, x: Tensor, width: int) -> tuple[Job, Job, Job]:
    """A training step, inference of all samples, and of the first, of `network`."""
    job = network(peer, x, width)
    first = job.x[:1] if peer.samples_first else job.x[:, :1]

    def infer_one() -> None:
        job.net.eval()
        with torch.no_grad():
            job.net(first)

    return job.train, job.infer, infer_one


@dataclass(frozen=True)
class Library:
    """The jobs of a library: of neurons for an input (N, C, T), and of a network as wide as told."""

    name: str
    package: str
    neurons: Callable[[Tensor], tuple[Job, Job]]  #: forward, and forward with backward
    network: Callable[[Tensor, int], tuple[Job, Job, Job]]  #: training step, inference, and of one sample


def _jax_network(x: Tensor, width: int) -> tuple[Job, Job, Job]:
    return jax_peer.network_jobs(x, rates(x.shape[0]), width)


LIBRARIES = (
    *(Library(peer.name, peer.package, partial(neuron_jobs, peer), partial(network_jobs, peer)) for peer in PEERS),
    Library("JAX, compiled scan of CUBA", "jax", jax_peer.neuron_jobs, _jax_network),
)


def rows(settings: Settings) -> Iterator[Row]:
    """All peers.

    Raises
    ------
    ImportError
        If none is installed.
    """
    stubs.install()
    there = [library for library in LIBRARIES if importlib.util.find_spec(library.package)]
    if not there:
        raise ImportError("no peer is installed: make bench PEERS=1")
    rounds = settings.rounds
    lengths = (12,) if settings.quick else (100, 300)
    batch, width = (2, 32) if settings.quick else (32, 512)
    for steps in lengths:
        x = torch.randn(batch, width, steps, generator=torch.Generator().manual_seed(0)) * 0.5
        own = neurons.passes(lavadl_ref.slayer, "cuba", neurons.time_major(x))
        for peer in there:
            forward, both = peer.neurons(x)
            for what, mine, theirs in (("forward", own.forward, forward), ("forward + backward", own.both, both)):
                name = f"neuron {batch}x{width}xT{steps}: {what}"
                found = compare_timed(name, mine, partial(once, theirs), rounds)
                yield ratio_row(found, peer=peer.name)
    ours = workloads.nmnist(lavadl_ref.slayer, settings.quick)
    for peer in there:
        train, infer, infer_one = peer.network(ours.x, ours.net[0].synapse.weight.shape[0])  # type: ignore[index]
        jobs: list[tuple[str, Job, Job]] = [
            ("training step", ours.train, train),
            (f"inference, batch {ours.x.shape[0]}", ours.infer, infer),
            ("inference, batch 1", partial(ours.infer, 1), infer_one),
        ]
        for what, job, beside in jobs:
            found = compare(f"N-MNIST shapes: {what}", job, beside, rounds)
            yield ratio_row(found, peer=peer.name)


PART = Part(
    "peers",
    "Other libraries",
    "The models differ. The other libraries have float neurons, some with one state instead of two, and most "
    "carry gradients through the reset. Their network consists of linear maps over all steps at once and "
    "neurons, without delays, weight norm, quantised weights or dropout, and receives its input in the axis "
    "order in which it computes. Ours has all of these, and takes N C T. For neurons, ours is CUBA on "
    "time-major memory, with trained decays. The JAX versions were written for this benchmark in the style of "
    "JAX's spiking libraries: a compiled loop over time, with all weighted sums computed before it. JAX uses "
    "all processors.",
    (
        Column("name", "workload", "{}"),
        Column("peer", "library", "{}", 33),
        *ratio_columns("theirs")[1:],
    ),
    rows,
    optional=True,
)
