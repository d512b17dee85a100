"""Which of Lava's synapses holds a layer's weights exactly, and where an axonal delay goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lavadl_ref.deployment import is_graded
from lavadl_ref.exchange.describe import (
    Average,
    Conv,
    ConvTranspose,
    Dense,
    Input,
    Kernel,
    Layer,
    Pool,
    Recurrent,
    Unpool,
)
from lavadl_ref.netx.choice import Choice, Shape, refusal
from lavadl_ref.netx.transposed import transposed_matrix
from lavadl_ref.netx.weights import dense_encoding, kernel_weight, pool_window

LAVA_DELAY_LIMIT = 63  # DelayDense and DelaySparse have six bits of delay
#: Bits of messages that are not binary, as Lava's synapses are told; none of them looks at more than whether it is 0.
SIGMA_DELTA_BITS, GRADED_BITS = 16, 24


@dataclass(frozen=True)
class Synapses:
    """The synapses of one layer."""

    real: Choice | None = None  #: the only one where input is not complex; None for an input layer
    imag: Choice | None = None
    feedback: Choice | None = None  #: from the layer's own neurons; its real part where there are two
    feedback_imag: Choice | None = None


def declared_bits(layer: Layer) -> int:
    """Message bits that a synapse behind `layer` is told of; 0 for binary spikes."""
    if not is_graded(layer):
        return 0
    assert layer.neuron is not None
    return SIGMA_DELTA_BITS if layer.neuron.type == "SDNN" else GRADED_BITS


def synapses(layer: Layer, input_shape: Shape, delay: NDArray[np.int64] | None, bits: int, sparse: bool) -> Synapses:
    """The processes that multiply with exactly the layer's weights.

    Parameters
    ----------
    layer : Layer
        Any but flatten and time decimation.
    input_shape : tuple of int
        (W, H, C) or (N,).
    delay : ndarray, optional
        (I,) steps by which each input of a fully connected layer arrives late.
    bits : int
        Bits of the messages that arrive; 0 for binary ones.
    sparse : bool
        Whether fully connected weights are held as sparse matrices.

    """
    if isinstance(layer, Input):
        return Synapses()
    if isinstance(layer, Average):
        return Synapses(Choice("GroupSum", {"inputs": input_shape[0], "outputs": layer.size}))
    if isinstance(layer, Dense):

        def connect(weight: NDArray[np.int64] | None, late: Any, message_bits: int) -> Choice | None:
            return None if weight is None else dense_choice(weight, late, message_bits, sparse)

        own = declared_bits(layer)
        rec = (layer.weight_rec, layer.weight_rec_imag) if isinstance(layer, Recurrent) else (None, None)
        return Synapses(
            connect(layer.weight, delay, bits),
            connect(layer.weight_imag, delay, bits),
            connect(rec[0], None, own),
            connect(rec[1], None, own),
        )
    assert isinstance(layer, Kernel)
    held = _convolved if isinstance(layer, (Conv, Pool)) else _transposed
    parts = [weight for weight in (layer.weight, layer.weight_imag) if weight is not None]
    return Synapses(*(held(layer, weight, input_shape, bits) for weight in parts))


def dense_choice(weight: NDArray[np.int64], delay: NDArray[np.int64] | None, bits: int, sparse: bool) -> Choice:
    """The process that multiplies with exactly `weight` (O, I); no delays where only `ExactSparse` holds it."""
    encoding = _encoding(weight, bits)
    if encoding is None:
        assert delay is None
        return Choice("ExactSparse", {"weights": weight, "num_message_bits": bits})
    arguments = {**encoding, "num_message_bits": bits}
    if delay is None:
        return Choice("Sparse" if sparse else "Dense", arguments)
    arguments["delays"] = np.broadcast_to(delay, weight.shape).astype(int)
    arguments["max_delay"] = int(delay.max())
    return Choice("DelaySparse" if sparse else "DelayDense", arguments)


def _encoding(weight: NDArray[np.int64], bits: int) -> dict[str, Any] | None:
    """How Lava's synapses hold `weight` for messages of `bits` bits; None if they do not."""
    encoding = dense_encoding(weight)
    if encoding is not None and encoding["weight_exp"] and bits:
        return None  # sums twice as large may leave 32 bits where the sums do not
    return encoding


def _convolved(layer: Kernel, weight: NDArray[np.int64], input_shape: Shape, bits: int) -> Choice:
    """Lava's convolution; it holds any weight, and wraps sums at 24 bits."""
    padding, dilation, groups = layer.padding, layer.dilation, int(layer.groups)
    if isinstance(layer, Pool):
        weight, padding, dilation = pool_window(layer, weight, (input_shape[1], input_shape[0]))
        groups = input_shape[2]
        weight = np.broadcast_to(weight, (groups, *weight.shape[1:]))
    return Choice(
        "Conv",
        {
            "weight": kernel_weight(weight),
            "input_shape": input_shape,
            "padding": padding[::-1],
            "stride": layer.stride[::-1],
            "dilation": dilation[::-1],
            "groups": groups,
            "num_message_bits": bits,
        },
    )


def _transposed(layer: Kernel, weight: NDArray[np.int64], input_shape: Shape, bits: int) -> Choice:
    assert isinstance(layer, (ConvTranspose, Unpool))
    encoding = _encoding(weight, bits)
    width, height, channels = input_shape
    arguments = {"weights": weight, **(encoding or {}), "num_message_bits": bits}
    arguments["weights"] = transposed_matrix(layer, arguments["weights"], (channels, height, width))
    return Choice("ExactSparse" if encoding is None else "Sparse", arguments)


def delay_choice(
    position: int, layer: Layer, following: Layer | None, shape: Shape
) -> tuple[NDArray[np.int64] | None, Choice | None]:
    """Axonal delay for the next synapse's columns, or a delay line where that synapse cannot hold it."""
    if layer.delay is None or not np.any(layer.delay):
        return None, None
    if np.min(layer.delay) < 0:
        raise refusal(position, layer, f"has a negative delay, {int(np.min(layer.delay))}")
    per_channel = np.broadcast_to(np.asarray(layer.delay, np.int64), (shape[-1],))
    if _holds_delays(following, declared_bits(layer)) and per_channel.max() <= LAVA_DELAY_LIMIT:
        return np.repeat(per_channel, int(np.prod(shape[:-1]))), None
    return None, Choice("DelayLine", {"shape": shape, "delays": np.broadcast_to(per_channel, shape)})


def _holds_delays(layer: Layer | None, bits: int) -> bool:
    """Whether the layer's synapses are Lava's for fully connected weights, which exist with delays."""
    if not isinstance(layer, Dense):
        return False
    parts = (layer.weight, layer.weight_imag)
    return all(_encoding(weight, bits) is not None for weight in parts if weight is not None)
