"""Steering from pictures with leaky integrate-and-fire neurons: 16 steps for each frame, then a reset.

With `--data DIR`, the data consists of the pictures and `data.txt` of a recorded drive, such as Sully Chen's data set.
Otherwise, it is a drawn road.
"""

# %%
import _interrupted  # noqa: F401 - first, so that Ctrl-C ends the program in one line from here on
import numpy as np
import torch
from _common import compare, curves, fit, options, show
from _pilotnet import DATA, PilotNet, angles, drives, integers, quantised

from lavadl_ref import slayer

STEPS = 16
asked = options(__file__, __doc__, epochs=(100, 1), data=DATA)

# %% [markdown]
# ## Data
# A sample is one frame of 33x100 pixels, held for 16 steps, and the angle of the steering wheel.

# %%
data, test = (drives(asked, train, sequence=1, count=1024) for train in (True, False))


def held(batch):
    """Held frames (N, 3, 33, 100, 16), and angles (N, 1)."""
    return quantised(batch[0]).expand(-1, -1, -1, -1, STEPS), batch[1]


# %% [markdown]
# ## Network
# In training, blocks pass spikes on within the same step. When deployed, each layer starts a frame one step after the
# previous layer, and is reset at that time, so that each has its 16 steps. The last layer never spikes, and its
# voltage does not decay. After 16 steps its voltage is the sum of everything that it received, which represents 16
# times the angle.

# %%
block = slayer.block.cuba
pixels = {"threshold": 1.5, "current_decay": 1, "voltage_decay": 0}
neuron = {
    "threshold": 0.5,
    "current_decay": 1,
    "voltage_decay": 0.03,
    "tau_grad": 0.1,
    "scale_grad": 2,
    "requires_grad": True,
}
readout = block.Affine({"threshold": 1, "current_decay": 1, "voltage_decay": 0}, 10, 1, weight_norm=True)
net = PilotNet(block, pixels, neuron, readout, asked.small, delay_shift=False)
optimizer = torch.optim.RAdam(net.parameters(), lr=1e-3, weight_decay=1e-5)


def error(output, target):
    """The squared error of the angle."""
    return torch.nn.functional.mse_loss(output[..., -1] / STEPS, target)


# %% [markdown]
# ## Training

# %%
stats = slayer.utils.LearningStats()
assistant = slayer.utils.Assistant(net, error, optimizer, stats, lam=0)
fit(asked, assistant, data, test, batch=16, prepare=held, slower=(60, 85))
curves(asked, stats)

# %% [markdown]
# ## Export and comparison of all backends
# When deployed, the frames form one stream with a reset every 16 steps.

# %%
count = min(4, len(test))
x, wanted = (torch.stack(part) for part in zip(*[test[i] for i in range(count)], strict=True))
x = quantised(x).expand(-1, -1, -1, -1, STEPS)
stream = np.concatenate(list(integers(x)), axis=-1)
trained, deployed = compare(asked, list(net.blocks), x, stream, reset_interval=STEPS, reset_offset=0)
with torch.no_grad():
    said = net(x)[0][:, 0, -1] / STEPS
angles(asked, x[0, ..., 0], {"wanted": wanted[:, 0], "said": said})
show(
    asked,
    {
        "frames": f"{len(data)} for training, {len(test)} for testing",
        "epochs": len(stats.testing.loss_log),
        "test error, least [rad²]": stats.testing.min_loss,
        "variance of the angle [rad²]": float(np.var([test[i][1].numpy() for i in range(len(test))])),
        "spikes for a frame": round(sum(result.spikes for result in trained.layers) / count),
        "integers compared": f"{trained.compared + deployed.compared:,}, all equal",
    },
)
