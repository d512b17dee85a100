"""Data-parallel training of a slayer network, one process or many.

    python -m torch.distributed.run --nproc-per-node 2 -m validation.distributed.train

On several machines, on each of them, with the address of the first:

    python -m torch.distributed.run --nnodes 4 --node-rank 0 --nproc-per-node 1 \
        --rdzv-backend c10d --rdzv-endpoint HOST:29500 -m validation.distributed.train

Every process computes its share of each batch; gradients are averaged by gloo, so all take the same step that one
process would take with the whole batch.  What a block of slayer needs for that is one forward pass before it is
wrapped: parameters get their shapes there.  The first process prints a line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from lavadl_ref import slayer

NEURON = {"threshold": 0.5, "current_decay": 0.3, "voltage_decay": 0.1, "requires_grad": True}
SIZES = (2312, 512, 512, 10)


def network(sizes: tuple[int, ...] = SIZES) -> torch.nn.Module:
    """Fully connected CUBA layers of `sizes` neurons; the first is the number of inputs."""
    torch.manual_seed(0)
    return torch.nn.Sequential(*(slayer.block.cuba.Dense(NEURON, *ends, weight_scale=3) for ends in pairwise(sizes)))


def batch(step: int, samples: int, steps: int, sizes: tuple[int, ...] = SIZES, rate: float = 0.05) -> tuple[Any, Any]:
    """Spikes (N, C, T) of batch number `step`, and rates (N, C) that shall answer them: the same in all processes."""
    generator = torch.Generator().manual_seed(step)
    x = (torch.rand(samples, sizes[0], steps, generator=generator) < rate).float()
    return x, torch.rand(samples, sizes[-1], generator=generator)


def loss_of(net: Callable[[Tensor], Tensor], x: Tensor, wanted: Tensor) -> Tensor:
    """A mean over samples, so that the mean over processes with equal shares is the loss of the whole batch."""
    return ((net(x).mean(-1) - wanted) ** 2).mean()


def share(tensor: Tensor, rank: int, world: int) -> Tensor:
    """The samples of process number `rank` of `world`.

    Raises
    ------
    ValueError
        If processes would not get equally many, for then the mean over processes is another.
    """
    if len(tensor) % world:
        raise ValueError(f"expected a batch that {world} processes can share, got {len(tensor)} samples")
    return tensor.chunk(world)[rank]


@contextmanager
def group() -> Iterator[tuple[int, int]]:
    """Rank and number of the processes, joined by gloo if torchrun started several."""
    world = int(os.environ.get("WORLD_SIZE", 1))
    if world == 1:
        yield 0, 1
        return
    dist.init_process_group("gloo")
    try:
        yield dist.get_rank(), world
        dist.barrier()  # a process that left early would cut the others off
    finally:
        dist.destroy_process_group()


def parallel(net: torch.nn.Module, x: Tensor, world: int) -> torch.nn.Module:
    """`net` with the first process's parameters and averaged gradients; shaped first by a pass over `x`.

    Some blocks have parameters that the output does not depend on, such as the bias of sigma-delta neurons before it
    is set: torch has to look for them, or it would wait for their gradients and average none.
    """
    with torch.no_grad():
        net(x)
    return net if world == 1 else DistributedDataParallel(net, find_unused_parameters=True)


def gradient_bytes(net: torch.nn.Module) -> int:
    """The bytes that a step sends: a float32 for each value that trains."""
    return sum(p.numel() * p.element_size() for p in net.parameters() if p.requires_grad)


def train(samples: int, steps: int, updates: int, sizes: tuple[int, ...] = SIZES) -> dict[str, Any]:
    """Take `updates` steps of Adam over batches of `samples` in all; what was done, the same in every process."""
    with group() as (rank, world):
        # in a function of its own: what still holds the group when it is given up may end the process badly
        return _trained(rank, world, samples, steps, updates, sizes)


def _trained(rank: int, world: int, samples: int, steps: int, updates: int, sizes: tuple[int, ...]) -> dict[str, Any]:
    net = parallel(network(sizes), batch(0, 1, steps, sizes)[0], world)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    losses, seconds = [], []
    for update in range(updates):
        x, wanted = (share(tensor, rank, world) for tensor in batch(update, samples, steps, sizes))
        began = time.perf_counter()
        optimizer.zero_grad()
        loss = loss_of(net, x, wanted)
        loss.backward()
        optimizer.step()
        seconds.append(time.perf_counter() - began)
        total = loss.detach().clone()
        if world > 1:
            dist.all_reduce(total)
        losses.append(total.item() / world)
    return {
        "rank": rank,
        "processes": world,
        "threads": torch.get_num_threads(),
        "losses": losses,
        "seconds": seconds,
        "gradient_bytes": gradient_bytes(net),
    }


def main() -> None:
    """Train, and print what was done."""
    parser = argparse.ArgumentParser(prog="python -m validation.distributed.train", description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=32, help="of a batch, over all processes")
    parser.add_argument("--steps", type=int, default=300, help="of time")
    parser.add_argument("--updates", type=int, default=5, help="steps of the optimiser")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="inputs, and neurons of each layer")
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    done = train(arguments.samples, arguments.steps, arguments.updates, tuple(arguments.sizes))
    if done["rank"] == 0:
        print(json.dumps(done))


if __name__ == "__main__":
    main()
