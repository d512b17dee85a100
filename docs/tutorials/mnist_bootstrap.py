"""Recognition of handwritten digits by rate-coded networks, which are trained in rates and deployed in spikes.

With `--data DIR`, the data is MNIST in its four IDX files. Otherwise, it is scikit-learn's digits. `--family`
chooses the neurons.
"""

# %%
import itertools

import _interrupted  # noqa: F401 - first, so that Ctrl-C ends the program in one line from here on
import torch
from _common import compare, curves, fit, options, save, show
from torch.nn import functional
from torch.utils.data import random_split

from lavadl_ref import bootstrap, datasets, plot, slayer
from lavadl_ref.bootstrap import Mode

#: Neurons of each family whose rate is a function of their input.
NEURONS = {
    "cuba": {"threshold": 0.5, "current_decay": 1, "voltage_decay": 0.03},
    "alif": {
        "threshold": 0.5,
        "threshold_step": 0.1,
        "current_decay": 1,
        "voltage_decay": 0.03,
        "threshold_decay": 0.5,
        "refractory_decay": 1,
    },
    "rf_iz": {"threshold": 0.5, "period": 16, "decay": 0.3},
    "sigma_delta": {"threshold": 0.1, "activation": functional.relu},
}
#: Families that learn MNIST from bent pictures, and of how many batches of their last epochs one is in rates.
BENT = {"cuba": 4, "rf_iz": 8}
asked = options(
    __file__,
    __doc__,
    epochs=(40, 2),
    epochs_with_data=50,
    data="MNIST's four IDX files, plain or .gz",
    families=tuple(NEURONS),
)

# %% [markdown]
# ## Data
# Each time a picture is used, it is rotated, scaled and shifted slightly. For some families, those of MNIST are also
# bent: points of a grid of 6 by 6 move at random, and the pixels between them follow smoothly. A tenth of the training
# set is set aside for validation during training. The test set is used only once, at the end.

# %%
if asked.data is None:
    whole, test = datasets.Digits(True, size=8, seed=asked.seed), datasets.Digits(False, size=8, seed=asked.seed)
else:
    whole, test = datasets.MNIST(asked.data), datasets.MNIST(asked.data, train=False)
generator = torch.Generator().manual_seed(asked.seed)
kept = len(whole) // 10
data, watched = random_split(whole, [len(whole) - kept, kept], generator)
if asked.small:
    data, watched = (random_split(part, [64, len(part) - 64], generator)[0] for part in (data, watched))
side = whole.images.shape[-1]
steps = 16


def vary(x):
    """Rotate, scale and move pictures (N, H, W), and bend some families' MNIST, each picture differently."""
    n = len(x)
    angle, scale = (torch.rand(n) - 0.5) * 0.5, 1 + (torch.rand(n) - 0.5) * 0.2
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], -1).view(n, 2, 2) * scale[:, None, None]
    grid = functional.affine_grid(torch.cat([turn, (torch.rand(n, 2, 1) - 0.5) * 0.2], -1), (n, 1, side, side), False)
    if asked.data is not None and asked.family in BENT:  # pictures of 8 by 8 pixels are too coarse to be bent
        bend = (torch.rand(n, 2, 6, 6) - 0.5) * 0.16
        bend = functional.interpolate(bend, (side, side), mode="bicubic", align_corners=True)
        grid = grid + bend.movedim(1, -1)
    return functional.grid_sample(x[:, None], grid, align_corners=False)[:, 0]


# %% [markdown]
# ## Network
# The blocks are slayer's, with one additional argument: the mode. Rates are tensors with a single time step.

# %%
params = {**NEURONS[asked.family], "tau_grad": 0.03, "scale_grad": 3}
block = getattr(bootstrap.block, asked.family)
width = 768 if asked.data else 256
gain = 2 if asked.family == "rf_iz" else 1
weights = {"weight_norm": True, "weight_scale": 2}


class Network(torch.nn.Module):
    """Three layers of neurons and a readout. `modes` holds the mode of each layer for the next call."""

    def __init__(self):
        super().__init__()
        self.modes = bootstrap.routine.LayerMode(0, Mode.SNN)
        self.blocks = torch.nn.ModuleList(
            [
                block.Input(params, weight=gain, bias=0),
                block.Dense(params, side * side, width, **weights),
                block.Dense(params, width, width, **weights),
                block.Affine(params, width, 10, dynamics=False, **weights),
            ]
        )

    def forward(self, x):
        still = x.flatten(1)[..., None]
        x = still if self.modes.base_mode is Mode.ANN else still.expand(-1, -1, steps)
        for layer, mode in zip(self.blocks, self.modes, strict=False):
            x = layer(x, mode=mode)
        return x.mean(-1)


