"""A training of two tiny epochs, as a function and as a program for one process or several."""

from __future__ import annotations

import argparse
import json
from contextlib import suppress
from pathlib import Path

import torch
from torch.utils.data import TensorDataset

from lavadl_ref import slayer

NEURON = {"threshold": 0.5, "current_decay": 0.3, "voltage_decay": 0.1, "requires_grad": True}


def make(file, *, epochs=2, resume=False, kind=slayer.utils.Assistant, seed=0, batch=4, **more):
    """A training of a network with delays on 12 samples, 3 steps an epoch, which is tested on 5."""
    torch.manual_seed(0)
    blocks = slayer.block.cuba
    net = torch.nn.Sequential(
        blocks.Dense(NEURON, 6, 8, weight_scale=3, delay=True), blocks.Dense(NEURON, 8, 3, weight_scale=3)
    )
    data, test = (TensorDataset((torch.rand(count, 6, 10) < 0.4).float(), torch.arange(count) % 3) for count in (12, 5))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    error = slayer.loss.SpikeRate(true_rate=0.5, false_rate=0.05, reduction="mean")
    assistant = kind(net, error, optimizer, slayer.utils.LearningStats(), slayer.classifier.Rate.predict)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    options = {"test": test, "schedulers": [scheduler], **more}
    return slayer.utils.Training(assistant, data, epochs, batch, checkpoint=file, resume=resume, seed=seed, **options)


def fail_once(file):
    """A training that fails in its fifth step, in every process; epoch and place that its checkpoint has."""
    training = make(file)

    def before(epoch, batch, train):
        if train and epoch * 3 + batch == 4:
            raise ArithmeticError

    training.before = before
    with suppress(ArithmeticError):
        training.run()
    return training.epoch, training.place


def main():
    """Train, and print what was done; with ``--in-parts`` first one that fails, which is resumed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--in-parts", action="store_true")
    asked = parser.parse_args()
    place = None
    if asked.in_parts:
        place = fail_once(asked.folder / "parts.pt")
        make(asked.folder / "parts.pt", resume=True).run()
    training = make(asked.folder / "whole.pt", epochs=asked.epochs)
    training.progress = lambda done, *_: print("training", flush=True) if done == 1 else None
    losses = training.run().training.loss_log
    if training.rank == 0:
        told = {"rank": training.rank, "processes": training.processes, "losses": losses, "place": place}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
