"""Inference on Lava: the sigma-delta network that `pilotnet_sdnn.py` trained, on a longer drive.

`--data` is the same as for `pilotnet_sdnn.py`. `--net FILE` names another network for frames of 33x100 pixels.
"""

# %%
import sys

import _interrupted  # noqa: F401 - first, so that Ctrl-C ends the program in one line from here on
import numpy as np
from _common import NOTHING_SHOWN, on_lava, options, show, silent_on_lava
from _pilotnet import DATA, angles, drives, integers, quantised

from lavadl_ref import exchange, reference

asked = options(__file__, __doc__, data=DATA, net="pilotnet_sdnn")

# %% [markdown]
# ## Network and frames
# There is one frame per step. Each layer delays its output by one step, so the last frame is held until the last
# output has arrived.

# %%
network = exchange.read(asked.net)
x, wanted = drives(asked, train=False, sequence=16 if asked.small else 64)[0]
x = quantised(x)
start = network.start_steps[-1]
frames = np.pad(integers(x), [(0, 0)] * 3 + [(0, start)], mode="edge")

# %% [markdown]
# ## On Lava, and with the integer reference

# %%
records = on_lava(asked, network, frames, frames.shape[-1])
ran = reference.Network(network).run(frames, record=("spikes",))
equal = np.array_equal(records.output, ran.output)
print(records.table)
said = records.output[0, start:] * float(ran.unit)
angles(asked, x[..., 0], {"wanted": wanted, "on Lava": said})

# %% [markdown]
# ## Messages
# In the first frame every value is a change, so nearly all neurons send a message.

# %%
sent = sum(
    np.count_nonzero(layer.reshape(-1, layer.shape[-1]), axis=0) for layer in records.spikes if layer is not None
)
show(
    asked,
    {
        "frames": len(said),
        "error [rad²]": float(np.mean((said - wanted.numpy()) ** 2)),
        "messages in the first step, in a later one": f"{sent[0]:,}, {sent[1:].mean():,.0f}",
        "frames per second": records.output.shape[-1] / records.seconds,
        "Lava = reference": equal,
    },
)
if not equal:
    sys.exit("a backend differs")
if quiet := silent_on_lava([*records.spikes[:-1], records.output]):
    sys.exit(NOTHING_SHOWN.format(quiet))
