"""Classification of moving digits recorded by an event camera.

With `--data DIR`, the data is N-MNIST with its folders `Train` and `Test`. Otherwise, the script simulates
an event camera that records moving digits, writes the recordings once in the format of N-MNIST, and reads them back.
"""

# %%
import _interrupted  # noqa: F401 - first, so that Ctrl-C ends the program in one line from here on
import numpy as np
import torch
from _common import compare, curves, fit, options, progress, save, show

from lavadl_ref import datasets, plot, slayer

asked = options(__file__, __doc__, epochs=(30, 1), data="N-MNIST's folders Train and Test")

# %% [markdown]
# ## Data
# A recording has 300 steps of 1 ms from a sensor of 34x34 pixels and two polarities. In each epoch, every recording
# is rotated and shifted slightly, in a different way each time.


# %%
def vary(event, generator):
    """Rotate a recording about the middle of the sensor, and move it."""
    angle = np.deg2rad(generator.uniform(-8, 8))
    right, down = generator.integers(-1, 2, 2)
    x, y = event.x - 16.5, event.y - 16.5
    event.x = x * np.cos(angle) - y * np.sin(angle) + 16.5 + right
    event.y = x * np.sin(angle) + y * np.cos(angle) + 16.5 + down
    return event


folder = asked.data
if folder is None:
    folder = asked.out / f"events-{asked.seed}{'-small' if asked.small else ''}"
    for part, train in (("Train", True), ("Test", False)):
        done = folder / f"{part}.complete"
        if not done.exists():
            recordings = datasets.MovingDigits(train, seed=asked.seed)
            with progress(f"recording {part}") as update:
                recordings.write(folder / part, 48 if asked.small else None, update)
            done.touch()
data = datasets.NMNIST(folder, augment=vary, seed=asked.seed)
test = datasets.NMNIST(folder, train=False)


def flat(batch):
    """The spikes, with all pixels and polarities on one axis, and the digits."""
    return batch[0].flatten(1, 3), batch[1]


# %% [markdown]
# ## Network
# The network has three dense layers of CUBA neurons. The first two also learn an axonal delay for each neuron. In
# training, the neuron of the correct digit should spike at 20 % of the steps, and the others at 3 %.

# %%
width = 32 if asked.small else 512
neuron = {
    "threshold": 1.25,
    "current_decay": 0.25,
    "voltage_decay": 0.03,
    "tau_grad": 0.03,
    "scale_grad": 3,
    "requires_grad": True,
    "dropout": slayer.neuron.Dropout(p=0.05),
}
net = torch.nn.Sequential(
    slayer.block.cuba.Dense(neuron, 34 * 34 * 2, width, weight_norm=True, delay=True),
    slayer.block.cuba.Dense(neuron, width, width, weight_norm=True, delay=True),
    slayer.block.cuba.Dense(neuron, width, 10, weight_norm=True),
)
with torch.no_grad():
    net(torch.zeros(1, 34 * 34 * 2, 1))  # draws the delays, which must exist before the optimizer is made
error = slayer.loss.SpikeRate(true_rate=0.2, false_rate=0.03, reduction="sum")
optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)

# %% [markdown]
# ## Training
# The network with the best accuracy on the test recordings is kept, as in Lava-DL's tutorial, so this accuracy is
# slightly optimistic.

# %%
stats = slayer.utils.LearningStats()
assistant = slayer.utils.Assistant(net, error, optimizer, stats, classifier=slayer.classifier.Rate.predict)
fit(asked, assistant, data, test, batch=32, prepare=flat, best_by="accuracy")
curves(asked, stats)

# %% [markdown]
# ## One recording and the output of the network

# %%
x, label = test[0]
with torch.no_grad():
    y = net(x.flatten(0, 2)[None])[0]
drawn, axes = plot.figure(3)
axes[0, 0].imshow((x[1] - x[0])[..., :100].sum(-1).numpy(), cmap="bwr", vmin=-10, vmax=10)
axes[0, 0].set(title=f"digit {label}, first movement")
plot.raster(x.flatten(0, 2).numpy(), axes[0, 1], title="input")
plot.raster(np.repeat(y.numpy(), 20, axis=0), axes[0, 2], title="output, 20 lines a neuron")
save(asked, drawn, "recording")

# %% [markdown]
# ## Export and comparison of all backends

# %%
shown = torch.stack([test[i][0] for i in range(2 if asked.small else 8)]).flatten(1, 3)
trained, deployed = compare(asked, list(net), shown, shown[0].numpy().astype(int))
show(
    asked,
    {
        "recordings": f"{len(data)} for training, {len(test)} for testing",
        "epochs": len(stats.testing.loss_log),
        "test accuracy, best": stats.testing.max_accuracy,
        "test accuracy, last": stats.testing.accuracy_log[-1],
        "training accuracy, last": stats.training.accuracy_log[-1],
        "events in a recording": len(test.event(0).t),
        "integers compared": f"{trained.compared + deployed.compared:,}, all equal",
    },
)
