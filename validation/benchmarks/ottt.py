"""Online learning next to SpikingJelly: an update at every step of a network of the N-MNIST shapes.

The other side is the library's own OTTT: its neurons, its sequence of layers and its training loop.  Its neurons are
LIF with one float state; its first layer learns from the spikes of the step alone, without a trace of its input.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

import lavadl_ref.slayer
from validation.benchmarks import online, stubs, workloads
from validation.benchmarks.measure import Job, compare_timed
from validation.benchmarks.results import Part, Row, Settings, ratio_row

LIBRARY = "spikingjelly"


def job(x: Tensor, labels: Tensor, width: int) -> Job:
    """Learning at every step from `x` (N, 2312, T), from rest, by SpikingJelly's OTTT."""
    stubs.install()
    neuron, layer, learning, net_config = (
        importlib.import_module(f"{LIBRARY}.activation_based.{name}")
        for name in ("neuron", "layer", "learning.online_learning", "functional.net_config")
    )
    torch.manual_seed(0)
    layers: list[torch.nn.Module] = []
    for before, after in pairwise((workloads.INPUTS, width, width, workloads.CLASSES)):
        layers += [torch.nn.Linear(before, after, bias=False), neuron.OTTTLIFNode()]
    net = layer.OTTTSequential(*layers)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)
    # the loop takes samples first, and works on one step after the other: in memory, steps come first
    given = x.permute(2, 0, 1).contiguous().transpose(0, 1)
    targets = labels[:, None].expand(-1, x.shape[-1])

    def learn() -> None:
        net_config.reset_net(net)
        learning.ottt_online_training(net, optimizer, given, targets, functional.cross_entropy, True)

    return learn


def rows(settings: Settings) -> Iterator[Row]:
    """Networks that train their weights alone, and all that ours has.

    Raises
    ------
    ImportError
        If SpikingJelly is not installed.
    """
    stubs.install()
    if not importlib.util.find_spec(LIBRARY):
        raise ImportError(f"{LIBRARY} is not installed: make bench PEERS=1")
    steps = online.sizes(settings.quick).each
    for whole, what in online.TRAINED.items():
        own = workloads.nmnist(lavadl_ref.slayer, settings.quick, whole=whole)
        x = own.x[..., :steps].contiguous()
        labels = online.labels_of(x.shape[0])
        learn = partial(online.learner_of(own, "spatial", 1).learn, x, labels)
        theirs = job(x, labels, workloads.width(settings.quick))
        name = f"{online.shapes(x)}, spatial: update at every step, of {what}"
        found = compare_timed(name, online.per_step(learn, steps), online.per_step(theirs, steps), settings.rounds)
        yield ratio_row(found, beside=f"{LIBRARY} OTTT", unit="ms a step")


PART = Part(
    "online_peers",
    "Online learning next to another library",
    "Both sides update at every step: this package, and SpikingJelly's own OTTT with its neurons, sequence of "
    "layers and training loop. The models differ. SpikingJelly's are LIF neurons with one float state after "
    "linear maps, without weight norm, quantised weights, delays or dropout; its first layer learns without a "
    "trace of its input, and its input comes in the axis order in which it computes. Ours has two states, "
    "weight norm and quantised weights, a trace in every layer, and, where stated, also trains decays and "
    "delays. Both sides use torch's fused Adam.",
    online.COLUMNS,
    rows,
    optional=True,
)
