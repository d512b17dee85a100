"""The ``.net`` format: what a file says, reading it, checking it, writing it.

The one contract between training, the reference run and Lava.  Needs NumPy and h5py only.
"""

from lavadl_ref.exchange.check import check
from lavadl_ref.exchange.describe import (
    LAYERS,
    Average,
    Conv,
    ConvTranspose,
    Dense,
    Flatten,
    Input,
    Kernel,
    Layer,
    Network,
    Neuron,
    Pool,
    Recurrent,
    TimeDecimation,
    Unpool,
    never_fires,
    silenced,
)
from lavadl_ref.exchange.digest import digest
from lavadl_ref.exchange.errors import ExchangeError, ExponentWarning, LegacyKeyWarning
from lavadl_ref.exchange.families import FAMILIES, LEGACY_KEYS, Family, Field, family
from lavadl_ref.exchange.read import read
from lavadl_ref.exchange.write import write, write_layer
