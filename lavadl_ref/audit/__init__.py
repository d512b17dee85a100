"""An audit of a ``.net`` file: Lava processes, the treatment by lava-dl's netx, head-room of integers, and work.

`audit` examines every layer, changes nothing, and needs neither torch nor Lava.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lavadl_ref import exchange
from lavadl_ref._arguments import described
from lavadl_ref._cost import MEGABYTES
from lavadl_ref._reach import OutOfReach
from lavadl_ref.audit import measure, upstream
from lavadl_ref.audit.report import (
    ALTERS,
    LOADS,
    OUTCOMES,
    REFUSES,
    Audit,
    Finding,
    HeadRoom,
    LayerAudit,
    Totals,
    Work,
)
from lavadl_ref.deployed import reference
from lavadl_ref.deployed.bounds import Domain, Setting, network_reach
from lavadl_ref.deployed.work import counted_outside, totals
from lavadl_ref.exchange import Input, Kernel, Layer, Network
from lavadl_ref.netx.plan.network import Options, plan
from lavadl_ref.verify.inputs import chosen_input, input_shape

__all__ = [
    "ALTERS",
    "LOADS",
    "OUTCOMES",
    "REFUSES",
    "Audit",
    "Finding",
    "HeadRoom",
    "LayerAudit",
    "Totals",
    "Work",
    "audit",
    "processes",
]


def audit(
    net_config: str | os.PathLike[str] | Network,
    inputs: ArrayLike | None = None,
    steps: int | None = None,
    seed: int | None = None,
    rate: float | None = None,
    megabytes: float = MEGABYTES,
) -> Audit:
    """Audit a network.

    Head-room is measured in a run without width limits, so that it shows how many bits are missing where numbers do not
    fit. Messages and operations are those of the deployed network.

    Parameters
    ----------
    net_config : path or exchange.Network
        The file, or its description.
    inputs : array_like of int, optional
        (\\*shape, T) as `reference.Network.run` takes them; `lavadl_ref.verify.random_input` by default.
    steps : int, optional
        Steps of the run, at most those of `inputs`. By default all steps of `inputs`, or 64 of a random input.
    seed, rate : int, float, optional
        Seed and rate of the random input, see `lavadl_ref.verify.random_input`.
    megabytes : float
        Largest memory that the run may take, as estimated in advance.

    Returns
    -------
    Audit
        If the reference cannot run the network, or if its integers exceed 64 bits without width limits, ``reference``
        gives the reason, and head-room covers only the constants.

    Raises
    ------
    exchange.ExchangeError
        If the file is not a legal network.
    TypeError, ValueError
        If the input does not fit the network, see `reference.Network.run`; if an argument would have no effect; or if
        the run would take more than `megabytes`.

    Examples
    --------
    >>> import numpy as np
    >>> from lavadl_ref.exchange import Dense, Network, Neuron
    >>> neuron = Neuron("CUBA", {"current_decay": 1024, "voltage_decay": 128, "threshold": 80})
    >>> found = audit(Network((Dense(shape=(1,), weight=np.array([[32, -16]]), neuron=neuron),)), steps=16)
    >>> found.layers[0].becomes, found.layers[0].upstream
    ('Dense + LIF', 'loads')
    >>> [(room.quantity, room.free) for room in found.layers[0].head_room[:2]]
    [('weight', 2), ('threshold', 18)]
    """
    network = described(net_config)
    becomes, lava = processes(network)
    measured, unmeasured = None, None
    try:
        deployed = reference.Network(network)
        x, random = chosen_input(deployed, inputs, steps, seed, rate, megabytes, wide=True)
        measured = _measure(deployed, x, random)
    except (NotImplementedError, OutOfReach) as error:
        unmeasured = str(error)
    layers = tuple(
        LayerAudit(
            position,
            layer.kind,
            layer.shape,
            None if layer.neuron is None else layer.neuron.type,
            becomes[position],
            tuple(_options(layer)),
            upstream.worst(found),
            found,
            (*measure.constants(layer), *(measured.head_room[position] if measured else ())),
            measured.work[position] if measured else None,
        )
        for position, (layer, found) in enumerate(zip(network.layers, upstream.findings(network), strict=True))
    )
    return Audit(
        layers,
        upstream.worst(tuple(finding for layer in layers for finding in layer.findings)),
        lava,
        unmeasured,
        measured.steps if measured else 0,
        measured.random if measured else None,
        measured.outside if measured else None,
        totals([layer.work for layer in layers] + [measured.outside]) if measured else None,
        measured.exceeded if measured else (),
    )


@dataclass(frozen=True)
class _Measured:
    head_room: list[tuple[HeadRoom, ...]]
    work: list[Work | None]
    outside: Work | None
    exceeded: tuple[str, ...]
    steps: int
    random: str | None


def _measure(deployed: reference.Network, x: NDArray[Any], random: str | None) -> _Measured:
    network = deployed.description
    run = deployed.run(x, record=reference.RECORDABLE)
    found = list(measure.layers(network, x, run))
    work = [done for _, done in found]
    if run.exceeded:  # what a width cuts off does not tell how far it would have gone
        free = reference.Network(network, profile="slayer").run(x, record=reference.RECORDABLE)
        found = list(measure.layers(network, x, free))
    outside = None if isinstance(network.layers[0], Input) else counted_outside(np.moveaxis(x, -1, 0)[:, None]).work
    return _Measured(_with_bounds(network, x, found), work, outside, tuple(map(str, run.exceeded)), x.shape[-1], random)


def _with_bounds(network: Network, x: NDArray[Any], found: list[Any]) -> list[tuple[HeadRoom, ...]]:
    """The head-room of each layer with what is proved of it, for all inputs in the range of `x`."""
    domain = Domain("graded", min(int(x.min()), 0), max(int(x.max()), 0))
    reaches = network_reach(network.layers, x.shape[:-1], Setting(domain))
    return [
        tuple(replace(room, proved=reach.quantities[room.quantity].ends) for room in rooms)
        for (rooms, _), reach in zip(found, reaches, strict=True)
    ]


def processes(network: Network) -> tuple[dict[int, str], str | None]:
    """The Lava processes of each layer ("-" for none), and the reason why Lava cannot run it (None if it can)."""
    names = dict.fromkeys(range(len(network.layers)), "-")
    shape = input_shape(network)[::-1] if isinstance(network.layers[0], Kernel) else None
    try:
        names.update({made.position: made.processes for made in plan(network, Options(input_shape=shape))})
    except (NotImplementedError, ValueError) as error:
        return names, str(error)
    return names, None


def _options(layer: Layer) -> Iterator[str]:
    """Settings of a layer besides shape, weights, bias and the parameters that all neurons of a family have."""
    if isinstance(layer, Kernel):
        usual = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
        yield f"kernel {layer.kernel_size[0]}x{layer.kernel_size[1]}"
        for name, value in usual.items():
            set_to = getattr(layer, name)
            if set_to != value:
                yield f"{name} {set_to if name == 'groups' else 'x'.join(map(str, set_to))}"
    for name in ("input_bias", "delay") if isinstance(layer, Input) else ("bias", "input_bias", "delay"):
        values = getattr(layer, name, None)
        if np.any(np.asarray(0 if values is None else values)):
            yield name.replace("_", " ")
    if layer.delay_shift is not None:
        yield "shifts" if layer.delay_shift else "does not shift"
    if layer.neuron is None:
        return
    for name in ("graded_spike", "cum_error", "sigma_output"):
        if layer.neuron.parameters.get(name):
            yield name
    for name in ("weight_exp", "weight_exp_imag", "activation"):
        value = layer.neuron.parameters.get(name)
        if value:
            yield f"{name} {value}"
