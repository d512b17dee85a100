"""The layout of a ``.net`` file: the keys of each kind of layer, and the limits.

``/layer/<k>`` holds layer k, ``/layer/<k>/neuron`` its neurons, ``/simulation`` two legacy
numbers, ``/digest`` what all of it comes to.  Everything is a dataset; attributes are not used.  Keys that
are not listed here or in `lavadl_ref.exchange.families` are refused.
"""

from __future__ import annotations

WEIGHT_LOW, WEIGHT_HIGH = -512, 511  # 8-bit weights are within [-256, 254]; object detectors use one bit more
BIAS_LIMIT = 2**31  # biases are 32-bit integers
DELAY_LIMIT = 2**15  # steps; Lava's own delays end at 63
WINDOW_LIMIT = 2**15  # kernel size, stride, padding, dilation, groups, time bins
NEURON_LIMIT = 2**28  # neurons of one layer
LAYER_LIMIT = 1024
EXPONENT_USED = 3  # the largest exponent by which Lava-DL 0.6.0 divides in evaluation, whatever it exports
NAME_LIMIT = 64  # characters of a string

_SYNAPSE = frozenset({"weight", "bias", "inputBias", "delay", "neuron", "delayShift"})
_DENSE = _SYNAPSE | {"inFeatures", "outFeatures"}
_WINDOW = frozenset({"kernelSize", "stride", "padding", "dilation"})
_CONV = _SYNAPSE | _WINDOW | {"inChannels", "outChannels", "groups"}
_POOL = (_SYNAPSE | _WINDOW) - {"bias", "inputBias"}

#: Keys of a layer's group beside ``type`` and ``shape``.
LAYER_KEYS: dict[str, frozenset[str]] = {
    "input": frozenset({"weight", "bias", "neuron", "delayShift"}),
    "flatten": frozenset(),
    "average": frozenset(),
    "time_decimation": frozenset({"factor"}),
    "dense": _DENSE,
    "dense_rec": _DENSE | {"weight_rec"},
    "conv": _CONV,
    "convT": _CONV,
    "pool": _POOL,
    "unpool": _POOL,
}

#: Types that no released exporter wrote, and what to do with files that have them.
UNRELEASED: dict[str, str] = {
    "recurrent": "is of an exporter that was never released, so what the layer's keys mean is not known; load the "
    "checkpoint into a Recurrent block and export that"
}

DIGEST_KEY = "digest"
SIMULATION_KEYS = frozenset({"Ts", "tSample"})

#: How many axes ``shape`` has, legacy spellings already reduced.
RANKS: dict[str, tuple[int, ...]] = {
    "input": (1, 3),
    "flatten": (1,),
    "average": (1,),
    "time_decimation": (1, 3),
    "dense": (1,),
    "dense_rec": (1,),
    "conv": (3,),
    "convT": (3,),
    "pool": (3,),
    "unpool": (3,),
}
