"""The parts of all blocks, whatever their neurons.

A spiking block consists of synapse, neuron, one-step shift and learnable delay, in this order. Each part can be
replaced after the block was created, by another part of this package or your own: the block looks at its parts at each
call.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from types import ModuleType
from typing import Any

import h5py
import torch
from torch import Tensor

from lavadl_ref import exchange
from lavadl_ref.slayer import axon
from lavadl_ref.slayer._bridge.autograd import Shift
from lavadl_ref.slayer._overflow import blamed
from lavadl_ref.slayer._persistent import Persistent
from lavadl_ref.slayer._precision import FullPrecision
from lavadl_ref.slayer.block import _saturation
from lavadl_ref.slayer.neuron.base import Neuron
from lavadl_ref.slayer.neuron.spiking import Neuron as SpikingNeuron
from lavadl_ref.slayer.neuron.spiking import Signal
from lavadl_ref.slayer.utils import _validate, event_rate
from lavadl_ref.slayer.utils.quantize import quantize

MAX_DELAY = 62  #: longest axonal delay that a block learns, what the device can hold

Output = Tensor | tuple[Tensor, Tensor | float]

#: For each kind of block the function that describes it for a ``.net`` file; `block.export` fills the table.
EXPORTS: dict[type, Callable[[Any], exchange.Layer]] = {}


class Block(FullPrecision):
    """Base class of all blocks, with the counting of events, the shape, and the export."""

    def __init__(self, count_log: bool = False) -> None:
        super().__init__()
        self.count_log = _validate.flag(count_log, "count_log")
        self._shape: torch.Size | None = None

    def _called(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super()._called(*args, **kwargs)
        except ValueError as error:
            # the neurons see what the weights made of the input: infinity as NaN
            blame = None
            if "finite" in str(error):
                blame = blamed(f"the {type(self).__name__} block", args, self.named_parameters())
            if blame is None:
                raise
            raise ValueError(blame) from None

    @property
    def shape(self) -> torch.Size | None:
        """Shape of the output without batch and time; None before the first input."""
        return self._shape

    @shape.setter
    def shape(self, value: torch.Size | None) -> None:
        self._shape = value

    def _counted(self, x: Tensor) -> Output:
        return (x, event_rate(x)) if self.count_log else x

    def describe(self) -> exchange.Layer:
        """The layer that this block writes into a ``.net`` file."""
        for cls in type(self).__mro__:
            if cls in EXPORTS:
                layer: exchange.Layer = EXPORTS[cls](self)
                return layer
        raise NotImplementedError(f"{type(self).__name__} block must have a method describe to be exported, got none")

    def deployed(self, x: Tensor) -> Output:
        """The output for `x` that the exported layer gives, for blocks that can also compute in another mode."""
        output: Output = self(x)
        return output

    def export_hdf5(self, handle: h5py.Group) -> None:
        """Write this block into an open group of a ``.net`` file.

        Raises
        ------
        RuntimeError
            If the block has not received an input yet, so that its shape is not known.
        ValueError
            If a parameter is not finite, or cannot be stored in a file.

        Warns
        -----
        SaturationWarning
            If parameters are beyond what a file can hold.
        """
        _saturation.write(handle, self)

    def _known_shape(self) -> tuple[int, ...]:
        if self.shape is None:
            raise RuntimeError(
                f"{type(self).__name__} block has not seen any input, so its shape is not known: "
                "pass one sample through the network before exporting"
            )
        return tuple(int(s) for s in self.shape)


def persists(module: torch.nn.Module) -> bool:
    """Tell whether the neurons of a block keep their state from call to call."""
    return bool(getattr(getattr(module, "neuron", None), "persistent_state", False))


def called(part: Any, *args: Any) -> Any:
    """The result of a part of a block, hooks included.

    Where autocast is off, a part of ours has nothing to switch off, and its own look at that is passed by.
    """
    if (
        isinstance(part, FullPrecision)
        and type(part)._called is FullPrecision._called
        and not torch.is_autocast_enabled("cpu")
    ):
        return torch.nn.Module.__call__(part, *args)
    return part(*args)


def step_delay(module: Any, x: Tensor) -> Tensor:
    """Shift a block's output by one step, as a deployed network does between layers.

    Parameters
    ----------
    module : Module
        The block. If the state of its ``neuron`` is persistent, the last output is kept as its ``delay_buffer``
        and enters the next call.
    x : Tensor
        Output of its neurons (N, ..., T).

    Returns
    -------
    Tensor
        Shape of `x`.
    """
    # what `axon.delay` does for float32, which is all that neurons of this package send
    shifted = Shift.apply(x, 1) if x.dtype == torch.float32 and x.ndim >= 3 else axon.delay(x, 1)
    if not persists(module):
        return shifted
    last = getattr(module, "delay_buffer", None)
    module.delay_buffer = x[..., -1:].detach()
    if last is None or last.shape[:-1] != x.shape[:-1]:
        return shifted
    return torch.cat([last, shifted[..., 1:]], dim=-1)


class SpikingBlock(Persistent, Block):
    """Base class of blocks with neurons.

    A family (`block._family`) or a user's subclass adds the neurons.

    Parameters
    ----------
    neuron_params : mapping or None
        Arguments of the family's neuron; not modified.
    delay : bool
        If True, learn an axonal delay for each channel.
    delay_shift : bool, optional
        If True, shift the output by one step, as a deployed network does. The default is that of the family: True,
        except False for sigma-delta.
    count_log : bool
        If True, also return the event rate.

    Attributes
    ----------
    neuron_params, synapse_params : mapping or None
        Arguments of the parts; the code that creates the parts deletes them.
    """

    neuron_class: type[Neuron] | None = None
    synapses: ModuleType
    default_shift: bool = True
    _quantises: bool = True
    _states: tuple[str, ...] = ("delay_buffer",)
    _state_dtype = torch.float32
    synapse: Any
    neuron: Any
    delay: Any
    neuron_params: Mapping[str, Any] | None
    synapse_params: Mapping[str, Any] | None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # the arguments are those of the first constructor that does not just pass its own on
        made = (inspect.signature(vars(c)["__init__"]) for c in cls.__mro__ if "__init__" in vars(c))
        signature = next(s for s in made if all(p.kind is not p.VAR_POSITIONAL for p in s.parameters.values()))
        shift: Any = {"default": cls.default_shift, "annotation": bool}
        cls.__signature__ = inspect.Signature([  # type: ignore[attr-defined]
            p.replace(**shift) if p.name == "delay_shift" and p.default is None else p
            for p in list(signature.parameters.values())[1:]
        ])  # fmt: skip

    def __init__(
        self, neuron_params: Mapping[str, Any] | None, delay: bool, delay_shift: bool | None, count_log: bool
    ) -> None:
        super().__init__(count_log)
        self.neuron_params = _validate.mapping(neuron_params, "neuron_params")
        self.neuron = None
        self.delay = None
        self._learns_delay = _validate.flag(delay, "delay")
        self.delay_shift = self.default_shift if delay_shift is None else _validate.flag(delay_shift, "delay_shift")
        self.delay_buffer: Tensor | None = None

    @staticmethod
    def _neuron_arguments(neuron_class: type[Neuron], neuron_params: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arguments of this block's neuron for those that the user gave."""
        return neuron_params

    def _quantised_synapse(self, name: str, params: Mapping[str, Any]) -> Any:
        """A synapse whose weights the neuron quantises, unless the caller gave a ``pre_hook_fx``."""
        synapse = getattr(self.synapses, name)(**params)
        if synapse.pre_hook_fx is None and self._quantises and self.neuron is not None:
            synapse.pre_hook_fx = self.neuron.quantize_8bit
        return synapse

    def _complete(self) -> None:
        """Make what is still missing when there are neurons."""

    def _sized(self, channels: int) -> None:
        """Give neuron and delay the number of their channels, which follows from the constructor's arguments."""
        for part in (self.neuron, self.delay):
            if part is not None:
                part.allocate(channels)

    def reset(self) -> None:
        """Clear all state that persists between calls."""
        self.delay_buffer = None
        for part in (self.neuron, self.delay):
            if hasattr(part, "reset"):
                part.reset()

    @property
    def _persists(self) -> bool:
        return persists(self)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        self._tell_delay()
        super()._save_to_state_dict(destination, prefix, keep_vars)

    def _tell_delay(self) -> None:
        """Let the delay know whether state persists, which is up to the neurons."""
        if isinstance(self.delay, axon.Delay):
            self.delay.persistent_state = self._persists

    def _shifted(self, x: Tensor) -> Tensor:
        return step_delay(self, x) if self.delay_shift else x

    def _fire(self, z: Signal) -> Output:
        """The output of the block for the input `z` of its neurons."""
        if self._walks_through():
            return self._left(self.neuron.walk(z, 1))
        return self.sent(called(self.neuron, z))

    def _walks_through(self) -> bool:
        """Tell whether neurons and shift are one walk: nobody asks for spikes before the shift."""
        return (
            self.delay_shift
            and self.delay is None
            and isinstance(self.neuron, SpikingNeuron)
            and self.neuron.fires_later()
            and type(self).sent is SpikingBlock.sent
            and type(self)._shifted is SpikingBlock._shifted
        )

    def sent(self, spikes: Tensor) -> Output:
        """The output of the block for the spikes (N, ..., T) of its neurons: shifted, delayed, counted."""
        if not isinstance(self.delay, axon.Delay):
            x = self._shifted(spikes)
            x = x if self.delay is None else self.delay(x)
        else:
            self._tell_delay()
            if self.delay_shift and not self._persists:
                x = called(self.delay, spikes, 1)  # both in one pass
            else:
                x = called(self.delay, self._shifted(spikes))
        return self._left(x)

    def _left(self, x: Tensor) -> Output:
        """The output of the block, with its rate if that is asked for; notes its shape."""
        shape = x.shape[1:-1]
        if self.shape != shape:  # modules take long to set an attribute
            self.shape = shape
        return self._counted(x)


