"""Events and synaptic operations of a live network, counted as `lavadl_ref.audit` counts those of its file."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lavadl_ref import exchange
from lavadl_ref._arguments import real
from lavadl_ref._text import columns
from lavadl_ref.deployed import deployment
from lavadl_ref.deployed.reference import delayed
from lavadl_ref.deployed.weighted_sums import weighted_sums
from lavadl_ref.deployed.work import Array, Counted, Totals, Work, counted, counted_outside, totals
from lavadl_ref.slayer.block import _saturation
from lavadl_ref.slayer.block._block import Block
from lavadl_ref.slayer.block.readout import AbstractOutput
from lavadl_ref.slayer.block.synaptic import AbstractAffine, AbstractInput
from lavadl_ref.slayer.neuron import sigma_delta


@dataclass(frozen=True)
class EnergyModel:
    """Energy of the operations of a chip, in joules.

    Examples
    --------
    >>> EnergyModel(operation=20e-12, event=2e-12, update=50e-12, source="my measurement").event
    2e-12
    """

    operation: float  #: one synaptic operation
    event: float  #: one message on its way out of a neuron
    update: float  #: one step of one neuron
    source: str  #: where the numbers are from

    def __post_init__(self) -> None:
        for name in ("operation", "event", "update"):
            real(name, getattr(self, name), 0)

    def of(self, work: Work) -> float:
        """The energy of a step, in joules."""
        return self.operation * work.operations + self.event * work.events + self.update * work.neurons


#: Loihi 1, as simulated before it was made, at 0.75 V. The energy of an operation is the least that is given there, and
#: that of an update the one of an active neuron; messages stay within a tile. Static power and input are not in it.
LOIHI1 = EnergyModel(
    operation=23.6e-12,
    event=1.7e-12,
    update=81e-12,
    source="Davies et al., Loihi: A Neuromorphic Manycore Processor with On-Chip Learning, IEEE Micro 38(1), 2018, "
    "table 2",
)


@dataclass(frozen=True)
class LayerWork:
    """The work of a block."""

    name: str  #: of the block in the network
    kind: str  #: of the layer in a file
    shape: tuple[int, ...]  #: (C, H, W) or (N,)
    work: Work


class WorkMeter:
    """The work of a network's blocks since counting began: see `measure_work`."""

    def __init__(self, net: torch.nn.Module) -> None:
        self._blocks: dict[torch.nn.Module, str] = {}
        self._counts: dict[str, tuple[str, tuple[int, ...], Counted]] = {}
        self._outside: Counted | None = None
        self._pass: list[_Call] = []
        self._within = False
        self._handles: list[Any] = []
        inside: set[torch.nn.Module] = set()
        for name, module in net.named_modules():
            if isinstance(module, Block) and module not in inside:
                inside.update(module.modules())
                self._blocks[module] = name
                self._watch(module)
        if not self._blocks:
            raise ValueError(f"net must hold a block of slayer, got {type(net).__name__} without one")
        if net not in self._blocks:
            self._handles.append(net.register_forward_pre_hook(lambda *_: self._begin(True)))
            self._handles.append(net.register_forward_hook(lambda *_: self._begin(False)))

    def _begin(self, within: bool) -> None:
        self._finish()
        self._within = within

    def _watch(self, block: Block) -> None:
        neuron = getattr(block, "neuron", None)
        sender = neuron
        if isinstance(block, AbstractOutput):
            sender = block.sigma
        elif isinstance(block, AbstractAffine):
            sender = None
        elif isinstance(block, AbstractInput) and isinstance(neuron, sigma_delta.Neuron):
            sender = neuron.delta
        found: dict[str, Tensor] = {}

        def keeps(key: str) -> Any:
            def keep(module: Any, arguments: Any, output: Tensor) -> None:
                found[key] = output.detach()

            return keep

        if isinstance(sender, torch.nn.Module):
            self._handles.append(sender.register_forward_hook(keeps("sent")))
            drop = getattr(neuron, "drop", None)
            if isinstance(drop, torch.nn.Module):  # what is dropped is not sent
                self._handles.append(drop.register_forward_hook(keeps("dropped")))

        def behind(module: Any, arguments: Any, output: Any) -> None:
            y = (output[0] if isinstance(output, tuple) else output).detach()
            sent = found.get("dropped", found.get("sent"))
            found.clear()
            self._called(_Call(block, arguments[0].detach(), y, sent))

        self._handles.append(block.register_forward_hook(behind))

    def _called(self, call: _Call) -> None:
        # blocks that are called one by one: where one is called again, another pass through the network has begun
        if not self._within and any(call.block is other.block for other in self._pass):
            self._finish()
        self._pass.append(call)

    def _finish(self) -> None:
        """Count what was passed through the network."""
        calls, self._pass = self._pass, []
        if not calls:
            return
        with warnings.catch_warnings():
            # that parameters are beyond a file's range is said where it is written
            warnings.simplefilter("ignore", _saturation.SaturationWarning)
            layers = _saturation.described(call.block for call in calls)
        arriving = _time_first(calls[0].x)
        if not isinstance(layers[0], exchange.Input):
            outside = counted_outside(arriving)
            self._outside = outside if self._outside is None else self._outside + outside
        for call, layer, found in zip(calls, layers, _counts(calls, layers, arriving), strict=True):
            if found is not None:
                name = self._blocks[call.block]
                before = self._counts.get(name)
                total = found if before is None else before[2] + found
                self._counts[name] = layer.kind, layer.shape, total

    def close(self) -> None:
        """Stop counting and remove every hook; the counts stay."""
        self._finish()
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def clear(self) -> None:
        """Set all counts to 0."""
        self._pass, self._counts, self._outside = [], {}, None

    @property
    def layers(self) -> tuple[LayerWork, ...]:
        """The work of each block, in the order of calls; blocks that only flatten have none."""
        if not self._within:
            self._finish()
        return tuple(LayerWork(name, kind, shape, found.work) for name, (kind, shape, found) in self._counts.items())

    @property
    def outside(self) -> Work | None:
        """The messages that enter the network; None where it begins with an input block, or nothing was counted."""
        if not self._within:
            self._finish()
        return None if self._outside is None else self._outside.work

    @property
    def totals(self) -> Totals:
        """Sums over the network, with the messages that enter it."""
        return totals([*(layer.work for layer in self.layers), self.outside])

    def energy(self, model: EnergyModel) -> float:
        """Estimate the energy of a sample's step, in joules: the counts times the constants of `model`.

        Examples
        --------
        >>> import torch
        >>> from lavadl_ref import slayer
        >>> net = slayer.block.cuba.Dense({"threshold": 1, "current_decay": 1, "voltage_decay": 1}, 2, 3)
        >>> net.synapse.weight.data[:] = 0.25
        >>> with slayer.measure_work(net) as work:
        ...     spikes = net(torch.ones(1, 2, 4))
        >>> work.totals.operations, f"{work.energy(slayer.LOIHI1):.3g}"
        (6.0, '3.85e-10')
        """
        if not isinstance(model, EnergyModel):
            raise TypeError(f"model must be an EnergyModel, such as slayer.LOIHI1, got {type(model).__name__}")
        return sum((model.of(layer.work) for layer in self.layers), 0.0)

    def __str__(self) -> str:
        head = ("block", "type", "shape", "neurons", "events", "synops", "MACs if dense")
        rows = [_row(layer.name, layer.kind, layer.shape, layer.work) for layer in self.layers]
        if self.outside is not None:
            rows.insert(0, _row("-", "outside", (), self.outside))
        rows.append(_row("all", "", (), self.totals))
        return columns(head, rows, right=head[3:])

    def __enter__(self) -> WorkMeter:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


