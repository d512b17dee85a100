"""Direct training of spiking networks with surrogate gradients."""

import importlib
from typing import TYPE_CHECKING, Any

import lavadl_ref._needs_torch
from lavadl_ref.slayer import auto, axon, block, classifier, dendrite, io, loss, neuron, spike, synapse, utils
from lavadl_ref.slayer._record import Recorded, Recording, record
from lavadl_ref.slayer._summary import LayerSummary, Summary, summary
from lavadl_ref.slayer._work import LOIHI1, EnergyModel, WorkMeter, measure_work
from lavadl_ref.slayer.block._saturation import SaturationWarning

if TYPE_CHECKING:
    from lavadl_ref.slayer import object_detection as obd
    from lavadl_ref.slayer import object_detection as object_detection

__all__ = [
    "LOIHI1",
    "EnergyModel",
    "LayerSummary",
    "Recorded",
    "Recording",
    "SaturationWarning",
    "Summary",
    "WorkMeter",
    "auto",
    "axon",
    "block",
    "classifier",
    "dendrite",
    "io",
    "loss",
    "measure_work",
    "neuron",
    "obd",
    "record",
    "spike",
    "summary",
    "synapse",
    "utils",
]


def __getattr__(name: str) -> Any:
    # a third of the package's modules are of object detection, which few networks need: loaded when first asked for
    if name in ("obd", "object_detection"):
        globals()["obd"] = module = importlib.import_module("lavadl_ref.slayer.object_detection")
        return module
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), "obd", "object_detection"})
