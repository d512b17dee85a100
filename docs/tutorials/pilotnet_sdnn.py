"""Steering from pictures with sigma-delta neurons, which send only changes from frame to frame.

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

asked = options(__file__, __doc__, epochs=(200, 1), data=DATA)

# %% [markdown]
# ## Data
# A sample is a sequence of 16 frames of 33x100 pixels, with the angle of the steering wheel for each frame.

# %%
data, test = (drives(asked, train) for train in (True, False))


def frames(batch):
    """Frames (N, 3, 33, 100, T), and angles (N, 1, T)."""
    return quantised(batch[0]), batch[1][:, None]


# %% [markdown]
# ## Network
# Thresholds are trained. The output is the sum of all messages so far, so the first frame costs many messages and
# later frames few. A second term of the loss keeps messages few: for each layer, it is `lam` times the square of the
# amount by which the mean message exceeds 1 %.

# %%
block = slayer.block.sigma_delta
neuron = {
    "threshold": 1 / 64 if asked.small else 0.1,  # after few epochs, few channels send small messages
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
fit(asked, assistant, data, test, batch=8, prepare=frames, slower=(60, 120, 160))
curves(asked, stats)

# %% [markdown]
# ## Export and comparison of all backends

# %%
x, wanted = test[0]
x = quantised(x)
trained, deployed = compare(asked, list(net.blocks), x[None], integers(x))
with torch.no_grad():
    said = net(x[None])[0][0, 0]
angles(asked, x[..., 0], {"wanted": wanted, "said": said})

# %% [markdown]
# ## Events
# A network of ordinary neurons would send every value at every frame.

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
