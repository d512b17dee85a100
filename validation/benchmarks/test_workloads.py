"""The networks that are measured go on sending messages in every layer while they train."""

from __future__ import annotations

import pytest
import torch

import lavadl_ref.slayer as slayer
from lavadl_ref.slayer import obd
from validation.benchmarks import detection, networks, workloads
from validation.benchmarks.silence import check

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
