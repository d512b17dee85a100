"""The blocks, once for all neuron families.

A spiking block is synapse, neuron, one-step shift, learnable delay, in this order.  A
family binds its neuron class, its synapses and its default shift, nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import h5py
import torch
from torch import Tensor

from lavadl_ref import exchange
from lavadl_ref.slayer import axon
from lavadl_ref.slayer.neuron.base import Neuron
from lavadl_ref.slayer.neuron.spiking import Signal
from lavadl_ref.slayer.synapse.layer import Hook
from lavadl_ref.slayer.utils import event_rate

MAX_DELAY = 62  #: longest axonal delay that a block learns, what the device can hold

Output = Tensor | tuple[Tensor, Tensor | float]


class Block(torch.nn.Module):
    """What all blocks share: counting of events, the shape, and the export."""

    def __init__(self, count_log: bool = False) -> None:
        super().__init__()
        self.count_log = count_log
        self.shape: torch.Size | None = None

    def _counted(self, x: Tensor) -> Output:
        return (x, event_rate(x)) if self.count_log else x

    def describe(self) -> exchange.Layer:
        """What this block writes into a ``.net`` file."""
        raise NotImplementedError

    def deployed(self, x: Tensor) -> Output:
        """The output for `x` as the layer in the file has it, for blocks that can also compute otherwise."""
        output: Output = self(x)
        return output

    def export_hdf5(self, handle: h5py.Group) -> None:
        """Write this block into an open group of a ``.net`` file.

        Raises
        ------
        RuntimeError
            If no input has passed yet, so that the shape is not known.
        """
        exchange.write_layer(handle, self.describe())

    def _known_shape(self) -> tuple[int, ...]:
        if self.shape is None:
            raise RuntimeError(
                f"{type(self).__name__} block has not seen any input, so its shape is not known: "
                "pass one sample through the network before exporting"
            )
        return tuple(int(s) for s in self.shape)


class SpikingBlock(Block):
    """A block with a neuron.

    Parameters
    ----------
    neuron_params : mapping or None
        Arguments of the family's neuron; not modified.
    delay : bool
        Whether to learn an axonal delay for each channel.
    delay_shift : bool, optional
        Whether the output is shifted by one step, as a deployed network does; if not given, the
        default of the family: True, and False for sigma-delta.
    count_log : bool
        Whether to return the event rate too.
    """

    neuron_class: type[Neuron]
    synapses: ModuleType
    default_shift: bool

    def __init__(
        self, neuron_params: Mapping[str, Any] | None, delay: bool, delay_shift: bool | None, count_log: bool
    ) -> None:
        super().__init__(count_log)
        self.neuron = None if neuron_params is None else self.neuron_class(**neuron_params)
        self.delay_shift = self.default_shift if delay_shift is None else delay_shift
        self.delay = axon.Delay(max_delay=MAX_DELAY) if delay else None
        if self.delay is not None and self.neuron is not None:
            self.delay.persistent_state = self.neuron.persistent_state
        self.delay_buffer: Tensor | None
        self.register_buffer("delay_buffer", None, persistent=False)

    def _sized(self, channels: int) -> None:
        """Give neuron and delay the number of their channels, which follows from the constructor's arguments."""
        for part in (self.neuron, self.delay):
            if part is not None:
                part.allocate(channels)

    def reset(self) -> None:
        """Forget all state that persists between calls."""
        self.delay_buffer = None
        for part in (self.neuron, self.delay):
            if part is not None:
                part.reset()

    @property
    def _persists(self) -> bool:
        return self.neuron is not None and self.neuron.persistent_state

    def _shifted(self, x: Tensor) -> Tensor:
        """`x` one step later; what leaves at the end enters the next call of a persistent block."""
        if not self.delay_shift:
            return x
        shifted = axon.delay(x, 1)
        if not self._persists:
            return shifted
        last, self.delay_buffer = self.delay_buffer, x[..., -1:].detach()
        if last is None or last.shape[:-1] != x.shape[:-1]:
            return shifted
        return torch.cat([last, shifted[..., 1:]], dim=-1)

    def _fire(self, z: Signal) -> Output:
        """What leaves the block for the input `z` of its neurons."""
        assert self.neuron is not None
        return self._sent(self.neuron(z))

    def _sent(self, spikes: Tensor) -> Output:
        """What leaves the block for the spikes of its neurons."""
        if self.delay is None:
            x = self._shifted(spikes)
        elif self.delay_shift and not self._persists:
            x = self.delay(spikes, 1)  # both in one pass
        else:
            x = self.delay(self._shifted(spikes))
        self.shape = x.shape[1:-1]
        return self._counted(x)


class SynapticBlock(SpikingBlock):
    """A spiking block fed through a synapse, quantised by the neuron unless `pre_hook_fx` is given."""

    synapse: Any
    _mixes_channels = True  #: whether the number of channels is the synapse's, not the input's

    def __init__(
        self,
        neuron_params: Mapping[str, Any],
        synapse: Any,
        pre_hook_fx: Hook | None,
        delay: bool,
        delay_shift: bool | None,
        count_log: bool,
    ) -> None:
        super().__init__(neuron_params, delay, delay_shift, count_log)
        assert self.neuron is not None
        self.synapse = synapse
        self.synapse.pre_hook_fx = self.neuron.quantize_8bit if pre_hook_fx is None else pre_hook_fx
        if self._mixes_channels:
            self._sized(synapse.out_channels)

    def forward(self, x: Tensor) -> Output:
        """Spikes (N, ..., T) of this block for spikes `x` of the one before; with ``count_log`` also their rate."""
        return self._fire(self.synapse(x))
