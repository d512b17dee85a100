"""Inference on Lava: a network of leaky integrate-and-fire neurons that steers from a stream of frames.

Without `--data`, the network that `pilotnet_lif.py` trained, or `--net FILE`, runs on a drawn road. With `--data DIR`,
the script reproduces a recording of a network. The folder contains `network.net`, `image.npy` with the current into
each pixel's neuron, and the recorded spikes of the layers, `input.npy`, `conv-0.npy`, `fc-0.npy` and so on, with the
axes x, y, channel and step. The neurons in Lava-DL's recording were reset every 17 steps.
"""

# %%
import sys
from pathlib import Path

import _interrupted  # noqa: F401 - first, so that Ctrl-C ends the program in one line from here on
import numpy as np
from _common import NOTHING_SHOWN, on_lava, options, save, show, silent_on_lava
from _pilotnet import angles, drives, integers, quantised

from lavadl_ref import exchange, plot, reference

asked = options(
    __file__, __doc__, data="network.net, image.npy and recorded spikes", net="pilotnet_lif", data_has_net=True
)
network = exchange.read(asked.net)
layers = [
    layer for layer in network.layers if not isinstance(layer, exchange.Flatten)
]  # the layers that become processes

# %% [markdown]
# ## A drawn road
# Each frame is held for 16 steps. Layer i starts a frame i steps later, and is reset at that time. The output is the
# voltage of the last layer after its 16 steps.

# %%
STEPS = 16


def steer() -> bool:
    """Compute the answers on Lava and with the reference, and tell whether they are equal."""
    x, wanted = drives(asked, train=False, sequence=4 if asked.small else 16)[0]
    x = quantised(x)
    count, last = x.shape[-1], len(layers) - 1
    stream = integers(x).repeat(STEPS, axis=-1)
    ends = [last + STEPS * (frame + 1) - 1 for frame in range(count)]
    stream = np.pad(stream, [(0, 0)] * 3 + [(0, last)])
    records = on_lava(
        asked,
        network,
        stream,
        stream.shape[-1],
        reset_interval=STEPS,
        reset_offset=0,
        states_at=[(last, step) for step in ends],
    )
    print(records.table)
    said = np.array([int(records.states_at[last, step]["voltage"].item()) for step in ends])
    ran = reference.Network(network, reset_interval=STEPS, reset_offset=0).run(stream, record=("voltage",))
    equal = np.array_equal(said, ran.layers[-1].voltage[0, ends])
    radians = said / 4096 / STEPS
    angles(asked, x[..., 0], {"wanted": wanted, "on Lava": radians})
    rows = {
        "frames": count,
        "error [rad²]": float(np.mean((radians - wanted.numpy()) ** 2)),
        "frames per second": count / records.seconds,
        "Lava = reference": equal,
    }
    show(asked, rows)
    if quiet := silent_on_lava([*records.spikes[:-1], said]):
        sys.exit(NOTHING_SHOWN.format(quiet))
    return equal


# %% [markdown]
# ## A recording
# The input layer receives the same picture at every step. Lava's processes reproduce every recorded spike.


# %%
def recorded(path: Path) -> np.ndarray:
    """The array of a file, with Lava's axes x, y, channel reordered to channel, y, x."""
    values = np.load(path, allow_pickle=False)
    return (values.transpose(2, 1, 0, *range(3, values.ndim)) if values.ndim >= 3 else values).astype(int)


def reproduce(folder: Path) -> bool:
    """Tell whether every recorded layer spikes on Lava as in the recording."""
    image = recorded(folder / "image.npy")
    names = ["input", *(f"{kind}-{i}" for kind in ("conv", "fc") for i in range(9))]
    names = [name for name in names if (folder / f"{name}.npy").is_file()]
    traces = [recorded(folder / f"{name}.npy") for name in names]
    steps = traces[0].shape[-1]
    shown = np.repeat(image[..., None], steps, axis=-1)
    records = on_lava(asked, network, shown, steps, reset_interval=17)
    print(records.table)
    rows = {}
    drawn, axes = plot.figure(len(names), size=(2.4, 2.4))
    for name, trace, spikes, ax in zip(names, traces, records.spikes, axes[0], strict=False):
        wrong = int(np.count_nonzero(spikes.reshape(trace.shape) != trace))
        rows[name] = f"{trace.size:,} values, {np.count_nonzero(trace):,} spikes, {wrong} differ"
        ax.plot(trace.reshape(-1, steps).sum(0))
        ax.plot(spikes.reshape(-1, steps).sum(0), "k.")
        ax.set(title=name, xlabel="step")
    axes[0, 0].set(ylabel="spikes: line recorded, dots Lava")
    save(asked, drawn, "recorded")
    show(asked, rows)
    return all(row.endswith(" 0 differ") for row in rows.values())


# %%
if not (steer() if asked.data is None else reproduce(asked.data)):
    sys.exit("a backend differs")
