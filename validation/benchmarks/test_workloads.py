"""The networks that are measured go on sending messages in every layer while they train."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import lavadl_ref.slayer as slayer
from lavadl_ref.slayer import obd
from validation.benchmarks import detection, networks, workloads

STEPS = 4  #: of training; hundreds were looked at when the workloads were chosen
PARTS = 4  #: of time: all but the first, in which spikes are still on their way, must have messages


def messages(net: torch.nn.Module) -> tuple[dict[str, list[int]], Callable[[], None]]:
    """Count the messages of each block of neurons in each part of time, at every pass; also how to stop."""
    counts: dict[str, list[int]] = {}

    def hook(name: str) -> Callable[..., None]:
        def count(module: torch.nn.Module, given: Any, sent: Any) -> None:
            out: Tensor = sent[0] if isinstance(sent, tuple) else sent
            counts[name] = [int((part != 0).sum()) for part in out.detach().tensor_split(PARTS, -1) if part.numel()]

        return count

    handles = [
        module.register_forward_hook(hook(name))
        for name, module in net.named_modules()
        if getattr(module, "neuron", None) is not None and "block" in type(module).__module__
    ]

    def end() -> None:
        for handle in handles:
            handle.remove()

    return counts, end


def check(net: torch.nn.Module, train: Callable[[], None], layers: int) -> None:
    counts, end = messages(net)
    for step in range(STEPS):
        train()
        assert len(counts) == layers
        for name, parts in counts.items():
            assert all(parts[1:] or parts), f"layer {name!r} fell silent in step {step}: {parts} messages"
    end()


#: Blocks of neurons of each network.
LAYERS = {
    workloads.nmnist: 3,
    workloads.nmnist_sparse: 3,
    workloads.oxford: 2,
    workloads.pilotnet: 9,
    workloads.pilotnet_cuba: 9,
    workloads.bootstrap_snn: 4,
    workloads.bootstrap_ann: 4,
    workloads.recurrent: 1,
    workloads.kwta: 1,
}


@pytest.mark.parametrize("make", [make for make in networks.WORKLOADS if make is not workloads.delay])
def test_no_layer_of_a_measured_network_falls_silent(make):
    job = make(slayer, False)
    check(job.net, job.train, LAYERS[make])


@pytest.mark.parametrize("scene", ["still", "moving"])
def test_no_layer_of_the_measured_detector_falls_silent(scene):
    trained = detection.Trained.of(obd, detection.clips(1, 96, 8, scene))
    check(trained.net, trained.train, 10)


def test_silence_is_noticed():
    job = workloads.recurrent(slayer, True)
    job.x = torch.zeros_like(job.x)
    with pytest.raises(AssertionError, match="fell silent"):
        check(job.net, job.train, 1)


def test_a_moving_picture_moves_by_its_speed():
    x = workloads.moving((1, 2, 3, 9, 4), 2, torch.Generator().manual_seed(0), grain=3)
    assert x.shape == (1, 2, 3, 9, 4)
    assert torch.equal(x[..., 2:, 0], x[..., :-2, 1])
    assert not torch.equal(x[..., 0], x[..., 1])
