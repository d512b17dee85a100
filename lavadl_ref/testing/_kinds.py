"""Kinds of layers and families of neurons that go together in a ``.net`` file."""

from __future__ import annotations

from lavadl_ref.exchange import FAMILIES, LAYERS, Recurrent, layout

#: Kinds of layers that never have neurons.
PLAIN = tuple(kind for kind in LAYERS if "neuron" not in layout.LAYER_KEYS[kind])


def may_have(kind: str, family: str) -> bool:
    """Tell whether a layer of this kind may have neurons of this family: feedback is of spikes alone."""
    return not (issubclass(LAYERS[kind], Recurrent) and FAMILIES[family].sends_changes)
