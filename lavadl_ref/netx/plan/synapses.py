"""The synapses that hold a layer's weights exactly, and the place of its axonal delay."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lavadl_ref.deployed.deployment import is_graded, sends_changes
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
from lavadl_ref.netx.plan.process_spec import Processes, ProcessSpec, Shape, refusal
from lavadl_ref.netx.plan.transposed import transposed_matrix
from lavadl_ref.netx.plan.weights import Pair, dense_encoding, kernel_weight, pool_padding, pool_window

LAVA_DELAY_LIMIT = 63  # DelayDense and DelaySparse have six bits of delay
#: Bits of messages that are not binary, as Lava's synapses are told: 16 as Lava-DL says for sigma-delta messages, 24
#: as the states that graded spikes carry have.  Lava's synapses look only at whether the number is 0.
SIGMA_DELTA_BITS, GRADED_BITS = 16, 24


def declared_bits(layer: Layer) -> int:
    """Message bits that a synapse behind `layer` is told of; 0 for binary spikes."""
    if not is_graded(layer):
        return 0
    return SIGMA_DELTA_BITS if sends_changes(layer.neuron) else GRADED_BITS


def synapses(
    layer: Layer, input_shape: Shape, delay: NDArray[np.int64] | None, bits: int, sparse: bool
) -> Processes[ProcessSpec]:
    """The processes that multiply with exactly the layer's weights; neurons and later processes are left open.

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
        If True, hold fully connected weights as sparse matrices.
    """
    if isinstance(layer, Input):
        return Processes()
    if isinstance(layer, Average):
        sizes = {"inputs": input_shape[0], "outputs": layer.size}
        return Processes(synapse=ProcessSpec("GroupSum", sizes, own=True))
    if isinstance(layer, Dense):

        def connect(weight: NDArray[np.int64] | None, late: Any, message_bits: int) -> ProcessSpec | None:
            return None if weight is None else dense_spec(weight, late, message_bits, sparse)

        own = declared_bits(layer)
        rec = (layer.weight_rec, layer.weight_rec_imag) if isinstance(layer, Recurrent) else (None, None)
        return Processes(
            synapse=connect(layer.weight, delay, bits),
            imag_synapse=connect(layer.weight_imag, delay, bits),
            rec_synapse=connect(rec[0], None, own),
            rec_imag_synapse=connect(rec[1], None, own),
        )
    assert isinstance(layer, Kernel)
    specify = _convolved if isinstance(layer, (Conv, Pool)) else _transposed
    imag = layer.weight_imag
    return Processes(
        synapse=specify(layer, layer.weight, input_shape, bits),
        imag_synapse=None if imag is None else specify(layer, imag, input_shape, bits),
    )


def dense_spec(weight: NDArray[np.int64], delay: NDArray[np.int64] | None, bits: int, sparse: bool) -> ProcessSpec:
    """The process that multiplies with exactly `weight` (O, I); no delays where only `ExactSparse` holds it."""
    encoding = _encoding(weight, bits)
    if encoding is None:
        assert delay is None
        return ProcessSpec("ExactSparse", {"weights": weight, "num_message_bits": bits}, own=True)
    arguments = {**encoding, "num_message_bits": bits}
    if delay is None:
        return ProcessSpec("Sparse" if sparse else "Dense", arguments)
    arguments["max_delay"] = int(delay.max())
    late = partial(_per_weight, delay, weight.shape)
    return ProcessSpec("DelaySparse" if sparse else "DelayDense", arguments, {"delays": late})


def _per_weight(delay: NDArray[np.int64], shape: Shape) -> NDArray[np.int64]:
    return np.broadcast_to(delay, shape).astype(int)


def _encoding(weight: NDArray[np.int64], bits: int) -> dict[str, Any] | None:
    """The form in which Lava's synapses hold `weight` for messages of `bits` bits; None if there is none."""
    encoding = dense_encoding(weight)
    if encoding is not None and encoding["weight_exp"] and bits:
        return None  # sums twice as large may leave 32 bits where the sums do not
    return encoding


def _convolved(layer: Kernel, weight: NDArray[np.int64], input_shape: Shape, bits: int) -> ProcessSpec:
    """Lava's convolution; it holds any weight, and wraps sums at 24 bits."""
    padding, dilation, groups = layer.padding, layer.dilation, int(layer.groups)
    if isinstance(layer, Pool):
        size, groups = (input_shape[1], input_shape[0]), input_shape[2]
        padding, dilation = pool_padding(layer, size)
        make = partial(_pool_weight, layer, weight, size, groups)
    else:
        make = partial(kernel_weight, weight)
    return ProcessSpec(
        "Conv",
        {
            "input_shape": input_shape,
            "padding": padding[::-1],
            "stride": layer.stride[::-1],
            "dilation": dilation[::-1],
            "groups": groups,
            "num_message_bits": bits,
        },
        {"weight": make},
    )


def _pool_weight(layer: Pool, weight: NDArray[np.int64], size: Pair, groups: int) -> NDArray[np.int64]:
    """The convolution's kernel, one for each channel."""
    wide = pool_window(layer, weight, size)
    return kernel_weight(np.broadcast_to(wide, (groups, *wide.shape[1:])))


def _transposed(layer: Kernel, weight: NDArray[np.int64], input_shape: Shape, bits: int) -> ProcessSpec:
    assert isinstance(layer, (ConvTranspose, Unpool))
    encoding = _encoding(weight, bits)
    width, height, channels = input_shape
    arguments = {"weights": weight, **(encoding or {}), "num_message_bits": bits}
    make = partial(transposed_matrix, layer, arguments.pop("weights"), (channels, height, width))
    own = encoding is None
    return ProcessSpec("ExactSparse" if own else "Sparse", arguments, {"weights": make}, own)


def delay_spec(
    position: int, layer: Layer, following: Layer | None, shape: Shape
) -> tuple[NDArray[np.int64] | None, ProcessSpec | None]:
    """Axonal delay for the next synapse's columns, or a delay line where that synapse cannot hold it."""
    if layer.delay is None or not np.any(layer.delay):
        return None, None
    if np.min(layer.delay) < 0:
        raise refusal(position, layer, f"has a negative delay, {int(np.min(layer.delay))}")
    per_channel = np.broadcast_to(np.asarray(layer.delay, np.int64), (shape[-1],))
    if _holds_delays(following, declared_bits(layer)) and per_channel.max() <= LAVA_DELAY_LIMIT:
        return np.repeat(per_channel, int(np.prod(shape[:-1]))), None
    return None, ProcessSpec("DelayLine", {"shape": shape, "delays": np.broadcast_to(per_channel, shape)}, own=True)


def _holds_delays(layer: Layer | None, bits: int) -> bool:
    """Tell whether the layer's synapses are Lava's for fully connected weights, which exist with delays."""
    if not isinstance(layer, Dense):
        return False
    parts = (layer.weight, layer.weight_imag)
    return all(_encoding(weight, bits) is not None for weight in parts if weight is not None)
