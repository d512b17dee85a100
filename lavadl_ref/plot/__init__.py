"""Pictures of spikes, states, delays, weights and learning, with Matplotlib: ``pip install "lavadl-ref[plot]"``.

A function takes arrays, NumPy's or tensors, draws them into the axes it is given, or into new ones, and returns the
axes; nothing is shown or written, which is up to the caller.

>>> from lavadl_ref import plot
>>> axes = plot.raster([[0, 1, 0], [1, 0, 1]], title="two neurons")
>>> axes.get_title()
'two neurons: 3 spikes'
"""

from lavadl_ref.plot._axes import figure
from lavadl_ref.plot._learning import curves, delays, weights
from lavadl_ref.plot._spikes import animation, raster, rates, traces

__all__ = ["animation", "curves", "delays", "figure", "raster", "rates", "traces", "weights"]
