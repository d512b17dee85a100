"""Steering by sight with sigma-delta neurons: only what changes from frame to frame is sent.

With `--data DIR` the pictures and `data.txt` of a recorded drive (Sully Chen's data set comes so); otherwise a drawn
road.
"""

# %%
import _interrupted  # noqa: F401 - first: from here on, Ctrl-C ends in one line
import numpy as np
import torch
from _common import compare, curves, options, show
from _pilotnet import DATA, PilotNet, angles, drives, integers, quantised
from _training import Training

from lavadl_ref import slayer

asked = options(__file__, __doc__, epochs=(200, 1), data=DATA)

# %% [markdown]
# ## Data
# Sequences of 16 frames of 33x100 pixels, and the angle of the steering wheel for each.

# %%
data, test = (drives(asked, train) for train in (True, False))


def frames(batch):
    """Frames (N, 3, 33, 100, T), and angles (N, 1, T)."""
    return quantised(batch[0]), batch[1][:, None]


# %% [markdown]
# ## Network
# Thresholds are learned. What is read out at the end is the sum of all messages, so that the first frame costs a lot
# and those after it little. A part of the loss, `lam` times the rate of messages beyond 1 %, keeps them few.

# %%
block = slayer.block.sigma_delta
neuron = {
    "threshold": 1 / 64 if asked.small else 0.1,  # few epochs of few channels make small messages
    "tau_grad": 0.5,
    "scale_grad": 1,
    "requires_grad": True,
    "shared_param": True,
    "activation": torch.nn.functional.relu,
}
readout = block.Output(neuron, 10, 1, weight_scale=2, weight_norm=True)
net = PilotNet(block, neuron, neuron, readout, asked.small)
optimizer = torch.optim.RAdam(net.parameters(), lr=1e-3, weight_decay=1e-5)

# %% [markdown]
# ## Training

# %%
stats = slayer.utils.LearningStats()
assistant = slayer.utils.Assistant(net, torch.nn.functional.mse_loss, optimizer, stats, lam=0.01)
Training(asked, assistant, data, test, batch=8, prepare=frames, slower=(60, 120, 160)).run()
curves(asked, stats)

# %% [markdown]
# ## Export, and proof that all paths agree

# %%
x, wanted = test[0]
x = quantised(x)
trained, deployed = compare(asked, list(net.blocks), x[None], integers(x))
with torch.no_grad():
    said = net(x[None])[0][0, 0]
angles(asked, x[..., 0], {"wanted": wanted, "said": said})

# %% [markdown]
# ## Events
# A network of ordinary neurons would hand on every value at every frame.

# %%
neurons = sum(result.layer.size for result in deployed.layers[:-1] if result.layer.neuron is not None)
events = sum(result.spikes for result in deployed.layers[:-1]) / deployed.steps
show(
    asked,
    {
        "sequences": f"{len(data)} for training, {len(test)} for testing",
        "epochs": len(stats.testing.loss_log),
        "test error, least [rad²]": stats.testing.min_loss,
        "variance of the angle [rad²]": float(np.var([test[i][1].numpy() for i in range(len(test))])),
        "neurons": neurons,
        "messages for a frame": f"{events:.0f}, {neurons / max(events, 1):.1f} times fewer",
        "integers compared": f"{trained.compared + deployed.compared:,}, all equal",
    },
)
