"""Processes from the arguments of blocks that users build by hand; values that Lava would change are refused."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
from lava.magma.core.process.process import AbstractProcess
from numpy.typing import ArrayLike, NDArray

from lavadl_ref.deployed.deployment import EXPONENT_LIMIT
from lavadl_ref.netx.blocks._wiring import STOCK, construct
from lavadl_ref.netx.plan.process_spec import ProcessSpec, Shape
from lavadl_ref.netx.plan.stock import LAVA_BIAS_LIMIT
from lavadl_ref.netx.plan.synapses import GRADED_BITS, LAVA_DELAY_LIMIT, dense_spec

BIAS_NAMES = ("bias_mant", "bias")  #: names that Lava's neurons have for their bias
#: Keys of `neuron_params` that are not arguments of the process.
NOT_ARGUMENTS = ("neuron_proc", "bias_key", "num_message_bits")


def integers(values: ArrayLike, name: str, axes: int | None = None) -> NDArray[np.int64]:
    """The values, of any shape, as int64; ValueError where they are not integers, or not of so many axes."""
    array = np.asarray(values)
    if array.dtype.kind not in "iufb" or not np.array_equal(array, np.trunc(array)):
        raise ValueError(f"{name} must hold integers, got {array.dtype} values {array.reshape(-1)[:4].tolist()}")
    if axes is not None and array.ndim != axes:
        raise ValueError(f"{name} must have {axes} axes, got shape {array.shape}")
    return array.astype(np.int64)


def block_shape(shape: Any, axes: tuple[int, ...] = (1, 3)) -> Shape:
    """A block's shape, (N,) or (W, H, C), as plain integers."""
    found = tuple(int(extent) for extent in np.atleast_1d(shape))
    if len(found) not in axes or min(found) < 1:
        forms = " or ".join("(N,)" if n == 1 else "(W, H, C)" for n in axes)
        raise ValueError(f"shape must be {forms}, got {tuple(np.atleast_1d(shape).tolist())}")
    return found


def fitting(bias: ArrayLike, shape: Shape) -> NDArray[np.int64]:
    """A bias for each element: integers of any shape that broadcasts to `shape`, as int64 of `shape`."""
    values = integers(bias, "bias")
    try:
        return np.broadcast_to(values, shape).copy()
    except ValueError:
        raise ValueError(f"bias of shape {values.shape} does not fit neurons of shape {shape}") from None


def pair(value: Any, name: str, least: int) -> tuple[int, int]:
    """One number for both axes, or two."""
    found = integers(value, name).reshape(-1)
    if len(found) not in (1, 2) or found.min() < least:
        raise ValueError(f"{name} must be one or two integers of at least {least}, got {value}")
    return int(found[0]), int(found[-1])


def check_channels(conv: Mapping[str, Any]) -> None:
    """Refuse a kernel whose channels do not fit."""
    made, given, groups = conv["weight"].shape[0], conv["input_shape"][2], conv["groups"]
    if groups < 1 or made % groups or conv["weight"].shape[3] * groups != given:
        raise ValueError(
            f"weight of shape {conv['weight'].shape} does not fit {given} input channels in {groups} groups"
        )


def message_bits(bits: int, graded: bool = False) -> int:
    """The bits of messages that a synapse is told of."""
    if isinstance(bits, bool) or not 0 <= int(bits) <= GRADED_BITS:
        raise ValueError(f"input_message_bits must be in 0..{GRADED_BITS}, got {bits}")
    return int(bits) or (GRADED_BITS if graded else 0)


def neuron(params: Mapping[str, Any], shape: Shape, bias: ArrayLike | None) -> AbstractProcess:
    """The process ``neuron_params`` describes.

    Parameters
    ----------
    params : mapping
        ``neuron_proc``, a class of neurons, and its arguments.  RF and RF_IZ may be given ``sin_decay`` and
        ``cos_decay``, integers in 1/4096, instead of ``period`` and ``alpha``.
    shape : tuple of int
        (W, H, C) or (N,).
    bias : array, optional
        Of a shape that broadcasts to `shape`.
    """
    process = params.get("neuron_proc")
    if not (isinstance(process, type) and issubclass(process, AbstractProcess)):
        raise ValueError(f"neuron_params['neuron_proc'] must be a class of Lava processes, got {process!r}")
    arguments = {key: value for key, value in params.items() if key not in NOT_ARGUMENTS}
    exact = process is STOCK.get(process.__name__) and {"sin_decay", "cos_decay"} <= arguments.keys()
    known = _argument_names(process)
    taken = {"shape", "vth", "sin_decay", "cos_decay"} if exact else known
    unknown = sorted(arguments.keys() - taken)
    if unknown or "shape" in arguments:
        named = ", ".join(unknown or ["shape"])
        raise ValueError(f"neuron_params: {process.__name__} of a block takes {', '.join(sorted(taken))}; got {named}")
    if bias is not None:
        key = params.get("bias_key") or next((name for name in BIAS_NAMES if name in taken), None)
        if key is None or key not in taken:
            raise ValueError(f"bias: {process.__name__} has no argument {key or 'for a bias'}")
        if key in arguments:
            raise ValueError(f"bias is given twice, as bias and as neuron_params[{key!r}]")
        values = integers(bias, "bias")
        if key == "bias_mant" and (values.min() < -LAVA_BIAS_LIMIT or values.max() >= LAVA_BIAS_LIMIT):
            raise ValueError(
                f"bias must be in {-LAVA_BIAS_LIMIT}..{LAVA_BIAS_LIMIT - 1}, where {process.__name__} holds it, "
                f"got {values.min()} to {values.max()}"
            )
        arguments[key] = fitting(values, shape)
    if exact:
        for name in ("sin_decay", "cos_decay"):
            arguments[name] = np.broadcast_to(integers(arguments[name], name), shape[-1:])
        return construct(ProcessSpec(process.__name__, {"shape": shape, **arguments}))
    return process(shape=shape, **arguments)


