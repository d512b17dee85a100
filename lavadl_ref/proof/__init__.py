"""Proof that no input of a domain exceeds a width of the device, so that the chip computes what was trained.

`prove` bounds every number of a deployed network for all inputs of a domain, and for runs of any length. Where a bound
lies beyond a width, it searches for a witness, an input that exceeds the width in the reference run, and suggests
changes that would make the proof succeed. It needs neither torch nor Lava.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from lavadl_ref._arguments import described, whole
from lavadl_ref.audit.measure import free_bits
from lavadl_ref.deployed import deployment, reference
from lavadl_ref.deployed.bounds import Domain, LayerReach, Quantity, Setting, network_reach
from lavadl_ref.exchange import Layer, Network, atomic
from lavadl_ref.proof.advice import advice
from lavadl_ref.proof.report import EXCEEDED, OPEN, PROVED, VERDICTS, Bound, LayerProof, Proof, Witness
from lavadl_ref.proof.search import Search
from lavadl_ref.verify.inputs import input_shape

__all__ = [
    "EXCEEDED",
    "OPEN",
    "PROVED",
    "TRIES",
    "VERDICTS",
    "Bound",
    "Domain",
    "LayerProof",
    "Proof",
    "Witness",
    "prove",
    "write_witness",
]

TRIES = 64  #: inputs that the search for witnesses runs


def prove(
    net_config: str | os.PathLike[str] | Network,
    domain: Domain | None = None,
    steps: int | None = None,
    reset_interval: int | None = None,
    reset_offset: int = 0,
    tries: int = TRIES,
    progress: Callable[[int, int, str], None] | None = None,
) -> Proof:
    """Bound every number of a network for all inputs of a domain.

    A verdict on a number assumes that the numbers from which it is computed fit their widths: a network whose verdict
    is `proved` exceeds no width at all. `exceeded` comes with a witness, an input that exceeds a width of that layer in
    the reference run; `open` means that the bound lies beyond the width and that no such input was found.

    Parameters
    ----------
    net_config : path or exchange.Network
        The file, or its description.
    domain : Domain, optional
        The inputs; spikes by default.
    steps : int, optional
                Maximum number of steps of a run; no limit by default.
    reset_interval, reset_offset : int, optional
        Steps between resets of the neurons, see `reference.Network`.
    tries : int
        Maximum number of inputs that the search for witnesses runs; 0 for no search.
    progress : callable, optional
        Called with the number of finished items, the total, and a text.

    Returns
    -------
    Proof

    Raises
    ------
    exchange.ExchangeError
        If the file is not a legal network.
    NotImplementedError
        If a layer has no integer dynamics; the message names it.
    TypeError, ValueError
        If an argument is out of range, or the domain does not fit the first layer.

    Examples
    --------
    >>> from lavadl_ref.exchange import Dense, Network, Neuron
    >>> neuron = Neuron("CUBA", {"current_decay": 1024, "voltage_decay": 128, "threshold": 80})
    >>> found = prove(Network((Dense(shape=(1,), weight=np.array([[32, -16]]), neuron=neuron),)))
    >>> str(found)
    'proved for binary input over any number of steps'
    >>> [(bound.quantity, bound.smallest, bound.largest, bound.free) for bound in found.layers[0].bounds[-1:]]
    [('voltage', -130945, 13149, 6)]
    """
    network = described(net_config)
    steps = None if steps is None else whole("steps", steps, 1)
    tries = whole("tries", tries, 0)
    deployed = reference.Network(network, reset_interval=reset_interval, reset_offset=reset_offset)
    setting = Setting(Domain() if domain is None else domain, steps, deployed.reset_interval)
    shape = input_shape(network)
    if min(shape) < 1:
        first = network.layers[0]
        raise ValueError(f"input of no size gives layer 0 ({first.kind}) its shape {first.shape}")
    reaches = network_reach(network.layers, shape, setting, progress)
    found = Search(deployed, shape, setting, reaches, tries)
    if tries:
        found.run(progress)
    incoming = deployment.incoming_bits(network.layers)
    layers = []
    for position, (layer, reach) in enumerate(zip(network.layers, reaches, strict=True)):
        before = network.layers[position - 1].shape if position else shape
        bounds = tuple(_bound(position, name, layer, reach, found) for name in reach.quantities)
        told = () if reach.fits else tuple(advice(layer, incoming[position], before, reach, setting))
        family = None if layer.neuron is None else layer.neuron.type
        layers.append(LayerProof(position, layer.kind, layer.shape, family, bounds, told))
    return Proof(str(setting.domain), steps, deployed.reset_interval, tuple(layers), found.tried)


def write_witness(path: str | os.PathLike[str], found: Proof) -> bool:
    """Write the first witness of a proof to a ``.npy`` file that ``lavadl-ref verify --input`` can read.

    Parameters
    ----------
    path : path
        The file, which is replaced.
    found : Proof
        The proof.

    Returns
    -------
    bool
        False if no input was found that exceeds a width; then nothing is written.
    """
    for layer in found.layers:
        for bound in layer.bounds:
            if bound.witness is not None:
                held = io.BytesIO()
                np.save(held, bound.witness.inputs)
                atomic.write_bytes(path, held.getvalue())
                return True
    return False


def _bound(position: int, name: str, layer: Layer, reach: LayerReach, found: Search) -> Bound:
    """The bound of one number of a layer, its verdict, and what was met of it."""
    quantity = reach.quantities[name]
    witness, met = found.witnesses.get((position, name)), found.met.get((position, name))
    verdict = PROVED if quantity.fits else OPEN if witness is None else EXCEEDED
    ends = quantity.ends
    free = None if None in ends else free_bits(quantity.low, quantity.high, quantity.smallest, quantity.largest)
    return Bound(
        name,
        quantity.low,
        quantity.high,
        *ends,
        free,
        verdict,
        _widest(quantity, layer),
        None if quantity.fits else met,
        witness,
    )


def _widest(quantity: Quantity, layer: Layer) -> tuple[int, ...]:
    """The neuron whose range reaches furthest."""
    sizes: Any = np.maximum(-quantity.range.low, quantity.range.high)
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(sizes)) % layer.size, layer.shape))
