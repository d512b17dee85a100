"""Regression of spike trains: 200 random trains are mapped to 200 trains that draw a picture.

With `--data DIR`, the data is Lava-DL's Oxford data, `input.bs1` and `output.bs1`. Otherwise it is a word drawn in
spikes.
"""

# %%
import _interrupted  # noqa: F401 - first, so that Ctrl-C ends the program in one line from here on
import torch
from _common import compare, curves, figure, options, raster, save, show
from _training import Training

from lavadl_ref import datasets, slayer

asked = options(__file__, __doc__, epochs=(5000, 20), data="input.bs1 and output.bs1")

# %% [markdown]
# ## Data
# There is one sample: 200 input trains of 2000 steps, some of which spike at random, and the wanted output trains.

# %%
data = datasets.WrittenSpikes(seed=asked.seed) if asked.data is None else datasets.Oxford(asked.data)
x, target = (trains[None] for trains in data[0])

# %% [markdown]
# ## Network
# Two dense layers of CUBA neurons, whose decays are learned too. The loss filters the spike trains twice with an
# exponential of 2 steps before it compares them.

# %%
neuron = {"threshold": 0.1, "current_decay": 1, "voltage_decay": 0.1, "requires_grad": True}
net = torch.nn.Sequential(slayer.block.cuba.Dense(neuron, 200, 256), slayer.block.cuba.Dense(neuron, 256, 200))
error = slayer.loss.SpikeTime(time_constant=2, length=100, filter_order=2)
optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, weight_decay=1e-5)

# %% [markdown]
# ## Training
# With one sample there is nothing to generalise to. The test runs the same sample after the training step, so that the
# reported loss is that of the network that is kept.

# %%
stats = slayer.utils.LearningStats()
assistant = slayer.utils.Assistant(net, error, optimizer, stats)
Training(asked, assistant, data, data, batch=1, prepare=tuple).run()
curves(asked, stats)

# %% [markdown]
# ## The picture that it draws

# %%
with torch.no_grad():
    y = net(x)
drawn, axes = figure(3, size=(6, 4))
for ax, trains, title in zip(axes[0], (x, target, y), ("input", "target", "output"), strict=True):
    raster(ax, trains[0].numpy(), title)
save(asked, drawn, "trains")

# %% [markdown]
# ## Export, and proof that all backends agree

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
