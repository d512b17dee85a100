"""A camera that is rotated while the network runs: one network keeps learning, the other is frozen.

Both start as the same network, trained by the rule `local` on upright digits recorded by a simulated event camera. Then
the recordings arrive as one stream, and the neurons never return to rest. During the stream, the camera is rotated by
90 degrees.
"""

# %%
import _interrupted  # noqa: F401 - first, so that Ctrl-C ends the program in one line from here on
import torch
from _common import needs_lava, options, progress, save, show
from _online import MILLISECONDS, STEPS, answers, assistant, flat, recordings, trained

from lavadl_ref import plot

asked = options(__file__, __doc__, epochs=(8, 1))
needs_lava()
from lavadl_ref.netx import online as netx_online  # noqa: E402 - it can be imported only where Lava is there

# %% [markdown]
# ## The deployed network
# The network is that of [online_digits](online_digits.py), trained by the rule `local`.

# %%
width = 32 if asked.small else 256
count = 64 if asked.small else 1437
data, test = recordings(asked, True, count, (1, 2)), recordings(asked, False, count)
deployed = assistant("local", asked.seed, width)
stats = trained(asked, deployed, data, test, "local")

# %% [markdown]
# ## The stream
# The upright digits were not used in training. The rotated digits are those of the training set, in recordings with
# other movements. The network has therefore seen no recording of the stream before.


# %%
def turned(spikes):
    """Recordings of a camera that is turned by 90 degrees."""
    return spikes.rot90(1, (2, 3))


turn, rest = (12, 24) if asked.small else (120, count)
again = recordings(asked, True, rest, (3,))
spikes = torch.cat([test.tensors[0][:turn], turned(again.tensors[0])])
labels = torch.cat([test.tensors[1][:turn], again.tensors[1]])

# %% [markdown]
# ## Running on Lava
# Each block is a Lava process that learns while it runs: labels arrive through a port, and only spikes pass from one
# process to the next. There is one update at the end of each recording, so the answer to a recording is that of a
# network that has not learned from it yet. The frozen network is the same network without labels, so it does not
# learn. Lava's runtime takes some 8 ms per step on two processors, so each of the two runs takes about a quarter of
# an hour.


# %%
def run(title, learns):
    """The answers to the recordings of the stream, (N,), and the network after it."""
    going_on = assistant("local", asked.seed, width, lr=RATE, every=STEPS).net
    going_on.load_state_dict(deployed.net.state_dict())
    found = []
    with progress(title) as update:
        for some, wanted in zip(spikes.split(PIECE), labels.split(PIECE), strict=True):
            x, _ = flat((some, wanted))
            records = netx_online.run(
                going_on, x, wanted if learns else None, reset=False, in_process=asked.small, timeout=3600
            )
            found.append(records.predictions)
            update(sum(map(len, found)), len(labels), "")
    return torch.cat(found), going_on


RATE = 1e-3  # of learning: each update has only one recording, where one of the training has a batch
PIECE = 200  # recordings that Lava runs at a time; what the network learns does not depend on it
ways = {"goes on learning": True, "frozen": False}
right, after = {}, {}
for way, learns in ways.items():
    found, after[way] = run(way, learns)
    right[way] = 100 * (found == labels).float()

# %% [markdown]
# ## Accuracy over time
# Each point is the mean over the last 50 recordings, which take 15 s.

# %%
last = min(50, turn)
drawn, axes = plot.figure(1, size=(8, 3.2))
for way, values in right.items():
    mean = values.unfold(0, last, 1).mean(1)
    time = torch.arange(last, len(values) + 1) * STEPS * MILLISECONDS / 1000
    axes[0, 0].plot(time.numpy(), mean.numpy(), label=way)
axes[0, 0].axvline(turn * STEPS * MILLISECONDS / 1000, color="black", linestyle=":", label="the camera is turned")
axes[0, 0].set(title=f"accuracy over the last {last} recordings", xlabel="s", ylabel="%", ylim=(0, 101))
axes[0, 0].legend()
save(asked, drawn, "drift")


def accuracy(network, shown):
    """The accuracy on the test digits, each from rest, without learning."""
    x, wanted = flat((shown, test.tensors[1]))
    return 100 * (answers(network(x)) == wanted).float().mean().item()


rows = {"recordings": f"{turn} upright, then {len(labels) - turn} turned"}
for way, values in right.items():
    rows[f"{way}: upright"] = f"{values[:turn].mean():.1f} %"
    rows[f"{way}: first {last} after the turn"] = f"{values[turn : turn + last].mean():.1f} %"
    rows[f"{way}: last {4 * last}"] = f"{values[-4 * last :].mean():.1f} %"
    rows[f"{way}: turned test digits"] = f"{accuracy(after[way], turned(test.tensors[0])):.1f} %"
    rows[f"{way}: upright test digits"] = f"{accuracy(after[way], test.tensors[0]):.1f} %"
show(asked, rows)
