"""Tools for training spiking networks: quantisation, shifts in time, filters, a training loop and its statistics.

``slayer.utils.quantize`` is the function; ``from lavadl_ref.slayer.utils.quantize import ...`` imports from the module
of the same name.
"""

from lavadl_ref.slayer.utils import filter, int_utils, recurrent, time
from lavadl_ref.slayer.utils.assistant import Assistant
from lavadl_ref.slayer.utils.checkpoint import Checkpoint
from lavadl_ref.slayer.utils.quantize import MODE as QUANTIZE_MODE
from lavadl_ref.slayer.utils.quantize import quantize, quantize_hook_fx
from lavadl_ref.slayer.utils.stats import LearningStat, LearningStats
from lavadl_ref.slayer.utils.training import Training
from lavadl_ref.slayer.utils.utils import diagonal_mask, dotdict, event_rate, staticproperty

__all__ = [
    "QUANTIZE_MODE",
    "Assistant",
    "Checkpoint",
    "LearningStat",
    "LearningStats",
    "Training",
    "diagonal_mask",
    "dotdict",
    "event_rate",
    "filter",
    "int_utils",
    "quantize",
    "quantize_hook_fx",
    "recurrent",
    "staticproperty",
    "time",
]
