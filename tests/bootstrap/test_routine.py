"""Modes of layers, the order of events in a training, and its resumption."""

import itertools
import json

import pytest

from lavadl_ref import slayer
from lavadl_ref.bootstrap.routine import LayerMode, Mode, Scheduler


def first(mode, count=4):
    return list(itertools.islice(mode, count))


def test_the_modes_are_numbered_as_in_lava_dl():
    assert [(mode.name, mode.value) for mode in Mode] == [("SNN", 0), ("ANN", 1), ("SAMPLE", 2), ("FIT", 3)]


@pytest.mark.parametrize("base", Mode)
@pytest.mark.parametrize("crossover", [0, 2])
def test_the_first_layers_spike_unless_samples_are_taken(base, crossover):
    mode = LayerMode(crossover, base)
    spiking = 0 if base is Mode.SAMPLE else crossover
    for _ in range(2):  # from the first layer each time
        assert first(mode) == [Mode.SNN] * spiking + [base] * (4 - spiking)
    assert str(mode) == f"Mode: {base.name}" + (" Crossover at: 2" if crossover else "")


def test_each_epoch_samples_then_fits_then_trains():
    scheduler = Scheduler(num_sample_iter=3, sample_period=2)
    for epoch in range(5):
        training = [scheduler.mode(epoch, i).base_mode for i in range(6)]
        sampled = [Mode.SAMPLE] * 3 + [Mode.FIT] + [Mode.ANN] * 2
        assert training == (sampled if epoch % 2 == 0 else [Mode.ANN] * 6)
        assert scheduler.mode(epoch, 0, train=False).base_mode is (Mode.SNN if epoch % 2 == 0 else Mode.ANN)
        assert scheduler.crossover == 0


def test_ten_iterations_of_each_tenth_epoch_are_sampled_by_default():
    scheduler = Scheduler()
    modes = {(e, i): scheduler.mode(e, i).base_mode for e in range(21) for i in range(12)}
    assert {key for key, mode in modes.items() if mode is Mode.SAMPLE} == {
        (e, i) for e in (0, 10, 20) for i in range(10)
    }
    assert {key for key, mode in modes.items() if mode is Mode.FIT} == {(0, 10), (10, 10), (20, 10)}


def test_crossover_moves_in_training_only():
    scheduler = Scheduler(1, 10, crossover_epochs=[2, 4])
    seen = []
    for epoch in range(6):
        scheduler.mode(epoch, 0, train=False)
        seen.append([scheduler.mode(epoch, i).crossover for i in range(3)])
        assert scheduler.mode(epoch, 0, train=False).crossover == seen[-1][-1]
    assert seen == [[0] * 3] * 2 + [[1] * 3] * 2 + [[2] * 3] * 2
    assert first(scheduler.mode(5, 1)) == [Mode.SNN] * 2 + [Mode.ANN] * 2


def test_statistics_of_the_spiking_network_are_kept():
    scheduler, stats = Scheduler(), slayer.utils.LearningStats()
    stats.testing.num_samples, stats.testing.loss_sum, stats.testing.correct_samples = 4, 2.0, 3
    scheduler.sync_snn_stat(stats.testing)
    assert (scheduler.snn_stat.loss, scheduler.snn_stat.accuracy) == (0.5, 0.75)
    scheduler.update_snn_stat()
    assert scheduler.snn_stat.accuracy_log == [0.75]
    assert scheduler.snn_stat.num_samples == 0


def test_a_regression_has_no_accuracy():
    scheduler, stat = Scheduler(), slayer.utils.LearningStat()
    stat.num_samples, stat.loss_sum = 4, 2.0
    scheduler.sync_snn_stat(stat)
    assert scheduler.snn_stat.accuracy is None


def test_a_scheduler_goes_on_from_its_state():
    scheduler = Scheduler(2, 3, crossover_epochs=[1, 4])
    for epoch in range(3):
        scheduler.mode(epoch, 0)
    scheduler.snn_stat.num_samples, scheduler.snn_stat.loss_sum = 2, 1.0
    scheduler.update_snn_stat()
    state = scheduler.state_dict()
    resumed = Scheduler(2, 3, crossover_epochs=[1, 4])
    resumed.load_state_dict(json.loads(json.dumps(state)))
    assert vars(resumed.snn_stat) == vars(scheduler.snn_stat)
    for epoch in range(3, 6):
        assert [first(s.mode(epoch, 0)) for s in (scheduler,)] == [first(resumed.mode(epoch, 0))]
    scheduler.update_snn_stat()
    assert len(resumed.snn_stat.loss_log) == len(state["snn_stat"]["loss_log"]) == 1


@pytest.mark.parametrize("state", [{}, {"crossover": 1}, {"crossover": 1, "snn_stat": {"loss_sum": 1}}])
def test_another_state_is_refused(state):
    with pytest.raises(ValueError, match="state_dict must hold a Scheduler's crossover and snn_stat"):
        Scheduler().load_state_dict(state)


def test_numbers_out_of_range_are_refused():
    with pytest.raises(ValueError, match="num_sample_iter must not be negative, got -1"):
        Scheduler(-1)
    with pytest.raises(ValueError, match="sample_period must be at least 1, got 0"):
        Scheduler(sample_period=0)