# MNIST has 38 times as many digits as scikit-learn's set, and so more updates in an epoch
batch, rate, decay = (32, 5e-3, 0.1) if asked.data is None else (128, 2e-3, 0.01)
net = Network()
optimizer = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=decay)
slowing = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(asked.epochs, 1))

# %% [markdown]
# ## Training
# Every five epochs the spiking network is sampled, and curves of rate over input are fitted to the samples. In
# between, the network is trained in rates. In the second half of the training, or the last fifth with MNIST, every
# second batch is trained in spikes, so that the weights work in both modes; where pictures are bent, more of them are.
# A batch in spikes takes about five times as long as one in rates.

# %%
# the first epoch with batches in spikes, and the period of those in rates
first, in_rates = asked.epochs // 2, 2
if asked.data is not None:
    first, in_rates = asked.epochs * 4 // 5, BENT.get(asked.family, 2)
schedule = bootstrap.routine.Scheduler(sample_period=5)


def choose(epoch, iteration, train):
    """Set the modes of the next batch. Validation always runs the spiking network."""
    modes = schedule.mode(epoch, iteration, train)
    spikes = epoch >= first and iteration % in_rates and modes.base_mode is not Mode.SAMPLE
    net.modes = bootstrap.routine.LayerMode(0, Mode.SNN) if spikes or not train else modes


def prepare(batch):
    """The pictures, varied in training, and their labels."""
    return vary(batch[0]) if net.training else batch[0], batch[1]


stats = slayer.utils.LearningStats()
assistant = slayer.utils.Assistant(
    net, functional.cross_entropy, optimizer, stats, classifier=lambda out: out.argmax(-1)
)
fit(
    asked, assistant, data, watched, batch=batch, prepare=prepare, best_by="", before=choose, schedulers=[slowing],
    also={"schedule": schedule},
)  # fmt: skip
curves(asked, stats)

# %% [markdown]
# ## Spikes and rates
# Without MNIST, the curves are fitted once more, to the trained network. With MNIST, those of the last sampling stay:
# most of its pixels are 0, and where ten batches alone determine the curve of RF-IZ's input layer, it is above 0 there.
# Then both modes are evaluated on the test set.


# %%
def answers(mode):
    """The fraction of the test digits that the network classifies correctly in one mode."""
    net.eval()
    net.modes = bootstrap.routine.LayerMode(0, mode)
    with torch.no_grad():
        right = [net(test.images[i]).argmax(-1) == test.labels[i] for i in torch.arange(len(test)).split(256)]
    return torch.cat(right).float().mean().item()


net.modes = bootstrap.routine.LayerMode(0, Mode.SAMPLE)
curved = [layer for layer in net.blocks if isinstance(layer, bootstrap.block.base.AbstractBlock)][:-1]
if asked.data is None:
    for layer in curved:
        layer.f.clear()
    with torch.no_grad():
        net.train()
        for part in itertools.islice(torch.tensor(data.indices).split(32), 10):
            net(vary(whole.images[part]))
    for layer in curved:
        layer.f.alpha = 1.0
        layer.fit()
spiking, rates = answers(Mode.SNN), answers(Mode.ANN)

drawn, axes = plot.figure(3)
net.modes = bootstrap.routine.LayerMode(0, Mode.SNN)
with torch.no_grad():
    sent = net.blocks[1](net.blocks[0](test.images[0].view(1, -1, 1).expand(-1, -1, steps), Mode.SNN), Mode.SNN)
axes[0, 0].imshow(test.images[0].numpy(), cmap="gray")
axes[0, 0].set(title=f"digit {int(test.labels[0])}")
plot.raster(sent[0].numpy(), axes[0, 1], title="first hidden layer")
drives = torch.linspace(-1, 3, 200)
for number, layer in enumerate(curved):
    axes[0, 2].plot(drives.numpy(), layer.f(drives).detach().numpy(), label=f"layer {number}")
axes[0, 2].set(title="rates", xlabel="drive", ylabel="rate")
axes[0, 2].legend()
save(asked, drawn, "rates")

# %% [markdown]
# ## Export and comparison of all backends

# %%
count = 2 if asked.small else 16
pictures = test.images[:count].flatten(1)[..., None].expand(-1, -1, steps)
with torch.no_grad():
    entering = net.blocks[0](pictures, Mode.SNN)
stream = 2 * torch.round(32 * pictures[0]).int().numpy()
trained, deployed = compare(asked, list(net.blocks), entering, stream, first=1)
show(
    asked,
    {
        "neurons": asked.family,
        "digits": f"{len(data)} for training, {len(watched)} to watch it by, {len(test)} for testing",
        "epochs": len(stats.testing.loss_log),
        "test accuracy, spikes": spiking,
        "test accuracy, rates": rates,
        "integers compared": f"{trained.compared + deployed.compared:,}, all equal",
    },
)
