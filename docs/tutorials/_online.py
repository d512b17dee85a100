"""Functions that the tutorials on online learning share: recordings, network, and one way to train by any rule."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from _common import Options, fit, progress
from torch import Tensor
from torch.nn import functional
from torch.utils.data import TensorDataset

from lavadl_ref import datasets, online, slayer

MILLISECONDS = 5  #: in one step
STEPS = 300 // MILLISECONDS  #: of a recording
SIDE = 17  #: rows and columns, after each square of 2x2 pixels of the sensor has become one
PIXELS = 2 * SIDE * SIDE  #: with both polarities
BATCH = 32
SLOWER = (6,)  #: epochs before which the learning rate is divided by 10/3
COST = 0.03  #: of a spike where each layer learns by itself: without it a third of the neurons spike at each step
SLAYER = "slayer"  #: the name of training by back-propagation through time, next to the rules of a learner


def recordings(options: Options, train: bool, count: int, numbers: Sequence[int] = (1,)) -> TensorDataset:
    """Digits before the simulated camera: spikes, bool (N, 2, 17, 17, STEPS), and labels.

    The spikes are kept in the output folder.

    Parameters
    ----------
    options : Options
        The options of the tutorial.
    train : bool
        Whether they are those for training.
    count : int
        The most digits.
    numbers : sequence of int
        Numbers of the recordings of each digit, from 1.  Recordings of a digit differ in path, size and angle.
    """
    found = [_recording(options, train, count, number) for number in numbers]
    return TensorDataset(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def _recording(options: Options, train: bool, count: int, copies: int) -> tuple[Tensor, Tensor]:
    """The last of `copies` recordings of each digit."""
    data = datasets.MovingDigits(train, copies, sampling_time=MILLISECONDS, steps=STEPS, seed=options.seed)
    first = len(data) * (copies - 1) // copies
    places = range(first, min(first + count, len(data)))
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"{'train' if train else 'test'}-{copies}-{options.seed}-{len(places)}.npy"
    if not path.exists():
        spikes = np.empty((len(places), 2, SIDE, SIDE, STEPS), bool)
        with progress("recording") as update:
            for number, place in enumerate(places):
                spikes[number] = _pooled(data[place][0])
                update(number + 1, len(places), "")
        part = path.with_suffix(".part.npy")
        np.save(part, spikes)
        part.replace(path)  # so that an interruption leaves no file that is cut short
    labels = torch.tensor([data.label(place) for place in places])
    return torch.from_numpy(np.load(path)), labels


def _pooled(spikes: Tensor) -> Tensor:
    """The spikes of 2x2 pixels as one: where any of them spikes."""
    return functional.max_pool2d(spikes.movedim(-1, 1), 2).movedim(1, -1)


def flat(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """The spikes, float32, with all pixels and polarities on one axis, and the labels."""
    return batch[0].flatten(1, 3).float(), batch[1]


def network(width: int) -> torch.nn.Sequential:
    """A layer of CUBA neurons, and a block that is read out: its voltages are the logits of the ten digits."""
    neuron = {"threshold": 1.25, "current_decay": 0.25, "voltage_decay": 0.03, "tau_grad": 0.1, "scale_grad": 1}
    readout = {"threshold": 1.25, "current_decay": 1, "voltage_decay": 0.1}
    return torch.nn.Sequential(
        slayer.block.cuba.Dense(neuron, PIXELS, width),
        slayer.block.cuba.Affine(readout, width, 10),
    )


def error(output: Tensor, labels: Tensor) -> Tensor:
    """The cross-entropy at each step, averaged over steps and samples."""
    return step_error(output, labels[:, None].expand(-1, output.shape[-1]))


def step_error(output: Tensor, labels: Tensor) -> Tensor:
    """The cross-entropy of the logits at single steps."""
    return functional.cross_entropy(output, labels)


def answers(output: Tensor) -> Tensor:
    """The digit with the largest mean logit."""
    return output.mean(-1).argmax(1)


class OnlineAssistant(slayer.utils.Assistant):
    """An assistant that trains by a learner."""

    def __init__(self, learner: online.Learner, stats: slayer.utils.LearningStats) -> None:
        super().__init__(learner, error, learner.optimizer, stats, answers)
        self.learner = learner

    def train(self, input: Tensor, target: Tensor) -> Tensor:
        """Learn from a batch."""
        self.learner.train()
        output = self.learner.learn(input, target)
        self.learner.reset()  # what the samples left behind belongs in no checkpoint
        assert self.stats is not None
        self._log(self.stats.training, self._loss(output, target), output, target)
        return output


def assistant(rule: str, seed: int, width: int, lr: float = 3e-3, every: int | None = None) -> slayer.utils.Assistant:
    """An assistant that trains the network by `rule`. The first weights depend on the seed only."""
    torch.manual_seed(seed)
    net = network(width)
    optimizer = torch.optim.Adam(net.parameters(), lr=lr)
    stats = slayer.utils.LearningStats()
    if rule == SLAYER:
        return slayer.utils.Assistant(net, error, optimizer, stats, answers)
    penalty = online.Firing(COST) if rule == "local" else None
    return OnlineAssistant(
        online.Learner(net, step_error, optimizer, rule, every, 10, window=16, penalty=penalty), stats
    )


def trained(
    options: Options, assistant: slayer.utils.Assistant, data: TensorDataset, test: TensorDataset, name: str
) -> slayer.utils.LearningStats:
    """Train in the folder `name` of the output folder, from its checkpoint with ``--resume`` if there is one."""
    folder = options.out / name
    folder.mkdir(parents=True, exist_ok=True)
    resume = options.resume and (folder / "checkpoint.pt").is_file()
    own = replace(options, out=folder, family=name, resume=resume)
    fit(own, assistant, data, test, batch=BATCH, prepare=flat, best_by="", slower=SLOWER)
    assert assistant.stats is not None
    return assistant.stats


def peak(job: Callable[[], object]) -> float:
    """Megabytes that `job` takes at most above what the program had before; nan where the system does not tell."""
    try:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)  # else `job` is given pages that count as the program's already
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak is now what is there
        before = _resident("VmRSS")
    except (OSError, AttributeError):
        return float("nan")
    job()
    return _resident("VmHWM") - before


def _resident(key: str) -> float:
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in status if line.startswith(key + ":"))