def _argument_names(process: type) -> set[str]:
    """Names of the arguments of a process, those of its bases included."""
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    found: set[str] = set()
    for cls in process.__mro__:
        if cls in (AbstractProcess, object) or "__init__" not in vars(cls):
            continue
        parameters = inspect.signature(vars(cls)["__init__"]).parameters
        found |= {name for name, parameter in parameters.items() if parameter.kind in named}
    return found - {"self"}


def synapse(
    weight: ArrayLike,
    *,
    name: str = "weight",
    bits: int = 0,
    weight_bits: int = 8,
    exponent: int = 0,
    sparse: bool = False,
    delay: ArrayLike | None = None,
) -> AbstractProcess:
    """The process that gives ``weight @ messages``, shifted left by `exponent` bits, one step later.

    Parameters
    ----------
    weight : array
        (O, I) integers of any size.
    name : str
        The name of the weight in error messages.
    bits : int
        Bits of messages; 0 means that every non-zero message is one spike.
    weight_bits : int
        1 to 8; below 8 the weights must be ones that so many bits hold.
    exponent : int
        If it is negative, the sum is shifted right, with floor.
    sparse : bool
        If True, hold the weights as a sparse matrix.
    delay : array, optional
        Steps, 0 to 63, for each weight, (O, I), each row, (O,), or each column, (I,).
    """
    weight = integers(weight, name, 2)
    if not 1 <= weight_bits <= 8:
        raise ValueError(f"num_weight_bits must be in 1..8, got {weight_bits}")
    if not -EXPONENT_LIMIT <= exponent <= EXPONENT_LIMIT:
        raise ValueError(f"weight_exponent must be in {-EXPONENT_LIMIT}..{EXPONENT_LIMIT}, got {exponent}")
    _check_bits(weight, weight_bits, name)
    late = None if delay is None else _delays(delay, weight.shape)
    if exponent < 0 and not np.any(weight % (1 << -exponent)):
        weight, exponent = weight >> -exponent, 0
    spec = dense_spec(weight, None, bits, sparse)
    if spec.process == "ExactSparse" or (late is not None and exponent < 0):
        if late is not None:
            raise ValueError(
                f"{name} with delays: Lava's synapses hold even weights in -256..254, of one sign up to 255, odd ones "
                f"of both signs in -128..127 for spikes only, and no shift to the right; got {weight.min()} to "
                f"{weight.max()}, for {bits} message bits"
            )
        if exponent < 0:
            raise ValueError(
                f"weight_exponent {exponent} rounds sums, which Lava's synapses do for weights they hold only: even "
                f"ones in -256..254, or of one sign up to 255; {name} has {weight.min()} to {weight.max()}"
            )
        weight, exponent = weight << exponent, 0
    spec = dense_spec(weight, late, bits, sparse)
    if exponent:
        spec.arguments["weight_exp"] += exponent
    return construct(spec)


def _check_bits(weight: NDArray[np.int64], bits: int, name: str) -> None:
    """Refuse weights of which Lava would cut bits."""
    if bits == 8 or not weight.size:
        return
    low, high = int(weight.min()), int(weight.max())
    unit = 1 << (8 - bits + (low < 0 < high))
    if np.any(weight % unit) or low < -256 or high > 255:
        raise ValueError(
            f"num_weight_bits={bits} holds multiples of {unit} in -256..255, {name} has others between {low} and {high}"
        )


def _delays(delay: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """(O, I) of one delay for all, one for each row, (O,), for each column, (I,), or each weight."""
    steps = integers(delay, "delay")
    if steps.ndim == 1 and len(steps) == shape[0]:
        steps = steps[:, None]
    try:
        whole = np.broadcast_to(steps, shape)
    except ValueError:
        raise ValueError(f"delay of shape {np.shape(delay)} does not fit weights of shape {shape}") from None
    if whole.min() < 0 or whole.max() > LAVA_DELAY_LIMIT:
        raise ValueError(f"delay must be in 0..{LAVA_DELAY_LIMIT}, got {whole.min()} to {whole.max()}")
    return whole
