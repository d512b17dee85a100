"""Online learning of digits recorded by an event camera, compared with back-propagation through time.

The same network is trained from the same initial weights in three ways. SLAYER stores the states of all steps and goes
back through them. An online learner only goes forward: it carries a trace for each input, and discards each step
afterwards. `--seeds 5` repeats all trainings with five seeds.
"""

# %%
from dataclasses import replace
from time import perf_counter

import _interrupted  # noqa: F401 - first, so that Ctrl-C ends the program in one line from here on
import torch
from _common import compare, console, options, progress, save, show
from _online import BATCH, SLAYER, assistant, flat, peak, recordings, trained
from rich.table import Table

from lavadl_ref import plot

asked = options(__file__, __doc__, epochs=(8, 1), seeds=True)

# %% [markdown]
# ## Three ways to learn
# SLAYER computes the gradient of the whole recording. The rule `spatial` passes the error of a step down through the
# layers at that step. With the rule `local`, each layer learns from its own readout, through a fixed random matrix. The
# loss of all three is the same: the cross-entropy of the logits at each step, averaged over the steps. There is one
# update for each batch. With `local`, each spike has a small cost; otherwise the rates would rise until spikes carry
# little information. Learning rate and cost were chosen on digits of the training set.
#
# The network has one layer of neurons and a readout, so `spatial` leaves out only the paths through the memory of the
# readout.

# %%
ways = (SLAYER, "spatial", "local")
width = 32 if asked.small else 256
count = 64 if asked.small else 1437
seeds = range(asked.seed, asked.seed + asked.seeds)

# %% [markdown]
# ## Training
# A recording has 60 steps of 5 ms, from 17x17 pixels of two polarities, and there are two recordings of each digit
# for training. The reported accuracy is that after the last epoch; no epoch is chosen by its accuracy.

# %%
accuracy = {way: [] for way in ways}  # of each seed, after each epoch
for seed in seeds:
    own = replace(asked, seed=seed)
    data, test = recordings(own, True, count, (1, 2)), recordings(own, False, count)
    for way in ways:
        training = assistant(way, seed, width)
        stats = trained(own, training, data, test, f"{way}-{seed}")
        accuracy[way].append([100 * value for value in stats.testing.accuracy_log])
        if way == "spatial":
            learnt = training.net.net  # the network of the learner

# %% [markdown]
# ## Memory and time
# The figures are for one training step on one batch, for a single recording and for recordings that are played
# several times in a row. The memory is the peak of the step above what the program uses before it.

# %%
x, labels = flat(data[:BATCH])
plays = (1, 2) if asked.small else (1, 2, 4, 8)
megabytes, seconds = {way: [] for way in ways}, {}
with progress("measuring") as update:
    for number, way in enumerate(ways):
        learning = assistant(way, asked.seed, width)
        learning.train(x, labels)  # compiles what is still to be compiled
        start = perf_counter()
        learning.train(x, labels)
        seconds[way] = perf_counter() - start
        for times in plays:
            long = x.repeat(1, 1, times)
            megabytes[way].append(peak(lambda learning=learning, long=long: learning.train(long, labels)))
        update(number + 1, len(ways), way)

# %% [markdown]
# ## Result
# SLAYER's memory grows with the length of the signal. A learner's memory does not, except for its input and its
# output.

# %%
table = Table(title=f"epochs: {asked.epochs}, seeds: {len(seeds)}, recordings: {len(data)}", title_justify="left")
for heading in ("trained by", "accuracy, mean", "of each seed", "s an epoch"):
    table.add_column(heading, justify="left" if heading == "trained by" else "right")
for times in plays:
    table.add_column(f"MB, {times * x.shape[-1]} steps", justify="right")
for way in ways:
    last = torch.tensor([found[-1] for found in accuracy[way]])
    each = " ".join(f"{value:.1f}" for value in last)
    memory = (f"{value:.1f}" for value in megabytes[way])
    table.add_row(way, f"{last.mean():.2f} %", each, f"{seconds[way] * -(-len(data) // BATCH):.1f}", *memory)
console.print(table)

drawn, axes = plot.figure(2)
for way in ways:
    curve = torch.tensor(accuracy[way]).mean(0)
    axes[0, 0].plot(range(1, len(curve) + 1), curve.numpy(), marker=".", label=way)
    axes[0, 1].plot([times * x.shape[-1] for times in plays], megabytes[way], marker=".", label=way)
axes[0, 0].set(title="accuracy on test recordings", xlabel="epoch", ylabel="%")
axes[0, 1].set(title="memory of a training step", xlabel="steps of a recording", ylabel="MB", ylim=(0, None))
axes[0, 0].legend()
save(asked, drawn, "rules")

# %% [markdown]
# ## Export and comparison of all backends
# A network that has learned online is deployed like any other. This one is the last that was trained by the rule
# `spatial`.

# %%
shown, _ = flat(test[: 2 if asked.small else 8])
compared, deployed = compare(asked, list(learnt), shown, shown[0].numpy().astype(int))
show(asked, {"integers compared": f"{compared.compared + deployed.compared:,}, all equal"})
