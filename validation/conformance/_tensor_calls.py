"""Calls of every public function of tensors, the same for this package and for lava-dl.

A call takes the root, ``slayer`` of either, and a signal.
"""

import functools
import inspect
import math

import numpy as np
import torch

from lavadl_ref import slayer as ours
from tests.support import families

STEPS = 6
SHAPES = {1: (STEPS,), 2: (2, STEPS), 3: (2, 3, STEPS), 4: (2, 3, 4, STEPS), 5: (2, 3, 4, 4, STEPS)}
FLOATING = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
WHOLE = (torch.bool, torch.int32, torch.int64, torch.uint8)
DTYPES = FLOATING + WHOLE
SPIKING = tuple(families.SPIKING)
DYNAMICS = ("leaky_integrator", "resonator", "adaptive_threshold", "adaptive_phase_th", "adaptive_resonator")

#: the public modules below slayer that hold functions and classes of tensors
MODULES = (
    "axon",
    "dendrite",
    "spike",
    "spike.complex",
    "loss",
    "classifier",
    "utils",
    "utils.time",
    "utils.filter",
    "utils.int_utils",
    "neuron",
    "neuron.norm",
    "synapse",
    "synapse.complex",
    *(f"neuron.{name}" for name in (*SPIKING, "sigma_delta")),
    *(f"neuron.dynamics.{name}" for name in DYNAMICS),
)

#: what takes no tensor of a signal
WITHOUT = {
    "utils.Assistant",
    "utils.Checkpoint",
    "utils.LearningStat",
    "utils.LearningStats",
    "utils.Training",
    "utils.QUANTIZE_MODE",
    "utils.diagonal_mask",
    "utils.dotdict",
    "utils.staticproperty",
    "synapse.GenericLayer",
    "synapse.ChosenPath",
    "synapse.path",
    "synapse.complex.ComplexLayer",
    "neuron.sigma_delta.named_activation",
    *(f"neuron.{name}.neuron_params" for name in (*SPIKING, "sigma_delta")),
}


def signal(ndim, dtype, seed=0):
    """Small numbers that every dtype holds: quarters of both signs, integers, or zeros and ones."""
    generator = torch.Generator().manual_seed(seed)
    low, high = (-8, 9) if dtype.is_floating_point else (-3, 4) if dtype.is_signed else (0, 2)
    values = torch.randint(low, high, SHAPES[ndim], generator=generator)
    return (values / 4).to(dtype) if dtype.is_floating_point else values.to(dtype)


def spikes(x):
    return (x > 0).to(x.dtype)


def labels(x):
    return torch.zeros(x.shape[0], dtype=torch.int64)


# -- calls ------------------------------------------------------------------------------------


def method(path, name=None, **options):
    """A method of a module that is made with `options`."""

    def call(root, x):
        made = functools.reduce(getattr, path.split("."), root)(**options)
        return (made if name is None else getattr(made, name))(x)

    return call


def loss(name, label, **options):
    return lambda root, x: getattr(root.loss, name)(**options)(spikes(x), label(x))


def layer(name, *arguments, cast=True):
    """A synapse of small integers as weights, in the signal's dtype if that floats."""

    def call(root, x):
        made = functools.reduce(getattr, name.split("."), root.synapse)(*arguments)
        for seed, weight in enumerate(made.parameters()):
            generator = torch.Generator().manual_seed(seed)
            weight.data = torch.randint(-3, 4, weight.shape, generator=generator).float()
        if cast and x.dtype.is_floating_point:
            made = made.to(x.dtype)
        return made(x)

    return call


def neuron(name, part, **options):
    params = {"threshold": 0.5}
    if name == "sigma_delta":
        params["activation"] = torch.relu
    elif name in ("cuba", "alif"):
        params.update(current_decay=0.25, voltage_decay=0.125)
    else:
        params.update(period=10, decay=0.125)
    if name.startswith("a"):
        params.update(threshold_step=0.25, threshold_decay=0.5, refractory_decay=0.25)

    def call(root, x):
        made = getattr(root.neuron, name).Neuron(**params, **options)
        return getattr(made, part)((x, x.flip(-1)) if name in families.COMPLEX else x)

    return call


def delayed(root, x):
    made = root.axon.Delay(max_delay=4)
    channels = x.shape[1] if x.ndim > 2 else 1
    made.delay.data, made.init = torch.arange(channels, dtype=torch.float32), True
    return made(x)


def dynamics(name, **given):
    """`dynamics` with states and decays of one element, or `given`: functions of the signal."""

    def call(root, x):
        function = getattr(root.neuron.dynamics, name).dynamics
        values = {"threshold": 1.0, "th0": 1.0, "th_scale": 0.25, "w_scale": 4096}
        arguments = {}
        for key in inspect.signature(function).parameters:
            if key.endswith("input"):
                arguments[key] = x.flip(-1) if key.startswith("im") else x
            elif key.endswith("decay"):
                arguments[key] = torch.tensor([1000.0])
            elif key.endswith("state"):
                arguments[key] = torch.tensor([0.25])
            elif key in values:
                arguments[key] = values[key]
        arguments.update({key: make(x) for key, make in given.items() if key in arguments})
        return function(**arguments)

    return call


