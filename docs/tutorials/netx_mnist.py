"""Inference on Lava: the network that `mnist_bootstrap.py` trained classifies the test set as one stream of digits.

`--data` is the same as for `mnist_bootstrap.py`. `--net FILE` names another network with one input for each pixel,
such as one of another family.
"""

# %%
import sys

import _interrupted  # noqa: F401 - first, so that Ctrl-C ends the program in one line from here on
import numpy as np
from _common import NOTHING_SHOWN, on_lava, options, save, show, silent_on_lava

from lavadl_ref import datasets, exchange, plot, reference

asked = options(__file__, __doc__, data="MNIST's four IDX files, plain or .gz", net="mnist_bootstrap/cuba")

# %% [markdown]
# ## Network and digits
# Each digit is shown for 16 steps. The input layer applies its gain and offset to the pixels, and takes the result as
# integers in units of 1/64. In training the result has finer steps, so a few digits may be classified differently. A
# layer starts one step after the layer before it, and is reset every 16 steps from then on: no digit affects the next.

# %%
STEPS = 16
network = exchange.read(asked.net)
if asked.data is None:
    test = datasets.Digits(False, size=8, seed=asked.seed)
else:
    test = datasets.MNIST(asked.data, train=False)
entry = network.layers[0]
start = network.start_steps[-1]  # of the last layer


def stream(chosen):
    """The digits of these numbers one after the other, integers (pixels, T), and steps in which the last one leaves."""
    pixels = np.round(32 * test.images[chosen].flatten(1).numpy()) / 32  # as an input layer rounds them in training
    shown = np.round(entry.weight * pixels + entry.bias).astype(int)
    return np.pad(shown.T.repeat(STEPS, axis=1), [(0, 0), (0, start)])


def answers(output):
    """The class (N,) that received the most over the steps of each digit, from the output (classes, T)."""
    sums = output[:, start:].reshape(len(output), -1, STEPS).sum(-1)
    return sums.argmax(0)


# %% [markdown]
# ## The whole test set on the integer reference

# %%
deployed = reference.Network(network, reset_interval=STEPS, reset_offset=0)
labels = test.labels.numpy()
numbers = np.arange(20 if asked.small else len(test))
said = [answers(deployed.run(stream(part)).output) for part in np.array_split(numbers, -(-len(numbers) // 500))]
right = np.concatenate(said) == labels[numbers]

# %% [markdown]
# ## The first digits on Lava

# %%
first = numbers[: 4 if asked.small else 100]
inputs = stream(first)
records = on_lava(asked, network, inputs, inputs.shape[1], reset_interval=STEPS, reset_offset=0)
print(records.table)
equal = np.array_equal(records.output, deployed.run(inputs).output)
on_chip = answers(records.output)

drawn, axes = plot.figure(4, size=(2.6, 2.6))
for number, ax in enumerate(axes[0]):
    ax.imshow(test.images[number].numpy(), cmap="gray")
    ax.set(title=f"{labels[number]}, on Lava {on_chip[number]}", xticks=[], yticks=[])
save(asked, drawn, "answers")
show(
    asked,
    {
        "digits, reference": len(numbers),
        "test accuracy, reference": float(right.mean()),
        "digits, Lava": len(first),
        "test accuracy, Lava": float((on_chip == labels[first]).mean()),
        "Lava = reference": f"{equal}, in {records.output.size:,} integers",
        "digits per second on Lava": len(first) / records.seconds,
    },
)
if quiet := silent_on_lava([*records.spikes[:-1], records.output]):
    sys.exit(NOTHING_SHOWN.format(quiet))
if not equal:
    sys.exit("a backend differs")
