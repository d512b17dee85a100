"""Hypothesis strategies: neurons, spike trains, whole networks, and ``.net`` files, whole and damaged.

Everything is legal in the sense of `lavadl_ref.exchange.check` and walks the tables of
`lavadl_ref.exchange`, so that a new family, field or kind of layer is drawn as soon as it is
there.  What is drawn has the form in which `lavadl_ref.exchange.read` returns it: every field of a
neuron is present.  Examples shrink to fewer, smaller layers and to zeros.

Needs Hypothesis, an optional dependency.
"""

from __future__ import annotations

try:
    import hypothesis
except ImportError as error:
    raise ImportError("lavadl_ref.testing.strategies needs Hypothesis: pip install 'hypothesis>=6.100'") from error

from lavadl_ref.testing.strategies._net_files import corrupted_net_files, net_files
from lavadl_ref.testing.strategies._networks import networks
from lavadl_ref.testing.strategies._values import neurons, spike_trains

__all__ = ["corrupted_net_files", "net_files", "networks", "neurons", "spike_trains"]
