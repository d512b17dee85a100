"""The packaged training: interrupted and resumed as if it had not been, on one process and on two."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress

import pytest
import torch
from torch.utils.data import TensorDataset

from lavadl_ref import slayer
from lavadl_ref.slayer.utils import checkpoint as checkpoints
from tests import PATIENCE
from tests.support import small_training
from tests.support.tree import ROOT

Assistant, Training = slayer.utils.Assistant, slayer.utils.Training


def same(one, other):
    """Assert that two trainings have the same network, moments, statistics, rate and best network, bit by bit."""
    for name, value in one.assistant.net.state_dict().items():
        assert torch.equal(value, other.assistant.net.state_dict()[name]), name
    states = [training.assistant.optimizer.state_dict() for training in (one, other)]
    assert states[0]["param_groups"] == states[1]["param_groups"]
    for which, moments in states[0]["state"].items():
        assert all(torch.equal(value, states[1]["state"][which][name]) for name, value in moments.items())
    for name in ("training", "testing"):
        assert vars(getattr(one.stats, name)) == vars(getattr(other.stats, name))
    assert one.best.keys() == other.best.keys()
    assert all(torch.equal(value, other.best[name]) for name, value in one.best.items())


class Interrupted(Assistant):
    """An assistant that is interrupted in a step, counted from 0, after it has changed the network."""

    at = -1
    by: type[BaseException] = KeyboardInterrupt

    def train(self, input, target):
        found = super().train(input, target)
        if self.at == 0:
            raise self.by
        self.at -= 1
        return found


@pytest.mark.parametrize("by", [KeyboardInterrupt, ValueError, SystemExit])
@pytest.mark.parametrize("at", [0, 2, 3, 5])
def test_an_interrupted_training_goes_on_as_if_it_had_not_been(tmp_path, at, by):
    whole = small_training.make(None)
    whole.run()
    first = small_training.make(tmp_path / "c.pt", kind=Interrupted)
    first.assistant.at, first.assistant.by = at, by
    with pytest.raises(by):
        first.run()
    torch.rand(5)
    second = small_training.make(tmp_path / "c.pt", resume=True)
    assert second.epoch * 3 + second.place // 4 == at
    second.run()
    same(whole, second)
    assert whole.assistant.optimizer.param_groups[0]["lr"] == pytest.approx(0.01 * 0.5**2)
    assert not whole.assistant.net.training


def test_another_seed_trains_in_another_order():
    trainings = [small_training.make(None, seed=seed) for seed in (1, 1, 2)]
    for training in trainings:
        training.run()
    weights = [training.assistant.net[0].synapse.weight for training in trainings]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_the_best_network_is_kept():
    training = small_training.make(None, best_by="loss")
    losses = []

    def noted():
        losses.append(training.stats.testing.loss_log[-1])
        with torch.no_grad():  # all fire in what comes after the first epoch, which is worse
            for block in training.assistant.net:
                block.synapse.weight.fill_(8)

    training.after = noted
    training.run()
    assert min(losses) == losses[0] != losses[1]
    assert training.assistant.net[0].synapse.weight.max() < 7


def test_what_does_not_fit_a_training_is_refused(tmp_path):
    file = tmp_path / "c.pt"
    with pytest.raises(FileNotFoundError, match=r"c\.pt: there is no such file, and so nothing to resume"):
        small_training.make(file, resume=True)
    small_training.make(file, resume="auto").run()
    with pytest.raises(ValueError, match=r"must have the settings .*, got other settings"):
        small_training.make(file, resume="auto", seed=5)
    with pytest.raises(ValueError, match=r'resume of Training must be True, False or "auto", got 3'):
        small_training.make(file, resume=3)
    with pytest.raises(ValueError, match="checkpoint of Training must be the file to resume from, got None"):
        small_training.make(None, resume=True)
    with pytest.raises(ValueError, match="test of Training must hold samples with best_by='loss', got none"):
        small_training.make(None, best_by="loss", test=None)
    with pytest.raises(TypeError, match="assistant of Training must be an Assistant, got Linear"):
        Training(torch.nn.Linear(1, 1), [], 1, 1)
    with pytest.raises(ValueError, match="batch of Training must be at least 1, got 0"):
        small_training.make(None, batch=0)


def test_checkpoints_are_written_as_time_passes(tmp_path, monkeypatch):
    file = tmp_path / "c.pt"
    training = small_training.make(file)
    training.before = lambda *_: seen.append(file.exists())
    seen: list[bool] = []
    training.run()
    assert not any(seen)
    file.unlink()
    monkeypatch.setattr(checkpoints, "SAVE_EVERY", 0)
    training = small_training.make(file)
    training.before = lambda *_: seen.append(file.exists())
    seen = []
    training.run()
    assert all(seen)


def test_a_training_without_statistics_gets_some():
    net = torch.nn.Linear(2, 1)
    assistant = Assistant(net, torch.nn.MSELoss(), torch.optim.SGD(net.parameters(), 0.1))
    reports = []
    data = TensorDataset(torch.rand(5, 2), torch.zeros(5, 1))
    stats = Training(assistant, data, 2, 2, progress=lambda *told: reports.append(told)).run()
    assert len(stats.training.loss_log) == 2
    assert [told[:2] for told in reports] == [(n, 6) for n in range(1, 7)]


# -- as a program, and two of them -----------------------------------------------------------------------------------


def started(*options, processes=1):
    """The small training as a program, on some processes, in a session of its own."""
    program = ["-m", "tests.support.small_training", *map(str, options)]
    if processes > 1:
        # what torchrun is; the free port is of this launch alone
        program = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes), *program]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(
        [sys.executable, *program],
        cwd=ROOT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def ended(process):
    """The output of a program; nothing of its session is left."""
    try:
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return out, err


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_terminated_training_leaves_a_checkpoint(tmp_path):
    process = started(tmp_path, "--epochs", 10**6)
    assert process.stdout.readline() == "training\n"
    process.send_signal(signal.SIGTERM)
    _, err = ended(process)
    assert process.returncode == 128 + signal.SIGTERM, err
    state = torch.load(tmp_path / "whole.pt", weights_only=True)
    assert {"net", "optimizer", "scheduler0", "epoch", "place", "stats"} <= set(state)


@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="torch without gloo")
def test_two_processes_train_as_one_and_resume(tmp_path):
    """The first process alone writes; a training that failed in the middle ends where one that did not ends."""
    process = started(tmp_path, "--in-parts", processes=2)
    out, err = ended(process)
    assert process.returncode == 0, err
    (said,) = (json.loads(line) for line in out.splitlines() if line.startswith("{"))
    single = small_training.make(None)
    single.run()
    assert (said["rank"], said["processes"], said["place"]) == (0, 2, [1, 4])
    assert said["losses"] == pytest.approx(single.stats.training.loss_log, rel=1e-3)
    states = [torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("whole", "parts")]
    for name, value in states[0]["net"].items():
        assert torch.equal(value, states[1]["net"][name]), name
        if "weight" in name:  # delays are drawn from another seed
            torch.testing.assert_close(value, single.assistant.net.state_dict()[name], rtol=1e-2, atol=1e-3)
    assert states[0]["stats"] == states[1]["stats"]
    assert states[0]["stats"]["testing"]["loss_log"] == pytest.approx(single.stats.testing.loss_log, rel=1e-2)
    assert states[0]["scheduler0"] == states[1]["scheduler0"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["parts.pt", "whole.pt"]


def test_a_batch_that_processes_cannot_share_is_refused(monkeypatch):
    from lavadl_ref.slayer.utils import training

    class Three(training.Processes):
        def __init__(self):
            super().__init__()
            self.count = 3

    monkeypatch.setattr(training, "Processes", Three)
    with pytest.raises(ValueError, match="must have a sample for each process, got 2 and 12 for 3 processes"):
        small_training.make(None, batch=2)
