"""The oracle for a whole deployed network of CUBA neurons, in plain Python integers.

A layer is one of `exchange`'s descriptions, a frame what happens at one step, as nested
lists.  Step n of a layer takes what left the layer before it at step n - 1; an input layer
takes the input of step n.
"""

from __future__ import annotations

from tests import naive


def network(layers, frames, reset_interval=None, reset_offset=0, time_base="slayer", bias=None):
    """What each layer does with the input `frames`, and the frames that leave the last layer.

    A layer's record is a dict of lists of flat frames: current, voltage and spikes, or
    weighted for a layer without neurons.  `bias` is the constant input of an input layer.
    """
    starts = start_steps(layers) if time_base == "slayer" else [0] * len(layers)
    records, index = [], 0
    for layer, start in zip(layers, starts, strict=True):
        if layer.kind == "flatten":
            frames = [flat(frame) for frame in frames]
            records.append({"spikes": frames})
            continue
        z = arriving(layer, frames)
        if layer.neuron is None:
            records.append({"weighted": z})
            sent = z
        else:
            resets = resets_of(index, len(frames), reset_interval, reset_offset)
            records.append(neurons(layer, z, offsets(layer, bias), start, resets))
            sent = delayed(layer, records[-1]["spikes"])
        frames = [shaped(frame, layer.shape) for frame in sent]
        bias = None
        index += 1
    return records, frames


def start_steps(layers):
    """Each synapse costs a step when deployed; each shift in training has already paid for one."""
    starts, synapses, shifts = [], 0, 0
    for layer in layers:
        synapses += layer.kind not in ("input", "flatten")
        starts.append(synapses - shifts)
        if layer.neuron is not None:
            shifts += layer.delay_shift is not False
    return starts


def resets_of(index, steps, interval, offset):
    """Steps before which layer `index` forgets."""
    if interval is None:
        return []
    return [n for n in range(steps) if (n + 1) % interval == (offset + 1 + index) % interval]


def arriving(layer, frames):
    """Input of the neurons at each step, flat, in 1/64."""
    if layer.kind == "input":
        return [flat(frame) for frame in frames]
    silence = shaped([0] * len(flat(frames[0])), extents(frames[0]))
    return [sums(layer, frame) for frame in [silence, *frames[:-1]]]


def sums(layer, frame):
    """What a synapse makes of one frame."""
    weight = layer.weight.tolist()
    if layer.kind == "dense":
        return naive.dense(flat(frame), weight)
    window = (layer.stride, layer.padding, layer.dilation)
    if layer.kind == "conv":
        return flat(naive.conv(frame, weight, *window, layer.groups))
    if layer.kind == "convT":
        return flat(naive.conv_transpose(frame, weight, *window, layer.groups))
    if layer.kind == "pool":
        return flat([pool(plane, weight[0][0], *window, layer.shape[1:]) for plane in frame])
    assert layer.kind == "unpool"
    return flat([naive.conv_transpose([plane], weight, *window, 1)[0] for plane in frame])


def pool(plane, weight, stride, padding, dilation, size):
    """`size` (h, w) windowed sums of a plane; what lies outside of it is 0."""
    z = [[0] * size[1] for _ in range(size[0])]
    for y in range(size[0]):
        for x in range(size[1]):
            for p, row in enumerate(weight):
                for q, value in enumerate(row):
                    h = y * stride[0] - padding[0] + p * dilation[0]
                    w = x * stride[1] - padding[1] + q * dilation[1]
                    if 0 <= h < len(plane) and 0 <= w < len(plane[0]):
                        z[y][x] += value * plane[h][w]
    return z


def offsets(layer, bias):
    """Constant input of each neuron's voltage in 1/64."""
    size = count(layer.shape)
    if layer.kind == "input":
        return [0] * size if bias is None else flat(bias)
    values = getattr(layer, "bias", None)
    return [0 if values is None else of_channel(values, layer, i) for i in range(size)]


def neurons(layer, z, bias, start, resets):
    """Current, voltage and spikes of each neuron on its own."""
    runs = []
    for i in range(count(layer.shape)):
        a = [frame[i] * 64 for frame in z]
        decays = [of_channel(layer.neuron[name], layer, i) for name in ("current_decay", "voltage_decay")]
        threshold = layer.neuron["threshold"] * 64
        runs.append(naive.cuba(a, *decays, threshold, bias[i] * 64, loihi=True, start=start, resets=resets))
    names = {"current": 0, "voltage": 2, "spikes": 3}
    return {name: over_time([run[which] for run in runs]) for name, which in names.items()}


def delayed(layer, spikes):
    """Flat frames of spikes after the axonal delay of their channels."""
    if layer.delay is None:
        return spikes
    each = [list(train) for train in zip(*spikes, strict=True)]
    return over_time([naive.delay(train, of_channel(layer.delay, layer, i)) for i, train in enumerate(each)])


def of_channel(values, layer, i):
    """A shared value, or that of the channel that neuron `i` belongs to, as a plain integer."""
    return int(values[i * layer.shape[0] // count(layer.shape)]) if hasattr(values, "__len__") else int(values)


def over_time(neurons):
    """A list over time for each neuron as one frame for each step."""
    return [list(frame) for frame in zip(*neurons, strict=True)]


def count(shape):
    """Number of neurons."""
    return shape[0] * count(shape[1:]) if shape else 1


def flat(frame):
    """Nested lists as one list."""
    return [value for part in frame for value in flat(part)] if isinstance(frame, list) else [frame]


def extents(frame):
    """Lengths of nested lists."""
    return (len(frame), *extents(frame[0])) if isinstance(frame, list) else ()


def shaped(values, shape):
    """A flat list as nested lists."""
    if len(shape) == 1:
        return values
    size = len(values) // shape[0]
    return [shaped(values[i * size : (i + 1) * size], shape[1:]) for i in range(shape[0])]