@dataclass(frozen=True, eq=False)
class _Call:
    """A call of a block."""

    block: Block
    x: Tensor  #: its input, (N, C, ..., T)
    y: Tensor  #: its output
    sent: Tensor | None  #: what its neurons sent, where it has any that send


def _row(name: str, kind: str, shape: tuple[int, ...], work: Work) -> tuple[str, ...]:
    size = "x".join(map(str, shape))
    return name, kind, size, f"{work.neurons:,}", f"{work.events:,.2f}", f"{work.operations:,.2f}", f"{work.macs:,}"


def _counts(calls: Sequence[_Call], layers: tuple[exchange.Layer, ...], arriving: Array) -> Iterator[Counted | None]:
    """The counts of each block, on the clock of the deployed network."""
    starts = exchange.Network(layers).start_steps
    for position, (call, layer, start) in enumerate(zip(calls, layers, starts, strict=True)):
        if isinstance(layer, exchange.Flatten):
            arriving = arriving.reshape(*arriving.shape[:2], layer.size)
            yield None
            continue
        if call.sent is not None:
            sent = _started(_time_first(call.sent), start)
        elif layer.neuron is not None:  # values are read: nothing is sent
            sent = np.zeros((*arriving.shape[:2], *layer.shape), np.uint8)
        elif isinstance(layer, (exchange.Average, exchange.Dense)):
            sent = weighted_sums(layer, arriving)[0]
            bias = getattr(layer, "bias", None)
            if bias is not None:
                sent = sent.copy()
                sent[start:] += np.asarray(bias) << deployment.incoming_bits(layers)[position]
        else:
            sent = _started(_time_first(call.x if isinstance(layer, exchange.Input) else call.y), start)
        sent = sent.reshape(*sent.shape[:2], *layer.shape)
        yield counted(layer, arriving, sent)
        arriving = delayed(layer, sent)