def give_bias(synapse: Any, neuron: Any) -> None:
    """Give a synapse a constant, in steps that a file can hold.

    Raises
    ------
    ValueError
        If `neuron` sends changes.
    """
    if isinstance(neuron, Neuron) and not isinstance(neuron, SpikingNeuron):
        raise ValueError(
            f"input_bias must be False with neurons of {type(neuron).__module__}, which would sum it without end, "
            "got True: use neuron.set_bias"
        )
    step = 1 / getattr(neuron, "w_scale", 64)
    for part in (synapse.real, synapse.imag) if synapse.complex else (synapse,):
        part.bias = torch.nn.Parameter(torch.zeros(part.out_channels))
        part.bias_hook_fx = partial(quantize, step=step)


class SynapticBlock(SpikingBlock):
    """Base class of blocks with neurons and a synapse that feeds them.

    Parameters
    ----------
    neuron_params, delay, delay_shift, count_log
        As in `SpikingBlock`.
    synapse_params : mapping
        Arguments of the synapse.
    mask : Tensor, optional
        Factor of the weights, (out, in) or the weight's own shape.
    input_bias : bool
        If True, add a constant for each channel to the weighted sums of every step (for complex sums, one constant for
        each part): ``synapse.bias``, in units of 1, trained from 0, and rounded to 1 / w_scale for use. A file stores
        it as ``inputBias`` for CUBA neurons and as ``bias`` for others.

    Raises
    ------
    ValueError
        If `input_bias` is True with sigma-delta neurons: set their bias with ``neuron.set_bias``.
    """

    synapse_name: str  #: of the class in `synapses`
    mask: Tensor | None
    _mixes_channels = True  #: whether the number of channels is the synapse's, not the input's

    def __init__(
        self,
        neuron_params: Mapping[str, Any] | None,
        synapse_params: Mapping[str, Any],
        delay: bool,
        delay_shift: bool | None,
        count_log: bool,
        mask: Tensor | None = None,
        input_bias: bool = False,
    ) -> None:
        super().__init__(neuron_params, delay, delay_shift, count_log)
        self.input_bias = _validate.flag(input_bias, "input_bias")
        self.synapse_params = synapse_params
        self.synapse = None
        given = None if mask is None else _validate.tensor(mask, "mask", 0).detach().clone()
        self.register_buffer("mask", given)

    def _complete(self) -> None:
        super()._complete()
        assert self.synapse_params is not None
        self.synapse = self._quantised_synapse(self.synapse_name, self.synapse_params)
        del self.synapse_params
        if self.input_bias:
            give_bias(self.synapse, self.neuron)
        self._link()
        if self._mixes_channels:
            self._sized(self.synapse.out_channels)

    def _link(self) -> None:
        """Let the synapse know the mask, which is saved with the block in the weight's shape."""
        if self.mask is not None:
            self.synapse.mask = self.mask
            self.mask = self.synapse.mask

    def sums(self, x: Tensor) -> Signal:
        """The input of the neurons for spikes `x` (N, ..., T) of the previous block, without feedback."""
        self._link()
        z: Signal = called(self.synapse, x)
        return z

    def forward(self, x: Tensor) -> Output:
        """Spikes (N, ..., T) of this block for spikes `x` of the previous block; with ``count_log`` also their rate."""
        return self._fire(self.sums(x))
