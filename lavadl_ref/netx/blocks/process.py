"""The layers of a network as Lava processes, which users can also create directly.

Axes are ordered as in Lava: (W, H, C), and (O, I) or (C_out, W, H, C_in) for weights. Every block uses exactly the
integers that it is given. Every block takes one step, except input blocks, which take none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from lava.proc.conv.process import Conv as LavaConv
from numpy.typing import ArrayLike

from lavadl_ref.netx.blocks import arguments
from lavadl_ref.netx.blocks._wiring import LayerProcesses, conv_overflow
from lavadl_ref.netx.blocks.base import AbstractBlock, Shape

Pair = int | tuple[int, int]


class Input(AbstractBlock):
    """Neurons that receive external input, through `inp` or their bias, in the same step.

    Parameters
    ----------
    shape, neuron_params, input_message_bits
        As for `AbstractBlock`.
    transform : callable, optional
        The preparation of the input, stored for users but not applied.
    bias : array, optional
        Integers of a shape that broadcasts to `shape`.
    """

    def __init__(
        self,
        *,
        shape: Shape,
        neuron_params: Mapping[str, Any] | None = None,
        transform: Callable[[Any], Any] | Any = lambda x: x,
        bias: ArrayLike | None = None,
        input_message_bits: int = 0,
        name: str | None = None,
    ) -> None:
        super().__init__(shape=shape, neuron_params=neuron_params, input_message_bits=input_message_bits, name=name)
        self.transform = transform
        self._hold(LayerProcesses(neuron=self._neuron(bias, "a_in")), self.shape)


class ComplexInput(AbstractBlock):
    """Neurons with a real and an imaginary part that receive external input in the same step.

    If you create the block directly, the input drives both parts, as in Lava-DL; in the input layer of a network, it
    drives the real part.

    Parameters
    ----------
    shape, neuron_params
        As for `AbstractBlock`.
    """

    def __init__(
        self, *, shape: Shape, neuron_params: Mapping[str, Any] | None = None, name: str | None = None
    ) -> None:
        super().__init__(shape=shape, neuron_params=neuron_params, name=name)
        neuron = self._neuron(None, "a_real_in", "a_imag_in")
        self._hold(LayerProcesses(neuron=neuron), self.shape, [neuron.a_real_in, neuron.a_imag_in])


class Dense(AbstractBlock):
    """Fully connected neurons.

    Parameters
    ----------
    shape, neuron_params, input_message_bits
        As for `AbstractBlock`; shape is (O,).
    weight : array
        (O, I) integers, even or odd, in the unit of the neurons' threshold.
    delay : array, optional
        Delays of messages in steps, 0 to 63: one for all, (O,), (I,) or (O, I).
    bias : array, optional
        (O,) integers: the neurons' bias, or without neurons a constant that is added to the sums.
    has_graded_input : bool
        If True, messages are values; the same as ``input_message_bits=24``.
    num_weight_bits : int
        1 to 8.  Below 8, weights that Lava would truncate to that many bits are refused.
    weight_exponent : int
        Number of bits by which weighted sums are shifted left; if negative, right with floor.
    sparse_synapse : bool
        If True, hold the weights as sparse matrices.

    Raises
    ------
    ValueError
        If an argument does not fit, or Lava's processes cannot hold it exactly.

    Examples
    --------
    >>> from lava.proc.lif.process import LIF
    >>> block = Dense(shape=(2,), neuron_params={"neuron_proc": LIF, "vth": 10}, weight=[[8, 4, 3], [-8, 6, 1]])
    >>> block.inp.shape, block.out.shape
    ((3,), (2,))
    >>> {name: type(process).__name__ for name, process in block.processes.items()}
    {'synapse': 'Dense', 'neuron': 'LIF'}
    """

    def __init__(
        self,
        *,
        shape: Shape,
        neuron_params: Mapping[str, Any] | None = None,
        weight: ArrayLike,
        delay: ArrayLike | None = None,
        bias: ArrayLike | None = None,
        has_graded_input: bool = False,
        num_weight_bits: int = 8,
        weight_exponent: int = 0,
        sparse_synapse: bool = False,
        input_message_bits: int = 0,
        name: str | None = None,
    ) -> None:
        super().__init__(shape=shape, neuron_params=neuron_params, name=name)
        self.input_message_bits = arguments.message_bits(input_message_bits, has_graded_input)
        synapse = arguments.synapse(
            weight,
            bits=self.input_message_bits,
            weight_bits=num_weight_bits,
            exponent=weight_exponent,
            sparse=sparse_synapse,
            delay=delay,
        )
        self._check_sums(synapse)
        self._hold(LayerProcesses(synapse=synapse, **self._ending(bias)), synapse.s_in.shape)


class RecurrentDense(AbstractBlock):
    """Fully connected neurons with feedback from the block's own neurons in the previous step.

    Parameters
    ----------
    shape, neuron_params, has_graded_input, num_weight_bits, weight_exponent, sparse_synapse, input_message_bits
        As for `Dense`; bits and exponent are those of both weights.
    weight : array
        (O, I) integers, even or odd.
    weight_rec : array
        (O, O) integers, even or odd.
    delay : array, optional
        Steps, 0 to 63, of shape () or (O,), (I,) or (O, I), for `weight`; feedback is not delayed.
    bias : array, optional
        (O,) integers, the neurons' bias.
    """

    def __init__(
        self,
        *,
        shape: Shape,
        neuron_params: Mapping[str, Any],
        weight: ArrayLike,
        weight_rec: ArrayLike,
        delay: ArrayLike | None = None,
        bias: ArrayLike | None = None,
        has_graded_input: bool = False,
        num_weight_bits: int = 8,
        weight_exponent: int = 0,
        sparse_synapse: bool = False,
        input_message_bits: int = 0,
        name: str | None = None,
    ) -> None:
        super().__init__(shape=shape, neuron_params=neuron_params, name=name)
        self.input_message_bits = arguments.message_bits(input_message_bits, has_graded_input)
        held: dict[str, Any] = {"weight_bits": num_weight_bits, "exponent": weight_exponent, "sparse": sparse_synapse}
        synapse = arguments.synapse(weight, bits=self.input_message_bits, delay=delay, **held)
        feedback = arguments.synapse(weight_rec, name="weight_rec", bits=self.output_message_bits, **held)
        self._check_sums(synapse)
        if feedback.s_in.shape != self.shape or feedback.a_out.shape != self.shape:
            raise ValueError(f"weight_rec must be of shape {2 * self.shape}, got {np.shape(weight_rec)}")
        neuron = self._neuron(bias, "a_in")
        self._hold(LayerProcesses(synapse=synapse, rec_synapse=feedback, neuron=neuron), synapse.s_in.shape)


class ComplexDense(AbstractBlock):
    """Fully connected neurons with a real and an imaginary input, such as Lava's RF and RF_IZ.

    Parameters
    ----------
    shape, neuron_params, has_graded_input, sparse_synapse, input_message_bits
        As for `Dense`.
    weight_real, weight_imag : array
        (O, I) integers, even or odd.
    num_weight_bits_real, num_weight_bits_imag : int
        As ``num_weight_bits`` of `Dense`.
    weight_exponent_real, weight_exponent_imag : int
        As ``weight_exponent`` of `Dense`.
    """

    def __init__(
        self,
        *,
        shape: Shape,
        neuron_params: Mapping[str, Any],
        weight_real: ArrayLike,
        weight_imag: ArrayLike,
        has_graded_input: bool = False,
        num_weight_bits_real: int = 8,
        num_weight_bits_imag: int = 8,
        weight_exponent_real: int = 0,
        weight_exponent_imag: int = 0,
        sparse_synapse: bool = False,
        input_message_bits: int = 0,
        name: str | None = None,
    ) -> None:
        super().__init__(shape=shape, neuron_params=neuron_params, name=name)
        self.input_message_bits = arguments.message_bits(input_message_bits, has_graded_input)
        halves = {
            "real": (weight_real, num_weight_bits_real, weight_exponent_real),
            "imag": (weight_imag, num_weight_bits_imag, weight_exponent_imag),
        }
        synapses = {
            part: arguments.synapse(
                weight,
                name=f"weight_{part}",
                bits=self.input_message_bits,
                weight_bits=bits,
                exponent=exponent,
                sparse=sparse_synapse,
            )
            for part, (weight, bits, exponent) in halves.items()
        }
        real, imag = synapses["real"], synapses["imag"]
        self._check_sums(real, "weight_real")
        self._check_sums(imag, "weight_imag")
        if real.s_in.shape != imag.s_in.shape:
            raise ValueError(
                f"weight_real and weight_imag must be of one shape, got {np.shape(weight_real)} and "
                f"{np.shape(weight_imag)}"
            )
        neuron = self._neuron(None, "a_real_in", "a_imag_in")
        self._hold(LayerProcesses(synapse=real, imag_synapse=imag, neuron=neuron), real.s_in.shape)


class Conv(AbstractBlock):
    """Convolution; weighted sums wrap at 24 bits, as Lava's do.

    Parameters
    ----------
    shape, neuron_params, input_message_bits
        As for `AbstractBlock`; shape is (W, H, C_out).
    input_shape : tuple of int
        (W, H, C_in).
    weight : array
        (C_out, kW, kH, C_in / groups) integers of any size. Lava flips kernels: the weight for one position to the left
        is to the right of the centre.
    bias : array, optional
        Integers of a shape that broadcasts to `shape`, such as (C_out,): the neurons' bias, or without neurons a
        constant that is added to the sums.
    stride, padding, dilation : int or (int, int)
        In W and H.
    groups : int
        Groups of channels.

    Raises
    ------
    ValueError
        If an argument does not fit.
    """

    def __init__(
        self,
        *,
        shape: Shape,
        input_shape: tuple[int, ...],
        neuron_params: Mapping[str, Any] | None = None,
        weight: ArrayLike,
        bias: ArrayLike | None = None,
        stride: Pair = 1,
        padding: Pair = 0,
        dilation: Pair = 1,
        groups: int = 1,
        input_message_bits: int = 0,
        name: str | None = None,
    ) -> None:
        super().__init__(shape=shape, neuron_params=neuron_params, input_message_bits=input_message_bits, name=name)
        window: dict[str, Any] = {
            "weight": arguments.integers(weight, "weight", 4),
            "input_shape": arguments.block_shape(input_shape, (3,)),
            "stride": arguments.pair(stride, "stride", 1),
            "padding": arguments.pair(padding, "padding", 0),
            "dilation": arguments.pair(dilation, "dilation", 1),
            "groups": int(groups),
            "num_message_bits": self.input_message_bits,
        }
        arguments.check_channels(window)
        reason = conv_overflow(window)
        if reason is not None:
            raise ValueError(f"the block {reason}")
        synapse = LavaConv(**window)
        self._check_sums(synapse)
        self._hold(LayerProcesses(synapse=synapse, **self._ending(bias)), window["input_shape"])


class Pool(AbstractBlock):
    """A pool layer of a network, as a convolution."""


class ConvTranspose(AbstractBlock):
    """A transposed convolution of a network, as a sparse matrix."""


class Unpool(AbstractBlock):
    """An unpool layer of a network, as a sparse matrix."""


class Average(AbstractBlock):
    """The sums of an average layer of a network, in the same step."""
