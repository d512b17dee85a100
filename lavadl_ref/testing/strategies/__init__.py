"""Hypothesis strategies: neurons, spike trains, whole networks, and ``.net`` files, intact and damaged.

All examples are legal in the sense of `lavadl_ref.exchange.check`, and are drawn from the tables of
`lavadl_ref.exchange`, so that a new family, field or kind of layer is included automatically. They have the form in
which `lavadl_ref.exchange.read` returns them: every field of a neuron is present. Examples shrink to fewer, smaller
layers and to zeros.

Needs Hypothesis, an optional dependency.
"""

from __future__ import annotations

from lavadl_ref import _extras

try:
    import hypothesis
except ImportError as error:
    raise ImportError(f"lavadl_ref.testing.strategies needs Hypothesis: {_extras.advice('testing')}") from error

from lavadl_ref.testing.strategies._net_files import corrupted_net_files, net_files
from lavadl_ref.testing.strategies._networks import networks
from lavadl_ref.testing.strategies._values import neurons, spike_trains

__all__ = ["corrupted_net_files", "net_files", "networks", "neurons", "spike_trains"]
