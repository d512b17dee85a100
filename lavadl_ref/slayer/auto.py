"""A ``.net`` file back as a trainable network."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lavadl_ref import exchange
from lavadl_ref.slayer.block import base, cuba
from lavadl_ref.slayer.block.describe import NEVER_MANTISSA
from lavadl_ref.slayer.neuron.norm import MeanOnlyBatchNorm


class SequentialNetwork(torch.nn.Module):
    """The blocks of a ``.net`` file, with its weights and parameters, ready to run or to train on.

    Parameters
    ----------
    config : path or exchange.Network
        The file, or its description.
    persistent_state : bool
        Whether the blocks keep their state from call to call.
    reduction : {None, 'sum', 'mean'}
        What to do with the output's time axis.
    weight_norm : bool
        Whether to train length and direction of the weights separately.
    count_log : bool
        Whether to return the event rate of each block too.

    Attributes
    ----------
    blocks : ModuleList
        One block per layer of the file.

    Raises
    ------
    exchange.ExchangeError
        If the file is not a legal network.
    NotImplementedError
        If slayer has no block for a layer; the layer is named.
    ValueError
        If `reduction` is unknown.

    Notes
    -----
    Weights that the 8-bit quantiser would change (legacy files have odd ones) are used as they
    are, without a quantiser.  A bias becomes the mean of a norm in evaluation; training goes on
    from there, so call ``.eval()`` to reproduce the file.
    """

    def __init__(
        self,
        config: str | os.PathLike[str] | exchange.Network,
        persistent_state: bool = False,
        reduction: str | None = None,
        weight_norm: bool = False,
        count_log: bool = False,
    ) -> None:
        super().__init__()
        if reduction not in (None, "sum", "mean"):
            raise ValueError(f"reduction must be None, 'sum' or 'mean', got {reduction!r}")
        network = config if isinstance(config, exchange.Network) else exchange.read(config)
        self.reduction = reduction
        self.count_log = count_log
        self.blocks = torch.nn.ModuleList(
            _block(position, layer, persistent_state, weight_norm, count_log)
            for position, layer in enumerate(network.layers)
        )

    def forward(self, spike: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Output (N, ..., T), or (N, ...) if reduced; with ``count_log`` also the event rates, (1, blocks)."""
        counts = []
        for block in self.blocks:
            spike = block(spike)
            if self.count_log:
                spike, count = spike
                counts.append(count)
        if self.reduction is not None:
            spike = spike.sum(-1) if self.reduction == "sum" else spike.mean(-1)
        return (spike, torch.tensor(counts).reshape(1, -1)) if self.count_log else spike


