"""Inference on Lava: the network that `oxford.py` trained, beside slayer and the integer reference.

`--data` as there. `--net FILE` names another network of 200 inputs.
"""

# %%
import sys
from time import perf_counter

import _interrupted  # noqa: F401 - first: from here on, Ctrl-C ends in one line
import numpy as np
from _common import NOTHING_SHOWN, figure, on_lava, options, raster, save, show, silent_on_lava

from lavadl_ref import datasets, exchange, slayer
from lavadl_ref.deployed import reference

asked = options(__file__, __doc__, data="input.bs1 and output.bs1", net="oxford")

# %% [markdown]
# ## Network and input

# %%
network = exchange.read(asked.net)
data = datasets.WrittenSpikes(seed=asked.seed) if asked.data is None else datasets.Oxford(asked.data)
x, target = data[0]
spikes = x.numpy().astype(int)
start = network.start_steps[-1]  # each layer begins a step after the one before it
steps = spikes.shape[-1] + start

# %% [markdown]
# ## Three ways to run it
# Slayer is rebuilt from the file. Its blocks shift what they send by a step, so that step t of its output is spiked
# one step earlier.

# %%
rebuilt = slayer.auto.SequentialNetwork(network).eval()
deployed = reference.Network(network)
silence = np.zeros((len(spikes), start), int)
took = {}
for name, run in (
    ("slayer", lambda: rebuilt(x[None])[0].detach().numpy().astype(int)),
    ("reference", lambda: deployed.run(np.concatenate([spikes, silence], axis=1)).output),
):
    run()  # loads the kernels
    began = perf_counter()
    took[name] = run(), perf_counter() - began
records = on_lava(asked, network, spikes, steps)
took["Lava"] = records.output, records.seconds
print(records.table)

# %%
drawn, axes = figure(3, size=(6, 4))
for ax, trains, title in zip(
    axes[0], (spikes, target.numpy(), took["Lava"][0]), ("input", "target", "Lava"), strict=True
):
    raster(ax, trains, title)
save(asked, drawn, "trains")

# %% [markdown]
# ## The same spikes

# %%
equal = np.array_equal(took["Lava"][0], took["reference"][0])
equal &= np.array_equal(took["slayer"][0][:, 1:], took["Lava"][0][:, start : steps - 1])
rows = {f"steps per second, {name}": f"{steps / seconds:,.0f}" for name, (_, seconds) in took.items()}
show(asked, {"output spikes": int(took["Lava"][0].sum()), "all equal": equal} | rows)
if not equal:
    sys.exit("a path differs")
if quiet := silent_on_lava(records.spikes):
    sys.exit(NOTHING_SHOWN.format(quiet))
