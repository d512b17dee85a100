"""The choice of chains of layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lavadl_ref.exchange import LAYERS, Kernel, Layer, Network
from lavadl_ref.testing._choices import Parts
from lavadl_ref.testing._layers import Maker, Options

#: Kinds of layers to draw from, the simplest first, those that keep three axes twice as often. The list is the same
#: wherever a layer stands, so that a choice means the same kind and Hypothesis can leave out the layers before it.
KINDS = ("dense", "flatten", *(kind for kind, cls in LAYERS.items() for _ in range(1 + issubclass(cls, Kernel))))

#: The choice of a layer, given the shape that it takes, the kinds that it can be of, and whether another may follow.
Following = Callable[[tuple[int, ...], tuple[str, ...], bool], tuple[Layer, bool]]


def network(choose: Parts, options: Options, following: Following | None = None) -> Network:
    """Layers that fit one another, now and then with the legacy simulation numbers; `following` gives each in turn."""
    ranks = [rank for rank in (1, 3, 3) if options.following((1,) * rank, True)]
    taken = shape = tuple(choose.integer(1, options.max_extent) for _ in range(choose.one(ranks)))
    layers: list[Layer] = []
    more = True
    while more and (kinds := options.following(shape, not layers)):
        room = len(layers) + 1 < options.max_layers
        given = shape, tuple(kinds), room
        found, more = layer(choose, options, *given) if following is None else following(*given)
        layers.append(found)
        shape = found.shape
    simulation = choose.one([{}, {"Ts": 1, "tSample": 64}]) if options.extreme else {}
    made = Network(tuple(layers), simulation)
    return made if made.input_shape else replace(made, stated_input_shape=taken)


def layer(
    choose: Parts, options: Options, shape: tuple[int, ...], kinds: tuple[str, ...], room: bool
) -> tuple[Layer, bool]:
    """A layer of one of `kinds`, and whether another follows, for which there must be `room`."""
    more = room and choose.integer(0, 3) > 0
    kind = choose.among(KINDS, kinds)
    return Maker(choose, options, kind, last=not more).layer(shape), more
