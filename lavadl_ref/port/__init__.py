"""Export of ``.net`` files as portable C that gives the same integers as the reference, for small machines.

`export` writes C99 that uses only integers, allocates no memory, and includes only ``stdint.h`` and ``string.h``;
`sizes` reports the memory and operations that it needs, without writing it. The integers are those of
`lavadl_ref.reference` with the device's widths, message by message and state by state.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace

from lavadl_ref import exchange, reference
from lavadl_ref._arguments import brief, described, whole
from lavadl_ref.deployed import deployment
from lavadl_ref.deployed.deployment import SPIKE_EXP
from lavadl_ref.exchange import Average, Dense, Flatten, Input, Kernel, Recurrent, atomic
from lavadl_ref.exchange.geometry import check_link
from lavadl_ref.port import _files
from lavadl_ref.port._constants import BYTES
from lavadl_ref.port._layers import LayerCode, Signal, Writer
from lavadl_ref.port._sizes import LayerSize, Sizes, padded
from lavadl_ref.port.translate import KEYWORDS, Untranslatable

__all__ = ["LayerSize", "Sizes", "Untranslatable", "export", "sizes", "sources"]

#: Bytes of constants, and of state, that a network may take: more than any machine has that this is for.
LIMIT = 2**26


def export(
    net_config: str | os.PathLike[str] | exchange.Network,
    folder: str | os.PathLike[str],
    *,
    reset_interval: int | None = None,
    reset_offset: int = 0,
    time_base: str = "slayer",
    spike_exp: int = SPIKE_EXP,
    name: str = "network",
    input_shape: Sequence[int] | None = None,
    input_bias: bool = False,
) -> Sizes:
    """Write a network as C: ``NAME.h``, ``NAME.c``, ``main.c`` and a ``Makefile``.

    Parameters
    ----------
    net_config : path or exchange.Network
        The file, or its description.
    folder : path
        The output folder, created if it is missing. Files of the same names are replaced, others stay.
    reset_interval, reset_offset, time_base, spike_exp
        As for `lavadl_ref.reference.Network`.
    name : str
        Name of the structure and prefix of the functions: an identifier of C.
    input_shape : sequence of int, optional
        (C, H, W) or (N,) of the input, if the file does not determine it, as with a stride above 1.
    input_bias : bool
        If True, add a function ``NAME_bias``, which sets a constant input to the spiking neurons of an input layer, as
        `bias` of `lavadl_ref.reference.Network.run` does; it takes 4 bytes of RAM per neuron.

    Returns
    -------
    Sizes
        The memory and the operations that the C needs.

    Raises
    ------
    exchange.ExchangeError
        If the file is not a legal network.
    NotImplementedError
        If a layer has no integer dynamics, or a neuron no translation to C; the message says why.
    ValueError
        If an option is out of range, the shape of the input is not known, or the network is too large for C.
    OSError
        If a file cannot be written.

    Examples
    --------
    >>> import numpy as np, os, tempfile
    >>> neuron = exchange.Neuron("CUBA", {"current_decay": 1024, "voltage_decay": 128, "threshold": 80})
    >>> layer = exchange.Dense(shape=(2,), neuron=neuron, weight=np.array([[1, 2, 3], [4, 5, 6]]))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     found = export(exchange.Network((layer,)), folder)
    ...     sorted(os.listdir(folder))
    ['Makefile', 'main.c', 'network.c', 'network.h']
    >>> found.flash, found.operations  # six weights of a byte each
    (6, 6)
    """
    found, files = sources(
        net_config,
        reset_interval=reset_interval,
        reset_offset=reset_offset,
        time_base=time_base,
        spike_exp=spike_exp,
        name=name,
        input_shape=input_shape,
        input_bias=input_bias,
    )
    with atomic.folder(folder) as part:
        for file, text in files.items():
            atomic.write_bytes(part / file, text.encode("ascii"))
    return found


def sizes(
    net_config: str | os.PathLike[str] | exchange.Network,
    *,
    reset_interval: int | None = None,
    reset_offset: int = 0,
    time_base: str = "slayer",
    spike_exp: int = SPIKE_EXP,
    input_shape: Sequence[int] | None = None,
    input_bias: bool = False,
) -> Sizes:
    """Compute the flash, RAM and operations per step of a network as C; arguments and errors as of `export`."""
    found, _ = sources(
        net_config,
        reset_interval=reset_interval,
        reset_offset=reset_offset,
        time_base=time_base,
        spike_exp=spike_exp,
        input_shape=input_shape,
        input_bias=input_bias,
    )
    return found


def sources(
    net_config: str | os.PathLike[str] | exchange.Network,
    *,
    reset_interval: int | None = None,
    reset_offset: int = 0,
    time_base: str = "slayer",
    spike_exp: int = SPIKE_EXP,
    name: str = "network",
    input_shape: Sequence[int] | None = None,
    input_bias: bool = False,
) -> tuple[Sizes, dict[str, str]]:
    """The texts of the files by their names, and what the network takes; arguments and errors as of `export`."""
    _check_name(name)
    network = described(net_config)
    if input_shape is not None:
        shape = tuple(whole("input_shape", extent, 1) for extent in input_shape)
        network = replace(network, stated_input_shape=shape)
    exchange.check(network)  # a description that is not legal could make C that writes past its arrays
    run = reference.Network(
        network, reset_interval=reset_interval, reset_offset=reset_offset, time_base=time_base, spike_exp=spike_exp
    )
    if reset_interval is not None and reset_interval >= 2**32:
        raise ValueError(f"reset_interval must be below {2**32} in C, got {reset_interval}")
    outside = Signal("in", "int32_t", _input_shape(run))
    # before any array of a layer's size is made: a few bytes of a file can claim large layers
    _check_room(0, sum(layer.size * (1 + 4 * len(deployment.states_of(layer))) for layer in run.layers) + outside.size)
    writer = Writer(name, run.spike_exp, _checked_bias(run, input_bias))
    codes: list[LayerCode] = []
    signal, buffered = outside, False
    for position, layer in enumerate(run.layers):
        if isinstance(layer, Flatten) or (isinstance(layer, Input) and layer.neuron is None):
            signal = replace(signal, shape=layer.shape)
            continue
        given = signal
        if signal.array == "in" and isinstance(layer, (Dense, Kernel)):
            given, buffered = replace(signal, array="net->input"), True
        code = writer.layer(
            position, layer, given, run.incoming[position], run.starts[position], run.reset_phases[position]
        )
        codes.append(code)
        signal = code.signal
    found = _sizes(codes, outside, buffered, run)
    _check_room(found.flash, found.ram)
    facts = _facts(found, codes, outside, signal, run)
    definitions = writer.translator.definitions()
    return found, {
        f"{name}.h": _files.header(name, codes, outside, signal, buffered, facts),
        f"{name}.c": _files.network(name, codes, definitions, buffered, signal, facts),
        "main.c": _files.program(name, codes, facts),
        "Makefile": _files.makefile(name),
    }


def _check_name(name: str) -> None:
    if not isinstance(name, str):
        raise TypeError(f"name must be a str, got {brief(name)}")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,30}", name) or name in KEYWORDS or name in ("main", "clean"):
        raise ValueError(
            f"name must be an identifier of C, no keyword and none of main and clean, of at most 31 letters, "
            f"digits and underscores, got {brief(name)}"
        )


def _checked_bias(run: reference.Network, input_bias: bool) -> bool:
    """Raise if the network has no input layer that a bias could drive."""
    if not isinstance(input_bias, bool):
        raise TypeError(f"input_bias must be a bool, got {brief(input_bias)}")
    first = run.layers[0]
    driven = isinstance(first, Input) and first.neuron is not None and not deployment.sends_changes(first.neuron)
    if input_bias and not driven:
        raise ValueError(
            f"input_bias must be false unless an input layer of spiking neurons comes first, got a {first.kind} layer"
        )
    return input_bias


def _check_room(flash: int, ram: int) -> None:
    """Raise if a network takes more than C may hold."""
    for what, taken in (("constants", flash), ("state", ram)):
        if taken > LIMIT:
            raise ValueError(f"net_config must take at most {LIMIT:,} bytes of {what} in C, got at least {taken:,}")


def _input_shape(run: reference.Network) -> tuple[int, ...]:
    """The shape of what a step takes."""
    shape = run.description.input_shape
    if shape is None:
        kind = run.layers[0].kind
        raise ValueError(
            f"input_shape must be given, because a first layer of kind {kind!r} does not determine it, got None "
            "(--input-shape C,H,W)"
        )
    if isinstance(run.layers[0], Kernel):
        check_link(run.layers[0], Input(shape=shape))
    return shape


def _sums(codes: Sequence[LayerCode]) -> tuple[int, int]:
    return (
        max((code.sums for code in codes), default=0),
        max((code.sums for code in codes if code.parts > 1), default=0),
    )


def _sizes(codes: Sequence[LayerCode], source: Signal, buffered: bool, run: reference.Network) -> Sizes:
    layers = []
    for code in codes:
        weights = [table for table in code.tables if table.name.endswith("_weight")]
        kinds = sorted({table.type.removesuffix("_t") for table in weights})
        sparse = any(table.name.endswith("_target") for table in code.tables)
        ram = padded([(member.bytes, BYTES[member.type]) for member in code.members])
        layers.append(
            LayerSize(
                name=code.name,
                neurons=code.layer.size if code.rests else 0,
                weights=" ".join([*kinds, *(["sparse"] if sparse else [])]),
                flash=sum(table.bytes for table in code.tables),
                ram=ram,
                operations=code.operations,
            )
        )
    words = sum(_sums(codes)) + (source.size if buffered else 0)
    words += (max(run.starts) > 0) + (run.reset_interval is not None)
    parts = [(4 * words, 4)] + [(layer.ram, 1) for layer in layers]
    # the structure as a whole is padded to 4 bytes, behind layers of bytes alone
    buffers = padded(parts) - sum(layer.ram for layer in layers)
    return Sizes(tuple(layers), buffers if layers or words else 1)


def _facts(
    found: Sizes, codes: Sequence[LayerCode], source: Signal, output: Signal, run: reference.Network
) -> _files.Facts:
    kinds = " -> ".join(layer.kind for layer in run.layers)
    resets = f", resets every {run.reset_interval} steps (offset {run.reset_offset})" if run.reset_interval else ""
    bits = deployment.input_bits(run.layers, run.spike_exp)
    taken = "spikes, 0 and 1, or whole numbers" if bits == 0 else f"in units of 1/2^{bits}"
    unit = deployment.message_bits(run.layers[-1], run.incoming[-1], run.spike_exp)
    given = "in units of 1" if unit == 0 else f"in units of 1/2^{unit}"
    about = f"Layers: {kinds}{resets}.\nBytes, and work in a step in which every neuron sends; less where fewer do:"
    return _files.Facts(
        summary=about,
        table=str(found),
        input=f"{taken}, {_extents(source.shape)}",
        output=f"{given}, {_extents(output.shape)}",
        sums=_sums(codes),
        last_start=max(run.starts),
        reset_interval=run.reset_interval,
        driven=next((code for code in codes if any(member.name == "bias" for member in code.members)), None),
    )


def _extents(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) + (", the last axis fastest" if len(shape) > 1 else "")
