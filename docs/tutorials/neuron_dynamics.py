"""The response of each of the seven neurons to the same few input spikes."""

# %%
import _interrupted  # noqa: F401 - first, so that Ctrl-C ends the program in one line from here on
import torch
from _common import options, save, show

from lavadl_ref import plot
from lavadl_ref.slayer import neuron

asked = options(__file__, __doc__)
steps = 200 if asked.small else 1000

# %% [markdown]
# ## Input
# The input consists of random spikes of weight 1. The states of a neuron are integers in units of 1/4096, whatever
# the dtype of the tensor that holds them.

# %%
x = (torch.rand(1, 1, steps) < 0.03).float()
leaky = {"threshold": 1.5, "current_decay": 0.1, "voltage_decay": 0.1}
resonant = {"threshold": 0.8, "period": 30, "decay": 0.03}
adaptive = {"threshold_step": 0.5, "threshold_decay": 0.02, "refractory_decay": 0.05}
seen = {}  # for each neuron: its curves by name, its output, and its threshold if that is drawn

# %% [markdown]
# ## Leaky integrators
# `cuba` adds the input to a current, and the current to a voltage; both decay. When the voltage exceeds the
# threshold, the neuron spikes and the voltage is reset to 0. `alif` does not reset its voltage. Instead, each spike
# raises the threshold and a refractory state that is added to the threshold; both decay again.

# %%
cuba = neuron.cuba.Neuron(**leaky)
current, voltage = cuba.dynamics(x)
seen["cuba"] = {"current": current, "voltage": voltage}, cuba(x), cuba.threshold

alif = neuron.alif.Neuron(**leaky, **adaptive)
current, voltage, threshold, refractory = alif.dynamics(x)
seen["alif"] = {"voltage": voltage, "threshold + refractory": threshold + refractory}, alif(x), None

# %% [markdown]
# ## Resonators
# The state is a complex number that rotates, here once in 30 steps, and decays. `rf` spikes when the imaginary part
# rises through 0 while the real part is above the threshold; it is not reset. `rf_iz` spikes when the imaginary part
# exceeds the threshold, and is then reset. `adrf` and `adrf_iz` adapt in the same way as `alif`. The input of all
# four has a real and an imaginary part.

# %%
pair = (x, torch.zeros_like(x))
for name, module in (("rf", neuron.rf), ("rf_iz", neuron.rf_iz)):
    cell = module.Neuron(**resonant)
    real, imag = cell.dynamics(pair)
    seen[name] = {"real": real, "imag": imag}, cell(pair), cell.threshold
for name, module in (("adrf", neuron.adrf), ("adrf_iz", neuron.adrf_iz)):
    cell = module.Neuron(**resonant, **adaptive)
    real, imag, threshold, refractory = cell.dynamics(pair)
    seen[name] = {"real": real, "imag": imag, "threshold + refractory": threshold + refractory}, cell(pair), None

# %% [markdown]
# ## Sigma-delta
# The neuron sums the messages that it receives, and applies an activation to the sum. When this value has changed by
# at least the threshold, the neuron sends a message with the change. Here its input is a slow wave, represented by
# its changes.

# %%
wave = torch.sin(torch.arange(steps) * 6.28 / 150)[None, None]
changes = torch.diff(wave, prepend=torch.zeros(1, 1, 1))
sigma_delta = neuron.sigma_delta.Neuron(threshold=0.3, activation=torch.nn.functional.relu)
total, value = sigma_delta.dynamics(changes)
messages = sigma_delta(changes)
seen["sigma_delta"] = {"sum": total, "activation": value, "sum of messages": messages.cumsum(-1)}, messages, None

# %% [markdown]
# ## All neurons

# %%
drawn, axes = plot.figure(1, len(seen), size=(11, 2.2))
for ax, (name, (states, out, level)) in zip(axes[:, 0], seen.items(), strict=True):
    for label, values in states.items():
        ax.plot(values[0, 0].detach().numpy(), label=label)
    if level is not None:
        ax.axhline(float(level), color="gray", linestyle=":")
    for step in out[0, 0].nonzero()[:, 0].tolist():
        ax.axvline(step, color="black", linewidth=0.6)
    ax.set(title=f"{name}: a line for each of {int((out != 0).sum())} spikes", xlim=(0, steps))
    ax.legend(loc="upper right", fontsize="small")
save(asked, drawn, "neurons")
show(
    asked,
    {"input spikes": int(x.sum())} | {name: f"{int((out != 0).sum())} sent" for name, (_, out, _) in seen.items()},
)