def dynamics_with_parameters_of_any_dtype(name):
    def call(root, x):
        keys = inspect.signature(getattr(root.neuron.dynamics, name).dynamics).parameters
        decays = {key: lambda _: torch.tensor([200]).to(x.dtype) for key in keys if key.endswith("decay")}
        states = {key: lambda _: x.detach()[..., 0] for key in keys if key.endswith("state")}
        return dynamics(name, **decays, **states)(root, x.float())

    return call


def persistent(name, helper):
    """The signal's last steps as state, and a spike where it is positive."""

    def call(root, x):
        function = getattr(getattr(root.neuron.dynamics, name), helper)
        known = {"spike": spikes(x), "threshold": 0.75, "scale": 64, "th_step": 0.25}
        return function(**{key: known.get(key, x) for key in inspect.signature(function).parameters})

    return call


def rates(name):
    return [method(f"classifier.{name}", part, **({} if name == "Rate" else {"time_window": 3})) for part in RATES]


RATES = ("rate", "confidence", "predict", "forward")


def one_label_each_step(x):
    return torch.zeros(x.shape[0], x.shape[-1], dtype=torch.int64)


def one_hot(x):
    hot = torch.zeros(x.shape[:-1])
    hot.view(-1)[0] = 1
    return hot


def per_row(x):
    """One decay for each row of a signal (C, T) or channel of (N, C, T)."""
    return torch.arange(x.shape[-2]) * 500.0 if x.ndim in (2, 3) else torch.tensor([500.0])


TAPS = torch.tensor([1.0, 0.5, 0.25])

