"""Regression with spiking neurons: the exclusive or of two numbers, read after the last of ten steps."""

# %%
import _interrupted  # noqa: F401 - first, so that Ctrl-C ends the program in one line from here on
import torch
from _common import compare, curves, fit, options, save, show

from lavadl_ref import datasets, plot, slayer

asked = options(__file__, __doc__, epochs=(500, 60), seed=666)

# %% [markdown]
# ## Network
# Input neurons convert each number to spikes. They are followed by two dense layers and a last block that returns its
# weighted sum instead of spikes.

# %%
data = datasets.XOR(steps=10)
neuron = {"threshold": 0.1, "current_decay": 0.9, "voltage_decay": 0.9}
net = torch.nn.Sequential(
    slayer.block.cuba.Input(neuron),
    slayer.block.cuba.Dense(neuron, 2, 32),
    slayer.block.cuba.Dense(neuron, 32, 32),
    slayer.block.cuba.Affine(neuron, 32, 1, dynamics=False),
)
optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)


def error(output, target):
    """The squared error at the last step."""
    return torch.nn.functional.mse_loss(output[..., -1], target)


# %% [markdown]
# ## Training
# All four samples form one batch. The test runs the same samples after the training step.

# %%
stats = slayer.utils.LearningStats()
assistant = slayer.utils.Assistant(net, error, optimizer, stats)
fit(asked, assistant, data, data, batch=4, shuffle=False)
curves(asked, stats)

# %% [markdown]
# ## The answers

# %%
with torch.no_grad():
    sent = [data.inputs]
    for block in net:
        sent.append(block(sent[-1]))
answers = sent[-1][:, 0, -1]
right = (answers.round().abs() == data.targets[:, 0]).float().mean().item()
drawn, axes = plot.figure(4)
for layer, ax in enumerate(axes[0, :3]):
    plot.raster(sent[layer + 1][1].numpy(), ax, title=f"layer {layer} for 0, 1")
for bits, steps, ax in zip(data.inputs[..., 0].int().tolist(), sent[-1][:, 0], [axes[0, 3]] * 4, strict=True):
    ax.plot(steps.numpy(), label=str(bits))
axes[0, 3].set(title="output", xlabel="step")
axes[0, 3].legend()
save(asked, drawn, "answers")

# %% [markdown]
# ## Export and comparison of all backends
# The input layer of a file takes integers in units of 1/64.

# %%
trained, deployed = compare(asked, list(net), data.inputs, 64 * data.inputs[1].numpy().astype(int))
show(
    asked,
    {
        "epochs": len(stats.training.loss_log),
        "last loss": stats.training.loss_log[-1],
        "least loss": stats.training.min_loss,
        "answers to 00, 01, 10, 11": ", ".join(f"{answer:.3f}" for answer in answers),
        "answered right": f"{right:.0%}",
        "integers compared": f"{trained.compared + deployed.compared:,}, all equal",
    },
)
