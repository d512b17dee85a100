"""Inference on Lava: the network that `oxford.py` trained, compared with slayer and the integer reference.

`--data` is the same as for `oxford.py`. `--net FILE` names another network with 200 inputs.
"""

# %%
import sys
from time import perf_counter

import _interrupted  # noqa: F401 - first, so that Ctrl-C ends the program in one line from here on
import numpy as np
from _common import NOTHING_SHOWN, on_lava, options, save, show, silent_on_lava

from lavadl_ref import datasets, exchange, plot, reference, slayer

asked = options(__file__, __doc__, data="input.bs1 and output.bs1", net="oxford")

# %% [markdown]
# ## Network and input

# %%
network = exchange.read(asked.net)
data = datasets.WrittenSpikes(seed=asked.seed) if asked.data is None else datasets.Oxford(asked.data)
x, target = data[0]
spikes = x.numpy().astype(int)
start = network.start_steps[-1]  # each layer begins one step after the previous one
steps = spikes.shape[-1] + start

# %% [markdown]
# ## Three ways to run the network
# The slayer network is rebuilt from the file. Its blocks delay their output by one step, so a spike at step t of its
# output belongs to step t - 1 of the neuron.

# %%
rebuilt = slayer.auto.SequentialNetwork(network).eval()
deployed = reference.Network(network)
silence = np.zeros((len(spikes), start), int)
took = {}
for name, run in (
    ("slayer", lambda: rebuilt(x[None])[0].detach().numpy().astype(int)),
    ("reference", lambda: deployed.run(np.concatenate([spikes, silence], axis=1)).output),
):
    run()  # compiles or loads the kernels, which is not timed
    began = perf_counter()
    took[name] = run(), perf_counter() - began
records = on_lava(asked, network, spikes, steps)
took["Lava"] = records.output, records.seconds
print(records.table)

# %%
drawn, axes = plot.figure(3, size=(6, 4))
for ax, trains, title in zip(
    axes[0], (spikes, target.numpy(), took["Lava"][0]), ("input", "target", "Lava"), strict=True
):
    plot.raster(trains, ax, title=title)
save(asked, drawn, "trains")

# %% [markdown]
# ## The same spikes

# %%
equal = np.array_equal(took["Lava"][0], took["reference"][0])
equal &= np.array_equal(took["slayer"][0][:, 1:], took["Lava"][0][:, start : steps - 1])
rows = {f"steps per second, {name}": f"{steps / seconds:,.0f}" for name, (_, seconds) in took.items()}
show(asked, {"output spikes": int(took["Lava"][0].sum()), "all equal": equal} | rows)
if not equal:
    sys.exit("a backend differs")
if quiet := silent_on_lava(records.spikes):
    sys.exit(NOTHING_SHOWN.format(quiet))
