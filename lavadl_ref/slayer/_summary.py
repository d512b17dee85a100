"""A table of the layers of a network."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lavadl_ref import exchange
from lavadl_ref._arguments import whole
from lavadl_ref._text import columns
from lavadl_ref.deployed.work import counted
from lavadl_ref.slayer._hooks import MAKES_WEIGHT
from lavadl_ref.slayer.axon import Delay
from lavadl_ref.slayer.block._block import Block
from lavadl_ref.slayer.neuron.base import Neuron


@dataclass(frozen=True)
class LayerSummary:
    """A row of a summary; None where a layer has nothing of the kind."""

    name: str  #: of the module in the network
    kind: str  #: its class
    family: str | None  #: of its neurons, as a ``.net`` file calls it
    shape: tuple[int, ...] | None  #: of its output, without batch and time; None where it was not called
    parameters: int  #: numbers that can be trained
    frozen: int  #: parameters that are not trained
    synapses: int | None  #: pairs of neurons that it connects; a weight of a convolution is that of many
    neurons: int | None
    delay_bits: int | None  #: bits that hold the longest delay that it can learn


@dataclass(frozen=True)
class Summary:
    """The layers of a network, in the order of calls: see `summary`; it prints as a table."""

    rows: tuple[LayerSummary, ...]

    @property
    def parameters(self) -> int:
        """Numbers that can be trained."""
        return sum(row.parameters for row in self.rows)

    @property
    def synapses(self) -> int:
        """Pairs of neurons that are connected."""
        return sum(row.synapses or 0 for row in self.rows)

    @property
    def neurons(self) -> int:
        """Neurons of all layers."""
        return sum(row.neurons or 0 for row in self.rows)

    def __str__(self) -> str:
        head = ("layer", "type", "family", "output", "parameters", "frozen", "synapses", "neurons", "delay bits")
        cells = [
            (
                row.name or "-",
                row.kind,
                row.family or "-",
                "-" if row.shape is None else "x".join(map(str, row.shape)),
                *map(_number, (row.parameters, row.frozen, row.synapses, row.neurons, row.delay_bits)),
            )
            for row in self.rows
        ]
        frozen = sum(row.frozen for row in self.rows)
        sums = map(_number, (self.parameters, frozen, self.synapses, self.neurons))
        return columns(head, [*cells, ("all", "", "", "", *sums, "")], right=head[4:])


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def summary(net: torch.nn.Module, shape: Sequence[int], steps: int = 1) -> Summary:
    """List the layers of a network.

    A copy of the network is given an input without events, in evaluation and without hooks: the network itself, its
    states and the random numbers stay as they are, even if parameters are still to be drawn at the first input.

    Parameters
    ----------
    net : Module
        Any module of torch that is a block of slayer or holds some.
    shape : sequence of int
        Of the input without batch and time: (C,) or (C, H, W).
    steps : int
        Steps of the input, for networks that need more than one.

    Returns
    -------
    Summary

    Raises
    ------
    TypeError
        If `net` is no module, or `shape` has something else than integers.
    ValueError
        If a number is less than 1, or the network cannot take such an input.

    Examples
    --------
    >>> import torch
    >>> from lavadl_ref import slayer
    >>> neuron = {"threshold": 1, "current_decay": 0.5, "voltage_decay": 0.1}
    >>> net = torch.nn.Sequential(
    ...     slayer.block.cuba.Conv(neuron, 2, 4, 3, delay=True), slayer.block.cuba.Flatten(),
    ...     slayer.block.cuba.Dense(neuron, 64, 10),
    ... )
    >>> print(summary(net, (2, 6, 6)))
    layer  type     family  output  parameters  frozen  synapses  neurons  delay bits
    -----  -------  ------  ------  ----------  ------  --------  -------  ----------
    0      Conv     CUBA    4x4x4           76       2     1,152       64           6
    1      Flatten  -       64               0       0         -        -           -
    2      Dense    CUBA    10             640       2       640       10           -
    all                                    716       4     1,792       74
    """
    if not isinstance(net, torch.nn.Module):
        raise TypeError(f"net must be a torch module, got {type(net).__name__}")
    if isinstance(shape, (str, bytes)) or not isinstance(shape, Sequence):
        raise TypeError(f"shape must be a sequence of integers, got {type(shape).__name__}")
    size = (1, *(whole("shape", n, 1) for n in shape), whole("steps", steps, 1))
    seen: dict[str, tuple[Tensor, tuple[int, ...]]] = {}
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        copied = copy.deepcopy(net).eval()
        watched = dict(_layers(copied))
        for module in copied.modules():
            module._forward_hooks.clear()
            for key, hook in list(module._forward_pre_hooks.items()):
                if not isinstance(hook, MAKES_WEIGHT):
                    del module._forward_pre_hooks[key]
        for name, module in watched.items():
            module.register_forward_hook(_noting(seen, name))
        try:
            copied(torch.zeros(size))
        except Exception as error:
            raise ValueError(
                f"net must take an input of the shape {size}, got {type(error).__name__}: {error}"
            ) from error
        names = [*seen, *(name for name in watched if name not in seen)]
        return Summary(tuple(_row(name, watched[name], seen.get(name)) for name in names))


def _layers(net: torch.nn.Module) -> list[tuple[str, torch.nn.Module]]:
    """The outermost blocks and neurons, and other modules without parts."""
    found, inside = [], set[torch.nn.Module]()
    for name, module in net.named_modules():
        if module in inside:
            continue
        if isinstance(module, (Block, Neuron)) or not list(module.children()):
            inside.update(module.modules())
            found.append((name, module))
    return found


def _noting(seen: dict[str, tuple[Tensor, tuple[int, ...]]], name: str) -> Any:
    def note(module: Any, arguments: Any, output: Any) -> None:
        first = output[0] if isinstance(output, tuple) else output
        if isinstance(first, Tensor) and isinstance(arguments[0], Tensor):
            seen[name] = arguments[0], tuple(first.shape[1:-1])

    return note


def _row(name: str, module: torch.nn.Module, called: tuple[Tensor, tuple[int, ...]] | None) -> LayerSummary:
    neuron = module if isinstance(module, Neuron) else getattr(module, "neuron", None)
    delay = getattr(module, "delay", None)
    trained = [p.numel() for p in module.parameters() if p.requires_grad]
    shape = None if called is None else called[1]
    return LayerSummary(
        name,
        type(module).__name__,
        neuron.family if isinstance(neuron, Neuron) else None,
        shape,
        sum(trained),
        sum(p.numel() for p in module.parameters()) - sum(trained),
        None if called is None else _synapses(module, called[0]),
        None if neuron is None or shape is None else math.prod(shape),
        _bits(delay) if isinstance(delay, Delay) else None,
    )


def _synapses(module: torch.nn.Module, x: Tensor) -> int | None:
    """The synapses of a block behind an input `x` (N, C, ..., T); None where it has none that a file could hold."""
    if not isinstance(module, Block):
        return None
    try:
        layer = module.describe()
    except (NotImplementedError, RuntimeError, TypeError, ValueError):
        return None  # a block that no file can hold
    if not isinstance(layer, (exchange.Dense, exchange.Kernel)):
        return None
    silent = np.zeros((1, 1), np.uint8)
    arriving = np.broadcast_to(silent.reshape(1, 1, *[1] * (x.ndim - 2)), (1, 1, *x.shape[1:-1]))
    return counted(layer, arriving, silent).macs


def _bits(delay: Delay) -> int | None:
    if delay.max_delay is None:
        return None
    return max(int(delay.max_delay / delay.sampling_time).bit_length(), 1)
