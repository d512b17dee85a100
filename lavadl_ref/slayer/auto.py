"""Trainable networks rebuilt from ``.net`` files."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from lavadl_ref import exchange
from lavadl_ref._assigned import Refused
from lavadl_ref.slayer._rebuilt import rebuilt
from lavadl_ref.slayer.block._family import family_of


class SequentialNetwork(torch.nn.Module):
    """The blocks of a ``.net`` file with its weights and parameters, ready to run or to continue training.

    Parameters
    ----------
    network_config : path or exchange.Network
        The file, or its description.
    persistent_state : bool
        If True, the blocks keep their state between calls. An assignment sets it in all blocks.
    reduction : {None, 'sum', 'mean'}
        Reduction over the output's time axis.
    weight_norm : bool
        If True, train length and direction of the weights separately. An assignment changes this in all blocks, but not
        their results.
    count_log : bool
        If True, also return the event rate of each block. An assignment sets it in all blocks.

    Attributes
    ----------
    blocks : ModuleList
        One block per layer of the file.

    Raises
    ------
    exchange.ExchangeError
        If the file is not a legal network, or slayer has no neurons with a layer's parameters.
    TypeError
        If `network_config` is neither.
    NotImplementedError
        If slayer has no block for a layer; the message names the layer.
    ValueError
        If `reduction` is unknown.

    Notes
    -----
    Weights that the 8-bit quantiser would change (legacy files have odd ones) are used unchanged, without a quantiser.
    A bias becomes the mean of a norm in evaluation mode; training continues from it. Call ``.eval()`` to reproduce the
    file.
    """

    handle = Refused("the file is read and closed; lavadl_ref.exchange.read gives what is in it")

    def __init__(
        self,
        network_config: str | os.PathLike[str] | exchange.Network,
        persistent_state: bool = False,
        reduction: str | None = None,
        weight_norm: bool = False,
        count_log: bool = False,
    ) -> None:
        super().__init__()
        if isinstance(network_config, exchange.Network):
            file, network = "", network_config
        elif isinstance(network_config, (str, os.PathLike)):
            file, network = f"{os.fspath(network_config)}: ", exchange.read(network_config)
        else:
            raise TypeError(f"network_config must be a path or an exchange.Network, got {network_config!r}")
        self.reduction = reduction
        self._persistent, self._normed, self._counts = persistent_state, weight_norm, count_log
        before: tuple[int, ...] = ()
        self.blocks = torch.nn.ModuleList()
        for position, layer in enumerate(network.layers):
            try:
                self.blocks.append(rebuilt(position, layer, before, persistent_state, weight_norm, count_log))
            except NotImplementedError as error:
                raise NotImplementedError(f"{file}{error}") from None
            except ValueError as error:
                raise exchange.ExchangeError(f"{file}layer {position} ({layer.kind}): {error}") from None
            before = layer.shape

    @property
    def reduction(self) -> str | None:
        return self._reduction

    @reduction.setter
    def reduction(self, value: str | None) -> None:
        if value not in (None, "sum", "mean"):
            raise ValueError(f"reduction must be None, 'sum' or 'mean', got {value!r}")
        self._reduction: str | None = value

    @property
    def count_log(self) -> bool:
        return self._counts

    @count_log.setter
    def count_log(self, value: bool) -> None:
        self._counts = value
        part: Any
        for part in self.blocks:
            part.count_log = value

    @property
    def persistent_state(self) -> bool:
        return self._persistent

    @persistent_state.setter
    def persistent_state(self, value: bool) -> None:
        self._persistent = value
        part: Any
        for part in self.blocks.modules():
            if hasattr(part, "persistent_state"):
                part.persistent_state = value

    @property
    def weight_norm(self) -> bool:
        return self._normed

    @weight_norm.setter
    def weight_norm(self, value: bool) -> None:
        self._normed = value
        for part in self.blocks:
            for name in ("synapse", "input_synapse", "recurrent_synapse"):
                synapse = getattr(part, name, None)
                if synapse is not None:
                    (synapse.enable_weight_norm if value else synapse.disable_weight_norm)()

    def forward(self, spike: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Output (N, ..., T), or (N, ...) if reduced; with ``count_log`` also the event rates, (1, blocks)."""
        counts = []
        for part in self.blocks:
            spike = part(spike)
            if self.count_log:
                spike, count = spike
                counts.append(count)
        if self.reduction is not None:
            spike = spike.sum(-1) if self.reduction == "sum" else spike.mean(-1)
        return (spike, torch.tensor(counts).reshape(1, -1)) if self.count_log else spike


def get_classes(neuron_type: str | None = None) -> tuple[ModuleType, ModuleType]:
    """The modules of a family's neuron and blocks.

    Parameters
    ----------
    neuron_type : str, optional
        The family's name in a ``.net`` file; CUBA if not given.

    Raises
    ------
    KeyError
        If no family has that name; the message names the row that is missing.
    """
    name = neuron_type or "CUBA"
    # a name of no family of the format may be that of one whose row is missing
    known = name in exchange.FAMILIES or any(name in family.aliases for family in exchange.FAMILIES.values())
    found = family_of(exchange.family(name).type if known else name)
    return sys.modules[found.neuron_class.__module__], sys.modules[found.module]


def get_neuron_params(neuron_handle: Mapping[str, Any], neuron_class: ModuleType) -> dict[str, Any]:
    """The arguments of a family's neuron from the ``neuron`` group of a layer in an open file.

    Parameters
    ----------
    neuron_handle : h5py.Group
        E.g. ``file["layer/0/neuron"]``.
    neuron_class : module
        The family's module, e.g. ``slayer.neuron.cuba``.

    Raises
    ------
    KeyError
        If a parameter is missing.
    """
    values = {key: dataset[()] for key, dataset in neuron_handle.items()}
    texts = {key: v.decode() if isinstance(v, bytes) else v for key, v in values.items()}
    params: dict[str, Any] = neuron_class.neuron_params(texts)
    return params
