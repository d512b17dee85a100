"""The oracle for a whole deployed network of any families, in plain Python integers.

A layer is one of `exchange`'s descriptions, a frame what happens at one step, as nested
lists.  Step n of a layer takes what left the layer before it at step n - 1; an input layer
takes the input of step n.  Messages are integers with e fractional bits, weighted sums of them
have 6 + e.
"""

from __future__ import annotations

from tests.support import oracle as naive
from tests.support.oracle import layers as naive_layers

SILENT_KINDS = ("input", "flatten", "average")  #: without a synapse
WINDOWED = ("conv", "pool")  #: Lava's convolution wraps its sums at 24 bits
DEFAULTS = {"weight_exp": 0, "weight_exp_imag": 0, "cum_error": False, "activation": None, "threshold": None}


def network(
    layers,
    frames,
    reset_interval=None,
    reset_offset=0,
    time_base="slayer",
    bias=None,
    profile="loihi",
    spike_exp=6,
):
    """The records of each layer for the input `frames`, and the frames that leave the last layer.

    A layer's record is a dict of lists of flat frames: its states by name (`naive_layers.STATES`) as they are
    after the step, with `spikes`, its messages before the axonal delay; `weighted` for a layer without
    neurons and for an average.  `exceeded` is flat, for each neuron the first step at which a width changed
    its sum, its input, a state or its message, -1 if none did.  `bias` is the constant input of an input
    layer, in 1/64.
    """
    starts = start_steps(layers) if time_base == "slayer" else [0] * len(layers)
    records, index, loihi = [], 0, profile == "loihi"
    bits = spike_exp + 6 if opens_with_sigma_delta(layers) else 0
    for layer, start in zip(layers, starts, strict=True):
        if layer.kind == "flatten" or (layer.kind == "input" and layer.neuron is None):
            sent = [flat(frame) for frame in frames]
            records.append({"spikes" if layer.kind == "flatten" else "weighted": sent})
            frames = [shaped(frame, layer.shape) for frame in sent]
            continue
        resets = resets_of(index, len(frames), reset_interval, reset_offset)
        if layer.kind == "average":
            record = {"weighted": [averaged(layer, flat(frame)) for frame in frames]}
            record["exceeded"] = [-1] * count(layer.shape)
        elif layer.neuron is None:
            record = bare_sums(layer, frames, bits, start, loihi)
            bits += 6
        else:
            record = neurons(layer, frames, bits, bias, start, resets, loihi, spike_exp)
            bits = naive_layers.fraction({"type": layer.neuron.type, **layer.neuron.parameters}, spike_exp)
        records.append(record)
        sent = delayed(layer, record["weighted" if "weighted" in record else "spikes"])
        frames = [shaped(frame, layer.shape) for frame in sent]
        bias = None
        index += 1
    return records, frames


def opens_with_sigma_delta(layers):
    """Tell whether the first layer with neurons is of that family, behind a synapse."""
    first = next((layer for layer in layers if layer.neuron is not None), None)
    return first is not None and first.neuron.type == "SDNN" and first.kind != "input"


def start_steps(layers):
    """Each synapse costs a step when deployed; each shift in training has already paid for one."""
    starts, synapses, shifts = [], 0, 0
    for layer in layers:
        synapses += layer.kind not in SILENT_KINDS
        starts.append(synapses - shifts)
        if layer.neuron is not None:
            default = layer.neuron.type != "SDNN"
            shifts += default if layer.delay_shift is None else bool(layer.delay_shift)
    return starts


def resets_of(index, steps, interval, offset):
    """Steps before which layer `index` forgets."""
    if interval is None:
        return []
    return [n for n in range(steps) if (n + 1) % interval == (offset + 1 + index) % interval]


# -- neurons --------------------------------------------------------------------------------------