CALLS = {
    "axon.delay": [
        *(lambda root, x, n=n: root.axon.delay(x, n) for n in (0, 1, 4, -2, 6, 9, -9, 2.75)),
        lambda root, x: root.axon.delay(x, 3, 2),
        lambda root, x: root.axon.delay(x, torch.tensor([2.0])),
    ],
    "axon.Delay": [delayed],
    "axon.Delta": [method("axon.Delta", threshold=0.5), method("axon.Delta", threshold=0.5, persistent_state=True)],
    "dendrite.Sigma": [method("dendrite.Sigma"), method("dendrite.Sigma", persistent_state=True)],
    "spike.Spike": [
        *(lambda root, x, g=g: root.spike.Spike.apply(x, 0.5, 1.0, 1.0, g, 0, 1) for g in (False, True)),
        lambda root, x: root.spike.Spike.apply(x.float(), x.detach().flip(-1), 1.0, 1.0, False, 0, 1),
        lambda root, x: root.spike.Spike.apply(x, torch.tensor(0.25), 1.0, 1.0, False, 0, 1),
    ],
    "spike.complex.Spike": [
        lambda root, x, g=g: root.spike.complex.Spike.apply(x, x.flip(-1), 0.5, 1.0, 1.0, g, 0, 1)
        for g in (False, True)
    ]
    + [
        lambda root, x: root.spike.complex.Spike.apply(x.float(), x.flip(-1).float(), x.detach(), 1.0, 1.0, False, 0, 1)
    ],
    "loss.SpikeTime": [lambda root, x: root.loss.SpikeTime()(spikes(x), spikes(x.flip(-1)))],
    "loss.SpikeRate": [
        loss("SpikeRate", labels, true_rate=0.5, false_rate=0.25),
        loss("SpikeRate", labels, true_rate=torch.tensor([0.5]), false_rate=torch.tensor(0.25)),
        loss("SpikeRate", labels, true_rate=torch.tensor(0.5, dtype=torch.float64), false_rate=np.float32(0.25)),
        lambda root, x: root.loss.SpikeRate(0.5, 0.25)(torch.ones(2, 3, STEPS), torch.ones(2).to(x.dtype)),
        loss("SpikeRate", one_label_each_step, true_rate=0.5, false_rate=0.25, moving_window=3),
    ],
    "loss.SpikeMax": [
        loss("SpikeMax", labels, mode="softmax"),
        lambda root, x: root.loss.SpikeMax(mode="softmax")(torch.ones(2, 3, STEPS), torch.ones(2).to(x.dtype)),
        loss("SpikeMax", one_label_each_step, mode="softmax", moving_window=3),
    ],
    "loss.SpikeMoid": [
        loss("SpikeMoid", one_hot),
        loss("SpikeMoid", one_hot, alpha=torch.tensor([0.5]), theta=torch.tensor([0.25])),
    ],
    "loss.SparsityEnforcer": [lambda root, x: enforced(root, x)],
    "classifier.Rate": rates("Rate"),
    "classifier.MovingWindow": rates("MovingWindow"),
    "utils.event_rate": [lambda root, x: torch.tensor(root.utils.event_rate(x))],
    "utils.quantize": [
        *(lambda root, x, s=s, m=m: root.utils.quantize(x, s, m) for s in (1, 0.5, 2 / 64, 0.1) for m in (0, 1)),
        lambda root, x: root.utils.quantize(x, torch.tensor(0.5)),
        lambda root, x: root.utils.quantize(x, torch.tensor([0.5])),
    ],
    "utils.quantize_hook_fx": [lambda root, x, d=d: root.utils.quantize_hook_fx(x, descale=d) for d in (False, True)],
    "utils.time.shift": [
        *(lambda root, x, n=n: root.utils.time.shift(x, n) for n in (0, 1, -2, 9)),
        lambda root, x: root.utils.time.shift(x, torch.arange(math.prod(x.shape[1:-1]))),
    ],
    "utils.time.replicate": [lambda root, x: root.utils.time.replicate(x, 3)],
    "utils.filter.conv": [
        lambda root, x: root.utils.filter.conv(x, torch.tensor([1.0, 0.5, 0.25], dtype=floating(x)), 1)
    ],
    "utils.filter.corr": [
        lambda root, x: root.utils.filter.corr(x, torch.tensor([1.0, 0.5, 0.25], dtype=floating(x)), 1)
    ],
    "utils.filter.FIR": [lambda root, x: root.utils.filter.FIR().to(floating(x))(x)],
    "utils.filter.FIRBank": [lambda root, x: bank(root).to(floating(x))(x)],
    "utils.int_utils.right_shift_to_zero": [
        lambda root, x, b=b: root.utils.int_utils.right_shift_to_zero(x, b) for b in (0, 1, 3)
    ],
    "utils.int_utils.Q2Zero": [lambda root, x: root.utils.int_utils.Q2Zero.apply(x)],
    "neuron.Dropout": [lambda root, x: root.neuron.Dropout().eval()(x)],
    "neuron.norm.MeanOnlyBatchNorm": [
        method("neuron.norm.MeanOnlyBatchNorm"),
        lambda root, x: root.neuron.norm.MeanOnlyBatchNorm().eval()(x),
    ],
    "neuron.norm.WgtScaleBatchNorm": [
        method("neuron.norm.WgtScaleBatchNorm"),
        lambda root, x: root.neuron.norm.WgtScaleBatchNorm().eval()(x),
    ],
    "synapse.Dense": [
        layer("Dense", 3, 2),
        layer("Dense", 3, 2, cast=False),
        layer("Dense", (4, 4, 3), 2),
    ],
    "synapse.Conv": [layer("Conv", 3, 2, 3), layer("Conv", 3, 2, 3, cast=False)],
    "synapse.ConvTranspose": [layer("ConvTranspose", 3, 2, 2), layer("ConvTranspose", 3, 2, 2, cast=False)],
    "synapse.Pool": [layer("Pool", 2), layer("Pool", 2, cast=False)],
    "synapse.Unpool": [layer("Unpool", 2), layer("Unpool", 2, cast=False)],
    "synapse.complex.Dense": [layer("complex.Dense", 3, 2), layer("complex.Dense", (4, 4, 3), 2)],
    "synapse.complex.Conv": [layer("complex.Conv", 3, 2, 3)],
    "synapse.complex.ConvTranspose": [layer("complex.ConvTranspose", 3, 2, 2)],
    "synapse.complex.Pool": [layer("complex.Pool", 2)],
    "synapse.complex.Unpool": [layer("complex.Unpool", 2)],
    "neuron.sigma_delta.identity": [lambda root, x: root.neuron.sigma_delta.identity(x)],
    "neuron.sigma_delta.Neuron": [neuron("sigma_delta", part) for part in ("forward", "dynamics")],
    **{f"neuron.{name}.Neuron": [neuron(name, part) for part in ("forward", "dynamics")] for name in SPIKING},
    **{
        f"neuron.dynamics.{name}.dynamics": [
            dynamics(name),
            dynamics(name, threshold=lambda x: -1, th0=lambda x: 0.3),
            dynamics(name, **dict.fromkeys(("decay", "th_decay", "ref_decay", "sin_decay", "cos_decay"), per_row)),
            dynamics_with_parameters_of_any_dtype(name),
            dynamics(name, **dict.fromkeys(STATES, lambda x: x[..., 0])),
            dynamics(name, **dict.fromkeys(STATES, lambda x: torch.ones((), dtype=x.dtype))),
            dynamics(name, **dict.fromkeys(STATES, lambda x: x[..., 0] if x.ndim < 3 else x[0, ..., 0])),
        ]
        for name in DYNAMICS
        for STATES in [("state", "real_state", "imag_state", "im_state", "ref_state", "th_state")]
    },
    **{
        f"neuron.dynamics.{name}.{helper}": [persistent(name, helper)]
        for name in DYNAMICS
        for helper in vars(getattr(ours.neuron.dynamics, name))
        if helper.startswith("persistent")
    },
}


def floating(x):
    return x.dtype if x.dtype.is_floating_point else torch.float32


def bank(root):
    torch.manual_seed(0)
    return root.utils.filter.FIRBank(2, 3)


def enforced(root, x):
    made = root.loss.SparsityEnforcer(0.25)
    made.append(x)
    return made.loss
