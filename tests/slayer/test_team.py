"""Pieces of kernels on torch's threads: all run, none twice, and what goes wrong is raised."""

import threading
from types import SimpleNamespace

import pytest
import torch
from lavadl_kernels import _jit

from lavadl_ref.slayer import _team

team = _team.of_torch()
needs_team = pytest.mark.skipif(team is None, reason="torch has no GNU OpenMP here")


@needs_team
@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_each_piece_runs_once(count):
    ran = []
    results = team([lambda i=i: ran.append(i) or i * i for i in range(count)])
    assert results == [i * i for i in range(count)]
    assert sorted(ran) == list(range(count))


@needs_team
def test_pieces_run_at_once():
    meet = threading.Barrier(2, timeout=60)
    places = team([lambda: (meet.wait(), threading.get_ident())[1]] * 2)
    assert len(set(places)) == 2
    assert threading.get_ident() in places


@needs_team
@pytest.mark.parametrize("bad", [0, 1])
def test_what_a_piece_raises_is_raised_after_all_have_ended(bad):
    ended = []

    def piece(number):
        if number == bad:
            raise ValueError("wrong")
        ended.append(number)

    with pytest.raises(ValueError, match="wrong"):
        team([lambda i=i: piece(i) for i in range(2)])
    assert ended == [1 - bad]


def test_fewer_threads_than_pieces():
    class Library:
        @staticmethod
        def GOMP_parallel(callback, data, threads, flags):
            callback(data)

        @staticmethod
        def omp_get_thread_num():
            return 0

    assert _team.Team(Library)([lambda i=i: i for i in range(3)]) == [0, 1, 2]


def test_another_library_is_no_team():
    with pytest.raises(AttributeError):
        _team.Team(SimpleNamespace())


def test_kernels_do_without(monkeypatch):
    monkeypatch.setattr(_jit, "_team", None)
    monkeypatch.setattr(_team, "Path", lambda *_: (_ for _ in ()).throw(OSError("no such file")))
    assert _team.of_torch() is None
    from lavadl_ref import slayer

    x = torch.randn(8, 256, 300).mul(100).round().div(64)
    neuron = slayer.neuron.cuba.Neuron(threshold=1.0, current_decay=0.25, voltage_decay=0.03)
    alone = neuron(x)
    monkeypatch.setattr(_jit, "_team", team)
    assert torch.equal(neuron(x), alone)