def neurons(layer, frames, bits, bias, start, resets, loihi, spike_exp):
    """Record of a layer with neurons; `bits` are those of the messages that arrive."""
    cells = parameters(layer, bias)
    z = arriving(layer, frames)
    own = naive_layers.fraction(cells[0], spike_exp) if layer.kind == "dense_rec" else 0
    fine = 6 + max(bits, own)
    record: dict[str, list] = {name: [] for name in (*naive_layers.states(cells[0]), "spikes")}
    record["exceeded"] = [-1] * len(cells)
    states = [naive_layers.rest(cell) for cell in cells]
    fed_back = [0] * len(cells)
    for n, parts in enumerate(z):
        if n in resets:
            states = [naive_layers.rest(cell) for cell in cells]
        if n >= start:
            parts = [[value << (fine - 6 - bits) for value in part] for part in parts]
            if layer.kind == "dense_rec":
                parts = [
                    [
                        value + (more << (fine - 6 - own))
                        for value, more in zip(part, naive.dense(fed_back, weight), strict=True)
                    ]
                    for part, weight in zip(parts, both(layer.weight_rec, layer.weight_rec_imag), strict=True)
                ]
            after = []
            for i, (cell, state) in enumerate(zip(cells, states, strict=True)):
                totals = [part[i] for part in parts]
                result = stepped(cell, state, totals, fine, width(layer), loihi, spike_exp)
                if loihi and record["exceeded"][i] < 0:
                    unbounded = stepped(cell, state, totals, fine, None, False, spike_exp)
                    record["exceeded"][i] = n if result != unbounded else -1
                after.append(result)
            states, fed_back = [state for _, state, _, _ in after], [message for _, _, message, _ in after]
        for name in naive_layers.states(cells[0]):
            record[name].append([state[name] for state in states])
        record["spikes"].append(fed_back)
    return record


def stepped(cell, state, totals, fine, bits, loihi, spike_exp):
    """The sums, `wrapped` to their width, and what `naive_layers.advance` makes of them."""
    totals = [wrapped(total, bits) for total in totals] if loihi else totals
    return totals, *naive_layers.advance(cell, state, totals, fine, loihi, spike_exp)


def parameters(layer, bias):
    """Each neuron's parameters as a dict of plain integers."""
    biases = dict.fromkeys(("bias", "bias_imag", "input_bias"))
    if layer.kind != "input":
        biases = {name: getattr(layer, name, None) for name in biases}
    cells = []
    for i in range(count(layer.shape)):
        cell = {"type": layer.neuron.type, "driven": layer.kind == "input"}
        for name, value in {**DEFAULTS, **layer.neuron.parameters}.items():
            cell[name] = value if value is None or isinstance(value, str) else of_channel(value, layer, i)
        for name, value in biases.items():
            cell[name] = 0 if value is None else of_channel(value, layer, i)
        if layer.kind == "input" and bias is not None:
            assert layer.neuron.type != "SDNN", "an input layer of these has no bias"
            cell["bias"] = flat(bias)[i]
        cells.append(cell)
    return cells


# -- sums -----------------------------------------------------------------------------------------


def width(layer):
    """Bits at which weighted sums wrap."""
    return 24 if layer.kind in WINDOWED else 32


def wrapped(value, bits):
    """Two's complement."""
    return (value + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1)


def bare_sums(layer, frames, bits, start, loihi):
    """Record of a layer without neurons: weighted sums, and a bias."""
    record: dict[str, list] = {"weighted": [], "exceeded": [-1] * count(layer.shape)}
    for n, (total,) in enumerate(arriving(layer, frames)):
        sums = [0] * len(total)
        for i, value in enumerate(total if n >= start else ()):
            bias = getattr(layer, "bias", None)
            offset = 0 if bias is None else of_channel(bias, layer, i) << bits
            exact = value + offset
            sums[i] = wrapped(wrapped(value, width(layer)) + offset, 32) if loihi else exact
            if sums[i] != exact and record["exceeded"][i] < 0:
                record["exceeded"][i] = n
        record["weighted"].append(sums)
    return record


def averaged(layer, values):
    """Sums over groups of consecutive neurons, not divided."""
    size = len(values) // count(layer.shape)
    return [sum(values[i * size : (i + 1) * size]) for i in range(count(layer.shape))]


def arriving(layer, frames):
    """At each step the flat sums that reach the neurons, a list of one part, or of real and imaginary part."""
    if layer.kind == "input":
        return [[flat(frame), [0] * count(layer.shape)] for frame in frames]
    silence = shaped([0] * len(flat(frames[0])), extents(frames[0])) if frames else []
    weights = both(layer.weight, layer.weight_imag)
    return [[sums(layer, frame, weight) for weight in weights] for frame in [silence, *frames[:-1]][: len(frames)]]


def both(real, imag):
    """The parts that there are, as nested lists."""
    return [part.tolist() for part in (real, imag) if part is not None]


def sums(layer, frame, weight):
    """The weighted sums of one frame."""
    if layer.kind in ("dense", "dense_rec"):
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
