"""The demo: train on digits, export, run on Lava, and compare every integer."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lavadl_ref import exchange, slayer
from lavadl_ref.exchange import atomic
from lavadl_ref.proof import Proof, prove
from lavadl_ref.slayer.block import cuba, describe
from lavadl_ref.verify import Report, trained, verify

STEPS = 16  #: steps that one digit is shown for, one per grey level
CLASSES = 10

Progress = Callable[[int, int, str], None]


@dataclass
class Data:
    """Digits as spike trains, float32 (N, 64, STEPS), and their labels, (N,)."""

    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor


@dataclass
class Outcome:
    """The results of the demo."""

    path: Path
    test_accuracy: float  #: of slayer on the held-out fifth
    train_accuracy: float
    train_seconds: float
    losses: list[float] = field(default_factory=list)  #: mean training loss of each epoch
    training: Report | None = None  #: the trained blocks against the reference run of the file
    deployed: Report | None = None  #: the file as a stream of samples: reference, slayer and Lava
    deployed_accuracy: dict[str, float] = field(default_factory=dict)  #: on the deployed samples, by path
    proof: Proof | None = None  #: of the file, for spikes and its reset interval
    inputs: NDArray[np.int64] | None = None  #: the deployed samples, (N, 64, STEPS)

    @property
    def exact(self) -> bool:
        """True if no backend differs anywhere."""
        return all(report is not None and report.exact for report in (self.training, self.deployed))


def spike_trains(images: NDArray[np.floating[Any]]) -> Tensor:
    """Grey levels 0..16 as that many spikes, spread evenly over `STEPS` steps.

    Parameters
    ----------
    images : ndarray
        (N, 8, 8), levels from 0 to 16.

    Returns
    -------
    Tensor
        float32 (N, 64, STEPS) of zeros and ones.

    Examples
    --------
    >>> spike_trains(np.full((1, 8, 8), 4))[0, 0].int().tolist()
    [0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0]
    """
    levels = np.asarray(images, np.int64).reshape(len(images), -1, 1)
    counts = (levels * np.arange(STEPS + 1) + STEPS // 2) // 16
    return torch.from_numpy(np.diff(counts, axis=-1).astype(np.float32))


def load(seed: int = 0) -> Data:
    """scikit-learn's bundled digits, a fifth of them held out."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.default_rng(seed).permutation(len(digits.target))
    held_out = len(order) * 4 // 5
    train, test = order[:held_out], order[held_out:]
    labels = torch.from_numpy(digits.target)
    x = spike_trains(digits.images)
    return Data(x[train], labels[train], x[test], labels[test])


def build() -> torch.nn.Sequential:
    """Two dense layers of CUBA neurons."""
    neuron = {
        "threshold": 1.25,
        "current_decay": 0.25,
        "voltage_decay": 0.1,
        "tau_grad": 0.03,
        "scale_grad": 3,
        "requires_grad": True,
    }
    return torch.nn.Sequential(
        cuba.Dense(neuron, 64, 256, weight_norm=True),
        cuba.Dense(neuron, 256, CLASSES, weight_norm=True),
    )


