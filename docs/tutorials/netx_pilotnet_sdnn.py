"""Inference on Lava: the sigma-delta network that `pilotnet_sdnn.py` trained, on a longer drive.

`--data` as there. `--net FILE` names another network of 33x100 pixels.
"""

# %%
import sys

import _interrupted  # noqa: F401 - first: from here on, Ctrl-C ends in one line
import numpy as np
from _common import NOTHING_SHOWN, on_lava, options, show, silent_on_lava
from _pilotnet import DATA, angles, drives, integers, quantised

from lavadl_ref import exchange
from lavadl_ref.deployed import reference

asked = options(__file__, __doc__, data=DATA, net="pilotnet_sdnn")

# %% [markdown]
# ## Network and frames
# One frame a step. An answer comes as many steps later as there are layers; the last frame is held until it is there.

# %%
network = exchange.read(asked.net)
x, wanted = drives(asked, train=False, sequence=16 if asked.small else 64)[0]
x = quantised(x)
start = network.start_steps[-1]
frames = np.pad(integers(x), [(0, 0)] * 3 + [(0, start)], mode="edge")

# %% [markdown]
# ## On Lava, and in integers without it

# %%
records = on_lava(asked, network, frames, frames.shape[-1])
ran = reference.Network(network).run(frames, record=("spikes",))
equal = np.array_equal(records.output, ran.output)
print(records.table)
said = records.output[0, start:] * float(ran.unit)
angles(asked, x[..., 0], {"wanted": wanted, "on Lava": said})

# %% [markdown]
# ## Messages
# The first frame is all news.

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
    sys.exit("a path differs")
if quiet := silent_on_lava([*records.spikes[:-1], records.output]):
    sys.exit(NOTHING_SHOWN.format(quiet))
