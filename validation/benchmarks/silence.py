"""A look at whether the layers of a network that is measured go on sending messages while it trains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

STEPS = 4  #: of training; hundreds were looked at when the workloads were chosen
PARTS = 4  #: of time: all but the first, in which spikes are still on their way, must have messages


def messages(net: torch.nn.Module) -> tuple[dict[str, list[int]], Callable[[], None]]:
    """Count the messages of each block of neurons in each part of time, at every pass; also how to stop."""
    counts: dict[str, list[int]] = {}

    def hook(name: str) -> Callable[..., None]:
        def count(module: torch.nn.Module, given: Any, sent: Any) -> None:
            out: Tensor = sent[0] if isinstance(sent, tuple) else sent
            counts[name] = [int((part != 0).sum()) for part in out.detach().tensor_split(PARTS, -1) if part.numel()]

        return count

    handles = [
        module.register_forward_hook(hook(name))
        for name, module in net.named_modules()
        if getattr(module, "neuron", None) is not None and "block" in type(module).__module__
    ]

    def end() -> None:
        for handle in handles:
            handle.remove()

    return counts, end


def check(net: torch.nn.Module, train: Callable[[], None], layers: int) -> None:
    """Assert that each of so many blocks of neurons sends messages in every part of time, at each step of `train`."""
    counts, end = messages(net)
    for step in range(STEPS):
        train()
        assert len(counts) == layers
        for name, parts in counts.items():
            assert all(parts[1:] or parts), f"layer {name!r} fell silent in step {step}: {parts} messages"
    end()
