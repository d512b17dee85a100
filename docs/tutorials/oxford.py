"""Regression of spike trains: a network maps 200 random trains to 200 trains that draw a picture.

With `--data DIR`, the data is Lava-DL's Oxford data, `input.bs1` and `output.bs1`. Otherwise the target
is a word drawn in spikes.
"""

# %%
import _interrupted  # noqa: F401 - first, so that Ctrl-C ends the program in one line from here on
import torch
from _common import compare, curves, fit, options, save, show

from lavadl_ref import datasets, plot, slayer

asked = options(__file__, __doc__, epochs=(5000, 20), data="input.bs1 and output.bs1")

# %% [markdown]
# ## Data
# The data is a single sample: 200 input trains of 2000 steps, some of which spike at random, and the target output
# trains.

# %%
data = datasets.WrittenSpikes(seed=asked.seed) if asked.data is None else datasets.Oxford(asked.data)
x, target = (trains[None] for trains in data[0])

# %% [markdown]
# ## Network
# The network has two dense layers of CUBA neurons, whose decays are trained too. The loss filters the spike trains
# twice with an exponential of 2 steps before it compares them.

# %%
neuron = {"threshold": 0.1, "current_decay": 1, "voltage_decay": 0.1, "requires_grad": True}
net = torch.nn.Sequential(slayer.block.cuba.Dense(neuron, 200, 256), slayer.block.cuba.Dense(neuron, 256, 200))
error = slayer.loss.SpikeTime(time_constant=2, length=100, filter_order=2)
optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, weight_decay=1e-5)

# %% [markdown]
# ## Training
# With one sample, there is nothing to generalise to. The test runs the same sample after the training step, so that
# the reported loss is that of the saved network.

# %%
stats = slayer.utils.LearningStats()
assistant = slayer.utils.Assistant(net, error, optimizer, stats)
fit(asked, assistant, data, data, batch=1)
curves(asked, stats)

# %% [markdown]
# ## The picture drawn by the network

# %%
with torch.no_grad():
    y = net(x)
drawn, axes = plot.figure(3, size=(6, 4))
for ax, trains, title in zip(axes[0], (x, target, y), ("input", "target", "output"), strict=True):
    plot.raster(trains[0].numpy(), ax, title=title)
save(asked, drawn, "trains")

# %% [markdown]
# ## Export and comparison of all backends

# %%
trained, deployed = compare(asked, list(net), x, x[0].numpy().astype(int))
show(
    asked,
    {
        "epochs": len(stats.testing.loss_log),
        "first loss": stats.training.loss_log[0],
        "best loss": stats.testing.min_loss,
        "spikes wanted": int(target.sum()),
        "spikes": int(y.sum()),
        "integers compared": f"{trained.compared + deployed.compared:,}, all equal",
    },
)
