"""A deployed network in plain NumPy integers, written from its definition and for the reader.

Step n of layer k integrates what its synapse makes of the spikes that left the previous
layer one step earlier; an input layer takes the input of the same step.
"""

from __future__ import annotations

import numpy as np

from lavadl_ref.exchange.describe import Dense, Flatten, Input, Network


def leak(state, decay):
    """Decay by decay / 4096, toward zero."""
    return np.sign(state) * ((np.abs(state) * (4096 - decay)) >> 12)


def correlate(layer, s):
    """(I, H, W) through an (O, I / groups, kh, kw) kernel, one output element at a time."""
    (sh, sw), (ph, pw), (dh, dw) = layer.stride, layer.padding, layer.dilation
    kh, kw = layer.kernel_size
    padded = np.pad(s, ((0, 0), (ph, ph), (pw, pw)))
    out = np.zeros(layer.shape, np.int64)
    per_group_in, per_group_out = layer.weight.shape[1], layer.shape[0] // layer.groups
    for o, y, x in np.ndindex(*layer.shape):
        first = (o // per_group_out) * per_group_in
        patch = padded[
            first : first + per_group_in,
            y * sh : y * sh + dh * (kh - 1) + 1 : dh,
            x * sw : x * sw + dw * (kw - 1) + 1 : dw,
        ]
        out[o, y, x] = (patch * layer.weight[o]).sum()
    return out


def per_channel(values, shape):
    """Values per channel along the first axis of `shape`."""
    return np.broadcast_to(np.reshape(values, (-1, *[1] * (len(shape) - 1))), shape)


def run(network, inputs, steps, *, reset_interval=None, reset_offset=0, time_base="slayer", graded=False):
    """Spikes (..., T) of each generated layer, final u and v of each, and the delayed output (..., T)."""
    arriving = np.zeros((*inputs.shape[:-1], steps), np.int64)
    arriving[..., : inputs.shape[-1]] = inputs[..., :steps]
    spikes, currents, voltages = [], [], []
    starts = network.start_steps if time_base == "slayer" else [0] * len(network.layers)
    index = 0
    for layer, start in zip(network.layers, starts, strict=True):
        if isinstance(layer, Flatten):
            continue
        shape = (layer.size,) if isinstance(layer, Dense) else layer.shape
        z = np.zeros((*shape, steps), np.int64)
        for n in range(steps):
            if isinstance(layer, Input):
                z[..., n] = arriving[..., n]
            elif n > 0:
                s = arriving[..., n - 1]
                s = s if graded and index == 0 else (s != 0).astype(np.int64)
                z[..., n] = layer.weight @ s.reshape(-1) if isinstance(layer, Dense) else correlate(layer, s)
        if layer.neuron is None:
            sent = z
            spikes.append(None)
            currents.append(None)
            voltages.append(None)
        else:
            bias = getattr(layer, "bias", None)
            bias = per_channel(0 if bias is None or isinstance(layer, Input) else bias, shape)
            iD = per_channel(layer.neuron["current_decay"], shape)
            vD = per_channel(layer.neuron["voltage_decay"], shape)
            u, v = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
            sent = np.zeros_like(z)
            for n in range(steps):
                if reset_interval and (n + 1) % reset_interval == (reset_offset + 1 + index) % reset_interval:
                    u, v = np.zeros_like(u), np.zeros_like(v)
                if n < start:
                    continue
                u = leak(u, iD) + (z[..., n] << 6)
                u = np.where(u > 2**23, u - 2**24, u)
                u = np.where(u <= -(2**23), u + 2**24, u)
                v = np.clip(leak(v, vD) + u + (bias << 6), -(2**23) + 1, 2**23 - 1)
                s = v > layer.neuron["threshold"] << 6
                v = np.where(s, 0, v)
                sent[..., n] = s
            spikes.append(sent)
            currents.append(u)
            voltages.append(v)
        delay = per_channel(0 if layer.delay is None else layer.delay, shape)
        arriving = np.zeros_like(sent)
        for place in np.ndindex(*shape):
            d = int(delay[place])
            arriving[(*place, slice(d, None))] = sent[place][: steps - d] if d < steps else []
        index += 1
    return spikes, currents, voltages, arriving


def network(*layers):
    """Shorthand for a description."""
    return Network(tuple(layers))
