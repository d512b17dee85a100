"""The processes that train one network together: those of ``torchrun``, or this one alone."""

from __future__ import annotations

import os
import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor


class Processes:
    """The process group that `torch.distributed` has, or that ``torchrun`` set the environment for; else one process.

    Attributes
    ----------
    rank, count : int
        Number of this process, from 0, and number of all.
    """

    def __init__(self) -> None:
        self._joined = False
        together = dist.is_available() and dist.is_initialized()
        if not together and int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ:
            dist.init_process_group("gloo")
            self._joined = together = True
        self.rank, self.count = (dist.get_rank(), dist.get_world_size()) if together else (0, 1)

    def leave(self) -> None:
        """Wait for the others and leave the group, if it was joined here."""
        if self._joined:
            dist.barrier()  # one that left early would cut the others off
            dist.destroy_process_group()
            self._joined = False

    def share(self, places: Tensor) -> Tensor:
        """This process's part of some samples; the sizes of the parts differ by one at most, the first has most."""
        return places[self.rank :: self.count]

    def same(self, make: Callable[[], Any]) -> Any:
        """The result of `make` in the first process, in all of them, or its ValueError or OSError."""
        if self.count == 1:
            return make()
        held: list[Any] = [None, None]
        if self.rank == 0:
            try:
                held[0] = make()
            except (OSError, ValueError) as error:
                held[1] = error
        dist.broadcast_object_list(held)
        if held[1] is not None:
            raise held[1]
        return held[0]

    def sums(self, values: Iterable[float]) -> list[float]:
        """The sums of numbers over all processes, in float64."""
        total = torch.tensor(list(values), dtype=torch.float64)
        if self.count > 1:
            dist.all_reduce(total)
        return total.tolist()

    def equal(self, tensors: Iterable[Tensor]) -> None:
        """Give all processes the first one's values of `tensors`."""
        if self.count > 1:
            for tensor in tensors:
                dist.broadcast(tensor.detach(), 0)

    def gradients(self, parameters: Iterable[Tensor], weight: float) -> None:
        """Replace each gradient by the sum over all processes of theirs times their `weight`.

        A parameter that has none in any process has none afterwards either.
        """
        if self.count == 1:
            return
        by_type: dict[torch.dtype, list[Tensor]] = defaultdict(list)
        for parameter in parameters:
            if parameter.requires_grad:
                by_type[parameter.dtype].append(parameter)
        for dtype, together in by_type.items():
            # behind the gradients a number for each parameter: how many processes have one
            parts = [
                parameter.new_zeros(parameter.numel()) if parameter.grad is None else weight * parameter.grad.flatten()
                for parameter in together
            ]
            has = torch.tensor([parameter.grad is not None for parameter in together]).to(dtype)
            total = torch.cat([*parts, has])
            dist.all_reduce(total)
            *found, counts = total.split([*map(len, parts), len(has)])
            for parameter, gradient, count in zip(together, found, counts.tolist(), strict=True):
                parameter.grad = gradient.view(parameter.shape).clone() if count else None


def seed(*numbers: int) -> None:
    """Seed the global generators of torch, NumPy and Python by all `numbers`, which are at least 0."""
    first, second = np.random.SeedSequence(numbers).generate_state(2, np.uint32).tolist()
    torch.manual_seed(first * 2**31 + second)
    np.random.seed(first)  # noqa: NPY002 - an augmentation of the user may use it
    random.seed(second)
