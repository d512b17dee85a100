"""The choice of neurons, from the tables of the ``.net`` format."""

from __future__ import annotations

from typing import Any

from lavadl_ref.exchange import FAMILIES, Field, Neuron
from lavadl_ref.exchange.families import DECAY_ONE
from lavadl_ref.testing._choices import Parts

USUAL_THRESHOLD = 512  #: 8 in units of 1/64: what unit weights reach within some steps
ACTIVATIONS = ("identity", "relu")  #: those that deployed neurons have
GRADED = "graded_spike"  #: the field by which a neuron sends the value that it compares


def _value(choose: Parts, field: Field, channels: int, extreme: bool) -> Any:
    """A legal value of a neuron's field."""
    if field.sparse and not extreme:
        return field.default
    if field.kind == "bool":
        return choose.flag()
    if field.kind == "str":
        return choose.one(ACTIVATIONS)
    bound = DECAY_ONE if field.high <= DECAY_ONE else USUAL_THRESHOLD
    limits = field.low, field.high, (max(field.low, -bound), min(field.high, bound)), extreme
    if field.per_channel and channels > 1 and choose.integer(0, 3) == 3:
        return choose.numbers(channels, *limits)
    return choose.number(*limits)


def neuron(choose: Parts, family: str, channels: int, extreme: bool, graded: bool = True) -> Neuron:
    """Neurons of `family` with every field; without graded spikes unless `graded`."""
    fields = FAMILIES[family].fields
    values = {
        field.name: _value(choose, field, channels, extreme) for field in fields if graded or field.name != GRADED
    }
    if not graded and len(values) < len(fields):
        values[GRADED] = False
    # Neurons that only sum need neither threshold nor activation.
    if values.get("sigma_output") and choose.flag():
        values |= {field.name: None for field in fields if not field.required and field.default is None}
    return Neuron(family, values)