def train(net: torch.nn.Sequential, data: Data, epochs: int, progress: Progress, batch: int = 64) -> list[float]:
    """Train on spike rates; returns the mean loss of each epoch."""
    error = slayer.loss.SpikeRate(true_rate=0.8, false_rate=0.02)
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.006, weight_decay=0.1)
    steps = epochs * -(-len(data.train) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.006, total_steps=steps)
    net.train()
    losses = []
    for epoch in range(epochs):
        total = 0.0
        order: Any = torch.randperm(len(data.train))
        for index in order.split(batch):
            loss = error(net(data.train[index]), data.train_labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        losses.append(total / len(data.train))
        progress(epoch + 1, epochs, f"loss {losses[-1]:.4f}")
    return losses


@contextmanager
def _one_thread() -> Iterator[None]:
    """Train on one thread: on layers this small several are slower, and the outcome does not depend on their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def accuracy(net: torch.nn.Sequential, x: Tensor, labels: Tensor) -> float:
    """Fraction of samples that the network classifies correctly by spike rate.

    Parameters
    ----------
    net : torch.nn.Module
        The network; put into evaluation mode.
    x : Tensor
        float32 (N, 64, STEPS).
    labels : Tensor
        int64 (N,).
    """
    net.eval()
    with torch.no_grad():
        return (slayer.classifier.Rate.predict(net(x)) == labels).float().mean().item()


def run(
    folder: Path,
    epochs: int = 30,
    samples: int = 100,
    seed: int = 0,
    lava: bool = True,
    progress: Progress = lambda done, total, text: None,
) -> Outcome:
    """Train, export to ``folder/digits.net``, and compare all backends on held-out digits.

    Parameters
    ----------
    folder : Path
        Folder of the network and the picture; made if it is missing.
    epochs : int
        Passes over the training digits.
    samples : int
        Held-out digits to compare on all backends.
    seed : int
        Of the split, the initial weights and the order of samples.
    lava : bool
        Whether to run on Lava too.
    progress : callable
        Called with (done, total, text) after each epoch.

    Returns
    -------
    Outcome

    Raises
    ------
    OSError
        If the folder cannot be made or the network not be written.
    """
    torch.manual_seed(seed)
    data, net = load(seed), build()
    # raises before the training where the folder cannot be made
    folder.mkdir(parents=True, exist_ok=True)
    with _one_thread():
        # the first pass compiles the kernels, or loads them from disk; it is not training
        net(data.train[:32]).sum().backward()
        net.zero_grad()
        began = time.perf_counter()
        losses = train(net, data, epochs, progress)
        seconds = time.perf_counter() - began

    path = folder / "digits.net"
    outcome = Outcome(
        path,
        test_accuracy=accuracy(net, data.test, data.test_labels),
        train_accuracy=accuracy(net, data.train, data.train_labels),
        train_seconds=seconds,
        losses=losses,
    )
    exchange.write(path, describe.network(net))

    shown, labels = data.test[:samples], data.test_labels[:samples].numpy()
    outcome.inputs = shown.numpy().astype(np.int64)
    outcome.training = trained(net, shown)
    # As deployed: one sample after the other, with silent steps in which the last spikes leave the network.
    period = STEPS + len(net)
    silent = np.zeros((*outcome.inputs.shape[:-1], period - STEPS), np.int64)
    stream = np.concatenate(np.concatenate([outcome.inputs, silent], axis=-1), axis=-1)
    stream = np.concatenate([stream, silent[0]], axis=-1)
    outcome.deployed = verify(path, stream, lava=lava, reset_interval=period, reset_offset=1)
    assert outcome.training.run is not None and outcome.deployed.run is not None
    start = len(net)  # the last layer's first window begins here
    windows = outcome.deployed.run.output[:, start : start + samples * period].reshape(CLASSES, samples, period)
    rates = {"slayer": outcome.training.run.output.sum(-1), "deployed": windows.sum(-1).T}
    outcome.proof = prove(path, reset_interval=period, reset_offset=1)
    outcome.deployed_accuracy = {name: float((rate.argmax(1) == labels).mean()) for name, rate in rates.items()}
    return outcome


def draw(outcome: Outcome, path: Path, sample: int = 0) -> None:
    """Draw the spikes of every layer for one digit, the output neurons' voltages, and the training loss.

    Raises
    ------
    OSError
        With the name of the file, if it cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from lavadl_ref import plot

    assert outcome.training is not None and outcome.training.run is not None and outcome.inputs is not None
    run = outcome.training.run
    figure = Figure(figsize=(11, 7), layout="constrained")
    axes = figure.subplots(2, 2)
    rasters = [("input pixels", outcome.inputs[sample])]
    rasters += [
        (f"layer {i} ({ran.layer.kind}, {ran.layer.size} neurons)", ran.spikes[sample])
        for i, ran in enumerate(run.layers)
        if ran.spikes is not None
    ]
    for ax, (title, spikes) in zip((axes[0, 0], axes[0, 1]), rasters, strict=False):
        plot.raster(spikes, ax, title=title)
    last = run.layers[-1]
    assert last.voltage is not None and last.spikes is not None
    digits = [str(digit) for digit in range(CLASSES)]
    plot.traces(last.voltage[sample] / 4096, axes[1, 0], spikes=last.spikes[sample], labels=digits)
    axes[1, 0].set(title="output neurons: voltage after reset, dots are spikes", ylabel="v")
    axes[1, 0].legend(ncol=5, fontsize="small", title="digit")
    plot.curves(outcome.losses, axes[1, 1], title=f"training: test accuracy {outcome.test_accuracy:.2%}")
    picture = io.BytesIO()
    canvas: Any = FigureCanvasAgg(figure)
    canvas.print_png(picture)
    atomic.write_bytes(path, picture.getvalue())