class _Pool(cuba.Pool):
    """Pooling to the height and width that a file says, which need not count a last window past the edge."""

    def __init__(self, size: tuple[int, ...], *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.size = size

    def forward(self, x: Tensor) -> base.Output:
        """Spikes (N, C, H, W, T) of at most that many windows."""
        height, width = self.size
        return self._fire(self.synapse(x)[:, :, :height, :width])


def _block(position: int, layer: exchange.Layer, persistent: bool, weight_norm: bool, count_log: bool) -> base.Block:
    if isinstance(layer, exchange.Flatten):
        return cuba.Flatten(count_log)
    if isinstance(layer, exchange.Average):
        return cuba.Average(layer.size, count_log)
    if isinstance(layer, exchange.TimeDecimation):
        return cuba.TimeDecimation(layer.factor, count_log)
    params = _params(position, layer, persistent)
    if isinstance(layer, exchange.Input):
        gains = {"weight": layer.weight / 64, "bias": layer.bias / 64}
        return _decayed(cuba.Input(params, **gains, delay_shift=layer.shifts, count_log=count_log), layer)
    if type(layer) is exchange.Dense:
        return _dense(layer, params, weight_norm, count_log)
    if isinstance(layer, exchange.Kernel) and params is not None:
        return _kernel(layer, params, weight_norm, count_log)
    raise NotImplementedError(f"layer {position} ({layer.kind}) has no block to rebuild it with")


def _params(position: int, layer: exchange.Layer, persistent: bool) -> dict[str, Any] | None:
    """Arguments of the layer's neuron; decays follow in `_fill`."""
    neuron = layer.neuron
    if neuron is None:
        return None
    if neuron.type != "CUBA" or neuron.parameters.get("weight_exp"):
        raise NotImplementedError(f"layer {position} ({layer.kind}) has {neuron.type} neurons that cannot be rebuilt")
    return {
        "threshold": neuron["threshold"] / 64,
        "current_decay": 0.0,
        "voltage_decay": 0.0,
        "persistent_state": persistent,
        "graded_spike": bool(neuron.parameters.get("graded_spike")),
        "norm": MeanOnlyBatchNorm if isinstance(getattr(layer, "bias", None), np.ndarray) else None,
    }


def _dense(
    layer: exchange.Dense, params: dict[str, Any] | None, weight_norm: bool, count_log: bool
) -> base.Affine | base.Dense:
    outputs, inputs = layer.weight.shape
    if params is None or layer.neuron["threshold"] == NEVER_MANTISSA:  # type: ignore[index]
        bare = {"threshold": 1, "current_decay": 0.0, "voltage_decay": 0.0} if params is None else params
        block: Any = cuba.Affine(bare, inputs, outputs, dynamics=params is not None, count_log=count_log)
    else:
        shift: dict[str, Any] = {"delay": layer.delay is not None, "delay_shift": layer.shifts}
        block = cuba.Dense(params, inputs, outputs, **shift, count_log=count_log)
    return _fill(block, layer, layer.weight, weight_norm)


def _kernel(layer: exchange.Kernel, params: dict[str, Any], weight_norm: bool, count_log: bool) -> base.SynapticBlock:
    window = (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    shift: dict[str, Any] = {"delay": layer.delay is not None, "delay_shift": layer.shifts, "count_log": count_log}
    outputs, per_group = layer.weight.shape[:2]
    if isinstance(layer, exchange.Conv):
        block: base.SynapticBlock = cuba.Conv(
            params, per_group * layer.groups, outputs, *window, groups=layer.groups, **shift
        )
    elif isinstance(layer, exchange.ConvTranspose):
        block = cuba.ConvT(params, outputs, per_group * layer.groups, *window, groups=layer.groups, **shift)
    elif isinstance(layer, exchange.Pool):
        block = _Pool(layer.shape[1:], params, *window, **shift)
    else:
        block = cuba.Unpool(params, *window, **shift)
    return _fill(block, layer, layer.weight, weight_norm)


def _fill(block: Any, layer: Any, weight: NDArray[np.int64], weight_norm: bool) -> Any:
    """Give `block` the file's weights, decays, delays and bias."""
    synapse = block.synapse
    synapse.weight.data = torch.tensor(weight, dtype=torch.float32).reshape(synapse.shape) / 64
    if not torch.equal(synapse.hooked_weight, synapse.weight):
        synapse.pre_hook_fx = None
    if weight_norm:
        synapse.enable_weight_norm()
    if layer.delay is not None:
        block.delay.delay.data = torch.tensor(layer.delay, dtype=torch.float32)
        block.delay.max_delay = max(block.delay.max_delay, int(layer.delay.max(initial=0)))
        block.delay.init = True
    norm = _decayed(block, layer).neuron.norm
    if norm is not None:
        norm.running_mean = -torch.tensor(layer.bias, dtype=torch.float32) / 64
        norm.num_features = len(layer.bias)
        if not torch.equal(norm.pre_hook_fx(norm.running_mean), norm.running_mean):
            norm.pre_hook_fx = None
    return block


def _decayed(block: Any, layer: exchange.Layer) -> Any:
    """Give `block` the file's decays, integers as they are."""
    if layer.neuron is not None:
        for name in ("current_decay", "voltage_decay"):
            values = np.atleast_1d(layer.neuron[name])
            getattr(block.neuron, name).data = torch.tensor(values, dtype=torch.float32)
    return block
