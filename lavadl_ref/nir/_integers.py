"""The integers of a ``.net`` file within the metadata of a graph, under the keys of the file.

What the metadata holds is the file itself, group by group, so that nothing but ``docs/format.md`` has to be known to
read it, and `lavadl_ref.exchange` checks it as it checks a file, its digest included.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lavadl_ref.exchange import Network, keys, layout
from lavadl_ref.exchange.errors import ExchangeError
from lavadl_ref.exchange.read import network_of as read_network


class _Keys(keys.Keys):
    """Keys that nobody vouches for: one number does not stand for as many as a file claims to have."""

    def vector(self, key: str, count: int) -> NDArray[np.int64]:
        return self.integers(key)


def network_of(entries: Any) -> Network:
    """The network that the metadata of a graph holds.

    Parameters
    ----------
    entries : dict
        Of `lavadl_ref.exchange.keys.entries_of`, or whatever else a file had in its place.

    Raises
    ------
    ExchangeError
        If it is no legal network, or has no digest or another than its own.
    """
    if not isinstance(entries, Mapping) or layout.DIGEST_KEY not in entries:
        raise ExchangeError(f"net: {layout.DIGEST_KEY}: missing; the integers of a graph need it")
    return read_network(_Keys(entries), "net")
