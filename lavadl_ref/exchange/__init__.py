"""The ``.net`` format: descriptions of files, reading, checking and writing them.

The format connects training, the reference run and Lava.  This package needs only NumPy and h5py.
"""

from lavadl_ref.exchange import layers
from lavadl_ref.exchange.check import check
from lavadl_ref.exchange.describe import Network, same
from lavadl_ref.exchange.digest import digest
from lavadl_ref.exchange.errors import ExchangeError, ExponentWarning, LegacyKeyWarning
from lavadl_ref.exchange.families import FAMILIES, LEGACY_KEYS, Family, Field, family, register
from lavadl_ref.exchange.layers import *  # noqa: F403
from lavadl_ref.exchange.read import read
from lavadl_ref.exchange.write import write, write_layer

__all__ = [
    "FAMILIES",
    "LEGACY_KEYS",
    "ExchangeError",
    "ExponentWarning",
    "Family",
    "Field",
    "LegacyKeyWarning",
    "Network",
    "check",
    "digest",
    "family",
    "read",
    "register",
    "same",
    "write",
    "write_layer",
]
__all__ += layers.__all__
