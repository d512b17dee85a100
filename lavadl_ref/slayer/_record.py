"""Recording of spikes and states of a live network, in training or evaluation."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from lavadl_kernels.neurons import FAMILIES
from numpy.typing import NDArray
from torch import Tensor

from lavadl_ref.slayer._states import ChangeStates, Integers, SpikingStates, States
from lavadl_ref.slayer.block._block import Block, SpikingBlock
from lavadl_ref.slayer.block.readout import AbstractOutput
from lavadl_ref.slayer.block.synaptic import AbstractAffine, AbstractInput
from lavadl_ref.slayer.neuron import base, sigma_delta, spiking

#: Take the integers that were found in one call, with the integers per unit of each.
Take = Callable[[States, Mapping[str, int]], None]


def names_of_states() -> tuple[str, ...]:
    """List what can be recorded: spikes, and the states of every family."""
    return ("spikes", *dict.fromkeys(state for family in FAMILIES.values() for state in family.states))


@dataclass(frozen=True, eq=False)
class Recorded:
    """The record of one call of a block: arrays (N, \\*shape, T), by name and as attributes.

    Attributes are float64, in units of 1: ``recorded.voltage``.  They are the value after each step, with the reset
    of a spike.

    Examples
    --------
    >>> recorded = Recorded({"voltage": np.array([[[0, 2048]]])}, {"voltage": 4096})
    >>> recorded.voltage.tolist(), recorded.integers["voltage"].tolist()
    ([[[0.0, 0.5]]], [[[0, 2048]]])
    """

    integers: Mapping[str, Integers] = field(default_factory=dict)  #: the integers that a deployed network holds
    scale: Mapping[str, int] = field(default_factory=dict)  #: integers per unit of 1

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        if name not in self.integers:
            raise KeyError(f"{name!r} was not recorded of this block; it has {', '.join(self.integers) or 'nothing'}")
        return self.integers[name] / self.scale[name]

    def __getattr__(self, name: str) -> NDArray[np.float64]:
        if not name.startswith("_") and name in self.integers:
            return self[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


class Recording(Mapping[str, Recorded]):
    """The records of each block, by the name that the network's ``named_modules`` gives it: see `record`."""

    def __init__(self, kept: int | None) -> None:
        self._kept = kept
        self._calls: dict[str, deque[Recorded]] = {}
        self._handles: list[Any] = []

    def calls(self, name: str) -> tuple[Recorded, ...]:
        """The calls of a block that are kept, the newest last.

        Raises
        ------
        KeyError
            If nothing was recorded under this name.
        """
        if name not in self._calls:
            known = ", ".join(map(repr, self._calls)) or "nothing yet: call the network first"
            raise KeyError(f"block must be one that was recorded, got {name!r}; there is {known}")
        return tuple(self._calls[name])

    def close(self) -> None:
        """Stop recording and remove every hook; what was recorded stays."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def clear(self) -> None:
        """Forget what was recorded so far."""
        self._calls = {}

    def __getitem__(self, name: str) -> Recorded:
        return self.calls(name)[-1]

    def __iter__(self) -> Iterator[str]:
        return iter(self._calls)

    def __len__(self) -> int:
        return len(self._calls)

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        found = ", ".join(f"{name}: {' '.join(self[name].integers)}" for name in self)
        return f"{type(self).__name__}({found or 'nothing recorded'})"

    def _taker(self, name: str, wanted: frozenset[str]) -> Take:
        def take(found: States, scale: Mapping[str, int]) -> None:
            kept = {key: np.ascontiguousarray(value) for key, value in found.items() if key in wanted}
            if name not in self._calls:
                self._calls[name] = deque(maxlen=self._kept)
            recorded = MappingProxyType(kept), MappingProxyType({key: scale[key] for key in kept})
            self._calls[name].append(Recorded(*recorded))

        return take


def record(net: torch.nn.Module, *what: str, keep: int | None = 1) -> Recording:
    """Record what the neurons of a network do, while it trains or is evaluated.

    Parameters
    ----------
    net : Module
        Any module of torch that is a block of slayer or holds blocks or neurons, however deep.
    *what : str
        ``"spikes"``, and states by name, such as ``"voltage"`` and ``"current"``; of each block those are recorded
        that its family has. Spikes alone if nothing is given.
    keep : int or None
        Calls of each block that are kept, the newest; all with None.

    Returns
    -------
    Recording
        A mapping from the names of blocks to what their newest call left, `Recorded`. A context manager: recording
        goes on until its end, or until ``close()``, and then no hook is left.

    Raises
    ------
    TypeError
        If `net` is no module.
    ValueError
        If a name is unknown, `keep` is less than 1, or there is nothing to record in `net`.

    Notes
    -----
    Spikes are those of the neurons, before dropout, shift and delay. States are the values after each step, in which
    a spike has acted. As integers both are equal to what `lavadl_ref.reference` records of the exported network, from
    the layer's start step on; behind a norm that uses the batch's mean, to what training computed. Activations of
    sigma-delta neurons other than relu and identity are truncated to the integers of a state. Nothing that is
    recorded has a gradient. A network that is not recorded has no hooks, and does nothing else than before.

    Examples
    --------
    >>> import torch
    >>> from lavadl_ref import slayer
    >>> net = slayer.block.cuba.Dense({"threshold": 1, "current_decay": 1, "voltage_decay": 0.5}, 1, 1)
    >>> net.synapse.weight.data[:] = 0.75
    >>> with slayer.record(net, "spikes", "voltage") as seen:
    ...     spikes = net(torch.ones(1, 1, 4))
    >>> seen[""].voltage.tolist(), seen[""].spikes.tolist()
    ([[[0.75, 0.0, 0.75, 0.0]]], [[[0.0, 1.0, 0.0, 1.0]]])
    """
    if not isinstance(net, torch.nn.Module):
        raise TypeError(f"net must be a torch module, got {type(net).__name__}")
    known, wanted = names_of_states(), frozenset(what or ("spikes",))
    for name in what:
        if name not in known:
            raise ValueError(f"what to record must be of {', '.join(known)}; got {name!r}")
    if keep is not None and (not isinstance(keep, int) or isinstance(keep, bool) or keep < 1):
        raise ValueError(f"keep must be at least 1, or None for all calls, got {keep!r}")
    recording = Recording(keep)
    owned: set[torch.nn.Module] = set()
    for name, module in net.named_modules():
        take = recording._taker(name, wanted)
        if isinstance(module, Block):
            owned.update(module.modules())
            recording._handles += _tapped(module, take, wanted)
        elif isinstance(module, base.Neuron) and module not in owned:
            recording._handles += _of_neuron(module, take, wanted)
    if not recording._handles:
        raise ValueError(f"net must hold a block with neurons, got {type(net).__name__} without one")
    return recording


def _tapped(block: Block, take: Take, wanted: frozenset[str]) -> list[Any]:
    """The hooks that record a block."""
    neuron = getattr(block, "neuron", None)
    if neuron is None or not isinstance(block, SpikingBlock):
        return []
    if isinstance(block, AbstractOutput):
        return _of_change(block.sigma, ChangeTap(neuron, sigma=block.sigma), take, wanted)
    if isinstance(block, AbstractAffine):
        return [block.synapse.register_forward_hook(_read_out(neuron, take))] if block.dynamics else []
    if isinstance(block, AbstractInput) and isinstance(neuron, sigma_delta.Neuron):
        return _of_change(neuron.delta, ChangeTap(neuron, sums=False), take, wanted)
    if isinstance(neuron, torch.nn.Module):
        return _of_neuron(neuron, take, wanted)
    return []


def _of_neuron(neuron: torch.nn.Module, take: Take, wanted: frozenset[str]) -> list[Any]:
    if isinstance(neuron, sigma_delta.Neuron):
        return _of_change(neuron, ChangeTap(neuron), take, wanted)
    if isinstance(neuron, spiking.Neuron):
        return _of_spiking(neuron, take, wanted)

    def other(module: Any, arguments: Any, output: Tensor) -> None:
        scale = int(getattr(module, "s_scale", 4096))
        take({"spikes": _integers(output, scale)}, {"spikes": scale})

    return [neuron.register_forward_hook(other)]


def _of_spiking(neuron: spiking.Neuron, take: Take, wanted: frozenset[str]) -> list[Any]:
    """The hooks of neurons that spike: one before the call, which knows from where it starts, and one behind it."""
    begun: list[SpikingStates | None] = []
    sent: list[Tensor] = []  # where there is a dropout, what it receives

    def before(module: Any, arguments: Any, named: Any) -> None:
        sent.clear()
        begun.append(SpikingStates(neuron, *arguments, **named) if wanted - {"spikes"} else None)

    def dropped(module: Any, arguments: Any) -> None:
        sent.append(arguments[0].detach())

    def behind(module: Any, arguments: Any, output: Tensor) -> None:
        spikes = sent[-1] if sent else output
        one = neuron.s_scale if neuron.graded_spike else 1
        found = {"spikes": _integers(spikes, one)}
        states = begun.pop()
        if states is not None:
            found |= states.after(spikes)
        take(found, dict.fromkeys(found, neuron.s_scale) | {"spikes": one})

    handles: list[Any] = [
        neuron.register_forward_pre_hook(before, with_kwargs=True),
        neuron.register_forward_hook(behind),
    ]
    if isinstance(neuron.drop, torch.nn.Module):
        handles.append(neuron.drop.register_forward_pre_hook(dropped))
    return handles


def _read_out(neuron: base.Neuron, take: Take) -> Callable[..., None]:
    """The hook of the synapse of a block that is read out: its neurons are not called."""

    def behind(module: Any, arguments: Any, z: Any) -> None:
        if isinstance(neuron, spiking.Neuron):
            found, scale = SpikingStates(neuron, z).after(), neuron.s_scale
        elif isinstance(neuron, sigma_delta.Neuron):
            neuron.observe(z)
            found, scale = ChangeStates(neuron, z, sends=False).after(), neuron.w_scale * neuron.s_scale
        else:
            return
        take(found, dict.fromkeys(found, scale))

    return behind


@dataclass(frozen=True)
class ChangeTap:
    """The part of a sigma-delta neuron that is recorded."""

    neuron: sigma_delta.Neuron
    sums: bool = True  #: whether it sums its input
    sigma: Any = None  #: the sum of a layer that is read out

    def states(self, x: Tensor) -> ChangeStates:
        """The states of a call with the input `x` (N, C, ..., T)."""
        return ChangeStates(self.neuron, x, sums=self.sums, sigma=self.sigma)


def _of_change(module: torch.nn.Module, tap: ChangeTap, take: Take, wanted: frozenset[str]) -> list[Any]:
    """The hooks of sigma-delta neurons, or of that part of them which a block calls."""
    begun: list[ChangeStates | None] = []
    sent: list[Tensor] = []
    neuron = tap.neuron

    def before(module: Any, arguments: Any) -> None:
        sent.clear()
        if module is neuron:
            neuron.observe(arguments[0])
        begun.append(tap.states(arguments[0]) if wanted - {"spikes"} else None)

    def dropped(module: Any, arguments: Any) -> None:
        sent.append(arguments[0].detach())

    def behind(module: Any, arguments: Any, output: Tensor) -> None:
        # a layer that is read out sends its sum, in the integers of the sum
        one = neuron.s_scale if tap.sigma is None else neuron.w_scale * neuron.s_scale
        found = {"spikes": _integers(sent[-1] if sent else output, one)}
        states = begun.pop()
        if states is not None:
            found |= states.after()
        take(found, dict.fromkeys(found, neuron.w_scale * neuron.s_scale) | {"spikes": one})

    handles: list[Any] = [module.register_forward_pre_hook(before), module.register_forward_hook(behind)]
    if module is neuron and isinstance(neuron.drop, torch.nn.Module):
        handles.append(neuron.drop.register_forward_pre_hook(dropped))
    return handles


def _integers(values: Tensor, scale: int) -> Integers:
    """Values (N, C, ..., T) that are multiples of 1 / scale, as integers."""
    found: Integers = (values.detach().double() * scale).round().to(torch.int64).numpy()
    return found
