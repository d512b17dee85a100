"""The loop that online learning is held against computes the same gradients; nothing here is timed."""

from __future__ import annotations

import pytest
import torch

from lavadl_ref import slayer
from tests.support import upstream
from validation.benchmarks import online, ottt, workloads
from validation.benchmarks.results import Settings
from validation.benchmarks.silence import check

STEPS = 30


def gradients_of(optimizer):
    """The gradients at each step of an optimizer, which leaves the parameters as they are."""
    seen = []
    optimizer.param_groups[0]["lr"] = 0.0
    optimizer.register_step_pre_hook(
        lambda *_: seen.append(
            [p.grad.flatten().clone() for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
        )
    )
    return seen


@pytest.mark.upstream
@pytest.mark.parametrize("rule", online.RULES)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_loop_on_lava_dl_has_the_gradients_of_the_learner_at_every_step(rule):
    upstream.slayer()
    learner, loop, _ = online.beside_lava_dl(True, rule, 1)
    x, labels = workloads.spikes((4, workloads.INPUTS, STEPS), 0.05), online.labels_of(4)
    ours, theirs = gradients_of(learner.optimizer), gradients_of(loop.optimizer)
    torch.testing.assert_close(learner.learn(x, labels), loop.learn(x, labels))
    assert len(ours) == len(theirs) == STEPS
    for here, there in zip(ours, theirs, strict=True):
        for a, b in zip(here, there, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5 * float(b.abs().max()))
    assert all(gradient.any() for gradient in ours[-1]), "no layer is silent at the end"


@pytest.mark.upstream
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_loop_on_lava_dl_learns():
    upstream.slayer()
    _, loop, x = online.beside_lava_dl(True, "local", 8)
    before = [layer.block.synapse.weight_v.detach().clone() for layer in loop.layers]
    loop.learn(workloads.spikes(tuple(x.shape), 0.2), online.labels_of(1))
    assert all(not torch.equal(a, layer.block.synapse.weight_v) for a, layer in zip(before, loop.layers, strict=True))


@pytest.mark.parametrize("rule", online.RULES)
@pytest.mark.parametrize("whole", online.TRAINED)
def test_no_layer_falls_silent_while_it_learns_at_every_step(rule, whole):
    job = workloads.nmnist(slayer, False, whole=whole)
    learner = online.learner_of(job, rule, 1)
    x = job.x[..., : online.FULL.each].contiguous()

    def train():
        learner.learn(x, online.labels_of(x.shape[0]))
        job.net(x)

    check(job.net, train, 3)


def test_a_recording_is_the_same_in_any_two_runs():
    one, two = (torch.cat(list(online.recording(20, 8)), dim=-1) for _ in range(2))
    assert one.shape == (1, workloads.INPUTS, 20)
    assert torch.equal(one, two)


def test_spikingjelly_is_measured_where_it_is_installed():
    pytest.importorskip("spikingjelly")
    rows = list(ottt.rows(Settings(1, True)))
    assert [row["beside"] for row in rows] == ["spikingjelly OTTT"] * 2