def _time_first(x: Tensor) -> Array:
    """Messages (N, C, ..., T) as integers (T, N, C, ...), of which those that are not 0 count."""
    # messages are multiples of 1/4096, with a scale of 64; a finer one leaves them apart from 0 too
    found = x.detach()
    whole = bool((found == found.round()).all())
    values = (found if whole else found.double() * (1 << 18)).to(torch.int32).numpy()
    return np.ascontiguousarray(np.moveaxis(values, -1, 0))


def _started(sent: Array, start: int) -> Array:
    """The messages of a layer in training, (T, ...), at the steps of the deployed network: none before `start`."""
    if not start:
        return sent
    return np.concatenate([np.zeros_like(sent[:start]), sent[:-start]])


def measure_work(net: torch.nn.Module) -> WorkMeter:
    """Count the messages and synaptic operations of a network's blocks, while it trains or is evaluated.

    Parameters
    ----------
    net : Module
        Any module of torch that is a block of slayer or holds blocks that follow one another.

    Returns
    -------
    WorkMeter
        A context manager: counting goes on until its end, or until ``close()``, and then no hook is left.

    Raises
    ------
    TypeError
        If `net` is no module.
    ValueError
        If it holds no block.

    Notes
    -----
    The counts of a network in evaluation are those that `lavadl_ref.audit` gives for its file and the same input, as
    means over the steps of all samples. In training they are those of the spikes that were sent, with dropout. Every
    call of the network begins a run of its own, also where its state persists.

    Examples
    --------
    >>> import torch
    >>> from lavadl_ref import slayer
    >>> net = slayer.block.cuba.Dense({"threshold": 1, "current_decay": 1, "voltage_decay": 1}, 2, 3)
    >>> net.synapse.weight.data[:] = 0.25
    >>> with slayer.measure_work(net) as work:
    ...     spikes = net(torch.ones(1, 2, 4))
    >>> print(work)
    block  type     shape  neurons  events  synops  MACs if dense
    -----  -------  -----  -------  ------  ------  -------------
    -      outside               2    2.00    0.00              0
           dense    3            3    0.00    6.00              6
    all                          5    2.00    6.00              6
    """
    if not isinstance(net, torch.nn.Module):
        raise TypeError(f"net must be a torch module, got {type(net).__name__}")
    return WorkMeter(net)
