"""Spikes made of numbers, and changes of recordings that are drawn from a seed.

Encoders take numbers (\\*shape) and a number of steps, and give spikes (\\*shape, T): `rate`, `latency` and
`population`; `delta` takes a signal (\\*shape, T). Transforms take arrays or tensors (C, H, W, T), (C, X, T), or lists
of events, `slayer.io.Event`, and return new ones: `jitter`, `drop`, `flip`, `crop` and `rescale`. What is random is
drawn from a seed, or from a generator that goes on from call to call; arrays and tensors get the same.

>>> import numpy as np
>>> from lavadl_ref import encode
>>> encode.latency(np.array([1.0, 0.5, 0.0]), 5).tolist()  # the larger, the earlier; 0 never
[[1.0, 0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 0.0]]
"""

from lavadl_ref.encode._encoders import delta, latency, population, rate, receptive_fields
from lavadl_ref.encode._transforms import crop, drop, flip, jitter, rescale

__all__ = ["crop", "delta", "drop", "flip", "jitter", "latency", "population", "rate", "receptive_fields", "rescale"]
