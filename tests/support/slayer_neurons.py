"""Spiking neurons of every family, with inputs for them and what the oracle says of both."""

from __future__ import annotations

import numpy as np
import torch

from lavadl_ref.slayer import neuron
from tests.support.families import SPIKING as FAMILIES

LEAKY = {"current_decay": 0.3, "voltage_decay": 0.1}
ROTATING = {"period": 7, "decay": 0.1}
ADAPTING = {"threshold_step": 0.25, "threshold_decay": 0.2, "refractory_decay": 0.4}
OWN = {
    "current_decay": (0.05, 0.9),
    "voltage_decay": (0.01, 0.5),
    "period": (4, 20),
    "decay": (0.01, 0.4),
    "threshold_decay": (0.05, 0.9),
    "refractory_decay": (0.1, 1.0),
}


def arguments(name, own=False, **options):
    """Arguments of a family's constructor; with `own` every channel draws its decays."""
    family = FAMILIES[name]
    given = {"threshold": 0.5, **family.pick(LEAKY, ROTATING, ADAPTING)}
    if own:
        given.update({key: value for key, value in OWN.items() if key in given}, shared_param=False)
    return {**given, **options}


def make(name, own=False, **options):
    return getattr(neuron, name).Neuron(**arguments(name, own, **options))


def signal(name, shape=(2, 3, 20), seed=0):
    """Multiples of 1/64, as quantised weights and binary spikes give; a pair for neurons of complex input."""
    generator = torch.Generator().manual_seed(seed)
    if FAMILIES[name].complex:
        return tuple(torch.randint(-90, 90, shape, generator=generator) / 64 for _ in range(2))
    return torch.randint(-40, 80, shape, generator=generator) / 64


def parts(x):
    """The tensors of an input."""
    return x if isinstance(x, tuple) else (x,)


def each(x, function):
    """`function` of every tensor of an input, in its form."""
    return tuple(map(function, x)) if isinstance(x, tuple) else function(x)


def require_grad(x):
    return each(x, lambda part: part.clone().requires_grad_())


def decays(n, name):
    """The parameters of a neuron by which it forgets, in the kernel's order."""
    return [getattr(n, decay) for decay in FAMILIES[name].kernel.FAMILY.decays]


def integers(n, name):
    """Decays of the oracle for each channel and the constants of all, integers of 1/4096."""
    family = FAMILIES[name]
    rows = [np.atleast_1d(getattr(n, f"cx_{decay}")) for decay in family.kernel.FAMILY.decays]
    constants = [n.v_th_mant * 64] + ([n.v_th_step * 64] if family.adaptive else [])

    def of(channel):
        return [int(row[channel % row.size]) for row in rows] + [0] * family.biased

    return of, constants


def oracle(n, name, x):
    """Traces and spikes of a neuron without norm, int64 tensors in the shape of the input."""
    of, constants = integers(n, name)
    given = parts(x)
    lanes = [part.movedim(1, 0).flatten(1, -2) for part in given]
    out = []
    for channel in range(len(lanes[0])):
        for rows in zip(*(part[channel] for part in lanes), strict=True):
            columns = [[int(v * 4096) for v in row.tolist()] for row in rows]
            out.append(FAMILIES[name].naive(*columns, *of(channel), *constants)[0])
    values = torch.tensor(out, dtype=torch.int64)  # lanes, traces and spike, T
    first = given[0]
    shape = (first.shape[1], first.shape[0], *first.shape[2:])
    *traces, spikes = (values[:, k].reshape(shape).movedim(0, 1) for k in range(values.shape[1]))
    return traces, spikes


def feedback_oracle(n, name, z, weight, last):
    """Spikes of neurons that feed back, step by step, int64 (N, O, T); `last` (N, O) was sent before."""
    of, constants = integers(n, name)
    family = FAMILIES[name]
    z = [(part.flatten(1, -2) * 4096).long() for part in parts(z)]
    weight = [(part.flatten(1) * 4096).long() for part in parts(weight)]
    samples, units, steps = z[0].shape
    states = [[{} for _ in range(units)] for _ in range(samples)]
    spikes, sent = [], last.long()
    for t in range(steps):
        given = [part[..., t] + sent @ matrix.T for part, matrix in zip(z, weight, strict=True)]
        sent = torch.zeros_like(sent)
        for i in range(samples):
            for o in range(units):
                columns = [[int(part[i, o])] for part in given]
                traces, after = family.naive(*columns, *of(o), *constants, **states[i][o])
                states[i][o] = dict(zip(family.states, after, strict=True))
                sent[i, o] = traces[-1][0]
        spikes.append(sent)
    return torch.stack(spikes, -1)


def spike_of(n, name, traces):
    """`spike` of what `dynamics` returned."""
    skipped = {"cuba": 1, "alif": 1}.get(name, 0)
    return n.spike(*traces[skipped:])
